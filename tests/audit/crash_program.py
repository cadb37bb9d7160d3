"""Forks programs that write to a log, drain, sweep or migrate it and are killed by SIGKILL at one of their steps.

Reads one order a line, a JSON object, from standard input, and answers each with the exit codes of its programs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sqlite3
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

sys.path.append(str(Path(__file__).parent))
from attempts import BEGAN, a_call, an_ending, an_opening

from dispatcher.audit import migrate
from dispatcher.audit.engine import connect
from dispatcher.audit.log import Log
from dispatcher.audit.owner import Life, this_owner
from dispatcher.audit.spool import Bounds, Spool
from dispatcher.audit.spooled_log import log_with_spool
from dispatcher.audit.sweeper import Sweeper
from dispatcher.dispatch.sweeping import RowSweep
from dispatcher.errors import LogUnavailable
from dispatcher.prices import PriceTable

# Imported here, so that no forked program has to.
from dispatcher.audit.migrations import runner  # noqa: F401  # isort: skip

PRICES = PriceTable.load(Path(__file__).parents[2] / "policies" / "prices.yml")
DATABASE = "the database"
ON_THREAD = {"during spool": "audit-spool", "during drain": "audit-drain", "during sweep": "", "during migrate": ""}
PATIENCE_S = 0.05


class Death:
    """Kills this process at the n-th time that it comes to a step."""

    def __init__(self, step: str, nth: int) -> None:
        self._step = step
        self._left = nth
        self._thread = ON_THREAD.get(step)

    def at(self, step: str) -> None:
        if step == self._step:
            self._count()

    def watch(self, engine: sa.Engine) -> None:
        """Look at every statement before it is carried out, of the database and of the spool."""
        if self._thread is None:
            return
        sa.event.listen(engine, "before_cursor_execute", lambda *_: self._statement())

        def connected(*arguments: Any, of_sqlite: Any = sqlite3.connect, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = of_sqlite(*arguments, **options)
            if self._thread:
                connection.set_trace_callback(lambda _statement: self._statement())
            return connection

        sqlite3.connect = connected  # type: ignore[assignment]

    def _statement(self) -> None:
        if threading.current_thread().name.startswith(self._thread or ""):
            self._count()

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Notes:
    """What a program has been promised, in a file of its own that is on the disk before it goes on."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, log_id: str, word: str) -> None:
        os.write(self._file, f"{log_id} {word}\n".encode())
        os.fsync(self._file)


def engine_of(url: str, busy_ms: int) -> sa.Engine:
    engine = connect(url)
    if engine.dialect.name == "sqlite":
        # Refused is what is meant here; how long one waits for it is another matter.
        sa.event.listen(
            engine, "connect", lambda connection, _record: connection.execute(f"PRAGMA busy_timeout={busy_ms}")
        )
    return engine


async def attempts(log: Log, notes: Notes, death: Death, order: dict[str, Any]) -> None:
    async def attempt() -> None:
        opening = an_opening(owner=this_owner())
        death.at("before open")
        try:
            await log.open(opening, fail_open=order["fail_open"])
        except LogUnavailable:
            return
        notes.note(opening.log_id, "accepted")
        death.at("after open")
        with contextlib.suppress(LogUnavailable):
            await log.note_session(opening.log_id, "sesn_1", "agent_1", 7)
        death.at("mid-stream")
        await asyncio.sleep(0)
        death.at("before close")
        try:
            await log.close(opening.log_id, an_ending(session_id=None), [a_call(), a_call(ordinal=2)])
        except LogUnavailable:
            return
        notes.note(opening.log_id, "closed")

    async def some() -> None:
        for _ in range(order["attempts"]):
            await attempt()

    await asyncio.gather(*(some() for _ in range(2)))


def write(order: dict[str, Any], death: Death, notes: Notes) -> None:
    engine = engine_of(order["url"], order["busy_ms"])
    death.watch(engine)
    spool = Spool(Path(order["spool"]), DATABASE, Bounds(), lambda: BEGAN)
    log = log_with_spool(engine, spool, patience_s=PATIENCE_S)
    asyncio.run(attempts(log, notes, death, order))
    # The drain, too, has to come to its step.
    threading.Event().wait(order["linger_s"])


def sweep(order: dict[str, Any], death: Death, _notes: Notes) -> None:
    engine = engine_of(order["url"], order["busy_ms"])
    death.watch(engine)
    sweeper = RowSweep(Sweeper(engine), lambda _: Life.GONE, lambda _: set(), None, PRICES, BEGAN - BEGAN)
    asyncio.run(sweeper.run())


def migrate_it(order: dict[str, Any], death: Death, _notes: Notes) -> None:
    engine = engine_of(order["url"], order["busy_ms"])
    death.watch(engine)
    migrate.upgrade(engine)


WORK: dict[str, Callable[[dict[str, Any], Death, Notes], None]] = {
    "during sweep": sweep,
    "during migrate": migrate_it,
}


def run(order: dict[str, Any], number: int) -> None:
    notes = Notes(Path(order["notes"]) / str(number))
    if order["largest_file"]:
        # A file of this process that grows beyond it meets the error that a full disk gives.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest_file"], order["largest_file"]))
    death = Death(order["step"], order["nth"])
    try:
        WORK.get(order["step"], write)(order, death, notes)
    except (LogUnavailable, sa.exc.SQLAlchemyError):
        # A database that refuses ends it, too.
        os._exit(3)
    os._exit(0)


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        children = []
        for number in range(order["processes"]):
            child = os.fork()
            if not child:
                try:
                    run(order, number)
                except BaseException:  # noqa: BLE001 - it is said, and the process ends
                    traceback.print_exc()
                    os._exit(1)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        sys.stdout.write(json.dumps(codes) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
