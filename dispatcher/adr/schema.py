"""The JSON Schemas of a record's two YAML parts, for editors. A schema checks less than the reader: only forms."""

from __future__ import annotations

from typing import Any, Literal

from dispatcher.adr.document import Acceptance
from dispatcher.adr.reader import FrontMatter

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DURATION = {"type": "string", "pattern": "^[0-9]{1,6}[smhd]$", "description": "a whole number and s, m, h or d"}

_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
"""What pydantic calls the bounds of an exact number, and JSON Schema's own words."""

Part = Literal["acceptance", "front-matter"]


def json_schema(part: Part) -> dict[str, Any]:
    """The schema of the block `yaml acceptance`, or of the front matter."""
    model = Acceptance if part == "acceptance" else FrontMatter
    schema = _as_written(model.model_json_schema(by_alias=True))
    return {"$schema": DIALECT, **schema}


def _as_written(value: Any) -> Any:
    """Numbers are numbers, not texts of digits, and durations are written as people do."""
    if isinstance(value, list):
        return [_as_written(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("format") == "duration":
        return {**{key: item for key, item in value.items() if key in {"title", "description"}}, **_DURATION}
    bounds = {_BOUNDS[key]: float(value[key]) for key in _BOUNDS if isinstance(value.get(key), int | float | str)}
    built = {key: _as_written(item) for key, item in value.items() if key not in _BOUNDS} | bounds
    choices = built.get("anyOf")
    if isinstance(choices, list):
        kept = [choice for choice in choices if not _is_digits(choice, choices)]
        if len(kept) == 1:
            return {**{key: item for key, item in built.items() if key != "anyOf"}, **kept[0]}
        built["anyOf"] = kept
    return built


def _is_digits(choice: Any, choices: list[Any]) -> bool:
    """Whether it is the text form of a number that is among the choices too."""
    number = any(isinstance(other, dict) and other.get("type") == "number" for other in choices)
    return number and isinstance(choice, dict) and choice.get("type") == "string"
