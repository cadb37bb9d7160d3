"""Reading a YAML file into a strict model, with every problem and its line at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dispatcher.adr.notation import Contradictions
from dispatcher.adr.tree import Tree, read_tree
from dispatcher.errors import InvalidInput

Model = TypeVar("Model", bound=BaseModel)

_MAX_BYTES = 1_000_000
_SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is not a known key",
    "too_short": "is empty",
    "string_too_short": "is empty",
    "tuple_type": "is no list",
    "dict_type": "is no mapping of keys to values",
    "model_type": "is no mapping of keys to values",
}


def read_document(path: Path, model: type[Model], error: type[InvalidInput], *, typed: bool) -> Model:
    """The file as the model; where `typed` is false every scalar is the text it is written as.

    Raises `error`, whose subject is the path.
    """
    tree = read_tree(_text(path, error), 1, typed=typed)
    if tree.problems:
        raise error(str(path), [str(problem) for problem in tree.problems])
    try:
        return model.model_validate(tree.value)
    except ValidationError as invalid:
        found = sorted({problem for item in invalid.errors(include_url=False) for problem in _problems(item, tree)})
        raise error(str(path), [f"line {line}: {text}" if line else text for line, text in found]) from None


def _text(path: Path, error: type[InvalidInput]) -> str:
    try:
        content = path.read_bytes()
    except OSError as refused:
        raise error(str(path), [f"can't be read: {refused.strerror}"]) from None
    if len(content) > _MAX_BYTES:
        raise error(str(path), [f"is larger than {_MAX_BYTES} bytes"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = content.count(b"\n", 0, wrong.start) + 1
        raise error(str(path), [f"line {line}: is not UTF-8"]) from None


def _problems(item: Any, tree: Tree) -> Iterator[tuple[int, str]]:
    # pydantic marks a wrong key by "[key]" after it; the file has only the key.
    path = tuple(part for part in item["loc"] if part != "[key]")
    place = ".".join(str(part) for part in path)
    cause = item.get("ctx", {}).get("error")
    sentences = cause.problems if isinstance(cause, Contradictions) else (_sentence(item, cause),)
    for sentence in sentences:
        # What is wrong between several values stands on no single line.
        yield tree.line_of(path) if path else 0, f"{place}: {sentence}" if place else sentence


def _sentence(item: Any, cause: Exception | None) -> str:
    if cause is not None:
        return str(cause)
    message = str(item["msg"])
    return _SENTENCES.get(item["type"], message[0].lower() + message[1:])
