"""What the platform itself counted for a session, and what of it belongs to one turn; pure."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from dispatcher.action.observation import ZERO_USAGE, Usage
from dispatcher.paths.sums import SessionTotals
from dispatcher.paths.wire import count

if TYPE_CHECKING:
    from anthropic.types.beta import BetaManagedAgentsSession

NANOUSD_PER_CENT = 10_000_000

_MOST_SECONDS = 1_000_000
_MOST_DIGITS = 9

NOTHING_YET = SessionTotals(usage=ZERO_USAGE, active_ms=0, web_searches=0, list_cost_nanousd=0)
"""What a session that was just created has used."""


def totals_of(session: BetaManagedAgentsSession) -> SessionTotals:
    """The session's cumulative count, over all its turns."""
    usage: Any = session.usage
    writes: Any = getattr(usage, "cache_creation", None)
    writes_5m = count(getattr(writes, "ephemeral_5m_input_tokens", None))
    writes_1h = count(getattr(writes, "ephemeral_1h_input_tokens", None))
    return SessionTotals(
        usage=Usage(
            input_tokens=count(getattr(usage, "input_tokens", None)),
            output_tokens=count(getattr(usage, "output_tokens", None)),
            cache_read_input_tokens=count(getattr(usage, "cache_read_input_tokens", None)),
            cache_creation_input_tokens=None if writes_5m is None or writes_1h is None else writes_5m + writes_1h,
            cache_creation_5m_input_tokens=writes_5m,
            cache_creation_1h_input_tokens=writes_1h,
        ),
        active_ms=_milliseconds(getattr(usage, "active_seconds", None)),
        web_searches=_searches(getattr(usage, "server_tool_use", None)),
        list_cost_nanousd=_nanousd(getattr(usage, "list_cost", None)),
    )


def difference(after: SessionTotals, before: SessionTotals) -> SessionTotals:
    """What was counted between two moments; a figure that is unknown at either, or went backwards, is unknown.

    The list cost is a difference of whole cents, so it is within a cent of the truth.
    """
    usage = {f.name: _less(getattr(after.usage, f.name), getattr(before.usage, f.name)) for f in fields(Usage)}
    return SessionTotals(
        usage=Usage(**usage),
        active_ms=_less(after.active_ms, before.active_ms),
        web_searches=_less(after.web_searches, before.web_searches),
        list_cost_nanousd=_less(after.list_cost_nanousd, before.list_cost_nanousd),
    )


def _less(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None or after < before else after - before


def _milliseconds(seconds: object) -> int | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < _MOST_SECONDS:
        return None
    return count(round(seconds * 1000))


def _searches(server_tools: Any) -> int | None:
    """A session whose agent has no tool of the provider's is told nothing of any: it made none."""
    told = getattr(server_tools, "web_search_requests", None)
    return 0 if told is None else count(told)


def _nanousd(list_cost: Any) -> int | None:
    """The platform's list cost, whole US cents in a string, in nano-dollars."""
    amount = getattr(list_cost, "amount", None)
    if getattr(list_cost, "currency", None) != "USD" or not isinstance(amount, str):
        return None
    if not amount.isdecimal() or len(amount) > _MOST_DIGITS:
        return None
    return int(amount) * NANOUSD_PER_CENT
