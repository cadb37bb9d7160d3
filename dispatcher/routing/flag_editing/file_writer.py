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
from dispatcher.routing.flag_editing.edit import Edit, FlagContent
from dispatcher.routing.flag_editing.outcome import Outcome
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.file import SOURCE, changed_ns
from dispatcher.routing.flags.reader import read_flag_document
from dispatcher.routing.flags.sighting import Sighting, sighting_of
from dispatcher.routing.flags.standing import standing_of
from dispatcher.routing.flags.state import compile_state

LOCK_WITHIN_S = 30.0
"""How long to wait for others that edit the file."""
_LOCK_LOOK_S = 0.02


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

        Raises InvalidFlags where the file can't be used, doesn't hold the flag, can't be written, or would be refused
        by its reader afterwards; it is then as it was.
        """
        path = self.path.resolve()  # a link stays one
        with _only_writer(path), _told_of(path):
            content = path.read_bytes()
            revision = changed_ns(path.stat())
            before = self._engine(content, revision)
            edited = self._edited(content, edit)
            after = self._engine(edited or content, revision)
            if edited is not None and not dry_run:
                after = self._engine(edited, _replace(path, edited, revision))
                self._tell(before, dt.datetime.fromtimestamp(revision / 1e9, dt.UTC), None)
                self._tell(after, dt.datetime.now(dt.UTC), self.actor)
            return Outcome(
                flag=self.flag,
                before=standing_of(before, self.flag),
                after=standing_of(after, self.flag),
                written=edited is not None and not dry_run,
            )

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

    def _tell(self, engine: FlagEngine, seen_at: dt.datetime, actor: str | None) -> None:
        self.record(sighting_of(engine, self.flag, source=SOURCE, seen_at=seen_at, actor=actor))


@contextmanager
def _only_writer(path: Path) -> Iterator[None]:
    """Hold the lock on the file's directory; the file itself is replaced with every edit."""
    with _told_of(path):
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + LOCK_WITHIN_S
        while True:
            try:
                fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
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
    except FileNotFoundError:
        advice = "no such file; set DISPATCHER_POLICIES_DIR to the directory that holds it"
        raise InvalidFlags(str(path), [advice]) from None
    except OSError as error:
        raise InvalidFlags(str(path), [f"can't be edited: {error.strerror}; nothing was written"]) from None


def _replace(path: Path, content: bytes, older: int) -> int:
    """Put the content in the file's place, all at once, and read it back; returns its time of change in nanoseconds.

    It keeps the file's rights, and the time grows with each edit, however coarse the file system's clock is.
    """
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
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    if path.read_bytes() != content:
        raise InvalidFlags(str(path), ["another program wrote it in the same moment: look at `dispatcher flags show`"])
    return changed_ns(path.stat())
