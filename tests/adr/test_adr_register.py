"""The clock of a record starts when it is registered, and starts again when the record or its candidate changes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from freezegun import freeze_time
from sample_words import Edited, Read

from dispatcher.adr.document import Record
from dispatcher.adr.surroundings import Surroundings
from dispatcher.audit.engine import connect, open_engine
from dispatcher.audit.evidence_tables import registrations
from dispatcher.audit.record import Origin, new_log_id
from dispatcher.audit.registrations import registrations_of
from dispatcher.audit.tables import logs
from dispatcher.errors import InvalidRecord, SourceUnreachable
from dispatcher.verdict.register import Candidate, Registering, plan, register

AROUND = Surroundings(
    deadlines={"legacy": dt.timedelta(minutes=5), "managed-haiku-4-5-cap8": dt.timedelta(minutes=3)},
    grace=dt.timedelta(minutes=1),
)
FIRST = Candidate(hash="aaaa", around=AROUND)
SECOND = Candidate(hash="bbbb", around=AROUND)
CANDIDATE = "managed-haiku-4-5-cap8"
MONDAY = "2026-06-01T09:00:00+00:00"
TUESDAY = "2026-06-02T09:00:00+00:00"
WEDNESDAY = "2026-06-03T09:00:00+00:00"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'log.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def record(read: Read, sample: str) -> Record:
    return read(sample)


@pytest.fixture
def changed(read: Read, edited: Edited) -> Record:
    """The same record with a longer horizon."""
    return read(edited(("max_weeks: 52", "max_weeks: 60")))


def register_on(
    day: str, record: Record, engine: sa.Engine, candidate: Candidate = FIRST, origin: Origin = Origin.PRODUCTION
) -> Registering:
    with freeze_time(day):
        return register(record, candidate, origin, dt.datetime.now(dt.UTC), engine)


def row_of(definition: str, day: str, **changes: Any) -> dict[str, Any]:
    moment = dt.datetime.fromisoformat(day)
    row: dict[str, Any] = {
        "log_id": new_log_id(), "dispatch_id": new_log_id(), "attempt": 1, "role": "served", "origin": "production",
        "time_scale": 1, "feature": "agent_research", "tenant": "script", "created_at": moment, "status": "success",
        "variant": CANDIDATE, "routed_variant": CANDIDATE, "variant_hash": definition, "recorded_at": moment,
    }  # fmt: skip
    return {**row, **changes}


def test_the_clock_starts_now_in_epoch_1(record: Record, engine: sa.Engine) -> None:
    done = register_on(MONDAY, record, engine)

    assert done.is_new
    assert (1, dt.datetime.fromisoformat(MONDAY)) == (done.registration.epoch, done.registration.start)
    assert (record.block_hash, "aaaa") == (done.registration.record_hash, done.registration.candidate_hash)
    assert (done.registration,) == registrations_of(engine, "KD-0650", Origin.PRODUCTION)


def test_registering_what_has_not_changed_does_nothing(record: Record, engine: sa.Engine) -> None:
    first = register_on(MONDAY, record, engine)
    again = register_on(TUESDAY, record, engine)

    assert not again.is_new
    assert first.registration == again.registration
    assert len(registrations_of(engine, "KD-0650", Origin.PRODUCTION)) == 1


def test_it_starts_again_without_a_change_where_that_is_wanted(record: Record, engine: sa.Engine) -> None:
    """Of evidence that can't be used any more, such as that beside a gap in the log, this is the way out."""
    register_on(MONDAY, record, engine)
    with freeze_time(TUESDAY):
        again = register(record, FIRST, Origin.PRODUCTION, dt.datetime.now(dt.UTC), engine, again=True)

    assert again.is_new
    assert (2, dt.datetime.fromisoformat(TUESDAY)) == (again.registration.epoch, again.registration.start)
    assert len(registrations_of(engine, "KD-0650", Origin.PRODUCTION)) == 2


def test_another_layout_or_other_prose_is_no_change(
    record: Record, read: Read, edited: Edited, engine: sa.Engine
) -> None:
    register_on(MONDAY, record, engine)
    rewritten = read(edited(("settle: 24h", "settle: 1d"), ("## Risks\n", "## Risks\n\nOne more.\n")))

    assert not register_on(TUESDAY, rewritten, engine).is_new


def test_a_changed_block_starts_again_in_the_next_epoch(record: Record, changed: Record, engine: sa.Engine) -> None:
    register_on(MONDAY, record, engine)
    done = register_on(TUESDAY, changed, engine)

    assert done.is_new
    assert (2, dt.datetime.fromisoformat(TUESDAY)) == (done.registration.epoch, done.registration.start)


def test_a_changed_candidate_starts_again_in_the_next_epoch(record: Record, engine: sa.Engine) -> None:
    register_on(MONDAY, record, engine)
    done = register_on(TUESDAY, record, engine, SECOND)

    assert (done.registration.epoch, done.registration.candidate_hash) == (2, "bbbb")


def test_going_back_to_an_earlier_block_is_a_change_too(record: Record, changed: Record, engine: sa.Engine) -> None:
    register_on(MONDAY, record, engine)
    register_on(TUESDAY, changed, engine)

    assert register_on(WEDNESDAY, record, engine).registration.epoch == 3


def test_going_back_to_a_candidate_after_another_one_ran_is_a_change_too(record: Record, engine: sa.Engine) -> None:
    register_on(MONDAY, record, engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(logs), [row_of("bbbb", TUESDAY)])

    done = register_on(WEDNESDAY, record, engine)

    assert (done.is_new, done.registration.epoch, done.registration.candidate_hash) == (True, 3, "aaaa")


def test_each_origin_has_its_own_clock_and_epochs(record: Record, changed: Record, engine: sa.Engine) -> None:
    register_on(MONDAY, record, engine)
    register_on(TUESDAY, changed, engine)
    simulated = register_on(WEDNESDAY, changed, engine, origin=Origin.SIMULATED)

    assert simulated.is_new
    assert simulated.registration.epoch == 1


def test_candidates_that_opened_epochs_by_their_rows_are_counted(
    record: Record, changed: Record, engine: sa.Engine
) -> None:
    register_on(MONDAY, record, engine)
    rows = [
        row_of("aaaa", TUESDAY),
        row_of("bbbb", TUESDAY),
        row_of("bbbb", TUESDAY),
        row_of("cccc", "2026-05-31T09:00:00+00:00"),
        row_of("dddd", TUESDAY, tenant="acme"),
        row_of("eeee", TUESDAY, variant="legacy", routed_variant="legacy"),
        row_of("ffff", TUESDAY, origin="simulated"),
        row_of("gggg", TUESDAY, feature="story"),
        row_of("none", TUESDAY, variant_hash=None),
    ]
    with engine.begin() as connection:
        connection.execute(sa.insert(logs), rows)

    assert register_on(WEDNESDAY, changed, engine).registration.epoch == 3


def test_what_lint_refuses_is_not_registered(read: Read, edited: Edited, engine: sa.Engine) -> None:
    unfit = read(edited(("## Risks", "## Worries"), ("settle: 24h", "settle: 5m"), ("max_weeks: 52", "max_weeks: 26")))

    with pytest.raises(InvalidRecord) as caught:
        register_on(MONDAY, unfit, engine)

    assert [problem.partition(": ")[2][:20] for problem in caught.value.problems] == [
        "the section Risks is",
        "settle is 0:05:00, b",
        "AC-7: is undecidable",
    ]
    assert registrations_of(engine, "KD-0650", Origin.PRODUCTION) == ()


def test_a_record_that_no_telemetry_judges_is_not_registered(read: Read, sample: str, engine: sa.Engine) -> None:
    head, _, _ = sample.partition("```yaml acceptance")
    unjudged = read(head.replace("status: proposed", "status: proposed\nacceptance: none"))

    with pytest.raises(InvalidRecord, match="there is nothing to judge"):
        register_on(MONDAY, unjudged, engine)


def test_a_clock_that_went_back_registers_nothing(record: Record, changed: Record, engine: sa.Engine) -> None:
    register_on(TUESDAY, record, engine)

    with pytest.raises(InvalidRecord, match="later than now"):
        register_on(MONDAY, changed, engine)


def test_a_clock_that_is_behind_the_log_registers_nothing(record: Record, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.insert(logs), row_of("aaaa", TUESDAY))

    with pytest.raises(InvalidRecord, match="has rows of 2026-06-02T09:00:00"):
        register_on(MONDAY, record, engine)
    assert register_on(WEDNESDAY, record, engine).is_new


def test_a_plan_says_what_would_happen_and_writes_nothing(record: Record, engine: sa.Engine) -> None:
    planned = plan(record, FIRST, Origin.PRODUCTION, dt.datetime.fromisoformat(MONDAY), engine)

    assert planned.is_new
    assert registrations_of(engine, "KD-0650", Origin.PRODUCTION) == ()
    assert planned == register_on(MONDAY, record, engine)


def test_of_many_at_once_one_opens_the_epoch(record: Record, engine: sa.Engine) -> None:
    now = dt.datetime.fromisoformat(MONDAY)
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: register(record, FIRST, Origin.PRODUCTION, now, engine), range(8)))

    assert sorted(outcome.is_new for outcome in done) == [False] * 7 + [True]
    assert len(registrations_of(engine, "KD-0650", Origin.PRODUCTION)) == 1


def test_the_database_says_itself_when_the_row_arrived(record: Record, engine: sa.Engine) -> None:
    before = dt.datetime.now(dt.UTC)
    register_on(MONDAY, record, engine)
    with engine.connect() as connection:
        arrived = connection.scalar(sa.select(registrations.c.registered_at))

    assert abs(arrived - before) < dt.timedelta(minutes=1)


def test_a_database_that_cannot_be_used_is_one_clear_error(record: Record, tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'empty.db'}")

    with pytest.raises(SourceUnreachable, match=r"empty\.db can't be used: no such table"):
        register_on(MONDAY, record, engine)
    engine.dispose()
