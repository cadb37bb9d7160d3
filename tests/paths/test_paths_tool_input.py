"""What a model may write into a tool call: anything, and never an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher.paths.repository.checkout import Checkout
from dispatcher.paths.repository.tool_input import ListFiles, ReadFile, SearchCode, WrongCall, parse_call
from dispatcher.paths.repository.tools import TOOLS, RepositoryTools

MODELS = {"search_code": SearchCode, "read_file": ReadFile, "list_files": ListFiles}
texts = st.sampled_from(
    [
        "LIMIT",
        "retry.py",
        "../x",
        "/",
        "",
        ".",
        "..",
        "**",
        "a" * 1200,
        "\0",
        "\ud800",
        "é\n",
        "-e",
        "(",
        ":(exclude)*",
        "[z-a]",
    ]
) | st.text(st.characters(), max_size=8)
values = texts | st.none() | st.booleans() | st.integers(-2, 2**40) | st.floats() | st.lists(st.integers(), max_size=2)
names = st.sampled_from([*MODELS, "bash", ""])
keys = st.sampled_from(["pattern", "path_glob", "path", "start_line", "end_line", "\ud800", "x" * 2000])


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names, st.dictionaries(keys, values, max_size=4) | values)
async def test_any_input_gives_a_result_that_can_be_sent(checkout: Checkout, name: str, tool_input: Any) -> None:
    result = await RepositoryTools(checkout).call(name, tool_input)

    assert result.text
    json.dumps(result.text, ensure_ascii=False).encode()
    assert len(result.text) < 70_000
    assert str(checkout.root) not in result.text


@pytest.mark.parametrize("definition", TOOLS, ids=lambda definition: definition["name"])
def test_a_definition_and_its_validated_form_name_the_same_arguments(definition: dict[str, Any]) -> None:
    schema, model = definition["input_schema"], MODELS[definition["name"]]

    assert list(schema["properties"]) == list(model.model_fields)
    assert schema["required"] == [name for name, field in model.model_fields.items() if field.is_required()]


@pytest.mark.parametrize("definition", TOOLS, ids=lambda definition: definition["name"])
def test_a_definition_keeps_to_what_strict_schemas_know(definition: dict[str, Any]) -> None:
    schema = definition["input_schema"]

    assert (schema["type"], schema["additionalProperties"]) == ("object", False)
    for argument in schema["properties"].values():
        assert argument.keys() == {"type", "description"}


def test_all_problems_of_a_call_are_told_at_once() -> None:
    with pytest.raises(WrongCall) as raised:
        parse_call("read_file", {"path": 3, "start_line": "1", "end_line": True, "extra": 1})

    for argument in ("path:", "start_line:", "end_line:", "extra:"):
        assert argument in str(raised.value)


def test_null_means_not_given() -> None:
    assert parse_call("list_files", {"path_glob": None}) == ListFiles()
