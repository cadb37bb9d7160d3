"""The flag as the writing verbs of `dispatcher flags` change it: where it is kept, and in its history."""

from __future__ import annotations

import datetime as dt
import getpass
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from dispatcher.cli.flag_door import FLAGS_FILE, admin_api, on_server, server_state, source_of
from dispatcher.errors import DispatcherError, FlagServerUnavailable
from dispatcher.routing.flags.standing import Places, Standing, moves, standing_of
from dispatcher.routing.policy import Policies

if TYPE_CHECKING:
    from dispatcher.routing.flag_editing.edit import Edit
    from dispatcher.routing.flag_editing.outcome import Outcome
    from dispatcher.routing.flags.sighting import Sighting
    from dispatcher.settings import Settings

SEEN_WITHIN_S = 5.0
"""How long to wait until a server gives its clients what was written on it; it looks once a second."""
_LOOK_EVERY_S = 0.25
HISTORY_WITHIN_S = 5.0
"""How long to wait for the history's database; a running process records the flip later, without a name."""


def edit_flag(settings: Settings, edit: Edit, actor: str | None, *, dry_run: bool) -> Outcome:
    """Edit the flag where it is kept, and append the change to the history."""
    flag = Policies.load(settings.policies_dir).flag
    who = actor or _logged_in()
    if not on_server(settings):
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


def _logged_in() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"  # one without a name, as in a container; a brake must not fail for it


def _recorder(settings: Settings) -> Callable[[Sighting], None]:
    """Appends to the history, and says once where it can't. A flip is never refused, nor held up, for its history."""
    problems: list[str] = []

    def append(sighting: Sighting) -> None:
        try:
            _append(settings, sighting)
        except Exception as error:  # noqa: BLE001 - whatever it is, such as a driver that isn't installed
            problems.append(str(error) if isinstance(error, DispatcherError) else type(error).__name__)

    def record(sighting: Sighting) -> None:
        if problems:
            return
        appending = threading.Thread(target=append, args=(sighting,), daemon=True)
        appending.start()
        appending.join(HISTORY_WITHIN_S)
        if appending.is_alive():
            problems.append(f"the database did not answer within {HISTORY_WITHIN_S:.0f} s")
        if problems:
            click.echo(f"the flag is changed, but its history is not: {problems[0]}", err=True)

    return record


def _append(settings: Settings, sighting: Sighting) -> None:
    from dispatcher.audit.flag_changes import FlagChanges
    from dispatcher.wiring.doors import open_database

    database = open_database(settings)
    try:
        FlagChanges(database).record(**asdict(sighting))
    finally:
        database.dispose()


def _sighted(settings: Settings, flag: str, actor: str | None = None) -> Sighting | None:
    """The flag as clients are given it now, None where that can't be said."""
    from dispatcher.routing.flags.sighting import sighting_of

    try:
        engine, _, problem, _ = server_state(settings, flag)
    except FlagServerUnavailable:
        return None
    if problem is not None:
        return None
    now, standing = dt.datetime.now(dt.UTC), standing_of(engine, flag)
    return sighting_of(engine, flag, standing, source=source_of(settings), seen_at=now, actor=actor)


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
    places = Places(standing)
    found = ((places.entry(move.tenant, move.project), move.after) for move in outcome.moves)
    return all((now.by, now.shares) == (wanted.by, wanted.shares) for now, wanted in found)
