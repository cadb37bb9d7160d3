"""Flags from an Unleash server, polled on a daemon thread and evaluated in this process."""

from __future__ import annotations

import datetime as dt
import logging
import os
import platform
import threading
import time
import weakref
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr

from dispatcher.errors import FlagServerUnavailable
from dispatcher.routing.flags.answer import FlagAnswer, FlagContext
from dispatcher.routing.flags.holder import FlagHolder
from dispatcher.routing.flags.http import origin_of, post
from dispatcher.routing.flags.poll import FlagServer, Poll
from dispatcher.routing.flags.sighting import Sighting
from dispatcher.routing.flags.store import StateStore
from dispatcher.routing.flags.usage import APP_NAME, SDK, SPECIFICATION, Usage, registration_body, usage_body

FIRST_ANSWER_S = 1.5
"""How long `start` waits for the server's first answer."""
STOP_S = 0.4
"""How long `stop` waits for the last usage to be posted."""
REPORT_EVERY_S = 60.0
"""How often usage is posted."""
_DEADLINE_S = 10.0
_REPORT_DEADLINE_S = 2.0
_LATER = {408, 429, *range(500, 600)}

_logger = logging.getLogger(__name__)


class ServerFlags:
    """Flags from an Unleash server; a flip takes effect within `refresh_s` and the second that the server itself takes.

    A server that is away, slow or answers what can't be used leaves the last good state in force, also over a restart,
    since it is kept in `state_dir`; answers are marked as stale then, and past MAX_STALE_S they say `stale`. Polling
    begins with `start` or the first evaluation, and it never keeps the interpreter from ending. `on_sighting` is told
    of what was seen, see `FlagHolder`. `clock` is a monotonic clock in seconds.
    """

    def __init__(
        self,
        url: str,
        token: SecretStr,
        routed: Collection[str],
        *,
        state_dir: Path,
        refresh_s: float,
        report_every_s: float = REPORT_EVERY_S,
        on_sighting: Callable[[Sighting], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url.rstrip("/").removesuffix("/api")
        self._token = token
        self._refresh_s = refresh_s
        self._report_every_s = report_every_s
        self._clock = clock
        source = origin_of(url)
        overdue_s = 2 * (refresh_s + _DEADLINE_S)
        self._holder = FlagHolder(source, clock(), overdue_s=overdue_s, on_sighting=on_sighting)
        self._holder.doubt(f"{source} hasn't answered yet")
        store = StateStore(state_dir, self._url, token.get_secret_value(), routed)
        server = FlagServer(url=self._url, source=source, headers=self._headers, deadline_s=_DEADLINE_S)
        self._poll = Poll(server, routed, self._holder, store, clock)
        self._poll.restore()
        self._begin_afresh()

    def start(self) -> None:
        """Begin to poll, and wait for the server's first answer, FIRST_ANSWER_S at most."""
        run = self._polling()
        if run is not None:
            run.answered.wait(FIRST_ANSWER_S)

    def stop(self) -> None:
        """End the polling and post the last usage, within half a second; a slow exchange is left to end by itself."""
        with self._lock:
            run = self._run
        if run is not None:
            run.ending.set()
            run.thread.join(STOP_S)

    def evaluate(self, flag: str, context: FlagContext) -> FlagAnswer:
        """The flag's answer from the state in force; never raises, and never waits for the server."""
        run = self._run
        if run is None or not (run.thread.is_alive() or run.ending.is_set()):
            self._polling()
        answer = self._holder.answer(flag, context, self._clock())
        self._usage.count(flag, answer)
        return answer

    def after_fork(self) -> None:
        """Make the state usable in a forked child, which polls for itself; to be called before its first evaluation."""
        self._holder.after_fork()
        self._begin_afresh()

    def _begin_afresh(self) -> None:
        self._lock = threading.Lock()
        self._run: _Run | None = None
        self._started = dt.datetime.now(dt.UTC)
        self._usage = Usage(self._started)
        self._instance = f"{platform.node()}-{os.getpid()}-{os.urandom(4).hex()}"
        self._registered = False
        self._report_refused = False

    def _polling(self) -> _Run | None:
        """The polling, begun if it wasn't or was cut off; None where the system has no thread for it just now."""
        with self._lock:
            if self._run is None or self._run.ending.is_set() or not self._run.thread.is_alive():
                run = _Run(self)
                try:
                    run.thread.start()
                except RuntimeError as error:
                    self._holder.doubt(f"the flag server can't be polled: {error}")
                    return None
                self._run = run
            return self._run

    def _headers(self) -> Mapping[str, str]:
        return {
            "Authorization": self._token.get_secret_value(),
            "unleash-appname": APP_NAME,
            "unleash-instanceid": self._instance,
            "unleash-connection-id": self._instance,
            "unleash-interval": str(round(self._refresh_s * 1000)),
            "unleash-sdk": SDK,
            "Unleash-Client-Spec": SPECIFICATION,
        }

    def _report(self, deadline_s: float) -> None:
        """Post the usage since the last report, which whatever comes of it never ends the polling."""
        try:
            self._report_usage(deadline_s)
        except Exception as error:  # noqa: BLE001 - usage is a courtesy, and polling must go on
            with suppress(Exception):  # a log handler's own
                _logger.warning("the usage of flags could not be posted: %s", type(error).__name__)

    def _report_usage(self, deadline_s: float) -> None:
        """A short-lived process that never reports isn't registered either."""
        bucket = self._usage.take(dt.datetime.now(dt.UTC))
        if bucket is None:
            return
        try:
            if not self._registered:
                body = registration_body(self._instance, self._started, self._report_every_s)
                self._registered = self._post("/api/client/register", body, deadline_s) not in _LATER
            status = self._post("/api/client/metrics", usage_body(bucket, self._instance), deadline_s)
        except FlagServerUnavailable:
            self._usage.give_back(bucket)  # that the server is away is said by the polling
            return
        if status in _LATER:
            self._usage.give_back(bucket)
        refused = status >= 400  # noqa: PLR2004 - HTTP's own boundary
        if refused and not self._report_refused:
            _logger.warning("the flag server takes no usage: it answered %d", status)
        self._report_refused = refused

    def _post(self, path: str, body: bytes, deadline_s: float) -> int:
        return post(self._url + path, headers=self._headers(), body=body, deadline_s=deadline_s).status


class _Run:
    """One polling thread, from its start to its end; it ends, too, when nobody holds the flags any more."""

    def __init__(self, flags: ServerFlags) -> None:
        self.answered = threading.Event()
        self.ending = threading.Event()
        self._flags = weakref.ref(flags)
        self._refresh_s = flags._refresh_s  # noqa: SLF001 - two halves of one thing
        self._report_every_s = flags._report_every_s  # noqa: SLF001
        self.thread = threading.Thread(target=self._poll, name="flag polling", daemon=True)

    def _poll(self) -> None:
        reported = time.monotonic()
        while (flags := self._flags()) is not None:
            began = time.monotonic()
            with suppress(Exception):  # what is left after its own care is a log handler's, and polling must go on
                flags._poll.look()  # noqa: SLF001
            self.answered.set()
            if began - reported >= self._report_every_s:
                flags._report(_REPORT_DEADLINE_S)  # noqa: SLF001
                reported = began
            del flags
            if self.ending.wait(max(0.0, self._refresh_s - (time.monotonic() - began))):
                break
        flags = self._flags()
        if flags is not None:
            flags._report(STOP_S)  # noqa: SLF001
