"""What a decision costs, alone and while a large state is reloaded, beside the stock client; interleaved runs."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from UnleashClient import UnleashClient
from UnleashClient.cache import FileCache
from UnleashClient.utils import InstanceAllowType

from dispatcher.action.decision import Assignment
from dispatcher.action.request import Repository, ResearchAction
from dispatcher.audit.assignments import LoggedAssignments
from dispatcher.audit.engine import open_engine
from dispatcher.audit.record import Origin
from dispatcher.routing.assignment import Recall
from dispatcher.routing.flags.answer import FlagContext
from dispatcher.routing.flags.server import ServerFlags
from dispatcher.routing.policy import Policies
from dispatcher.routing.router import Router
from dispatcher.settings import look_at_kill_switch

ROOT = Path(__file__).resolve().parents[2]
FLAGS = 10_000
RATE = 200
PHASE_S = 8.0
REFRESH_S = 1
ROUNDS = 3_000
LIMIT_COST = 2.0
LIMIT_P99 = 0.2
TOKEN = "default:development.bench"  # noqa: S105 - of a server that asks for none
CONTEXT = {"tenantId": "script", "conversationId": "c-1"}
FLAG = "agent-research"


def small_state() -> dict[str, Any]:
    """The document that is shipped."""
    state: dict[str, Any] = json.loads((ROOT / "policies" / "flags.json").read_text())
    return state


def large_state() -> dict[str, Any]:
    """The same among FLAGS flags of other teams, about 4.5 MB."""
    state = small_state()
    strategy = state["features"][1]["strategies"][0]
    others = []
    for number in range(FLAGS):
        other = copy.deepcopy(strategy)
        other["constraints"][0]["values"] = [f"tenant-{number}-{n}" for n in range(3)]
        others.append({"name": f"other-{number}", "type": "release", "enabled": True, "strategies": [other]})
    return {**state, "features": others + state["features"]}


class Serving(BaseHTTPRequestHandler):
    """Every answer is another document, so that every poll is a reload."""

    protocol_version = "HTTP/1.1"
    states: list[bytes]
    answered = 0

    def do_GET(self) -> None:
        Serving.answered += 1
        body = self.states[Serving.answered % len(self.states)]
        self._send(200, body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._send(202, b"")

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("ETag", f'"{Serving.answered}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


def serve(which: str) -> None:
    """The server, in a process of its own: its work isn't part of what is measured."""
    states = [large_state() if which == "large" else small_state() for _ in range(2)]
    for number, state in enumerate(states):
        state["meta"] = {"revisionId": number}
    Serving.states = [json.dumps(state).encode() for state in states]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Serving)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


class Server:
    def __init__(self, which: str) -> None:
        self._process = subprocess.Popen([sys.executable, __file__, "--serve", which], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().decode().strip()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def our_flags(url: str, directory: Path) -> ServerFlags:
    flags = ServerFlags(url, SecretStr(TOKEN), [FLAG], state_dir=directory, refresh_s=REFRESH_S)
    flags.start()
    return flags


def our_router(flags: ServerFlags, directory: Path) -> Router:
    return Router(
        policies=Policies.load(ROOT / "policies"),
        flags=flags,
        look_at_kill_switch=lambda: look_at_kill_switch(directory / "KILL"),
        token_present=lambda _: True,
    )


def stock_client(url: str, directory: Path) -> UnleashClient:
    """The stock client as its documentation starts it."""
    return UnleashClient(
        url=f"{url}/api",
        app_name="bench",
        refresh_interval=REFRESH_S,
        custom_headers={"Authorization": TOKEN},
        cache_directory=str(directory),
        multiple_instance_mode=InstanceAllowType.SILENTLY_ALLOW,
    )


def bare_client(directory: Path) -> UnleashClient:
    """The stock client on the shipped state, alone: no polling, no thread."""
    cache = FileCache("bench-bare", directory=str(directory))
    cache.bootstrap_from_dict(small_state())
    return UnleashClient(
        url="http://127.0.0.1:9/api",
        app_name="bench",
        cache=cache,
        disable_metrics=True,
        disable_registration=True,
        multiple_instance_mode=InstanceAllowType.SILENTLY_ALLOW,
    )


def action() -> ResearchAction:
    repository = Repository(path=".", github_url="https://github.com/example/checkout")
    return ResearchAction(question="Where?", tenant="script", conversation_id="c-1", repository=repository)


def timed_us(call: Callable[[], object], rounds: int) -> float:
    began = time.perf_counter()
    for _ in range(rounds):
        call()
    return (time.perf_counter() - began) / rounds * 1e6


async def cost(runs: int) -> float:
    """Microseconds of a decision end to end beside one bare get_variant on the same state; the ratio."""
    with tempfile.TemporaryDirectory(prefix="bench-flags-") as name, Server("small") as server:
        directory = Path(name)
        flags, bare, asked = our_flags(server.url, directory), bare_client(directory), action()
        flags.stop()
        router = our_router(flags, directory)
        assignments = LoggedAssignments(open_engine(f"sqlite:///{directory}/log.db"), Origin.PRODUCTION)
        recall = Recall(assignments)
        began = time.perf_counter()
        await recall.of("script", "agent_research", "c-1")
        first_ms = (time.perf_counter() - began) * 1000
        series: dict[str, list[float]] = {"bare get_variant": [], "decision": [], "flag alone": []}

        async def decisions(rounds: int) -> float:
            known = Recall(Known())
            await known.of("script", "agent_research", "c-1")
            begun = time.perf_counter()
            for _ in range(rounds):
                recalled = await known.of("script", "agent_research", "c-1")
                router.decide(asked, mountable=True, unit="d-1", recalled=recalled)
            return (time.perf_counter() - begun) / rounds * 1e6

        context = FlagContext(tenant="script", conversation="c-1")
        for _ in range(runs + 1):
            series["bare get_variant"].append(timed_us(lambda: bare.get_variant(FLAG, {"properties": CONTEXT}), ROUNDS))
            series["decision"].append(await decisions(ROUNDS))
            series["flag alone"].append(timed_us(lambda: flags.evaluate(FLAG, context), ROUNDS))
        assignments.shutdown()
    ratio = statistics.median(
        ours / theirs for ours, theirs in zip(series["decision"][1:], series["bare get_variant"][1:], strict=True)
    )
    table = Table("what", "median µs", title=f"One decision, {runs} interleaved runs of {ROUNDS:,}")
    for what, times in series.items():
        table.add_row(what, f"{statistics.median(times[1:]):.1f}")
    Console().print(table)
    print(f"A decision (kill switch, flag, policy, cached assignment) is {ratio:.2f} bare get_variant; the limit is 2.")
    print(f"The first look-up of a conversation in the log took {first_ms:.1f} ms; it is remembered then.")
    return ratio


class Known:
    """A log that answers at once; what a process remembers of it is what is measured."""

    def look_up(self, *_: str) -> Future[Assignment | None]:
        found: Future[Assignment | None] = Future()
        found.set_result(Assignment(variant="legacy", variant_hash=None, turn=1, key="c-1", share=0.33))
        return found

    def shutdown(self) -> None:
        """Nothing to free."""


def open_loop(decide: Callable[[], object]) -> list[float]:
    """Milliseconds from when each decision was due to when it was made: a stall counts against all it delays."""
    took = []
    began = time.perf_counter()
    for number in range(int(RATE * PHASE_S)):
        due = began + number / RATE
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        decide()
        took.append((time.perf_counter() - due) * 1000)
    return took


def p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


def our_phase(server: Server, directory: Path) -> tuple[list[float], int]:
    """What our decisions took, and how often another state came into force meanwhile."""
    flags = our_flags(server.url, directory)
    router, asked = our_router(flags, directory), action()
    versions: list[str | None] = []
    took = open_loop(lambda: versions.append(router.decide(asked, mountable=True, unit="d-1").flag_version))
    flags.stop()
    return took, sum(before != after for before, after in pairwise(versions))


def stock_phase(server: Server, directory: Path) -> list[float]:
    client = stock_client(server.url, directory)
    client.initialize_client()
    took = open_loop(lambda: client.get_variant(FLAG, {"properties": CONTEXT}))
    client.destroy()
    return took


def reloads(runs: int) -> float:
    """The p99 of our decisions over the stock client's, both while a state of FLAGS flags is reloaded every second."""
    ours, theirs, swaps = [], [], []
    with tempfile.TemporaryDirectory(prefix="bench-flags-") as name, Server("large") as server:
        for run in range(runs):
            mine, seen = our_phase(server, Path(name))
            ours.append(p99(mine))
            swaps.append(seen)
            theirs.append(p99(stock_phase(server, Path(name) / f"stock-{run}")))
    ratio = statistics.median(mine / stock for mine, stock in zip(ours, theirs, strict=True))
    table = Table("run", "ours, p99 ms", "stock client, p99 ms", title=f"{RATE} decisions/s, {FLAGS:,} flags reloading")
    for number, (mine, stock) in enumerate(zip(ours, theirs, strict=True), 1):
        table.add_row(str(number), f"{mine:.2f}", f"{stock:.2f}")
    Console().print(table)
    print(f"In each of our phases another state came into force {min(swaps)} times or more.")
    print(f"The median ratio is {ratio:.3f}; the limit is {LIMIT_P99}.")
    return ratio


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
        return 0
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    logging.disable(logging.WARNING)
    cost_ratio = asyncio.run(cost(runs))
    p99_ratio = reloads(runs)
    return 1 if cost_ratio > LIMIT_COST or p99_ratio > LIMIT_P99 else 0


if __name__ == "__main__":
    sys.exit(main())
