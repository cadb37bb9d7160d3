"""An attempt's statements as the texts that wait: their values in the order of names that the file keeps once."""

from __future__ import annotations

import datetime as dt
import json
import zlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from pydantic_core import from_json

from dispatcher.action.observation import Call, Usage
from dispatcher.audit.record import AttemptEnding, AttemptOpening, Kept

SESSION = ("session_id", "agent_id", "agent_version")
USAGE = tuple(field.name for field in fields(Usage))
_OF_CALL = tuple(field.name for field in fields(Call) if field.name != "usage")
OPENING_NAMES, ENDING_NAMES, KEPT_NAMES = (
    tuple(field.name for field in fields(kind)) for kind in (AttemptOpening, AttemptEnding, Kept)
)
CALL_NAMES = (*_OF_CALL, *USAGE)
MOMENTS = {
    field.name
    for kind in (AttemptOpening, AttemptEnding, Kept)
    for field in fields(kind)
    if "datetime" in str(field.type)
}
"""The names of values that are moments, and stand in a text in ISO 8601."""

_opening, _ending, _kept = attrgetter(*OPENING_NAMES), attrgetter(*ENDING_NAMES), attrgetter(*KEPT_NAMES)
_call = attrgetter(*_OF_CALL, *(f"usage.{name}" for name in USAGE))
_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=dt.datetime.isoformat).encode


class UnreadableEntry(ValueError):
    """What waits isn't what this program writes; the message says why."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The names of a text's values, list by list, and the mark of them with which the text begins."""

    mark: str
    names: tuple[tuple[str, ...], ...]


def _shape(*names: tuple[str, ...]) -> Shape:
    return Shape(f"{zlib.crc32(_text(names).encode()):08x}", names)


OPENING, NOTED = _shape(OPENING_NAMES), _shape(SESSION)
ENDED = _shape(ENDING_NAMES, CALL_NAMES, KEPT_NAMES)
SHAPES = {shape.mark: _text(shape.names) for shape in (OPENING, NOTED, ENDED)}
"""What a file must keep for the texts of this program to be read by any other one, by their marks."""


def opening_text(opening: AttemptOpening) -> str:
    """An opening, to be read by `opening_of`."""
    return _text((OPENING.mark, *_opening(opening)))


def session_text(session_id: str, agent_id: str, agent_version: int) -> str:
    """A session that was noted, to be read by `session_of`."""
    return _text((NOTED.mark, session_id, agent_id, agent_version))


def ending_text(ending: AttemptEnding, made: Sequence[Call], kept: Kept | None) -> str:
    """An ending with its calls and what is kept of its content, to be read by `ended_of`."""
    content = None if kept is None else _kept(kept)
    return _text((ENDED.mark, _ending(ending), [_call(call) for call in made], content))


def opening_of(text: str, shapes: Mapping[str, str]) -> dict[str, Any]:
    """An opening by its names; one that an earlier program didn't know is None. `shapes` is what the file keeps.

    Raises UnreadableEntry, as all that read texts do, for what a newer program wrote: it isn't cut down. What no
    program wrote is an error of its own kind: of a key, a type or a value.
    """
    body, names = _read(text, shapes)
    return _values(OPENING_NAMES, body if isinstance(body, dict) else dict(zip(names[0], body, strict=True)))


def session_of(text: str, shapes: Mapping[str, str]) -> dict[str, Any]:
    """A session by its names."""
    body, names = _read(text, shapes)
    return _values(SESSION, body if isinstance(body, dict) else dict(zip(names[0], body, strict=True)))


def ended_of(
    text: str, shapes: Mapping[str, str]
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any] | None]:
    """An ending, its calls and what is kept, by their names."""
    body, names = _read(text, shapes)
    if isinstance(body, dict):
        ending, made, kept = body["ending"], body["calls"], body["kept"]
    else:
        of_ending, of_call, of_kept = names
        ending, made, kept = body
        ending = dict(zip(of_ending, ending, strict=True))
        made = [dict(zip(of_call, call, strict=True)) for call in made]
        kept = None if kept is None else dict(zip(of_kept, kept, strict=True))
    return (
        _values(ENDING_NAMES, ending),
        [_values(CALL_NAMES, call) for call in made],
        None if kept is None else _values(KEPT_NAMES, kept),
    )


def _read(text: str, shapes: Mapping[str, str]) -> tuple[Any, Any]:
    """What follows the mark, and its names. The first version of the file had objects, with the names in each."""
    value = from_json(text)
    if isinstance(value, dict):
        return value, ()
    mark, *body = value
    return body, from_json(SHAPES.get(mark) or shapes[mark])


def _values(names: Sequence[str], values: dict[str, Any]) -> dict[str, Any]:
    values = dict.fromkeys(names) | _known(values, set(names))
    for name in MOMENTS & values.keys():
        if values[name] is not None:
            values[name] = dt.datetime.fromisoformat(values[name])
    return values


def _known(values: dict[str, Any], names: Set[str]) -> dict[str, Any]:
    if unknown := values.keys() - names:
        raise UnreadableEntry(f"a newer program wrote it, this one doesn't know {', '.join(sorted(unknown))}")
    return values
