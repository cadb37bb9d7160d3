"""What the managed agent may do: the tool contract, in both modes of keeping to the caps."""

from __future__ import annotations

from typing import Any

from dispatcher.action.decision import CapMode
from dispatcher.paths.prompt import submit_tool

READING_TOOLS = ("read", "glob", "grep")
"""The only built-in tools that are switched on: none of them writes, runs anything or reaches the network."""

_POLICY = {CapMode.INTERRUPT: "always_allow", CapMode.CONFIRM: "always_ask"}


def agent_tools(mode: CapMode) -> list[dict[str, Any]]:
    """The toolset with everything off but reading, and the tool that takes the report.

    In the mode `confirm` every call of a built-in tool waits for our permission.
    """
    policy = {"type": _POLICY[mode]}
    allowed = [{"type": name, "name": name, "enabled": True, "permission_policy": policy} for name in READING_TOOLS]
    toolset = {"type": "agent_toolset_20260401", "default_config": {"enabled": False}, "configs": allowed}
    return [toolset, submit_tool()]
