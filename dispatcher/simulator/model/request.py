"""What the model is asked, and what it replies; the same on both APIs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dispatcher.simulator.model.conversation import Json, ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One model request. `messages` and `tools` have the form of the Messages API.

    `shows_thinking`: where the model thinks, the reply holds its thinking.
    """

    model: str
    messages: tuple[Json, ...]
    tools: tuple[Json, ...] = ()
    system: tuple[Json, ...] = ()
    tool_choice: Mapping[str, Any] | None = None
    output_schema: Mapping[str, Any] | None = None
    shows_thinking: bool = False

    @property
    def may_call_tools(self) -> bool:
        """Whether the reply may hold tool calls at all."""
        return bool(self.tools) and (self.tool_choice or {}).get("type") != "none"

    @property
    def must_call_tools(self) -> bool:
        """Whether the reply has to hold a tool call."""
        return (self.tool_choice or {}).get("type") in ("any", "tool")

    @property
    def one_call_at_most(self) -> bool:
        """Whether parallel tool calls are switched off."""
        return bool((self.tool_choice or {}).get("disable_parallel_tool_use"))


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says: text, then tool calls; without calls it is the end of the turn."""

    text: str
    calls: tuple[ToolCall, ...] = ()
