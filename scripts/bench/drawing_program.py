"""`dispatcher`, run on a terminal that is watched: its time, its memory, and what its progress bar shows."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_MOST_RSS = re.compile(r"VmHWM:\s+(\d+) kB")
_PERCENT = re.compile(rb"(\d+)%")


class Cost(NamedTuple):
    """What a program cost: seconds of wall time, the most memory it had at once, and the shares its bar showed."""

    wall_s: float
    rss_mb: float
    shown: list[int]
    output: str


class Program:
    """`dispatcher` with a terminal as its standard error, so that it draws."""

    def __init__(self, url: str, *words: object) -> None:
        self.shown: list[int] = []
        leading, following = pty.openpty()
        environment = {**os.environ, "DISPATCHER_DATABASE_URL": url, "TERM": "xterm", "COLUMNS": "100"}
        command = [sys.executable, "-m", "dispatcher", *map(str, words)]
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=following, start_new_session=True
        )
        os.close(following)
        self._rss_mb = 0.0
        self._watching = [
            threading.Thread(target=self._read, args=(leading,)),
            threading.Thread(target=self._weigh),
        ]
        for thread in self._watching:
            thread.start()

    def end(self) -> Cost:
        """Wait for it. Raises SystemExit where it failed."""
        assert self._process.stdout is not None
        output = self._process.stdout.read().decode()
        self._process.wait()
        wall_s = time.perf_counter() - self._began
        self._join()
        if self._process.returncode != 0:
            raise SystemExit(f"{self._process.args} ended with {self._process.returncode}: {output}")
        return Cost(wall_s, self._rss_mb, self.shown, output)

    def kill_when(self, is_time: Callable[[], bool]) -> None:
        """Kill it once it is time. Raises SystemExit where it ended before."""
        while not is_time():
            if self._process.poll() is not None:
                raise SystemExit(f"{self._process.args} ended before it could be killed")
            time.sleep(0.005)
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._join()

    def _join(self) -> None:
        for thread in self._watching:
            thread.join()

    def _weigh(self) -> None:
        # Not by what `wait4` tells, which counts what this program had when it forked.
        while self._process.poll() is None:
            with suppress(OSError):
                text = Path(f"/proc/{self._process.pid}/status").read_text()
                if (found := _MOST_RSS.search(text)) is not None:
                    self._rss_mb = max(self._rss_mb, int(found[1]) / 1024)
            time.sleep(0.02)

    def _read(self, terminal: int) -> None:
        while True:
            try:
                told = os.read(terminal, 65536)
            except OSError:  # the other end is closed
                break
            if not told:
                break
            for found in _PERCENT.findall(told):
                if not self.shown or self.shown[-1] != int(found):
                    self.shown.append(int(found))
        os.close(terminal)
