"""An attempt's statements as values, merged into one entry of the spool; and which attempts may wait there at all."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from dispatcher.action.observation import Call, Status, Usage
from dispatcher.audit.record import AttemptEnding, AttemptOpening, Kept
from dispatcher.audit.tables import logs

SESSION = ("session_id", "agent_id", "agent_version")
_USAGE = tuple(field.name for field in fields(Usage))
_CALL = tuple(field.name for field in fields(Call) if field.name != "usage")
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=dt.datetime.isoformat)
_CALL_KEYS = {*_CALL, *_USAGE}
_FIELDS: dict[type[Any], tuple[dict[str, None], tuple[str, ...]]] = {
    kind: (
        dict.fromkeys(field.name for field in fields(kind)),
        tuple(field.name for field in fields(kind) if "datetime" in str(field.type)),
    )
    for kind in (AttemptOpening, AttemptEnding, Kept)
}
"""The names of the fields, and of those that are moments."""
_OPENING = tuple(field.name for field in fields(AttemptOpening))
_LENGTHS = {name: kind.length for name in _OPENING if isinstance(kind := logs.c[name].type, sa.String)}
_BITS = {
    name: 63 if isinstance(kind, sa.BigInteger) else 31
    for name in _OPENING
    if isinstance(kind := logs.c[name].type, sa.Integer)
}


class UnreadableEntry(ValueError):
    """What waits isn't what this program writes; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What waits of one attempt, as values by the names of their columns; None where that statement doesn't wait.

    `version` counts the statements that were merged, so that what is added while an entry is drained isn't deleted.
    """

    log_id: str
    version: int
    opening: Mapping[str, Any] | None
    session: Mapping[str, Any] | None
    ending: Mapping[str, Any] | None
    calls: Sequence[Mapping[str, Any]] = ()
    kept: Kept | None = None

    def row(self) -> dict[str, Any]:
        """What the attempt's row holds of these statements when it has been told them, in their order.

        A session that was noted stays known where the ending doesn't know it.
        """
        told: dict[str, Any] = {"log_id": self.log_id}
        for part in (self.opening, self.session, self.ending):
            told.update(part or ())
        if self.session is not None and self.ending is not None:
            told.update((name, noted) for name, noted in self.session.items() if self.ending[name] is None)
        return told

    def differences(self, row: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> list[str]:
        """The names of the columns in which a row of the log, or its calls, aren't what the statements made of it."""
        told = self.row()
        if self.ending is None and row["status"] != Status.STARTED:
            # The ending that came by another way brought a form of its own.
            told.pop("transcript_form", None)
        for name in SESSION:
            # A session that was noted before stays known where the ending doesn't know it.
            if name in told and told[name] is None:
                del told[name]
        different = sorted(name for name, value in told.items() if not _is_same(value, row[name]))
        # What a sweep read of a session before the ending came is the platform's own word, and stays.
        if self.ending is not None and row.get("swept_at") is None and not _same_calls(self.calls, calls):
            different.append("its calls")
        return different

    def as_ending(self) -> AttemptEnding:
        """The ending as the writer takes it. Belongs to an entry that has one."""
        return AttemptEnding(**(self.ending or {}))

    def as_calls(self) -> list[Call]:
        """The calls as the writer takes them."""
        return [
            Call(usage=Usage(**{name: call[name] for name in _USAGE}), **{name: call[name] for name in _CALL})
            for call in self.calls
        ]


def _is_same(told: Any, found: Any) -> bool:
    # In another application's table that was adopted a moment may be kept to the second.
    moments = isinstance(told, dt.datetime) and isinstance(found, dt.datetime)
    return bool(abs(told - found) < dt.timedelta(seconds=1) if moments else told == found)


def why_it_cannot_wait(opening: AttemptOpening) -> str | None:
    """Why an attempt can't be accepted by the spool; None where it can.

    Whatever is granted once among all hosts is granted by the database they share: an idempotency key, a part of a
    budget, a turn of a conversation, which is the dispatch's own from its first attempt on. And what the database would
    refuse for its size would be accepted here and never become a row.
    """
    if opening.idempotency_key is not None:
        return "an idempotency key is claimed in the database that all hosts share"
    if opening.reserved_nanousd is not None:
        return "a budget is kept in the database that all hosts share"
    if opening.turn is not None and opening.attempt == 1:
        return "a turn of a conversation is claimed in the database that all hosts share"
    return next((problem for name in _OPENING if (problem := _misfit(name, getattr(opening, name)))), None)


def opening_text(opening: AttemptOpening) -> str:
    """An opening, to be read by `entry_of`."""
    return _text({name: getattr(opening, name) for name in _OPENING})


def session_text(session_id: str, agent_id: str, agent_version: int) -> str:
    """A session that was noted, to be read by `entry_of`."""
    return _text(dict(zip(SESSION, (session_id, agent_id, agent_version), strict=True)))


def ending_text(ending: AttemptEnding, made: Sequence[Call], kept: Kept | None) -> str:
    """An ending with its calls and what is kept of its content, to be read by `entry_of`."""
    calls = [
        {name: getattr(call, name) for name in _CALL} | {name: getattr(call.usage, name) for name in _USAGE}
        for call in made
    ]
    content = None if kept is None else {field.name: getattr(kept, field.name) for field in fields(kept)}
    values = {field.name: getattr(ending, field.name) for field in fields(ending)}
    return _text({"ending": values, "calls": calls, "kept": content})


def entry_of(log_id: str, version: int, opening: str | None, session: str | None, ended: str | None) -> Entry:
    """The entry that the texts hold; a value that an earlier program didn't know is None.

    Raises UnreadableEntry for texts that this program can't have written; what a newer one wrote isn't cut down.
    """
    try:
        end = None if ended is None else json.loads(ended)
        return Entry(
            log_id=log_id,
            version=version,
            opening=None if opening is None else _values(AttemptOpening, json.loads(opening)),
            session=None if session is None else {name: json.loads(session)[name] for name in SESSION},
            ending=None if end is None else _values(AttemptEnding, end["ending"]),
            calls=[] if end is None else [_call(log_id, call) for call in end["calls"]],
            kept=None if end is None or end["kept"] is None else Kept(**_values(Kept, end["kept"])),
        )
    except UnreadableEntry:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableEntry(f"it can't be read: {type(error).__name__}") from None


def _text(value: dict[str, Any]) -> str:
    return _JSON.encode(value)


def _values(kind: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    blank, moments = _FIELDS[kind]
    if values.keys() != blank.keys():
        values = blank | _known(values, blank.keys())
    for name in moments:
        if values[name] is not None:
            values[name] = dt.datetime.fromisoformat(values[name])
    return values


def _call(log_id: str, values: dict[str, Any]) -> dict[str, Any]:
    if values.keys() != _CALL_KEYS:
        values = dict.fromkeys(_CALL_KEYS) | _known(values, _CALL_KEYS)
    values["log_id"] = log_id
    return values


def _known(values: dict[str, Any], names: Set[str]) -> dict[str, Any]:
    if unknown := values.keys() - names:
        raise UnreadableEntry(f"a newer program wrote it, this one doesn't know {', '.join(sorted(unknown))}")
    return values


def _same_calls(told: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> bool:
    return {call["ordinal"]: dict(call) for call in told} == {call["ordinal"]: dict(call) for call in found}


def _misfit(name: str, value: object) -> str | None:
    length, bits = _LENGTHS.get(name), _BITS.get(name)
    if isinstance(value, str):
        if "\0" in value:
            return f"{name} holds a NUL character"
        if length is not None and len(value) > length:
            return f"{name} has {len(value)} characters, and at most {length} fit"
    elif isinstance(value, dt.datetime):
        return None if value.tzinfo is not None else f"{name} has no time zone"
    elif bits is not None and isinstance(value, int) and not -(2**bits) <= value < 2**bits:
        return f"{name} is out of range"
    return None
