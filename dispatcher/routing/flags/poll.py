"""Looking at a flag server: one exchange at a time, and what follows from it for the state in force."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from dispatcher.errors import FlagServerUnavailable, InvalidFlags
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.holder import FlagHolder, told_briefly
from dispatcher.routing.flags.http import Response, get
from dispatcher.routing.flags.json_object import NoDocumentError
from dispatcher.routing.flags.outage import OutageLog
from dispatcher.routing.flags.reader import document_version
from dispatcher.routing.flags.server_document import ServerDocument, read_server_document
from dispatcher.routing.flags.sift import sift
from dispatcher.routing.flags.state import compile_state
from dispatcher.routing.flags.store import Kept, StateStore, UnusableError

FEATURES_PATH = "/api/client/features"
WHOLE_EVERY_S = 300.0
"""How often the document is asked for without an ETag: a server restored from a backup may count to the same one."""
KEEP_EVERY_S = 60.0
"""How often the disk is told that the state is still the newest."""
_OK = 200
_NOT_MODIFIED = 304
_DENIED = {401, 403}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagServer:
    """Where a server is, what is sent to it, and how many seconds one exchange may take; `source` is its origin."""

    url: str
    source: str
    headers: Callable[[], Mapping[str, str]]
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """The document that the server gave last: its ETag and hash, and why it was refused, None where it is in force."""

    etag: str | None
    version: str
    refused: str | None


class _Asked(NamedTuple):
    """When the server was asked: on the monotonic clock, and in UTC. What comes of it is never younger than that."""

    now: float
    at: dt.datetime


class Poll:
    """Looks at a server's document and keeps the holder up to date; used by one thread at a time.

    `clock` is a monotonic clock in seconds, `wall` the time in UTC.
    """

    def __init__(
        self,
        server: FlagServer,
        routed: Collection[str],
        holder: FlagHolder,
        store: StateStore,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._server = server
        self._source = server.source
        self._routed = tuple(routed)
        self._holder = holder
        self._store = store
        self._clock = clock
        self._wall = wall
        self._outage = OutageLog(_logger)
        self._seen: _Seen | None = None
        self._kept: Kept | None = None
        self._unknown: Mapping[str, str] = {}
        self._whole_at = clock()
        self._keeping_failed = False

    def restore(self) -> None:
        """Put the last good state from the disk in force, as old as it is; says so where it can't be used."""
        now = self._wall()
        try:
            kept = self._store.read(now)
            if kept is None:
                return
            read = read_server_document(kept.sifted, kept.version, str(self._store.path), self._routed)
            engine = self._engine(read)
        except (UnusableError, InvalidFlags) as error:
            _logger.warning("the last good flags on disk are left alone: %s", told_briefly(str(error)))
            return
        except Exception as error:  # noqa: BLE001 - whatever a server made us keep, a start must not fail for it
            unreadable = f"{self._store.path} can't be used: {type(error).__name__}"
            _logger.warning("the last good flags on disk are left alone: %s", unreadable)
            return
        self._kept = kept
        self._seen = _Seen(etag=kept.etag, version=kept.version, refused=None)
        age_s = (now - kept.fetched_at).total_seconds()
        problem = f"{self._source} hasn't answered yet; the state is from disk, {age_s:.0f} s old"
        self._holder.take(engine, self._clock() - age_s, problem)

    def look(self) -> None:
        """One exchange with the server; whatever it does, the last good state stays in force at worst."""
        try:
            problem = self._look()
        except FlagServerUnavailable as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - polling must go on, whatever an answer did to us
            problem = f"{self._source}: its answer could not be used: {type(error).__name__}"
        now = self._clock()
        problem = problem and told_briefly(problem)
        if problem is None:
            self._outage.answered(self._source, now)
            return
        kept = "the last good flags stay in force" if self._holder.held.engine else "every flag answers with an error"
        self._holder.doubt(problem)
        self._outage.failed(problem, kept, now)

    def _look(self) -> str | None:
        """What is wrong, None where the state in force is the server's newest."""
        asked = _Asked(self._clock(), self._wall())
        seen = self._seen
        etag = None if seen is None or asked.now - self._whole_at >= WHOLE_EVERY_S else seen.etag
        server = self._server
        answer = get(server.url + FEATURES_PATH, headers=server.headers(), etag=etag, deadline_s=server.deadline_s)
        if answer.status == _NOT_MODIFIED and seen is not None and etag is not None:
            return self._still(seen, asked)
        if answer.status != _OK:
            return f"{self._source} {_said(answer)}"
        self._whole_at = asked.now
        version = document_version(answer.body)
        if seen is not None and seen.version == version:
            self._seen = replace(seen, etag=answer.etag)
            return self._still(seen, asked)
        return self._read(answer, version, asked)

    def _still(self, seen: _Seen, asked: _Asked) -> str | None:
        """The document is the one that was seen last, be it good or bad."""
        if seen.refused is None:
            self._holder.confirm(asked.now, asked.at)
            self._keep()
        return seen.refused

    def _read(self, answer: Response, version: str, asked: _Asked) -> str | None:
        try:
            sifted = sift(answer.body, self._routed)
            read = read_server_document(sifted, version, self._source, self._routed)
            engine = self._engine(read)
        except (NoDocumentError, InvalidFlags) as error:
            refused = told_briefly(str(error) if isinstance(error, InvalidFlags) else f"{self._source}: {error}")
            self._seen = _Seen(etag=answer.etag, version=version, refused=refused)
            return refused
        self._holder.take(engine, asked.now, seen_at=asked.at)
        self._seen = _Seen(etag=answer.etag, version=version, refused=None)
        self._kept = None
        self._keep(Kept(version=version, etag=answer.etag, fetched_at=self._wall(), sifted=sifted))
        told, self._unknown = self._unknown, read.unknown
        _logger.info("flags %s are in force from %s", version, self._source)
        for flag, unknown in read.unknown.items():
            if told.get(flag) != unknown:  # once, however often other flags of the document change
                _logger.error("flag %r is off for everybody: %s", flag, unknown)
        return None

    def _engine(self, read: ServerDocument) -> FlagEngine:
        return FlagEngine(compile_state(read.document, self._routed, revision=read.revision))

    def _keep(self, fresh: Kept | None = None) -> None:
        """Keep the state in force on disk, if it is new there or its time is out of date."""
        now = self._wall()
        if fresh is None:
            if self._kept is None or (now - self._kept.fetched_at).total_seconds() < KEEP_EVERY_S:
                return
            fresh = replace(self._kept, fetched_at=now)
        self._kept = fresh
        try:
            self._store.write(fresh)
            self._keeping_failed = False
        except OSError as error:
            if not self._keeping_failed:
                _logger.warning("the last good flags can't be kept in %s: %s", self._store.path, error.strerror)
            self._keeping_failed = True


def _said(answer: Response) -> str:
    if answer.status in _DENIED:
        return f"answered {answer.status}: DISPATCHER_UNLEASH_TOKEN is not a backend token that it knows"
    if answer.status == _NOT_MODIFIED:
        return "answered 304 to a question without an ETag"
    return f"answered {answer.status}"
