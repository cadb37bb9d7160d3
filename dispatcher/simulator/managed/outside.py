"""The built-in tools that reach beyond reading: what they would do is recorded, and none of it is done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from dispatcher.simulator.effects import Effect, EffectKind

_HOST = re.compile(r"\b\w+://(?:[^\s/@'\"]*@)?([\w.-]+)|\b[\w.-]+@([\w-]+(?:\.[\w-]+)+)")
_STRING = {"type": "string"}


def _schema(*parameters: str) -> dict[str, Any]:
    return {"type": "object", "properties": dict.fromkeys(parameters, _STRING), "required": list(parameters)}


SCHEMAS: dict[str, dict[str, Any]] = {
    "bash": _schema("command"),
    "write": _schema("file_path", "content"),
    "edit": _schema("file_path", "old_string", "new_string"),
    "web_fetch": _schema("url"),
    "web_search": _schema("query"),
}
"""Input schemas of these tools."""


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a tool printed."""

    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Outside:
    """What lies around a session's container: its network as the environment limits it, and the record of effects."""

    networking: Mapping[str, Any]
    effects: list[Effect]
    session_id: str

    def run(self, name: str, arguments: Mapping[str, Any]) -> ToolOutput:
        """Answer a call as if it had been carried out, and record what that would have done."""
        if name == "bash":
            return self._bash(str(arguments.get("command", "")))
        if name in ("write", "edit"):
            path = str(arguments.get("file_path", ""))
            self._record("file", name, path)
            return ToolOutput(f"{path} has been written")
        # As documented, an environment's networking says nothing about the web tools: the platform runs them itself.
        self._record("network", name, str(arguments.get("url") or arguments.get("query") or ""))
        return ToolOutput("Nothing of interest was found")

    def _bash(self, command: str) -> ToolOutput:
        self._record("command", "bash", command)
        for host in (first or second for first, second in _HOST.findall(command)):
            if not self._may_reach(host):
                return ToolOutput(f"Could not resolve host: {host}", is_error=True)
            self._record("network", "bash", host)
        return ToolOutput("(no output)")

    def _may_reach(self, host: str) -> bool:
        if self.networking["type"] == "unrestricted":
            return True
        return any(fnmatchcase(host.lower(), allowed.lower()) for allowed in self.networking["allowed_hosts"])

    def _record(self, kind: EffectKind, tool: str, target: str) -> None:
        self.effects.append(Effect(kind, tool, target, self.session_id))
