"""What failed, seen twice: what users felt, and who can do something about it.

Two statements: how often each tenant met each kind of ending, and how long the endings took. The raw share of errors is
no figure here: what somebody wished and what hasn't ended is left out, counted, and named.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import sqlalchemy as sa

from dispatcher.action.failure import EngineeringView, FailureViews, ProductView, failure_views
from dispatcher.action.observation import EndedBy, ErrorStage, ErrorType, Status
from dispatcher.audit.record import Role
from dispatcher.audit.tables import logs
from dispatcher.telemetry.distribution import Selection, Times
from dispatcher.telemetry.histogram import Histogram


class LeftOut(StrEnum):
    """Why attempts are in no share of failures; the value is for people to read."""

    PENDING = "not ended yet"
    USER_ACTION = "stopped by a user on purpose: no failure, so in neither part of the engineering share"
    SUPERSEDED = "followed by a fallback, which alone counts in the product view"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of ending, in the log's own words; None where the log has none.

    `superseded` says that a fallback followed in the same dispatch.
    """

    status: str
    ended_by: str | None
    error_type: str | None
    error_stage: str | None
    superseded: bool

    @property
    def views(self) -> FailureViews:
        """Both views; a word outside the vocabulary, such as an imported one, says nothing and isn't guessed at."""
        return failure_views(
            Status(self.status),
            _known(EndedBy, self.ended_by),
            _known(ErrorType, self.error_type),
            _known(ErrorStage, self.error_stage),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """`n` attempts of `tenants` different tenants."""

    n: int
    tenants: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """How long attempts took: `times` of the `n` that have one (None where n is 0), and `unmeasured` without."""

    n: int
    unmeasured: int
    times: Times | None


@dataclass(frozen=True, slots=True)
class FailureReport:
    """All endings of a selection, counted by kind; every figure is a sum over these counts.

    `answered` and `failed` are the times of the answers and of the failures, never of both together.
    """

    counts: dict[Kind, Counter[str]] = field(repr=False)
    answered: Timed
    failed: Timed
    time_scales: tuple[float, ...]

    @property
    def failures(self) -> tuple[tuple[Kind, Count], ...]:
        """The kinds of failures: first what reaches most tenants, then what happens most."""
        found = ((kind, self._count([kind])) for kind in self.counts if kind.views.is_failure)
        return tuple(sorted(found, key=lambda one: (-one[1].tenants, -one[1].n, _words(one[0]))))

    def by_product(self) -> dict[ProductView, Count]:
        """What users felt, of the last attempt of every dispatch; views without any are left out."""
        last = [kind for kind in self.counts if not kind.superseded]
        kinds = {view: [kind for kind in last if kind.views.product is view] for view in ProductView}
        return {view: self._count(found) for view, found in kinds.items() if found}

    def by_engineering(self) -> dict[EngineeringView, Count]:
        """Who can do something, of all attempts; views without any are left out."""
        kinds = {view: [kind for kind in self.counts if kind.views.engineering is view] for view in EngineeringView}
        return {view: self._count(found) for view, found in kinds.items() if found}

    @property
    def failure_share(self) -> float | None:
        """Failures among the attempts that ended and that nobody stopped on purpose; None where there are none."""
        failed = sum(self._n(kind) for kind in self.counts if kind.views.is_failure)
        ended = failed + sum(self._n(kind) for kind in self.counts if kind.status == Status.SUCCESS)
        return failed / ended if ended else None

    @property
    def unclassified_share(self) -> float | None:
        """Failures that the taxonomy has no name for, among all failures; None where there are none."""
        failed = [kind for kind in self.counts if kind.views.is_failure]
        unnamed = [kind for kind in failed if kind.views.engineering is EngineeringView.UNCLASSIFIED]
        total = sum(map(self._n, failed))
        return sum(map(self._n, unnamed)) / total if total else None

    @property
    def left_out(self) -> dict[LeftOut, int]:
        """How many attempts are in no share, or in one view only, by the reason."""
        found: Counter[LeftOut] = Counter()
        for kind in self.counts:
            if kind.views.product is ProductView.PENDING:
                found[LeftOut.PENDING] += self._n(kind)
            if kind.views.engineering is EngineeringView.USER_ACTION:
                found[LeftOut.USER_ACTION] += self._n(kind)
            if kind.superseded:
                found[LeftOut.SUPERSEDED] += self._n(kind)
        return {reason: found[reason] for reason in LeftOut if found[reason]}

    def _n(self, kind: Kind) -> int:
        return self.counts[kind].total()

    def _count(self, kinds: Sequence[Kind]) -> Count:
        tenants = {tenant for kind in kinds for tenant in self.counts[kind]}
        return Count(n=sum(map(self._n, kinds)), tenants=len(tenants))


def failures(connection: sa.Connection, selection: Selection) -> FailureReport:
    """The endings of the selected rows."""
    counts: dict[Kind, Counter[str]] = defaultdict(Counter)
    for row in connection.execute(counts_statement(selection)):
        kind = Kind(
            status=row.status,
            ended_by=row.ended_by,
            error_type=row.error_type,
            error_stage=row.error_stage,
            superseded=bool(row.superseded),
        )
        counts[kind][row.tenant] += row.n
    answered, failed, scales = _times(connection.execute(times_statement(selection)))
    return FailureReport(dict(counts), answered, failed, scales)


def counts_statement(selection: Selection) -> sa.Select[Any]:
    """How often each tenant met each kind of ending; `superseded` is 1 for an attempt that a fallback followed."""
    later = logs.alias("later")
    # A fallback begins after the attempt that it replaces, so the window's beginning bounds it and its end doesn't.
    begun = [] if selection.since is None else [later.c.created_at >= selection.since]
    replaced = (
        sa.select(later.c.dispatch_id)
        .distinct()
        .where(
            later.c.feature == selection.feature,
            later.c.origin == selection.origin.value,
            later.c.role == Role.FALLBACK.value,
            *begun,
        )
        .subquery("replaced")
    )
    by_fallback = sa.and_(logs.c.role == Role.SERVED.value, logs.c.dispatch_id == replaced.c.dispatch_id)
    superseded = sa.case((replaced.c.dispatch_id.is_(None), sa.literal_column("0")), else_=sa.literal_column("1"))
    keys = (logs.c.status, logs.c.ended_by, logs.c.error_type, logs.c.error_stage, logs.c.tenant)
    return (
        sa.select(*keys, superseded.label("superseded"), sa.func.count().label("n"))
        .select_from(logs.outerjoin(replaced, by_fallback))
        .where(*_selected(selection))
        .group_by(*keys, superseded)
    )


def times_statement(selection: Selection) -> sa.Select[Any]:
    """How often each status and type of error has each wall time."""
    keys = (logs.c.status, logs.c.error_type, logs.c.time_scale, logs.c.response_time_ms)
    return sa.select(*keys, sa.func.count().label("n")).where(*_selected(selection)).group_by(*keys)


def _selected(selection: Selection) -> list[sa.ColumnElement[bool]]:
    conditions = [
        logs.c.feature == selection.feature,
        logs.c.origin == selection.origin.value,
        logs.c.role != Role.SHADOW.value,
    ]
    if selection.since is not None:
        conditions.append(logs.c.created_at >= selection.since)
    if selection.until is not None:
        conditions.append(logs.c.created_at < selection.until)
    return conditions


def _times(found: Iterable[Any]) -> tuple[Timed, Timed, tuple[float, ...]]:
    answered: Counter[int | None] = Counter()
    failed: Counter[int | None] = Counter()
    scales = set()
    for status, error_type, time_scale, value, n in found:
        scales.add(time_scale)
        views = failure_views(Status(status), None, _known(ErrorType, error_type), None)
        if status == Status.SUCCESS:
            answered[value] += n
        elif views.is_failure:
            failed[value] += n
    return _timed(answered), _timed(failed), tuple(sorted(scales))


def _timed(counts: Counter[int | None]) -> Timed:
    histogram = Histogram({value: n for value, n in counts.items() if value is not None})
    return Timed(n=histogram.n, unmeasured=counts[None], times=Times.of(histogram) if histogram.n else None)


_Word = TypeVar("_Word", bound=StrEnum)


def _known(words: type[_Word], text: str | None) -> _Word | None:
    return next((word for word in words if word.value == text), None)


def _words(kind: Kind) -> tuple[str, ...]:
    return kind.status, kind.error_type or "", kind.error_stage or "", kind.ended_by or ""
