"""What tenants show that stayed with the control where a flag set the others: who is one, what of theirs counts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from verdict_worlds import COST, DAY, LEGACY, MINUTE, P95, START, VALID, World, block

from dispatcher.adr.document import Acceptance
from dispatcher.verdict.evidence.grid import GridCounts, Side
from dispatcher.verdict.judgement.finding import Reason, State
from dispatcher.verdict.judgement.judge import Outcome
from dispatcher.verdict.measured import Arm
from dispatcher.verdict.measurement.drift_rows import MOST_TENANTS
from dispatcher.verdict.report.document import as_document
from dispatcher.verdict.report.prose import as_text

OWN = P95 | {"at_most": {"value": 42_054}, "baseline": {"source": "own-target"}}
BY_FLAG: dict[str, Any] = {"assignment": {"kind": "tenant_flag"}}
STAYED: dict[str, Any] = {"tenant": "acme", "reason": "default", "assignment_share": None}
ONE = START + 8 * DAY


def stayed(world: World, criterion: dict[str, Any] = OWN) -> dict[str, GridCounts]:
    return dict(world.measured(block(criterion, **BY_FLAG), ONE).drift.get("AC-7", {}))


def sizes(counts: GridCounts) -> tuple[int, int]:
    assert counts.sample is not None
    return counts.sample.n, sum(row.clusters for row in counts.rows if row.side is Side.FAIL)


def candidates(world: World, count: int = 120, ms: int = 20_000) -> None:
    world.rows(count, ms=ms, reason="flag", assignment_share=None)


def test_a_tenant_that_stayed_is_counted_before_and_since_and_the_records_own_never(any_world: World) -> None:
    candidates(any_world, 10)
    any_world.rows(30, LEGACY, at=START - 3 * DAY, **STAYED)
    any_world.rows(20, LEGACY, **STAYED)
    found = stayed(any_world)

    assert {tenant: sizes(counts) for tenant, counts in found.items()} == {"acme": (30, 20)}
    assert {(row.look, row.arm, row.size, row.rank) for row in found["acme"].rows} == {(1, Arm.CANDIDATE, 1, 1)}


def test_of_a_conversation_only_its_first_dispatch_counts(world: World) -> None:
    world.rows(5, LEGACY, at=START - 3 * DAY, conversation_id="one", **STAYED)
    world.rows(5, LEGACY, conversation_id="two", **STAYED)
    world.rows(3, LEGACY, conversation_id=None, **STAYED)

    assert sizes(stayed(world)["acme"]) == (1, 4)


def test_what_a_tenant_did_after_it_moved_shows_nothing_of_the_weeks(world: World) -> None:
    world.rows(9, LEGACY, at=START - 3 * DAY, **STAYED)
    world.rows(4, LEGACY, at=START + MINUTE, **STAYED)
    world.row(START + DAY, "legacy-cached", **STAYED)
    world.rows(7, LEGACY, at=START + 2 * DAY, **STAYED)

    assert sizes(stayed(world)["acme"]) == (9, 4)


def test_a_failure_is_slower_than_all_and_what_is_not_known_is_against_both_claims(world: World) -> None:
    world.row(START - DAY, LEGACY, **STAYED)
    world.row(START - DAY, LEGACY, status="error", **STAYED)
    world.row(START + DAY, LEGACY, status="error", **STAYED)
    world.row(START + DAY, LEGACY, status="cancelled", ended_by="cancel", **STAYED)
    counts = stayed(world)["acme"]
    assert counts.sample is not None
    buckets = {side: sorted(row.bucket for row in counts.rows if row.side is side) for side in Side}

    assert (counts.sample.n, counts.sample.without) == (2, 1)
    assert buckets == {Side.FAIL: [0, 10**15], Side.PASS: [10**15]}


def test_a_baselines_own_window_is_what_before_means(world: World) -> None:
    first, last = P95["baseline"]["window"]
    world.rows(6, LEGACY, at=START - 3 * DAY, **STAYED)
    world.rows(4, LEGACY, at=START.replace(month=4, day=20), **STAYED)
    world.rows(2, LEGACY, **STAYED)

    assert (str(first), str(last)) == ("2026-04-09", "2026-05-09")
    assert sizes(stayed(world, P95)["acme"]) == (4, 2)


def test_the_tenants_most_seen_before_are_looked_at(world: World) -> None:
    for number in range(MOST_TENANTS + 3):
        world.rows(1 + number, LEGACY, at=START - 3 * DAY, **STAYED | {"tenant": f"t{number:02}"})
    world.rows(40, LEGACY, **STAYED | {"tenant": "new"})

    assert sorted(stayed(world)) == [f"t{number:02}" for number in range(3, MOST_TENANTS + 3)]


@pytest.mark.parametrize("acceptance", [block(OWN), block(COST, VALID, **BY_FLAG)], ids=["a draw", "no time"])
def test_nothing_is_asked_where_arms_are_drawn_or_no_criterion_is_about_a_time(
    world: World, acceptance: Acceptance
) -> None:
    world.rows(9, LEGACY, at=START - 3 * DAY, **STAYED)
    measured = world.measured(acceptance, ONE)

    assert (measured.drift, measured.drift_sql) == ({}, {})


@pytest.mark.parametrize(
    ("since", "state", "said"),
    [(20_000, State.FAIL, "slower 0.0"), (60_000, State.INCONCLUSIVE, "shown to be slower")],
    ids=["the candidate's own", "everybody's"],
)
def test_a_fail_is_held_where_those_who_stayed_became_slower_too(
    world: World, since: int, state: State, said: str
) -> None:
    acceptance = block(OWN, **BY_FLAG)
    world.register(acceptance)
    candidates(world, 200, 60_000)
    world.rows(600, LEGACY, at=START - 3 * DAY, **STAYED)
    world.rows(600, LEGACY, ms=since, **STAYED)
    verdict = world.judged(acceptance, START + 8 * DAY)
    finding = verdict.findings[0]
    drift = as_document(verdict)["findings"][0]["drift"]["tenants"]["acme"]

    assert finding.state is state
    assert (Reason.ASSIGNMENT_NOT_COMPARABLE in verdict.reasons) == (state is State.INCONCLUSIVE)
    assert verdict.outcome is (Outcome.ROLLBACK if state is State.FAIL else Outcome.HOLD)
    assert (drift["n_before"], drift["before"], drift["n_since"], drift["since"]) == (600, 20_000, 600, since)
    text = as_text(verdict).replace("\n  ", " ")
    assert f"acme p95 20\u00a0000\u00a0ms before (n 600), {since // 1000}\u00a0000\u00a0ms since (n 600): " in text
    assert said in text
    assert "JOIN" in json.dumps(as_document(verdict)["findings"][0]["drift_sql"])


def test_where_nobody_stayed_the_report_says_that_the_weeks_are_not_known(world: World) -> None:
    acceptance = block(OWN, **BY_FLAG)
    world.register(acceptance)
    candidates(world)

    text = as_text(world.judged(acceptance, ONE)).replace("\n  ", " ")
    assert "tenants that stayed with legacy: none was seen, so what the weeks alone did isn't known" in text


def test_a_pass_of_fast_weeks_stays_one_of_fast_weeks(world: World) -> None:
    """What a look showed of the weeks in which a pass was earned isn't watered down by later ones."""
    acceptance = block(OWN, **BY_FLAG)
    world.register(acceptance)
    candidates(world, 200)
    world.rows(600, LEGACY, at=START - 3 * DAY, **STAYED)
    world.rows(300, LEGACY, ms=5_000, **STAYED)
    world.rows(1200, LEGACY, ms=60_000, at=START + 8 * DAY, **STAYED)
    verdicts = [world.judged(acceptance, START + days * DAY) for days in (8, 15)]

    assert [each.outcome for each in verdicts] == [Outcome.HOLD, Outcome.HOLD]
    assert [each.findings[0].reasons for each in verdicts] == [(Reason.ASSIGNMENT_NOT_COMPARABLE,)] * 2
