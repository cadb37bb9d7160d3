"""Where attempts are accepted: in the database, or in the spool where that refuses or hangs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from enum import Enum, auto
from typing import TypeVar

from dispatcher.audit.asking import Asking, NotNow
from dispatcher.audit.doubts import Doubts, RowInDoubt
from dispatcher.audit.record import AttemptOpening
from dispatcher.audit.settling import Settling
from dispatcher.audit.spool_entry import why_it_cannot_wait
from dispatcher.audit.spooling import Spooling
from dispatcher.audit.units import Unit
from dispatcher.errors import LogUnavailable

T = TypeVar("T")

_FAILURE = "the audit log can't take the row, so nothing was sent to the provider"
_LEAST_S = 0.05
"""How long the database is waited for where no time is left: long enough for one that is well."""


class _Accepted(Enum):
    """Where an attempt's row is durable since it was accepted; of a gap, that there is no row is."""

    DATABASE = auto()
    SPOOL = auto()
    GAP = auto()


class Acceptance:
    """Knows where the row of each attempt under way is, and tells it there what it is told.

    All raise LogUnavailable where neither place takes it. A row that the database may have taken although the attempt
    is refused is in doubt then.
    """

    def __init__(self, asking: Asking, spooling: Spooling | None, doubts: Doubts, answer_s: float | None) -> None:
        self._asking = asking
        self._answer_s = answer_s
        self._spooling = spooling
        self._doubts = doubts
        self._accepted: dict[str, _Accepted] = {}

    async def open(
        self,
        opening: AttemptOpening,
        in_database: Unit[None],
        waiting: Settling,
        *,
        fail_open: bool,
        within_s: float | None,
    ) -> None:
        """Accept an attempt, whose caller waits so many seconds; raises whatever else the unit raises."""
        alone = why_it_cannot_wait(opening)
        spooling = None if alone is not None else self._spooling
        bound_s = self._answer_s if spooling is None else spooling.patience_s
        left_s = None if within_s is None else max(within_s, _LEAST_S)
        patience_s = min((bound for bound in (bound_s, left_s) if bound is not None), default=None)
        try:
            await self._asking.ask(_FAILURE, in_database, waiting, patience_s)
        except NotNow as refused:
            if spooling is None:
                why = "" if self._spooling is None else f"; {alone}"
                raise self._refusal(opening, refused, f"{refused}{why}") from None
            accepted = await self._elsewhere(spooling, opening, refused, waiting, fail_open=fail_open)
        else:
            accepted = _Accepted.DATABASE
        self._accepted[opening.log_id] = accepted

    async def tell(
        self,
        failure: str,
        log_id: str,
        in_database: Unit[bool],
        in_spool: Callable[[Spooling], Future[None]],
        waiting: Settling,
    ) -> bool:
        """Tell an attempt something, where its row is; False where the database has no row that can be told it."""
        accepted, spooling = self._accepted.get(log_id), self._spooling
        if spooling is None or accepted is None:
            # Whether there is such a row at all, only the database can say.
            patience_s = self._answer_s if spooling is None else spooling.patience_s
            return await self._asking.ask(failure, in_database, waiting, patience_s)
        if accepted is _Accepted.GAP:
            # The statement that it didn't answer may have become a row after all.
            with contextlib.suppress(LogUnavailable):
                await self._asking.ask(failure, in_database, waiting, spooling.patience_s)
            return True
        refused = LogUnavailable(failure)
        if accepted is _Accepted.DATABASE:
            try:
                return await self._asking.ask(failure, in_database, waiting, spooling.patience_s)
            except LogUnavailable as error:
                refused = error
        try:
            await self._spool(spooling, refused, lambda: in_spool(spooling), waiting)
        except LogUnavailable:
            if not isinstance(refused, NotNow) or refused.statement is None:
                raise
            told: bool = await self._asking.answer(failure, refused.statement, waiting)
            return told
        self._accepted[log_id] = _Accepted.SPOOL
        return True

    def forget(self, log_id: str) -> None:
        """The attempt has ended."""
        self._accepted.pop(log_id, None)

    async def _elsewhere(
        self, spooling: Spooling, opening: AttemptOpening, refused: NotNow, waiting: Settling, *, fail_open: bool
    ) -> _Accepted:
        try:
            await self._spool(spooling, refused, lambda: spooling.open(opening), waiting)
        except LogUnavailable as neither:
            if fail_open:
                why = str(neither)
                await self._spool(spooling, neither, lambda: spooling.note_gap(opening, why), waiting)
                return _Accepted.GAP
            # What may still become a row isn't refused.
            if refused.statement is None:
                raise self._refusal(opening, refused, str(neither)) from None
            try:
                await self._asking.answer(_FAILURE, refused.statement, waiting)
            except NotNow as at_last:
                raise self._refusal(opening, at_last, str(at_last)) from None
            return _Accepted.DATABASE
        return _Accepted.SPOOL

    def _refusal(self, opening: AttemptOpening, refused: NotNow, text: str) -> LogUnavailable:
        if not refused.in_doubt:
            return LogUnavailable(text)
        self._doubts.add(opening.log_id, refused.statement)
        return RowInDoubt(f"{text}; if it has taken the row after all, that is ended when it answers")

    async def _spool(
        self, spooling: Spooling, refused: LogUnavailable, take: Callable[[], Future[None]], waiting: Settling
    ) -> None:
        """Have the spool take what the database refused. Raises LogUnavailable with both reasons."""
        try:
            await waiting.result(asyncio.wrap_future(take()))
        except LogUnavailable as error:
            raise LogUnavailable(f"{refused}; {error}") from None
        if isinstance(refused, NotNow):
            spooling.database_refuses(str(refused))
