"""Random schedules of faults at full size: what they came to, and how many of the faults happened."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "faults"))

from faults_ground import TOKEN, TOKEN_VARIABLE  # noqa: E402 - the tests' own modules
from schedule_run import Theatre  # noqa: E402
from schedules import CROSSING, ON_MANAGED, ON_MESSAGES, Schedule, schedules  # noqa: E402

GROUPS = {"messages": ON_MESSAGES, "managed": ON_MANAGED, "crossing": CROSSING}


def play(theatre: Theatre, variants: tuple[str, ...], count: int, number: int) -> None:
    """Play so many schedules. Raises AssertionError with the smallest one found that breaks something."""

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(schedule=schedules(variants))
    def nothing_breaks(schedule: Schedule) -> None:
        problems = theatre.broken(schedule)
        assert not problems, problems

    nothing_breaks()


def main(arguments: list[str]) -> int:
    count = int(arguments[0]) if arguments else 2000
    number = int(arguments[1]) if arguments[1:] else random.randrange(2**32)  # noqa: S311 - not for a secret
    os.environ[TOKEN_VARIABLE], os.environ["NO_PROXY"] = TOKEN, "127.0.0.1"
    console, began = Console(stderr=True), time.monotonic()
    console.print(f"{count} schedules, seed {number}")
    with tempfile.TemporaryDirectory() as room, Theatre(Path(room) / "ground") as theatre:
        for variants in GROUPS.values():
            play(theatre, variants, count // len(GROUPS), number)
        endings, happened = theatre.endings, theatre.happened
    table = Table("ending", "rows", title=f"{count} schedules in {time.monotonic() - began:.0f} s, seed {number}")
    for ending, rows in endings.most_common():
        table.add_row(ending, str(rows))
    console.print(table, happened_table(happened))
    return 0


def happened_table(happened: Counter[str]) -> Table:
    table = Table("fault", "times it happened")
    for fault, times in happened.most_common():
        table.add_row(fault, str(times))
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
