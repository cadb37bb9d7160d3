"""The ways a wrong design ships a bad path, each beside ours on the same made-up rows."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from ship_rules import AS_JUDGED, CostCase, mean_first, our_pass
from ship_samples import tail
from ship_worlds import P0, RATIO, SCALE, SHAPE, conversations, sums_of, weibull

from dispatcher.adr.document import Acceptance, Record, Status
from dispatcher.audit.record import Origin
from dispatcher.verdict.epoch import Epoch
from dispatcher.verdict.evidence.e_process import log_e_pass
from dispatcher.verdict.evidence.grid import ALWAYS, NEVER, Arms, bucket_of
from dispatcher.verdict.judgement.judge import Outcome, Verdict, judge
from dispatcher.verdict.looks import WEEK, Looks
from dispatcher.verdict.measured import Arm, Cell, Counted, Measurement

START = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
WEEKS, TURNS, HEAVY_FROM = 26, 4, 12
CONTROL_FAILS = 0.1
Runs = tuple[list[int], list[int]]
Histograms = Sequence[Counter[tuple[int, int]]]


@dataclass(frozen=True)
class Design:
    """`simulate` gives, for each run, the look at which the wrong design ships and at which ours does, 0 for none.

    `is_bad` says that the path breaks its limit, so that ours may ship it in at most alpha of the runs.
    """

    name: str
    path: str
    simulate: Callable[[Generator, int], Runs]
    is_bad: bool = True


def ships(weeks: Histograms) -> int:
    """The first look at which the evidence of these weeks passes, as it is judged."""
    clusters: Counter[tuple[int, int]] = Counter()
    for look, week in enumerate(weeks, start=1):
        clusters += week
        if clusters.total() >= AS_JUDGED.fewest and log_e_pass(clusters, P0) >= AS_JUDGED.threshold:
            return look
    return 0


def turn_by_turn(rng: Generator, runs: int) -> Runs:
    """One turn a week for four weeks; only the last is ever slow, one in five, so 5 % of all are."""
    wrong, ours = [], []
    for _ in range(runs):
        slow = rng.random((WEEKS, 40)) < TURNS * P0
        ended = [Counter({(TURNS, 0): int((~week).sum()), (TURNS, 1): int(week.sum())}) for week in slow]
        going_on = []
        for look in range(WEEKS):
            late = int(slow[look - TURNS + 1].sum()) if look >= TURNS - 1 else 0
            turns = 40 * min(look + 1, TURNS)
            going_on.append(Counter({(1, 0): turns - late, (1, 1): late}))
        wrong.append(ships(going_on))
        ours.append(ships([*(Counter() for _ in range(TURNS - 1)), *ended[: 1 - TURNS]]))
    return wrong, ours


def dropped_cancels(rng: Generator, runs: int) -> Runs:
    """12 % are slow, and nine in ten of these are cancelled before the limit by whoever waits for them."""
    sizes = [20 * week for week in range(1, WEEKS + 1)]
    slow = rng.binomial(20, 0.12, (runs, WEEKS))
    cancelled = rng.binomial(slow, 0.9)
    wrong = []
    for late, gone in zip(slow, cancelled, strict=True):
        wrong.append(ships([Counter({(1, 0): 20 - k, (1, 1): k - c}) for k, c in zip(late, gone, strict=True)]))
    return wrong, [int(each) for each in our_pass(np.cumsum(slow, axis=1), sizes, AS_JUDGED)]


def failing_control(rng: Generator, runs: int) -> Runs:
    """A control that fails in 10 of 100, and a candidate twice as slow as what it answers."""
    wrong, ours = [], []
    for _ in range(runs):
        candidate = _buckets(weibull(rng, 57 * WEEKS) * 2 / RATIO)
        control = _buckets(weibull(rng, 57 * WEEKS))
        failed = rng.random(control.size) < CONTROL_FAILS
        wrong.append(_grid_ships(candidate, np.where(failed, ALWAYS, control)))
        ours.append(_grid_ships(candidate, np.where(failed, NEVER, control)))
    return wrong, ours


def _grid_ships(candidate: NDArray[np.int64], control: NDArray[np.int64]) -> int:
    for look in range(2, WEEKS + 1, 2):
        arms = Arms(tail(candidate[: 57 * look]), tail(control[: 57 * look]))
        if arms.log_e_pass(P0) >= AS_JUDGED.threshold:
            return look
    return 0


def _buckets(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.array([bucket_of(int(np.ceil(value))) for value in values])


LIGHT, HEAVY = (0.25, 0.3, 0.35, 0.4), (0.9, 1.0, 1.05, 1.1, 1.15, 1.2)


def easy_tenants_first(rng: Generator, runs: int) -> Runs:
    """1.7 times slower in every tenant; the four light ones of ten are moved first, the others twelve weeks later."""
    limit = RATIO * _pooled_p95()
    shares = [float(np.exp(-((limit / (1.7 * scale * SCALE)) ** SHAPE))) for scale in (*LIGHT, *HEAVY)]
    wrong, ours = [], []
    for _ in range(runs):
        weeks = []
        for week in range(WEEKS):
            moved = shares if week >= HEAVY_FROM else shares[: len(LIGHT)]
            k = int(rng.binomial(12, moved).sum())
            weeks.append(Counter({(1, 0): 12 * len(moved) - k, (1, 1): k}))
        wrong.append(ships(weeks))
        ours.append(ships([*(Counter() for _ in range(HEAVY_FROM)), *weeks[HEAVY_FROM:]]))
    return wrong, ours


@cache
def _pooled_p95() -> float:
    """The p95 of the control over all ten tenants, with as many calls from each."""
    rng = np.random.default_rng(1)
    return float(np.quantile(np.concatenate([weibull(rng, 100_000) * scale for scale in (*LIGHT, *HEAVY)]), 1 - P0))


def variance_per_row(rng: Generator, runs: int) -> Runs:
    """Costs of exactly half; the five calls of a conversation share most of what they cost."""
    wrong, ours = [], []
    for _ in range(runs):
        weeks: tuple[list[Any], list[Any]] = ([], [])
        for _ in range(WEEKS):
            arms = []
            for level in (0.5, 1.0):
                shared = rng.lognormal(-0.405, 0.9, size=6)[:, None]
                arms.append((level * 1e6 * shared * rng.lognormal(-0.02, 0.2, size=(6, 5))).astype(np.int64).ravel())
            weeks[0].append(tuple(sums_of(arm) for arm in arms))
            weeks[1].append(tuple(sums_of(arm, 5) for arm in arms))
        case = CostCase(t_star=156.0)
        wrong.append(mean_first(weeks[0], case, AS_JUDGED))
        ours.append(mean_first(weeks[1], case, AS_JUDGED))
    return wrong, ours


def guard_without_data(rng: Generator, runs: int) -> Runs:
    """Fast, and three reports in ten are invalid; whether they are is nowhere written down."""
    wrong, ours = [], []
    for _ in range(runs):
        slow = [int(k) for k in rng.binomial(20, P0 / 5, WEEKS)]
        wrong.append(ships(_weeks(slow)))
        cells = [cells_of(look, 20, k, is_valid_known=False) for look, k in enumerate(slow, start=1)]
        ours.append(WEEKS if judged(cells, GATE, GUARD).outcome is Outcome.SHIP else 0)
    return wrong, ours


def late_regression(rng: Generator, runs: int) -> Runs:
    """What is said of a regression after an early pass in week 52."""
    wrong, ours = [], []
    for slow, outcome in regressions(rng, runs):
        wrong.append(ships(_weeks(slow)))
        ours.append(52 if outcome is Outcome.SHIP else 0)
    return wrong, ours


def regressions(rng: Generator, runs: int) -> Iterator[tuple[list[int], Outcome]]:
    """1 in 100 is slow for 20 weeks, then 15 in 100 are: the slow ones of each week, and the verdict of week 52."""
    for _ in range(runs):
        slow = [int(k) for k in rng.binomial(20, [0.01] * 20 + [0.15] * 32)]
        yield slow, judged([cells_of(look, 20, k) for look, k in enumerate(slow, start=1)], GATE).outcome


def _weeks(slow: Sequence[int]) -> Histograms:
    return [Counter({(1, 0): 20 - k, (1, 1): k}) for k in slow]


def per_call(rng: Generator, runs: int) -> Runs:
    """Exactly 5 % slow; the twenty calls of a conversation are mostly all slow or all fast."""
    wrong, ours = [], []
    for _ in range(runs):
        above = conversations(rng, 23 * WEEKS, 20, 0.9, P0).reshape(WEEKS, 23)
        wrong.append(ships([Counter({(1, 0): 460 - int(week.sum()), (1, 1): int(week.sum())}) for week in above]))
        ours.append(ships([Counter((20, int(k)) for k in week) for week in above]))
    return wrong, ours


DESIGNS = (
    Design("conversations counted turn by turn while they go on", "exactly 5 % slow, all of them late", turn_by_turn),
    Design("calls counted as if they were independent", "exactly 5 % slow, in conversations of 20", per_call),
    Design("cancelled calls dropped", "12 % slow, 9 in 10 of these cancelled", dropped_cancels),
    Design("a control's failures counted as slow", "2.0 × slower than a control that fails in 10 %", failing_control),
    Design("easy tenants counted from the start", "1.7 × slower in every tenant", easy_tenants_first),
    Design("the variance of a mean per row", "cost exactly 0.5 ×, five calls a conversation", variance_per_row),
    Design("a guard without data lets pass", "fast, and 3 in 10 reports invalid, unrecorded", guard_without_data),
    Design("a pass stays one", "good for 20 weeks, then 15 % slow for 32", late_regression),
)


# --- records, for what only a whole verdict can show ---------------------------------------------------------------


BLOCK = {
    "schema": 1,
    "feature": "agent_research",
    "candidate": {"variant": "candidate"},
    "control": {"variant": "control"},
    "tenants": {"script": 1.0},
    "traffic": {"dispatches_per_month": 174, "dispatches_per_conversation": 1},
    "looks": {"cadence": "weekly", "method": "anytime", "alpha": 0.05, "max_weeks": 52, "settle": "24h"},
    "unit": {"by": "conversation", "window": "0d"},
    "assignment": {"kind": "sticky_share", "by": "conversation", "share": 0.5},
    "max_unknown_share": 0.02,
    "on_rollback": "report",
}
GATE = {
    "id": "AC-1", "says": "p95 is at most 42054 ms", "severity": "gate", "measure": "response_time_ms",
    "aggregate": "p95", "at_most": {"value": 42054}, "baseline": {"source": "own-target"},
}  # fmt: skip
GUARD = {
    "id": "AC-2", "says": "95 % are valid", "severity": "guard", "measure": "output_valid", "aggregate": "rate",
    "at_least": {"value": 0.95}, "baseline": {"source": "own-target"},
}  # fmt: skip


def cells_of(look: int, size: int, slow: int, *, is_valid_known: bool = True) -> tuple[Cell, ...]:
    """A week of single calls of either arm, so many of the candidate's slow; valid, or nobody knows."""
    valid = Counted({(1, 0, 0): size}) if is_valid_known else Counted({(1, 1, 0): size}, unknown=size)
    counted = {"AC-1": Counted({(1, 0, 0): size - slow, (1, 1, 1): slow}), "AC-2": valid}
    week = {"look": look, "tenant": "script", "share": 0.5, "clusters": size, "dispatches": size}
    return tuple(Cell(**week, arm=arm, counted=counted) for arm in (Arm.CANDIDATE, Arm.CONTROL))  # type: ignore[arg-type]


def judged(weeks: Sequence[tuple[Cell, ...]], *criteria: dict[str, Any]) -> Verdict:
    """The verdict at the look after the last of these weeks."""
    block = Acceptance.model_validate(BLOCK | {"criteria": list(criteria)})
    record = Record(
        id="KD-0001", title="Made up", status=Status.PROPOSED, date=START.date(), deciders=(), supersedes=(),
        superseded_by=None, sections={}, acceptance=block, path=Path("KD-0001.md"),
    )  # fmt: skip
    cells = tuple(each for week in weeks for each in week)
    measurement = Measurement(cells=cells, excluded={}, distributions={}, sql="", distribution_sql=None)
    looks = Looks(start=START, as_of=START + len(weeks) * WEEK, window=0 * WEEK, settle=WEEK / 7, max_weeks=52)
    epoch = Epoch(number=1, start=START, candidate_hash="c", record_hash=block.hash)
    return judge(record, block, Origin.PRODUCTION, epoch, looks, measurement)
