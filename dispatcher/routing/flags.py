"""The one door to UnleashClient: flags evaluated in this process, from a document that was understood first.

The client is built and never initialised: so it evaluates at once and opens no thread, no socket and no file.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from UnleashClient.cache import BaseCache
from UnleashClient.clients.unleash_client import UnleashClient
from UnleashClient.constants import FEATURES_URL
from UnleashClient.utils import InstanceAllowType

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flag_answer import FlagAnswer, FlagContext, FlagState
from dispatcher.routing.flag_document import Dependency
from dispatcher.routing.flag_reader import document_version, read_flag_document
from dispatcher.routing.flag_state import Arm, EngineState, RoutedFlag, compile_state

LOOK_EVERY_S = 0.2
"""How often, at most, the file is looked at: the bound of a flip's delay in this process."""
MAX_STALE_S = 3600.0
"""How long a document that can no longer be confirmed stays in force."""
_UNSETTLED_NS = 2_000_000_000

_logger = logging.getLogger(__name__)

_building = threading.RLock()
"""Held while a client is built, and over a fork: the client's constructor takes a lock of its module, and a child that
inherits it locked could never build another."""
os.register_at_fork(before=_building.acquire, after_in_parent=_building.release, after_in_child=_building.release)


class _TextCache(BaseCache):
    """Holds the state's text for the client, in memory; the client's own cache writes pickles that all may change."""

    bootstrapped = True

    def __init__(self, text: str) -> None:
        self._held: dict[str, Any] = {FEATURES_URL: text}

    def set(self, key: str, value: Any) -> None:
        self._held[key] = value

    def mset(self, data: dict[str, Any]) -> None:
        self._held.update(data)

    def get(self, key: str, default: Any = None) -> Any:
        return self._held.get(key, default)

    def exists(self, key: str) -> bool:
        return key in self._held

    def destroy(self) -> None:
        self._held.clear()


class FlagEngine:
    """One state of the flags, ready to be asked from any thread; it never changes."""

    def __init__(self, state: EngineState) -> None:
        self.state = state
        with _building:
            self._client = UnleashClient(
                url="http://127.0.0.1:9/api",  # never asked; the client wants one
                app_name="dispatcher",
                cache=_TextCache(state.text),
                disable_metrics=True,
                disable_registration=True,
                multiple_instance_mode=InstanceAllowType.SILENTLY_ALLOW,
            )

    def answer(self, flag: str, context: FlagContext, problem: str | None) -> FlagAnswer:
        """Evaluate a flag: one question to the engine, and one more per prerequisite where one of them isn't met.

        `problem` says why the state may be out of date, None where it was confirmed.
        """
        known = self.state.flags.get(flag)
        if known is None:
            return self._without_variant(FlagState.UNKNOWN_FLAG, problem, f"the document doesn't hold {flag!r}")
        if not known.enabled:
            return self._without_variant(FlagState.OFF, problem, f"{flag!r} is switched off")
        fields = context.fields
        found = self._client.get_variant(known.engine_name, {"properties": fields})
        if "payload" not in found:
            # Behind the rules stands one that reaches everybody, so only a prerequisite leaves the engine mute.
            return self._unmet(known, fields, problem)
        return self._read(known.arms[int(found["payload"]["value"])], fields, problem)

    def _read(self, arm: Arm, fields: dict[str, str], problem: str | None) -> FlagAnswer:
        key = fields.get(arm.key_field) if arm.key_field else None
        if arm.drawn and key is None:
            detail = f"constraints of rule {arm.rule!r} pass, but it draws by {arm.key_field}, which is missing"
            return self._without_variant(FlagState.NO_RULE, problem, detail)
        return FlagAnswer(
            state=arm.state,
            version=self.state.version,
            problem=problem,
            variant=arm.variant,
            rule=arm.rule,
            drawn=arm.drawn,
            share=arm.share,
            assignment_key=key,
        )

    def _unmet(self, flag: RoutedFlag, fields: dict[str, str], problem: str | None) -> FlagAnswer:
        for dependency in flag.dependencies:
            if not self._met(dependency, fields):
                wanted = "on" if dependency.enabled else "off"
                detail = f"its prerequisite isn't met: {dependency.feature!r} would have to be {wanted}"
                return self._without_variant(FlagState.OFF, problem, detail)
        return self._without_variant(FlagState.ERROR, problem, "the flag engine gave no answer")

    def _met(self, dependency: Dependency, fields: dict[str, str]) -> bool:
        context = {"properties": fields}
        if self._client.is_enabled(dependency.feature, context) is not dependency.enabled:
            return False
        chosen = dependency.variants and self._client.get_variant(dependency.feature, context)["name"]
        return not dependency.variants or chosen in dependency.variants

    def _without_variant(self, state: FlagState, problem: str | None, detail: str) -> FlagAnswer:
        return FlagAnswer(state=state, version=self.state.version, problem=problem, detail=detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What is in force: the last good state, what is wrong with the file since, and when the state was last confirmed.

    `signature` is that of the file as it was read, None where it must be read again.
    """

    engine: FlagEngine | None
    problem: str | None
    confirmed: float
    signature: tuple[int, ...] | None


class EmbeddedFlags:
    """Flags from a file, which is looked at again on use; a flip takes effect within LOOK_EVERY_S, without a thread.

    An edit that can't be used, or a file that is gone, leaves the last good document in force, marks its answers as
    stale, and past MAX_STALE_S since it was last confirmed answers `stale`. `clock` is a monotonic clock in seconds and
    `wall_ns` the clock of the file system in nanoseconds.

    Raises InvalidFlags where the file can't be used at the start; with `bad_start_allowed`, for a process that starts
    with its brake on, every flag answers `error` until the file is mended.
    """

    def __init__(
        self,
        path: Path,
        routed: Collection[str],
        *,
        bad_start_allowed: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._path = path
        self._routed = tuple(routed)
        self._clock = clock
        self._wall_ns = wall_ns
        self._lock = threading.Lock()
        self._inherited: tuple[_Held, ...] = ()
        now = clock()
        self._next_look = now + LOOK_EVERY_S
        self._held = _Held(engine=None, problem=None, confirmed=now, signature=None)
        try:
            self._held = self._read(now)
        except InvalidFlags as error:
            if not bad_start_allowed:
                raise
            self._held = self._broken(error)

    def evaluate(self, flag: str, context: FlagContext) -> FlagAnswer:
        """The flag's answer from the state in force; never raises for a state that can't be used."""
        now = self._clock()
        if now >= self._next_look:
            self._look(now)
        held = self._held
        if held.engine is None:
            detail = "there is no flag document that can be used"
            return FlagAnswer(
                state=FlagState.ERROR, version=None, problem=held.problem, detail=f"{detail}: {held.problem}"
            )
        if held.problem is not None and now - held.confirmed > MAX_STALE_S:
            detail = f"the document could not be confirmed for {now - held.confirmed:.0f} s: {held.problem}"
            version = held.engine.state.version
            return FlagAnswer(state=FlagState.STALE, version=version, problem=held.problem, detail=detail)
        return held.engine.answer(flag, context, held.problem)

    def after_fork(self) -> None:
        """Make the state usable in a forked child; to be called before its first evaluation.

        The engine's lock may have been held by another thread at the fork, so a new engine is built from the same
        text. The inherited one is kept, unused, since even freeing it could wait on that lock.
        """
        self._lock = threading.Lock()
        held = self._held
        self._inherited = (*self._inherited, held)
        engine = None if held.engine is None else FlagEngine(held.engine.state)
        self._held = replace(held, engine=engine, signature=None)

    def _look(self, now: float) -> None:
        # Whoever comes while another thread reads goes on with the state in force.
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._next_look = now + LOOK_EVERY_S
            self._held = self._read(now)
        except InvalidFlags as error:
            self._held = self._broken(error)
        finally:
            self._lock.release()

    def _read(self, now: float) -> _Held:
        """The file as it is now. Raises InvalidFlags."""
        held = self._held
        try:
            status = self._path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise InvalidFlags(str(self._path), ["is not a regular file"])
            signature = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)
            if signature == held.signature:
                return replace(held, confirmed=now)
            content = self._path.read_bytes()
        except FileNotFoundError:
            advice = "no such file; set DISPATCHER_POLICIES_DIR to the directory that holds it"
            raise InvalidFlags(str(self._path), [advice]) from None
        except OSError as error:
            raise InvalidFlags(str(self._path), [f"can't be read: {error.strerror}"]) from None
        # The file system's clock is coarse: a file changed just now may change again under the same signature.
        settled = self._wall_ns() - status.st_ctime_ns > _UNSETTLED_NS
        engine = held.engine
        if engine is None or engine.state.version != document_version(content):
            document = read_flag_document(content, str(self._path), self._routed)
            engine = FlagEngine(compile_state(document, self._routed))
            _logger.info("flags %s are in force from %s", engine.state.version, self._path)
        return _Held(engine=engine, problem=None, confirmed=now, signature=signature if settled else None)

    def _broken(self, error: InvalidFlags) -> _Held:
        held = self._held
        if str(error) != held.problem:
            kept = "the last good flags stay in force" if held.engine else "every flag answers with an error"
            _logger.warning("%s; %s", error, kept)
        return replace(held, problem=str(error), signature=None)
