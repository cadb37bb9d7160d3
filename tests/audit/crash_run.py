"""One run of the crash matrix: programs that are killed, and what must hold after it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, Self

import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening
from crash_matrix import Cell
from open_rows import left_open

from dispatcher.audit.engine import connect, migrate_database, open_engine
from dispatcher.audit.owner import Life, life_of, look_at, read_owner, this_process
from dispatcher.audit.record import new_log_id
from dispatcher.audit.spool import Bounds, Spool
from dispatcher.audit.spool_drain import Drain
from dispatcher.audit.sweeper import Sweeper
from dispatcher.audit.swept import SweptEnding
from dispatcher.audit.tables import calls, log_gaps, logs

ROOT = Path(__file__).parents[2]
KILLED = -9
_LARGEST_FILE = 200_000
_LEFT = 4
"""How many attempts wait in the spool, or rows are left open, before a program comes to drain or to sweep."""


class Base(Protocol):
    """A database that the programs of a run write to."""

    def migrated(self) -> str:
        """The URL of one with the newest schema."""
        ...

    def old(self) -> str:
        """The URL of one with an earlier schema."""
        ...

    def down(self, url: str) -> contextlib.AbstractContextManager[object]:
        """It refuses everything."""
        ...

    def slow(self, url: str) -> contextlib.AbstractContextManager[object]:
        """It keeps every statement waiting, again and again."""
        ...

    def full(self, url: str) -> contextlib.AbstractContextManager[object]:
        """It refuses what would make it grow."""
        ...


class Programs:
    """The process that forks the programs."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "audit" / "crash_program.py")],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, order: dict[str, Any]) -> list[int]:
        """The exit codes of the programs, when they have ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        codes: list[int] = json.loads(self._process.stdout.readline())
        return codes


def crash(cell: Cell, base: Base, programs: Programs, folder: Path) -> list[str]:
    """Let the programs of a cell die; what of the log's promises they broke, nothing where all is well."""
    (folder / "notes").mkdir(parents=True)
    url = base.old() if cell.step == "during migrate" else base.migrated()
    run = _Run(cell, url, folder)
    run.prepare()
    state = contextlib.nullcontext() if cell.state == "up" else getattr(base, cell.state)(url)
    with state:
        codes = programs.run(run.order())
    if KILLED not in codes or set(codes) - {KILLED, 0, 3}:
        return [f"the programs ended with {codes}"]
    return list(run.broken())


class _Run:
    def __init__(self, cell: Cell, url: str, folder: Path) -> None:
        self._cell = cell
        self._url = url
        self._folder = folder
        self._first = new_log_id()
        self._accepted: set[str] = set()
        self._closed: set[str] = set()

    def prepare(self) -> None:
        """What earlier programs have left."""
        spool = self._spool()
        spool.prepare()
        if self._cell.step == "during drain":
            for _ in range(_LEFT):
                opening = an_opening()
                spool.open(opening)
                spool.close(opening.log_id, an_ending(session_id=None), [a_call(), a_call(ordinal=2)])
                self._accepted.add(opening.log_id)
                self._closed.add(opening.log_id)
        spool.shutdown()
        if self._cell.step in {"during sweep", "during migrate"}:
            engine = connect(self._url)
            self._accepted |= {left_open(engine) for _ in range(_LEFT)}
            engine.dispose()

    def order(self) -> dict[str, Any]:
        cell = self._cell
        return {
            "url": self._url,
            "spool": str(self._folder / "spool"),
            "notes": str(self._folder / "notes"),
            "step": cell.step,
            "nth": cell.nth,
            "processes": cell.processes,
            "busy_ms": 1000 if cell.state in {"up", "slow"} else 1,
            "largest_file": _LARGEST_FILE if cell.state == "full" else 0,
            "fail_open": cell.fail_open,
            "attempts": 16 if cell.fail_open else 3,
            "linger_s": 5.0 if cell.step == "during drain" else 0.0,
        }

    def broken(self) -> Iterator[str]:
        """What the log promised and doesn't hold, when the database takes everything again."""
        if self._cell.step == "during migrate":
            migrate_database(self._url)
        for path in (self._folder / "notes").iterdir():
            # The last line may be cut short: then it was promised to nobody.
            for line in filter(lambda line: line.endswith("\n"), path.read_text().splitlines(keepends=True)):
                log_id, word = line.split()
                (self._accepted if word == "accepted" else self._closed).add(log_id)
        engine = open_engine(self._url)
        try:
            yield from self._broken(engine)
        finally:
            engine.dispose()

    def _broken(self, engine: sa.Engine) -> Iterator[str]:
        spool = self._spool()
        drain = Drain(spool, engine)
        drained = drain.run()
        drain.shutdown()
        if drained.left or drained.stopped or spool.status().quarantined:
            yield f"the spool isn't empty: {drained}, {spool.quarantined()}"
        spool.shutdown()
        found = self._rows(engine)
        gaps = self._gaps(engine)
        if gaps and not self._cell.fail_open:
            yield f"{gaps} gaps"
        if missing := self._accepted - found.keys():
            if len(missing) > gaps:
                yield f"accepted, and neither a row nor in a gap: {len(missing) - gaps} of {len(self._accepted)}"
            if self._closed & found.keys() != self._closed - missing:
                yield "what was closed isn't there"
        # Each of a program's two attempts under way may have been durable before it was told so.
        if len(found) + gaps - len(self._accepted) > 2 * self._cell.processes:
            yield f"{len(found)} rows and {gaps} in gaps for {len(self._accepted)} accepted"
        open_still = {log_id for log_id in self._closed & found.keys() if found[log_id] == "started"}
        # A row that a hanging database made after all, of an attempt in a gap, may not have been ended.
        if len(open_still) > gaps:
            yield f"closed, and open: {open_still}"
        yield from self._calls_broken(engine, found)
        yield from self._never_ended(engine, found)

    def _calls_broken(self, engine: sa.Engine, found: dict[str, str]) -> Iterator[str]:
        with engine.connect() as connection:
            made = Counter(connection.execute(sa.select(calls.c.log_id).where(calls.c.log_id >= self._first)).scalars())
        expected = Counter({log_id: 2 for log_id, status in found.items() if status == "success"})
        if made != expected:
            yield f"calls: {made} instead of {expected}"

    def _never_ended(self, engine: sa.Engine, found: dict[str, str]) -> Iterator[str]:
        """Every row that is still open belongs to a process that is gone, and is given up."""
        sweeper = Sweeper(engine)
        with engine.connect() as connection:
            query = sa.select(logs.c.log_id, logs.c.owner).where(logs.c.status == "started")
            left = [row for row in connection.execute(query) if row.log_id in found]
        for log_id, owner in left:
            if life_of(read_owner(owner), this_process(), look_at) is Life.ALIVE:
                yield f"the owner of {log_id} is said to live"
            sweeper.lose(log_id, SweptEnding(usage_unavailable_reason="owner_gone"), [])
        sweeper.release()
        if unended := [log_id for log_id, status in self._rows(engine).items() if status == "started"]:
            yield f"never ended: {unended}"

    def _rows(self, engine: sa.Engine) -> dict[str, str]:
        with engine.connect() as connection:
            query = sa.select(logs.c.log_id, logs.c.status).where(logs.c.log_id >= self._first)
            return {row.log_id: row.status for row in connection.execute(query)}

    def _gaps(self, engine: sa.Engine) -> int:
        with engine.connect() as connection:
            query = sa.select(sa.func.sum(log_gaps.c.dispatches)).where(log_gaps.c.gap_id >= self._first)
            return int(connection.execute(query).scalar() or 0)

    def _spool(self) -> Spool:
        return Spool(self._folder / "spool", "the database", Bounds(), lambda: BEGAN)
