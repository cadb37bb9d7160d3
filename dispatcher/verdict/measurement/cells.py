"""What the rows of the counting statement mean: cells, draws, and what is left out; read one after the other.

The rows are as many as there are kinds of clusters; what is kept of them is as much as there are strata and looks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dispatcher.verdict.contrast import Sums
from dispatcher.verdict.measured import Arm, Cell, Counted, Draw, LeftOut, Valued
from dispatcher.verdict.measurement.counting import ASIDE, LIMB, Counting

_SHARE_DIGITS = 9
_Key = tuple[int | None, str, float | None, Arm]
Row = Mapping[str, Any]


@dataclass(slots=True)
class _Held:
    """A cell that is still being added to."""

    clusters: int = 0
    dispatches: int = 0
    failed: int = 0
    scaled: int = 0
    astray: int = 0
    counted: dict[str, Counter[tuple[int, int, int]]] = field(default_factory=lambda: defaultdict(Counter))
    sums: dict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))
    unknown: Counter[str] = field(default_factory=Counter)


class Cells:
    """Adds up what the statement of a counting returns, in whatever order it does."""

    def __init__(self, counting: Counting) -> None:
        self._counting = counting
        self._population = counting.population
        self._held: dict[_Key, _Held] = defaultdict(_Held)
        self._excluded: dict[str, Counter[str]] = defaultdict(Counter)
        self._draws: set[Draw] = set()

    def add(self, row: Row) -> None:
        """One row of `Counting.cells`."""
        clusters = int(row["clusters"])
        dispatches = int(row["size"]) * clusters
        aside = {reason: int(row[reason.value] or 0) for reason in ASIDE}
        reasons: dict[str, int] = {reason.value: count for reason, count in aside.items()}
        if row["left_out"] is not None:
            whole = dispatches + aside[LeftOut.AFTER_WINDOW] + aside[LeftOut.RUNNING]
            reasons = {row["left_out"]: whole, LeftOut.LATE.value: aside[LeftOut.LATE]}
        elif dispatches:
            self._count(row, clusters, dispatches)
        for reason, count in reasons.items():
            if count:
                self._excluded[row["arm"]][reason] += count

    def reprice(self, row: Row) -> None:
        """One row of `Counting.repriced`: added at the look from which it is so, taken away where it isn't any more."""
        arm, entry = Arm(row["arm"]), row["look"]
        times = [(row["at_look"], 1)] if row["at_look"] > entry else []
        times += [(row["until_look"], -1)] if row["until_look"] is not None else []
        for look, sign in times:
            held = self._held[look, row["tenant"], self._candidate_share(arm, row["share"]), arm]
            for prefix in (prefix for prefix, measure in self._counting.averaged.items() if measure.is_money):
                held.sums[prefix] += _sums(row, prefix, sign)
                held.unknown[prefix] += sign * int(row[f"{prefix}_unknown"] or 0)

    @property
    def excluded(self) -> dict[str, dict[str, int]]:
        """The dispatches left out by arm and reason."""
        return {arm: dict(sorted(reasons.items())) for arm, reasons in sorted(self._excluded.items())}

    @property
    def draws(self) -> frozenset[Draw]:
        """The draws that the clusters that count came from, as far as the flag's version is known."""
        return frozenset(self._draws)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells in one order, whatever that of the rows was."""
        ordered = sorted(self._held.items(), key=lambda item: _order(item[0]))
        return tuple(self._cell(key, held) for key, held in ordered)

    def _count(self, row: Row, clusters: int, dispatches: int) -> None:
        arm = Arm(row["arm"])
        held = self._held[row["look"], row["tenant"], self._candidate_share(arm, row["share"]), arm]
        held.clusters += clusters
        held.dispatches += dispatches
        held.failed += int(row["failed"])
        held.scaled += int(row["scaled"])
        held.astray += int(row["astray"])
        for prefix, criterion in self._counting.counted.items():
            size = int(row[f"{prefix}_n"] if criterion.measure.later_turns_only else row["size"])
            if size:
                held.counted[prefix][size, int(row[f"{prefix}_over"]), int(row[f"{prefix}_proven"])] += clusters
            held.unknown[prefix] += int(row[f"{prefix}_unknown"])
        for prefix in self._counting.averaged:
            held.sums[prefix] += _sums(row, prefix, 1)
            held.unknown[prefix] += int(row[f"{prefix}_unknown"])
        if self._draws_tell and None not in (row["version"], row["share"]):
            self._draws.add(Draw(row["tenant"], row["version"], arm, row["share"]))

    @property
    def _draws_tell(self) -> bool:
        population = self._population
        return population.block.assignment.kind == "sticky_share" and not population.against_itself

    def _cell(self, key: _Key, held: _Held) -> Cell:
        look, tenant, share, arm = key
        counting, criteria = self._counting, self._population.block.criteria
        prefixes = {measure: prefix for prefix, measure in counting.averaged.items()}
        valued = {each.id: prefixes[each.measure] for each in criteria if each.aggregate == "mean"}
        return Cell(
            look=look,
            tenant=tenant,
            share=share,
            arm=arm,
            clusters=held.clusters,
            dispatches=held.dispatches,
            failed=held.failed,
            scaled=held.scaled,
            astray=held.astray,
            counted={
                each.id: Counted(dict(sorted(held.counted[prefix].items())), held.unknown[prefix])
                for prefix, each in counting.counted.items()
            },
            valued={id_: Valued(held.sums[prefix], held.unknown[prefix]) for id_, prefix in valued.items()},
        )

    def _candidate_share(self, arm: Arm, share: float | None) -> float | None:
        """The candidate's share in the draw; a row holds that of the side it was drawn to."""
        if self._population.block.assignment.kind != "sticky_share" or share is None:
            return None
        return round(share if arm is Arm.CANDIDATE else 1 - share, _SHARE_DIGITS)


def _sums(row: Row, prefix: str, sign: int) -> Sums:
    """The five sums over the clusters of a row; those without a known value have none."""
    if not row[f"{prefix}_known"]:
        return Sums()
    clusters, size, total = (int(row[name]) for name in ("clusters", f"{prefix}_n", f"{prefix}_total"))
    squared = [int(row[f"{prefix}_{limb}"]) for limb in ("hh", "hl", "ll")]
    return Sums(
        clusters=sign * clusters,
        size=sign * size * clusters,
        size_squared=sign * size**2 * clusters,
        total=sign * total,
        cross=sign * size * total,
        total_squared=sign * (squared[0] * LIMB**2 + 2 * squared[1] * LIMB + squared[2]),
    )


def _order(key: _Key) -> tuple[Any, ...]:
    look, tenant, share, arm = key
    return look is None, look or 0, tenant, share is None, share or 0.0, arm.value


def read_all(rows: Iterable[Row], counting: Counting) -> Cells:
    """All rows of `Counting.cells`, added up."""
    cells = Cells(counting)
    for row in rows:
        cells.add(row)
    return cells
