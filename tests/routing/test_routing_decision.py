"""The precedence: which rule decides, with which reason, and what the steps tell."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from routing_documents import policies

from dispatcher.action.decision import Caps, Decision, PathName, Reason
from dispatcher.action.request import Limits
from dispatcher.errors import InvalidAction
from dispatcher.routing.caps import tightened
from dispatcher.routing.decision import Situation, brake, decide
from dispatcher.routing.flags.answer import FlagAnswer, FlagState

CAP8 = "managed-haiku-4-5-cap8"
BY = "by 'conversation-1'"


def answer(state: FlagState, **given: Any) -> FlagAnswer:
    return FlagAnswer(state=state, version="v1", **given)


def named(variant: str) -> FlagAnswer:
    return answer(FlagState.VARIANT, variant=variant, rule="pilot")


def drawn(variant: str, share: float) -> FlagAnswer:
    return answer(
        FlagState.VARIANT, variant=variant, rule="pilot", drawn=True, share=share, assignment_key="conversation-1"
    )


LOST = answer(FlagState.LOST, rule="pilot", drawn=True, share=0.8, assignment_key="conversation-1")
NO_RULE = answer(FlagState.NO_RULE)


def decided(flag: FlagAnswer, *, obstacle: str | None = None, pin: str | None = None, **limits: Any) -> Decision:
    return decide(Situation(policies=policies(), answer=flag, obstacle=obstacle, pin=pin, limits=Limits(**limits)))


@pytest.mark.parametrize(
    ("flag", "reason", "variant"),
    [
        (answer(FlagState.UNKNOWN_FLAG), Reason.UNKNOWN_FLAG, "legacy"),
        (answer(FlagState.STALE), Reason.STALE, "legacy"),
        (answer(FlagState.ERROR), Reason.ERROR, "legacy"),
        (answer(FlagState.OFF), Reason.OFF, "legacy"),
        (named("legacy"), Reason.REMOVED, "legacy"),
        (named(CAP8), Reason.FLAG, CAP8),
        (named("legacy-cached"), Reason.FLAG, "legacy-cached"),
        (named("nobody-registered"), Reason.UNKNOWN_VARIANT, "legacy"),
        (drawn(CAP8, 0.67), Reason.SHARE, CAP8),
        (drawn("legacy", 0.33), Reason.SHARE, "legacy"),
        (drawn("nobody-registered", 0.5), Reason.UNKNOWN_VARIANT, "legacy"),
        (LOST, Reason.SHARE, "legacy"),
        (NO_RULE, Reason.DEFAULT, "legacy"),
    ],
)
def test_every_answer_of_a_flag_has_its_own_reason(flag: FlagAnswer, reason: Reason, variant: str) -> None:
    decision = decided(flag)

    assert (decision.reason, decision.variant.name) == (reason, variant)


UNUSABLE_OR_OFF = [
    (answer(FlagState.UNKNOWN_FLAG), Reason.UNKNOWN_FLAG),
    (answer(FlagState.STALE), Reason.STALE),
    (answer(FlagState.ERROR), Reason.ERROR),
    (answer(FlagState.OFF), Reason.OFF),
    (named("legacy"), Reason.REMOVED),
]


@pytest.mark.parametrize(("flag", "reason"), UNUSABLE_OR_OFF)
def test_a_brake_of_the_flag_wins_over_the_repository_and_over_a_pin(flag: FlagAnswer, reason: Reason) -> None:
    decision = decided(flag, obstacle="it has no commit", pin=CAP8)

    assert (decision.reason, decision.variant.name) == (reason, "legacy")


@pytest.mark.parametrize("flag", [named(CAP8), drawn(CAP8, 0.67), drawn("legacy", 0.33), LOST, NO_RULE])
@pytest.mark.parametrize("pin", [None, CAP8, "legacy"])
def test_a_repository_that_cannot_be_mounted_wins_over_pin_name_draw_and_default(
    flag: FlagAnswer, pin: str | None
) -> None:
    decision = decided(flag, obstacle="it has no commit", pin=pin)

    assert (decision.reason, decision.variant.name) == (Reason.REPOSITORY_NOT_MOUNTABLE, "legacy")
    assert (decision.assignment_key, decision.assignment_share) == (None, None)


@pytest.mark.parametrize("flag", [named(CAP8), named("nobody-registered"), drawn(CAP8, 0.67), LOST, NO_RULE])
def test_a_pin_wins_over_name_draw_and_default(flag: FlagAnswer) -> None:
    decision = decided(flag, pin="legacy-cached")

    assert (decision.reason, decision.variant.name) == (Reason.PINNED, "legacy-cached")
    assert (decision.assignment_key, decision.assignment_share) == (None, None)


@pytest.mark.parametrize("flag", [NO_RULE, answer(FlagState.OFF)])
def test_a_pin_that_is_not_registered_is_misuse(flag: FlagAnswer) -> None:
    with pytest.raises(InvalidAction, match="variant 'mine' is not registered; registered are legacy, legacy-cached"):
        decided(flag, pin="mine")


@pytest.mark.parametrize(
    ("flag", "key", "share"),
    [
        (drawn(CAP8, 0.67), "conversation-1", 0.67),
        (drawn("legacy", 0.33), "conversation-1", 0.33),
        (LOST, "conversation-1", 0.8),
        (named(CAP8), None, None),
        (drawn("nobody-registered", 0.5), None, None),
        (NO_RULE, None, None),
    ],
)
def test_a_draw_won_or_lost_leaves_its_key_and_its_share(
    flag: FlagAnswer, key: str | None, share: float | None
) -> None:
    decision = decided(flag)

    assert (decision.assignment_key, decision.assignment_share) == (key, share)


def test_the_state_of_the_flags_is_in_the_decision() -> None:
    fresh, stale = decided(NO_RULE), decided(answer(FlagState.NO_RULE, problem="flags.json: is empty"))

    assert (fresh.flag, fresh.flag_version, fresh.flag_stale) == ("agent-research", "v1", False)
    assert (stale.flag, stale.flag_version, stale.flag_stale) == ("agent-research", "v1", True)


def limits() -> st.SearchStrategy[Limits]:
    return st.builds(
        Limits,
        iterations=st.none() | st.integers(1, 2**63 - 1),
        tool_calls=st.none() | st.integers(0, 2**63 - 1),
        tokens=st.none() | st.integers(1, 2**63 - 1),
        cost_usd=st.none() | st.floats(1e-9, 1e300) | st.decimals("0.000000001", 10**20),
        deadline_s=st.none() | st.floats(1e-9, 1e300) | st.integers(1, 10**20),
    )


@given(limits())
def test_a_limit_is_in_force_where_it_tightens_a_cap_and_nowhere_else(asked: Limits) -> None:
    variant = policies().default
    stated = {
        "iterations": (variant.iteration_cap, asked.iterations),
        "tool_calls": (variant.tool_call_cap, asked.tool_calls),
        "tokens": (variant.token_cap, asked.tokens),
        "cost_nanousd": (variant.cost_cap_nanousd, asked.cost_nanousd),
        "deadline_s": (variant.deadline_s, asked.deadline_s),
    }

    caps = tightened(variant, asked)

    for name, (cap, limit) in stated.items():
        assert getattr(caps, name) == (cap if limit is None or limit > cap else limit)
    assert isinstance(caps.deadline_s, float)


def test_the_caps_of_a_decision_are_the_variants_tightened_by_the_actions_limits() -> None:
    decision = decided(named(CAP8), iterations=3, tokens=5_000_000, cost_usd=0.25)

    assert decision.caps == Caps(iterations=3, tool_calls=80, tokens=1_000_000, cost_nanousd=250_000_000, deadline_s=60)
    assert (decision.iteration_cap, decision.deadline_s) == (3, 60.0)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("legacy", Reason.FORCED),
        ("", Reason.FORCE_INVALID),
        (CAP8, Reason.FORCE_INVALID),
        ("LEGACY", Reason.FORCE_INVALID),
    ],
)
def test_any_value_of_the_kill_switch_brakes(value: str, reason: Reason) -> None:
    decision = brake(policies(), Limits(iterations=2), "DISPATCHER_FORCE_PATH", value)

    assert (decision.reason, decision.variant.name, decision.path) == (reason, "legacy", PathName.MESSAGES)
    assert decision.caps == tightened(policies().default, Limits(iterations=2))
    assert [step.rule for step in decision.steps] == ["kill switch"]


ORDER = [
    "kill switch",
    "flag state",
    "flag",
    "tenant removed",
    "repository",
    "pin",
    "tenant named",
    "sticky",
    "share",
    "default",
]


@pytest.mark.parametrize(
    ("decision", "last", "detail"),
    [
        (decided(answer(FlagState.STALE, detail="not confirmed")), "flag state", "not confirmed"),
        (decided(answer(FlagState.OFF, detail="off it is")), "flag", "off it is"),
        (decided(named("legacy")), "tenant removed", "rule 'pilot' names it for 'legacy'"),
        (
            decided(NO_RULE, obstacle="it has no commit"),
            "repository",
            "the managed path can't mount it: it has no commit",
        ),
        (decided(NO_RULE, pin=CAP8), "pin", f"the action pins '{CAP8}'"),
        (decided(named(CAP8)), "tenant named", f"rule 'pilot' names it for '{CAP8}'"),
        (
            decided(named("unheard")),
            "tenant named",
            "rule 'pilot' names it for 'unheard', which is not registered",
        ),
        (
            decided(drawn(CAP8, 0.67)),
            "share",
            f"rule 'pilot' drew '{CAP8}' {BY}, at a share of 0.67",
        ),
        (
            decided(LOST),
            "share",
            f"constraints of rule 'pilot' pass, but it is not in the rollout: left out {BY}, at a share of 0.8",
        ),
        (decided(NO_RULE), "default", "nothing moves it from 'legacy'"),
    ],
)
def test_the_steps_are_the_rules_in_order_up_to_the_one_that_decides(
    decision: Decision, last: str, detail: str
) -> None:
    assert [step.rule for step in decision.steps] == ORDER[: ORDER.index(last) + 1]
    assert [step.decided for step in decision.steps] == [False] * ORDER.index(last) + [True]
    assert decision.steps[-1].detail == detail
