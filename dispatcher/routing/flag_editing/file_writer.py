"""Editing the flag file: one writer at a time, and the file is whole at every moment."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flag_editing.edit import Edit, FlagContent, Switch
from dispatcher.routing.flag_editing.outcome import Outcome
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.file import SOURCE, changed_ns
from dispatcher.routing.flags.reader import read_flag_document
from dispatcher.routing.flags.sighting import Sighting, sighting_of
from dispatcher.routing.flags.standing import Standing, standing_of
from dispatcher.routing.flags.state import compile_state

LOCK_WITHIN_S = 30.0
"""How long to wait for others that edit the file."""
BRAKE_WITHIN_S = 1.0
"""How long switching off waits for them, before it goes ahead: one may hang, be it for the history's database."""
_LOCK_LOOK_S = 0.02
_MOST_ROUNDS = 5
"""How often an edit is made again on what somebody wrote in the same moment without the lock."""


class _ChangedMeanwhileError(Exception):
    """The file isn't any more what was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagFile:
    """The flag file as something to edit. `record` is told of the state before an edit and of the one after it, in the
    order of the edits; `actor` is who makes them.
    """

    path: Path
    flag: str
    actor: str
    record: Callable[[Sighting], None]

    def edit(self, edit: Edit, *, dry_run: bool = False) -> Outcome:
        """Edit the flag, and read back what was written.

        Switching off waits BRAKE_WITHIN_S at most for others; whoever it overtakes finds the file changed. Raises
        InvalidFlags where the file can't be used, doesn't hold the flag, can't be written, or would be refused by its
        reader afterwards; it is then as it was.
        """
        with _told_of(self.path):
            path = self.path.resolve(strict=True)  # a link stays one
        with _only_writer(path, brakes=edit == Switch(flag=self.flag, on=False)), _told_of(path):
            for _ in range(_MOST_ROUNDS):
                with suppress(_ChangedMeanwhileError):
                    return self._edit(path, edit, dry_run=dry_run)
            why = "somebody else changes it in the same moment, again and again; nothing was written"
            raise InvalidFlags(str(path), [why])

    def _edit(self, path: Path, edit: Edit, *, dry_run: bool) -> Outcome:
        content = path.read_bytes()
        revision = changed_ns(path.stat())
        before = self._engine(content, revision)
        edited = self._edited(content, edit)
        after = self._engine(edited or content, revision)
        if edited is not None and not dry_run:
            after = self._engine(edited, _replace(path, edited, content, revision))
        # What follows can take seconds for thousands of tenants, and a brake is in force by now.
        was, is_now = standing_of(before, self.flag), standing_of(after, self.flag)
        if edited is not None and not dry_run:
            self._tell(before, was, dt.datetime.fromtimestamp(revision / 1e9, dt.UTC), None)
            self._tell(after, is_now, dt.datetime.now(dt.UTC), self.actor)
        return Outcome(flag=self.flag, before=was, after=is_now, written=edited is not None and not dry_run)

    def _engine(self, content: bytes, revision: int) -> FlagEngine:
        document = read_flag_document(content, str(self.path), [self.flag])
        return FlagEngine(compile_state(document, [self.flag], revision=revision))

    def _edited(self, content: bytes, edit: Edit) -> bytes | None:
        """The edited document, in its order of keys; None where the edit changes nothing."""
        document: dict[str, Any] = json.loads(content)
        held = [feature["name"] for feature in document["features"]]
        if self.flag not in held:
            names = ", ".join(held) or "none"
            raise InvalidFlags(str(self.path), [f"doesn't hold the flag {self.flag!r}; it holds {names}"])
        feature = document["features"][held.index(self.flag)]
        before = FlagContent(enabled=feature["enabled"], rules=tuple(feature["strategies"]))
        after = edit(before)
        if after == before:
            return None
        # Rules are edited in their order, which a number of their own may not contradict.
        rules = [{key: value for key, value in rule.items() if key != "sortOrder"} for rule in after.rules]
        feature.update(enabled=after.enabled, strategies=rules)
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()

    def _tell(self, engine: FlagEngine, standing: Standing, seen_at: dt.datetime, actor: str | None) -> None:
        self.record(sighting_of(engine, self.flag, standing, source=SOURCE, seen_at=seen_at, actor=actor))


@contextmanager
def _only_writer(path: Path, *, brakes: bool) -> Iterator[None]:
    """Hold the lock on the file's directory, or brake without it; the file itself is replaced with every edit."""
    with _told_of(path):
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + (BRAKE_WITHIN_S if brakes else LOCK_WITHIN_S)
        while True:
            try:
                fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    if brakes:
                        break
                    why = f"somebody else has been editing it for {LOCK_WITHIN_S:.0f} s; nothing was written"
                    raise InvalidFlags(str(path), [why]) from None
                time.sleep(_LOCK_LOOK_S)
        yield
    finally:
        os.close(directory)


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into one sentence."""
    try:
        yield
    except RuntimeError:
        raise InvalidFlags(str(path), ["can't be edited: it is a link that leads to itself"]) from None
    except FileNotFoundError:
        advice = "no such file; set DISPATCHER_POLICIES_DIR to the directory that holds it"
        raise InvalidFlags(str(path), [advice]) from None
    except OSError as error:
        raise InvalidFlags(str(path), [f"can't be edited: {error.strerror}; nothing was written"]) from None


def _replace(path: Path, content: bytes, was_content: bytes, older: int) -> int:
    """Put the content in the file's place, all at once, and read it back; returns its time of change in nanoseconds.

    It keeps the file's rights, and the time grows with each edit, however coarse the file system's clock is. What was
    written there since it was read, by an editor or by a brake that waited for nobody, is not overwritten.
    """
    fresh = _beside(path, content, older)
    try:
        unchanged = path.read_bytes() == was_content
        if unchanged:
            fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    if not unchanged:
        raise _ChangedMeanwhileError
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    if path.read_bytes() != content:
        raise InvalidFlags(str(path), ["another program wrote it in the same moment: look at `dispatcher flags show`"])
    return changed_ns(path.stat())


def _beside(path: Path, content: bytes, older: int) -> Path:
    """The content in a file beside it, on the disk, with its rights and a time of change after `older`."""
    was = path.stat()
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, was.st_mode & 0o7777)
            with suppress(PermissionError):  # only for root it isn't its own already
                os.fchown(descriptor, was.st_uid, was.st_gid)
            file.write(content)
            file.flush()
            changed = max(time.time_ns(), older + 1)
            os.utime(descriptor, ns=(changed, changed))
            os.fsync(descriptor)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)
