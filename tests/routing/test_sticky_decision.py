"""A conversation keeps what it was first assigned, and what wins over that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routing_documents import document, engine, only, policies, rule

from dispatcher.action.decision import DEFAULT_VARIANT, Assignment, Decision, Reason
from dispatcher.action.request import Limits
from dispatcher.routing.assignment import NOTHING_ASSIGNED, Recalled
from dispatcher.routing.decision import Situation, brake, decide
from dispatcher.routing.flags.answer import FlagAnswer, FlagContext, FlagState

CAP8 = "managed-haiku-4-5-cap8"
KEPT = Assignment(variant=CAP8, variant_hash=policies().variants[CAP8].hash, turn=1, key="c-1", share=0.67)
LOST_BEFORE = replace(KEPT, variant="legacy", variant_hash=policies().default.hash, share=0.33)


def answer(state: FlagState, **given: Any) -> FlagAnswer:
    return FlagAnswer(state=state, version="v2", **given)


def named(variant: str) -> FlagAnswer:
    return answer(FlagState.VARIANT, variant=variant, rule="pilot")


def drawn(variant: str, share: float = 0.2) -> FlagAnswer:
    return answer(FlagState.VARIANT, variant=variant, rule="ramp", drawn=True, share=share, assignment_key="c-1")


LOST = answer(FlagState.LOST, rule="ramp", drawn=True, share=0.8, assignment_key="c-1")
OFF = answer(FlagState.OFF, detail="off it is")
NO_RULE = answer(FlagState.NO_RULE)
DRAWS = [drawn(CAP8), drawn("legacy", 0.8), drawn("legacy-cached", 0.5), drawn("nobody-registered"), LOST]


def decided(flag: FlagAnswer, kept: Assignment | Recalled | None = KEPT, **given: Any) -> Decision:
    recalled = kept if isinstance(kept, Recalled) else Recalled(assignment=kept)
    situation: dict[str, Any] = {"obstacle": None, "pin": None, "limits": Limits()} | given
    return decide(Situation(policies=policies(), answer=flag, recalled=recalled, **situation))


@pytest.mark.parametrize("flag", DRAWS, ids=str)
@pytest.mark.parametrize("kept", [KEPT, LOST_BEFORE], ids=lambda kept: kept.variant)
def test_whatever_is_drawn_now_the_first_variant_stays_with_its_own_draw(flag: FlagAnswer, kept: Assignment) -> None:
    decision = decided(flag, kept)

    assert (decision.reason, decision.variant.name, decision.moved_by) == (Reason.STICKY, kept.variant, None)
    assert (decision.assignment_key, decision.assignment_share) == (kept.key, kept.share)
    assert decision.flag_version == "v2"


def test_what_a_rule_named_stays_when_the_rule_draws_later() -> None:
    decision = decided(LOST, replace(KEPT, key=None, share=None))

    assert (decision.reason, decision.variant.name) == (Reason.STICKY, CAP8)
    assert (decision.assignment_key, decision.assignment_share) == (None, None)


OVERRIDES = [
    (OFF, Reason.OFF, "legacy"),
    (named("legacy"), Reason.REMOVED, "legacy"),
    (NO_RULE, Reason.REMOVED, "legacy"),
    (named("legacy-cached"), Reason.FLAG, "legacy-cached"),
]


@pytest.mark.parametrize(("flag", "by", "variant"), OVERRIDES, ids=str)
def test_what_an_operator_does_by_name_moves_the_conversation(flag: FlagAnswer, by: Reason, variant: str) -> None:
    decision = decided(flag)

    assert (decision.reason, decision.moved_by) == (Reason.STICKY_OVERRIDDEN, by)
    assert decision.variant.name == variant
    assert (decision.assignment_key, decision.assignment_share) == (None, None)
    assert CAP8 in decision.steps[-1].detail


def test_a_tenant_added_by_name_moves_a_conversation_that_had_lost_its_draw() -> None:
    decision = decided(named(CAP8), LOST_BEFORE)

    assert (decision.reason, decision.moved_by, decision.variant.name) == (Reason.STICKY_OVERRIDDEN, Reason.FLAG, CAP8)


@pytest.mark.parametrize(
    ("flag", "kept", "reason"),
    [
        (OFF, LOST_BEFORE, Reason.OFF),
        (named("legacy"), LOST_BEFORE, Reason.REMOVED),
        (NO_RULE, LOST_BEFORE, Reason.DEFAULT),
        (named(CAP8), KEPT, Reason.FLAG),
    ],
)
def test_a_rule_that_moves_nothing_keeps_its_own_reason(flag: FlagAnswer, kept: Assignment, reason: Reason) -> None:
    decision = decided(flag, kept)

    assert (decision.reason, decision.moved_by, decision.variant.name) == (reason, None, kept.variant)


@pytest.mark.parametrize(("value", "by"), [("legacy", Reason.FORCED), ("", Reason.FORCE_INVALID)])
def test_the_kill_switch_moves_what_is_elsewhere_and_only_that(value: str, by: Reason) -> None:
    moved = brake(policies(), Limits(), "KILL", value, Recalled(assignment=KEPT))
    there_already = brake(policies(), Limits(), "KILL", value, Recalled(assignment=LOST_BEFORE))
    unread = brake(policies(), Limits(), "KILL", value, Recalled(problem="the log did not answer within 50 ms"))

    assert (moved.reason, moved.moved_by, moved.variant.name) == (Reason.STICKY_OVERRIDDEN, by, "legacy")
    assert (there_already.reason, there_already.moved_by) == (by, None)
    assert (unread.reason, unread.moved_by, unread.variant.name) == (by, None, "legacy")


@pytest.mark.parametrize(
    ("given", "reason", "variant"),
    [
        ({"obstacle": "it has no commit"}, Reason.REPOSITORY_NOT_MOUNTABLE, "legacy"),
        ({"pin": "legacy-cached"}, Reason.PINNED, "legacy-cached"),
    ],
)
def test_a_pin_and_a_repository_are_the_actions_own_matter(given: dict[str, Any], reason: Reason, variant: str) -> None:
    decision = decided(LOST, **given)

    assert (decision.reason, decision.moved_by, decision.variant.name) == (reason, None, variant)
    assert decided(LOST).reason is Reason.STICKY


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (FlagState.STALE, Reason.STALE),
        (FlagState.ERROR, Reason.ERROR),
        (FlagState.UNKNOWN_FLAG, Reason.UNKNOWN_FLAG),
    ],
)
def test_a_flag_state_that_cannot_be_used_is_legacy_by_its_own_reason(state: FlagState, reason: Reason) -> None:
    decision = decided(answer(state))

    assert (decision.reason, decision.variant.name) == (reason, "legacy")


def test_a_variant_that_is_no_longer_registered_is_drawn_for_anew_and_says_so() -> None:
    gone = replace(KEPT, variant="managed-of-last-year")
    decision = decided(drawn(CAP8, 0.2), gone)

    assert (decision.reason, decision.moved_by, decision.variant.name) == (Reason.STICKY_OVERRIDDEN, Reason.SHARE, CAP8)
    assert (decision.assignment_key, decision.assignment_share) == ("c-1", 0.2)
    assert decision.steps[-2].detail == "turn 1 was assigned 'managed-of-last-year', which is no longer registered"


def test_a_variant_keeps_its_conversations_when_its_definition_changes() -> None:
    decision = decided(LOST, replace(KEPT, variant_hash="0" * 16))

    assert (decision.reason, decision.variant) == (Reason.STICKY, policies().variants[CAP8])
    assert f"its definition has changed since, from {'0' * 16} to {KEPT.variant_hash}" in decision.steps[-1].detail


UNREAD = Recalled(problem="the log did not answer within 50 ms")


@pytest.mark.parametrize(
    ("flag", "reason", "variant"),
    [
        (drawn(CAP8, 0.2), Reason.STICKY_UNAVAILABLE, CAP8),
        (LOST, Reason.STICKY_UNAVAILABLE, "legacy"),
        (named(CAP8), Reason.FLAG, CAP8),
        (OFF, Reason.OFF, "legacy"),
        (NO_RULE, Reason.DEFAULT, "legacy"),
    ],
)
def test_what_cannot_be_read_in_time_is_decided_afresh(flag: FlagAnswer, reason: Reason, variant: str) -> None:
    decision = decided(flag, UNREAD)

    assert (decision.reason, decision.variant.name) == (reason, variant)
    drawn_now = reason is Reason.STICKY_UNAVAILABLE
    assert (decision.assignment_key, decision.assignment_share) == (
        (flag.assignment_key, flag.share) if drawn_now else (None, None)
    )


def test_the_steps_say_what_was_found_out() -> None:
    def sticky(decision: Decision) -> tuple[bool, str]:
        return next((step.decided, step.detail) for step in decision.steps if step.rule == "sticky")

    assert sticky(decided(LOST)) == (True, f"turn 1 was assigned '{CAP8}'")
    assert sticky(decided(LOST, NOTHING_ASSIGNED)) == (False, "no earlier turn was assigned a variant")
    assert sticky(decided(NO_RULE)) == (True, f"turn 1 was assigned '{CAP8}', but no rule reaches it any more")
    unread = "nobody can say what an earlier turn was assigned: the log did not answer within 50 ms"
    assert sticky(decided(LOST, UNREAD)) == (False, unread)


class Conversation:
    """A conversation turn by turn, with the assignment that a log would hold."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kept: Assignment | None = None
        self.turns = 0

    def turn(self, content: dict[str, Any] | None) -> Decision:
        """The decision under a flag document; None is the kill switch."""
        self.turns += 1
        recalled = Recalled(assignment=self.kept)
        if content is None:
            return brake(policies(), Limits(), "KILL", "legacy", recalled)
        flag = engine(content).answer("agent-research", FlagContext(tenant="script", conversation=self.name), None)
        decision = decided(flag, recalled)
        if self.kept is None and decision.reason in {Reason.FLAG, Reason.SHARE}:
            self.kept = Assignment(
                variant=decision.variant.name,
                variant_hash=decision.variant.hash,
                turn=self.turns,
                key=decision.assignment_key,
                share=decision.assignment_share,
            )
        return decision


def ramp(share: int) -> dict[str, Any]:
    return document(rule(only("script"), rollout=str(share), by="conversationId", title="ramp"))


def weighted(weight: int) -> dict[str, Any]:
    variants = {CAP8: weight, "legacy": 1000 - weight}
    return document(rule(only("script"), variants=variants, by="conversationId", title="ramp"))


# A rule that lets in everybody, for one variant, names it and draws nothing.
SHARES = st.integers(0, 99).map(ramp) | st.integers(1, 999).map(weighted)
BRAKES = st.sampled_from(
    [
        None,
        document(rule(only("script")), enabled=False),
        document(rule(only("script")), kill=True),
        document(rule(only("script"), variants={"legacy": 1000})),
        document(rule(only("acme"))),
    ]
)
NAMES = st.integers(0, 10**9).map("c-{}".format)


@settings(max_examples=50)  # each turn compiles a flag document
@given(NAMES, st.lists(SHARES, min_size=2, max_size=8))
def test_whatever_the_share_does_from_turn_to_turn_the_variant_stays(name: str, shares: list[dict[str, Any]]) -> None:
    conversation = Conversation(name)
    decisions = [conversation.turn(share) for share in shares]

    first = decisions[0]
    assert [decision.reason for decision in decisions] == [Reason.SHARE] + [Reason.STICKY] * (len(shares) - 1)
    assert {(each.variant.name, each.assignment_key, each.assignment_share) for each in decisions} == {
        (first.variant.name, name, first.assignment_share)
    }


@settings(max_examples=50)  # each turn compiles a flag document
@given(NAMES, st.lists(st.tuples(SHARES, BRAKES), min_size=1, max_size=5))
def test_no_sticky_decision_outlives_a_kill_an_off_or_a_removal(
    name: str, days: list[tuple[dict[str, Any], dict[str, Any] | None]]
) -> None:
    conversation = Conversation(name)
    for share, brakes in days:
        conversation.turn(share)
        decision = conversation.turn(brakes)

        assert decision.variant.name == DEFAULT_VARIANT
        assert decision.reason is not Reason.STICKY
        assert conversation.kept is not None
        moved = conversation.kept.variant != DEFAULT_VARIANT
        assert (decision.reason is Reason.STICKY_OVERRIDDEN) is moved
