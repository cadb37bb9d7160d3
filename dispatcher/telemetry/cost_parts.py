"""What the cost of an ended row is made of, and what it is by a price table. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from dispatcher.action.observation import ZERO_USAGE, Usage, UsageQuality
from dispatcher.prices import PriceTable


class Unpriced(StrEnum):
    """Why a row has no cost by a price table; closed."""

    USAGE_INCOMPLETE = "usage_incomplete"
    """The provider's figures are partial or missing."""
    REQUESTS_DIFFER = "requests_differ"
    """The row's tokens aren't the sum over its model requests."""
    RUNNING_TIME_UNKNOWN = "running_time_unknown"
    TOOL_COST_UNKNOWN = "tool_cost_unknown"
    NO_PRICE = "no_price"
    """The table has no price for a model on that day, or a class of tokens is unknown."""


class Untied(StrEnum):
    """What keeps the figures of a row from adding up; closed."""

    CLASSES_OVERLAP = "classes_overlap"
    """The cache writes of both TTLs aren't the cache writes."""
    REQUESTS_DIFFER = "requests_differ"
    PARTS_DIFFER = "parts_differ"
    """The cost isn't the sum over the requests, the running time and the tools."""
    PRICE_DIFFERS = "price_differs"
    """The cost isn't that of the price table whose version the row names."""
    FREE_TOKENS = "free_tokens"
    """Tokens were used and cost nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostedCall:
    """A model request as the log has it."""

    model: str
    usage: Usage
    cost_nanousd: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostedRow:
    """An ended row with what its cost is made of.

    `made` is how many adjustments it has, `repriced_nanousd` and `reconciled_nanousd` what those of each kind add.
    """

    log_id: str
    tenant: str
    created_at: dt.datetime
    price_version: str
    usage: Usage
    usage_quality: str | None
    cost_nanousd: int | None
    runtime_cost_nanousd: int | None
    tool_cost_nanousd: int | None
    active_ms: int | None
    in_session: bool
    calls: tuple[CostedCall, ...]
    made: int = 0
    repriced_nanousd: int = 0
    reconciled_nanousd: int = 0

    @property
    def usage_of_calls(self) -> Usage:
        """The sum over the model requests; a class that one of them left unknown is unknown."""
        return sum((call.usage for call in self.calls), ZERO_USAGE)


def cost_by(prices: PriceTable, row: CostedRow) -> int | Unpriced:
    """The row's cost by a price table in nano-dollars: its model requests, each on the day it began, its session's
    running time and its tools. What isn't known wholly has none.
    """
    if row.usage_quality not in {UsageQuality.REPORTED, UsageQuality.SPLIT_INFERRED}:
        return Unpriced.USAGE_INCOMPLETE
    if row.usage != row.usage_of_calls:
        return Unpriced.REQUESTS_DIFFER
    if row.in_session and row.active_ms is None:
        return Unpriced.RUNNING_TIME_UNKNOWN
    if row.tool_cost_nanousd is None:
        return Unpriced.TOOL_COST_UNKNOWN
    total = row.tool_cost_nanousd
    if row.in_session and row.active_ms is not None:
        total += prices.runtime_cost_nanousd(row.active_ms)
    for call in row.calls:
        cost = prices.cost_nanousd(call.model, call.usage, row.created_at.date())
        if cost is None:
            return Unpriced.NO_PRICE
        total += cost
    return total


def untied(prices: PriceTable, row: CostedRow) -> Iterator[Untied]:
    """All that keeps the row's figures from adding up; nothing where they do. What is unknown contradicts nothing."""
    if any(_overlap(usage) for usage in (row.usage, *(call.usage for call in row.calls))):
        yield Untied.CLASSES_OVERLAP
    if row.cost_nanousd is None:
        return
    if row.usage != row.usage_of_calls:
        yield Untied.REQUESTS_DIFFER
    parts = [row.runtime_cost_nanousd, row.tool_cost_nanousd, *(call.cost_nanousd for call in row.calls)]
    if None in parts or row.cost_nanousd != sum(part or 0 for part in parts):
        yield Untied.PARTS_DIFFER
    elif row.price_version == prices.version and cost_by(prices, row) not in {row.cost_nanousd, *Unpriced}:
        yield Untied.PRICE_DIFFERS
    if row.cost_nanousd == 0 and (row.usage.prompt_tokens or row.usage.output_tokens):
        yield Untied.FREE_TOKENS


def _overlap(usage: Usage) -> bool:
    total = usage.cache_creation_input_tokens
    split = (usage.cache_creation_5m_input_tokens, usage.cache_creation_1h_input_tokens)
    return total is not None and None not in split and total != sum(part or 0 for part in split)
