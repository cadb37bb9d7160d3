"""Flags from a file, which is looked at again on use."""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flags.answer import FlagAnswer, FlagContext
from dispatcher.routing.flags.child import LARGE
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.holder import FlagHolder, told_briefly
from dispatcher.routing.flags.large import read_flag_file
from dispatcher.routing.flags.reader import document_version
from dispatcher.routing.flags.sighting import Sighting
from dispatcher.routing.flags.state import compile_state

LOOK_EVERY_S = 0.2
"""How often, at most, the file is looked at: the bound of a flip's delay in this process."""
SOURCE = "file"
_TELL_AFTER_S = 1.0
"""Whoever edits the file with our own command line records the flip first, with a name."""
_UNSETTLED_NS = 2_000_000_000
_SET_BACK_NS = 2 * 3600 * 1_000_000_000
"""By how much a clock may be set back and the times of changes still count."""

_logger = logging.getLogger(__name__)


def changed_ns(status: os.stat_result) -> int:
    """When a file became what it is, in nanoseconds: an older one that is moved into its place is a change, too."""
    changed, now = max(status.st_mtime_ns, status.st_ctime_ns), time.time_ns()
    # By a time that is far to come, such as `touch` can set, every later change would look like an older one.
    return changed if changed < now + _SET_BACK_NS else now


class EmbeddedFlags:
    """Flags from a file, which is looked at again on use; a flip takes effect within LOOK_EVERY_S, without a thread.

    Only a file of LARGE bytes and more is read by a short-lived thread, and parsed by a child process, so that no
    evaluation waits for it; its flip takes effect some tenths of a second later.

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
            with suppress(Exception):  # such as a log handler's; the state in force answers all the same
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
        lock = self._lock
        if not lock.acquire(blocking=False):
            return
        self._next_look = now + LOOK_EVERY_S
        if not (self._is_large() and self._looks_aside(now, lock)):
            self._look_here(now, lock)

    def _is_large(self) -> bool:
        """Whether the file takes so long to read that no evaluation may wait for it."""
        try:
            return self._path.stat().st_size >= LARGE
        except OSError:
            return False

    def _looks_aside(self, now: float, lock: threading.Lock) -> bool:
        try:
            threading.Thread(target=self._look_here, args=(now, lock), name="flag file", daemon=True).start()
        except RuntimeError:
            return False  # no thread to be had
        return True

    def _look_here(self, now: float, lock: threading.Lock) -> None:
        try:
            self._read(now)
        except InvalidFlags as error:
            self._doubt(error)
        except Exception as error:  # noqa: BLE001 - whatever is in a file, an evaluation never raises for it
            self._doubt(InvalidFlags(str(self._path), [f"can't be used: {type(error).__name__}"]))
        finally:
            lock.release()

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
            document = read_flag_file(content, str(self._path), self._routed)
            engine = FlagEngine(compile_state(document, self._routed, revision=changed_ns(status)))
            self._holder.take(engine, now)
            with suppress(Exception):  # a log handler's own
                _logger.info("flags %s are in force from %s", engine.state.version, self._path)
        self._signature = signature if settled else None

    def _doubt(self, error: InvalidFlags) -> None:
        held, problem = self._holder.held, told_briefly(str(error))
        self._holder.doubt(problem)
        self._signature = None
        if problem != held.problem:
            kept = "the last good flags stay in force" if held.engine else "every flag answers with an error"
            _logger.warning("%s; %s", problem, kept)
