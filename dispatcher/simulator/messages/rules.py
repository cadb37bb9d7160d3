"""What the Messages API refuses, before any model is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dispatcher.simulator.messages.markers import check_markers
from dispatcher.simulator.messages.schemas import check_output_config, check_strict_tool
from dispatcher.simulator.messages.turns import check_messages, check_system
from dispatcher.simulator.model.thinking import thinking_problems
from dispatcher.simulator.profiles import ModelProfile, Profiles, Rules
from dispatcher.simulator.refusal import invalid, not_found
from dispatcher.simulator.schema_shape import check_shape

CURRENT_VERSION = "2026-10-21"
VERSIONS = frozenset({"2023-01-01", "2023-06-01", CURRENT_VERSION})
_SAMPLING = ("temperature", "top_p", "top_k")
_KNOWN = frozenset(
    [
        "model",
        "max_tokens",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "cache_control",
        "output_config",
        "thinking",
        "service_tier",
        "stop_sequences",
        "metadata",
        "speed",
        "inference_geo",
        "container",
        "diagnostics",
        "stream",
        "user_profile_id",
        "workspace_id",
    ]
)
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_TOOL_CHOICES = ("auto", "any", "tool", "none")
_SERVICE_TIERS = ("auto", "standard_only")
_SMALLEST_THINKING_BUDGET = 1024

Body = Mapping[str, Any]


def check_version(version: str | None) -> str:
    """The API version of a request; refused where it is missing or unknown."""
    if version is None:
        raise invalid("anthropic-version: header is required")
    if version not in VERSIONS:
        raise invalid(f'anthropic-version: "{version}" is not a valid version')
    return version


def check_request(body: Body, version: str, profiles: Profiles, *, counting: bool = False) -> ModelProfile:
    """The profile of the model asked for; raises Refusal for what the API doesn't accept.

    `counting` is a request that only counts tokens and so has no `max_tokens`.
    """
    _check_fields(body, version)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise invalid("model: Field required" if model is None else "model: Input should be a valid string")
    profile = profiles.model(model)
    if profile is None:
        raise not_found(f"model: {model}")
    if not counting:
        _check_max_tokens(body.get("max_tokens"), model, profile.rules)
    check_system(body.get("system"))
    check_messages(body.get("messages"), prefill=profile.rules.prefill, current=version == CURRENT_VERSION)
    _check_tools(body.get("tools"))
    _check_thinking(body, model, profile.rules)
    _check_replayed_thinking(body, model, thinks=profiles.character.signs_thinking)
    _check_tool_choice(body, model, profile.rules)
    check_markers(body)
    check_output_config(body.get("output_config"))
    _check_rest(body)
    return profile


def _check_fields(body: Body, version: str) -> None:
    for name in _SAMPLING:
        if name in body and version == CURRENT_VERSION:
            raise invalid(f"{name}: this parameter was removed in API version {CURRENT_VERSION}")
    allowed = _KNOWN if version == CURRENT_VERSION else _KNOWN | set(_SAMPLING)
    unknown = next((name for name in body if name not in allowed), None)
    if unknown is not None:
        raise invalid(f"{unknown}: Extra inputs are not permitted")


def _check_max_tokens(value: object, model: str, rules: Rules) -> None:
    if value is None:
        raise invalid("max_tokens: Field required")
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid("max_tokens: Input should be a valid integer")
    if value < 0:
        raise invalid("max_tokens: Input should be greater than or equal to 0")
    if value > rules.max_output_tokens:
        raise invalid(
            f"max_tokens: {value} > {rules.max_output_tokens}, which is the maximum allowed number of output tokens "
            f"for {model}"
        )


def _check_tools(tools: object) -> None:
    if tools is None:
        return
    if not isinstance(tools, list):
        raise invalid("tools: Input should be a valid list")
    names: set[str] = set()
    for index, tool in enumerate(tools):
        _check_tool(tool, f"tools.{index}")
        if tool["name"] in names:
            raise invalid("tools: Tool names must be unique.")
        names.add(tool["name"])


def _check_tool(tool: object, place: str) -> None:
    if not isinstance(tool, dict):
        raise invalid(f"{place}: Input should be an object")
    if tool.get("type", "custom") not in ("custom", None):
        raise invalid(f"{place}.type: server tools are not part of this simulator: {tool['type']!r}")
    name = tool.get("name")
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        raise invalid(f"{place}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    schema = tool.get("input_schema")
    if schema is None:
        raise invalid(f"{place}.custom.input_schema: Field required")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise invalid(f"{place}.custom.input_schema.type: Input should be 'object'")
    check_shape(schema, f"{place}.custom.input_schema")
    if tool.get("strict"):
        check_strict_tool(schema, place)


def _check_thinking(body: Body, model: str, rules: Rules) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind not in ("enabled", "disabled", "adaptive"):
        raise invalid("thinking.type: Input should be 'enabled', 'disabled' or 'adaptive'")
    if kind == "disabled" and not rules.thinking_disabled:
        raise invalid(f"thinking: thinking cannot be disabled on {model}")
    if kind != "enabled":
        return
    if not rules.thinking_enabled:
        raise invalid(f'thinking.type: "enabled" is not supported on {model}; use "adaptive"')
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int) or budget < _SMALLEST_THINKING_BUDGET:
        raise invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if budget >= int(body.get("max_tokens") or 0):
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`")


def _check_replayed_thinking(body: Body, model: str, *, thinks: bool) -> None:
    thinks = thinks and (body.get("thinking") or {}).get("type") != "disabled"
    problem = next(thinking_problems(model, body["messages"], thinks=thinks), None)
    if problem is not None:
        raise invalid(problem)


def _check_tool_choice(body: Body, model: str, rules: Rules) -> None:
    choice = body.get("tool_choice")
    if choice is None:
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind not in _TOOL_CHOICES:
        raise invalid("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    if not body.get("tools"):
        raise invalid("tool_choice: tool_choice may only be specified while providing tools")
    if kind not in ("any", "tool"):
        return
    if not rules.forced_tool_choice:
        raise invalid(f'tool_choice: forced tool use ("{kind}") is not supported on {model}')
    if (body.get("thinking") or {}).get("type") == "enabled":
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
    if kind == "tool" and choice.get("name") not in [tool["name"] for tool in body["tools"]]:
        raise invalid(f"Tool '{choice.get('name')}' not found in provided tools")


def _check_rest(body: Body) -> None:
    if body.get("service_tier") not in (None, *_SERVICE_TIERS):
        raise invalid("service_tier: Input should be 'auto' or 'standard_only'")
    stops = body.get("stop_sequences")
    if stops is not None and not (isinstance(stops, list) and all(isinstance(s, str) and s.strip() for s in stops)):
        raise invalid("stop_sequences: each stop sequence must contain non-whitespace")
    if not isinstance(body.get("stream", False), bool):
        raise invalid("stream: Input should be a valid boolean")
    if not isinstance(body.get("metadata", {}), dict):
        raise invalid("metadata: Input should be an object")
