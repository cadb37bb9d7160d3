"""Measuring a baseline where its rows are, once, so that it can be read again without them. Pure but for its callers.

What a source gives is a histogram; what is made of it is the figure, its order statistics, and the traps that a figure
like it falls into, each by name.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from dispatcher.adr.baseline import Baseline, Ranks
from dispatcher.adr.criterion import Criterion
from dispatcher.adr.document import Record
from dispatcher.adr.ranks import PinnedRanks
from dispatcher.document.notation import plain
from dispatcher.errors import InvalidRecord
from dispatcher.verdict.pinning.sources import UNITS, Source
from dispatcher.verdict.pinning.traps import Missing, Trap, traps_of

NANO = 10**9
_MOST = 10**15
"""Whole units from which a value is none that anybody waited for or paid."""
_SUCCESS = "success"
_PUBLISHED = (
    "its baseline is published: the figure is quoted, its rows aren't ours, and a query of ours would measure "
    "something else; it stays a contract and is never run again"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRows:
    """What a source has of one measure in a window: rows by status and value, a value of None where there is none.

    Values are as the table has them. `sql` is the statement with its parameters written out.
    """

    counts: Mapping[tuple[str, Decimal | None], int]
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A measured baseline: the figure in the measure's unit, and everything it can be checked by."""

    record: str
    criterion: Criterion
    source: str
    authorised_by: str
    tenant: str | None
    value: Decimal
    ranks: PinnedRanks
    unknown: int
    sql: str
    traps: tuple[Trap, ...]
    pinned_at: dt.datetime

    @property
    def n(self) -> int:
        """The rows that the figure was read from."""
        return self.ranks.n

    @property
    def ranks_file(self) -> str:
        """The name of the file with the order statistics."""
        return f"{self.record}-{self.criterion.id}.ranks.csv"

    @property
    def ranks_reference(self) -> Ranks:
        """What the record states of that file."""
        return Ranks(file=self.ranks_file, sha256=self.ranks.sha256)

    @property
    def sql_sha256(self) -> str:
        """The hash of the statement."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def pinnable(record: Record, criterion: Criterion, sources: Mapping[str, Source]) -> tuple[Baseline, Source]:
    """The baseline and source of a criterion that is to be pinned. Raises InvalidRecord where it can't be."""
    problems = _refusals(record, criterion, sources)
    baseline = criterion.baseline
    if problems or baseline is None or baseline.from_ is None:
        raise InvalidRecord(record.id, [f"{criterion.id}: {problem}" for problem in problems])
    return baseline, sources[baseline.from_]


def _refusals(record: Record, criterion: Criterion, sources: Mapping[str, Source]) -> list[str]:
    baseline = criterion.baseline
    if baseline is not None and baseline.published:
        return [_PUBLISHED]
    if baseline is None or baseline.from_ is None or baseline.where is None or baseline.window is None:
        return ["its baseline names no source to measure it from: state from, where and window"]
    source = sources.get(baseline.from_)
    if source is None:
        known = ", ".join(sorted(sources)) or "none"
        return [f"the source {baseline.from_} isn't in policies/sources.yml, which has {known}"]
    problems = []
    where = baseline.where
    if source.columns.of_measure(criterion.measure) is None:
        problems.append(f"the source {baseline.from_} maps no column to {criterion.measure}")
    if source.tenant is not None and where.tenant not in {None, source.tenant}:
        problems.append(f"the source {baseline.from_} holds the rows of {source.tenant}, not of {where.tenant}")
    if source.feature is not None and where.feature != source.feature:
        problems.append(f"the source {baseline.from_} holds the rows of {source.feature}, not of {where.feature}")
    if where.status is not None and source.columns.status is None:
        problems.append(f"the source {baseline.from_} maps no column to status")
    if source.tenant is None and where.tenant is None and len(record.acceptance.tenants if record.acceptance else ()):
        problems.append("where names no tenant, and the source holds those of several: a figure is one tenant's")
    return problems


def pin_of(record: Record, criterion: Criterion, source: Source, rows: SourceRows, now: dt.datetime) -> Pin:
    """The pin that a source's rows make. Raises InvalidRecord where there is no figure in them."""
    baseline = criterion.baseline
    assert baseline is not None
    assert baseline.from_ is not None
    column = source.columns.of_measure(criterion.measure)
    assert column is not None
    histogram = _Histogram(rows, criterion, source)
    if histogram.zeros and column.zero_is_unknown is None and criterion.measure.is_money:
        told = (
            f"{criterion.id}: zero_cost: {histogram.zeros} rows cost 0, which may mean that the cost isn't known; "
            f"say in policies/sources.yml whether it does: zero_is_unknown of {criterion.measure}, true or false"
        )
        raise InvalidRecord(record.id, [told])
    if histogram.impossible:
        told = f"{histogram.impossible} rows hold a value below 0, or of {_MOST} and more: look at the source's unit"
        raise InvalidRecord(record.id, [f"{criterion.id}: {told}"])
    status = baseline.where.status if baseline.where is not None else None
    ranks, unknown = histogram.chosen(status)
    value = _figure(record, criterion, ranks)
    missing = Missing(unknown, histogram.zeros)
    traps = traps_of(criterion, ranks, histogram.all_rows(), histogram.failed(), missing)
    return Pin(
        record=record.id,
        criterion=criterion,
        source=baseline.from_,
        authorised_by=source.authorised_by,
        tenant=source.tenant or (baseline.where.tenant if baseline.where else None),
        value=value,
        ranks=ranks,
        unknown=unknown,
        sql=rows.sql,
        traps=(*traps, *_dependent(baseline, source)),
        pinned_at=now,
    )


def _dependent(baseline: Baseline, source: Source) -> Iterator[Trap]:
    """Of a sample each row is taken for independent, which those of one conversation aren't."""
    if baseline.treat_as == "sample" and source.columns.conversation_id is None:
        yield Trap(
            "conversations_unknown",
            "the source maps no column to conversation_id, so several rows of one conversation count as if they were "
            "independent, and the sample looks surer than it is",
        )


class _Histogram:
    """The rows of a source in whole units of ours."""

    def __init__(self, rows: SourceRows, criterion: Criterion, source: Source) -> None:
        column = source.columns.of_measure(criterion.measure)
        assert column is not None
        factor = UNITS[criterion.measure.unit][column.unit]
        self._success = frozenset(source.success)
        self._counts: dict[tuple[str, int | None], int] = {}
        self.zeros = self.impossible = 0
        for (status, value), count in rows.counts.items():
            if value is not None and not 0 <= value * factor < _MOST:
                self.impossible += count
                continue
            whole = None if value is None else int((value * factor).to_integral_value(ROUND_HALF_UP))
            if whole == 0:
                self.zeros += count
                whole = None if column.zero_is_unknown else whole
            key = (status, whole)
            self._counts[key] = self._counts.get(key, 0) + count

    def chosen(self, status: str | None) -> tuple[PinnedRanks, int]:
        """The rows that the baseline speaks of, and how many of them have no known value.

        Without a filter every row is one, and what didn't end well has no value but failed.
        """
        if status is None:
            return self.all_rows(), self._unknown(self._success)
        wanted = self._success if status == _SUCCESS else frozenset({status})
        return PinnedRanks(histogram=self._of(wanted)), self._unknown(wanted)

    def all_rows(self) -> PinnedRanks:
        """Successes by their value, and how many rows were none."""
        failures = sum(count for (status, _), count in self._counts.items() if status not in self._success)
        return PinnedRanks(histogram=self._of(self._success), failures=failures)

    def failed(self) -> PinnedRanks:
        """What didn't end well, by the value it has all the same."""
        return PinnedRanks(histogram=self._of(frozenset(status for status, _ in self._counts) - self._success))

    def _of(self, statuses: frozenset[str]) -> dict[int, int]:
        found: dict[int, int] = {}
        for (status, value), count in self._counts.items():
            if status in statuses and value is not None:
                found[value] = found.get(value, 0) + count
        return found

    def _unknown(self, statuses: frozenset[str]) -> int:
        return sum(count for (status, value), count in self._counts.items() if status in statuses and value is None)


def _figure(record: Record, criterion: Criterion, ranks: PinnedRanks) -> Decimal:
    known = ranks.n - ranks.failures
    if known == 0:
        raise InvalidRecord(record.id, [f"{criterion.id}: the source has no row of known value in the window"])
    if criterion.quantile is None:
        total = sum(value * rows for value, rows in ranks.histogram.items())
        mean = Fraction(total, known) / (NANO if criterion.measure.is_money else 1)
        found: Decimal | None = (Decimal(mean.numerator) / Decimal(mean.denominator)).quantize(Decimal("1e-9"))
    else:
        at_rank = ranks.at_rank(math.ceil(criterion.quantile * ranks.n))
        found = None if at_rank is None else Decimal(at_rank) / (NANO if criterion.measure.is_money else 1)
    if found is None:
        raise InvalidRecord(record.id, [f"{criterion.id}: its {criterion.aggregate} is a failure, which has no value"])
    if found <= 0:
        raise InvalidRecord(record.id, [f"{criterion.id}: the figure is 0, and a multiple of 0 is no limit"])
    return Decimal(plain(found))
