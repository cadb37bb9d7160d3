"""A session's container: the built-in tools over the mounted repositories."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dispatcher.simulator.managed import outside
from dispatcher.simulator.managed.checkout import Checkout, Checkouts
from dispatcher.simulator.managed.outside import Outside, ToolOutput

BUILT_IN_TOOLS = ("bash", "read", "write", "edit", "glob", "grep", "web_fetch", "web_search")
_MOST_CHARACTERS = 100_000
_MOST_MATCHES = 200
_LONGEST_LINE = 400
_STRING = {"type": "string"}

SCHEMAS: dict[str, dict[str, Any]] = {
    "read": {
        "type": "object",
        "properties": {"file_path": _STRING, "view_range": {"type": "array", "items": {"type": "integer"}}},
        "required": ["file_path"],
    },
    "glob": {"type": "object", "properties": {"pattern": _STRING, "path": _STRING}, "required": ["pattern"]},
    "grep": {"type": "object", "properties": {"pattern": _STRING, "path": _STRING}, "required": ["pattern"]},
    **outside.SCHEMAS,
}
"""Input schemas of the built-in tools; the simulated model researches with the first three."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A repository at its place in the container."""

    path: str
    checkout: Checkout


@dataclass(frozen=True, slots=True)
class Container:
    """The file system that the built-in tools see, and what is outside; the first mount is the working directory."""

    checkouts: Checkouts
    mounts: tuple[Mount, ...]
    outside: Outside | None = None

    async def run(self, name: str, arguments: Mapping[str, Any]) -> ToolOutput:
        """Run a built-in tool; bad arguments are an error that the model can read."""
        if name in outside.SCHEMAS and self.outside is not None:
            return self.outside.run(name, arguments)
        tools = {"read": self._read, "glob": self._glob, "grep": self._grep}
        if name not in tools:
            return ToolOutput(f"{name} is not available in this container", is_error=True)
        output = await tools[name](arguments)
        if len(output.text) > _MOST_CHARACTERS:
            return ToolOutput(f"{output.text[:_MOST_CHARACTERS]}\n[output cut at {_MOST_CHARACTERS} characters]")
        return output

    async def _read(self, arguments: Mapping[str, Any]) -> ToolOutput:
        path = str(arguments.get("file_path", ""))
        mount, inside = self._locate(path)
        text = await self.checkouts.text(mount.checkout, inside) if mount else None
        if text is None:
            return ToolOutput(f"{path}: no such file", is_error=True)
        first, last = _view_range(arguments.get("view_range"))
        lines = text.removesuffix("\n").split("\n")[first - 1 : last]
        return ToolOutput("\n".join(f"{number}\t{line}" for number, line in enumerate(lines, start=first)))

    async def _glob(self, arguments: Mapping[str, Any]) -> ToolOutput:
        mount, under = self._locate(str(arguments.get("path") or "."))
        if mount is None:
            return ToolOutput("no such directory", is_error=True)
        fits = glob_pattern(str(arguments.get("pattern", "")))
        paths = await self.checkouts.paths(mount.checkout)
        found = [path for path in paths if _is_under(path, under) and fits.fullmatch(_below(path, under))]
        return ToolOutput("\n".join(found[:_MOST_MATCHES]) or "No files found")

    async def _grep(self, arguments: Mapping[str, Any]) -> ToolOutput:
        mount, under = self._locate(str(arguments.get("path") or "."))
        if mount is None:
            return ToolOutput("no such directory", is_error=True)
        found = await self.checkouts.grep(mount.checkout, str(arguments.get("pattern", "")), under)
        if found is None:
            return ToolOutput("the pattern is not a valid regular expression", is_error=True)
        return ToolOutput("\n".join(_spread_over_files(found.split("\n"))) or "No matches found")

    def _locate(self, path: str) -> tuple[Mount | None, str]:
        """The mount that a path is in and the path inside it; a relative path starts at the working directory."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts or not self.mounts:
            return None, ""
        if not path.startswith("/"):
            return self.mounts[0], "/".join(parts)
        plain = f"/{'/'.join(parts)}"
        for mount in self.mounts:
            if plain == mount.path or plain.startswith(f"{mount.path}/"):
                return mount, plain[len(mount.path) + 1 :]
        return None, ""


def glob_pattern(pattern: str) -> re.Pattern[str]:
    """A doublestar glob as a regular expression: `**/` is any folders, `*` stays inside one."""
    translated, rest = "", pattern.removeprefix("./")
    while rest:
        for glob, expression in (("**/", "(?:.*/)?"), ("**", ".*"), ("*", "[^/]*"), ("?", "[^/]")):
            if rest.startswith(glob):
                translated, rest = translated + expression, rest[len(glob) :]
                break
        else:
            translated, rest = translated + re.escape(rest[0]), rest[1:]
    return re.compile(translated)


def _view_range(value: object) -> tuple[int, int | None]:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(one, int) for one in value):  # noqa: PLR2004 - a pair
        return max(1, value[0]), value[1] if value[1] > 0 else None
    return 1, None


def _spread_over_files(lines: Iterable[str]) -> list[str]:
    """The first matches, a few of each file, so that one file can't fill the output."""
    per_file: dict[str, int] = {}
    kept: list[str] = []
    for line in lines:
        path = line.partition(":")[0]
        per_file[path] = per_file.get(path, 0) + 1
        if per_file[path] <= _MOST_MATCHES // 10 and len(kept) < _MOST_MATCHES:
            kept.append(line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…")
    return kept


def _is_under(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")


def _below(path: str, folder: str) -> str:
    return path[len(folder) + 1 :] if folder else path
