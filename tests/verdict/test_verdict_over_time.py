"""What happens to a verdict over time: registrations, epochs, changes, looks."""

from __future__ import annotations

import pytest
from verdict_worlds import DAY, LEGACY, MINUTE, P95, START, World, block

from dispatcher.audit.record import Origin
from dispatcher.verdict.judgement.finding import State
from dispatcher.verdict.measured import Arm

LOOK_ONE, WEEK_TWO = START + 7 * DAY, START + 8 * DAY
ONE_GATE = block(P95)


def healthy(world: World, candidate: int = 100, **changed: object) -> None:
    """Both arms well within every limit."""
    world.rows(candidate, **changed)
    world.rows(60, LEGACY, **changed)


def test_before_a_registration_everything_is_held_and_shown_as_a_preview(world: World) -> None:
    healthy(world)
    verdict = world.judged(block(), WEEK_TWO)

    assert (verdict.outcome, [*verdict.reasons]) == ("HOLD", ["not_registered"])
    assert [finding.preview[Arm.CANDIDATE].n for finding in verdict.findings] == [100, 100, 100]
    assert [finding.looks for finding in verdict.findings] == [(), (), ()]


def test_before_a_registration_and_without_rows_both_are_said(world: World) -> None:
    assert [*world.judged(block(), WEEK_TWO).reasons] == ["not_registered", "no_data"]


def test_a_moment_before_the_start_is_as_if_nothing_were_registered(world: World) -> None:
    world.register(block())

    assert [*world.judged(block(), START - DAY).reasons] == ["not_registered", "no_data"]


def test_a_record_edited_after_its_registration_is_invalid_until_it_is_registered_again(world: World) -> None:
    world.register(block())
    healthy(world)
    edited = block(max_unknown_share=0.1)
    assert [*world.judged(edited, WEEK_TWO).reasons] == ["record_changed"]

    world.register(edited, at=START + 7 * DAY, epoch=2)
    assert [*world.judged(edited, WEEK_TWO).reasons] == ["no_data"]


def test_a_registration_for_simulated_rows_is_none_for_production_and_their_rows_never_mix(world: World) -> None:
    world.register(block(), origin=Origin.SIMULATED)
    healthy(world, origin="simulated")
    production, simulated = (
        world.judged(block(), WEEK_TWO, origin) for origin in (Origin.PRODUCTION, Origin.SIMULATED)
    )

    assert [*production.reasons] == ["not_registered", "no_data"]
    assert simulated.outcome == "SHIP"


def test_the_second_epoch_has_less_alpha_so_a_pass_takes_more(world: World) -> None:
    world.register(ONE_GATE, epoch=2)
    healthy(world)
    finding = world.judged(ONE_GATE, WEEK_TWO).findings[0]

    assert finding.levels.to_pass == pytest.approx(6 * 0.05 / 3.14159265**2 / 4)
    assert finding.state is State.INCONCLUSIVE


def test_a_changed_candidate_starts_again_and_its_older_rows_are_left_out(world: World) -> None:
    world.register(ONE_GATE)
    healthy(world, 84)
    changed = START + 9 * DAY
    world.rows(10, at=changed, variant_hash="c" * 16)
    world.rows(3, at=changed + DAY)
    assert world.judged(ONE_GATE, changed - MINUTE).outcome == "SHIP"

    verdict = world.judged(ONE_GATE, changed + 10 * DAY)
    assert verdict.epoch is not None
    assert (verdict.epoch.number, verdict.epoch.start, verdict.epoch.candidate_hash) == (2, changed, "c" * 16)
    assert [*verdict.reasons] == ["thin_data", "left_out_share"]
    assert verdict.measurement.excluded["candidate"] == {"before_start": 84, "other_candidate": 3}


def test_a_regression_after_an_early_pass_becomes_a_rollback(world: World) -> None:
    world.register(ONE_GATE)
    healthy(world, 84)
    world.rows(60, at=START + 14 * DAY, ms=50_000)
    outcomes = [world.judged(ONE_GATE, START + 7 * week * DAY).outcome for week in (1, 2, 3)]

    assert outcomes == ["SHIP", "SHIP", "ROLLBACK"]


def test_slow_calls_that_their_callers_cancel_never_ship_and_never_roll_back(world: World) -> None:
    world.register(ONE_GATE)
    healthy(world, 130)
    world.rows(15, status="cancelled", ended_by="cancel", ms=30_000)
    verdict = world.judged(ONE_GATE, WEEK_TWO)

    assert (verdict.outcome, [*verdict.reasons]) == ("HOLD", ["near_margin"])
    assert verdict.findings[0].entered[Arm.CANDIDATE].k == 15


def test_a_conversation_is_one_piece_of_evidence_however_many_turns_it_has(world: World) -> None:
    talks = block(P95, unit={"by": "conversation", "window": "1d"})
    world.register(talks)
    for number in range(20):
        world.rows(5, at=START + number * MINUTE, conversation_id=f"talk-{number}")
    finding = world.judged(talks, WEEK_TWO).findings[0]

    assert (finding.entered[Arm.CANDIDATE].n, finding.entered[Arm.CANDIDATE].clusters) == (100, 20)
    assert finding.state is State.INCONCLUSIVE


def test_what_a_look_said_is_what_every_later_verdict_says_of_it(world: World) -> None:
    world.register(block())
    healthy(world)
    at_one = world.judged(block(), LOOK_ONE)
    world.rows(20, at=START + 9 * DAY, ms=90_000)
    world.row(START + DAY, recorded_at=START + 12 * DAY, ms=90_000)
    later = world.judged(block(), START + 20 * DAY)

    assert [finding.looks[0] for finding in later.findings] == [finding.looks[0] for finding in at_one.findings]


def test_the_forecast_counts_what_a_pass_still_needs(world: World) -> None:
    world.register(ONE_GATE)
    world.rows(36)
    forecast = world.judged(ONE_GATE, WEEK_TWO).findings[0].forecast

    assert forecast is not None
    assert (forecast.more, forecast.weeks) == (48, 9)
    assert forecast.earliest == START + 70 * DAY
