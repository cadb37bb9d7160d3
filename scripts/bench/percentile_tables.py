"""The tables of percentiles: against a number, against a sample, of a sample's own p95, and of conversations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import ship_rules as rules
import ship_samples as samples
import ship_worlds as worlds
from numpy.random import Generator
from numpy.typing import NDArray
from ship_rules import AS_JUDGED, UNDIVIDED, cell
from ship_tables import ALPHA, SEED, at_limit, printed, ville


def known_limit(runs: int) -> None:
    """B.9-1: a number as the limit."""

    def rows() -> Iterator[Sequence[str]]:
        for month, weeks, ratios in (
            (36, 26, (1.0, 1.2, 1.35, 1.45, 1.5, 1.6, 1.75, 2.0)),
            (36, 52, (1.35, 1.5)),
            (500, 26, (1.0, 1.2, 1.35, 1.45, 1.5, 1.6)),
            (10_000, 26, (1.45, 1.5, 1.6)),
        ):
            sizes = worlds.calls_by(month, weeks)
            for ratio in ratios:
                rng = np.random.default_rng(SEED)
                k = worlds.counts(rng, runs, sizes, worlds.share_above(ratio))
                ours = rules.our_pass(k, sizes, UNDIVIDED)
                judged = rules.our_pass(k, sizes, AS_JUDGED)
                if ratio >= worlds.RATIO:
                    at_limit(f"number, {month} a month, {ratio}", ours)
                few = min(runs, 2_000, 30_000_000 // sizes[-1])
                streams = rng.random((few, sizes[-1])) < worlds.share_above(ratio)
                yield (
                    f"{month}, {weeks} weeks", f"{ratio:.2f}", cell(rules.naive_pass(k, sizes)),
                    cell(rules.naive_pass(k, sizes, 36)), cell(rules.rolling_pass(k, sizes)),
                    cell(rules.exact_pass(k, sizes, ALPHA)), ville("betting", streams.astype(np.int8), sizes),
                    cell(ours), cell(judged), cell(rules.our_fail(k, sizes, UNDIVIDED)),
                )  # fmt: skip

    header = (
        "calls a month", "true ratio", "naive point p95", "naive, n ≥ 36", "naive, last 4 weeks",
        "exact test each week", "ville, betting", "**ours**, undivided α", "**ours** as judged", "ours, rollback",
    )  # fmt: skip
    printed(
        "1. A number as the limit: p95 at most 1.5 × a known p95", f"{runs} runs (ville at most 2000).", header, rows()
    )


def sampled_limit(runs: int) -> None:
    """B.9-2: the baseline is a sample, pinned or in the same weeks."""

    def rows() -> Iterator[Sequence[str]]:
        for name, draw, month, pinned, weeks, ratios, share in (
            ("pinned 36, 36 a month", worlds.weibull, 36, 36, 52, (1.0, 1.2, 1.5, 2.0), 1.0),
            ("18 + 18 a month", worlds.weibull, 36, 0, 52, (1.0, 1.2, 1.35, 1.5, 2.0), 1.0),
            ("250 + 250 a month", worlds.weibull, 500, 0, 26, (1.35, 1.5, 1.75), 1.0),
            ("250 + 250, heavy tail", worlds.lognormal, 500, 0, 26, (1.0, 1.2, 1.5, 1.75), 1.0),
            ("5000 + 5000 a month", worlds.weibull, 10_000, 0, 12, (1.45, 1.5, 1.6), 0.25),
        ):
            for ratio in ratios:
                few = max(100, round(runs * share))
                yield (name, f"{ratio:.2f}", *_sampled(name, draw, month, pinned, weeks, ratio, few), str(few))

    header = ("setting", "true ratio", "naive", "two rank intervals", "ville, two sequences", "**ours**, undivided α",
              "**ours** as judged", "ours, rollback", "runs")  # fmt: skip
    printed("2. A sample as the baseline: p95 at most 1.5 × the p95 behind it", "", header, rows())


def _sampled(
    name: str, draw: worlds.Draw, month: float, pinned: int, weeks: int, ratio: float, runs: int
) -> Sequence[str]:
    rng = np.random.default_rng(SEED)
    both = worlds.calls_by(month, weeks)
    seen = [(n, pinned) for n in both] if pinned else [(n - n // 2, n // 2) for n in both]
    arrivals = [worlds.Arrivals(draw(rng, seen[-1][0]) * ratio, draw(rng, seen[-1][1]), seen) for _ in range(runs)]
    found = [samples.grid_firsts(each) for each in arrivals]
    if ratio >= worlds.RATIO:
        at_limit(f"sample, {name}, {ratio}", [each[0] for each in found])
    peer = ville(
        "ratio", np.array([each.candidate for each in arrivals]), [m for m, _ in seen], ratio=worlds.RATIO,
        controls=np.array([each.control for each in arrivals]), control_ends=np.array([n for _, n in seen]),
    )  # fmt: skip
    naive = cell([samples.naive_ratio_first(each) for each in arrivals])
    ranks = cell([samples.rank_intervals_first(each) for each in arrivals])
    return (naive, ranks, peer, *(cell([each[i] for each in found]) for i in range(3)))


def contract_of_a_sample(runs: int) -> None:
    """B.9-3: a sample's p95 taken as the truth."""

    def rows() -> Iterator[Sequence[str]]:
        for n in (36, 150, 1000):
            for month in (36, 500):
                for ratio in (1.5, 1.6):
                    sizes = worlds.calls_by(month, 26)
                    found = []
                    for p95 in (samples.interpolated, samples.nearest):
                        rng = np.random.default_rng(SEED)
                        found.append([_against_own_sample(rng, p95, n, sizes, ratio) for _ in range(runs)])
                    yield str(n), str(month), f"{ratio:.2f}", *map(cell, found)

    printed(
        "3. What alpha is worth where a sample's p95 is taken as the contract's number",
        f"{runs} runs over 26 weeks, undivided α: the share of paths shipped although they are 1.5 or 1.6 times slower "
        "than the true p95 behind the sample. It isn't α, and no claim is made that it were.",
        ("calls in the sample", "calls a month", "true ratio", "of its interpolated p95", "of its nearest-rank p95"),
        rows(),
    )


def _against_own_sample(
    rng: Generator, p95: Callable[[NDArray[np.float64]], float], n: int, sizes: Sequence[int], ratio: float
) -> int:
    limit = worlds.RATIO * p95(worlds.weibull(rng, n))
    share = math.exp(-((limit / ratio / worlds.SCALE) ** worlds.SHAPE))
    return int(rules.our_pass(worlds.counts(rng, 1, sizes, share), sizes, UNDIVIDED)[0])


def clustered(runs: int) -> None:
    """B.9-4: calls of one conversation resemble each other."""

    def rows() -> Iterator[Sequence[str]]:
        for rho in (0.0, 0.3, 0.6, 0.9):
            for size in (5, 20):
                yield _clustered(rho, size, worlds.P0, runs)
        for ratio in (1.2, 1.35):
            yield _clustered(0.6, 5, worlds.share_above(ratio), max(100, runs // 5))

    header = ("correlation", "calls each", "share above", "per call", "first call only", "ville, betting on means",
              "**ours**, undivided α", "**ours** as judged", "runs")  # fmt: skip
    printed("4. Conversations, 100 a month over 26 weeks; exactly 5 % above the limit", "", header, rows())


def _clustered(rho: float, size: int, share: float, runs: int) -> Sequence[str]:
    rng = np.random.default_rng(SEED)
    ends = worlds.calls_by(100, 26)
    above = [worlds.conversations(rng, ends[-1], size, rho, share) for _ in range(runs)]
    totals = np.array([np.cumsum(each)[np.array(ends) - 1] for each in above])
    singles = np.array([np.cumsum(each >= 1)[np.array(ends) - 1] for each in _first_calls(rng, above, size)])
    ours = [rules.cluster_pass(each, size, ends, UNDIVIDED) for each in above]
    judged = [rules.cluster_pass(each, size, ends, AS_JUDGED) for each in above]
    if share >= worlds.P0:
        at_limit(f"conversations of {size}, correlation {rho}", ours)
    means = np.array([each / size for each in above])
    return (
        f"{rho}", str(size), f"{share:.4f}", cell(rules.our_pass(totals, [n * size for n in ends], UNDIVIDED)),
        cell(rules.our_pass(singles, ends, UNDIVIDED)), ville("betting", means, ends), cell(ours), cell(judged),
        str(runs),
    )  # fmt: skip


def _first_calls(rng: Generator, above: Sequence[NDArray[np.int64]], size: int) -> Iterator[NDArray[np.bool_]]:
    """Whether the first call of each conversation exceeds: calls of one are exchangeable."""
    for each in above:
        yield rng.random(each.size) < each / size
