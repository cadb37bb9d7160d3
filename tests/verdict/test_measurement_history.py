"""No row that arrives later can change what a look has seen, and no order of rows can change anything."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from itertools import chain
from typing import Any

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from verdict_worlds import DAY, HASHES, LEGACY, MANAGED, SHARES, START, World, block, memory

from dispatcher.audit.record import new_log_id
from dispatcher.audit.tables import logs
from dispatcher.verdict.measured import Cell, Measurement

LATER = START + 60 * DAY

hours = st.integers(-30, 24 * 13)
delays = st.sampled_from([0, 0, 0, 1, 30, 200, 400])


@st.composite
def attempts(draw: st.DrawFn, number: int = 0) -> list[dict[str, Any]]:
    """A dispatch in one of a few conversations, whose opening, ending and fallback may each arrive late."""
    variant = draw(st.sampled_from([MANAGED, MANAGED, LEGACY]))
    created = START + dt.timedelta(hours=draw(hours))
    recorded = created + dt.timedelta(hours=draw(delays))
    status = draw(st.sampled_from(["success", "success", "error", "cancelled", "started"]))
    landed = None if status == "started" else recorded + dt.timedelta(hours=draw(delays))
    first: dict[str, Any] = {
        "log_id": new_log_id(),
        "dispatch_id": new_log_id(),
        "attempt": 1,
        "role": "served",
        "origin": "production",
        "time_scale": 1.0,
        "feature": "agent_research",
        "tenant": draw(st.sampled_from(["script", "acme"])),
        "conversation_id": draw(st.sampled_from([None, "one", "two", "three", "four"])),
        "created_at": created,
        "recorded_at": recorded,
        "landed_at": landed,
        "variant": variant,
        "routed_variant": variant,
        "variant_hash": HASHES[variant],
        "reason": draw(st.sampled_from(["share"] * 8 + ["pinned"])),
        "assignment_share": SHARES[variant],
        "status": status,
        "output_valid": status == "success",
        "response_time_ms": draw(st.sampled_from([1000, 50_000])),
        "cost_nanousd": draw(st.sampled_from([10, 1000])),
    }
    if status != "error":
        return [first]
    arrived = recorded + dt.timedelta(hours=draw(delays))
    fallback = {"log_id": new_log_id(), "attempt": 2, "role": "fallback", "recorded_at": arrived, "status": "success"}
    return [first, first | fallback]


logs_of_dispatches = st.lists(attempts(), max_size=12).map(lambda dispatches: [*chain(*dispatches)])


def measured(rows: list[dict[str, Any]], as_of: dt.datetime, window: str) -> Measurement:
    world = World(memory())
    with memory().begin() as connection:
        connection.execute(sa.delete(logs))
    world.write(rows)
    both = block(tenants={"script": 0.5, "acme": 0.5}, unit={"by": "conversation", "window": window})
    return world.measured(both, as_of)


def seen_by_looks(measurement: Measurement, up_to: int) -> Counter[str]:
    """The cells that the looks up to one took in, as a multiset."""
    taken: list[Cell] = [cell for cell in measurement.cells if cell.look is not None and cell.look <= up_to]
    return Counter(map(repr, taken))


@settings(max_examples=40)
@given(logs_of_dispatches, st.sampled_from(["0d", "5d"]), st.integers(1, 3))
def test_what_a_look_saw_is_what_it_always_saw(rows: list[dict[str, Any]], window: str, looks: int) -> None:
    then, later = measured(rows, START + 7 * looks * DAY, window), measured(rows, LATER, window)

    assert seen_by_looks(later, looks) == seen_by_looks(then, looks)


def test_a_first_turn_that_arrives_late_does_not_move_its_conversation() -> None:
    world = World(memory())
    turns = [
        world.made(START + DAY, conversation_id="one", recorded_at=START + 20 * DAY),
        world.made(START + 2 * DAY, conversation_id="one"),
        world.made(START + 2 * DAY),
        world.made(START + 2 * DAY, tenant="acme"),
    ]

    then, later = measured(turns, START + 7 * DAY, "0d"), measured(turns, LATER, "0d")

    assert seen_by_looks(then, 1).total() == 2
    assert seen_by_looks(later, 1) == seen_by_looks(then, 1)
    assert later.excluded == {"candidate": {"late": 1}}


@settings(max_examples=10)
@given(logs_of_dispatches, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(rows: list[dict[str, Any]], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    one, other = measured(rows, LATER, "5d"), measured(shuffled, LATER, "5d")

    assert (seen_by_looks(one, 99), one.excluded) == (seen_by_looks(other, 99), other.excluded)
    assert one.distributions == other.distributions
