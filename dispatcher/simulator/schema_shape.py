"""The shape of a JSON schema: enough of it to be walked safely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dispatcher.simulator.refusal import invalid

_SCHEMAS_BY_NAME = ("properties", "$defs", "definitions")
_SCHEMA_LISTS = ("anyOf", "oneOf", "allOf")


def check_shape(schema: Any, place: str) -> None:
    """Refuse a schema whose keywords hold values of the wrong type, at any depth."""
    problem = next(_wrong(schema, place), None)
    if problem is not None:
        raise invalid(f"{problem}: JSON schema is invalid")


def _wrong(schema: Any, place: str) -> Iterator[str]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        yield place
        return
    if not isinstance(schema.get("type", ""), str | list) or not _is_list_of(schema.get("type", ""), str):
        yield f"{place}.type"
    if not isinstance(schema.get("required", []), list) or not _is_list_of(schema.get("required", []), str):
        yield f"{place}.required"
    if not isinstance(schema.get("enum", []), list) or not isinstance(schema.get("$ref", ""), str):
        yield place
    for name, inner in _inner(schema):
        if inner is None:
            yield f"{place}.{name}"
        else:
            yield from _wrong(inner, f"{place}.{name}")


def _inner(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas inside a schema; None where there is something else."""
    for keyword in _SCHEMAS_BY_NAME:
        group = schema.get(keyword, {})
        if isinstance(group, Mapping):
            yield from ((f"{keyword}.{name}", inner) for name, inner in group.items())
        else:
            yield keyword, None
    for keyword in _SCHEMA_LISTS:
        choices = schema.get(keyword, [])
        if isinstance(choices, list):
            yield from ((f"{keyword}.{index}", inner) for index, inner in enumerate(choices))
        else:
            yield keyword, None
    if "items" in schema:
        yield "items", schema["items"]


def _is_list_of(value: Any, kind: type) -> bool:
    return not isinstance(value, list) or all(isinstance(one, kind) for one in value)
