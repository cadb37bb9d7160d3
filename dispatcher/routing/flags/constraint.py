"""The smallest parts of a flag document: its texts, and the constraints on the context."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

LIST_OPERATORS = ("IN", "NOT_IN", "STR_CONTAINS", "STR_STARTS_WITH", "STR_ENDS_WITH")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_PART = r"(0|[1-9]\d{0,18})"  # the engine keeps it in 64 bits
_LABEL = r"(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_BUILD = r"[0-9A-Za-z-]+"
_SEMVER = re.compile(rf"{_PART}\.{_PART}\.{_PART}(-{_LABEL}(\.{_LABEL})*)?(\+{_BUILD}(\.{_BUILD})*)?", re.ASCII)


class Strict(BaseModel):
    """A part of the document: no key but its own, no value but of its own kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


def refuse(problems: list[str]) -> None:
    """Report problems that are seen only across fields, one a line."""
    if problems:
        raise PydanticCustomError("meaning", "{problems}", {"problems": "\n".join(problems)})


def _text(value: object) -> object:
    if isinstance(value, (bool, int, float)):
        why = (
            "is a {kind}, and the engine takes text only and drops the whole document without a word: put it in quotes"
        )
        raise PydanticCustomError("text", why, {"kind": "boolean" if isinstance(value, bool) else "number"})
    return value


Text = Annotated[str, BeforeValidator(_text)]
NonEmpty = Annotated[str, Field(min_length=1), BeforeValidator(_text)]


class Constraint(Strict):
    """A condition on one field of the context."""

    context_name: NonEmpty
    operator: Text
    values: list[NonEmpty] = []
    value: Text | None = None
    inverted: bool = False
    case_insensitive: bool = False

    @model_validator(mode="after")
    def _is_understood(self) -> Constraint:
        problems = []
        if self.operator in LIST_OPERATORS:
            if not self.values:
                problems.append(f"{self.operator} has an empty list of values: name at least one, or remove the rule")
            if self.case_insensitive and self.operator in {"IN", "NOT_IN"}:
                problems.append(
                    f"caseInsensitive has no effect with {self.operator}: write the values as they are sent"
                )
        elif self.operator not in _VALUE_FORMS:
            known = ", ".join((*LIST_OPERATORS, *_VALUE_FORMS))
            problems.append(f"operator {self.operator!r} is unknown, so the flag would be off; known are {known}")
        elif self.value is None or not _has_form(self.operator, self.value):
            form = _FORM_NAMES[_VALUE_FORMS[self.operator]]
            problems.append(f"{self.operator} needs {form} in 'value', so the flag would be off; it is {self.value!r}")
        refuse(problems)
        return self


_VALUE_FORMS = {
    **dict.fromkeys(("NUM_EQ", "NUM_GT", "NUM_GTE", "NUM_LT", "NUM_LTE"), _NUMBER),
    **dict.fromkeys(("DATE_AFTER", "DATE_BEFORE"), _DATE),
    **dict.fromkeys(("SEMVER_EQ", "SEMVER_GT", "SEMVER_GTE", "SEMVER_LT", "SEMVER_LTE"), _SEMVER),
}
_FORM_NAMES = {
    _NUMBER: "a number written as text",
    _DATE: "a moment of the form 2026-01-31T08:00:00Z",
    _SEMVER: "a version of the form 1.2.3",
}


def _has_form(operator: str, value: str) -> bool:
    form = _VALUE_FORMS[operator]
    if form.fullmatch(value) is None:
        return False
    if form is _DATE:
        try:
            dt.datetime.fromisoformat(value)
        except ValueError:
            return False
    return True
