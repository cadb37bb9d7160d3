"""Decisions in the words of OpenFeature and OpenTelemetry."""

from __future__ import annotations

from typing import Any

import pytest
from routing_documents import policies

from dispatcher.action.decision import Decision, Reason
from dispatcher.action.request import Limits
from dispatcher.routing.caps import tightened
from dispatcher.routing.evaluation import attributes_of, open_feature_reason

OPEN_FEATURE = {"STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT", "CACHED", "DISABLED", "UNKNOWN", "STALE", "ERROR"}
"""The reasons that OpenFeature's specification names."""


def a_decision(reason: Reason, **given: Any) -> Decision:
    legacy = policies().default
    return Decision(variant=legacy, reason=reason, caps=tightened(legacy, Limits()), flag="agent-research", **given)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.STICKY_OVERRIDDEN])
def test_every_reason_has_a_name_that_open_feature_knows(reason: Reason) -> None:
    assert open_feature_reason(a_decision(reason)) in OPEN_FEATURE


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        (Reason.FORCED, "STATIC"),
        (Reason.OFF, "DISABLED"),
        (Reason.FLAG, "TARGETING_MATCH"),
        (Reason.SHARE, "SPLIT"),
        (Reason.STICKY, "CACHED"),
        (Reason.STALE, "STALE"),
        (Reason.UNKNOWN_FLAG, "ERROR"),
        (Reason.DEFAULT, "DEFAULT"),
    ],
)
def test_a_reason_is_named_by_what_it_means(reason: Reason, name: str) -> None:
    assert open_feature_reason(a_decision(reason)) == name


def test_a_moved_conversation_is_named_by_what_moved_it() -> None:
    assert open_feature_reason(a_decision(Reason.STICKY_OVERRIDDEN, moved_by=Reason.OFF)) == "DISABLED"


def test_the_attributes_are_those_of_open_telemetry_and_what_is_not_known_is_left_out() -> None:
    drawn = a_decision(Reason.SHARE, flag_version="f00d", assignment_key="c-1", assignment_share=0.5)

    assert attributes_of(drawn, "acme") == {
        "feature_flag.key": "agent-research",
        "feature_flag.provider.name": "unleash",
        "feature_flag.result.variant": "legacy",
        "feature_flag.result.reason": "split",
        "feature_flag.context.id": "c-1",
        "feature_flag.version": "f00d",
    }
    assert attributes_of(a_decision(Reason.UNKNOWN_FLAG), "acme") == {
        "feature_flag.key": "agent-research",
        "feature_flag.provider.name": "unleash",
        "feature_flag.result.variant": "legacy",
        "feature_flag.result.reason": "error",
        "feature_flag.context.id": "acme",
        "error.type": "flag_not_found",
    }
