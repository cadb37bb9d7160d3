"""The log with its spool, put together; and the database behind it, which may be down when a process starts."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path

import sqlalchemy as sa

from dispatcher.audit.background_drain import BackgroundDrain
from dispatcher.audit.bounds import SERVING
from dispatcher.audit.engine import connect, open_engine
from dispatcher.audit.log import Log
from dispatcher.audit.revision import revision_of
from dispatcher.audit.spool import Bounds, Spool
from dispatcher.audit.spool_drain import Drain
from dispatcher.audit.spooling import Spooling
from dispatcher.audit.trouble import named
from dispatcher.errors import LogUnavailable, SourceUnreachable

logger = logging.getLogger(__name__)


def spool_of(url: str, directory: Path, bounds: Bounds) -> Spool:
    """The spool of this host for a database; nothing is opened yet. Raises SourceUnreachable for an unusable URL."""
    return Spool(directory, named(connect(url).url), bounds, lambda: dt.datetime.now(dt.UTC))


def open_serving_engine(url: str, spool: Spool) -> sa.Engine:
    """The database of a process that serves, which makes the spool where it reaches it.

    One that can't be reached is waited for where the spool shows that this host has reached it before: its rows go
    there meanwhile. Anywhere else, and for a schema that isn't this program's, raises SourceUnreachable.
    """
    try:
        engine = open_engine(url, SERVING)
    except SourceUnreachable as error:
        if not _was_prepared(spool) or _answers(url):
            raise
        logger.warning("rows go to the spool %s from the start: %s", spool.directory, error)
        return connect(url, SERVING)
    try:
        spool.prepare()
    except LogUnavailable as error:
        logger.warning("no row can be accepted while the database is down: %s", error)
    return engine


def log_with_spool(engine: sa.Engine, spool: Spool, *, patience_s: float) -> Log:
    """A log whose rows go to the spool where the database refuses, or hasn't answered in so many seconds."""
    return Log(engine, Spooling(spool, BackgroundDrain(Drain(spool, engine)), patience_s=patience_s))


def _was_prepared(spool: Spool) -> bool:
    try:
        return spool.was_prepared()
    except LogUnavailable:
        return False


def _answers(url: str) -> bool:
    engine = connect(url, SERVING)
    try:
        with engine.connect() as connection:
            return revision_of(connection) is not None
    except (sa.exc.SQLAlchemyError, OSError):
        return False
    finally:
        engine.dispose()
