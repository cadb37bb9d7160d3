"""An attempt's statements that wait, merged into one entry of the spool; and which attempts may wait there at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from dispatcher.action.observation import Call, Status, Usage
from dispatcher.audit.record import AttemptEnding, AttemptOpening, Kept
from dispatcher.audit.spool_text import (
    MOMENTS,
    OPENING_NAMES,
    SESSION,
    USAGE,
    UnreadableEntry,
    ended_of,
    opening_of,
    session_of,
)
from dispatcher.audit.tables import logs

_LENGTHS = {name: kind.length or 0 for name in OPENING_NAMES if isinstance(kind := logs.c[name].type, sa.String)}
_BITS = {
    name: 63 if isinstance(kind, sa.BigInteger) else 31
    for name in OPENING_NAMES
    if isinstance(kind := logs.c[name].type, sa.Integer)
}
_ZONED = [name for name in OPENING_NAMES if name in MOMENTS]
_texts, _numbers, _moments = attrgetter(*_LENGTHS), attrgetter(*_BITS), attrgetter(*_ZONED)


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
            Call(
                usage=Usage(**{name: call[name] for name in USAGE}),
                **{name: value for name, value in call.items() if name not in {"log_id", *USAGE}},
            )
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
    return _misfit(opening)


def entry_of(
    log_id: str,
    version: int,
    opening: str | None,
    session: str | None,
    ended: str | None,
    shapes: Mapping[str, str] = MappingProxyType({}),
) -> Entry:
    """The entry that the texts hold; a value that an earlier program didn't know is None.

    `shapes` are the names that the file keeps of texts by other programs than this one. Raises UnreadableEntry for
    texts that this program can't have written; what a newer one wrote isn't cut down.
    """
    try:
        ending, made, kept = (None, [], None) if ended is None else ended_of(ended, shapes)
        return Entry(
            log_id=log_id,
            version=version,
            opening=None if opening is None else opening_of(opening, shapes),
            session=None if session is None else session_of(session, shapes),
            ending=ending,
            calls=[call | {"log_id": log_id} for call in made],
            kept=None if kept is None else Kept(**kept),
        )
    except UnreadableEntry:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableEntry(f"it can't be read: {type(error).__name__}") from None


def _same_calls(told: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> bool:
    return {call["ordinal"]: dict(call) for call in told} == {call["ordinal"]: dict(call) for call in found}


def _misfit(opening: AttemptOpening) -> str | None:
    for (name, length), text in zip(_LENGTHS.items(), _texts(opening), strict=True):
        if text is not None and "\0" in text:
            return f"{name} holds a NUL character"
        if text is not None and len(text) > length:
            return f"{name} has {len(text)} characters, and at most {length} fit"
    for (name, bits), number in zip(_BITS.items(), _numbers(opening), strict=True):
        if number is not None and not -(2**bits) <= number < 2**bits:
            return f"{name} is out of range"
    unzoned = (name for name, moment in zip(_ZONED, _moments(opening), strict=True) if moment.tzinfo is None)
    return next((f"{name} has no time zone" for name in unzoned), None)
