"""What the log said, counted: the only thing a judgement knows of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import cached_property


class Arm(StrEnum):
    """The side of the comparison that a cluster is on."""

    CANDIDATE = "candidate"
    CONTROL = "control"
    BOTH = "both"
    """A conversation that changed sides; it is left out."""
    OTHER = "other"
    """Another variant; it is left out."""


class LeftOut(StrEnum):
    """Why a dispatch isn't counted, beside the reasons of routing that aren't of the population; closed."""

    OTHER_VARIANT = "other_variant"
    OTHER_TENANT = "other_tenant"
    OTHER_CANDIDATE = "other_candidate"
    """The candidate under another definition than the newest one."""
    NO_REASON = "no_reason"
    NOT_DRAWN = "not_drawn"
    """A draw in which one side had everything."""
    SWITCHED_VARIANT = "switched_variant"
    BEFORE_START = "before_start"
    BEFORE_ALL_TENANTS = "before_all_tenants"
    """Not every registered tenant was in the assignment yet."""
    LATE = "late"
    """It reached the database after the look that it belongs to."""
    AFTER_WINDOW = "after_window"
    RUNNING = "running"
    """It hasn't ended, and there is time until its look."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Of one criterion, for each cluster of a cell: dispatches above the limit against a pass, against a fail; and how
    many in the whole cell are unknown.
    """

    over: int
    proven: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Valued:
    """Dispatches of known value in each cluster of a cell; the sum of a cluster's values, and the square of that sum,
    each summed over the cell's clusters. Costs are in nano-dollars.
    """

    known: int
    total: int
    total_squared: int


NOTHING_KNOWN = Valued(0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Clusters that can't be told apart: same entry look, stratum, arm, size and counts.

    `look` is None for a cluster that no look has taken in yet. `share` is the candidate's, in the draw. `failed`,
    `scaled` and `astray` are sums over the cell's dispatches: failures, rows in simulated time, and first attempts that
    ran another variant than was routed.
    """

    look: int | None
    tenant: str
    share: float | None
    arm: Arm
    size: int
    clusters: int
    failed: int = 0
    scaled: int = 0
    astray: int = 0
    counted: Mapping[str, Counted] = field(default_factory=dict)
    cost: Valued = NOTHING_KNOWN

    @property
    def dispatches(self) -> int:
        """All dispatches of the cell."""
        return self.size * self.clusters


@dataclass(frozen=True, slots=True)
class Distribution:
    """Wall times of successes in milliseconds with how often each was seen, and how many dispatches have none."""

    successes: Mapping[int, int]
    without: int = 0

    @property
    def n(self) -> int:
        """All dispatches."""
        return sum(self.successes.values()) + self.without

    def nearest_rank(self, share: Fraction, *, successes_only: bool = False) -> int | None:
        """The value at rank ⌈share · n⌉; None where that has no time, since what has none lies beyond all others."""
        n = self.n - self.without if successes_only else self.n
        rank = -(-share.numerator * n // share.denominator)
        for value in sorted(self.successes):
            rank -= self.successes[value]
            if rank <= 0:
                return value
        return None


NO_TIMES = Distribution({})

_SHARE_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Draw:
    """What one side had in the draws of a tenant under one version of the flag; `share` is that side's own."""

    tenant: str
    version: str
    arm: Arm
    share: float


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Everything that was counted for one record, with the statements that counted it.

    `distributions` maps (taken in by a look, arm) to wall times. `excluded` counts dispatches by arm and reason.
    `draws` are those that the counted clusters came from.
    """

    cells: tuple[Cell, ...]
    excluded: Mapping[str, Mapping[str, int]]
    distributions: Mapping[tuple[bool, Arm], Distribution]
    sql: str
    distribution_sql: str | None
    draws: frozenset[Draw] = frozenset()

    @cached_property
    def other_arms(self) -> bool:
        """Whether a draw had other sides than the two: no shares that a tenant's two sides had at once add up to 1."""
        shares: dict[tuple[str, str], dict[Arm, list[float]]] = defaultdict(lambda: defaultdict(list))
        for draw in self.draws:
            shares[draw.tenant, draw.version][draw.arm].append(draw.share)
        sides = [(each[Arm.CANDIDATE], each[Arm.CONTROL]) for each in shares.values()]
        return any(
            all(abs(one + other - 1) > _SHARE_TOLERANCE for one in candidate for other in control)
            for candidate, control in sides
            if candidate and control
        )

    @cached_property
    def _by_arm(self) -> Mapping[Arm, tuple[Cell, ...]]:
        return {arm: tuple(cell for cell in self.cells if cell.arm is arm) for arm in Arm}

    @cached_property
    def _by_look(self) -> Mapping[tuple[Arm, int | None], Sequence[Cell]]:
        cells: dict[tuple[Arm, int | None], list[Cell]] = defaultdict(list)
        for cell in self.cells:
            cells[cell.arm, cell.look].append(cell)
        return cells

    def of(self, arm: Arm, *, up_to: int | None = None) -> tuple[Cell, ...]:
        """The cells of an arm: those that a look up to `up_to` took in, or all of them."""
        cells = self._by_arm[arm]
        if up_to is None:
            return cells
        return tuple(cell for cell in cells if cell.look is not None and cell.look <= up_to)

    def entering(self, arm: Arm, look: int) -> Sequence[Cell]:
        """The cells of an arm that one look took in."""
        return self._by_look.get((arm, look), ())

    def times(self, arm: Arm, *, entered_only: bool) -> Distribution:
        """The wall times of an arm: of what the looks took in, or of everything."""
        entered = self.distributions.get((True, arm), NO_TIMES)
        if entered_only:
            return entered
        waiting = self.distributions.get((False, arm), NO_TIMES)
        merged = dict(entered.successes)
        for value, count in waiting.successes.items():
            merged[value] = merged.get(value, 0) + count
        return Distribution(merged, entered.without + waiting.without)


def clusters_of(cells: Iterable[Cell]) -> int:
    """How many clusters the cells hold."""
    return sum(cell.clusters for cell in cells)


def dispatches_of(cells: Iterable[Cell]) -> int:
    """How many dispatches the cells hold."""
    return sum(cell.dispatches for cell in cells)
