"""What settings lead to outside of this process: the database, the spool, and whoever answers for the provider."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pydantic import SecretStr

from dispatcher.audit.engine import open_engine, open_existing, open_to_read
from dispatcher.audit.record import Origin
from dispatcher.audit.spool import Bounds, Spool
from dispatcher.audit.spooled_log import spool_of
from dispatcher.errors import NoApiKey
from dispatcher.paths.claude import Claude
from dispatcher.paths.origin import SimulatorMark, ask_simulator
from dispatcher.settings import PROVIDER_URL, Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine


def origin_of(settings: Settings) -> Origin:
    """The origin of a dispatcher's rows; whatever isn't the provider is asked whether it is the simulator, for 2 s."""
    return origin_of_mark(ask_where_answers_come_from(settings.anthropic_base_url))


def open_database(settings: Settings) -> Engine:
    """The audit database, at the newest schema. Raises SourceUnreachable."""
    return open_engine(settings.database_url.get_secret_value())


def read_database(settings: Settings) -> Engine:
    """The audit database for verbs that only read: nothing is created or migrated. Raises SourceUnreachable."""
    return open_to_read(settings.database_url.get_secret_value())


@contextmanager
def database_to_import(settings: Settings, *, dry_run: bool) -> Iterator[Engine]:
    """The audit database to import into. A dry run, whose rows are rolled back, makes no file: where there is none it
    gets an empty one for a while.

    Raises SourceUnreachable.
    """
    url = settings.database_url.get_secret_value()
    with TemporaryDirectory() as folder:
        if dry_run and open_existing(url) is None:
            url = f"sqlite:///{folder}/log.db"
            open_engine(url).dispose()
        engine = open_to_read(url) if dry_run else open_engine(url)
        try:
            yield engine
        finally:
            engine.dispose()


def log_spool(settings: Settings) -> Spool:
    """The spool of this host. Raises SourceUnreachable where the database's URL can't be used."""
    bounds = Bounds(bytes=settings.spool_max_bytes, age=dt.timedelta(hours=settings.spool_max_age_h))
    return spool_of(settings.database_url.get_secret_value(), settings.log_spool_dir, bounds)


def ask_where_answers_come_from(base_url: str) -> SimulatorMark | None:
    """The simulator's mark of whoever answers at an address; None for the provider, which isn't asked.

    Asked before the first row, so that a row killed before its first response already has the right origin.
    """
    return None if base_url.rstrip("/") == PROVIDER_URL else ask_simulator(base_url)


def origin_of_mark(mark: SimulatorMark | None) -> Origin:
    """The origin of the rows of what is answered under that mark."""
    return Origin.PRODUCTION if mark is None else Origin.SIMULATED


def claude_of(settings: Settings, mark: SimulatorMark | None) -> Claude:
    """The door to whoever answers under that mark. Raises NoApiKey."""
    key = _api_key(settings, mark)
    return Claude(api_key=key, base_url=settings.anthropic_base_url, simulated=mark is not None)


def _api_key(settings: Settings, mark: SimulatorMark | None) -> SecretStr:
    if settings.anthropic_api_key is not None and settings.anthropic_api_key.get_secret_value():
        return settings.anthropic_api_key
    if mark is not None:
        return SecretStr("simulated")
    raise NoApiKey(
        f"ANTHROPIC_API_KEY is not set and no simulator answers at {settings.anthropic_base_url}; set the key, or run "
        "`dispatcher simulator` and set ANTHROPIC_BASE_URL to the address it prints"
    )
