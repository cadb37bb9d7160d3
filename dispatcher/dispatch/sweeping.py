"""Giving up the rows whose processes are gone, after reading what their sessions did."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from dispatcher.action.decision import PathName
from dispatcher.action.observation import Call
from dispatcher.audit.owner import Life
from dispatcher.audit.record import Origin
from dispatcher.audit.sweeper import Sweeper
from dispatcher.audit.swept import CountedBefore, OpenRow, SweptEnding, is_ripe
from dispatcher.dispatch.blocking import Blocking
from dispatcher.dispatch.rows import swept_ending_of
from dispatcher.dispatch.sweep_report import GivenUp, Left, RowsReport, Unread
from dispatcher.paths.managed.salvage import LeftSession, Salvage, Unsalvageable
from dispatcher.paths.managed.session import Failed
from dispatcher.paths.sums import SessionTotals
from dispatcher.prices import PriceTable

logger = logging.getLogger(__name__)

_AT_ONCE = 8
_CLOCKS_DIFFER = dt.timedelta(hours=1)


class Sessions(Protocol):
    """What a sweep asks of the managed path. Both raise Failed where the provider can't be asked."""

    async def sessions_of(self, log_ids: Sequence[str], since: dt.datetime) -> Mapping[str, str]:
        """The sessions that were created since then for these rows, by `log_id`."""
        ...

    async def salvage(self, left: LeftSession, prices: PriceTable) -> Salvage | Unsalvageable:
        """Stop, archive and read a session."""
        ...

    async def read_at_rest(self, left: LeftSession, prices: PriceTable) -> Salvage | Unsalvageable:
        """Read a session in which nothing runs any more, and leave it as it is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Whose sessions can be read: those of one origin."""

    sessions: Sessions
    origin: Origin


class RowSweep:
    """Gives up the overdue rows of one log.

    `life_of` tells whether an owner lives, and `waits_for` of which rows something is in this host's spool: an owner
    that is gone may have ended them. What can't be seen, an owner or a session, is waited for until the row has been
    overdue for `patience`. Without a `provider` no session is read.
    """

    def __init__(
        self,
        sweeper: Sweeper,
        life_of: Callable[[str | None], Life],
        waits_for: Callable[[Sequence[str]], Set[str]],
        provider: Provider | None,
        prices: PriceTable,
        patience: dt.timedelta,
    ) -> None:
        self._sweeper = sweeper
        self._life_of = life_of
        self._waits_for = waits_for
        self._provider = provider
        self._prices = prices
        self._patience = patience
        self._blocking = Blocking("audit-sweep")
        self._given_up: list[GivenUp] = []
        self._left: Counter[str] = Counter()

    async def run(
        self, *, dry_run: bool = False, on_progress: Callable[[float], None] = lambda _done: None
    ) -> RowsReport:
        """Sweep once, and give the sweeper's connection back; `on_progress` is told how much is done, from 0 to 1.

        Raises LogUnavailable; what was done until then stays. It can't be run again.
        """
        try:
            await self._run(on_progress, dry_run=dry_run)
        finally:
            # What hangs is left to itself, with its connection.
            if self._blocking.shutdown():
                self._sweeper.release()
        if self._given_up and not dry_run:
            logger.warning("%d rows were given up for lost: nobody ends them any more", len(self._given_up))
        return RowsReport(given_up=tuple(self._given_up), left=dict(sorted(self._left.items())))

    async def _run(self, on_progress: Callable[[float], None], *, dry_run: bool) -> None:
        total, seen = await self._blocking.done(self._sweeper.count), 0
        pages = self._sweeper.overdue()
        while (page := await self._blocking.done(next, pages, None)) is not None:
            ripe = await self._blocking.done(self._ripe, page)
            if dry_run:
                self._given_up += [_given_up(row, life) for row, life in ripe]
            else:
                await self._sweep(ripe)
            seen += len(page)
            on_progress(min(1.0, seen / max(total, 1)))

    def _ripe(self, page: Sequence[OpenRow]) -> list[tuple[OpenRow, Life]]:
        lives = {owner: self._life_of(owner) for owner in {row.owner for row in page}}
        spooled = self._waits_for([row.log_id for row in page])
        ripe = []
        for row in page:
            life = lives[row.owner]
            if row.log_id in spooled and row.overdue < self._patience:
                self._left[Left.ENDING_WAITS] += 1
            elif is_ripe(row, life, self._patience):
                ripe.append((row, life))
            else:
                self._left[Left.OWNER_ALIVE if life is Life.ALIVE else Left.OWNER_UNSEEN] += 1
        return ripe

    async def _sweep(self, ripe: Sequence[tuple[OpenRow, Life]]) -> None:
        found = await self._sessions([row for row, _ in ripe])
        enough = asyncio.Semaphore(_AT_ONCE)

        async def give_up(row: OpenRow, life: Life) -> None:
            async with enough:
                what = await self._learned(row, found)
                if isinstance(what, Left):
                    self._left[what] += 1
                    return
                ending, made = what
                if not await self._blocking.done(self._sweeper.lose, row.log_id, ending, made):
                    self._left[Left.ENDED_MEANWHILE] += 1
                    return
                logger.info("row %s was given up for lost: it should have ended %s ago", row.log_id, row.overdue)
                self._given_up.append(_given_up(row, life, ending))

        done = await asyncio.gather(*(give_up(row, life) for row, life in ripe), return_exceptions=True)
        for failure in done:
            if failure is not None:
                raise failure

    async def _sessions(self, rows: Sequence[OpenRow]) -> Mapping[str, str] | None:
        """The rows' sessions by `log_id`, also those that a row wasn't told any more; None where that can't be said."""
        known = {row.log_id: row.session_id for row in rows if row.session_id is not None}
        untold = [row for row in rows if row.session_id is None and self._is_readable(row)]
        if not untold or self._provider is None:
            return known
        since = min(row.created_at for row in untold) - _CLOCKS_DIFFER
        try:
            return known | dict(await self._provider.sessions.sessions_of([row.log_id for row in untold], since))
        except Failed as failed:
            logger.warning("the provider's sessions can't be listed: %s", failed.failure.message)
            return None

    async def _learned(
        self, row: OpenRow, found: Mapping[str, str] | None
    ) -> tuple[SweptEnding, Sequence[Call]] | Left:
        """What can still be told of a row; that it is left for now where that may change within the patience."""
        if row.path != PathName.MANAGED:
            return SweptEnding(usage_unavailable_reason=Unread.OWNER_GONE), ()
        if not self._is_readable(row):
            why: StrEnum = Unread.NO_PROVIDER if self._provider is None else Unread.OTHER_ORIGIN
        elif found is None and row.session_id is None:
            why = Unread.PROVIDER_UNAVAILABLE
        else:
            session_id = row.session_id or (found or {}).get(row.log_id)
            salvaged = Unsalvageable.NO_SESSION if session_id is None else await self._salvaged(row, session_id)
            if isinstance(salvaged, Salvage):
                ending = swept_ending_of(salvaged.seen, salvaged.stop_reason, self._prices.version)
                return ending, salvaged.seen.calls
            why = salvaged
        if why in _MAY_CHANGE and row.overdue < self._patience:
            return Left.SESSION_UNREAD
        return SweptEnding(usage_unavailable_reason=why, session_id=(found or {}).get(row.log_id)), ()

    async def _salvaged(self, row: OpenRow, session_id: str) -> Salvage | StrEnum:
        assert self._provider is not None
        before = await self._blocking.done(self._sweeper.counted_before, row, session_id)
        left = LeftSession(
            session_id=session_id,
            log_id=row.log_id,
            model=row.model,
            on=row.created_at.date(),
            before=totals_of(before),
        )
        try:
            return await self._provider.sessions.salvage(left, self._prices)
        except Failed as failed:
            logger.warning("session %s of row %s can't be read: %s", session_id, row.log_id, failed.failure.message)
            return Unread.PROVIDER_UNAVAILABLE

    def _is_readable(self, row: OpenRow) -> bool:
        is_ours = self._provider is not None and row.origin is self._provider.origin
        return is_ours and row.path == PathName.MANAGED


def totals_of(before: CountedBefore | None) -> SessionTotals | None:
    """What rows have of a session's count, as the path has it."""
    if before is None:
        return None
    return SessionTotals(usage=before.usage, active_ms=before.active_ms, list_cost_nanousd=before.list_cost_nanousd)


_MAY_CHANGE = frozenset(
    {Unread.NO_PROVIDER, Unread.OTHER_ORIGIN, Unread.PROVIDER_UNAVAILABLE, Unsalvageable.STILL_RUNS}
)


def _given_up(row: OpenRow, life: Life, ending: SweptEnding | None = None) -> GivenUp:
    told = ending or SweptEnding()
    return GivenUp(
        log_id=row.log_id,
        tenant=row.tenant,
        path=row.path,
        variant=row.variant,
        owner=row.owner,
        life=life,
        overdue_s=int(row.overdue.total_seconds()),
        session_id=told.session_id or row.session_id,
        usage_quality=None if ending is None else told.usage_quality,
        cost_nanousd=told.cost_nanousd,
        usage_unavailable_reason=told.usage_unavailable_reason,
    )
