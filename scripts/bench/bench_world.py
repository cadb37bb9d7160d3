"""Where the arms of a bench run: one scripted provider, one checkout, one folder of logs."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PEERS = ROOT / ".venv-bench" / "bin" / "python"
_MODULE = '''"""Orders of the shop."""

def total(lines: list[float]) -> float:
    """What the lines come to."""
    return sum(lines)
'''
_FILLER = "\n\ndef step_{0}(value: float) -> float:\n    return value * {0} + 1\n"


class World:
    """A provider that runs, and the folder that everything is kept in."""

    def __init__(self, folder: Path, base_url: str) -> None:
        self.folder = folder
        self.base_url = base_url
        self.log = folder / "log.db"

    def ask(self, path: str) -> Any:
        """One of the provider's own questions, such as /bench/counts."""
        with urllib.request.urlopen(f"{self.base_url}{path}") as reply:  # noqa: S310 - the loopback provider
            return json.load(reply)

    def start(self, arm: str, *, concurrent: int = 1, log: Path | None = None) -> Arm:
        """A program that carries out an arm's dispatches."""
        environment = self.environment(log or self.log) | {"BENCH_CONCURRENT": str(concurrent)}
        return Arm(arm, [str(python_of(arm)), str(HERE / "arms.py"), arm], environment)

    def environment(self, log: Path) -> dict[str, str]:
        """What a program of this world finds in its environment, ours and the peers'."""
        return {
            **os.environ,
            "ANTHROPIC_BASE_URL": self.base_url,
            "ANTHROPIC_API_KEY": "simulated",
            "DISPATCHER_DATABASE_URL": f"sqlite:///{log}",
            "DISPATCHER_POLICIES_DIR": str(ROOT / "policies"),
            "BENCH_CHECKOUT": str(self.folder / "checkout"),
            "BENCH_RECORDED": str(self.folder / "recorded.json"),
            "BENCH_LOG": str(self.folder / "peer.db"),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "PYTHONPATH": str(ROOT),
        }

    def record_requests(self) -> None:
        """Keep the requests of the latest dispatch, for the arms that send the very same ones."""
        (self.folder / "recorded.json").write_text(json.dumps(self.ask("/bench/recorded")))


def python_of(arm: str) -> Path:
    """What runs an arm: ours, or the peers'."""
    return PEERS if arm in {"pydantic-ai", "litellm"} else Path(sys.executable)


class Arm:
    """A running arm."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._answer("ready")

    def run(self, dispatches: int) -> dict[str, float]:
        """Carry out so many dispatches, and what they cost together."""
        self.begin(dispatches)
        return self.end()

    def begin(self, dispatches: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{dispatches}\n")

    def end(self) -> dict[str, float]:
        found: dict[str, float] = json.loads(self._answer("{"))
        return found

    def rss_kb(self) -> int:
        """What the program occupies in memory now."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 1024

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def _answer(self, beginning: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(beginning):
                return line
        raise SystemExit(f"the arm {self.name} ended without an answer, see its error above")


def count_rows(log: Path, rows: str) -> int:
    """How many rows an SQLite file has; `rows` is a table and perhaps a condition."""
    with closing(sqlite3.connect(log)) as connection:
        (found,) = connection.execute(f"SELECT count(*) FROM {rows}").fetchone()  # noqa: S608 - words of the benches
    return int(found)


@contextmanager
def bench_world(*words: str) -> Iterator[World]:
    """A world of its own, which ends with the block; the words are for its provider."""
    with TemporaryDirectory(prefix="dispatcher-bench-") as name:
        folder = Path(name)
        _make_checkout(folder / "checkout")
        command = [sys.executable, str(HERE / "scripted_provider.py"), *words]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as provider:
            assert provider.stdin is not None
            assert provider.stdout is not None
            try:
                yield World(folder, provider.stdout.readline().strip())
            finally:
                provider.stdin.close()


def _make_checkout(path: Path) -> None:
    (path / "shop").mkdir(parents=True)
    for number in range(40):
        text = _MODULE + "".join(_FILLER.format(step) for step in range(number))
        (path / "shop" / f"module_{number:02}.py").write_text(text)
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.invalid"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=path, check=True)
