"""The cap modes of the managed path compared: the same questions and caps, on a simulator behind a slow link."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import re
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from dispatcher.action.decision import CapMode, Caps, PathName, Variant
from dispatcher.action.observation import EndedBy, Status
from dispatcher.action.policy import RetryPolicy
from dispatcher.paths.claude import Claude
from dispatcher.paths.managed.path import ManagedPath
from dispatcher.paths.observation import Observation, Observer, Session
from dispatcher.paths.path import Fresh, Job, Outcome
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.prices import PriceTable
from dispatcher.simulator.config import SimulatorConfig
from dispatcher.simulator.server import Simulator

ROOT = Path(__file__).parents[2]
PRICES = ROOT / "policies" / "prices.yml"
URL = "https://github.com/example/dispatcher"
HAIKU = "claude-haiku-4-5"
DEADLINE_S = 600.0
FORMS = ("Where is `{}` decided?", "What calls `{}` and why?", "How does `{}` fail, and who is told?")


@dataclass(frozen=True)
class Run:
    """One question carried out; `wall_s` is the caller's wait in simulated seconds."""

    outcome: Outcome
    seen: Observation
    wall_s: float


def questions(checkout: Checkout, number: int) -> list[str]:
    """As many questions about functions of the repository, the same ones at the same commit."""
    assert checkout.commit_sha is not None
    command = ["git", "-C", str(checkout.root), "grep", "-hoE", r"^(async )?def [a-z]\w{5,}", checkout.commit_sha]
    found = subprocess.run([*command, "--", "dispatcher"], check=True, capture_output=True, text=True).stdout
    names = sorted({re.sub(r".*def ", "", line) for line in found.splitlines()})
    chosen = names[:: max(1, len(names) // number)][:number]
    return [FORMS[index % len(FORMS)].format(name) for index, name in enumerate(chosen)]


@contextlib.asynccontextmanager
async def slow_link(target: str, one_way_s: float) -> AsyncIterator[str]:
    """The address of a relay that delivers every byte so many seconds later, in both directions, in order."""
    host, _, port = target.removeprefix("http://").partition(":")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arriving: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await arriving.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if not data or writer.is_closing():
                    writer.close()
                    return
                writer.write(data)

        delivering = asyncio.create_task(deliver())
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                arriving.put_nowait((time.monotonic() + one_way_s, data))
        arriving.put_nowait((time.monotonic() + one_way_s, b""))
        with contextlib.suppress(ConnectionError):
            await delivering

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        # An ending loop cancels it, which the server would report as an error.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(relay(reader, far_writer), relay(far_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def job_of(question: str, checkout: Checkout, mode: CapMode, cap: int, log_id: str) -> Job:
    caps = Caps(iterations=cap, tool_calls=300, tokens=3_000_000, cost_nanousd=5_000_000_000, deadline_s=DEADLINE_S)
    variant = Variant(
        name=f"bench-{mode}-{cap}",
        path=PathName.MANAGED,
        model=HAIKU,
        iteration_cap=cap,
        tool_call_cap=caps.tool_calls,
        token_cap=caps.tokens,
        cost_cap_nanousd=caps.cost_nanousd,
        deadline_s=DEADLINE_S,
        cap_mode=mode,
    )
    return Job(
        log_id=log_id,
        tenant="bench",
        project=None,
        question=question,
        variant=variant,
        caps=caps,
        deadline_ns=time.monotonic_ns() + int(DEADLINE_S * 1e9),
        checkout=checkout,
        seed=Fresh(),
        keeps_session=False,
        retries=RetryPolicy(),
    )


async def carry_out(path: ManagedPath, job: Job, prices: PriceTable, time_scale: float) -> Run:
    async def note(_session: Session) -> None:
        return None

    began = time.monotonic_ns()
    observer = Observer(
        prices=prices, on=dt.date(2026, 11, 21), clock=time.monotonic_ns, started_ns=began, note_session=note
    )
    outcome = await path.run(job, observer)
    return Run(outcome, observer.observed(), (time.monotonic_ns() - began) / 1e9 / time_scale)


async def measure(options: argparse.Namespace, checkout: Checkout) -> dict[tuple[int, CapMode], list[Run]]:
    asked = questions(checkout, options.questions)
    return {
        (cap, mode): await measure_one(options, checkout, asked, cap, mode) for cap in options.caps for mode in CapMode
    }


async def measure_one(
    options: argparse.Namespace, checkout: Checkout, asked: Sequence[str], cap: int, mode: CapMode
) -> list[Run]:
    """All questions at once, on a simulator of their own: nothing of another series is in its prompt cache."""
    prices = PriceTable.load(PRICES)
    config = SimulatorConfig(
        repositories={URL: checkout.root}, time_scale=options.time_scale, prices=PRICES, seed=options.seed
    )
    jobs = [job_of(question, checkout, mode, cap, f"{cap}-{mode}-{n}") for n, question in enumerate(asked)]
    with Simulator(config) as simulator:
        async with slow_link(simulator.base_url, options.round_trip_ms / 2000 * options.time_scale) as address:
            claude = Claude(api_key=SecretStr("bench"), base_url=address, simulated=True)
            path = ManagedPath(claude, lambda _tenant, _url: None)
            runs = await asyncio.gather(*(carry_out(path, job, prices, options.time_scale) for job in jobs))
            await path.settle()
    return runs


def tabulated(runs: dict[tuple[int, CapMode], list[Run]], title: str) -> Table:
    table = Table(title=title)
    for column in (
        "cap",
        "mode",
        "n",
        "valid reports",
        "of them after the cap",
        "requests",
        "beyond the cap, mean (most)",
        "wall s, median / p95",
        "cost USD, mean",
        "cost unknown",
    ):
        table.add_column(column)
    for (cap, mode), of_mode in runs.items():
        table.add_row(str(cap), mode, *_figures(cap, of_mode))
    return table


def _figures(cap: int, runs: Sequence[Run]) -> list[str]:
    valid = [run for run in runs if run.outcome.status is Status.SUCCESS]
    after = [run for run in valid if run.outcome.ended_by is EndedBy.ITERATION_CAP]
    # After an accepted report the platform makes one closing request, whatever the mode: it isn't work beyond the cap.
    beyond = [max(0, run.seen.iterations - (run in valid) - cap) for run in runs]
    walls = sorted(run.wall_s for run in runs)
    costs = [run.seen.cost_nanousd for run in runs if run.seen.cost_nanousd is not None]
    p95 = walls[max(0, -(-95 * len(walls) // 100) - 1)]
    return [
        str(len(runs)),
        f"{len(valid)} ({len(valid) / len(runs):.0%})",
        str(len(after)),
        str(sum(run.seen.iterations for run in runs)),
        f"{statistics.mean(beyond):.2f} ({max(beyond)})",
        f"{statistics.median(walls):.1f} / {p95:.1f}",
        f"{statistics.mean(costs) / 1e9:.5f}" if costs else "",
        str(len(runs) - len(costs)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--questions", type=int, default=48)
    parser.add_argument("--time-scale", type=float, default=1.0)
    parser.add_argument("--round-trip-ms", type=float, default=80.0)
    parser.add_argument("--caps", type=lambda text: [int(cap) for cap in text.split(",")], default=[8, 4])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    checkout = Checkout(ROOT, head.stdout.strip(), URL)
    title = f"{HAIKU}, round trip {options.round_trip_ms:g} ms, time scale {options.time_scale:g}, seed {options.seed}"
    Console(width=160).print(tabulated(asyncio.run(measure(options, checkout)), title))


if __name__ == "__main__":
    main()
