"""Parsing in a short-lived child process, away from the interpreter that evaluates.

Parsing holds the interpreter's lock for as long as it takes, and every decision waits meanwhile, whichever thread it is
that parses.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

LARGE = 256 * 1024
"""From how many bytes on a document is parsed in a child process."""
_CHILD_S = 60.0


def in_child(module: str, arguments: Iterable[str], content: bytes) -> tuple[int, bytes] | None:
    """Run a module of ours with the content on its standard input: its exit code, and what it printed.

    None where no child could be started, or it took longer than a minute. It is spoken to through files that have no
    name. A pipe's end would live on in whatever this process forks meanwhile, and never close.
    """
    if not Path(sys.executable or "").name.startswith("python"):
        return None  # an embedding server, which would start another server
    if not hasattr(os, "memfd_create"):
        return None  # not Linux
    command = [sys.executable, "-P", "-m", module, *arguments]
    try:
        with _nameless("given") as given, _nameless("printed") as printed:
            given.write(content)
            given.seek(0)
            # Without closing descriptors, which are not inherited anyway, Python spawns instead of forking: a fork
            # would copy this process's locks, and run its hooks.
            child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command, stdin=given, stdout=printed, stderr=subprocess.DEVNULL, close_fds=False
            )
            try:
                status = child.wait(_CHILD_S)
            finally:
                child.kill()
                child.wait()
            printed.seek(0)
            return status, printed.read()
    except (OSError, subprocess.SubprocessError):
        return None


def _nameless(name: str) -> BinaryIO:
    return os.fdopen(os.memfd_create(name), "w+b")
