"""Costs of managed sessions held against the platform's own, on a log."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from money_rows import BEGAN, NEWER, PRICES, REQUEST_NANOUSD, RUNTIME_NANOUSD, everything, put, put_turn

from dispatcher.audit.record import Origin
from dispatcher.audit.tables import adjustments, logs
from dispatcher.telemetry.reconciling import CENT_NANOUSD, Agreement, SessionCost, adjustments_of, reconcile
from dispatcher.telemetry.repricing import reprice

TURN_NANOUSD = REQUEST_NANOUSD + RUNTIME_NANOUSD


@pytest.fixture
def engine(any_engine: sa.Engine) -> sa.Engine:
    return any_engine


def test_a_session_within_a_cent_of_the_platform_agrees(engine: sa.Engine) -> None:
    """Its turns together, not each: 6.5 tenths of a cent a turn are shown as 1, 0 and 1 cent."""
    for log_id, cents in (("a", 1), ("b", 0), ("c", 1)):
        put_turn(engine, log_id, cents)

    done = reconcile(engine)

    assert (done.sessions, done.agree, done.differ, done.rows) == (1, 1, 0, 0)
    assert everything(engine, adjustments) == []


def test_a_session_beyond_a_cent_gets_the_platforms_figures_and_its_rows_stay(engine: sa.Engine) -> None:
    put_turn(engine, "a", 1)
    put_turn(engine, "b", 3)
    before = everything(engine, logs)

    done = reconcile(engine)

    made = everything(engine, adjustments)
    assert before == everything(engine, logs)
    assert (done.differ, done.rows, done.amount_nanousd) == (1, 2, 4 * CENT_NANOUSD - 2 * TURN_NANOUSD)
    assert [(one["kind"], one["reason"]) for one in made] == [("reconcile", "platform_differs")] * 2
    assert [one["amount_nanousd"] for one in made] == [
        CENT_NANOUSD - TURN_NANOUSD,
        3 * CENT_NANOUSD - TURN_NANOUSD,
    ]
    assert [one["cost_nanousd"] for one in made] == [CENT_NANOUSD, 3 * CENT_NANOUSD]


def test_reconciling_again_and_repricing_in_between_do_not_chase_each_other(engine: sa.Engine) -> None:
    put_turn(engine, "a", 5)

    assert [reconcile(engine).rows, reconcile(engine).rows] == [1, 0]
    assert [reprice(engine, NEWER).adjusted, reprice(engine, NEWER).adjusted] == [1, 0]
    # 2 tenths of a cent beyond the platform's figure are within the cent.
    assert reconcile(engine).rows == 0
    assert everything(engine, adjustments)[-1]["cost_nanousd"] == 5 * CENT_NANOUSD + RUNTIME_NANOUSD


def test_a_dry_run_says_the_same_and_appends_nothing(engine: sa.Engine) -> None:
    put_turn(engine, "a", 5)

    dry = reconcile(engine, dry_run=True)

    assert everything(engine, adjustments) == []
    assert dry == reconcile(engine)


@pytest.mark.parametrize(
    ("changes", "standing"),
    [
        ({"status": "started"}, "open"),
        ({"cost_nanousd": None}, "unknown"),
        ({"platform_list_cost_nanousd": None}, "unknown"),
    ],
)
def test_a_session_that_is_open_or_unknown_is_counted_as_such_and_left_alone(
    engine: sa.Engine, changes: dict[str, object], standing: str
) -> None:
    put_turn(engine, "a", 9)
    put_turn(engine, "b", 9, **changes)

    done = reconcile(engine)

    assert (done.sessions, getattr(done, standing), done.rows) == (1, 1, 0)


def test_a_cost_that_a_repricing_made_known_counts(engine: sa.Engine) -> None:
    put_turn(engine, "a", 1, cost_nanousd=None)
    assert reconcile(engine).unknown == 1

    reprice(engine, NEWER)

    assert reconcile(engine).agree == 1


def test_what_a_session_told_later_counts_with_the_platforms_figure_for_it(engine: sa.Engine) -> None:
    put_turn(engine, "a", None, cost_nanousd=None, usage_quality="partial")
    assert reconcile(engine).unknown == 1
    told = {"kind": "complete", "reason": "usage_completed", "price_version": PRICES.version}
    figures = {"amount_nanousd": TURN_NANOUSD, "cost_nanousd": TURN_NANOUSD}
    with engine.begin() as connection:
        key = {"tenant": "script", "log_id": "a", "sequence": 1}
        connection.execute(
            sa.insert(adjustments), key | told | figures | {"platform_list_cost_nanousd": 3 * CENT_NANOUSD}
        )

    assert reprice(engine, NEWER).unpriced == {"usage_incomplete": 1}
    done = reconcile(engine)

    assert (done.differ, done.amount_nanousd) == (1, 3 * CENT_NANOUSD - TURN_NANOUSD)
    assert everything(engine, adjustments)[-1]["cost_nanousd"] == 3 * CENT_NANOUSD
    assert reconcile(engine).agree == 1


def test_rows_without_a_session_of_other_origins_and_imported_ones_are_left_out(engine: sa.Engine) -> None:
    put(engine, "a")
    put_turn(engine, "b", 9, origin="simulated")
    put_turn(engine, "c", 9, origin="import", session_id="sesn_2")

    assert reconcile(engine, origin=Origin.PRODUCTION).sessions == 0
    assert reconcile(engine, origin=Origin.SIMULATED).differ == 1
    assert reconcile(engine).sessions == 1


def test_of_many_differing_sessions_all_are_adjusted_and_the_first_shown(engine: sa.Engine) -> None:
    for place in range(120):
        put_turn(engine, f"{place:03d}", 5, session_id=f"sesn_{place:03d}")

    done = reconcile(engine)

    assert (done.differ, done.rows, len(done.differing)) == (120, 120, 20)
    assert reconcile(engine).agree == 120


@pytest.mark.parametrize(
    ("difference", "agreement"),
    [
        (CENT_NANOUSD, Agreement.AGREES),
        (-CENT_NANOUSD, Agreement.AGREES),
        (CENT_NANOUSD + 1, Agreement.DIFFERS),
        (-CENT_NANOUSD - 1, Agreement.DIFFERS),
    ],
)
def test_a_cent_is_a_cent_to_the_nano_dollar(difference: int, agreement: Agreement) -> None:
    counts = {"rows": 1, "started": 0, "costed": 1, "listed": 1}
    cost = 10 * CENT_NANOUSD
    session = SessionCost(session_id="s", **counts, cost_nanousd=cost, list_cost_nanousd=cost + difference)
    assert session.agreement is agreement


def test_the_documented_query_reads_what_a_row_costs(engine: sa.Engine) -> None:
    """Repriced, then reconciled; reconciled alone; never adjusted; unknown."""
    put_turn(engine, "a", 5)
    reprice(engine, NEWER)
    reconcile(engine)
    put_turn(engine, "b", 7, session_id="sesn_2")
    reconcile(engine)
    put(engine, "c")
    put(engine, "d", cost_nanousd=None)
    query = re.search(r"```sql\n(.*?)```", (Path(__file__).parents[2] / "docs" / "money.md").read_text(), re.DOTALL)
    assert query is not None

    with engine.connect() as connection:
        costs = dict(connection.exec_driver_sql(query[1]).all())

    assert costs == {"a": 5 * CENT_NANOUSD, "b": 7 * CENT_NANOUSD, "c": REQUEST_NANOUSD, "d": None}


class _Row:
    def __init__(self, place: int, cost: int, cents: int) -> None:
        self.session_id, self.tenant, self.log_id = "s", "script", str(place)
        self.status, self.made, self.created_at = "success", 0, BEGAN + dt.timedelta(seconds=place)
        self.cost, self.list_cost = cost, cents * CENT_NANOUSD


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**5)), min_size=1, max_size=6))
def test_after_it_a_session_agrees_and_no_row_costs_less_than_nothing(turns: list[tuple[int, int]]) -> None:
    """In integers throughout."""
    rows = [_Row(place, cost, cents) for place, (cost, cents) in enumerate(turns)]
    made = adjustments_of(rows)
    ours, theirs = sum(row.cost for row in rows), sum(row.list_cost for row in rows)

    total = ours + sum(one.amount_nanousd for one in made)

    assert abs(total - theirs) <= CENT_NANOUSD
    assert {int} >= {type(one.amount_nanousd) for one in made} | {type(one.cost_nanousd) for one in made}
    assert all(one.cost_nanousd >= 0 for one in made)
