"""Process CPU of one dispatch, per arm: the median of interleaved rounds, as ratios to each peer."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import NamedTuple

from bench_world import PEERS, Arm, bench_world, count_rows
from rich.console import Console
from rich.table import Table


class Cost(NamedTuple):
    """Milliseconds of CPU: of the process, and of the programs that its tools and its look at the checkout run."""

    own_ms: float
    children_ms: float


LIMITS = {"bare": 1.25, "pydantic-ai": 0.5, "litellm": 1 / 3}
PER_ROUND = 10
REQUESTS = 3


def measure(rounds: int, *, peers: bool) -> dict[str, Cost]:
    """What one dispatch costs, by arm; tells where an arm did other work than the rest."""
    with bench_world() as world:
        ours = world.start("dispatcher")
        ours.run(1)
        world.record_requests()
        names = ["bare", "tools", *(["pydantic-ai", "litellm"] if peers else [])]
        arms = [ours, *(world.start(name) for name in names)]
        for arm in arms:
            arm.run(PER_ROUND)
        series: dict[str, list[dict[str, float]]] = {arm.name: [] for arm in arms}
        for _ in range(rounds):
            for arm in arms:
                before = world.ask("/bench/counts")["requests"]
                series[arm.name].append(arm.run(PER_ROUND))
                _refuse_other_work(arm, world.ask("/bench/counts")["requests"] - before)
        for arm in arms:
            arm.stop()
        dispatched = (rounds + 1) * PER_ROUND
        _refuse_missing_rows(world.log, "ai_outbound_logs WHERE status = 'success'", dispatched + 1)
        _refuse_missing_rows(world.log, "ai_outbound_calls", REQUESTS * (dispatched + 1))
        if peers:
            _refuse_missing_rows(world.folder / "peer.db", "calls", REQUESTS * dispatched)
    return {name: Cost(_median_ms(found, "cpu_s"), _median_ms(found, "children_s")) for name, found in series.items()}


def _median_ms(found: list[dict[str, float]], what: str) -> float:
    return statistics.median(one[what] / PER_ROUND * 1000 for one in found)


def _refuse_other_work(arm: Arm, requests: int) -> None:
    expected = 0 if arm.name == "tools" else REQUESTS * PER_ROUND
    if requests != expected:
        raise SystemExit(f"the arm {arm.name} made {requests} requests in a round and not {expected}")


def _refuse_missing_rows(log: Path, rows: str, expected: int) -> None:
    found = count_rows(log, rows)
    if found != expected:
        raise SystemExit(f"{found} rows of {rows} were written and not {expected}")


def main() -> int:
    arguments = [argument for argument in sys.argv[1:] if argument != "--peers"]
    peers = "--peers" in sys.argv
    if peers and not PEERS.exists():
        raise SystemExit(f"{PEERS} is missing; run scripts/bench/dispatch --peers")
    rounds = int(arguments[0]) if arguments else 21
    costs = measure(rounds, peers=peers)
    ours, tools = costs["dispatcher"], costs["tools"]
    title = f"CPU of one dispatch, 3 streamed requests and 2 tool calls, median of {rounds} interleaved rounds"
    table = Table("arm", "CPU ms", "without the tools", "of child processes", "dispatcher / arm", "limit", title=title)
    for name, cost in costs.items():
        shown = [f"{figure:.2f}" for figure in (cost.own_ms, cost.own_ms - tools.own_ms, cost.children_ms)]
        judged = [f"{ours.own_ms / cost.own_ms:.2f}", f"{LIMITS[name]:.2f}"] if name in LIMITS else ["", ""]
        table.add_row(name, *shown, *judged)
    Console(width=110).print(table)
    over = [name for name, limit in LIMITS.items() if name in costs and ours.own_ms > limit * costs[name].own_ms]
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
