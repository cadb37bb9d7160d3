"""What is wrong with the form of a flag document, in words, each with its place."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dispatcher.routing.flags import document as flag_document

_DROPPED = "; without it the engine drops the whole document without a word"
_MISSING = {
    "version": _DROPPED,
    "features": "; it lists the flags",
    "enabled": _DROPPED,
    "weight": _DROPPED,
    "strategies": "; without them the engine's reader stumbles over the flag",
    "rollout": ", so the flag would be off",
    "stickiness": "; the engine would draw anew on every call",
    "groupId": "; it seeds the draw, which would change with the flag's name",
}
_SINGULAR = {
    "features": "flag",
    "strategies": "strategy",
    "constraints": "constraint",
    "variants": "variant",
    "segments": "segment",
    "dependencies": "dependency",
    "values": "value",
}
_MODELS = [model for model in vars(flag_document).values() if isinstance(model, type) and issubclass(model, BaseModel)]
_KEYS = sorted({field.alias or name for model in _MODELS for name, field in model.model_fields.items()})


def form_problems(error: ValidationError, raw: Any, prefix: tuple[str | int, ...]) -> Iterator[str]:
    """What a model refused, one sentence each; `prefix` is where in `raw` the model was read."""
    for problem in error.errors(include_url=False):
        yield from told(problem, raw, prefix)


def told(problem: ErrorDetails, raw: Any, prefix: tuple[str | int, ...]) -> Iterator[str]:
    """One thing that a model refused, as sentences with their place; see `form_problems`."""
    location = prefix + problem["loc"]
    if problem["type"] in {"missing", "extra_forbidden"}:
        key, location = str(location[-1]), location[:-1]
        sentence = f"{key} is missing{_MISSING.get(key, '')}" if problem["type"] == "missing" else _unknown(key)
    else:
        sentence = problem["msg"]
    place = _place(raw, location)
    for line in sentence.splitlines():
        yield f"{place}: {line}" if place else line


def _unknown(key: str) -> str:
    near = difflib.get_close_matches(key, _KEYS, n=1)
    guess = f"; is {near[0]!r} meant?" if near else ""
    why = "the engine would ignore it, and a misspelt constraint opens the flag to everybody"
    return f"key {key!r} is unknown; {why}{guess}"


def _place(raw: Any, location: tuple[str | int, ...]) -> str:
    """Where a problem is, in words: flag 'agent-research', strategy 2 ('pilot'), rollout."""
    parts: list[str] = []
    node = raw
    for key in location:
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            node = None
        if isinstance(key, str):
            parts.append(key)
            continue
        name = next(
            (node[k] for k in ("title", "name", "contextName", "feature") if isinstance(node, dict) and k in node), None
        )
        kind = _SINGULAR.get(parts.pop(), "entry")
        parts.append(
            f"{kind} {name!r}" if kind == "flag" and name else f"{kind} {key + 1}" + (f" ({name!r})" if name else "")
        )
    return ", ".join(parts)


def repeated(kind: str, names: list[Any]) -> list[str]:
    """The names that stand in a document more than once, one sentence each."""
    counted = Counter(name for name in names if isinstance(name, (str, int)))
    return [f"{kind} {name!r} stands here twice; the later would win" for name, count in counted.items() if count > 1]
