"""What evaluating flags does to the process: nothing. Each claim is tried in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

from routing_documents import FLAG, document, only, rule, text


def run(script: str, path: Path, timeout: float = 90) -> dict[str, object]:
    path.write_bytes(text(document(rule(only("acme"), variants={"a": 1}))))
    prelude = f"""
        import json, os, sys, threading, time, logging
        from pathlib import Path
        from dispatcher.routing.flags.answer import FlagContext
        from dispatcher.routing.flags.file import EmbeddedFlags
        path, flag = Path({str(path)!r}), {FLAG!r}
        acme = FlagContext(tenant="acme", conversation="c-1")
    """
    code = textwrap.dedent(prelude) + textwrap.dedent(script)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, check=False)
    assert done.stderr == ""
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_no_thread_no_socket_no_file_and_no_log_line_comes_of_it(tmp_path: Path) -> None:
    found = run(
        """
        logging.basicConfig(level=logging.INFO)
        logging.getLogger("dispatcher").setLevel(logging.ERROR)  # a new state is announced by us, once
        sockets, written = [], []

        def watch(name, args):
            if name.startswith("socket."):
                sockets.append(name)
            if name == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and "next" not in str(args[0]):
                written.append(str(args[0]))
            if name in ("os.mkdir", "os.remove", "pickle.find_class"):
                written.append(name)

        sys.addaudithook(watch)
        flags = EmbeddedFlags(path, [flag])
        variants = {flags.evaluate(flag, acme).variant for _ in range(50)}
        for _ in range(3):
            path.with_name("next").write_bytes(path.read_bytes() + b" ")
            path.with_name("next").replace(path)
            time.sleep(0.21)
            flags.evaluate(flag, acme)
        threads = [thread.name for thread in threading.enumerate()]
        print(json.dumps({"variants": sorted(variants), "threads": threads, "sockets": sockets, "written": written}))
        """,
        tmp_path / "flags.json",
    )

    assert found == {"variants": ["a"], "threads": ["MainThread"], "sockets": [], "written": []}


def test_children_forked_while_threads_evaluate_and_reload_answer_and_see_the_next_flip(tmp_path: Path) -> None:
    found = run(
        """
        hurry = time.monotonic()
        flags = EmbeddedFlags(path, [flag], clock=lambda: (time.monotonic() - hurry) * 1e4)
        os.register_at_fork(after_in_child=flags.after_fork)
        good, stop = path.read_bytes(), threading.Event()

        def evaluate():
            while not stop.is_set():
                flags.evaluate(flag, acme)

        def edit():
            for turn in range(10**9):
                if stop.is_set():
                    return
                path.with_name("next").write_bytes(good + b" " * (turn % 50))
                path.with_name("next").replace(path)
                flags.evaluate(flag, acme)

        threads = [threading.Thread(target=target) for target in (evaluate, evaluate, edit)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)

        def child():
            if flags.evaluate(flag, acme).variant not in ("a", "b"):
                return 1
            until = time.monotonic() + 40
            while flags.evaluate(flag, acme).variant != "b":
                if time.monotonic() > until:
                    return 2
                time.sleep(0.01)
            return 0

        children = []
        for _ in range(30):
            pid = os.fork()
            if pid == 0:
                os._exit(child())
            children.append(pid)
            time.sleep(0.005)
        stop.set()
        for thread in threads:
            thread.join()
        path.with_name("next").write_bytes(good.replace(b'"a"', b'"b"'))
        path.with_name("next").replace(path)
        endings, until = [], time.monotonic() + 45
        for pid in children:
            while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
                time.sleep(0.01)
            if ended == (0, 0):
                os.kill(pid, 9)
                os.waitpid(pid, 0)
            endings.append("hangs" if ended == (0, 0) else os.waitstatus_to_exitcode(ended[1]))
        print(json.dumps({"endings": endings}))
        """,
        tmp_path / "flags.json",
    )

    assert found == {"endings": [0] * 30}
