"""What is counted of a cluster: its dispatches by what became of them, and the sums of the values that have a mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import sqlalchemy as sa
from sqlalchemy import case, func

from dispatcher.adr.criterion import Criterion, Measure
from dispatcher.verdict.claims import Claim, claim_of
from dispatcher.verdict.measurement.integers import Quotient, Total
from dispatcher.verdict.measurement.population import Population
from dispatcher.verdict.measurement.values import averaged, exceedance, is_about, value_of, within
from dispatcher.verdict.measures import counts_cells

LIMB = 1 << 20
"""The square of nano-dollars, summed, overflows 64 bits, so a value is squared as high · LIMB + low."""
SUMMED = ("failed", "scaled", "astray")
MOST_AT_ONCE = (1 << 10) - 1
"""The dispatches of a cluster up to which four of its counts are kept in one number, ten bits each."""
MOST_ADDED = (1 << 43) - 1
"""The value up to which as many as that add up to no more than the 53 bits that a double has."""
_DOESNT_ADD_UP = -1
_BITS = 10


@dataclass(frozen=True)
class Tallies:
    """The counts that the criteria of a record need. `counted` are the criteria about a share of the dispatches, and
    `averaged` the measures that a criterion is about the mean of, each by the prefix of its columns.
    """

    counted: Mapping[str, Criterion]
    averaged: Mapping[str, Measure]

    @property
    def keys(self) -> list[str]:
        """The counts by which clusters are told apart."""
        names = [f"{prefix}_{side}" for prefix in self.counted for side in ("over", "proven")]
        names += [f"{prefix}_n" for prefix, each in self.counted.items() if each.measure.later_turns_only]
        return names + [f"{prefix}_{name}" for prefix in self.averaged for name in ("known", "n")]

    @property
    def sums(self) -> list[str]:
        """The counts that are summed over clusters."""
        unknown = [f"{prefix}_unknown" for prefix in [*self.counted, *self.averaged]]
        return [*SUMMED, *unknown, *self.totals]

    @property
    def totals(self) -> list[str]:
        """The sums of values."""
        return [f"{prefix}_total" for prefix in self.averaged]

    @property
    def square_names(self) -> list[str]:
        """The columns of `squares`."""
        return [f"{prefix}_{limb}" for prefix in self.averaged for limb in ("hh", "hl", "ll")]

    @property
    def packed_names(self) -> list[str]:
        """The columns of `packed`, totals apart."""
        return [*self.counted, *self.averaged]

    @property
    def packs(self) -> list[str]:
        """The columns of `packed`."""
        return [*self.packed_names, *self.totals]

    def of_dispatches(self, d: Any) -> dict[str, sa.ColumnElement[Any]]:
        """Each as an aggregate over dispatches, of which those with an `aside` don't count."""
        counting = d.aside.is_(None)
        columns: dict[str, sa.ColumnElement[Any]] = {name: count_of(counting & (d[name] == 1)) for name in SUMMED}
        for prefix, flags in self._flags(d).items():
            columns |= {f"{prefix}_{name}": count_of(counting & flag) for name, flag in flags.items()}
        for prefix, measure in self.averaged.items():
            columns[f"{prefix}_known"] = case((columns[f"{prefix}_known"] > 0, 1), else_=0)
            about = is_about(measure, d)
            columns[f"{prefix}_total"] = _total(value_of(measure, d), counting if about is None else counting & about)
        return columns

    def packed(self, d: Any, *, usual: sa.ColumnElement[bool] | None) -> dict[str, sa.ColumnElement[Any]]:
        """The same over rows that are all dispatches that count: up to four counts in a number, which costs a fraction.

        Nothing that isn't over a limit is proven or unknown, so that is looked at once; of a success, as `usual`
        tells, only its value is.
        """
        columns: dict[str, sa.ColumnElement[Any]] = {}
        for prefix, flags in self._flags(d).items():
            counts = [case((flag, 1), else_=0) for flag in flags.values()]
            packed = pack(counts)
            if "over" in flags and "n" not in flags:
                packed = case((flags["over"], pack([1, *counts[1:]])), else_=0)
                if usual is not None:
                    packed = case((usual & within(self.counted[prefix], d), 0), else_=packed)
            if prefix in self.averaged:
                # What divides is known.
                packed = case((flags["n"], pack([1, 1])), else_=packed)
            columns[prefix] = Total(packed)
        for prefix, measure in self.averaged.items():
            value, about = value_of(measure, d), is_about(measure, d)
            counted = value if about is None else case((about, value))
            # Others may have a sum that is beyond 64 bits.
            most = sa.literal(MOST_ADDED, sa.BigInteger)
            adds_up = (func.coalesce(func.min(value), 0) >= 0) & (func.coalesce(func.max(value), 0) <= most)
            columns[f"{prefix}_total"] = case((adds_up, func.coalesce(Total(counted), 0)), else_=_DOESNT_ADD_UP)
        return columns

    def added_up(self, g: Any) -> list[sa.ColumnElement[bool]]:
        """Whether the values of a cluster were of a size that adds up exactly everywhere."""
        return [g[f"{prefix}_total"] != _DOESNT_ADD_UP for prefix in self.averaged]

    def unpacked(self, g: Any) -> dict[str, sa.ColumnElement[Any]]:
        """The counts of a cluster that was counted as `packed`."""
        columns: dict[str, sa.ColumnElement[Any]] = {}
        for prefix, names in self._names().items():
            columns |= {f"{prefix}_{name}": part(g[prefix], place) for place, name in enumerate(names)}
        for prefix in self.averaged:
            columns[f"{prefix}_known"] = case((columns[f"{prefix}_known"] > 0, 1), else_=0)
        return columns

    def squares(self, c: Any) -> Iterator[sa.ColumnElement[int]]:
        """The squares of the totals of clusters, summed, in limbs."""
        for prefix in self.averaged:
            total = c[f"{prefix}_total"]
            high = Quotient(total, sa.literal(LIMB, sa.BigInteger))
            low = total - high * LIMB
            for name, square in {"hh": high * high, "hl": high * low, "ll": low * low}.items():
                yield func.sum(square).label(f"{prefix}_{name}")

    def _names(self) -> dict[str, list[str]]:
        names = {}
        for prefix, criterion in self.counted.items():
            names[prefix] = ["over", "proven", "unknown", *(["n"] if criterion.measure.later_turns_only else [])]
        return names | {prefix: ["known", "n", "unknown"] for prefix in self.averaged}

    def _flags(self, d: Any) -> dict[str, dict[str, sa.ColumnElement[bool]]]:
        """The conditions that are counted, in the order of `_names`."""
        flags: dict[str, list[sa.ColumnElement[bool]]] = {}
        for prefix, criterion in self.counted.items():
            sides, about = exceedance(criterion, d), is_about(criterion.measure, d)
            found = [sides.over, sides.proven, sides.unknown]
            flags[prefix] = found if about is None else [*(about & each for each in found), about]
        for prefix, measure in self.averaged.items():
            mean, about = averaged(measure, d), is_about(measure, d)
            found = [mean.known, mean.divides, mean.unknown]
            flags[prefix] = found if about is None else [about & each for each in found]
        return {prefix: dict(zip(names, flags[prefix], strict=True)) for prefix, names in self._names().items()}


def tallies_of(population: Population) -> Tallies:
    """What the criteria of the population's record need; for a repricing, that of money."""
    criteria = population.block.criteria
    means = {each.measure for each in criteria if claim_of(each) is Claim.MEAN}
    counted = {f"c{number}": each for number, each in enumerate(criteria, start=1) if counts_cells(each)}
    if population.repricing:
        means, counted = {measure for measure in means if measure.is_money}, {}
    return Tallies(counted, {f"m{list(Measure).index(measure)}": measure for measure in sorted(means)})


def count_of(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    """How many rows of a group meet a condition."""
    return func.count(case((condition, 1)))


def pack(counts: Iterable[Any]) -> Any:
    """Up to four counts in one number; `part` has them back, where none is above MOST_AT_ONCE."""
    weighed = [each * (1 << _BITS * place) if place else each for place, each in enumerate(counts)]
    return reduce(add, weighed)


def part(packed: sa.ColumnElement[int], place: int) -> sa.ColumnElement[int]:
    """One of the counts that are kept in one number."""
    shifted = packed.bitwise_rshift(sa.literal(_BITS * place, sa.Integer)) if place else packed
    # An ordinary integer has a sum that is cheap.
    return sa.cast(shifted.bitwise_and(sa.literal(MOST_AT_ONCE, sa.BigInteger)), sa.Integer)


def _total(value: sa.ColumnElement[int], counting: sa.ColumnElement[bool] | None) -> sa.ColumnElement[int]:
    # A sum is of a wider type on some engines, where `/` would then leave a fraction in the limbs.
    total = func.coalesce(func.sum(value if counting is None else case((counting, value))), 0)
    return sa.cast(total, sa.BigInteger)
