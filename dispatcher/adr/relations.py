"""What records say about each other: who takes whose place, and whose figures still count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from dispatcher.adr.criterion import Measure
from dispatcher.adr.document import Record, Status
from dispatcher.document.notation import plain
from dispatcher.document.tree import Problem


def supersession_problems(record: Record, others: Mapping[str, Record]) -> Iterator[Problem]:
    """Where only one of two records says that it takes the other's place, or has been replaced by it."""
    for name in record.supersedes:
        other, line = others.get(name), record.places.of_key("supersedes")
        if name == record.id:
            yield Problem(line, "supersedes itself")
        elif other is None:
            yield Problem(line, f"supersedes {name}, which isn't a readable record here")
        elif other.status is not Status.SUPERSEDED or other.superseded_by != record.id:
            yield Problem(
                line,
                f"supersedes {name}, which is {other.status} and doesn't say `superseded_by: {record.id}`: "
                "supersession is stated on both sides",
            )
    if record.superseded_by is not None:
        other, line = others.get(record.superseded_by), record.places.of_key("superseded_by")
        if other is None:
            yield Problem(line, f"is superseded by {record.superseded_by}, which isn't a readable record here")
        elif record.id not in other.supersedes:
            yield Problem(
                line,
                f"is superseded by {other.id}, which doesn't list it in supersedes: supersession is stated on both "
                "sides",
            )


def outdated_baselines(record: Record, others: Mapping[str, Record]) -> Iterator[Problem]:
    """Baselines of a record whose figure another record has since replaced by a newer one."""
    for index, (what, value) in enumerate(_figures(record)):
        if what is None:
            continue
        for old in others.values():
            if old.id == record.id or (what, value) not in _figures(old):
                continue
            for newer, now in _replacements(old, what, others):
                if newer != record.id and now != value:
                    yield Problem(
                        record.places.of("criteria", index, "baseline"),
                        f"{what.criterion_of(record, index)}: its baseline {plain(value)} is {old.id}'s, which {newer} "
                        f"has replaced by {plain(now)}: a superseded baseline is still in use",
                    )


def copied_criteria(record: Record, others: Mapping[str, Record]) -> Iterator[Problem]:
    """Where a record states the very criteria of an earlier one, so that their alpha would be spent a second time."""
    for other in others.values():
        earlier = (other.date, other.id) < (record.date, record.id)
        if earlier and other.block_hash is not None and other.block_hash == record.block_hash:
            yield Problem(
                record.places.of("criteria"),
                f"states the very criteria of {other.id}: judged twice, they would be wrong twice as often; start the "
                f"clock of {other.id} anew (`dispatcher adr register {other.id} --again`), or state what is judged now",
            )


@dataclass(frozen=True, slots=True)
class _Quantity:
    """What a baseline is the value of."""

    feature: str
    tenant: str | None
    measure: Measure
    aggregate: str

    def criterion_of(self, record: Record, index: int) -> str:
        assert record.acceptance is not None
        return record.acceptance.criteria[index].id


def _figures(record: Record) -> list[tuple[_Quantity | None, Decimal]]:
    """Of every criterion, what its baseline is the value of; None where it has none."""
    if record.acceptance is None:
        return []
    figures: list[tuple[_Quantity | None, Decimal]] = []
    for criterion in record.acceptance.criteria:
        baseline = criterion.baseline
        if baseline is None or baseline.value is None:
            figures.append((None, Decimal(0)))
            continue
        where = baseline.where
        feature = record.acceptance.feature if where is None else where.feature
        tenant = None if where is None else where.tenant
        figures.append((_Quantity(feature, tenant, criterion.measure, criterion.aggregate), baseline.value))
    return figures


def _replacements(old: Record, what: _Quantity, others: Mapping[str, Record]) -> Iterator[tuple[str, Decimal]]:
    """The values that the records which supersede or correct one state for the same quantity, whatever its tenant."""
    names = [*([old.superseded_by] if old.superseded_by else []), *old.corrected_by]
    for name in names:
        for newer, value in _figures(others[name]) if name in others else ():
            if newer is not None and (newer.feature, newer.measure, newer.aggregate) == (
                what.feature,
                what.measure,
                what.aggregate,
            ):
                yield name, value
