"""What the rows of the counting statement mean: cells, draws, and what is left out; read one after the other.

The rows are as many as there are kinds of clusters; what is kept of them is as much as there are strata and looks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from dispatcher.verdict.measured import Arm, Cell, Counted, Draw, LeftOut, Valued
from dispatcher.verdict.measurement.counting import ASIDE, KEYS, Counting
from dispatcher.verdict.measurement.held import Columns, Held
from dispatcher.verdict.measurement.tallies import LIMB
from dispatcher.verdict.sums import Sums

_SHARE_DIGITS = 9
_ASIDE = tuple((reason, reason.value) for reason in ASIDE)
_LOST = (LeftOut.OVERRIDDEN, LeftOut.OTHER_CANDIDATE, LeftOut.SWITCHED_VARIANT)
_SUMS = ("unknown", "known", "n", "total", "hh", "hl", "ll")
_LEFT_OUT, _SIZE = KEYS.index("left_out"), KEYS.index("size")
_OF_CELL = slice(KEYS.index("arm"), _SIZE)
_Key = tuple[int | None, str, float | None, Arm]
Row = Mapping[str, Any]


class Cells:
    """Adds up what the statement of a counting returns, in whatever order it does."""

    def __init__(self, counting: Counting) -> None:
        tallies = self._tallies = counting.tallies
        self._population = counting.population
        self._held: dict[_Key, Held] = defaultdict(Held)
        self._of: dict[tuple[Any, ...], Held] = {}
        self._excluded: dict[str, Counter[str]] = defaultdict(Counter)
        self._draws: set[Draw] = set()
        self._lost: Counter[Arm] = Counter()
        self._otherwise: Counter[tuple[int, float]] = Counter()
        self._columns = Columns(counting)
        prefixes = {measure: prefix for prefix, measure in tallies.averaged.items()}
        means = (each for each in counting.population.block.criteria if each.aggregate == "mean")
        self._valued = {each.id: prefixes[each.measure] for each in means}
        money = (prefix for prefix, measure in tallies.averaged.items() if measure.is_money)
        self._of_money = [(prefix, *(f"{prefix}_{name}" for name in _SUMS)) for prefix in money]

    def add(self, row: tuple[Any, ...]) -> None:
        """One row of `Counting.cells`."""
        if row[_LEFT_OUT] is None and row[_SIZE]:
            self._columns.add(row, self._held_of(row[_OF_CELL]))
        if not self._columns.is_whole(row):
            self._set_aside(self._columns.named(row))

    def _set_aside(self, row: Row) -> None:
        clusters = int(row["clusters"])
        dispatches = int(row["size"]) * clusters
        aside = {reason: int(row[name]) for reason, name in _ASIDE if row[name]}
        if row["left_out"] is not None:
            whole = dispatches + aside.pop(LeftOut.AFTER_WINDOW, 0) + aside.pop(LeftOut.RUNNING, 0)
            self._leave_out(row["arm"], row["left_out"], whole)
            self._lose(row, clusters, whole)
        else:
            self._lost[Arm(row["arm"])] += aside.get(LeftOut.LATE, 0)
        for reason, count in aside.items():
            self._leave_out(row["arm"], reason.value, count)

    def reprice(self, row: Row) -> None:
        """One row of `Counting.repriced`: added at the look from which it is so, taken away where it isn't any more."""
        arm, entry = Arm(row["arm"]), row["look"]
        times = [(row["at_look"], 1)] if row["at_look"] > entry else []
        times += [(row["until_look"], -1)] if row["until_look"] is not None else []
        for look, sign in times:
            held = self._held[look, row["tenant"], self._candidate_share(arm, row["share"]), arm]
            for prefix, unknown, *names in self._of_money:
                held.late[prefix] = held.late.get(prefix, Sums()) + _sums(row, names, sign)
                held.unknown[prefix] = held.unknown.get(prefix, 0) + sign * int(row[unknown] or 0)

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

    @property
    def lost_to_counting(self) -> dict[Arm, int]:
        """As in a measurement."""
        return {arm: count for arm, count in sorted(self._lost.items()) if count}

    @property
    def otherwise_defined(self) -> dict[tuple[int, float], int]:
        """As in a measurement."""
        return dict(sorted(self._otherwise.items()))

    def _lose(self, row: Row, clusters: int, dispatches: int) -> None:
        """What was drawn, and can't be counted for what became of it."""
        arm = Arm(row["arm"])
        if row["left_out"] in _LOST:
            self._lost[arm] += dispatches
        if row["left_out"] == LeftOut.OTHER_CANDIDATE and None not in (row["look"], row["share"]):
            share = self._candidate_share(arm, row["share"])
            if share is not None:
                self._otherwise[row["look"], share] += clusters

    def _leave_out(self, arm: str, reason: str, count: int) -> None:
        if count:
            self._excluded[arm][reason] += count

    def _held_of(self, kind: tuple[Any, ...]) -> Held:
        """The cell of a row; what else its kind tells is seen once."""
        if kind not in self._of:
            side, look, tenant, share, version = kind
            arm = Arm(side)
            if self._draws_tell and None not in (version, share):
                self._draws.add(Draw(tenant, version, arm, share))
            self._of[kind] = self._held[look, tenant, self._candidate_share(arm, share), arm]
        return self._of[kind]

    @property
    def _draws_tell(self) -> bool:
        population = self._population
        return population.block.assignment.kind == "sticky_share" and not population.against_itself

    def _cell(self, key: _Key, held: Held) -> Cell:
        look, tenant, share, arm = key
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
                each.id: Counted(dict(sorted(held.counted.get(prefix, {}).items())), held.unknown.get(prefix, 0))
                for prefix, each in self._tallies.counted.items()
            },
            valued={
                id_: Valued(held.sums_of(prefix), held.unknown.get(prefix, 0), held.late.get(prefix, Sums()))
                for id_, prefix in self._valued.items()
            },
        )

    def _candidate_share(self, arm: Arm, share: float | None) -> float | None:
        """The candidate's share in the draw; a row holds that of the side it was drawn to."""
        if self._population.block.assignment.kind != "sticky_share" or share is None:
            return None
        return round(share if arm is Arm.CANDIDATE else 1 - share, _SHARE_DIGITS)


def _sums(row: Row, names: Sequence[str], sign: int) -> Sums:
    """The five sums over the clusters of a row; those without a known value have none."""
    known, n, of_values, *limbs = names
    if not row[known]:
        return Sums()
    clusters, size, total = int(row["clusters"]), int(row[n]), int(row[of_values])
    high, mixed, low = (int(row[name]) for name in limbs)
    return Sums(
        clusters=sign * clusters,
        size=sign * size * clusters,
        size_squared=sign * size**2 * clusters,
        total=sign * total,
        cross=sign * size * total,
        total_squared=sign * (high * LIMB**2 + 2 * mixed * LIMB + low),
    )


def _order(key: _Key) -> tuple[Any, ...]:
    look, tenant, share, arm = key
    return look is None, look or 0, tenant, share is None, share or 0.0, arm.value
