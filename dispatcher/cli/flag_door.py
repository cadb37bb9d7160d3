"""The flag as the verbs of `dispatcher flags` find it: in its file, or on its server."""

from __future__ import annotations

import datetime as dt
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dispatcher.errors import FlagServerUnavailable, InvalidFlags, InvalidSettings
from dispatcher.routing.flags.file import SOURCE, changed_ns
from dispatcher.routing.flags.holder import MAX_STALE_S
from dispatcher.routing.flags.http import origin_of
from dispatcher.routing.flags.standing import Standing, standing_of
from dispatcher.routing.policy import Policies
from dispatcher.settings import load_admin_settings, look_at_kill_switch

if TYPE_CHECKING:
    from dispatcher.routing.flag_editing.admin import AdminApi
    from dispatcher.routing.flag_editing.history import Flip, Seen
    from dispatcher.routing.flags.engine import FlagEngine
    from dispatcher.settings import Settings

FLAGS_FILE = "flags.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the flag says, from where, and how old that is.

    `age_s` is how many seconds ago the source last confirmed it, and `problem` says why it is not the newest, None
    where it is. `changed_at` is when a file was changed; of a server its history tells. `kill_switch` is where the
    switch is set and its value.
    """

    flag: str
    standing: Standing
    source: str
    version: str
    revision: int
    age_s: float
    problem: str | None
    changed_at: dt.datetime | None
    kill_switch: tuple[str, str] | None

    @property
    def is_stale(self) -> bool:
        """Whether it is so old that processes send everybody to legacy, whatever it says."""
        return self.problem is not None and self.age_s > MAX_STALE_S

    @property
    def in_force(self) -> bool:
        """Whether processes send anybody where it says."""
        return self.standing.on and self.kill_switch is None and not self.is_stale


def read_flag(settings: Settings) -> Shown:
    """The flag as processes are given it. Raises InvalidFlags, or FlagServerUnavailable where no state is kept."""
    flag = Policies.load(settings.policies_dir).flag
    engine, age_s, problem, changed_at = (
        _file_state(settings, flag) if not on_server(settings) else server_state(settings, flag)
    )
    return Shown(
        flag=flag,
        standing=standing_of(engine, flag),
        source=source_of(settings),
        version=engine.state.version,
        revision=engine.state.revision,
        age_s=age_s,
        problem=problem,
        changed_at=changed_at,
        kill_switch=look_at_kill_switch(settings.kill_switch_file),
    )


def read_history(settings: Settings, limit: int) -> list[Flip]:
    """The flag's latest flips, the newest first. Raises SourceUnreachable."""
    from dispatcher.routing.flag_editing.events import read_events
    from dispatcher.routing.flag_editing.history import told

    flag = Policies.load(settings.policies_dir).flag
    seen = _seen(settings, flag, limit + 1)
    events = []
    if on_server(settings) and load_admin_settings().unleash_admin_token is not None:
        events = read_events(admin_api(settings), flag, 10 * limit)
    return told(seen, events)[:limit]


def _seen(settings: Settings, flag: str, limit: int) -> list[Seen]:
    """The latest states of the flag that were seen; whoever only reads makes no database."""
    from dispatcher.audit.engine import open_existing
    from dispatcher.audit.flag_changes import FlagChanges
    from dispatcher.routing.flag_editing.history import Seen
    from dispatcher.wiring.doors import read_database

    if open_existing(settings.database_url.get_secret_value()) is None:
        return []
    database = read_database(settings)
    try:
        rows = FlagChanges(database).history(flag, source_of(settings), limit)
    finally:
        database.dispose()
    return [
        Seen(
            source=row.source,
            sequence=row.sequence,
            at=row.seen_at,
            version=row.flag_version,
            standing=Standing.from_json(row.standing),
            actor=row.actor,
        )
        for row in rows
    ]


def admin_api(settings: Settings) -> AdminApi:
    """The server's admin API. Raises InvalidSettings without its token."""
    from dispatcher.routing.flag_editing.admin import AdminApi

    admin = load_admin_settings()
    if admin.unleash_admin_token is None:
        why = "is not set, and the flag is on a server: it needs an admin token, or better a personal access token"
        raise InvalidSettings("DISPATCHER_UNLEASH_ADMIN_TOKEN", [why])
    assert settings.unleash_url is not None
    return AdminApi(
        url=settings.unleash_url,
        token=admin.unleash_admin_token,
        project=admin.unleash_project,
        environment=_environment(settings, admin.unleash_environment),
    )


def _environment(settings: Settings, named: str | None) -> str:
    """The environment in which the flag is edited: the one whose state processes are given, by their token."""
    assert settings.unleash_token is not None
    # project:environment.secret; a proxy's own token may have another form.
    form = re.fullmatch(r"[^:]*:([A-Za-z0-9._~-]{1,100})\.[^.]*", settings.unleash_token.get_secret_value())
    of_token = form[1] if form else None
    if named is not None and of_token is not None and named != of_token:
        why = f"is {named!r}, and DISPATCHER_UNLEASH_TOKEN is one of {of_token!r}: no process would see the flip"
        raise InvalidSettings("DISPATCHER_UNLEASH_ENVIRONMENT", [why])
    return named or of_token or "development"


_State = tuple["FlagEngine", float, str | None, dt.datetime | None]


def on_server(settings: Settings) -> bool:
    """Whether the flag is kept on a server."""
    return settings.unleash_url is not None


def source_of(settings: Settings) -> str:
    """Where the flag is kept, as the history names it."""
    return SOURCE if settings.unleash_url is None else origin_of(settings.unleash_url)


def _file_state(settings: Settings, flag: str) -> _State:
    from dispatcher.routing.flags.engine import FlagEngine
    from dispatcher.routing.flags.reader import read_flag_document
    from dispatcher.routing.flags.state import compile_state

    path = settings.policies_dir / FLAGS_FILE
    try:
        changed = changed_ns(path.stat())
        content = path.read_bytes()
    except OSError as error:
        raise InvalidFlags(str(path), [f"can't be read: {error.strerror}"]) from None
    document = read_flag_document(content, str(path), [flag])
    engine = FlagEngine(compile_state(document, [flag], revision=changed))
    return engine, 0.0, None, dt.datetime.fromtimestamp(changed / 1e9, dt.UTC)


def server_state(settings: Settings, flag: str) -> _State:
    """What the server gives its clients now, else the last good state that a process on this machine kept."""
    from dispatcher.routing.flag_editing.admin import DEADLINE_S
    from dispatcher.routing.flags.holder import FlagHolder
    from dispatcher.routing.flags.poll import FlagServer, Poll
    from dispatcher.routing.flags.store import StateStore
    from dispatcher.routing.flags.usage import SPECIFICATION

    assert settings.unleash_url is not None
    assert settings.unleash_token is not None
    url, token = settings.unleash_url.rstrip("/").removesuffix("/api"), settings.unleash_token.get_secret_value()
    source = origin_of(url)
    headers = {"Authorization": token, "Unleash-Client-Spec": SPECIFICATION}
    holder = FlagHolder(source, time.monotonic())
    server = FlagServer(url=url, source=source, headers=lambda: headers, deadline_s=DEADLINE_S)
    poll = Poll(server, [flag], holder, StateStore(settings.flag_state_dir, url, token, [flag]))
    poll.restore()
    poll.look()
    held = holder.held
    if held.engine is None:
        raise FlagServerUnavailable(f"{held.problem}; no last good state is kept in {settings.flag_state_dir}")
    return held.engine, time.monotonic() - held.confirmed, held.problem, None
