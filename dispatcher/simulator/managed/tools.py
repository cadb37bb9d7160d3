"""The tools of an agent: which are switched on, who has to agree to a call, and how the model sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dispatcher.simulator.managed import fields
from dispatcher.simulator.managed.container import BUILT_IN_TOOLS, SCHEMAS
from dispatcher.simulator.refusal import invalid
from dispatcher.simulator.schema_shape import check_shape

TOOLSET = "agent_toolset_20260401"
_MOST_TOOLS = 256
_POLICIES = ("always_allow", "always_ask", "auto")
_ALLOW = {"type": "always_allow"}


def resolved_tools(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """An agent's tools as the API returns them, defaults filled in; refused where they make no sense."""
    resolved = [_resolved(tool, f"tools.{index}") for index, tool in enumerate(tools)]
    names = [tool["name"] for tool in resolved if tool["type"] == "custom"]
    if len(set(names)) < len(names):
        raise invalid("tools: names of custom tools must be unique")
    if sum(tool["type"] == TOOLSET for tool in resolved) > 1:
        raise invalid(f"tools: {TOOLSET} may appear once")
    if len(resolved) > _MOST_TOOLS:
        raise invalid(f"tools: at most {_MOST_TOOLS} tools are allowed")
    return resolved


def policy_of(tools: Sequence[Mapping[str, Any]], name: str) -> str | None:
    """The permission policy of a built-in tool; None where it is switched off."""
    for tool in tools:
        if tool["type"] != TOOLSET:
            continue
        own = next((config for config in tool["configs"] if config["name"] == name), tool["default_config"])
        if own["enabled"]:
            return str(own["permission_policy"]["type"])
    return None


def is_custom(tools: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a tool is carried out by the client."""
    return any(tool["type"] == "custom" and tool["name"] == name for tool in tools)


def model_tools(tools: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The tools that the model is offered, in the form of the Messages API: what is off isn't there."""
    built_in = [
        {"name": name, "description": f"Built-in {name}", "input_schema": schema}
        for name, schema in SCHEMAS.items()
        if policy_of(tools, name) is not None
    ]
    custom = [
        {"name": tool["name"], "description": tool["description"], "input_schema": tool["input_schema"]}
        for tool in tools
        if tool["type"] == "custom"
    ]
    return (*built_in, *custom)


def _resolved(tool: Mapping[str, Any], place: str) -> dict[str, Any]:
    kind = tool.get("type")
    if kind == TOOLSET:
        return _resolved_toolset(tool, place)
    if kind == "custom":
        return _resolved_custom(tool, place)
    if kind == "mcp_toolset":
        raise invalid(f"{place}: MCP servers are not part of this simulator")
    raise invalid(f"{place}.type: Input should be '{TOOLSET}', 'mcp_toolset' or 'custom'")


def _resolved_custom(tool: Mapping[str, Any], place: str) -> dict[str, Any]:
    for name in ("name", "description"):
        if not isinstance(tool.get(name), str) or not tool[name]:
            raise invalid(f"{place}.custom.{name}: Field required")
    schema = tool.get("input_schema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise invalid(f"{place}.custom.input_schema.type: Input should be 'object'")
    check_shape(schema, f"{place}.custom.input_schema")
    return {"type": "custom", "name": tool["name"], "description": tool["description"], "input_schema": schema}


def _resolved_toolset(tool: Mapping[str, Any], place: str) -> dict[str, Any]:
    given = tool.get("default_config") or {}
    if not isinstance(given, Mapping):
        raise invalid(f"{place}.default_config: Input should be an object")
    default = _config(given, {"enabled": True, "permission_policy": _ALLOW}, place)
    configs: list[dict[str, Any]] = []
    for index, config in enumerate(fields.objects(tool, "configs")):
        name = config.get("name")
        if name not in BUILT_IN_TOOLS:
            raise invalid(f"{place}.configs.{index}.name: Input should be one of {', '.join(BUILT_IN_TOOLS)}")
        if name in [known["name"] for known in configs]:
            raise invalid(f"{place}.configs: {name} is configured twice")
        configs.append({"type": name, "name": name, **_config(config, default, f"{place}.configs.{index}")})
    return {"type": TOOLSET, "default_config": default, "configs": configs}


def _config(config: Mapping[str, Any], default: Mapping[str, Any], place: str) -> dict[str, Any]:
    enabled = config.get("enabled")
    policy = config.get("permission_policy") or default["permission_policy"]
    if enabled is not None and not isinstance(enabled, bool):
        raise invalid(f"{place}.enabled: Input should be a valid boolean")
    if not isinstance(policy, Mapping) or policy.get("type") not in _POLICIES:
        raise invalid(f"{place}.permission_policy.type: Input should be one of {', '.join(_POLICIES)}")
    return {"enabled": default["enabled"] if enabled is None else enabled, "permission_policy": dict(policy)}
