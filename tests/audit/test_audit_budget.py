"""The arithmetic of a budget, against the rule as it is said."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
import sqlalchemy as sa
from attempts import BEGAN, an_opening
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher.action.observation import Status
from dispatcher.audit.connections import Connections
from dispatcher.audit.opener import Opener
from dispatcher.audit.record import Room
from dispatcher.audit.tables import logs
from dispatcher.errors import BudgetExhausted

AMOUNTS = st.integers(0, 2**50)
ROWS = st.lists(st.tuples(st.sampled_from(Status), st.none() | AMOUNTS, st.none() | AMOUNTS), max_size=6)
TENANTS = count()


@pytest.fixture
def connections(engine: sa.Engine) -> Iterator[Connections]:
    connections = Connections(engine)
    yield connections
    connections.release()


def counted(status: Status, cost: int | None, reserved: int | None) -> int:
    if status is Status.STARTED or cost is None:
        return reserved or 0
    return cost


@given(rows=ROWS, asked=AMOUNTS, spare=st.integers(-2, 2))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_row_is_granted_exactly_where_it_fits_beside_all_that_is_spent_and_reserved(
    connections: Connections,
    engine: sa.Engine,
    rows: list[tuple[Status, int | None, int | None]],
    asked: int,
    spare: int,
) -> None:
    """A running row counts what it reserved, an ended one its cost, and its reservation where that isn't known."""
    opening = an_opening(tenant=f"tenant-{next(TENANTS)}", reserved_nanousd=asked)
    like = {name: getattr(opening, name) for name in opening.__slots__ if name in logs.columns}
    with engine.begin() as connection:
        for number, (status, cost, reserved) in enumerate(rows):
            figures = {"status": status, "cost_nanousd": cost, "reserved_nanousd": reserved}
            log_id = f"{opening.tenant}-{number}"
            connection.execute(sa.insert(logs).values(like | figures | {"log_id": log_id, "dispatch_id": log_id}))
    room = Room(nanousd=sum(counted(*row) for row in rows) + asked + spare, since=BEGAN)
    try:
        connections.run(Opener(engine.dialect).opening(opening, None, room).alone)
        granted = True
    except BudgetExhausted:
        granted = False
    assert granted is (spare >= 0)
