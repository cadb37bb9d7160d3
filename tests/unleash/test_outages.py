"""A real server that dies under load, or is a black hole at the start, hurts nobody."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from real_unleash import FLAG, UnleashServer
from unleash_processes import wait_for

from dispatcher.routing.flags.answer import FlagContext, FlagState
from dispatcher.routing.flags.server import ServerFlags

REFRESH_S = 0.2
EXPECTED = {"acme": "managed-haiku-4-5-cap8", "globex": "managed-sonnet-4-6", "initech": "legacy-cached", "other": None}
CONTEXTS = [FlagContext(tenant=tenant, conversation=f"c-{n}") for tenant in EXPECTED for n in range(5)]


def following(unleash: UnleashServer, state_dir: Path) -> ServerFlags:
    token = SecretStr(unleash.backend_token)
    return ServerFlags(unleash.url, token, [FLAG], state_dir=state_dir, refresh_s=REFRESH_S)


class Load:
    """Threads that evaluate all contexts over and over, and count what came out right."""

    def __init__(self, flags: ServerFlags) -> None:
        self._flags = flags
        self._ended = threading.Event()
        self.counts: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._run) for _ in range(3)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            for context in CONTEXTS:
                answer = self._flags.evaluate(FLAG, context)
                right = answer.variant == EXPECTED[context.tenant]
                self.counts[f"{'right' if right else 'wrong'}, {'doubted' if answer.stale else 'confirmed'}"] += 1
            time.sleep(0.001)


def test_a_server_killed_under_load_costs_no_wrong_decision_and_few_lines(
    unleash: UnleashServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Over many polls that fail, and until the server is back and its next flip is seen."""
    flags = following(unleash, tmp_path / "state")
    flags.start()
    caplog.set_level(logging.INFO)
    caplog.clear()

    with Load(flags) as load:
        assert wait_for(lambda: load.counts["right, confirmed"] > 1000, 30)
        unleash.kill()
        assert wait_for(lambda: load.counts["right, doubted"] > 1000, 30)
        time.sleep(10 * REFRESH_S)
        lines_of_the_outage = [record.getMessage() for record in caplog.records]
        unleash.start()
        assert wait_for(lambda: not flags.evaluate(FLAG, CONTEXTS[0]).stale, 30)
    unleash.switch(FLAG, on=False)
    seen = wait_for(lambda: flags.evaluate(FLAG, CONTEXTS[0]).state is FlagState.OFF, 30)
    flags.stop()

    assert (load.counts["wrong, confirmed"], load.counts["wrong, doubted"]) == (0, 0)
    assert seen
    assert len(lines_of_the_outage) == 1, lines_of_the_outage
    assert "the last good flags stay in force" in lines_of_the_outage[0]


def test_a_black_hole_at_the_start_is_survived_with_the_last_good_state(unleash: UnleashServer, tmp_path: Path) -> None:
    """Ready within two seconds, answers as before that say they are doubted; then it follows the server."""
    before = following(unleash, tmp_path / "state")
    before.start()
    before.stop()
    unleash.kill()

    with socket.socket() as hole:
        hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hole.bind(("127.0.0.1", int(unleash.url.rpartition(":")[2])))
        hole.listen(50)
        flags, took = started(lambda: following(unleash, tmp_path / "state"))
        answers = {context.tenant: flags.evaluate(FLAG, context) for context in CONTEXTS}
        stopping = time.monotonic()
        flags.stop()
        stopped = time.monotonic() - stopping
        nothing_kept, took_without = started(lambda: following(unleash, tmp_path / "nothing kept"))
        unknowing = nothing_kept.evaluate(FLAG, CONTEXTS[0])
        nothing_kept.stop()
    unleash.start()
    flags.start()
    followed = wait_for(lambda: not flags.evaluate(FLAG, CONTEXTS[0]).stale, 30)
    flags.stop()

    assert max(took, took_without) <= 2.0
    assert stopped <= 2.0
    assert {tenant: answer.variant for tenant, answer in answers.items()} == EXPECTED
    assert all(answer.stale for answer in answers.values())
    assert (unknowing.state, unknowing.variant) == (FlagState.ERROR, None)
    assert followed


def started(make: Callable[[], ServerFlags]) -> tuple[ServerFlags, float]:
    began = time.monotonic()
    flags = make()
    flags.start()
    return flags, time.monotonic() - began
