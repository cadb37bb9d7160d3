"""Which requests have no row after a SIGKILL: the dispatcher's, and LiteLLM's with a callback that writes rows."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from bench_world import HERE, World, bench_world, python_of
from rich.console import Console
from rich.table import Table

CONCURRENT = (1, 16, 64)
FEWEST_ANSWERED, MOST_ANSWERED = 100, 400
MOST_DELAY_S = 0.02
ARMS = ("litellm", "dispatcher")


class Killed(NamedTuple):
    """The marks of a killed program's requests: those that the provider got, those whose calls had returned."""

    sent: set[str]
    answered: set[str]


class Missing(NamedTuple):
    """Counts of requests: all that were sent and have no row, and all that were answered and have no ended row."""

    sent: int
    sent_without_row: int
    answered: int
    answered_without_ended_row: int


def kill(world: World, arm: str, run: int, concurrent: int, chance: random.Random) -> Killed:
    """Let an arm ask until a random number of calls have returned, and kill it a random moment later."""
    enough, delay_s = chance.randint(FEWEST_ANSWERED, MOST_ANSWERED), chance.uniform(0, MOST_DELAY_S)
    command = [str(python_of(arm)), str(HERE / "kill_arms.py"), arm, str(run), str(concurrent)]
    answered: set[str] = set()
    with subprocess.Popen(command, env=world.environment(world.log), stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        if program.stdout.readline() != "ready\n":
            raise SystemExit(f"the arm {arm} didn't start, see its error above")
        for line in program.stdout:
            answered.add(line.strip())
            if len(answered) == enough:
                break
        time.sleep(delay_s)
        program.kill()
        answered.update(line.strip() for line in program.stdout)
    if len(answered) < enough:
        raise SystemExit(f"the arm {arm} ended by itself, see its error above")
    sent = {mark for mark in world.ask("/bench/marks") if mark.startswith(f"mark-{run}-")}
    return Killed(sent, answered)


def rows_of(log: Path, query: str) -> list[tuple[str, str]]:
    """The mark and the status of each row of an SQLite file."""
    with closing(sqlite3.connect(log)) as connection:
        return connection.execute(query).fetchall()


def compare(kills: int, chance: random.Random) -> tuple[dict[tuple[str, int], Missing], list[tuple[str, str]]]:
    """What is missing by arm and concurrency, and the dispatcher's rows."""
    runs: dict[tuple[str, int], list[Killed]] = {}
    with bench_world("--at-once") as world:
        run = 0
        for concurrent in CONCURRENT:
            for _ in range(kills):
                for arm in ARMS:
                    run += 1
                    runs.setdefault((arm, concurrent), []).append(kill(world, arm, run, concurrent, chance))
        rows = {
            "litellm": rows_of(world.folder / "peer.db", "SELECT mark, status FROM calls"),
            "dispatcher": rows_of(world.log, "SELECT project, status FROM ai_outbound_logs"),
        }
    return {where: missing(killed, rows[where[0]]) for where, killed in runs.items()}, rows["dispatcher"]


def missing(killed: list[Killed], rows: list[tuple[str, str]]) -> Missing:
    sent, answered = set().union(*(one.sent for one in killed)), set().union(*(one.answered for one in killed))
    there, ended = {mark for mark, _ in rows}, {mark for mark, status in rows if status != "started"}
    return Missing(len(sent), len(sent - there), len(answered), len(answered - ended))


def main(kills: int, seed: int) -> int:
    found, rows = compare(kills, random.Random(seed))  # noqa: S311 - not for a secret
    columns = ("arm", "at once", "sent", "of these without a row", "answered", "of these without an ended row")
    table = Table(*columns, title=f"{kills} times SIGKILL each, seed {seed}")
    for (arm, concurrent), counts in sorted(found.items()):
        table.add_row(arm, str(concurrent), *(f"{figure:,}" for figure in counts))
    console = Console(width=120)
    console.print(table)
    states = ", ".join(f"{status} {times:,}" for status, times in sorted(Counter(status for _, status in rows).items()))
    doubled = len(rows) - len({mark for mark, _ in rows})
    console.print(f"The dispatcher's rows: {states}; {doubled} twice. The `started` ones are what the kill cut off.")
    ours = [counts for (arm, _), counts in found.items() if arm == "dispatcher"]
    lost = sum(counts.sent_without_row + counts.answered_without_ended_row for counts in ours)
    return 1 if lost or doubled else 0


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(arguments[0] if arguments else 6, arguments[1] if arguments[1:] else random.randrange(2**32)))  # noqa: S311
