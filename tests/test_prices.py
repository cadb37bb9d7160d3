from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.action.observation import Usage
from dispatcher.prices import PriceTable

FILE = Path(__file__).parents[1] / "policies" / "prices.yml"
PRICES = PriceTable.load(FILE)
TODAY = dt.date(2026, 11, 21)

# Model, input, 5m write, 1h write, cache read, output in US dollars per million tokens; the published list of
# November 2026.
LIST = """
claude-fable-5-2   8    10    16   0.20  40
claude-fable-5-1   10   12.50 20   0.25  50
claude-mythos-5-1  10   12.50 20   0.25  50
claude-fable-5     10   12.50 20   1.00  50
claude-mythos-5    10   12.50 20   1.00  50
claude-opus-5-5    4    5     8    0.20  20
claude-opus-5      5    6.25  10   0.50  25
claude-opus-4-8    5    6.25  10   0.50  25
claude-opus-4-7    5    6.25  10   0.50  25
claude-opus-4-6    5    6.25  10   0.50  25
claude-opus-4-5    5    6.25  10   0.50  25
claude-sonnet-5-5  2    2.50  4    0.10  10
claude-sonnet-5    2    2.50  4    0.20  10
claude-sonnet-4-6  3    3.75  6    0.30  15
claude-sonnet-4-5  3    3.75  6    0.30  15
claude-haiku-5-5   0.10 0.125 0.20 0.01  0.50
claude-haiku-4-5   1    1.25  2    0.10  5
"""
LISTED = [line.split() for line in LIST.strip().splitlines()]
CLASSES = (
    "input_tokens",
    "cache_creation_5m_input_tokens",
    "cache_creation_1h_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
)


def usage(fresh: int = 0, read: int = 0, short: int = 0, long: int = 0, output: int = 0) -> Usage:
    return Usage(
        input_tokens=fresh,
        cache_read_input_tokens=read,
        cache_creation_input_tokens=short + long,
        cache_creation_5m_input_tokens=short,
        cache_creation_1h_input_tokens=long,
        output_tokens=output,
    )


COUNTS = st.integers(0, 10**9)
USAGES = st.builds(usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
# Only the 5.5 Haiku has a rate that depends on the length of the prompt, so only its cost isn't linear.
FLAT = st.sampled_from(sorted(set(PRICES.models) - {"claude-haiku-5-5"}))


@pytest.mark.parametrize("line", LISTED, ids=[line[0] for line in LISTED])
def test_every_model_costs_what_the_list_says(line: list[str]) -> None:
    """1 000 tokens of one class alone: $1 a million tokens is a million nano-dollars a thousand."""
    model, *dollars = line
    alone = [usage(1000), usage(short=1000), usage(long=1000), usage(read=1000), usage(output=1000)]
    costs = [PRICES.cost_nanousd(model, one, TODAY) for one in alone]
    assert [int(Decimal(price) * 1_000_000) for price in dollars] == costs


def test_no_model_has_a_price_that_the_list_does_not_have() -> None:
    assert {line[0] for line in LISTED} == set(PRICES.models)


@pytest.mark.parametrize(
    ("model", "spent", "nanousd"),
    [
        # 20 000 · 3 000 + 4 000 · 15 000: the list's own worked check, $0.12.
        ("claude-sonnet-4-6", usage(20_000, output=4_000), 120_000_000),
        # 7 · 3 000 + 11 · 300 + 13 · 3 750 + 17 · 6 000 + 19 · 15 000
        ("claude-sonnet-4-6", usage(7, 11, 13, 17, 19), 460_050),
        # 100 · 4 000 + 50 000 · 200 + 2 000 · 5 000 + 1 000 · 20 000
        ("claude-opus-5-5", usage(100, 50_000, 2_000, 0, 1_000), 40_400_000),
        # 1 · 8 000 + 1 · 200 + 1 · 10 000 + 1 · 16 000 + 1 · 40 000
        ("claude-fable-5-2", usage(1, 1, 1, 1, 1), 74_200),
        ("claude-haiku-4-5-20251001", usage(10, output=1), 15_000),
        ("claude-sonnet-4-6", usage(), 0),
    ],
)
def test_a_request_costs_the_sum_over_its_classes(model: str, spent: Usage, nanousd: int) -> None:
    assert PRICES.cost_nanousd(model, spent, TODAY) == nanousd


@pytest.mark.parametrize(
    ("spent", "nanousd"),
    [
        (usage(100_000, output=1_000), 100_000 * 100 + 1_000 * 500),
        (usage(100_001, output=1_000), 100_001 * 500 + 1_000 * 2_500),
        # The prompt is what is read, written and sent together.
        (usage(1, 99_999), 1 * 100 + 99_999 * 10),
        (usage(1, 50_000, 25_000, 25_000), 1 * 500 + 50_000 * 50 + 25_000 * 625 + 25_000 * 1_000),
        # Output doesn't lengthen the prompt.
        (usage(1, output=200_000), 1 * 100 + 200_000 * 500),
    ],
    ids=["at the bound", "above it", "reads count", "writes count", "output does not"],
)
def test_the_band_of_haiku_5_5_follows_the_prompt_and_holds_for_every_token(spent: Usage, nanousd: int) -> None:
    assert PRICES.cost_nanousd("claude-haiku-5-5", spent, TODAY) == nanousd


@pytest.mark.parametrize(
    ("on", "rate"), [(dt.date(2026, 10, 6), 200), (dt.date(2026, 10, 7), 100), (dt.date(2026, 10, 8), 100)]
)
def test_a_price_holds_from_its_day_on(on: dt.date, rate: int) -> None:
    """Cache reads of Sonnet 5.5 became cheaper on 2026-10-07."""
    assert PRICES.cost_nanousd("claude-sonnet-5-5", usage(1, 1_000), on) == 2_000 + 1_000 * rate


def test_before_its_first_day_a_model_has_no_price() -> None:
    assert PRICES.cost_nanousd("claude-sonnet-4-6", usage(1), dt.date(2024, 12, 31)) is None


@pytest.mark.parametrize("model", ["claude-unheard-of", "", "sonnet"])
def test_the_cost_of_an_unknown_model_is_unknown_even_for_nothing(model: str) -> None:
    assert PRICES.cost_nanousd(model, usage(), TODAY) is None


@pytest.mark.parametrize("unknown", CLASSES)
def test_the_cost_of_an_unknown_class_is_unknown(unknown: str) -> None:
    spent = dataclasses.replace(usage(1, 2, 3, 4, 5), **{unknown: None})
    assert PRICES.cost_nanousd("claude-sonnet-4-6", spent, TODAY) is None


def test_the_cost_of_an_unknown_total_of_writes_is_unknown() -> None:
    spent = dataclasses.replace(usage(1, 2, 3, 4, 5), cache_creation_input_tokens=None)
    assert PRICES.cost_nanousd("claude-sonnet-4-6", spent, TODAY) is None


def test_an_unknown_split_of_no_writes_costs_nothing() -> None:
    spent = Usage(input_tokens=1, output_tokens=1, cache_read_input_tokens=0, cache_creation_input_tokens=0)
    assert PRICES.cost_nanousd("claude-sonnet-4-6", spent, TODAY) == 3_000 + 15_000


@given(FLAT, USAGES)
def test_the_parts_sum_to_the_whole(model: str, spent: Usage) -> None:
    """Each class alone costs an integer, and together they cost the sum."""
    parts = [PRICES.cost_nanousd(model, _alone(spent, name), TODAY) for name in CLASSES]
    assert {int} == {type(part) for part in parts}
    assert sum(part for part in parts if part is not None) == PRICES.cost_nanousd(model, spent, TODAY)


@given(FLAT, USAGES, USAGES)
def test_requests_cost_together_what_they_cost_apart(model: str, first: Usage, second: Usage) -> None:
    apart = [PRICES.cost_nanousd(model, spent, TODAY) for spent in (first, second)]
    assert None not in apart
    assert PRICES.cost_nanousd(model, first + second, TODAY) == sum(cost for cost in apart if cost is not None)


@given(USAGES)
def test_no_band_costs_a_fraction(spent: Usage) -> None:
    assert type(PRICES.cost_nanousd("claude-haiku-5-5", spent, TODAY)) is int


@pytest.mark.parametrize(
    ("active_ms", "nanousd"),
    [
        (0, 0),
        (3_600_000, 80_000_000),
        # The list's own worked check: 90 s are $0.002.
        (90_000, 2_000_000),
        # 80 000 000 / 3 600 000 = 22.2… nano-dollars a millisecond.
        (1, 22),
        # 9 · 22.2… = 200 exactly; 2 · 22.2… = 44.4…, 3 · 22.2… = 66.6…
        (9, 200),
        (2, 44),
        (3, 67),
    ],
)
def test_a_session_costs_eight_cents_an_hour_to_the_nearest_nano_dollar(active_ms: int, nanousd: int) -> None:
    assert PRICES.runtime_cost_nanousd(active_ms) == nanousd


@given(st.integers(0, 10**12))
def test_running_time_is_rounded_by_half_a_nano_dollar_at_most(active_ms: int) -> None:
    cost = PRICES.runtime_cost_nanousd(active_ms)
    assert type(cost) is int
    assert abs(cost - Decimal(active_ms) * 80_000_000 / 3_600_000) <= Decimal("0.5")


def test_half_a_nano_dollar_is_rounded_up() -> None:
    odd = PRICES.model_copy(update={"session_hour": 1_800_000})
    assert [odd.runtime_cost_nanousd(active_ms) for active_ms in (1, 2, 3)] == [1, 1, 2]


def test_a_thousand_web_searches_cost_ten_dollars() -> None:
    assert PRICES.search_cost_nanousd(1_000) == 10 * 10**9
    assert PRICES.search_cost_nanousd(0) == 0


def _alone(spent: Usage, name: str) -> Usage:
    tokens = getattr(spent, name)
    written = tokens if name.startswith("cache_creation") else 0
    return dataclasses.replace(usage(), **{"cache_creation_input_tokens": written, name: tokens})
