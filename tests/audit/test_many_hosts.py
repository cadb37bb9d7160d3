"""Many hosts, each with several processes and a spool of its own, write to one PostgreSQL that goes away meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from database_servers import Place
from log_contract import rows
from road import Road, road_to

from dispatcher.audit.engine import open_engine
from dispatcher.audit.spool import Bounds
from dispatcher.audit.spool_drain import Drain
from dispatcher.audit.spooled_log import spool_of
from dispatcher.audit.tables import calls

ROOT = Path(__file__).parents[2]
NAMES = ("host-a", "host-b", "host-c", "host-d")
PROCESSES, AT_ONCE, ENOUGH = 2, 6, 20
_PATIENCE_S = 90.0

# A process that writes until it is told to end, and says what was accepted and what has ended.
PROGRAM = f"""
import asyncio, os, sys, threading
from pathlib import Path
sys.path.append({str(Path(__file__).parent)!r})
from attempts import a_call, an_ending, an_opening
from dispatcher.audit.spool import Bounds
from dispatcher.audit.spooled_log import log_with_spool, open_serving_engine, spool_of

url, directory, owner = sys.argv[1:]
told = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), told.set()), daemon=True).start()

async def attempts(log):
    while not told.is_set():
        opening = an_opening(owner=owner)
        await log.open(opening)
        os.write(1, f"accepted {{opening.log_id}}\\n".encode())
        await log.close(opening.log_id, an_ending(), [a_call()])
        os.write(1, f"ended {{opening.log_id}}\\n".encode())
        await asyncio.sleep(0.02)

async def main():
    spool = spool_of(url, Path(directory), Bounds())
    log = log_with_spool(open_serving_engine(url, spool), spool, patience_s=2.0)
    await asyncio.gather(*(attempts(log) for _ in range({AT_ONCE})))
    await asyncio.to_thread(log.shutdown)

asyncio.run(main())
"""


class Host:
    """A machine of its own to the log: a name, a boot, a spool, and processes."""

    def __init__(self, name: str, url: str, folder: Path, ending: ExitStack) -> None:
        self.name = name
        self.spool = spool_of(url, folder / "spool", Bounds())
        ending.callback(self.spool.shutdown)
        self._said = [folder / f"said-{number}" for number in range(PROCESSES)]
        folder.mkdir()
        self._processes = []
        for number, said in enumerate(self._said):
            # Every host counts its processes in the same way.
            owner = f"{name}/{name.encode().hex():0>8}-0000-4000-8000-000000000000/4026531836/{100 + number}/7"
            command = [sys.executable, "-c", PROGRAM, url, str(folder / "spool"), owner]
            with said.open("w") as out, said.with_suffix(".log").open("w") as log:
                process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=out, stderr=log)
            self._processes.append(ending.enter_context(process))
            ending.callback(process.kill)

    def heard(self, word: str) -> set[str]:
        """The ids of the attempts of which the processes said the word."""
        lines = [line.split() for said in self._said for line in said.read_text().splitlines(keepends=True)]
        return {line[1] for line in lines if line[0] == word}

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def end(self) -> list[int]:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        return [process.wait(_PATIENCE_S) for process in self._processes]


def wait_until(come: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not come():
        assert time.monotonic() < until, f"{what}: not within {_PATIENCE_S:g} s"
        time.sleep(0.02)


@pytest.fixture
def road(database_places: dict[str, Place]) -> Iterator[tuple[Road, str]]:
    with road_to(database_places["postgresql"].migrated()) as beginning:
        yield beginning


def test_what_any_host_accepted_is_one_row_with_that_hosts_name(road: tuple[Road, str], tmp_path: Path) -> None:
    """While the database is there, while it is away, when it is back; and of a host that is killed while it is away,
    once that host drains its spool.
    """
    way, url = road
    with ExitStack() as ending:
        hosts = [Host(name, url, tmp_path / name, ending) for name in NAMES]
        *living, killed = hosts
        wait_until(lambda: all(len(host.heard("ended")) >= ENOUGH for host in hosts), "rows in the database")

        way.close()
        wait_until(lambda: all(host.spool.status().waiting >= ENOUGH for host in hosts), "rows in the spools")
        killed.kill()
        waiting = killed.spool.status().waiting

        way.open()
        wait_until(lambda: all(host.spool.status().waiting == 0 for host in living), "empty spools")
        assert killed.spool.status().waiting == waiting
        assert [code for host in living for code in host.end()] == [0] * PROCESSES * len(living)
        engine = open_engine(url)
        ending.callback(engine.dispose)
        drain = Drain(killed.spool, engine)
        drain.run()
        drain.shutdown()

        found = {row["log_id"]: row for row in rows(engine)}
        for host in living:
            assert host.heard("accepted") == {log_id for log_id, row in found.items() if _host_of(row) == host.name}
        # A kill may come between the commit and the word of it.
        untold = {log_id for log_id, row in found.items() if _host_of(row) == killed.name} - killed.heard("accepted")
        assert killed.heard("accepted") <= found.keys()
        assert len(untold) <= PROCESSES * AT_ONCE
        ended = set().union(*(host.heard("ended") for host in hosts))
        assert {found[log_id]["status"] for log_id in ended} == {"success"}
        assert ended <= Counter(call["log_id"] for call in rows(engine, calls)).keys()
        assert set(Counter(call["log_id"] for call in rows(engine, calls)).values()) == {1}
        assert [(host.spool.status().waiting, host.spool.status().quarantined) for host in hosts] == [(0, 0)] * 4


def _host_of(row: dict[str, object]) -> str:
    return str(row["owner"]).partition("/")[0]
