"""What `dispatcher verdict` does beside judging now: a stored verdict reached again, and other variants shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Engine

    from dispatcher.adr.document import Record
    from dispatcher.audit.record import Origin
    from dispatcher.settings import Settings
    from dispatcher.verdict.judgement.judge import Verdict

DIFFERS = 4
"""The exit code of a stored verdict that comes out differently: as INVALID."""


def verify(path: Path, settings: Settings, engine: Engine) -> int:
    """Reach every verdict of a file again, by the criteria that it holds and as of its moment, and say what differs.

    Exits 0 where nothing does, whether or not the record's criteria have changed since, which is said; a title that
    isn't the record's is a difference. Raises InvalidInput for a file that holds no verdict of the past, InvalidRecord
    and SourceUnreachable.
    """
    differing = False
    for document in _documents(path):
        found = [*_compared(document, engine), *_other_title(document, settings.adrs_dir)]
        name = f"{document['record']} as of {document['as_of']}"
        click.echo(f"differs: {name}" if found else f"identical: {name}, {document['verdict']}")
        for line in [*found, *_changed_since(document, settings.adrs_dir)]:
            click.echo(f"  {line}")
        differing = differing or bool(found)
    return DIFFERS if differing else 0


def _documents(path: Path) -> list[dict[str, Any]]:
    import datetime as dt

    from dispatcher.audit.record import Origin
    from dispatcher.errors import InvalidInput
    from dispatcher.verdict.history import moment_of

    try:
        read = json.loads(path.read_bytes(), object_pairs_hook=_each_key_once)
        documents = read if isinstance(read, list) and read else [read]
        # Half of a character is nothing that a verdict holds, and nothing that could be printed or asked for.
        json.dumps(documents, ensure_ascii=False).encode()
        now = dt.datetime.now(dt.UTC)
        if any(moment_of(document).astimezone(dt.UTC) > now for document in documents):
            raise InvalidInput(str(path), ["is no verdict of the past: its as_of lies in the future"])
        for document in documents:
            Origin(document["origin"])
            for key in ("record", "record_title", "origin", "verdict", "criteria"):
                _ = document[key] + ""
            _printable(document["record"] + document["as_of"])
            _ = (document["hashes"]["record"], document["pinned"].items())
    except OSError as error:
        raise InvalidInput(str(path), [f"can't be read: {error.strerror}"]) from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        needed = "is no verdict as `dispatcher verdict --json` prints it, or as the table `verdicts` holds it"
        raise InvalidInput(str(path), [needed]) from None
    return documents


def _printable(text: str) -> None:
    """Raises ValueError for what a terminal would obey instead of showing it."""
    if not text.isprintable():
        raise ValueError("is not printable")


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are there once: of two, one reader takes the first and another the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _other_title(document: dict[str, Any], directory: Path) -> list[str]:
    """Where the record's own title is another one; what can't be read is said by `_changed_since`."""
    from dispatcher.adr.reader import find_record
    from dispatcher.errors import InvalidRecord

    try:
        title = find_record(directory, document["record"]).title
    except InvalidRecord:
        return []
    held = document["record_title"]
    return [] if title == held else [f"record_title: {json.dumps(held)} in the file, {json.dumps(title)} in the record"]


def _compared(document: dict[str, Any], engine: Engine) -> list[str]:
    from dispatcher.verdict.history import differences
    from dispatcher.verdict.replay import reach_again
    from dispatcher.verdict.report.document import as_document

    return differences(document, json.loads(json.dumps(as_document(reach_again(document, engine)))))


def _changed_since(document: dict[str, Any], directory: Path) -> list[str]:
    """Whether the record's file still states these criteria, in words where it doesn't."""
    from dispatcher.adr.reader import find_record
    from dispatcher.errors import InvalidRecord

    then = document["hashes"]["record"]
    try:
        now = find_record(directory, document["record"]).block_hash
    except InvalidRecord as error:
        return [f"the record's file can't be compared with what was judged: {error}"]
    return [] if now == then else [f"the record has changed since: its block is {now}, {then} was judged"]


def shower(settings: Settings, candidate: str | None) -> Callable[[Record, Origin, dt.datetime, Engine], Verdict]:
    """What shows another registered variant in the candidate's place, or with None the control against itself.

    Raises InvalidSettings for a variant that isn't registered.
    """
    from dispatcher.errors import InvalidSettings
    from dispatcher.routing.policy import Policies
    from dispatcher.verdict.reach import show_variant

    if candidate is not None:
        registered = Policies.load(settings.policies_dir).variants
        if candidate not in registered:
            known = ", ".join(sorted(registered))
            raise InvalidSettings("--candidate", [f"{candidate} is no registered variant; there are {known}"])
    return lambda record, origin, as_of, engine: show_variant(record, candidate, origin, as_of, engine)
