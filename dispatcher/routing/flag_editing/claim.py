"""One writer at a time on a server: its API has no lock and loses updates, so the right to write is claimed first.

The claim is a tag type, which the server lets exist once, and which is gone again after the edit. A holder that died is
told by its claim not changing for as long as no holder may take.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dispatcher.errors import FlagServerUnavailable, InvalidFlags
from dispatcher.routing.flag_editing.admin import AdminApi

HOLD_S = 20.0
"""The longest that a holder goes on writing."""
FORGOTTEN_S = 40.0
"""When a claim that didn't change is taken to be that of a holder that died; longer than HOLD_S and one call."""
WAIT_S = 120.0
"""How long to wait for others."""
_LOOK_EVERY_S = 0.1
_LONGEST_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Held: the right to write, up to a moment on the monotonic clock."""

    until: float

    def check(self) -> None:
        """Raise FlagServerUnavailable where the claim may be taken for forgotten soon."""
        if time.monotonic() > self.until:
            why = f"the server took longer than {HOLD_S:.0f} s for the edit, which may be half done"
            raise FlagServerUnavailable(f"{why}: look at `dispatcher flags show`, and do it again")


@contextmanager
def in_line(directory: Path) -> Iterator[None]:
    """Stand in line with the others on this machine; where the directory can't be had, there is none.

    Raises InvalidFlags where the line doesn't move for WAIT_S.
    """
    descriptor = None
    with suppress(OSError):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(directory / "flag-edits.lock", flags, 0o600)
    try:
        deadline = time.monotonic() + WAIT_S
        while descriptor is not None and not _locked(descriptor):
            if time.monotonic() > deadline:
                raise InvalidFlags("flags", [f"others have been editing for {WAIT_S:.0f} s; nothing was written"])
            time.sleep(_LOOK_EVERY_S / 2)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def claimed(api: AdminApi, flag: str, actor: str, *, forgotten_s: float = FORGOTTEN_S) -> Iterator[Claim]:
    """Hold the claim on a flag's rules.

    Raises InvalidFlags where others hold it for WAIT_S, and FlagServerUnavailable where the server can't be asked.
    """
    name = f"dispatcher-{hashlib.sha256(f'{api.project}/{api.environment}/{flag}'.encode()).hexdigest()[:16]}"
    holder = f"{actor} edits {flag} ({random.SystemRandom().randbytes(8).hex()})"
    _acquire(api, name, holder, forgotten_s)
    try:
        yield Claim(until=time.monotonic() + HOLD_S)
    finally:
        # Where it can't be released, it is forgotten by and by.
        with suppress(FlagServerUnavailable, InvalidFlags):
            if api.claimed_by(name) == holder:
                api.release(name)


def _acquire(api: AdminApi, name: str, holder: str, forgotten_s: float) -> None:
    deadline = time.monotonic() + WAIT_S
    seen, since, pause_s = None, time.monotonic(), _LOOK_EVERY_S
    while not api.claim(name, holder):
        now, other = time.monotonic(), api.claimed_by(name)
        if other == holder:
            return  # claimed by a call whose answer said otherwise
        if other != seen:
            seen, since = other, now
        elif other is not None and now - since > forgotten_s:
            api.release(name)
            seen = None
        if now > deadline:
            raise InvalidFlags(api.source, [f"{other or 'somebody'}, and has for {WAIT_S:.0f} s; nothing was written"])
        time.sleep(pause_s * random.SystemRandom().uniform(0.5, 1.5))
        pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)
