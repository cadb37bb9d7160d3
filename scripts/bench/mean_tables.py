"""The tables of mean costs and of rates, beside the control's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import ship_rules as rules
import ship_worlds as worlds
from numpy.typing import NDArray
from ship_rates import rates_first
from ship_rules import AS_JUDGED, UNDIVIDED, cell
from ship_tables import ALPHA, SEED, at_limit, printed, ville

MARGIN = 0.01


def mean_costs(runs: int) -> None:
    """B.9-5: a mean cost beside the control's."""

    def rows() -> Iterator[Sequence[str]]:
        for sigma, month, weeks in ((0.6, 36, 52), (0.6, 500, 26), (1.2, 36, 52), (1.2, 500, 26)):
            for mean in (0.35, 0.45, 0.5, 0.55):
                yield (f"{sigma}", f"{month}, {weeks} weeks", f"{mean}", *_cost(sigma, month, weeks, mean, runs))

    header = ("σ", "calls a month", "true ratio", "naive", "fixed-sample interval each week",
              "ville, asymptotic sequence", "**ours**, undivided α", "**ours** as judged")  # fmt: skip
    printed("5. Mean cost at most 0.5 × the control's; lognormal costs, equal arms", f"{runs} runs.", header, rows())


def _cost(sigma: float, month: float, weeks: int, mean: float, runs: int) -> Sequence[str]:
    rng = np.random.default_rng(SEED)
    ends = [n // 2 for n in worlds.calls_by(month, weeks)]
    case = rules.CostCase(t_star=float(ends[-1]))
    drawn = [(worlds.costs(rng, ends[-1], mean, sigma), worlds.costs(rng, ends[-1], 1.0, sigma)) for _ in range(runs)]
    split = [_by_week(run, ends) for run in drawn]
    naive = [rules.welch_first(each, case, None) for each in split]
    weekly = [rules.welch_first(each, case, ALPHA) for each in split]
    ours = [rules.mean_first(each, case, UNDIVIDED) for each in split]
    judged = [rules.mean_first(each, case, AS_JUDGED) for each in split]
    if mean >= float(case.ratio):
        at_limit(f"cost, σ {sigma}, {month} a month, {mean}", ours)
    pairs = np.array([candidate - 0.5 * control for candidate, control in drawn])
    peer = ville("mean", pairs, ends, t_opt=ends[-1] / 2)
    return cell(naive), cell(weekly), peer, cell(ours), cell(judged)


def _by_week(arms: Sequence[NDArray[np.int64]], ends: Sequence[int]) -> list[Any]:
    return [tuple(worlds.sums_of(arm[a:b]) for arm in arms) for a, b in zip([0, *ends], ends, strict=False)]


def dear_dispatches(runs: int) -> None:
    """What an asymptotic sequence can't hold: a few dispatches that cost many times as much, the mean at its limit."""

    def rows() -> Iterator[Sequence[str]]:
        for month, weeks in ((36, 52), (500, 26)):
            for share, times in ((0.2, 1.5), (0.05, 6.2), (0.01, 30.0)):
                yield (
                    f"{month}, {weeks} weeks",
                    f"1 in {1 / share:.0f}, {times:g} ×",
                    *_dear(month, weeks, share, times, runs),
                )

    header = (
        "calls a month",
        "dear ones, × the control's mean",
        "fixed-sample interval each week",
        "**ours** as judged",
    )
    printed("8. Rare dear dispatches: mean cost exactly 0.5 × the control's", f"{runs} runs.", header, rows())


def _dear(month: float, weeks: int, share: float, times: float, runs: int) -> Sequence[str]:
    rng = np.random.default_rng(SEED)
    ends = [n // 2 for n in worlds.calls_by(month, weeks)]
    case = rules.CostCase(t_star=float(ends[-1]))
    split = [
        _by_week((worlds.dear_costs(rng, ends[-1], 0.5, share, times), worlds.costs(rng, ends[-1], 1.0, 0.3)), ends)
        for _ in range(runs)
    ]
    return (
        cell([rules.welch_first(each, case, ALPHA) for each in split]),
        cell([rules.mean_first(each, case, AS_JUDGED) for each in split]),
    )


def rates(runs: int) -> None:
    """B.9-6: a rate beside the control's."""

    def rows() -> Iterator[Sequence[str]]:
        for month, weeks, few in ((36, 52, runs), (500, 26, runs), (10_000, 26, max(100, runs // 4))):
            for drop in (0.0, 0.01, 0.02, 0.04):
                yield f"{month}, {weeks} weeks", f"{100 * drop:.0f} pp", *_rate(month, weeks, drop, few), str(few)

    header = ("calls a month", "true drop", "naive", "Wald interval each week", "ville, betting on pairs",
              "**ours**, undivided α", "**ours** as judged", "runs")  # fmt: skip
    printed("6. Valid reports at most 1 pp fewer than the control's 97 %; equal arms", "", header, rows())


def _rate(month: float, weeks: int, drop: float, runs: int) -> Sequence[str]:
    rng = np.random.default_rng(SEED)
    sizes = [n // 2 for n in worlds.calls_by(month, weeks)]
    failing = [rng.random((runs, sizes[-1])) < share for share in (0.03 + drop, 0.03)]
    k = [np.cumsum(each, axis=1)[:, np.array(sizes) - 1] for each in failing]
    ours, judged = (list(rates_first(k, sizes, MARGIN, rule)) for rule in (UNDIVIDED, AS_JUDGED))
    if drop >= MARGIN:
        at_limit(f"rate, {month} a month, {drop}", ours)
    n = np.array(sizes)
    share = [each / n for each in k]
    error = np.sqrt(sum(each * (1 - each) for each in share) / n)
    naive = rules.first(share[0] - share[1] <= MARGIN)
    wald = rules.first(share[0] - share[1] + 1.6448536 * error <= MARGIN)
    pairs = failing[0].astype(np.int8) - failing[1].astype(np.int8)
    return cell(naive), cell(wald), ville("pairs", pairs, sizes, margin=MARGIN), cell(ours), cell(judged)
