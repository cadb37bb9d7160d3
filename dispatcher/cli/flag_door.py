"""The flag as the verbs of `dispatcher flags` read and edit it: in its file, or on its server."""

from __future__ import annotations

import datetime as dt
import getpass
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import click

from dispatcher.errors import FlagServerUnavailable, InvalidFlags, InvalidSettings, SourceUnreachable
from dispatcher.routing.flags.file import SOURCE, changed_ns
from dispatcher.routing.flags.http import origin_of
from dispatcher.routing.flags.standing import Standing, moves, standing_of
from dispatcher.routing.policy import Policies
from dispatcher.settings import load_admin_settings, look_at_kill_switch

if TYPE_CHECKING:
    from dispatcher.routing.flag_editing.admin import AdminApi
    from dispatcher.routing.flag_editing.edit import Edit
    from dispatcher.routing.flag_editing.history import Flip
    from dispatcher.routing.flag_editing.outcome import Outcome
    from dispatcher.routing.flags.engine import FlagEngine
    from dispatcher.routing.flags.sighting import Sighting
    from dispatcher.settings import Settings

FLAGS_FILE = "flags.json"
SEEN_WITHIN_S = 5.0
"""How long to wait until a server gives its clients what was written on it; it looks once a second."""
_LOOK_EVERY_S = 0.25


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


def read_flag(settings: Settings) -> Shown:
    """The flag as processes are given it. Raises InvalidFlags, or FlagServerUnavailable where no state is kept."""
    flag = Policies.load(settings.policies_dir).flag
    engine, age_s, problem, changed_at = (
        _file_state(settings, flag) if not _on_server(settings) else _server_state(settings, flag)
    )
    return Shown(
        flag=flag,
        standing=standing_of(engine, flag),
        source=_source(settings),
        version=engine.state.version,
        revision=engine.state.revision,
        age_s=age_s,
        problem=problem,
        changed_at=changed_at,
        kill_switch=look_at_kill_switch(settings.kill_switch_file),
    )


def edit_flag(settings: Settings, edit: Edit, actor: str | None, *, dry_run: bool) -> Outcome:
    """Edit the flag where it is kept, and append the change to the history."""
    flag = Policies.load(settings.policies_dir).flag
    who = actor or getpass.getuser()
    if not _on_server(settings):
        from dispatcher.routing.flag_editing.file_writer import FlagFile

        path = settings.policies_dir / FLAGS_FILE
        return FlagFile(path=path, flag=flag, actor=who, record=_recorder(settings)).edit(edit, dry_run=dry_run)
    from dispatcher.routing.flag_editing.edit import Switch
    from dispatcher.routing.flag_editing.server_writer import ServerFlag

    server = ServerFlag(api=admin_api(settings), flag=flag, actor=who, queue=settings.flag_state_dir)
    # The brake waits for nothing, not even for its own history.
    before = None if dry_run or edit == Switch(flag=flag, on=False) else _sighted(settings, flag)
    outcome = server.edit(edit, dry_run=dry_run)
    if outcome.written:
        _see_through(settings, outcome, before, who)
    return outcome


def read_history(settings: Settings, limit: int) -> list[Flip]:
    """The flag's latest flips, the newest first. Raises SourceUnreachable."""
    from dispatcher.audit.flag_changes import FlagChanges
    from dispatcher.routing.flag_editing.events import read_events
    from dispatcher.routing.flag_editing.history import Seen, told
    from dispatcher.wiring import open_database

    flag = Policies.load(settings.policies_dir).flag
    database = open_database(settings)
    try:
        rows = FlagChanges(database).history(flag, _source(settings), limit + 1)
    finally:
        database.dispose()
    seen = [
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
    events = []
    if _on_server(settings) and load_admin_settings().unleash_admin_token is not None:
        events = read_events(admin_api(settings), flag, 10 * limit)
    return told(seen, events)[:limit]


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
        environment=admin.unleash_environment,
    )


_State = tuple["FlagEngine", float, str | None, dt.datetime | None]


def _on_server(settings: Settings) -> bool:
    return settings.unleash_url is not None


def _source(settings: Settings) -> str:
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


def _server_state(settings: Settings, flag: str) -> _State:
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
    poll = Poll(server, [flag], holder, StateStore(settings.flag_state_dir, url, token))
    poll.restore()
    poll.look()
    held = holder.held
    if held.engine is None:
        raise FlagServerUnavailable(f"{held.problem}; no last good state is kept in {settings.flag_state_dir}")
    return held.engine, time.monotonic() - held.confirmed, held.problem, None


def _recorder(settings: Settings) -> Callable[[Sighting], None]:
    """Appends to the history. A flip is never refused because its history can't be written."""
    from dispatcher.audit.flag_changes import FlagChanges
    from dispatcher.wiring import open_database

    def record(sighting: Sighting) -> None:
        try:
            database = open_database(settings)
            try:
                FlagChanges(database).record(**asdict(sighting))
            finally:
                database.dispose()
        except SourceUnreachable as error:
            click.echo(f"the flag is changed, but its history is not: {error}", err=True)

    return record


def _sighted(settings: Settings, flag: str, actor: str | None = None) -> Sighting | None:
    """The flag as clients are given it now, None where that can't be said."""
    from dispatcher.routing.flags.sighting import sighting_of

    try:
        engine, _, problem, _ = _server_state(settings, flag)
    except FlagServerUnavailable:
        return None
    if problem is not None:
        return None
    return sighting_of(engine, flag, source=_source(settings), seen_at=dt.datetime.now(dt.UTC), actor=actor)


def _see_through(settings: Settings, outcome: Outcome, before: Sighting | None, actor: str) -> None:
    """Wait until clients are given what was written, and append that to the history, after the state before it."""
    record = _recorder(settings)
    if before is not None:
        record(before)
    deadline = time.monotonic() + SEEN_WITHIN_S
    while time.monotonic() < deadline:
        after = _sighted(settings, outcome.flag, actor)
        if after is not None and _holds(Standing.from_json(after.standing), outcome):
            record(after if _only_these(before, after, outcome) else replace(after, actor=None))
            return
        time.sleep(_LOOK_EVERY_S)
    why = f"was not what clients are given within {SEEN_WITHIN_S:.0f} s: the server is slow, or it was changed again"
    click.echo(f"written and read back, but it {why}; look at `dispatcher flags show`", err=True)


def _only_these(before: Sighting | None, after: Sighting, outcome: Outcome) -> bool:
    """Whether nobody else's edits came between; theirs must not be told as this one's."""
    if before is None:
        return True
    found = moves(Standing.from_json(before.standing), Standing.from_json(after.standing))
    return {(move.tenant, move.project) for move in found} == {(move.tenant, move.project) for move in outcome.moves}


def _holds(standing: Standing, outcome: Outcome) -> bool:
    """Whether a standing is one that the edit has led to; others may have moved other tenants since."""
    if not outcome.moves:
        # Clients aren't given the titles of the rules.
        untitled = [[replace(entry, rule=None) for entry in one.entries] for one in (standing, outcome.after)]
        return standing.on is outcome.after.on and untitled[0] == untitled[1]
    found = ((standing.entry(move.tenant, move.project), move.after) for move in outcome.moves)
    return all((now.by, now.shares) == (wanted.by, wanted.shares) for now, wanted in found)
