"""Edits that turn a sound flag document into a trap."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from routing_documents import FLAG, document, only, rule, text

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flags.reader import read_flag_document

Edit = Callable[[dict[str, Any]], Any]


def sound() -> dict[str, Any]:
    return document(rule(only("acme")), rule(only("globex"), variants={"a": 670, "legacy": 330}, by="conversationId"))


def problems_of(content: bytes) -> tuple[str, ...]:
    with pytest.raises(InvalidFlags) as refused:
        read_flag_document(content, "flags.json", [FLAG])
    return refused.value.problems


def problems_after(edit: Edit) -> tuple[str, ...]:
    content = copy.deepcopy(sound())
    edit(content)
    return problems_of(text(content))


def flag_of(content: dict[str, Any]) -> dict[str, Any]:
    return content["features"][1]


def first_rule(content: dict[str, Any]) -> dict[str, Any]:
    return flag_of(content)["strategies"][0]


def second_rule(content: dict[str, Any]) -> dict[str, Any]:
    return flag_of(content)["strategies"][1]


def first_constraint(content: dict[str, Any]) -> dict[str, Any]:
    return first_rule(content)["constraints"][0]


def first_variant(content: dict[str, Any]) -> dict[str, Any]:
    return first_rule(content)["variants"][0]


def first_parameters(content: dict[str, Any]) -> dict[str, Any]:
    return first_rule(content)["parameters"]


def kill_flag(content: dict[str, Any]) -> dict[str, Any]:
    return content["features"][0]


def whole(content: dict[str, Any]) -> dict[str, Any]:
    return content


def put(at: Callable[[dict[str, Any]], dict[str, Any]], **changes: Any) -> Edit:
    return lambda content: at(content).update(changes)


def drop(at: Callable[[dict[str, Any]], dict[str, Any]], key: str) -> Edit:
    return lambda content: at(content).pop(key)


def each(*edits: Edit) -> Edit:
    return lambda content: [edit(content) for edit in edits]
