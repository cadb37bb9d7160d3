"""What a cost is made of: the parts sum, the classes are disjoint, nothing is a float."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from money_rows import BEGAN, PRICES

from dispatcher.action.observation import ZERO_USAGE, Usage
from dispatcher.telemetry.cost_parts import CostedCall, CostedRow, Unpriced, Untied, cost_by, untied

COUNTS = st.integers(0, 10**9)
MODELS = st.sampled_from(sorted(PRICES.models))


def _usage(fresh: int, read: int, short: int, long: int, output: int) -> Usage:
    return Usage(
        input_tokens=fresh,
        cache_read_input_tokens=read,
        cache_creation_input_tokens=short + long,
        cache_creation_5m_input_tokens=short,
        cache_creation_1h_input_tokens=long,
        output_tokens=output,
    )


def _call(model: str, usage: Usage) -> CostedCall:
    return CostedCall(model=model, usage=usage, cost_nanousd=PRICES.cost_nanousd(model, usage, BEGAN.date()))


def _row(calls: list[CostedCall], active_ms: int | None, tools: int, **changes: Any) -> CostedRow:
    """As the dispatcher writes it."""
    runtime = 0 if active_ms is None else PRICES.runtime_cost_nanousd(active_ms)
    fields: dict[str, Any] = {
        "log_id": "a",
        "tenant": "script",
        "created_at": BEGAN,
        "price_version": PRICES.version,
        "usage": sum((call.usage for call in calls), ZERO_USAGE),
        "usage_quality": "reported",
        "cost_nanousd": sum(call.cost_nanousd or 0 for call in calls) + runtime + tools,
        "runtime_cost_nanousd": runtime,
        "tool_cost_nanousd": tools,
        "active_ms": active_ms,
        "in_session": active_ms is not None,
        "calls": tuple(calls),
    }
    return CostedRow(**(fields | changes))


CALLS = st.builds(_call, MODELS, st.builds(_usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS))
ROWS = st.builds(_row, st.lists(CALLS, max_size=5), st.none() | st.integers(0, 10**9), st.integers(0, 10**9))


@given(ROWS)
def test_the_parts_of_a_row_sum_to_its_cost_in_whole_nano_dollars(row: CostedRow) -> None:
    """Bands by the prompt's length included: each request is priced alone, never their sum."""
    assert list(untied(PRICES, row)) == []
    assert cost_by(PRICES, row) == row.cost_nanousd
    assert type(cost_by(PRICES, row)) is int


@given(ROWS, st.integers(-(10**12), 10**12).filter(bool))
def test_a_cost_that_is_off_by_anything_is_found(row: CostedRow, off: int) -> None:
    wrong = dataclasses.replace(row, cost_nanousd=(row.cost_nanousd or 0) + off)
    assert Untied.PARTS_DIFFER in set(untied(PRICES, wrong))


@given(ROWS, st.sampled_from([field.name for field in dataclasses.fields(Usage)]), st.integers(1, 10**6))
def test_a_token_that_is_counted_in_two_classes_or_none_is_found(row: CostedRow, name: str, extra: int) -> None:
    usage = dataclasses.replace(row.usage, **{name: getattr(row.usage, name) + extra})
    wrong = dataclasses.replace(row, usage=usage)

    found = set(untied(PRICES, wrong))

    assert Untied.REQUESTS_DIFFER in found
    assert (Untied.CLASSES_OVERLAP in found) is name.startswith("cache_creation")
    assert cost_by(PRICES, wrong) is Unpriced.REQUESTS_DIFFER


@given(ROWS)
def test_an_unknown_cost_contradicts_nothing(row: CostedRow) -> None:
    unknown = dataclasses.replace(row, cost_nanousd=None, usage=Usage(), usage_quality="missing")
    assert list(untied(PRICES, unknown)) == []
    assert cost_by(PRICES, unknown) is Unpriced.USAGE_INCOMPLETE


@given(st.lists(CALLS, min_size=1, max_size=5), st.data())
def test_one_class_that_is_unknown_leaves_the_cost_unknown(calls: list[CostedCall], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(calls) - 1))
    name = data.draw(st.sampled_from([field.name for field in dataclasses.fields(Usage)]))
    calls[place] = dataclasses.replace(calls[place], usage=dataclasses.replace(calls[place].usage, **{name: None}))
    known = name.startswith("cache_creation_") and calls[place].usage.cache_creation_input_tokens == 0
    assert (cost_by(PRICES, _row(calls, None, 0)) is Unpriced.NO_PRICE) is not known
