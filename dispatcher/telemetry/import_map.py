"""The column map of an import: which column of a file becomes which column of the log.

    schema: 1
    source: bench      # names the import; with the key it identifies a line, so a second import adds nothing
    key: [run_id]
    columns:
      status:           {from: outcome, map: {ok: success, failed: error, "": lost}}
      response_time_ms: {from: wall, unit: s}
      cost_nanousd:     {from: cost, unit: usd, zero_is_unknown: true}
      created_at:       {from: started_at}
    constants: {feature: agent_research, tenant: bench}

Every scalar is the text it is written as. An empty cell is unknown, and so is a column that isn't mapped: NULL, not 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dispatcher.document.notation import Contradictions, Name, Strict
from dispatcher.document.reading import read_document
from dispatcher.errors import InvalidImport
from dispatcher.telemetry.conversion import FACTORS, Converter, Unit, converter, refusal
from dispatcher.telemetry.target import Kind, Target, targets

DERIVED = frozenset({"dispatch_id", "attempt", "role"})
"""What a row needs and a map may leave out: the line's own id, 1, and `served`."""


def _as_columns(value: object) -> object:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _known_target(name: str) -> str:
    if name not in targets():
        raise ValueError(f"is not an importable column; these are: {', '.join(targets())}")
    return name


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone; write UTC or a name like Europe/Amsterdam") from None
    return name


_Columns = Annotated[tuple[str, ...], BeforeValidator(_as_columns)]
_SomeColumns = Annotated[_Columns, Field(min_length=1)]
_TargetName = Annotated[str, AfterValidator(_known_target)]
_Truth = Annotated[bool, Field(strict=False)]


class Column(Strict):
    """Where the values of one target come from, and how they are read.

    `from` names a column of the file, or several to be joined by `join`; `less` names columns whose values are
    subtracted, for a source whose input tokens include the cached ones. `unit` is that of the file's numbers. `map`
    translates values before they are read, and a value it doesn't list makes the line a bad one; an empty translation
    means unknown. `default` stands for what is empty after that. `format` is a strptime form, and `zone` the time zone
    of moments without an offset. `zero_is_unknown` turns 0 into NULL, for a source that writes 0 where it didn't
    measure.
    """

    from_: Annotated[_Columns, Field(alias="from", min_length=1)]
    join: str | None = None
    less: _Columns = ()
    unit: Annotated[Unit | None, Field(strict=False)] = None
    map: dict[str, str] | None = None
    default: str | None = None
    format: str | None = None
    zone: Annotated[str, AfterValidator(_known_zone)] | None = None
    zero_is_unknown: _Truth = False

    def converter(self, target: Target) -> Converter:
        """What turns a text of this column into a value of the target."""
        return converter(target, unit=self.unit, form=self.format, zone=self.zone)

    def problems(self, target: Target) -> Iterator[str]:
        """What in this column doesn't fit the target."""
        if (len(self.from_) > 1) != (self.join is not None):
            yield "several columns are joined by a text, and one column by none: state from and join accordingly"
        if self.join is not None and target.kind is not Kind.TEXT:
            yield f"joined columns are a text, and this column is {target.kind.value}"
        if self.less and target.kind is not Kind.COUNT:
            yield f"less goes with a count, and this column is {target.kind.value}"
        yield from self._unit_problems(target)
        if target.kind is not Kind.MOMENT and (self.format is not None or self.zone is not None):
            yield f"format and zone go with a moment, and this column is {target.kind.value}"
        if self.zero_is_unknown and target.kind not in FACTORS:
            yield f"zero_is_unknown goes with a number, and this column is {target.kind.value}"
        for text in filter(None, [*(self.map or {}).values(), self.default]):
            yield from refusal(self.converter(target), text)

    def _unit_problems(self, target: Target) -> Iterator[str]:
        known = FACTORS.get(target.kind, {})
        if self.unit is None:
            if len(known) > 1:
                yield f"state the unit of the file's numbers: {', '.join(known)}"
        elif self.unit not in known:
            yield f"the unit {self.unit} doesn't fit {target.kind.value}; {', '.join(known) or 'none'} does"


class ImportMap(Strict):
    """A column map as it is written."""

    schema_: Annotated[Literal["1"], Field(alias="schema")]
    source: Name
    key: _SomeColumns
    columns: dict[_TargetName, Column]
    constants: dict[_TargetName, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> ImportMap:
        inside = [
            (("columns", name), problem)
            for name, column in self.columns.items()
            for problem in column.problems(targets()[name])
        ]
        inside += [
            (("constants", name), problem)
            for name, text in self.constants.items()
            for problem in refusal(converter(targets()[name]), text)
        ]
        inside += [
            (("constants", name), "is mapped and constant at once: state one of the two")
            for name in self.columns.keys() & self.constants.keys()
        ]
        stated = self.columns.keys() | self.constants.keys() | DERIVED
        problems = [
            f"{target.name} is missing: every row has it, so map a column to it or state a constant"
            for target in targets().values()
            if target.required and target.name not in stated
        ]
        if problems or inside:
            raise Contradictions(problems, inside)
        return self

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns of the file that are read, each once, in the order of the map."""
        read = [*self.key]
        for column in self.columns.values():
            read += [*column.from_, *column.less]
        return tuple(dict.fromkeys(read))


def read_map(path: Path) -> ImportMap:
    """Read a column map. Raises InvalidImport with every problem and its line."""
    return read_document(path, ImportMap, InvalidImport, typed=False)
