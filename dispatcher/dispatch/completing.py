"""Costs that rows lack because their sessions still ran when they ended: read once those are at rest, and appended."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from dispatcher.action.observation import UsageQuality
from dispatcher.audit.late_costs import LateCosts
from dispatcher.audit.swept import CostlessRow
from dispatcher.dispatch.blocking import Blocking
from dispatcher.dispatch.sweep_report import Completed, CostsReport, Uncosted, Unread
from dispatcher.dispatch.sweeping import Provider, totals_of
from dispatcher.paths.managed.salvage import LeftSession, Unsalvageable
from dispatcher.paths.managed.session import Failed
from dispatcher.prices import PriceTable

logger = logging.getLogger(__name__)

_AT_ONCE = 8
_FOR_GOOD = frozenset({Unsalvageable.GONE, Uncosted.USAGE_INCOMPLETE, Uncosted.NO_PRICE})


class Completion:
    """Completes the costs of one log's rows, of the provider's origin; no session is stopped for it.

    `told_all` are the rows whose sessions have no more to tell than they did: they aren't asked again, and it grows.
    """

    def __init__(self, late: LateCosts, provider: Provider, prices: PriceTable, told_all: set[str]) -> None:
        self._late = late
        self._provider = provider
        self._prices = prices
        self._told_all = told_all
        self._blocking = Blocking("audit-costs")
        self._completed: list[Completed] = []
        self._left: Counter[str] = Counter()

    async def run(self, *, dry_run: bool = False) -> CostsReport:
        """Look at every such row once, and give the connection back; a dry run appends nothing.

        Raises LogUnavailable; what was done until then stays. It can't be run again.
        """
        try:
            pages = self._late.rows(self._provider.origin)
            while (page := await self._blocking.done(next, pages, None)) is not None:
                await self._complete([row for row in page if row.log_id not in self._told_all], dry_run=dry_run)
        finally:
            # What hangs is left to itself, with its connection.
            if self._blocking.shutdown():
                self._late.release()
        if self._completed and not dry_run:
            logger.info("%d rows got the cost that they lacked from their sessions", len(self._completed))
        return CostsReport(completed=tuple(self._completed), left=dict(sorted(self._left.items())))

    async def _complete(self, page: Sequence[CostlessRow], *, dry_run: bool) -> None:
        enough = asyncio.Semaphore(_AT_ONCE)

        async def complete(row: CostlessRow) -> None:
            async with enough:
                learned = await self._learned(row)
                if isinstance(learned, StrEnum):
                    self._left[learned] += 1
                    if learned in _FOR_GOOD:
                        self._told_all.add(row.log_id)
                    return
                cost, list_cost = learned
                if not dry_run and not await self._blocking.done(
                    self._late.append, row, cost, self._prices.version, list_cost
                ):
                    self._left[Uncosted.COMPLETED_MEANWHILE] += 1
                    return
                self._completed.append(
                    Completed(log_id=row.log_id, tenant=row.tenant, session_id=row.session_id, cost_nanousd=cost)
                )

        done = await asyncio.gather(*(complete(row) for row in page), return_exceptions=True)
        for failure in done:
            if failure is not None:
                raise failure

    async def _learned(self, row: CostlessRow) -> tuple[int, int | None] | StrEnum:
        """The row's cost, and the platform's own figure for it; or why there is none."""
        before = await self._blocking.done(self._late.counted_beside, row)
        if before is None:
            return Unsalvageable.EARLIER_TURNS_UNKNOWN
        left = LeftSession(
            session_id=row.session_id,
            log_id=row.log_id,
            model=row.model,
            on=row.created_at.date(),
            before=totals_of(before),
            turns=await self._blocking.done(self._late.turns, row),
        )
        try:
            told = await self._provider.sessions.read_at_rest(left, self._prices)
        except Failed as failed:
            logger.warning("session %s of row %s can't be read: %s", row.session_id, row.log_id, failed.failure.message)
            return Unread.PROVIDER_UNAVAILABLE
        if isinstance(told, Unsalvageable):
            return told
        seen = told.seen
        if seen.cost_nanousd is not None:
            return seen.cost_nanousd, seen.totals.list_cost_nanousd if seen.totals else None
        is_whole = seen.usage_quality in {UsageQuality.REPORTED, UsageQuality.SPLIT_INFERRED}
        return Uncosted.NO_PRICE if is_whole else Uncosted.USAGE_INCOMPLETE
