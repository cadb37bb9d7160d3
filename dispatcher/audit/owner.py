"""Who writes a row, in a form by which another process can tell whether that one still lives."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_FORM = re.compile(r"(.*)/([0-9a-f-]{36})/([0-9]{1,20})/([0-9]{1,9})/([0-9]{1,18})", re.DOTALL)
_STATE, _THREADS, _START = 0, 17, 19
_ENDED = frozenset("ZX")


class Life(StrEnum):
    """What one process can tell of another one."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"
    """It can't be seen from here: another host, a container's processes, or a row that no process of ours wrote."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, told from every other one.

    `boot` is the kernel's boot id, `namespace` the number of the pid namespace in which `pid` counts, and `start` the
    clock ticks between the boot and the process's start, by which a pid that was given away again is told.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    start: int

    def __str__(self) -> str:
        return "/".join((self.host, self.boot, self.namespace, str(self.pid), str(self.start)))


@dataclass(frozen=True, slots=True)
class Running:
    """A process as the kernel lists it; one that `ended` waits only for its parent to take note."""

    start: int
    ended: bool


Look = Callable[[int], Running | None]
"""The process with a pid of one's own namespace; None where there is none. Raises OSError where it can't be told."""


def read_owner(text: str | None) -> Owner | None:
    """The owner as a row has it; None for what `this_owner` never wrote, such as the source of an import."""
    match = _FORM.fullmatch(text or "")
    return None if match is None else Owner(match[1], match[2], match[3], int(match[4]), int(match[5]))


def life_of(owner: Owner | None, here: Owner, look: Look) -> Life:
    """Whether the owner still lives, for a process `here` that looks at its own namespace with `look`. Pure but for it.

    The boot id names the kernel, and with it the machine. Under another one a host of the same name has been started
    anew since, and nothing of it is left; of any other host nothing is known. In a pid namespace of the same kernel
    that isn't ours, a pid says nothing to us, so it counts as another host. A namespace's number, like a pid, is given
    away again only when all that was in it is gone.
    """
    if owner is None:
        return Life.UNKNOWN
    if owner.boot != here.boot:
        return Life.GONE if owner.host == here.host else Life.UNKNOWN
    if owner.namespace != here.namespace:
        return Life.UNKNOWN
    try:
        process = look(owner.pid)
    except OSError:
        return Life.UNKNOWN
    return Life.GONE if process is None or process.ended or process.start != owner.start else Life.ALIVE


def this_process() -> Owner:
    """The process that asks."""
    process = _listed(Path("/proc/self"))
    assert process is not None
    return Owner(
        host=os.uname().nodename,
        boot=Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
        namespace=str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]"),
        pid=os.getpid(),
        start=process.start,
    )


def this_owner() -> str:
    """The process that asks, as its rows name it."""
    return str(this_process())


def look_at(pid: int) -> Running | None:
    """The process with a pid of this one's namespace, None where there is none; see `Look`."""
    process = _listed(Path(f"/proc/{pid}"))
    if process is None:
        # Other users' processes may be hidden from the list; to a signal they are there.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            raise PermissionError(f"process {pid} is hidden")
    return process


def _listed(place: Path) -> Running | None:
    try:
        text = (place / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses and may hold blanks; what follows it is counted from there.
    fields = text.rpartition(")")[2].split()
    # The thread that a program began with may end before the others: only when it is the last one has the process.
    ended = fields[_STATE] in _ENDED and int(fields[_THREADS]) <= 1
    return Running(start=int(fields[_START]), ended=ended)
