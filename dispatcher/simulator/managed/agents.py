"""Agents: versioned configurations of a model, a system prompt and tools."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dispatcher.simulator.clock import rfc3339
from dispatcher.simulator.managed import fields
from dispatcher.simulator.managed.tools import resolved_tools
from dispatcher.simulator.profiles import Profiles
from dispatcher.simulator.refusal import Refusal, invalid, not_found

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_DEFAULT_EFFORT = "high"
_KNOWN = frozenset(
    [
        "name",
        "model",
        "system",
        "tools",
        "description",
        "metadata",
        "mcp_servers",
        "skills",
        "multiagent",
        "execution_identity",
    ]
)
_LONGEST_SYSTEM = 100_000


@dataclass(slots=True)
class Agent:
    """An agent with all its versions, oldest first."""

    id: str
    created_at: dt.datetime
    versions: list[dict[str, Any]] = field(default_factory=list)
    archived_at: dt.datetime | None = None

    def view(self, version: int | None = None) -> dict[str, Any]:
        """The resource at a version; the latest one by default."""
        if version is None:
            version = len(self.versions)
        if not 1 <= version <= len(self.versions):
            raise not_found(f"agent {self.id} has no version {version}")
        archived = rfc3339(self.archived_at) if self.archived_at else None
        fixed = {"id": self.id, "type": "agent", "created_at": rfc3339(self.created_at), "archived_at": archived}
        return {**fixed, **self.versions[version - 1], "version": version}

    def snapshot(self, version: int | None = None) -> dict[str, Any]:
        """What a session keeps of the agent it was created from."""
        view = self.view(version)
        return {
            name: value
            for name, value in view.items()
            if name not in ("created_at", "updated_at", "archived_at", "metadata")
        }


def created_agent(agent_id: str, body: Mapping[str, Any], profiles: Profiles, now: dt.datetime) -> Agent:
    """A new agent, at version 1."""
    fields.only_known(body, _KNOWN)
    fields.text(body, "name")
    if body.get("model") is None:
        raise invalid("model: Field required")
    agent = Agent(agent_id, now)
    agent.versions.append({**_defaults(), **_changes(body, profiles), "updated_at": rfc3339(now)})
    return agent


def update_agent(agent: Agent, body: Mapping[str, Any], profiles: Profiles, now: dt.datetime) -> None:
    """Add a version, unless nothing changes. Status 409 where the caller's `version` isn't the current one."""
    fields.only_known(body, _KNOWN | {"version"})
    expected = fields.version(body)
    if agent.archived_at is not None:
        raise invalid(f"agent {agent.id} is archived", error_code="agent_archived")
    if expected is not None and expected != len(agent.versions):
        raise Refusal(409, f"agent {agent.id} is at version {len(agent.versions)}, not {expected}")
    before = agent.versions[-1]
    after = {**before, **_changes(body, profiles, before)}
    if after != before:
        agent.versions.append({**after, "updated_at": rfc3339(now)})


def resolved_model(value: object, profiles: Profiles, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A model's configuration as the API returns it; status 404 for a model that doesn't exist."""
    config = {"id": value} if isinstance(value, str) else value
    if not isinstance(config, dict) or not isinstance(config.get("id"), str):
        raise invalid("model: Input should be a model name or an object with an id")
    if profiles.model(config["id"]) is None:
        raise not_found(f"model: {config['id']}")
    kept = before if before and before["id"] == config["id"] else {}
    effort = config.get("effort") or kept.get("effort") or _DEFAULT_EFFORT
    effort = effort.get("type") if isinstance(effort, Mapping) else effort
    if effort not in _EFFORTS:
        raise invalid(f"model.effort: Input should be one of {', '.join(_EFFORTS)}")
    return {
        "id": config["id"],
        "effort": {"type": effort},
        "speed": config.get("speed") or "standard",
        "inference_geo": config.get("inference_geo"),
    }


def _defaults() -> dict[str, Any]:
    return {
        "description": None,
        "execution_identity": {"type": "service_account"},
        "mcp_servers": [],
        "metadata": {},
        "multiagent": None,
        "skills": [],
        "system": None,
        "tools": [],
    }


def _changes(body: Mapping[str, Any], profiles: Profiles, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The fields that the body sets, in the form in which they are returned."""
    changes: dict[str, Any] = {}
    for name in ("mcp_servers", "skills", "multiagent"):
        if body.get(name):
            raise invalid(f"{name}: not part of this simulator")
    if body.get("name") is not None:
        changes["name"] = fields.text(body, "name")
    if body.get("model") is not None:
        changes["model"] = resolved_model(body["model"], profiles, before and before["model"])
    for name in ("system", "description"):
        if name in body:
            changes[name] = fields.optional_text(body, name) or None
    if len(changes.get("system") or "") > _LONGEST_SYSTEM:
        raise invalid(f"system: at most {_LONGEST_SYSTEM} characters are allowed")
    if "tools" in body:
        changes["tools"] = resolved_tools(fields.objects(body, "tools"))
    if "metadata" in body:
        changes["metadata"] = fields.patched_metadata(before["metadata"] if before else {}, body)
    return changes
