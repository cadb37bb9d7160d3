"""Runs a simulator on a loopback port."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import uvicorn

from dispatcher.errors import InvalidSimulation, PortInUse
from dispatcher.simulator.application import build_application
from dispatcher.simulator.clock import SimulatedClock
from dispatcher.simulator.config import SimulatorConfig
from dispatcher.simulator.connection import TellingProtocol
from dispatcher.simulator.effects import Effect
from dispatcher.simulator.faults.plan import Fired
from dispatcher.simulator.faults.rule import Rule
from dispatcher.simulator.metering.ledger import LedgerEntry
from dispatcher.simulator.world import World

_BACKLOG = 2048
# Longer than a client keeps an idle connection: a request on a connection that we just closed would fail.
_KEEP_ALIVE_S = 3600
_SHUTDOWN_S = 2
_START_S = 30


class Simulator:
    """A loopback Anthropic API in a daemon thread of its own: a context manager, or `start()` and `stop()`.

    Port 0 takes a free one. Raises PortInUse where the port is taken, InvalidSimulation or InvalidPolicy where a file
    of the configuration can't be used. One simulator starts once.
    """

    def __init__(
        self, config: SimulatorConfig, port: int = 0, host: str = "127.0.0.1", *, clock: SimulatedClock | None = None
    ) -> None:
        self._world = World.build(config, clock)
        self._socket = _listen(host, port)
        self._host, self._port = host, int(self._socket.getsockname()[1])
        self._started = threading.Event()
        self._server = _Server(self._uvicorn_config(), self._started)
        self._thread = threading.Thread(target=self._run, name=f"simulator-{self._port}", daemon=True)

    @property
    def base_url(self) -> str:
        """Where the API is served."""
        return f"http://{self._host}:{self._port}"

    @property
    def ledger(self) -> Sequence[LedgerEntry]:
        """Everything charged so far, in order."""
        return self._world.ledger.entries

    def inject(self, *rules: Rule) -> None:
        """Add faults, after those in force; they count requests from now. Safe from any thread, at any time."""
        self._world.faults.inject(rules)

    def clear_faults(self) -> None:
        """Take every fault back that hasn't happened yet."""
        self._world.faults.clear()

    @property
    def faults_fired(self) -> Sequence[Fired]:
        """The faults that happened so far, in order: one that was declared and is missing here had no occasion."""
        return self._world.faults.fired

    @property
    def effects(self) -> Sequence[Effect]:
        """What the model's tool calls got out into the world, in order: recorded, never carried out."""
        return tuple(self._world.effects)

    @property
    def running_sessions(self) -> int:
        """Managed sessions whose agent is at work right now."""
        return sum(session.is_running for session in tuple(self._world.store.sessions.values()))

    def start(self) -> Self:
        """Serve, and return when requests are answered."""
        self._thread.start()
        if not self._started.wait(_START_S):
            raise RuntimeError("the simulator's server did not start")
        return self

    def stop(self) -> None:
        """End running sessions and open streams, and wait for the server; more than once is harmless."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._world.checkouts.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.run(self._server.serve_world(self._world, self._socket))

    def _uvicorn_config(self) -> uvicorn.Config:
        return uvicorn.Config(
            build_application(self._world),
            loop="asyncio",
            http=TellingProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_SHUTDOWN_S,
        )


class _Server(uvicorn.Server):
    """uvicorn, telling when it listens and ending the world before it waits for connections."""

    def __init__(self, config: uvicorn.Config, started: threading.Event) -> None:
        super().__init__(config)
        self._listening = started
        self._world: World | None = None

    async def serve_world(self, world: World, listening: socket.socket) -> None:
        self._world = world
        await self.serve(sockets=[listening])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._world is not None:
            await self._world.close()
        await super().shutdown(sockets)


def run(
    config: SimulatorConfig, port: int = 0, *, host: str = "127.0.0.1", ready: Callable[[str], None] | None = None
) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is called with the base URL once requests are answered.

    Belongs on the main thread, where signals arrive.
    """
    stopping = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Simulator(config, port, host) as simulator:
            if ready is not None:
                ready(simulator.base_url)
            stopping.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    # asyncio sends small writes at once only on sockets whose protocol is named; otherwise every response waits 40 ms.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        # Bound but not listening, two sockets with SO_REUSEADDR can share a port.
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"{host}:{port} is taken by another program; choose another port, or none for a free one"
            ) from None
        raise InvalidSimulation("simulator", [f"can't listen on {host}:{port}: {error.strerror}"]) from None
    return listening
