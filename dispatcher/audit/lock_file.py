"""Files that one process of the host has for itself, for a while: the kernel ends a lock with the process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from dispatcher.audit.trouble import unusable_path

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.0001, 0.0005

_open_ones: set[int] = set()
_no_fork = threading.Lock()


class SpoolTrouble(Exception):
    """A file of the spool can't be used; the message says why, and what to do."""


def private_file(path: Path) -> int:
    """A file that only this user reads, opened and, where it isn't there, made; its directory too, all on the disk.

    Raises SpoolTrouble.
    """
    if (problem := unusable_path(path)) is not None:
        raise SpoolTrouble(problem)
    try:
        is_there = path.exists()
        made_in = [directory.parent for directory in (path.parent, *path.parent.parents) if not directory.exists()]
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # It may hold content that a feature keeps.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not is_there:
                keep_names((path.parent, *made_in))
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise SpoolTrouble(f"{error.strerror}; check the path and its permissions") from None
    return descriptor


def keep_names(directories: Iterable[Path]) -> None:
    """Have the names in directories on the disk: a file that is synced is lost all the same where its name isn't."""
    for directory in directories:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def locked_file(path: Path, patience_s: float) -> Iterator[int | None]:
    """A file, open and locked; None where another process has it for longer than the patience. Raises SpoolTrouble."""
    with _no_fork:
        descriptor = private_file(path)
        _open_ones.add(descriptor)
    try:
        with holding(descriptor, patience_s) as held:
            yield descriptor if held else None
    finally:
        with _no_fork:
            # A child that was forked meanwhile has forgotten it.
            if descriptor in _open_ones:
                _open_ones.discard(descriptor)
                os.close(descriptor)


@contextlib.contextmanager
def holding(descriptor: int, patience_s: float) -> Iterator[bool]:
    """Hold the lock of an open file alone; False where another process holds it for longer than the patience."""
    waited, pause = 0.0, _FIRST_PAUSE_S
    while not (held := _try_lock(descriptor)) and waited < patience_s:
        time.sleep(pause)
        waited, pause = waited + pause, min(2 * pause, _LONGEST_PAUSE_S)
    try:
        yield held
    finally:
        if held:
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _forget_in_child() -> None:
    # A lock belongs to the open file, which a child shares: it would outlive the parent that holds it.
    while _open_ones:
        os.close(_open_ones.pop())
    _no_fork.release()


os.register_at_fork(before=_no_fork.acquire, after_in_parent=_no_fork.release, after_in_child=_forget_in_child)
