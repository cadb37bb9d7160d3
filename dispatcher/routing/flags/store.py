"""The last good state of a flag server, kept on disk for a start while the server is away."""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

_AHEAD = dt.timedelta(minutes=5)
"""How far the clock of whoever wrote the file may be ahead of ours."""
_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A state as it was fetched: what `sift` left of the document, the hash of the whole, and when it was confirmed."""

    version: str
    etag: str | None
    fetched_at: dt.datetime
    sifted: bytes


class UnusableError(Exception):
    """What is on disk can't be used; the text says why."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    version: str
    etag: str | None
    fetched_at: AwareDatetime
    document: str


class StateStore:
    """One file in `directory` for one server, token and choice of flags.

    So no other environment's state, and none that was sifted for other flags, is ever taken for it.

    The directory is made with mode 0700, and the file with 0600 and replaced as a whole.
    """

    def __init__(self, directory: Path, url: str, token: str, routed: Collection[str]) -> None:
        self._directory = directory
        name = hashlib.sha256("\n".join([url, token, *sorted(routed)]).encode()).hexdigest()[:16]
        self.path = directory / f"flags-{name}.json"

    def read(self, now: dt.datetime) -> Kept | None:
        """What is kept, None where nothing is. Raises UnusableError; `now` is in UTC."""
        try:
            content = self._content()
            if content is None:
                return None
            form = _Form.model_validate_json(content)
        except OSError as error:
            raise UnusableError(f"{self.path} can't be read: {error.strerror}") from None
        except (ValidationError, ValueError):
            raise UnusableError(f"{self.path} doesn't hold a state of flags") from None
        if form.fetched_at > now + _AHEAD:
            raise UnusableError(f"{self.path} is from the future, so its age is unknown")
        sifted = form.document.encode()
        return Kept(version=form.version, etag=form.etag, fetched_at=min(form.fetched_at, now), sifted=sifted)

    def write(self, kept: Kept) -> None:
        """Keep a state in place of the one before. Raises OSError."""
        form = _Form(
            format=1,
            version=kept.version,
            etag=kept.etag,
            fetched_at=kept.fetched_at,
            document=kept.sifted.decode(),
        )
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0 and self._directory.stat().st_uid != 0:
            # Such as for `flags show`; the file would be root's then, and the serving process's own no more.
            raise PermissionError(errno.EPERM, "root leaves the state of another user alone")
        # Several processes may keep the same server's state in the same place.
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(form.model_dump_json().encode())
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise

    def _content(self) -> bytes | None:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnusableError(f"{self.path} is not a regular file")
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise UnusableError(f"{self.path} is another user's, or others may write it, so it isn't trusted")
            return file.read(_MOST_BYTES)
