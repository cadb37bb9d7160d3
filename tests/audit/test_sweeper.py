"""Rows that nobody will end any more, on every engine: found, given up once, and ended after all by who comes late."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from attempts import a_call, an_ending, an_opening
from freezegun import freeze_time
from log_contract import rows
from open_rows import HOUR, ended_as, held_key, left_open, many_left_open, now_of

from dispatcher.action.observation import Status, Usage, UsageQuality
from dispatcher.audit.log import Log
from dispatcher.audit.owner import Life
from dispatcher.audit.record import Kept, Origin, Room
from dispatcher.audit.sweeper import ROWS_AT_ONCE, Sweeper
from dispatcher.audit.swept import NOTHING_BEFORE, CountedBefore, OpenRow, SweptEnding, is_ripe
from dispatcher.audit.tables import calls, idempotency_keys, logs, results
from dispatcher.errors import ActionInProgress, BudgetExhausted, LogUnavailable

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
UNKNOWN = SweptEnding(usage_unavailable_reason="owner_gone")


@pytest.fixture
def engine(any_engine: sa.Engine) -> sa.Engine:
    return any_engine


@pytest.fixture
def sweeper(engine: sa.Engine) -> Iterator[Sweeper]:
    sweeper = Sweeper(engine)
    yield sweeper
    sweeper.release()


@pytest.fixture
def log(engine: sa.Engine) -> Iterator[Log]:
    log = Log(engine)
    yield log
    log.shutdown()


def overdue(sweeper: Sweeper) -> list[OpenRow]:
    return [row for page in sweeper.overdue() for row in page]


async def test_a_row_is_overdue_a_minute_after_its_deadline_and_not_before(sweeper: Sweeper, engine: sa.Engine) -> None:
    late = left_open(engine, overdue=dt.timedelta(seconds=5))
    left_open(engine, overdue=dt.timedelta(seconds=-30))
    (row,) = overdue(sweeper)
    assert row.log_id == late
    assert dt.timedelta(seconds=5) <= row.overdue < dt.timedelta(seconds=30)


def test_a_host_whose_clock_is_behind_has_its_whole_deadline_from_when_its_row_arrives(
    sweeper: Sweeper, engine: sa.Engine
) -> None:
    left_open(engine, recorded_at=now_of(engine) - dt.timedelta(minutes=10))
    assert overdue(sweeper) == []


def test_a_host_whose_clock_was_ahead_has_its_deadline_from_when_its_row_arrived_and_no_longer(
    sweeper: Sweeper, engine: sa.Engine
) -> None:
    ahead = now_of(engine) + 8000 * HOUR
    stated = {"created_at": ahead, "deadline_at": ahead + HOUR}
    late = left_open(engine, recorded_at=now_of(engine) - 2 * HOUR, **stated)
    left_open(engine, recorded_at=now_of(engine) - HOUR / 2, **stated)
    (row,) = overdue(sweeper)
    assert row.log_id == late
    assert HOUR - 2 * dt.timedelta(minutes=1) <= row.overdue <= HOUR
    assert sweeper.count() == 2


@pytest.mark.parametrize("moment", ["1999-01-01", "2199-01-01"])
def test_the_clock_of_who_sweeps_counts_for_nothing(sweeper: Sweeper, engine: sa.Engine, moment: str) -> None:
    late = left_open(engine)
    left_open(engine, overdue=-HOUR)
    with freeze_time(moment):
        assert [row.log_id for row in overdue(sweeper)] == [late]


def test_a_database_whose_clock_went_back_waits_until_it_is_where_it_was(sweeper: Sweeper, engine: sa.Engine) -> None:
    """Seen from the clock that went back, the row lies ahead."""
    left_open(engine, overdue=-2 * HOUR)
    assert overdue(sweeper) == []


@pytest.mark.parametrize("changes", [{"status": "success"}, {"status": "lost"}, {"deadline_at": None}])
def test_ended_rows_and_rows_that_no_deadline_was_given_are_never_overdue(
    sweeper: Sweeper, engine: sa.Engine, changes: dict[str, object]
) -> None:
    left_open(engine, **changes)
    assert overdue(sweeper) == []
    assert sweeper.count() == 0


def test_every_overdue_row_is_found_page_by_page(sweeper: Sweeper, engine: sa.Engine) -> None:
    """Also where many have the same deadline, and where those of a page are given up before the next is read."""
    moment = now_of(engine) - 3 * HOUR
    same = {"created_at": moment, "recorded_at": moment, "deadline_at": moment}
    made = {*many_left_open(engine, ROWS_AT_ONCE + 1, **same), left_open(engine)}
    assert sweeper.count() == len(made)
    found = []
    for page in sweeper.overdue():
        assert len(page) <= ROWS_AT_ONCE
        for row in page:
            assert sweeper.lose(row.log_id, UNKNOWN, ())
            found.append(row.log_id)
    assert sorted(found) == sorted(made)
    assert {row["status"] for row in rows(engine)} == {"lost"}


def test_a_row_is_given_up_once_with_what_could_be_learned_of_it(sweeper: Sweeper, engine: sa.Engine) -> None:
    log_id = left_open(engine)
    before = ended_as(engine, log_id)
    ending = SweptEnding(
        usage_quality=UsageQuality.REPORTED, input_tokens=7, cost_nanousd=9, session_id="sesn_1", stop_reason="end_turn"
    )
    assert sweeper.lose(log_id, ending, [a_call(), a_call(ordinal=2)])
    assert not sweeper.lose(log_id, UNKNOWN, [a_call(ordinal=3)])
    after = ended_as(engine, log_id)
    told = {name: value for name, value in dataclasses.asdict(ending).items() if value is not None}
    changed = {name: after[name] for name in after if after[name] != before[name]}
    assert changed == told | {"status": "lost", "swept_at": after["swept_at"], "landed_at": after["landed_at"]}
    assert abs(after["swept_at"] - now_of(engine)) < dt.timedelta(minutes=1)
    assert [call["ordinal"] for call in rows(engine, calls)] == [1, 2]


async def test_an_ended_row_is_not_given_up(sweeper: Sweeper, log: Log, engine: sa.Engine) -> None:
    log_id = left_open(engine)
    await log.close(log_id, an_ending(), [a_call()])
    before = ended_as(engine, log_id)
    assert not sweeper.lose(log_id, UNKNOWN, [a_call(ordinal=2)])
    assert ended_as(engine, log_id) == before
    assert len(rows(engine, calls)) == 1


async def test_the_ending_of_an_owner_that_was_only_slow_wins_once_and_that_it_was_swept_stays_known(
    sweeper: Sweeper, log: Log, engine: sa.Engine
) -> None:
    log_id = left_open(engine)
    assert sweeper.lose(log_id, dataclasses.replace(UNKNOWN, session_id="sesn_1"), [a_call(request_id="by the sweep")])
    swept = ended_as(engine, log_id)
    ending = an_ending(session_id=None)
    await log.close(log_id, ending, [a_call(), a_call(ordinal=2)])
    await log.close(log_id, an_ending(status=Status.ERROR, cost_nanousd=1), [a_call(ordinal=3)])
    row = ended_as(engine, log_id)
    told = {field.name: getattr(ending, field.name) for field in dataclasses.fields(ending)} | {"session_id": "sesn_1"}
    assert told == {name: row[name] for name in told}
    assert (row["swept_at"], row["usage_unavailable_reason"]) == (swept["swept_at"], None)
    assert row["landed_at"] >= swept["landed_at"]
    assert [(call["ordinal"], call["request_id"]) for call in rows(engine, calls)] == [
        (1, "by the sweep"),
        (2, "req_1"),
    ]


def test_of_sweepers_at_once_one_gives_a_row_up(engine: sa.Engine) -> None:
    made = many_left_open(engine, 40)
    wins: list[str] = []
    begin = threading.Barrier(4)

    def sweep() -> None:
        own = Sweeper(engine)
        begin.wait()
        wins.extend(log_id for log_id in made if own.lose(log_id, UNKNOWN, [a_call()]))
        own.release()

    threads = [threading.Thread(target=sweep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wins) == sorted(made)
    assert sorted(call["log_id"] for call in rows(engine, calls)) == sorted(made)


async def test_a_row_that_was_given_up_releases_its_key(sweeper: Sweeper, log: Log, engine: sa.Engine) -> None:
    log_id = left_open(engine, idempotency_key="order-7")
    held_key(engine, log_id, "order-7", "5" * 32)
    again = an_opening(idempotency_key="order-7")
    with pytest.raises(ActionInProgress):
        await log.open(again, request_hash="5" * 32)
    assert sweeper.lose(log_id, UNKNOWN, ())
    await log.open(again, request_hash="5" * 32)
    assert [claim["log_id"] for claim in rows(engine, idempotency_keys)] == [again.log_id]
    # The late ending is its row's own, and takes neither the key nor what is kept under it from anybody.
    await log.close(log_id, an_ending(), [], Kept(result="late", result_expires_at=now_of(engine) + HOUR))
    assert rows(engine, results) == []
    with pytest.raises(ActionInProgress):
        await log.open(an_opening(idempotency_key="order-7"), request_hash="5" * 32)


@pytest.mark.parametrize(("ending", "fits"), [(UNKNOWN, False), (SweptEnding(cost_nanousd=1), True)])
async def test_of_a_budget_it_takes_what_it_cost_or_where_that_is_unknown_all_that_it_had_reserved(
    sweeper: Sweeper, log: Log, engine: sa.Engine, ending: SweptEnding, *, fits: bool
) -> None:
    log_id = left_open(engine, reserved_nanousd=10)
    assert sweeper.lose(log_id, ending, ())
    room = Room(nanousd=10, since=now_of(engine) - 24 * HOUR)
    opening = an_opening(reserved_nanousd=5, created_at=now_of(engine))
    if fits:
        await log.open(opening, room=room)
    else:
        with pytest.raises(BudgetExhausted, match=r"0\.00000001 USD is spent"):
            await log.open(opening, room=room)


PLATFORM = {
    "platform_input_tokens": 5,
    "platform_output_tokens": 6,
    "platform_cache_read_input_tokens": 7,
    "platform_cache_creation_input_tokens": 8,
    "active_ms": 9,
    "platform_list_cost_nanousd": 10,
}


def test_what_a_session_was_used_for_before_is_the_sum_over_its_other_turns(
    sweeper: Sweeper, engine: sa.Engine
) -> None:
    turn = {"conversation_id": "c-1", "session_id": "sesn_1", "path": "managed", "overdue": 3 * HOUR}
    for number in (1, 2):
        left_open(engine, turn=number, status="success", **turn, **PLATFORM)
    # Neither another session nor another tenant's conversation of the same name is this one's.
    left_open(engine, turn=3, status="success", **turn | {"session_id": "sesn_2"}, **PLATFORM)
    left_open(engine, turn=1, status="success", **turn | {"tenant": "acme"}, **PLATFORM)
    left_open(engine, turn=4, **turn)
    left_open(engine)
    alone, last = sorted(overdue(sweeper), key=lambda row: row.conversation_id or "")
    used = Usage(input_tokens=10, output_tokens=12, cache_read_input_tokens=14, cache_creation_input_tokens=16)
    assert sweeper.counted_before(last, "sesn_1") == CountedBefore(used, 18, 20)
    assert sweeper.counted_before(alone, "sesn_1") == NOTHING_BEFORE
    left_open(engine, turn=5, status="error", **turn)
    assert sweeper.counted_before(last, "sesn_1") is None


def test_a_log_that_cannot_be_asked_is_one_clear_error(sweeper: Sweeper, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE ai_outbound_logs")
    for ask in (sweeper.count, lambda: overdue(sweeper), lambda: sweeper.lose("x", UNKNOWN, ())):
        with pytest.raises(LogUnavailable, match=r"^the audit log can't be swept: the database .*ai_outbound_logs"):
            ask()


@pytest.mark.parametrize(
    ("life", "overdue_h", "ripe"),
    [
        (Life.GONE, 0, True),
        (Life.GONE, -1, False),
        (Life.ALIVE, 23, False),
        (Life.UNKNOWN, 23, False),
        (Life.ALIVE, 24, True),
        (Life.UNKNOWN, 24, True),
    ],
)
def test_only_an_owner_that_is_known_to_be_gone_is_not_waited_for(life: Life, overdue_h: int, *, ripe: bool) -> None:
    row = OpenRow(
        **dict.fromkeys(("log_id", "tenant", "feature", "path", "variant", "model"), "x"),
        **dict.fromkeys(("conversation_id", "owner", "session_id")),
        origin=Origin.PRODUCTION,
        created_at=NOW,
        overdue=overdue_h * HOUR,
    )
    assert is_ripe(row, life, 24 * HOUR) is ripe


async def test_a_sweep_and_the_owner_at_once_leave_one_ending(sweeper: Sweeper, log: Log, engine: sa.Engine) -> None:
    """Whoever is first, the owner's ending is the one that stays."""
    made = many_left_open(engine, 30)
    sweeping = asyncio.to_thread(lambda: [sweeper.lose(log_id, UNKNOWN, [a_call()]) for log_id in made])
    endings = (log.close(log_id, an_ending(), [a_call()]) for log_id in reversed(made))
    await asyncio.gather(sweeping, *endings)
    assert {(row["status"], row["usage_unavailable_reason"]) for row in rows(engine)} == {("success", None)}
    assert sorted(call["log_id"] for call in rows(engine, calls)) == sorted(made)


def test_what_a_sweep_tells_a_row_are_columns_of_the_log() -> None:
    assert {field.name for field in dataclasses.fields(SweptEnding)} <= set(logs.columns.keys())
