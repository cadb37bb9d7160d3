"""What the log said, counted: the only thing a judgement knows of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from dispatcher.adr.criterion import Measure
from dispatcher.verdict.sums import Sums

if TYPE_CHECKING:
    from dispatcher.verdict.evidence.grid import GridCounts


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
    OVERRIDDEN = "overridden"
    """Drawn, and decided otherwise later on in its window, which may be what somebody did about its outcome."""
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
    """Of one criterion: the clusters of a cell by (dispatches that it is about, those of them above the limit against a
    pass, those against a fail), and how many dispatches are unknown. A cluster that it isn't about isn't there.
    """

    clusters: Mapping[tuple[int, int, int], int]
    unknown: int = 0

    @property
    def n(self) -> int:
        """The dispatches that it is about."""
        return sum(size * count for (size, _, _), count in self.clusters.items())

    @property
    def over(self) -> int:
        """Those above the limit against a pass."""
        return sum(over * count for (_, over, _), count in self.clusters.items())

    @property
    def proven(self) -> int:
        """Those above the limit against a fail."""
        return sum(proven * count for (_, _, proven), count in self.clusters.items())


@dataclass(frozen=True, slots=True)
class Valued:
    """Of one criterion about a mean: the sums over the clusters of a cell that have a known value, and how many
    dispatches are unknown. Money is in nano-dollars. `late` is the part of the sums that price adjustments add for
    clusters that an earlier look took in.
    """

    sums: Sums
    unknown: int = 0
    late: Sums = field(default_factory=Sums)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The clusters of one stratum that one look took in: same tenant, arm, and share of the draw.

    `look` is None for clusters that no look has taken in yet. `share` is the candidate's, in the draw. `failed`,
    `scaled` and `astray` count dispatches: failures, rows in simulated time, and first attempts that ran another
    variant than was routed. `counted` and `valued` are by criterion. A cell without clusters holds what price
    adjustments add, from its look on, to the sums of clusters that an earlier look took in.
    """

    look: int | None
    tenant: str
    share: float | None
    arm: Arm
    clusters: int
    dispatches: int
    failed: int = 0
    scaled: int = 0
    astray: int = 0
    counted: Mapping[str, Counted] = field(default_factory=dict)
    valued: Mapping[str, Valued] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Distribution:
    """The values of successes, in whole units, with how often each was seen, and how many dispatches have none."""

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

    `distributions` maps (measure, taken in by a look, arm) to its values. `excluded` counts dispatches by arm and
    reason. `draws` are those that the counted clusters came from. `grids` maps a criterion about a percentile against a
    control or a sample to its counts. `drift` maps a criterion to tenants that stayed with the control, each with its
    values since the start, as the candidate, beside those before. `gaps` are the dispatches that the log is known to
    have lost. `lost_to_counting` are an arm's dispatches that were drawn and are left out for what became of them:
    late, overridden, moved to the other side (those of both arms), or by another definition. `otherwise_defined` are
    the clusters of the last kind by (look, candidate's share of the draw). `rows_hash` is the SHA-256 of all that the
    statements returned, whatever its order. `sql` is the text of the statement of the cells; the other texts are of the
    statements that were run beside it, by criterion where there are several.
    """

    cells: tuple[Cell, ...]
    excluded: Mapping[str, Mapping[str, int]]
    distributions: Mapping[tuple[Measure, bool, Arm], Distribution]
    sql: str
    distribution_sql: str | None
    draws: frozenset[Draw] = frozenset()
    grids: Mapping[str, GridCounts] = field(default_factory=dict)
    drift: Mapping[str, Mapping[str, GridCounts]] = field(default_factory=dict)
    lost_to_counting: Mapping[Arm, int] = field(default_factory=dict)
    otherwise_defined: Mapping[tuple[int, float], int] = field(default_factory=dict)
    gaps: int = 0
    rows_hash: str = ""
    repriced_sql: str | None = None
    grid_sql: Mapping[str, str] = field(default_factory=dict)
    drift_sql: Mapping[str, str] = field(default_factory=dict)

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

    def times(self, arm: Arm, *, entered_only: bool, measure: Measure = Measure.RESPONSE_TIME_MS) -> Distribution:
        """The values of a measure in an arm, the wall times by default: of what the looks took in, or of everything."""
        entered = self.distributions.get((measure, True, arm), NO_TIMES)
        if entered_only:
            return entered
        waiting = self.distributions.get((measure, False, arm), NO_TIMES)
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
