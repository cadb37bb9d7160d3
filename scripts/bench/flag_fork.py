"""Forked workers of a process that polls, evaluates and reloads: does any hang, and do all see the next flip?

The server is a seeded one, named by the settings that scripts/unleash env prints; its flag is off afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from unleash_seed import Admin

from dispatcher.routing.flags.answer import FlagContext, FlagState
from dispatcher.routing.flags.server import ServerFlags

FLAG = "agent-research"
ACME = FlagContext(tenant="acme", conversation="c-1")
EXPECTED = "managed-haiku-4-5-cap8"
REFRESH_S = 2.0
HANGS_AFTER_S = 60.0
_ENVIRONMENT = f"/api/admin/projects/default/features/{FLAG}/environments/development"
_RIGHT, _WRONG, _FLIPPED = b"r", b"w", b"f"


@dataclass(slots=True)
class Worker:
    """A forked child, and what it has said so far: its first answer, and that it saw the flip."""

    pid: int
    pipe: int
    said: bytes = b""


def serve(flags: ServerFlags, pipe: int) -> NoReturn:
    """A worker's life: the first answer at once, then on until the flag is off."""
    try:
        flags.after_fork()
        os.write(pipe, _RIGHT if flags.evaluate(FLAG, ACME).variant == EXPECTED else _WRONG)
        while flags.evaluate(FLAG, ACME).state is not FlagState.OFF:
            time.sleep(0.05)
        os.write(pipe, _FLIPPED)
        flags.stop()
    finally:
        os._exit(0)


def fork(flags: ServerFlags) -> Worker:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        serve(flags, writing)
    os.close(writing)
    return Worker(pid, reading)


def listen(workers: list[Worker], answers: int) -> float:
    """Wait until each has said that many things, HANGS_AFTER_S at most; how long it took, in seconds."""
    began = time.monotonic()
    while waiting := [worker for worker in workers if len(worker.said) < answers]:
        left = HANGS_AFTER_S - (time.monotonic() - began)
        ready, _, _ = select.select([worker.pipe for worker in waiting], [], [], max(0.0, left))
        if not ready:
            break
        for worker in waiting:
            if worker.pipe in ready:
                worker.said += os.read(worker.pipe, 1) or b"\0"
    return time.monotonic() - began


def evaluate_until(done: threading.Event, flags: ServerFlags) -> None:
    while not done.is_set():
        flags.evaluate(FLAG, ACME)


def edit_until(done: threading.Event, admin: Admin) -> None:
    """Edit the flag all the while, so that forks meet reloads."""
    rule = admin("GET", f"{_ENVIRONMENT}/strategies")[0]["id"]
    number = 0
    while not done.wait(0.2):
        number += 1
        tenants = [{"op": "replace", "path": "/constraints/0/values", "value": ["acme", f"t-{number}"]}]
        admin("PATCH", f"{_ENVIRONMENT}/strategies/{rule}", tenants)


def run(workers: int, url: str, token: str, admin: Admin) -> dict[str, float]:
    admin("POST", f"{_ENVIRONMENT}/on")
    with tempfile.TemporaryDirectory() as kept:
        flags = ServerFlags(url, SecretStr(token), [FLAG], state_dir=Path(kept), refresh_s=REFRESH_S)
        flags.start()
        while flags.evaluate(FLAG, ACME).variant != EXPECTED:
            time.sleep(0.05)
        done = threading.Event()
        busy = [threading.Thread(target=evaluate_until, args=(done, flags)) for _ in range(3)]
        busy.append(threading.Thread(target=edit_until, args=(done, admin)))
        for thread in busy:
            thread.start()
        try:
            forked = [fork(flags) for _ in range(workers)]
        finally:
            done.set()
            for thread in busy:
                thread.join()
        first_s = listen(forked, 1)
        admin("POST", f"{_ENVIRONMENT}/off")
        flip_s = listen(forked, 2)
        flags.stop()
        for worker in forked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
    return {
        "workers": workers,
        "hung": sum(worker.said == b"" for worker in forked),
        "wrong": sum(worker.said[:1] not in (b"", _RIGHT) for worker in forked),
        "never_saw_the_flip": sum(worker.said[1:] != _FLIPPED for worker in forked),
        "last_first_answer_s": round(first_s, 2),
        "last_flip_s": round(flip_s, 2),
    }


def main() -> int:
    url, token = os.environ["DISPATCHER_UNLEASH_URL"], os.environ["DISPATCHER_UNLEASH_TOKEN"]
    found = run(int(sys.argv[1]), url, token, Admin(url, os.environ["DISPATCHER_UNLEASH_ADMIN_TOKEN"]))
    print(json.dumps(found))
    return 1 if found["hung"] or found["wrong"] or found["never_saw_the_flip"] else 0


if __name__ == "__main__":
    sys.exit(main())
