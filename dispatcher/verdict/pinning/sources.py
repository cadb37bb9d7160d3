"""`policies/sources.yml`: the databases from which baselines may be measured, and how their columns are called.

schema: 1
sources:
  tracker:
    url: TRACKER_DATABASE_URL        # an environment variable; any SQLAlchemy URL
    table: ai_outbound_logs
    tenant: script                   # the whole table is one tenant's
    authorised_by: J. Doe, 2026-05-08
    success: [success]
    columns:
      created_at: created_at
      feature: feature
      status: status
      response_time_ms: {column: response_time_ms, unit: ms}
      cost: {column: cost_usd, unit: usd, zero_is_unknown: true}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dispatcher.adr.measure import Measure
from dispatcher.document.notation import Contradictions, Name, Strict, as_tuple
from dispatcher.document.reading import read_document
from dispatcher.errors import InvalidPolicy

SOURCES_FILE = "sources.yml"

UNITS: dict[str, dict[str | None, Decimal]] = {
    "ms": {"ms": Decimal(1), "s": Decimal(1000), "us": Decimal("0.001")},
    "USD": {"usd": Decimal(10**9), "cents": Decimal(10**7), "microusd": Decimal(1000), "nanousd": Decimal(1)},
    "model requests": {None: Decimal(1)},
    "tokens": {None: Decimal(1)},
    "": {None: Decimal(1)},
}
"""By the unit of a measure: how many whole units of ours one unit of the table is; money in nano-dollars."""

_SCHEME = re.compile(r"://")
_IDENTIFIERS = ("created_at", "feature", "status", "tenant", "conversation_id")
_Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_$]{0,127}$")]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone; write UTC or a name like Europe/Amsterdam") from None
    return name


def _a_variable(name: str) -> str:
    if _SCHEME.search(name):
        raise ValueError("is an address, which may hold a password: name the environment variable that holds it")
    return name


class ValueColumn(Strict):
    """A column of numbers. `zero_is_unknown` is stated for money: whether 0 stands for a cost that isn't known."""

    column: _Identifier
    unit: Literal["ms", "s", "us", "usd", "cents", "microusd", "nanousd"] | None = None
    zero_is_unknown: bool | None = None


class Columns(Strict):
    """The columns by our names; a measure that isn't mapped can't be pinned from this source."""

    created_at: _Identifier
    feature: _Identifier | None = None
    status: _Identifier | None = None
    tenant: _Identifier | None = None
    conversation_id: _Identifier | None = None
    response_time_ms: ValueColumn | None = None
    time_to_first_token_ms: ValueColumn | None = None
    first_text_ms: ValueColumn | None = None
    cost: ValueColumn | None = None
    output_valid: ValueColumn | None = None
    iterations: ValueColumn | None = None

    def of_measure(self, measure: Measure) -> ValueColumn | None:
        """The column of a measure; None where it isn't mapped."""
        found: ValueColumn | None = getattr(self, measure.value, None)
        return found

    @property
    def measures(self) -> dict[Measure, ValueColumn]:
        """The columns of all mapped measures."""
        mapped = {measure: self.of_measure(measure) for measure in Measure}
        return {measure: column for measure, column in mapped.items() if column is not None}


class Source(Strict):
    """One table of one database. `only` are further columns with the value that every row read must have."""

    url: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_:/.@%+-]{0,199}$"), AfterValidator(_a_variable)]
    table: _Identifier
    authorised_by: Annotated[str, Field(min_length=1)]
    tenant: Name | None = None
    feature: Name | None = None
    zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    success: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    only: dict[_Identifier, str | int] = Field(default_factory=dict)
    columns: Columns

    @model_validator(mode="after")
    def _consistent(self) -> Source:
        problems = [*self._problems(), *self._unit_problems()]
        if problems:
            raise Contradictions(problems)
        return self

    def _problems(self) -> Iterator[str]:
        if (self.tenant is None) == (self.columns.tenant is None):
            yield "state whose rows these are: either tenant, or the column tenant"
        if (self.feature is None) == (self.columns.feature is None):
            yield "state which feature's rows these are: either feature, or the column feature"
        if not self.columns.measures:
            yield "columns maps no measure, so nothing could be pinned from here"

    def _unit_problems(self) -> Iterator[str]:
        for measure, column in self.columns.measures.items():
            known = [unit for unit in UNITS[measure.unit] if unit is not None]
            if column.unit not in UNITS[measure.unit]:
                fits = f"one of {', '.join(known)}" if known else "none"
                yield f"the unit of {measure} is {fits}, not {column.unit or 'none'}"
            if column.zero_is_unknown is not None and not measure.is_money:
                yield f"zero_is_unknown goes with money, not with {measure}"


class Sources(Strict):
    """The file as it is written."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    sources: dict[Name, Source]


def read_sources(policies_dir: Path) -> dict[str, Source]:
    """The sources by name; none where there is no file. Raises InvalidPolicy with every problem and its line."""
    path = policies_dir / SOURCES_FILE
    if not path.exists():
        return {}
    return read_document(path, Sources, InvalidPolicy, typed=True).sources
