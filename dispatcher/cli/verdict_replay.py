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
    from dispatcher.verdict.judge import Verdict

DIFFERS = 4
"""The exit code of a stored verdict that comes out differently: as INVALID."""


def verify(path: Path, settings: Settings, engine: Engine) -> int:
    """Reach every verdict of a file again, from the same record and as of the same moment, and say what differs.

    Exits 0 where nothing does. Raises InvalidInput for a file that holds no verdict, InvalidRecord and
    SourceUnreachable.
    """
    differing = False
    for document in _documents(path):
        found = _compared(document, settings.adrs_dir, engine)
        name = f"{document['record']} as of {document['as_of']}"
        if not found:
            click.echo(f"identical: {name}, {document['verdict']}")
            continue
        differing = True
        click.echo(f"differs: {name}")
        for line in found:
            click.echo(f"  {line}")
    return DIFFERS if differing else 0


def _documents(path: Path) -> list[dict[str, Any]]:
    from dispatcher.errors import InvalidInput
    from dispatcher.verdict.history import moment_of

    try:
        read = json.loads(path.read_bytes())
        documents = read if isinstance(read, list) else [read]
        for document in documents:
            moment_of(document)
            _ = (document["record"], document["origin"], document["verdict"], document["hashes"]["record"])
    except OSError as error:
        raise InvalidInput(str(path), [f"can't be read: {error.strerror}"]) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        needed = "is no verdict as `dispatcher verdict --json` prints it, or as the table `verdicts` holds it"
        raise InvalidInput(str(path), [needed]) from None
    return documents


def _compared(document: dict[str, Any], directory: Path, engine: Engine) -> list[str]:
    from dispatcher.adr.reader import find_record
    from dispatcher.audit.record import Origin
    from dispatcher.verdict.history import differences, moment_of
    from dispatcher.verdict.reach import reach_verdict
    from dispatcher.verdict.report import as_document

    record = find_record(directory, document["record"])
    if record.block_hash != document["hashes"]["record"]:
        return [f"the record has changed since: its block is {record.block_hash}, then {document['hashes']['record']}"]
    verdict = reach_verdict(record, Origin(document["origin"]), moment_of(document), engine)
    return differences(document, json.loads(json.dumps(as_document(verdict))))


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
