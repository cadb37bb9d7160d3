"""The tools a request offers, by what they are for, and calls that fit their schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dispatcher.simulator.model.conversation import Json, ToolCall

_PURPOSES = {
    "submit": ("submit", "final_answer", "report_result", "deliver"),
    "search": ("search", "grep", "ripgrep", "find_text"),
    "read": ("read", "open_file", "view", "cat", "get_file"),
    "list": ("list", "glob", "tree", "ls", "find_files"),
}
_SHORTEST_STEM = 3
_PATTERN = ("pattern", "query", "regex", "search", "text", "term")
_PATH = ("path", "file_path", "file", "filename", "file_name")
_GLOB = ("path_glob", "glob", "pattern", "file_pattern", "include")
_START = ("start_line", "start", "line_start", "from_line", "first_line", "offset")
_END = ("end_line", "end", "line_end", "to_line", "last_line")
_COUNT = ("limit", "max_lines", "num_lines", "count")
_RANGE = ("view_range", "range", "lines")


@dataclass(frozen=True, slots=True)
class Tool:
    """One offered tool."""

    name: str
    schema: Json

    @property
    def properties(self) -> Mapping[str, Any]:
        """The parameters of the tool's input, by name."""
        properties = self.schema.get("properties")
        return properties if isinstance(properties, Mapping) else {}

    def parameter(self, candidates: Sequence[str]) -> str | None:
        """The parameter that goes by one of these names."""
        return next((name for name in candidates if name in self.properties), None)

    def call(self, arguments: Mapping[str, Any]) -> ToolCall:
        """A call with these arguments, what else the schema requires filled with a plain value of its type."""
        missing = {
            name: plain_value(self.properties.get(name, {}))
            for name in self.schema.get("required") or ()
            if name not in arguments
        }
        return ToolCall(self.name, {**arguments, **missing})


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The offered tools by purpose; None where the request offers none for it."""

    search: Tool | None
    read: Tool | None
    list: Tool | None
    submit: Tool | None
    others: tuple[Tool, ...] = ()

    def searching(self, pattern: str) -> ToolCall | None:
        """Search the text of files for a pattern."""
        parameter = self.search and (self.search.parameter(_PATTERN) or next(iter(self.search.properties), None))
        return self.search.call({parameter: pattern}) if self.search and parameter else None

    def reading(self, path: str, first: int, last: int) -> ToolCall | None:
        """Read lines of a file, both ends included, counted from 1."""
        if self.read is None:
            return None
        parameter = self.read.parameter(_PATH) or next(iter(self.read.properties), None)
        if parameter is None:
            return None
        return self.read.call({parameter: path, **_range_arguments(self.read, first, last)})

    def listing(self, glob: str) -> ToolCall | None:
        """List the paths that fit a glob."""
        if self.list is None:
            return None
        parameter = self.list.parameter(_GLOB)
        return self.list.call({parameter: glob} if parameter else {})

    def named(self, name: str) -> Tool | None:
        """The tool with this name."""
        tools = (self.search, self.read, self.list, self.submit, *self.others)
        return next((tool for tool in tools if tool is not None and tool.name == name), None)


def toolbox_of(tools: Sequence[Json]) -> Toolbox:
    """Sort tools, defined as on the Messages API, by purpose; the first fitting one serves each purpose."""
    found: dict[str, Tool] = {}
    others = []
    for definition in tools:
        tool = Tool(str(definition.get("name")), definition.get("input_schema") or {})
        purpose = purpose_of(tool.name)
        if purpose is None or purpose in found:
            others.append(tool)
        else:
            found[purpose] = tool
    return Toolbox(found.get("search"), found.get("read"), found.get("list"), found.get("submit"), tuple(others))


def path_argument(call: ToolCall) -> str | None:
    """The file that a reading call named."""
    value = next((call.input[name] for name in _PATH if name in call.input), None)
    return value if isinstance(value, str) else None


def first_line_argument(call: ToolCall) -> int:
    """The line from which a reading call asked to read; 1 where it didn't say."""
    span = next((call.input[name] for name in _RANGE if isinstance(call.input.get(name), list)), None)
    value = span[0] if span else next((call.input[name] for name in _START if name in call.input), 1)
    return max(1, value) if isinstance(value, int) else 1


def purpose_of(name: str) -> str | None:
    """What a tool is for, by its name: search, read, list or submit; None for anything else, the web included."""
    parts = name.lower().replace("-", "_")
    if parts.startswith("web_"):
        return None
    for purpose, names in _PURPOSES.items():
        if any(one in parts if len(one) > _SHORTEST_STEM else one in parts.split("_") for one in names):
            return purpose
    return None


def plain_value(schema: Any) -> Any:
    """The plainest value of a JSON schema's type."""
    if not isinstance(schema, Mapping):
        return ""
    if schema.get("enum"):
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    plain: dict[Any, Any] = {"integer": 0, "number": 0, "boolean": False, "array": [], "object": {}, "null": None}
    return plain.get(kind, "")


def _range_arguments(tool: Tool, first: int, last: int) -> dict[str, Any]:
    span = tool.parameter(_RANGE)
    if span is not None:
        return {span: [first, last]}
    start, end, count = tool.parameter(_START), tool.parameter(_END), tool.parameter(_COUNT)
    arguments: dict[str, Any] = {start: first} if start else {}
    if end:
        arguments[end] = last
    elif count:
        arguments[count] = last - first + 1
    return arguments
