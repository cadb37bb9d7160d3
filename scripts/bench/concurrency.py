"""Many dispatches at once: throughput and memory beside a bare loop over the SDK, and rows that must all be there."""

from __future__ import annotations

import statistics
import sys
import time

from bench_world import World, bench_world, count_rows
from rich.console import Console
from rich.table import Table

AT_ONCE = 64
PER_ROUND = 4 * AT_ONCE
MANY = 1000
LEAST_RATIO = 1.0
_PATIENCE_S = 60.0


def throughput(world: World, rounds: int) -> dict[str, float]:
    """Dispatches per second of wall time with `AT_ONCE` under way, by arm: the median of interleaved rounds."""
    arms = [world.start(name, concurrent=AT_ONCE) for name in ("dispatcher", "bare")]
    for arm in arms:
        arm.run(AT_ONCE)
    series: dict[str, list[float]] = {arm.name: [] for arm in arms}
    for _ in range(rounds):
        for arm in arms:
            series[arm.name].append(PER_ROUND / arm.run(PER_ROUND)["wall_s"])
    for arm in arms:
        arm.stop()
    return {name: statistics.median(rates) for name, rates in series.items()}


def memory_kb(world: World, name: str) -> float:
    """How much a process that has dispatched once grows for each of `AT_ONCE` that all wait for the provider."""
    arm = world.start(name, concurrent=AT_ONCE)
    arm.run(1)
    before = arm.rss_kb()
    world.ask("/bench/hold")
    arm.begin(AT_ONCE)
    held_since = time.monotonic()
    while world.ask("/bench/counts")["held"] < AT_ONCE:
        if time.monotonic() - held_since > _PATIENCE_S:
            raise SystemExit(f"of the arm {name} not all requests came within {_PATIENCE_S:g} s")
        time.sleep(0.05)
    grown = arm.rss_kb() - before
    world.ask("/bench/release")
    arm.end()
    arm.stop()
    return grown / AT_ONCE


def lost_rows(world: World) -> tuple[float, int]:
    """Seconds that `MANY` dispatches at once took, and how many of their rows are missing or ended otherwise."""
    log = world.folder / "many.db"
    arm = world.start("dispatcher", concurrent=MANY, log=log)
    wall_s = arm.run(MANY)["wall_s"]
    arm.stop()
    missing = MANY - count_rows(log, "ai_outbound_logs WHERE status = 'success'")
    return wall_s, missing + abs(3 * MANY - count_rows(log, "ai_outbound_calls"))


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with bench_world() as world:
        first = world.start("dispatcher")
        first.run(1)
        first.stop()
        world.record_requests()
        rates = throughput(world, rounds)
        grown = {name: memory_kb(world, name) for name in rates}
        wall_s, lost = lost_rows(world)
    table = Table("arm", "dispatches / s", "KB per dispatch in flight", title=f"{AT_ONCE} at once, {rounds} rounds")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:.1f}", f"{grown[name]:.0f}")
    console = Console(width=110)
    console.print(table)
    ratio = rates["dispatcher"] / rates["bare"]
    console.print(f"Throughput: {ratio:.2f} × the bare loop's, at least {LEAST_RATIO:.2f}.")
    console.print(f"{MANY} at once took {wall_s:.1f} s; {lost} rows lost.")
    return 1 if ratio < LEAST_RATIO or lost else 0


if __name__ == "__main__":
    sys.exit(main())
