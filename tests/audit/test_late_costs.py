"""Ended rows without a cost, on every engine: found for a while, and their cost appended once."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from log_contract import rows
from open_rows import HOUR, ended_as, many_left_open, now_of

from dispatcher.action.observation import Usage
from dispatcher.audit.adjustments import adjusted
from dispatcher.audit.late_costs import LOOKED_AFTER, LateCosts
from dispatcher.audit.record import Origin
from dispatcher.audit.sweeper import ROWS_AT_ONCE
from dispatcher.audit.swept import NOTHING_BEFORE, CostlessRow, CountedBefore
from dispatcher.audit.tables import adjustments
from dispatcher.errors import LogUnavailable

PLATFORM = {
    "platform_input_tokens": 5,
    "platform_output_tokens": 6,
    "platform_cache_read_input_tokens": 7,
    "platform_cache_creation_input_tokens": 8,
    "active_ms": 900,
    "platform_list_cost_nanousd": 10_000_000,
}


@pytest.fixture
def engine(any_engine: sa.Engine) -> sa.Engine:
    return any_engine


@pytest.fixture
def late(engine: sa.Engine) -> Iterator[LateCosts]:
    late = LateCosts(engine)
    yield late
    late.release()


def costless(engine: sa.Engine, count: int = 1, **changes: Any) -> list[str]:
    ended = {"status": "success", "path": "managed", "session_id": "sesn_1", "usage_quality": "partial"}
    return many_left_open(engine, count, **{**ended, "landed_at": now_of(engine) - HOUR, **changes})


def found(late: LateCosts, origin: Origin = Origin.PRODUCTION) -> list[CostlessRow]:
    return [row for page in late.rows(origin) for row in page]


def test_a_row_that_ended_before_its_session_was_at_rest_is_found(late: LateCosts, engine: sa.Engine) -> None:
    ids = [*costless(engine), *costless(engine, usage_quality="missing", status="error")]
    assert sorted(row.log_id for row in found(late)) == sorted(ids)
    assert {row.session_id for row in found(late)} == {"sesn_1"}
    assert found(late, Origin.SIMULATED) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "started", "landed_at": None},
        {"status": "lost"},
        {"path": "messages"},
        {"session_id": None},
        {"usage_quality": "split_inferred"},
        {"cost_nanousd": 7},
    ],
)
def test_other_rows_are_left_alone(late: LateCosts, engine: sa.Engine, changes: dict[str, Any]) -> None:
    costless(engine, **changes)
    assert found(late) == []


def test_a_row_is_looked_at_from_a_minute_after_its_ending_for_a_week(late: LateCosts, engine: sa.Engine) -> None:
    now = now_of(engine)
    costless(engine, landed_at=now - dt.timedelta(seconds=30))
    costless(engine, created_at=now - LOOKED_AFTER - HOUR)
    (log_id,) = costless(engine, created_at=now - LOOKED_AFTER + HOUR)
    assert [row.log_id for row in found(late)] == [log_id]


def test_every_row_is_found_page_by_page_also_where_many_began_at_one_moment(
    late: LateCosts, engine: sa.Engine
) -> None:
    made = costless(engine, ROWS_AT_ONCE + 1, created_at=now_of(engine) - HOUR)
    assert sorted(row.log_id for row in found(late)) == sorted(made)


def test_a_cost_is_appended_and_the_row_stays_as_it_is(late: LateCosts, engine: sa.Engine) -> None:
    (log_id,) = costless(engine)
    before = ended_as(engine, log_id)
    (row,) = found(late)
    assert late.append(row, 1_234, "2026-11-01", 10_000_000)
    assert not late.append(row, 9_999, "2026-11-01", None)
    (made,) = rows(engine, adjustments)
    del made["adjusted_at"]
    assert made == {
        "tenant": "script",
        "log_id": log_id,
        "sequence": 1,
        "kind": "complete",
        "reason": "usage_completed",
        "amount_nanousd": 1_234,
        "cost_nanousd": 1_234,
        "price_version": "2026-11-01",
        "platform_list_cost_nanousd": 10_000_000,
    }
    assert ended_as(engine, log_id) == before
    assert found(late) == []
    with engine.connect() as connection:
        standing = connection.execute(sa.select(adjusted())).mappings().one()
    assert {name: int(standing[name]) for name in ("made", "repriced", "reconciled", "completed", "listed")} == {
        "made": 1, "repriced": 0, "reconciled": 0, "completed": 1_234, "listed": 10_000_000,
    }  # fmt: skip


def test_of_programs_at_once_one_appends(late: LateCosts, engine: sa.Engine) -> None:
    made = costless(engine, 25)
    all_rows, wins = found(late), list[str]()
    begin = threading.Barrier(4)

    def append() -> None:
        own = LateCosts(engine)
        begin.wait()
        wins.extend(row.log_id for row in all_rows if own.append(row, 1, "v", None))
        own.release()

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wins) == sorted(made)
    assert sorted(row["log_id"] for row in rows(engine, adjustments)) == sorted(made)


def test_what_other_turns_of_a_session_used_is_what_their_rows_have_in_their_order(
    late: LateCosts, engine: sa.Engine
) -> None:
    now, in_one = now_of(engine), {"conversation_id": "c-1"}
    (last,) = costless(engine, created_at=now - HOUR, turn=3, **in_one, **PLATFORM, usage_quality="reported")
    (first,) = costless(engine, created_at=now - 3 * HOUR, turn=1, **in_one, **PLATFORM, usage_quality="reported")
    (own,) = costless(engine, created_at=now - 2 * HOUR, turn=2, **in_one)
    costless(engine, conversation_id="c-2", turn=1)
    costless(engine, turn=4, **in_one, session_id="sesn_2")
    (row,) = [each for each in found(late) if each.log_id == own]
    assert late.turns(row) == (first, own, last)
    usage = Usage(input_tokens=10, output_tokens=12, cache_read_input_tokens=14, cache_creation_input_tokens=16)
    assert late.counted_beside(row) == CountedBefore(usage, 1_800, 20_000_000)
    costless(engine, created_at=now, turn=5, **in_one)
    assert late.counted_beside(row) is None


def test_a_session_outside_a_conversation_has_one_turn(late: LateCosts, engine: sa.Engine) -> None:
    costless(engine)
    (log_id,) = costless(engine, tenant="other")
    (row,) = [each for each in found(late) if each.log_id == log_id]
    assert (late.turns(row), late.counted_beside(row)) == ((log_id,), NOTHING_BEFORE)


def test_a_log_that_is_not_there_is_said_so(tmp_path: Any) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/none.db")
    late = LateCosts(engine)
    with pytest.raises(LogUnavailable, match="costs can't be completed"):
        found(late)
    late.release()
    engine.dispose()
