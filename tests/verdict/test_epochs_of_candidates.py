"""Which definition of the candidate opens an epoch: each once, by its first row, in the log as it stands."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from verdict_worlds import DAY, HASHES, LEGACY, MANAGED, P95, START, World, block, record

from dispatcher.adr.surroundings import Surroundings
from dispatcher.audit.record import Origin
from dispatcher.verdict.epoch import Epoch
from dispatcher.verdict.register import Candidate, plan

ONE_GATE = block(P95)
A, B, C = HASHES[MANAGED], "d" * 16, "c" * 16
WEEK = 7 * DAY
SECTIONS = {
    "Sources": "-",
    "Considered Options": "-",
    "Risks": "-",
    "Confirmation": f"**AC-7** {P95['says']}",
}


def epoch_at(world: World, as_of: dt.datetime) -> Epoch:
    epoch = world.judged(ONE_GATE, as_of).epoch
    assert epoch is not None
    return epoch


def next_epoch(world: World, now: dt.datetime) -> int:
    """What the next registration, of a definition never seen, would open."""
    deadlines = {LEGACY: dt.timedelta(minutes=5), MANAGED: dt.timedelta(minutes=10)}
    around = Surroundings(deadlines=deadlines, grace=dt.timedelta(minutes=1), log_was_read=True)
    candidate = Candidate(hash="e" * 16, around=around)
    return plan(
        replace(record(ONE_GATE), sections=SECTIONS), candidate, Origin.PRODUCTION, now, world.engine
    ).registration.epoch


def registered_a_seen_b_registered_a_again(world: World) -> dt.datetime:
    world.register(ONE_GATE)
    world.rows(5)
    world.rows(5, at=START + WEEK, variant_hash=B)
    world.register(ONE_GATE, at=START + 2 * WEEK, epoch=3)
    world.rows(5, at=START + 2 * WEEK + DAY)
    return START + 3 * WEEK


def test_a_straggler_of_a_definition_seen_before_the_newest_registration_opens_nothing(world: World) -> None:
    now = registered_a_seen_b_registered_a_again(world)
    world.row(now, variant_hash=B)

    verdict = world.judged(ONE_GATE, now + 2 * WEEK)

    assert epoch_at(world, now + 2 * WEEK) == Epoch(
        number=3, start=START + 2 * WEEK, candidate_hash=A, record_hash=ONE_GATE.hash
    )
    assert verdict.measurement.excluded["candidate"] == {"before_start": 10, "other_candidate": 1}
    assert next_epoch(world, now + 2 * WEEK) == 4


def test_a_definition_seen_before_the_first_registration_opens_nothing_either(world: World) -> None:
    world.row(START - DAY, variant_hash=B)
    world.register(ONE_GATE)
    world.row(START + DAY, variant_hash=B)

    assert (epoch_at(world, START + WEEK).number, next_epoch(world, START + WEEK)) == (1, 2)


def test_a_definition_first_seen_after_the_newest_registration_opens_the_next_epoch(world: World) -> None:
    now = registered_a_seen_b_registered_a_again(world)
    world.row(now, variant_hash=C)

    assert epoch_at(world, now + DAY).number == 4
    assert epoch_at(world, now + DAY).start == now
    assert next_epoch(world, now + DAY) == 5


def test_a_row_from_before_the_registration_that_arrives_after_it_changes_no_epoch(world: World) -> None:
    world.register(ONE_GATE)
    world.row(START - DAY, variant_hash=B, recorded_at=START + DAY)
    assert epoch_at(world, START + WEEK).number == 1

    world.row(START + 2 * DAY, variant_hash=B)
    assert epoch_at(world, START + WEEK).start == START + 2 * DAY

    world.row(START - DAY, variant_hash=B, recorded_at=START + 3 * DAY)
    assert epoch_at(world, START + WEEK).number == 2


@pytest.mark.parametrize(
    "changed",
    [{"attempt": 2, "role": "fallback"}, {"variant": LEGACY}, {"variant": None}],
    ids=str,
)
def test_only_a_first_attempt_that_ran_the_candidate_shows_its_definition(
    world: World, changed: dict[str, Any]
) -> None:
    world.register(ONE_GATE)
    world.rows(5)
    world.row(START + DAY, **({"variant_hash": C, "routed_variant": MANAGED, "assignment_share": 0.67} | changed))

    assert (epoch_at(world, START + WEEK).number, next_epoch(world, START + WEEK)) == (1, 2)
