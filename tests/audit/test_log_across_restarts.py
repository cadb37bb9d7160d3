"""A log whose server is killed and started again, on a PostgreSQL and a MariaDB of the test's own."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Iterator

import pytest
from attempts import a_call, an_ending, an_opening
from database_servers import Place, script
from databases import Databases
from local_process import alive, wait_for
from log_contract import rows

from dispatcher.audit.engine import open_engine
from dispatcher.audit.log import Log
from dispatcher.audit.tables import calls
from dispatcher.errors import LogUnavailable


@pytest.fixture(scope="module")
def own_servers(database_servers: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Servers that no other test uses."""
    folder = tmp_path_factory.mktemp("own-servers")
    script("start", folder)
    yield Databases(folder, volatile=True)
    script("reset", folder)


# PyMySQL leaves the socket of an attempt to connect that failed to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
async def test_what_was_accepted_before_the_server_was_killed_is_there_and_the_log_goes_on(
    own_servers: Databases, tmp_path_factory: pytest.TempPathFactory, server: str
) -> None:
    """64 attempts are under way; each that was opened is there, and each that was closed is ended with its calls."""
    place = Place(own_servers, server)
    engine = open_engine(place.migrated())
    log, opened, closed, halfway = Log(engine), set(), set(), asyncio.Event()

    async def attempt() -> None:
        for opening in [an_opening() for _ in range(50)]:
            try:
                await log.open(opening)
                opened.add(opening.log_id)
                await log.close(opening.log_id, an_ending(), [a_call()])
                closed.add(opening.log_id)
            except LogUnavailable as error:
                assert "\n" not in str(error)  # noqa: PT017 - each of many, and one is enough
                return
            finally:
                if len(closed) >= 100:
                    halfway.set()

    work = asyncio.gather(*(attempt() for _ in range(64)))
    await halfway.wait()
    await asyncio.to_thread(_kill, own_servers, server)
    await work
    assert 100 <= len(closed) < 64 * 50
    await asyncio.to_thread(script, "start", own_servers.folder)

    another = an_opening()
    await log.open(another)
    await log.close(another.log_id, an_ending(), [a_call()])
    found = {row["log_id"]: row["status"] for row in rows(engine)}
    assert opened | {another.log_id} <= set(found)
    assert closed | {another.log_id} <= {log_id for log_id, status in found.items() if status == "success"}
    ended = sorted(log_id for log_id, status in found.items() if status == "success")
    assert [row["log_id"] for row in rows(engine, calls)] == ended
    log.shutdown()
    engine.dispose()
    place.close()
    gc.collect()


def _kill(servers: Databases, server: str) -> None:
    pid = servers.postgres.pid if server == "postgresql" else servers.mariadb.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: not alive(pid), 10)
