"""Costs held against a price table and adjusted to it, on a log."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from money_rows import BEGAN, NEWER, PRICES, REQUEST_NANOUSD, RUNTIME_NANOUSD, everything, put, put_turn
from tampering import without_triggers

from dispatcher.audit.engine import open_engine
from dispatcher.audit.record import Origin
from dispatcher.audit.tables import adjustments, calls, logs
from dispatcher.errors import SourceUnreachable
from dispatcher.telemetry import repricing
from dispatcher.telemetry.repricing import reprice, tie_out


@pytest.fixture
def engine(any_engine: sa.Engine) -> sa.Engine:
    return any_engine


def test_rows_that_add_up_are_left_alone(engine: sa.Engine) -> None:
    put(engine, "a")
    put_turn(engine, "b")

    tied = tie_out(engine, PRICES)
    done = reprice(engine, PRICES)

    assert (tied.rows, tied.tied, tied.unknown, tied.untied) == (2, 2, 0, {})
    assert (done.rows, done.unchanged, done.adjusted, done.amount_nanousd) == (2, 2, 0, 0)
    assert everything(engine, adjustments) == []


def test_another_price_is_an_adjustment_and_the_row_stays_as_it_was(engine: sa.Engine) -> None:
    put(engine, "a")
    put_turn(engine, "b")
    before = everything(engine, logs)

    done = reprice(engine, NEWER)

    (made,) = everything(engine, adjustments)
    assert before == everything(engine, logs)
    assert (done.adjusted, done.amount_nanousd) == (1, RUNTIME_NANOUSD)
    assert isinstance(made.pop("adjusted_at"), dt.datetime)
    assert made == {
        "tenant": "script",
        "log_id": "b",
        "sequence": 1,
        "kind": "reprice",
        "reason": "price_changed",
        "amount_nanousd": RUNTIME_NANOUSD,
        "cost_nanousd": REQUEST_NANOUSD + 2 * RUNTIME_NANOUSD,
        "price_version": "newer",
        "platform_list_cost_nanousd": None,
    }


def test_repricing_again_appends_nothing_and_back_again_takes_it_back(engine: sa.Engine) -> None:
    put_turn(engine, "b")

    amounts = [reprice(engine, prices).amount_nanousd for prices in (NEWER, NEWER, PRICES, PRICES)]

    assert amounts == [RUNTIME_NANOUSD, 0, -RUNTIME_NANOUSD, 0]
    assert [row["sequence"] for row in everything(engine, adjustments)] == [1, 2]
    assert everything(engine, adjustments)[-1]["cost_nanousd"] == REQUEST_NANOUSD + RUNTIME_NANOUSD


def test_a_dry_run_says_the_same_and_appends_nothing(engine: sa.Engine) -> None:
    put_turn(engine, "b")

    dry = reprice(engine, NEWER, dry_run=True)

    assert everything(engine, adjustments) == []
    assert dry == reprice(engine, NEWER)


def test_a_cost_that_was_unknown_becomes_known_once_there_is_a_price(engine: sa.Engine) -> None:
    """Also where it is 0, which is another thing than unknown."""
    put(engine, "a", cost_nanousd=None)
    nothing = dict.fromkeys(("input_tokens", "output_tokens"), 0)
    put(engine, "b", cost_nanousd=None, **nothing)
    with engine.begin() as connection, without_triggers(connection):
        connection.execute(sa.update(calls).where(calls.c.log_id == "b").values(cost_nanousd=None, **nothing))

    done = reprice(engine, PRICES)

    made = everything(engine, adjustments)
    assert (done.adjusted, reprice(engine, PRICES).adjusted) == (2, 0)
    assert [(row["log_id"], row["reason"], row["amount_nanousd"], row["cost_nanousd"]) for row in made] == [
        ("a", "cost_was_unknown", REQUEST_NANOUSD, REQUEST_NANOUSD),
        ("b", "cost_was_unknown", 0, 0),
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"usage_quality": "partial", "cost_nanousd": None}, "usage_incomplete"),
        ({"usage_quality": "missing", "cost_nanousd": None}, "usage_incomplete"),
        ({"input_tokens": 999}, "requests_differ"),
        ({"tool_cost_nanousd": None}, "tool_cost_unknown"),
        ({"session_id": "sesn_1", "active_ms": None}, "running_time_unknown"),
        ({"created_at": dt.datetime(2024, 12, 31, tzinfo=dt.UTC)}, "no_price"),
    ],
)
def test_what_has_no_cost_by_the_table_is_counted_by_its_reason_and_stays(
    engine: sa.Engine, changes: dict[str, object], reason: str
) -> None:
    put(engine, "a", **changes)

    done = reprice(engine, NEWER)

    assert (done.rows, done.adjusted, done.unpriced) == (1, 0, {reason: 1})
    assert everything(engine, adjustments) == []


def test_open_rows_and_rows_that_others_priced_are_none_of_its_business(engine: sa.Engine) -> None:
    put_turn(engine, "a", status="started")
    put_turn(engine, "b", price_version="theirs", origin="import")
    put_turn(engine, "d", price_version=None)
    put_turn(engine, "c", origin="simulated")

    assert reprice(engine, NEWER, origin=Origin.PRODUCTION).rows == 0
    assert reprice(engine, NEWER).rows == 1
    assert [row["log_id"] for row in everything(engine, adjustments)] == ["c"]


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({"cost_nanousd": REQUEST_NANOUSD + 1}, ["parts_differ"]),
        ({"runtime_cost_nanousd": 1}, ["parts_differ"]),
        ({"tool_cost_nanousd": None}, ["parts_differ"]),
        ({"input_tokens": 1_001}, ["requests_differ"]),
        ({"cost_nanousd": REQUEST_NANOUSD + 1, "tool_cost_nanousd": 1}, []),
        ({"cache_creation_5m_input_tokens": 1}, ["classes_overlap", "requests_differ"]),
        ({"cost_nanousd": 0}, ["free_tokens", "parts_differ"]),
        ({"cost_nanousd": 1, "runtime_cost_nanousd": 1 - REQUEST_NANOUSD}, ["price_differs"]),
    ],
)
def test_a_row_that_does_not_add_up_is_named_with_its_problem(
    engine: sa.Engine, changes: dict[str, object], problems: list[str]
) -> None:
    put(engine, "a", **changes)

    tied = tie_out(engine, PRICES)

    assert sorted(tied.untied) == problems
    assert tied.examples == {problem: ["a"] for problem in problems}
    assert tied.tied == (0 if problems else 1)


def test_many_rows_are_read_page_by_page_each_once(engine: sa.Engine) -> None:
    """Rows of one moment too, which only their ids tell apart."""
    n = 2 * repricing._ROWS_AT_ONCE + 1
    row, request = _plain(engine)
    with engine.begin() as connection:
        ids = [f"{place:06d}" for place in range(n)]
        moments = [BEGAN + dt.timedelta(seconds=place // 700) for place in range(n)]
        rows = [{**row, "log_id": i, "dispatch_id": i, "created_at": at} for i, at in zip(ids, moments, strict=True)]
        connection.execute(sa.insert(logs), rows)
        connection.execute(sa.insert(calls), [{**request, "log_id": i} for i in ids])
    seen: list[float] = []

    done = reprice(engine, NEWER, on_progress=seen.append)

    assert (done.rows, done.adjusted) == (n + 1, n + 1)
    assert len(everything(engine, adjustments)) == n + 1
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_of_programs_that_reprice_at_once_one_adjusts_each_row(engine: sa.Engine) -> None:
    for name in "abcdefgh":
        put_turn(engine, name)
    ready = threading.Barrier(4)

    def run() -> None:
        ready.wait()
        reprice(engine, NEWER)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [row["log_id"] for row in everything(engine, adjustments)] == list("abcdefgh")


def test_a_database_that_can_not_be_read_is_one_clear_error(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/other.db")
    put(engine, "a")
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE ai_outbound_calls")
    with pytest.raises(SourceUnreachable, match="no such table: ai_outbound_calls"):
        reprice(engine, PRICES)
    engine.dispose()


def _plain(engine: sa.Engine) -> tuple[dict[str, object], dict[str, object]]:
    put_turn(engine, "first")
    return everything(engine, logs)[0], everything(engine, calls)[0]
