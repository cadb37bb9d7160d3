"""What a report says of evidence that doesn't count, of guards, of tenant flags and of a contract's number."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from verdict_worlds import COST, DAY, LEGACY, P95, START, VALID, World, block

from dispatcher.verdict.judgement.judge import Verdict
from dispatcher.verdict.report.amounts import in_unit
from dispatcher.verdict.report.document import as_json, title_of
from dispatcher.verdict.report.prose import as_text

AFTER = START + 8 * DAY


def said(verdict: Verdict) -> str:
    return " ".join(as_text(verdict).split())


def test_a_verdict_on_a_flag_by_tenant_says_that_it_is_observational(world: World) -> None:
    by_tenant = block(P95, assignment={"kind": "tenant_flag"})
    world.register(by_tenant)
    world.rows(100, reason="flag")
    verdict = world.judged(by_tenant, AFTER)

    assert title_of(verdict) == "KD-0001 A small record: SHIP, observational"
    assert "set by tenant, without a draw, so this verdict is observational" in said(verdict)
    assert json.loads(as_json([verdict]))["assignment"]["observational"] is True


def test_a_verdict_on_a_draw_is_not_observational(world: World) -> None:
    verdict = world.judged(block(), AFTER)

    assert "observational" not in said(verdict)
    assert json.loads(as_json([verdict]))["assignment"]["observational"] is False


def test_times_in_scaled_time_are_not_shown_as_evidence(world: World) -> None:
    world.register(block(P95))
    world.rows(90, time_scale=0.02)
    world.rows(10, time_scale=0.02, status="error")
    world.rows(45, LEGACY)
    text = said(world.judged(block(P95), AFTER))

    assert "- counted, no evidence: " in text
    assert "- evidence: none that counts (time_scaled)" in text
    assert "that a pass needs" not in text
    assert "- would decide: only rows with time_scale 1" in text


def test_an_invalid_verdict_shows_no_evidence_and_no_forecast(world: World) -> None:
    world.register(block(P95))
    world.rows(30)
    text = said(world.judged(block(P95, VALID), AFTER))

    assert "- evidence: none that counts (record_changed)" in text
    assert "that a pass needs" not in text
    assert "would decide" not in text


def test_a_guard_need_not_be_decided_so_nothing_says_what_would_decide_it(world: World) -> None:
    world.register(block(VALID, COST | {"severity": "guard"}))
    world.rows(30)
    verdict = world.judged(block(VALID, COST | {"severity": "guard"}), AFTER)

    assert "would decide" not in said(verdict)
    assert [finding.forecast for finding in verdict.findings] == [None, None]


def test_a_gate_with_failures_says_how_many_more_would_decide(world: World) -> None:
    world.register(block(P95))
    world.rows(38)
    world.rows(2, status="error")
    verdict = world.judged(block(P95), AFTER)

    # 205 at k = 2 in epoch 1 (DESIGN), of which 40 are there.
    assert "- would decide: 165 more conversations, no dispatch above 42 054 ms" in said(verdict)


def test_a_limit_that_was_shown_broken_before_has_nothing_that_would_decide_it(world: World) -> None:
    world.register(block(P95))
    world.rows(20, ms=50_000)
    world.rows(10, LEGACY)
    world.rows(1300, at=START + 7 * DAY)
    world.rows(640, LEGACY, at=START + 7 * DAY)
    verdict = world.judged(block(P95), START + 15 * DAY)

    assert (verdict.findings[0].state, verdict.findings[0].failed_once) == ("inconclusive", True)
    assert "- would decide: nothing in this epoch, which has shown the limit broken" in said(verdict)


@pytest.mark.parametrize(
    "changed",
    [
        {"p95": {"aggregate": "p50"}},
        {"p95": {"at_most": {"times_baseline": 2}}},
        {"p95": {"baseline": P95["baseline"] | {"n": 40}}},
        {"looks": {"cadence": "weekly", "method": "anytime", "alpha": 0.1, "max_weeks": 52, "settle": "24h"}},
    ],
    ids=["another percentile", "another factor", "another sample", "another alpha"],
)
def test_simulated_error_rates_are_quoted_only_for_what_was_simulated(world: World, changed: dict[str, Any]) -> None:
    looks = {"looks": changed["looks"]} if "looks" in changed else {}
    text = said(world.judged(block(P95 | changed.get("p95", {}), **looks), AFTER))

    assert "alpha is claimed against that number" in text
    assert "isn't known for this form" in text
    assert "in simulations" not in text


def test_what_was_simulated_is_quoted(world: World) -> None:
    assert "passes in 6.1 to 15.4 % of the cases at 36 calls a month" in said(world.judged(block(P95), AFTER))


@pytest.mark.parametrize(
    ("value", "text"),
    [("28036", "28 036 ms"), ("1.25", "1.25 ms"), ("41305.5", "41 305.5 ms"), ("1234567.89", "1 234 567.9 ms")],
)
def test_a_number_is_one_word_with_its_unit_and_its_thousands_stand_apart(value: str, text: str) -> None:
    assert in_unit(block(P95).criteria[0], Fraction(value)) == text.replace(" ", "\u00a0")
