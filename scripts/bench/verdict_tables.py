"""Weekly looks at made-up paths, decided by the verdict's own functions and by others; prints Markdown tables."""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ship_rules as rules
import ship_worlds as worlds
from numpy.random import Generator
from numpy.typing import NDArray
from ship_designs import DESIGNS, regressions
from ship_rules import AS_JUDGED, UNDIVIDED, cell

ROOT = Path(__file__).resolve().parents[2]
PEER = ROOT / ".venv-bench-verdict" / "bin" / "python"
SEED = 20261121
ALPHA = 0.05
MARGIN = 0.01

OVER: list[str] = []


def at_limit(label: str, firsts: Sequence[int]) -> None:
    """Remember a path at its limit that was shipped more often than alpha allows."""
    shipped = int((np.asarray(firsts) > 0).sum())
    if shipped > rules.most_by_chance(len(firsts), ALPHA):
        OVER.append(f"{label}: shipped in {shipped} of {len(firsts)} runs")


def ville(kind: str, streams: NDArray[Any], ends: Sequence[int], **more: object) -> str:
    """What ville makes of the same streams, as a cell."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        given: dict[str, Any] = {"kind": kind, "streams": streams, "ends": np.array(ends), **more}
        np.savez(source, **given)
        subprocess.run(
            [str(PEER), str(Path(__file__).with_name("verdict_peers.py")), str(source), str(target)], check=True
        )
        return cell(np.load(target)["firsts"])


def printed(title: str, runs: str, header: Sequence[str], rows: Iterator[Sequence[str]]) -> None:
    began = time.monotonic()
    print(f"## {title}\n\n{runs}\n")
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header), flush=True)
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print(flush=True)
    print(f"{title}: {time.monotonic() - began:.0f} s", file=sys.stderr)


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
    found = [rules.grid_firsts(each) for each in arrivals]
    if ratio >= worlds.RATIO:
        at_limit(f"sample, {name}, {ratio}", [each[0] for each in found])
    peer = ville(
        "ratio", np.array([each.candidate for each in arrivals]), [m for m, _ in seen], ratio=worlds.RATIO,
        controls=np.array([each.control for each in arrivals]), control_ends=np.array([n for _, n in seen]),
    )  # fmt: skip
    naive = cell([rules.naive_ratio_first(each) for each in arrivals])
    ranks = cell([rules.rank_intervals_first(each) for each in arrivals])
    return (naive, ranks, peer, *(cell([each[i] for each in found]) for i in range(3)))


def contract_of_a_sample(runs: int) -> None:
    """B.9-3: a sample's p95 taken as the truth."""

    def rows() -> Iterator[Sequence[str]]:
        for n in (36, 150, 1000):
            for month in (36, 500):
                for ratio in (1.5, 1.6):
                    sizes = worlds.calls_by(month, 26)
                    found = []
                    for p95 in (rules.interpolated, rules.nearest):
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
    ours, judged = (list(rules.rates_first(k, sizes, MARGIN, rule)) for rule in (UNDIVIDED, AS_JUDGED))
    if drop >= MARGIN:
        at_limit(f"rate, {month} a month, {drop}", ours)
    n = np.array(sizes)
    share = [each / n for each in k]
    error = np.sqrt(sum(each * (1 - each) for each in share) / n)
    naive = rules.first(share[0] - share[1] <= MARGIN)
    wald = rules.first(share[0] - share[1] + 1.6448536 * error <= MARGIN)
    pairs = failing[0].astype(np.int8) - failing[1].astype(np.int8)
    return cell(naive), cell(wald), ville("pairs", pairs, sizes, margin=MARGIN), cell(ours), cell(judged)


def designs(runs: int) -> None:
    """The ways a wrong design ships a bad path."""

    def rows() -> Iterator[Sequence[str]]:
        for design in DESIGNS:
            wrong, ours = design.simulate(np.random.default_rng(SEED), runs)
            if design.is_bad:
                at_limit(design.name, ours)
            yield design.name, design.path, cell(wrong), cell(ours)

    printed(
        "7. Wrong designs", f"{runs} runs each.",
        ("design", "the path", "shipped by the wrong design", "**ours** as judged"), rows(),
    )  # fmt: skip
    said = Counter(outcome.value for _, outcome in regressions(np.random.default_rng(SEED), runs))
    counted = ", ".join(f"{outcome} in {100 * count / runs:.1f} %" for outcome, count in said.most_common())
    print(f"In the last row the verdict of week 52 is {counted} of the runs.\n")


TABLES: dict[str, tuple[Callable[[int], None], int]] = {
    "1": (known_limit, 20_000),
    "2": (sampled_limit, 400),
    "3": (contract_of_a_sample, 5_000),
    "4": (clustered, 600),
    "5": (mean_costs, 500),
    "6": (rates, 500),
    "designs": (designs, 400),
    "dear": (dear_dispatches, 400),
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, help="runs of each row, instead of each table's own number")
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], metavar="TABLE")
    given = parser.parse_args()
    for name in given.tables or TABLES:
        table, runs = TABLES[name]
        table(given.runs or runs)
    for line in OVER:
        print(f"verdict_tables: {line}", file=sys.stderr)
    return 1 if OVER else 0


if __name__ == "__main__":
    sys.exit(main())
