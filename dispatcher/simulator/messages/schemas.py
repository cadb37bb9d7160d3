"""The rules for the JSON schemas of structured outputs and strict tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dispatcher.simulator.refusal import Refusal, invalid
from dispatcher.simulator.schema_shape import check_shape

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_UNSUPPORTED = frozenset(
    [
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
        "patternProperties",
        "not",
        "if",
        "then",
        "else",
    ]
)


def check_output_config(config: object) -> None:
    """An effort of the known levels, and a format that is a closed JSON schema."""
    if config is None:
        return
    if not isinstance(config, dict):
        raise invalid("output_config: Input should be an object")
    unknown = sorted(set(config) - {"effort", "format", "task_budget"})
    if unknown:
        raise invalid(f"output_config.{unknown[0]}: Extra inputs are not permitted")
    if config.get("effort") not in (None, *_EFFORTS):
        raise invalid("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    form = config.get("format")
    if form is None:
        return
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        raise invalid("output_config.format.type: Input should be 'json_schema'")
    if not isinstance(form.get("schema"), dict):
        raise invalid("output_config.format.schema: Field required")
    check_shape(form["schema"], "output_config.format.schema")
    _check_schema(form["schema"], "output_config.format.schema")


def check_strict_tool(schema: Mapping[str, Any], place: str) -> None:
    """A strict tool's input schema follows the rules of structured outputs."""
    _check_schema(schema, f"{place}.custom.input_schema")


def _check_schema(schema: Mapping[str, Any], place: str) -> None:
    problem = next(_problems(schema, schema, place, ()), None)
    if problem is not None:
        raise problem


def _problems(node: Any, root: Mapping[str, Any], place: str, above: tuple[str, ...]) -> Iterator[Refusal]:
    if not isinstance(node, Mapping):
        return
    reference = node.get("$ref")
    if isinstance(reference, str):
        yield from _reference_problems(reference, root, place, above)
    unsupported = sorted(_UNSUPPORTED & set(node))
    if unsupported:
        yield invalid(f"{place}: For '{node.get('type')}' type, property '{unsupported[0]}' is not supported")
    if node.get("minItems") not in (None, 0, 1):
        yield invalid(f"{place}: For 'array' type, 'minItems' values other than 0 or 1 are not supported")
    if (node.get("type") == "object" or "properties" in node) and node.get("additionalProperties") is not False:
        yield invalid(f"{place}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    for name, child in _children(node):
        yield from _problems(child, root, f"{place}.{name}", above)


def _reference_problems(
    reference: str, root: Mapping[str, Any], place: str, above: tuple[str, ...]
) -> Iterator[Refusal]:
    if reference in above or reference == "#":
        yield invalid(f"{place}: recursive schemas are not supported: {reference}")
        return
    target: Any = root
    for part in reference.removeprefix("#/").split("/"):
        target = target.get(part) if isinstance(target, Mapping) else None
    if target is None:
        yield invalid(f"{place}: reference can't be resolved: {reference}")
        return
    yield from _problems(target, root, place, (*above, reference))


def _children(node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, child in (node.get("properties") or {}).items():
        yield f"properties.{name}", child
    if "items" in node:
        yield "items", node["items"]
    for key in ("anyOf", "allOf", "oneOf"):
        for index, child in enumerate(node.get(key) or ()):
            yield f"{key}.{index}", child
