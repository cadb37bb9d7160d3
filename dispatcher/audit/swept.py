"""What a sweep knows of a row, when it gives it up, and what the row is told then. Pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from dispatcher.action.observation import ZERO_USAGE, Usage, UsageQuality
from dispatcher.audit.owner import Life
from dispatcher.audit.record import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRow:
    """A row that is `started` although its deadline is over.

    `overdue` is how long ago its attempt must have ended and its owner have written so, by the database's clock.
    """

    log_id: str
    tenant: str
    feature: str
    conversation_id: str | None
    origin: Origin
    path: str
    variant: str
    model: str
    owner: str | None
    created_at: dt.datetime
    session_id: str | None
    overdue: dt.timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class CostlessRow:
    """An ended row of a managed session whose usage isn't known wholly, so that it has no cost."""

    log_id: str
    tenant: str
    feature: str
    conversation_id: str | None
    model: str
    created_at: dt.datetime
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptEnding:
    """What a swept row is told: all that could still be learned of it. None is unknown, 0 is zero.

    `usage_unavailable_reason` is set where nothing could.
    """

    usage_quality: UsageQuality = UsageQuality.MISSING
    usage_unavailable_reason: str | None = None
    stop_reason: str | None = None
    input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation_5m_input_tokens: int | None = None
    cache_creation_1h_input_tokens: int | None = None
    output_tokens: int | None = None
    first_call_input_tokens: int | None = None
    first_call_cache_read_input_tokens: int | None = None
    first_call_cache_creation_input_tokens: int | None = None
    first_call_output_tokens: int | None = None
    platform_input_tokens: int | None = None
    platform_output_tokens: int | None = None
    platform_cache_read_input_tokens: int | None = None
    platform_cache_creation_input_tokens: int | None = None
    cost_nanousd: int | None = None
    runtime_cost_nanousd: int | None = None
    tool_cost_nanousd: int | None = None
    price_version: str | None = None
    platform_list_cost_nanousd: int | None = None
    active_ms: int | None = None
    iterations: int | None = None
    tool_calls: int | None = None
    tool_errors: int | None = None
    provider_request_id: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    agent_version: int | None = None


@dataclass(frozen=True, slots=True)
class CountedBefore:
    """What the platform has counted of a session beside a turn: the sum of what its other turns' rows have."""

    usage: Usage
    active_ms: int | None
    list_cost_nanousd: int | None


NOTHING_BEFORE = CountedBefore(ZERO_USAGE, 0, 0)
"""Of a session that was made for the turn."""


def is_ripe(row: OpenRow, life: Life, patience: dt.timedelta) -> bool:
    """Whether a row is given up: at once where its owner is gone, and else when it is overdue for `patience`.

    An owner that lives, or can't be seen, may only be slow: what it still has to say would win all the same.
    """
    return row.overdue >= (dt.timedelta(0) if life is Life.GONE else patience)
