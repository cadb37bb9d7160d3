"""Weekly looks at made-up paths, decided by the verdict's own functions and by others; prints Markdown tables."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from mean_tables import dear_dispatches, mean_costs, rates
from percentile_tables import clustered, contract_of_a_sample, known_limit, sampled_limit
from ship_designs import DESIGNS, regressions
from ship_rules import cell
from ship_tables import OVER, SEED, at_limit, printed


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
