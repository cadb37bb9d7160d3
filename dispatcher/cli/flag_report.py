"""What `dispatcher flags` prints, for people and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dispatcher.cli.flag_door import Shown
    from dispatcher.routing.flag_editing.history import Flip
    from dispatcher.routing.flag_editing.outcome import Outcome
    from dispatcher.routing.flags.standing import Entry, Move, Standing


def shown_document(shown: Shown) -> dict[str, Any]:
    """The flag's standing as JSON holds it; `in_force` is False where everybody is on legacy whatever it says."""
    return {
        "flag": shown.flag,
        **_standing_document(shown.standing),
        "in_force": shown.in_force,
        "kill_switch": None
        if shown.kill_switch is None
        else dict(zip(("where", "value"), shown.kill_switch, strict=True)),
        "source": shown.source,
        "version": shown.version,
        "revision": shown.revision,
        "age_s": round(shown.age_s, 3),
        "problem": shown.problem,
        "changed_at": None if shown.changed_at is None else shown.changed_at.isoformat(),
    }


def outcome_document(outcome: Outcome, *, dry_run: bool) -> dict[str, Any]:
    """What an edit came to as JSON holds it."""
    return {
        "flag": outcome.flag,
        "dry_run": dry_run,
        "written": outcome.written,
        "moves": [_move_document(move) for move in outcome.moves],
        **_standing_document(outcome.after),
    }


def flips_document(flips: list[Flip]) -> list[dict[str, Any]]:
    """The history as JSON holds it, the newest first."""
    return [
        {
            "at": flip.at.isoformat(),
            "source": flip.source,
            "actor": flip.actor,
            "who": list(flip.who),
            "version": flip.version,
            "first": flip.first,
            "on": flip.on,
            "moves": [_move_document(move) for move in flip.moves],
            "events": [
                {"number": event.number, "at": event.at.isoformat(), "by": event.by, "what": event.what}
                for event in flip.events
            ],
        }
        for flip in flips
    ]


def outcome_text(outcome: Outcome, *, dry_run: bool) -> str:
    """What an edit came to, for a person to read."""
    lines = [_move_text(move) for move in outcome.moves]
    after = outcome.after
    if dry_run:
        lines.append("nothing was written" if lines else "nobody would move; nothing was written")
    elif not outcome.written:
        lines.append("it is so already; nothing to do")
    elif not lines:
        lines.append("written; nobody moves")
    if not after.on:
        lines.append(f"everybody is on legacy: {after.detail}")
    return "\n".join(lines)


def print_shown(shown: Shown) -> None:
    """The flag's standing, for a person to read."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    standing = shown.standing
    click.echo(f"flag {shown.flag}: {'on' if standing.on else f'off, everybody is on legacy: {standing.detail}'}")
    if shown.kill_switch is None:
        click.echo("kill switch: not set")
    else:
        where, value = shown.kill_switch
        click.echo(f"kill switch: {where} says {value!r}, everybody is on legacy")
    click.echo(f"source: {shown.source}, document {shown.version}, {_age_text(shown)}")
    table = Table("tenant", "project", "variant" if standing.on else "variant, were it on", "rule", box=box.SIMPLE)
    for entry in standing.entries:
        table.add_row(
            *(escape(_plain(cell)) for cell in (_who(entry), entry.project or "", entry.text, entry.rule or ""))
        )
    Console().print(table)


def print_flips(flips: list[Flip]) -> None:
    """The history, for a person to read."""
    if not flips:
        click.echo("no state of the flag has been seen yet; running processes and `dispatcher flags` record them")
    for flip in flips:
        at = flip.at.isoformat(timespec="seconds", sep=" ")
        click.echo(_plain(f"{at}  {', '.join(flip.who) or 'nobody said who'}  ({_flip_text(flip)})"))
        for move in flip.moves:
            click.echo(f"    {_move_text(move)}")
        for event in flip.events:
            click.echo(_plain(f"    server event {event.number}: {event.what} by {event.by}"))


def _flip_text(flip: Flip) -> str:
    if flip.version is None:
        return f"{flip.source}, not seen by any process yet"
    first = "first seen, " if flip.first else ""
    off = "" if flip.on else ", off"
    return f"{first}{flip.source}, document {flip.version}{off}"


def _age_text(shown: Shown) -> str:
    if shown.problem is not None:
        meaning = " (too old to be used: everybody is on legacy)" if shown.is_stale else ""
        return f"last confirmed {_span(shown.age_s)} ago{meaning}: {shown.problem}"
    if shown.changed_at is None:
        return "confirmed just now"
    return f"changed {shown.changed_at.isoformat(timespec='seconds', sep=' ')}"


def _span(seconds: float) -> str:
    from datetime import timedelta

    return str(timedelta(seconds=round(seconds)))


def _who(placed: Entry | Move) -> str:
    return "everybody else" if placed.tenant is None else placed.tenant


def _move_text(move: Move) -> str:
    project = "" if move.project is None else f", project {move.project}"
    before = "" if move.before is None else f"{move.before.text} → "
    return _plain(f"{_who(move)}{project}: {before}{move.after.text}")


def _plain(text: str) -> str:
    """A tenant's name may hold anything; what would steer a terminal is shown as what it is."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _standing_document(standing: Standing) -> dict[str, Any]:
    return {
        "on": standing.on,
        "detail": standing.detail,
        "entries": [_entry_document(entry) for entry in standing.entries],
    }


def _entry_document(entry: Entry) -> dict[str, Any]:
    return {
        "tenant": entry.tenant,
        "project": entry.project,
        "by": entry.by,
        "shares": dict(entry.shares),
        "rule": entry.rule,
    }


def _move_document(move: Move) -> dict[str, Any]:
    before, after = move.before, move.after
    return {
        "tenant": move.tenant,
        "project": move.project,
        "from": None if before is None else {"by": before.by, "shares": dict(before.shares)},
        "to": {"by": after.by, "shares": dict(after.shares)},
    }
