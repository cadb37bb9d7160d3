"""From the cells of one line to one row of the log: pure."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dispatcher.audit.record import Origin, Role
from dispatcher.telemetry.conversion import converter, shown
from dispatcher.telemetry.import_map import Column, ImportMap
from dispatcher.telemetry.target import Target, targets

_IMPORTS = uuid.UUID("6d0b6f0a-5d6e-5b54-9c39-6f3f0a0c2a51")
"""The namespace of imported rows' ids (RFC 9562 section 5.5); a new one would import everything a second time."""

_Cells = Sequence[str]


class RowReader:
    """Turns lines into rows by a map.

    What the map leaves out and the table needs is derived: `log_id` from the source and the key, so that the same line
    is the same row in every import; `dispatch_id` is the row's own id, `attempt` 1, `role` served, and
    `routed_variant` the variant. The origin is always `import`.
    """

    def __init__(self, column_map: ImportMap) -> None:
        self._source = column_map.source
        at = {name: place for place, name in enumerate(column_map.needed)}
        self._key = [(name, at[name]) for name in column_map.key]
        self._columns = [(name, _reader(column, targets()[name], at)) for name, column in column_map.columns.items()]
        self._given: dict[str, Any] = {
            "attempt": 1,
            "role": Role.SERVED.value,
            "origin": Origin.IMPORT.value,
            "time_scale": 1.0,
            "owner": f"import:{column_map.source}",
            **{name: converter(targets()[name])(text) for name, text in column_map.constants.items()},
        }

    def key(self, cells: _Cells) -> str:
        """The key of a line, for a message."""
        return ", ".join(f"{name}={shown(cells[place])}" for name, place in self._key)

    def row(self, cells: _Cells) -> tuple[dict[str, Any], list[str]]:
        """The row of a line and what is wrong with the line; with a problem the row is not to be used."""
        log_id = self._log_id(cells)
        row = {"log_id": log_id, "dispatch_id": log_id, **self._given}
        problems = [f"{name} is empty, and it is part of the key" for name, place in self._key if not cells[place]]
        for name, read in self._columns:
            try:
                row[name] = read(cells)
            except ValueError as error:
                problems.append(f"{name}: {error}")
        row.setdefault("routed_variant", row.get("variant"))
        return row, problems

    def _log_id(self, cells: _Cells) -> str:
        identity = json.dumps([self._source, *(cells[place] for _, place in self._key)])
        return str(uuid.uuid5(_IMPORTS, identity))


def _reader(column: Column, target: Target, at: Mapping[str, int]) -> Callable[[_Cells], Any]:
    value_of = _value_reader(column, target, [at[name] for name in column.from_])
    subtracted = [_number_reader(column, target, at[name]) for name in column.less]

    def read(cells: _Cells) -> Any:
        value = value_of(cells)
        for subtrahend in subtracted:
            less = subtrahend(cells)
            value = None if value is None or less is None else value - less
        if subtracted and value is not None and value < 0:
            raise ValueError(f"{' less '.join([*column.from_, *column.less])} is negative")
        if column.zero_is_unknown and value == 0:
            value = None
        if value is None and target.required:
            raise ValueError("is unknown, and every row has one")
        return value

    return read


def _value_reader(column: Column, target: Target, places: Sequence[int]) -> Callable[[_Cells], Any]:
    convert, words, default, join = column.converter(target), column.map, column.default, column.join

    def read(cells: _Cells) -> Any:
        parts = [cells[place] for place in places]
        # A name with a part missing is no name.
        text = (join or "").join(parts) if all(parts) else ""
        if words is not None and (text or "" in words):
            if text not in words:
                raise ValueError(f"{shown(text)} is not in the map")
            text = words[text]
        text = text or default or ""
        return convert(text) if text else None

    return read


def _number_reader(column: Column, target: Target, place: int) -> Callable[[_Cells], Any]:
    convert = column.converter(target)
    return lambda cells: convert(cells[place]) if cells[place] else None
