"""The tools' definitions, as the model is told them, and the validated form of a call."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

_OBJECT = {"type": "object", "additionalProperties": False}
_GLOB = {
    "type": "string",
    "description": "Only files whose path fits, e.g. src/**/*.py. Knows *, ? and **; without a slash it applies at any "
    "depth; a directory means all below it.",
}
TOOLS: tuple[dict[str, Any], ...] = (
    {
        "name": "search_code",
        "description": "Search the text of the repository's files, line by line. Answers with lines of the form "
        "path:line: text.",
        "input_schema": {
            **_OBJECT,
            "properties": {
                "pattern": {
                    "type": "string",
                    "description": "Regular expression, looked for within each line; case matters. Known are . [a-z] "
                    "[^a-z] ( ) | * + ? {2,5} ^ $ \\b \\w \\d \\s and a backslash before any other of these to mean "
                    "itself; no look-around, back-references or flags.",
                },
                "path_glob": _GLOB,
            },
            "required": ["pattern"],
        },
    },
    {
        "name": "read_file",
        "description": "Read a text file, or lines of it. Answers with each line's number, a tab, and its text.",
        "input_schema": {
            **_OBJECT,
            "properties": {
                "path": {"type": "string", "description": "Path relative to the repository's root."},
                "start_line": {"type": "integer", "description": "First line, counted from 1; by default the first."},
                "end_line": {"type": "integer", "description": "Last line, included; by default the file's last."},
            },
            "required": ["path"],
        },
    },
    {
        "name": "list_files",
        "description": "List the paths of the repository's files, one a line.",
        "input_schema": {**_OBJECT, "properties": {"path_glob": _GLOB}, "required": []},
    },
)
"""The definitions of the tools; their order and wording are part of every prompt's stable prefix."""


class WrongCall(Exception):
    """The call can't be answered; the text tells the model why."""


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


_Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
_Line = Annotated[int, Field(ge=1, le=2**31)]


class SearchCode(_Input):
    """A call of search_code."""

    pattern: _Text
    path_glob: str | None = None


class ReadFile(_Input):
    """A call of read_file."""

    path: _Text
    start_line: _Line | None = None
    end_line: _Line | None = None


class ListFiles(_Input):
    """A call of list_files."""

    path_glob: str | None = None


_CALLS: dict[str, type[SearchCode | ReadFile | ListFiles]] = {
    "search_code": SearchCode,
    "read_file": ReadFile,
    "list_files": ListFiles,
}


def parse_call(name: str, tool_input: object) -> SearchCode | ReadFile | ListFiles:
    """A validated call. Raises WrongCall with every problem at once."""
    if name not in _CALLS:
        raise WrongCall(f"there is no tool {name[:60]!r}; the tools are {', '.join(_CALLS)}")
    try:
        call = _CALLS[name].model_validate(tool_input)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'input'}: {e['msg']}" for e in error.errors(include_input=False)]
        told = f"{name} was called wrongly: {'; '.join(problems)}"[:1000]
        # The names of unknown arguments are the model's, and may hold what can't be sent back to it.
        raise WrongCall(told.encode("utf-8", "replace").decode()) from None
    for field, value in call:
        if isinstance(value, str) and not value.replace("\t", "").isprintable():
            raise WrongCall(f"{field} must be one line of printable characters")
    return call
