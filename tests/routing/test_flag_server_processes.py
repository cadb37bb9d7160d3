"""What a polling process does to its children and to its own end. Each claim is tried in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

from flag_server_world import World, choosing, good, silent, until

FORKS = 150


def start(script: str, world: World, state_dir: Path) -> subprocess.Popen[str]:
    prelude = f"""
        import json, os, sys, threading, time, logging
        from pathlib import Path
        from pydantic import SecretStr
        from dispatcher.routing.flags.answer import FlagContext
        from dispatcher.routing.flags.server import ServerFlags
        flag, acme = "agent-research", FlagContext(tenant="acme", conversation="c-1")
        flags = ServerFlags({world.url!r}, SecretStr("default:development.x"), [flag],
                            state_dir=Path({str(state_dir)!r}), refresh_s=1.0)
    """
    code = textwrap.dedent(prelude) + textwrap.dedent(script)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str], timeout: float = 110) -> Any:
    out, err = process.communicate(timeout=timeout)
    assert err == ""
    return json.loads(out)


def test_children_forked_under_load_all_answer_and_all_see_the_next_flip(tmp_path: Path) -> None:
    flipped = tmp_path / "flipped"
    flipped.mkdir()
    with World().serving(good(choosing("a"))) as world:
        process = start(
            f"""
            logging.disable(logging.WARNING)  # 150 pollers on a small machine may have to wait for an answer
            os.register_at_fork(after_in_child=flags.after_fork)
            flags.start()
            stop = threading.Event()

            def evaluate():
                while not stop.is_set():
                    flags.evaluate(flag, acme)

            def look():
                while not stop.is_set():  # as a parent that reloads all the time would
                    flags._poll._seen = None
                    flags._poll.look()

            threads = [threading.Thread(target=target, daemon=True) for target in (evaluate, evaluate, look)]
            for thread in threads:
                thread.start()

            def child():
                if flags.evaluate(flag, acme).variant not in ("a", "b"):
                    return 1
                until = time.monotonic() + 80
                while flags.evaluate(flag, acme).variant != "b":
                    if time.monotonic() > until:
                        return 2
                    time.sleep(0.2)
                return 0

            children = []
            for _ in range({FORKS}):
                pid = os.fork()
                if pid == 0:
                    os._exit(child())
                children.append(pid)
            stop.set()
            Path({str(flipped)!r}, "now").touch()
            endings, until = [], time.monotonic() + 90
            for pid in children:
                while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
                    time.sleep(0.02)
                if ended == (0, 0):
                    os.kill(pid, 9)
                    os.waitpid(pid, 0)
                endings.append("hangs" if ended == (0, 0) else os.waitstatus_to_exitcode(ended[1]))
            print(json.dumps(endings))
            """,
            world,
            tmp_path / "state",
        )

        def flip() -> None:
            until(lambda: (flipped / "now").exists() or process.poll() is not None, 100)
            world.answering = good(choosing("b"))

        flipping = threading.Thread(target=flip)
        flipping.start()
        endings = finished(process)
        flipping.join()

    assert endings == [0] * FORKS


def test_a_black_hole_delays_neither_the_start_nor_the_interpreters_end(tmp_path: Path) -> None:
    with World().serving(silent) as world:
        process = start(
            """
            began = time.monotonic()
            flags.start()
            state = flags.evaluate(flag, acme).state
            print(json.dumps([time.monotonic() - began < 2, str(state)]), flush=True)
            """,
            world,
            tmp_path,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        began = time.monotonic()
        process.wait(20)

    assert json.loads(line) == [True, "error"]
    assert time.monotonic() - began < 1.5
    assert process.communicate() == ("", "")
