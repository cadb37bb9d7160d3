"""A YAML document as a strict model, or everything that is wrong with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dispatcher.document.notation import Contradictions
from dispatcher.document.tree import Path as Place
from dispatcher.document.tree import Problem, Tree, read_tree
from dispatcher.errors import InvalidInput

Model = TypeVar("Model", bound=BaseModel)

MAX_BYTES = 1_000_000
_DECIMAL = re.compile(r"Decimal\('([^']*)'\)")
_SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is not a known key",
    "too_short": "is empty: state at least one",
    "string_too_short": "is empty",
    "tuple_type": "is no list",
    "dict_type": "is no mapping of keys to values",
    "model_type": "is no mapping of keys to values",
}


def read_document(path: Path, model: type[Model], error: type[InvalidInput], *, typed: bool) -> Model:
    """The file as the model; where `typed` is false every scalar is the text it is written as.

    Raises `error`, whose subject is the path, with every problem and its line.
    """
    subject = str(path)
    try:
        content = path.read_bytes()
    except OSError as refused:
        raise error(subject, [f"can't be read: {refused.strerror}"]) from None
    tree = read_tree(text_of(content, subject, error), 1, typed=typed)
    if tree.problems:
        raise error(subject, [str(problem) for problem in tree.problems])
    try:
        return model.model_validate(tree.value)
    except ValidationError as invalid:
        raise error(subject, [str(problem) for problem in sorted(set(problems_of(invalid, tree)))]) from None


def text_of(content: bytes, subject: str, error: type[InvalidInput]) -> str:
    """The content as text, without a byte order mark. Raises `error` where it is too large or not UTF-8."""
    if len(content) > MAX_BYTES:
        raise error(subject, [f"is larger than {MAX_BYTES} bytes"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = content.count(b"\n", 0, wrong.start) + 1
        raise error(subject, [f"line {line}: is not UTF-8"]) from None


def problems_of(error: ValidationError, tree: Tree) -> list[Problem]:
    """What a model refused, in sentences, each on the line of the value it is about."""
    problems = []
    for item in error.errors(include_url=False):
        # A wrong key is marked by "[key]" after it; the document has only the key.
        around = tuple(part for part in item["loc"] if part != "[key]")
        for below, sentence in _sentences(item):
            path = (*around, *below)
            problems.append(Problem(tree.line_of(path), f"{_place(path)}{sentence}"))
    return problems


def _sentences(item: Any) -> list[tuple[Place, str]]:
    """What is said about a value, or about one at a path below it."""
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, Contradictions):
        return [*(((), problem) for problem in cause.problems), *cause.inside]
    return [((), _sentence(item, cause))]


def _sentence(item: Any, cause: ValueError | None) -> str:
    if cause is not None:
        return _DECIMAL.sub(r"\1", str(cause))
    if item["type"] == "string_pattern_mismatch":
        return f"{item['input']!r} is not of the form {item['ctx']['pattern']}"
    message = _DECIMAL.sub(r"\1", item["msg"])
    return _SENTENCES.get(item["type"]) or message[0].lower() + message[1:]


def _place(path: Place) -> str:
    place = ""
    for part in path:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
    return f"{place}: " if place else ""
