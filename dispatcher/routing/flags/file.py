"""Flags from a file, which is looked at again on use."""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flags.answer import FlagAnswer, FlagContext
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.holder import FlagHolder
from dispatcher.routing.flags.reader import document_version, read_flag_document
from dispatcher.routing.flags.sighting import Sighting
from dispatcher.routing.flags.state import compile_state

LOOK_EVERY_S = 0.2
"""How often, at most, the file is looked at: the bound of a flip's delay in this process."""
SOURCE = "file"
_TELL_AFTER_S = 1.0
"""Whoever edits the file with our own command line records the flip first, with a name."""
_UNSETTLED_NS = 2_000_000_000

_logger = logging.getLogger(__name__)


def changed_ns(status: os.stat_result) -> int:
    """When a file became what it is, in nanoseconds: an older one that is moved into its place is a change, too."""
    return max(status.st_mtime_ns, status.st_ctime_ns)


class EmbeddedFlags:
    """Flags from a file, which is looked at again on use; a flip takes effect within LOOK_EVERY_S, without a thread.

    An edit that can't be used, or a file that is gone, leaves the last good document in force, marks its answers as
    stale, and past MAX_STALE_S since it was last confirmed answers `stale`. `on_sighting` is told of what was seen, see
    `FlagHolder`. `clock` is a monotonic clock in seconds and `wall_ns` the clock of the file system in nanoseconds.

    Raises InvalidFlags where the file can't be used at the start; with `bad_start_allowed`, for a process that starts
    with its brake on, every flag answers `error` until the file is mended.
    """

    def __init__(
        self,
        path: Path,
        routed: Collection[str],
        *,
        bad_start_allowed: bool = False,
        on_sighting: Callable[[Sighting], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._path = path
        self._routed = tuple(routed)
        self._clock = clock
        self._wall_ns = wall_ns
        self._lock = threading.Lock()
        self._signature: tuple[int, ...] | None = None
        now = clock()
        self._next_look = now + LOOK_EVERY_S
        self._holder = FlagHolder(SOURCE, now, on_sighting=on_sighting, tell_after_s=_TELL_AFTER_S)
        try:
            self._read(now)
        except InvalidFlags as error:
            if not bad_start_allowed:
                raise
            self._doubt(error)

    def evaluate(self, flag: str, context: FlagContext) -> FlagAnswer:
        """The flag's answer from the state in force; never raises for a state that can't be used."""
        now = self._clock()
        if now >= self._next_look:
            self._look(now)
        return self._holder.answer(flag, context, now)

    def after_fork(self) -> None:
        """Make the state usable in a forked child; to be called before its first evaluation."""
        self._lock = threading.Lock()
        self._signature = None
        self._holder.after_fork()

    def stop(self) -> None:
        """Nothing runs in the background."""

    def _look(self, now: float) -> None:
        # Whoever comes while another thread reads goes on with the state in force.
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._next_look = now + LOOK_EVERY_S
            self._read(now)
        except InvalidFlags as error:
            self._doubt(error)
        finally:
            self._lock.release()

    def _read(self, now: float) -> None:
        """Take the file as it is now. Raises InvalidFlags."""
        try:
            status = self._path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise InvalidFlags(str(self._path), ["is not a regular file"])
            signature = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)
            if signature == self._signature:
                self._holder.confirm(now)
                return
            content = self._path.read_bytes()
        except FileNotFoundError:
            advice = "no such file; set DISPATCHER_POLICIES_DIR to the directory that holds it"
            raise InvalidFlags(str(self._path), [advice]) from None
        except OSError as error:
            raise InvalidFlags(str(self._path), [f"can't be read: {error.strerror}"]) from None
        # The file system's clock is coarse: a file changed just now may change again under the same signature.
        settled = self._wall_ns() - status.st_ctime_ns > _UNSETTLED_NS
        engine = self._holder.held.engine
        if engine is not None and engine.state.version == document_version(content):
            self._holder.confirm(now)
        else:
            document = read_flag_document(content, str(self._path), self._routed)
            engine = FlagEngine(compile_state(document, self._routed, revision=changed_ns(status)))
            self._holder.take(engine, now)
            _logger.info("flags %s are in force from %s", engine.state.version, self._path)
        self._signature = signature if settled else None

    def _doubt(self, error: InvalidFlags) -> None:
        held = self._holder.held
        if str(error) != held.problem:
            kept = "the last good flags stay in force" if held.engine else "every flag answers with an error"
            _logger.warning("%s; %s", error, kept)
        self._holder.doubt(str(error))
        self._signature = None
