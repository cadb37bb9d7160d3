"""Verdicts of the past: stored once, compared with what comes out now, and reached again from their file."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import sqlalchemy as sa
from verdict_worlds import COST, DAY, LEGACY, P95, START, World, block

from dispatcher.audit.evidence_tables import verdicts
from dispatcher.audit.record import Origin
from dispatcher.audit.tables import logs
from dispatcher.audit.verdicts import verdicts_of
from dispatcher.verdict.history import changed_crossings, differences, history_of, store, stored_of
from dispatcher.verdict.judgement.finding import Reason
from dispatcher.verdict.judgement.judge import Outcome, Verdict
from dispatcher.verdict.report.document import as_json
from dispatcher.verdict.report.prose import as_text

GATE = block(P95)
ONE, TWO = START + 8 * DAY, START + 15 * DAY


def registered(world: World, *, ms: int = 20_000) -> Verdict:
    world.register(GATE)
    world.rows(100, ms=ms)
    world.rows(50, LEGACY)
    return world.judged(GATE, ONE)


def rewrite(world: World, **values: Any) -> None:
    """What nobody may do: change rows that a look has seen."""
    with world.engine.begin() as connection:
        for name in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.execute(sa.update(logs).values(**values))


def test_a_verdict_is_stored_with_what_it_was_reached_from_and_only_once(any_world: World) -> None:
    verdict = registered(any_world)

    assert [store(any_world.engine, verdict) for _ in range(2)] == [True, False]
    (stored,) = verdicts_of(any_world.engine, "KD-0001", Origin.PRODUCTION)
    assert stored == stored_of(verdict)
    assert (stored.verdict, stored.epoch, stored.as_of, stored.document) == ("SHIP", 1, ONE, as_json([verdict]))
    assert (stored.record_hash, stored.rows_hash) == (GATE.hash, verdict.measurement.rows_hash)


def test_verdicts_of_another_origin_are_not_there(world: World) -> None:
    store(world.engine, registered(world))

    assert verdicts_of(world.engine, "KD-0001", Origin.SIMULATED) == ()


def test_what_a_look_saw_and_still_sees_is_no_change(world: World) -> None:
    store(world.engine, registered(world))
    world.rows(20, at=START + 9 * DAY, ms=90_000)
    later = world.judged(GATE, TWO + 7 * DAY)

    assert changed_crossings(history_of(world.engine, later), later) == ()
    assert Reason.HISTORY_CHANGED not in later.reasons


def test_a_crossing_that_comes_out_differently_makes_every_later_verdict_invalid(
    world_of_its_own: World,
) -> None:
    world = world_of_its_own
    store(world.engine, registered(world))
    rewrite(world, response_time_ms=90_000)
    later = world.judged(GATE, TWO)

    assert (later.outcome, later.reasons) == (Outcome.INVALID, (Reason.HISTORY_CHANGED,))
    assert changed_crossings(history_of(world.engine, later), later) == (
        f"AC-7 at {(START + 7 * DAY).isoformat()}: the pass line crossed then, the fail line crossed now",
    )
    store(world.engine, later)
    assert world.judged(GATE, TWO + 7 * DAY).reasons == (Reason.HISTORY_CHANGED,)


def test_what_is_whole_again_after_a_restore_is_valid_again(world_of_its_own: World) -> None:
    """The verdict over half of the log contradicted what was stored, decided nothing, and is held against nobody."""
    world = world_of_its_own
    store(world.engine, registered(world))
    rewrite(world, feature="not_restored_yet")
    half = world.judged(GATE, TWO)
    store(world.engine, half)
    rewrite(world, feature="agent_research")

    assert half.reasons == (Reason.HISTORY_CHANGED,)
    assert world.judged(GATE, TWO + 7 * DAY).outcome is Outcome.SHIP


def test_a_verdict_of_a_moment_before_knows_nothing_of_later_ones(world_of_its_own: World) -> None:
    world = world_of_its_own
    registered(world)
    store(world.engine, world.judged(GATE, TWO))
    rewrite(world, response_time_ms=90_000)

    assert world.judged(GATE, ONE).outcome is Outcome.ROLLBACK


@pytest.mark.parametrize("document", ["{", "[]", '{"verdict": "HOLD", "reasons": [], "findings": []}'])
def test_a_stored_verdict_that_is_not_what_was_stored_is_a_changed_history(
    world_of_its_own: World, document: str
) -> None:
    world = world_of_its_own
    store(world.engine, registered(world))
    with world.engine.begin() as connection:
        for name in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.execute(sa.update(verdicts).values(document=document))
    later = world.judged(GATE, TWO)

    assert (later.outcome, later.reasons) == (Outcome.INVALID, (Reason.HISTORY_CHANGED,))
    told = as_text(later).replace("\n", " ")
    assert f"The verdict stored as of {ONE.isoformat()} isn't what was stored any more." in told


def test_what_was_found_in_an_earlier_epoch_is_no_history_of_the_next(world_of_its_own: World) -> None:
    world = world_of_its_own
    store(world.engine, registered(world))
    rewrite(world, response_time_ms=90_000)
    world.register(GATE, at=START + 10 * DAY, epoch=2)

    assert world.judged(GATE, START + 20 * DAY).outcome is Outcome.HOLD


def test_the_crossings_of_a_mean_are_compared_as_well(world_of_its_own: World) -> None:
    world, mean = world_of_its_own, block(COST)
    world.register(mean)
    world.rows(120)
    world.rows(60, LEGACY)
    store(world.engine, world.judged(mean, ONE))
    rewrite(world, cost_nanousd=sa.case((logs.c.variant == LEGACY, logs.c.cost_nanousd), else_=logs.c.cost_nanousd * 9))
    later = world.judged(mean, TWO)

    assert "AC-6" in " ".join(changed_crossings(history_of(world.engine, later), later))
    assert later.reasons == (Reason.HISTORY_CHANGED,)


def test_the_differences_of_two_documents_are_named_with_both_values() -> None:
    before = {"verdict": "SHIP", "findings": [{"id": "AC-7", "k": 0}], "gone": [1, 2], "same": 1}
    after = {"verdict": "HOLD", "findings": [{"id": "AC-7", "k": 2}], "same": 1}

    assert differences(before, after) == [
        "findings[AC-7].k: 0 then, 2 now",
        "gone: [1, 2] then, nothing now",
        'verdict: "SHIP" then, "HOLD" now',
    ]
    assert differences(before, before) == []
    assert differences({"n": 1, "k": 0}, {"n": True, "k": 0.0}) == ["k: 0 then, 0.0 now", "n: 1 then, true now"]
    assert len(differences({str(n): n for n in range(99)}, {})) == 21


def test_a_moment_in_another_zone_gives_the_same_bytes(any_world: World) -> None:
    any_world.register(block())
    rows = [any_world.made(START + n * dt.timedelta(hours=1), LEGACY if n % 3 else "managed-haiku-4-5-cap8",
                           cost_nanousd=n * 10**9 + 7, ms=1000 + 13 * n) for n in range(120)]  # fmt: skip
    any_world.write(rows)
    one = as_json([any_world.judged(block(), ONE)])
    zone = dt.timezone(dt.timedelta(hours=9, minutes=30))

    assert as_json([any_world.judged(block(), ONE.astimezone(zone))]) == one
