"""What the model requests of an attempt add up to: usage, how far it can be trusted, and money. Pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from dispatcher.action.observation import ZERO_USAGE, Call, Usage, UsageQuality
from dispatcher.prices import PriceTable

_RECONCILED = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
"""What a session's calls must add up to for its usage to count as complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTotals:
    """What the platform itself counted for a managed session.

    `active_ms` is the running time that is billed; `list_cost_nanousd` is the platform's own figure, in whole cents;
    `web_searches` are those that are billed, of which an agent of ours makes none.
    """

    usage: Usage
    active_ms: int | None
    list_cost_nanousd: int | None
    web_searches: int | None = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What is added up: calls whose usage was told, and how many requests there were beside them.

    `web_searches` is how many the told calls made outside a session. `in_session` says that they ran in a managed
    session, `totals` what that counted itself, None where it isn't known.
    """

    told: tuple[Call, ...]
    unreported: int
    web_searches: int
    in_session: bool
    totals: SessionTotals | None
    prices: PriceTable
    on: dt.date

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls, their cache writes split by TTL.

        The platform's spans don't tell the split; where its session total shows no 1h writes, all were for 5m.
        """
        if self.totals is None or self.totals.usage.cache_creation_1h_input_tokens != 0:
            return self.told
        return tuple(self._for_5m(call) for call in self.told)

    @property
    def usage(self) -> Usage:
        """The sum over the calls; a class that one of them left unknown is unknown."""
        if self.unreported and not self.told:
            return Usage()
        return sum((call.usage for call in self.calls), ZERO_USAGE)

    @property
    def quality(self) -> UsageQuality:
        """How far the usage can be trusted."""
        if self.unreported:
            return UsageQuality.PARTIAL if self.told else UsageQuality.MISSING
        if self.in_session and self.totals is None:
            return UsageQuality.PARTIAL
        if any(call.usage.prompt_tokens is None or call.usage.output_tokens is None for call in self.told):
            return UsageQuality.PARTIAL
        if self.totals is None:
            # Without its split by TTL what was written to the cache has no price.
            return UsageQuality.PARTIAL if any(map(_lacks_split, self.told)) else UsageQuality.REPORTED
        usage, total = self.usage, self.totals.usage
        if any(getattr(usage, name) != getattr(total, name) for name in _RECONCILED):
            return UsageQuality.PARTIAL
        inferred = total.cache_creation_1h_input_tokens == 0
        return UsageQuality.SPLIT_INFERRED if inferred else UsageQuality.REPORTED

    @property
    def runtime_cost_nanousd(self) -> int | None:
        """The price of the session's running time; 0 without a session, None where it isn't known."""
        if not self.in_session:
            return 0
        if self.totals is None or self.totals.active_ms is None:
            return None
        return self.prices.runtime_cost_nanousd(self.totals.active_ms)

    @property
    def tool_cost_nanousd(self) -> int | None:
        """The price of the tools that the provider ran and bills; None where it isn't known."""
        searches: int | None = self.web_searches
        if self.in_session:
            searches = None if self.totals is None else self.totals.web_searches
        return None if searches is None else self.prices.search_cost_nanousd(searches)

    @property
    def cost_nanousd(self) -> int | None:
        """The cost of the calls, the running time and the tools; None where any is unknown or the session disagrees."""
        runtime, tools = self.runtime_cost_nanousd, self.tool_cost_nanousd
        if runtime is None or tools is None or self.quality in {UsageQuality.PARTIAL, UsageQuality.MISSING}:
            return None
        total = runtime + tools
        for call in self.calls:
            if call.cost_nanousd is None:
                return None
            total += call.cost_nanousd
        return total

    def _for_5m(self, call: Call) -> Call:
        usage = written_for_5m(call.usage)
        return replace(call, usage=usage, cost_nanousd=self.prices.cost_nanousd(call.model, usage, self.on))


def _lacks_split(call: Call) -> bool:
    return bool(call.usage.cache_creation_input_tokens) and call.usage.cache_creation_5m_input_tokens is None


def written_for_5m(usage: Usage) -> Usage:
    """The usage with all of its cache writes taken to be for 5m, which is what the platform does by default."""
    return replace(
        usage,
        cache_creation_5m_input_tokens=usage.cache_creation_input_tokens,
        cache_creation_1h_input_tokens=0,
    )
