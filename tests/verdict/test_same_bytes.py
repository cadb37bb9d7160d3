"""A verdict's bytes depend on its rows and its moment: not on the order of the rows, nor on where the program runs."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_same_figures_everywhere import BESIDE, rows
from verdict_worlds import COST, DAY, P95, START, VALID, World, block, memory, record

from dispatcher.audit.record import Origin
from dispatcher.audit.tables import adjustments, logs, metadata
from dispatcher.verdict.reach import reach_verdict
from dispatcher.verdict.report.document import as_json

JUDGED = block(
    P95, VALID, COST, P95 | {"id": "C"} | BESIDE, tenants={"script": 0.5, "Acme": 0.5}
)  # fmt: skip
ZONES = ["UTC", "America/St_Johns", "Asia/Kolkata", "Pacific/Apia"]
AS_OF = START + 22 * DAY
UNWRITTEN = World(memory())
"""What makes rows; none is written there."""


def written(held: tuple[list[Any], list[Any]], order: random.Random) -> sa.Engine:
    """A registered log into which these rows were written in some order; always the same one, which is quicker."""
    engine = memory()
    with engine.begin() as connection:
        for table in metadata.tables.values():
            connection.execute(sa.delete(table))
        for table, made in zip((logs, adjustments), held, strict=True):
            if made:
                connection.execute(sa.insert(table), order.sample(made, len(made)))
    World(engine).register(JUDGED)
    return engine


@contextmanager
def running_in(zone: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()


def bytes_in(held: tuple[list[Any], list[Any]], order: random.Random, zone: str, offset_hours: int) -> bytes:
    as_of = AS_OF.astimezone(dt.timezone(dt.timedelta(hours=offset_hours)))
    with running_in(zone):
        return as_json([reach_verdict(record(JUDGED), Origin.PRODUCTION, as_of, written(held, order))]).encode()


@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10**6),
    order=st.randoms(use_true_random=False),
    zone=st.sampled_from(ZONES),
    offset_hours=st.integers(-12, 14),
)
def test_the_same_rows_in_any_order_and_time_zone_give_the_same_bytes(
    seed: int, order: random.Random, zone: str, offset_hours: int
) -> None:
    held = rows(UNWRITTEN, seed)

    assert bytes_in(held, order, zone, offset_hours) == bytes_in(held, random.Random(0), "UTC", 0)


def test_another_row_gives_other_bytes() -> None:
    """Or the claim above would hold of a verdict that reads nothing."""
    held = rows(UNWRITTEN)
    less = ([row for row in held[0] if row["attempt"] == 1][1:], held[1][:0])

    assert bytes_in(held, random.Random(0), "UTC", 0) != bytes_in(less, random.Random(0), "UTC", 0)
