"""Cells that are still being added to. The rows that are added may be hundreds of thousands: they are read by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from dispatcher.adr.criterion import Criterion
from dispatcher.verdict.measurement.counting import ASIDE, KEYS, Counting
from dispatcher.verdict.measurement.tallies import LIMB, SUMMED
from dispatcher.verdict.sums import Sums

_SUMS = ("known", "n", "total", "hh", "hl", "ll")
_LEFT_OUT = KEYS.index("left_out")
_OF_MEAN = len(fields(Sums))
_Triple = tuple[int, int, int]


@dataclass(slots=True)
class Held:
    """A cell that is still being added to; by the prefix of their columns, what was counted, the five sums, what of a
    mean is known since a later look only, and what isn't known.
    """

    clusters: int = 0
    dispatches: int = 0
    failed: int = 0
    scaled: int = 0
    astray: int = 0
    counted: dict[str, dict[_Triple, int]] = field(default_factory=dict)
    sums: dict[str, list[int]] = field(default_factory=dict)
    late: dict[str, Sums] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)

    def sums_of(self, prefix: str) -> Sums:
        """All sums of a mean."""
        sums = Sums(*self.sums.get(prefix, ()))
        return sums + self.late[prefix] if prefix in self.late else sums


class Columns:
    """Where each column of `Counting.cells` is in its rows."""

    def __init__(self, counting: Counting) -> None:
        tallies, self._names = counting.tallies, counting.columns
        at = {name: place for place, name in enumerate(self._names)}
        self._kind = slice(at["size"], at["clusters"])
        self._clusters = at["clusters"]
        self._aside = slice(at[ASIDE[0].value], at[ASIDE[-1].value] + 1)
        self._became = slice(at[SUMMED[0]], at[SUMMED[-1]] + 1)
        self._counts = [
            (prefix, at[_size_of(prefix, each)], at[f"{prefix}_over"], at[f"{prefix}_proven"])
            for prefix, each in tallies.counted.items()
        ]
        self._sums = [(prefix, [at[f"{prefix}_{name}"] for name in _SUMS]) for prefix in tallies.averaged]
        self._unknown = [(prefix, at[f"{prefix}_unknown"]) for prefix in [*tallies.counted, *tallies.averaged]]
        self._seen: dict[tuple[Any, ...], tuple[int, list[tuple[str, _Triple]]]] = {}

    def is_whole(self, row: tuple[Any, ...]) -> bool:
        """Whether nothing of the clusters of a row is left out."""
        return row[_LEFT_OUT] is None and not any(row[self._aside])

    def named(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """The row by the names of its columns."""
        return dict(zip(self._names, row, strict=False))

    def add(self, row: tuple[Any, ...], held: Held) -> None:
        """Add the clusters of a row."""
        clusters = int(row[self._clusters])
        size, counted = self._counted(row)
        failed, scaled, astray = row[self._became]
        held.clusters += clusters
        held.dispatches += size * clusters
        held.failed += int(failed)
        held.scaled += int(scaled)
        held.astray += int(astray)
        for prefix, triple in counted:
            of = held.counted.setdefault(prefix, {})
            of[triple] = of.get(triple, 0) + clusters
        for prefix, place in self._unknown:
            if row[place]:
                held.unknown[prefix] = held.unknown.get(prefix, 0) + int(row[place])
        for prefix, places in self._sums:
            known, n, *of_values = (row[place] for place in places)
            if known:
                _add(held.sums.setdefault(prefix, [0] * _OF_MEAN), clusters, int(n), of_values)

    def _counted(self, row: tuple[Any, ...]) -> tuple[int, list[tuple[str, _Triple]]]:
        """The size of a cluster, and of each criterion what was counted of it: there are few kinds, so this is kept."""
        kind = row[self._kind]
        if kind not in self._seen:
            triples = (
                (prefix, (int(row[n]), int(row[over]), int(row[proven]))) for prefix, n, over, proven in self._counts
            )
            self._seen[kind] = int(kind[0]), [(prefix, triple) for prefix, triple in triples if triple[0]]
        return self._seen[kind]


def _add(to: list[int], clusters: int, n: int, of_values: Sequence[Any]) -> None:
    """Add clusters of n dispatches each to the five sums; `of_values` are their total, and its squares in limbs."""
    total, high, mixed, low = map(int, of_values)
    to[0] += clusters
    to[1] += n * clusters
    to[2] += n * n * clusters
    to[3] += total
    to[4] += n * total
    to[5] += high * LIMB**2 + 2 * mixed * LIMB + low


def _size_of(prefix: str, criterion: Criterion) -> str:
    """The column that has the dispatches of a cluster that a criterion is about."""
    return f"{prefix}_n" if criterion.measure.later_turns_only else "size"
