"""Creating a session from an agent and an environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dispatcher.simulator.clock import rfc3339
from dispatcher.simulator.managed import fields
from dispatcher.simulator.managed.agents import resolved_model
from dispatcher.simulator.managed.budget import budget_cents
from dispatcher.simulator.managed.eventlog import EventLog
from dispatcher.simulator.managed.inbox import checked_message
from dispatcher.simulator.managed.session import Session
from dispatcher.simulator.managed.tools import resolved_tools
from dispatcher.simulator.profiles import Profiles
from dispatcher.simulator.refusal import invalid
from dispatcher.simulator.world import World

_KNOWN = frozenset(
    ["agent", "environment_id", "budget", "initial_events", "metadata", "resources", "title", "vault_ids"]
)
_RESOURCE = frozenset(["type", "url", "authorization_token", "checkout", "mount_path"])
_OVERRIDES = frozenset(["id", "type", "version", "model", "system", "tools", "mcp_servers", "skills"])
_GITHUB = re.compile(r"https://github\.com/[\w.-]+/(?P<name>[\w.-]+?)(?:\.git)?/?", re.IGNORECASE)
_FULL_SHA = re.compile(r"[0-9a-fA-F]{40}([0-9a-fA-F]{24})?")
_MOST_INITIAL_EVENTS = 50


def created_session(world: World, body: Mapping[str, Any], api_key: str) -> tuple[Session, list[dict[str, Any]]]:
    """A new session, and the user messages it was created with; both checked, nothing started."""
    fields.only_known(body, _KNOWN)
    if body.get("vault_ids"):
        raise invalid("vault_ids: not part of this simulator")
    agent = _agent_snapshot(world, body.get("agent"))
    environment = world.store.environment(fields.text(body, "environment_id"))
    if environment.archived_at is not None:
        raise invalid(f"environment {environment.id} is archived", error_code="environment_archived")
    if environment.config["type"] != "cloud":
        raise invalid("self-hosted environments are not part of this simulator")
    budget = None if body.get("budget") is None else budget_cents(body["budget"])
    if budget is not None and not is_priced(world, agent["model"]["id"]):
        raise invalid("budget: the model has no public list price", error_code="model_not_budgetable")
    first = _initial_events(body)
    now = world.clock.timestamp()
    session = Session(
        id=world.mint("sesn"),
        api_key=api_key,
        agent=agent,
        environment_id=environment.id,
        networking=environment.config["networking"],
        resources=[_resource(world, one, f"resources.{i}") for i, one in enumerate(fields.objects(body, "resources"))],
        metadata=fields.metadata(body),
        title=fields.optional_text(body, "title"),
        budget_cents=budget,
        created_at=now,
        updated_at=now,
        created_simulated_s=world.clock.simulated_seconds(),
        thread_id=world.mint("sthr"),
        log=EventLog(world.mint, world.clock.timestamp),
    )
    return session, first


def is_priced(world: World, model: str) -> bool:
    """Whether the price table has a price for the model today."""
    prices = world.ledger.prices
    dated = prices.models.get(prices.aliases.get(model, model), [])
    return any(rates.since <= world.clock.timestamp().date() for rates in dated)


def _initial_events(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    events = fields.objects(body, "initial_events")
    if len(events) > _MOST_INITIAL_EVENTS:
        raise invalid(f"initial_events: at most {_MOST_INITIAL_EVENTS} events are allowed")
    for index, event in enumerate(events):
        if event.get("type") != "user.message":
            raise invalid(f"initial_events.{index}.type: Input should be 'user.message'")
    return [checked_message(event, f"initial_events.{index}") for index, event in enumerate(events)]


def _agent_snapshot(world: World, reference: object) -> dict[str, Any]:
    """The agent as the session keeps it, overrides applied."""
    if isinstance(reference, str):
        reference = {"type": "agent", "id": reference}
    if not isinstance(reference, dict) or reference.get("type") not in ("agent", "agent_with_overrides"):
        raise invalid("agent: Input should be an agent id or an agent reference")
    overriding = reference["type"] == "agent_with_overrides"
    fields.only_known(reference, _OVERRIDES if overriding else ("id", "type", "version"), "agent.")
    agent = world.store.agent(fields.text(reference, "id"))
    if agent.archived_at is not None:
        raise invalid(f"agent {agent.id} is archived", error_code="agent_archived")
    snapshot = agent.snapshot(fields.version(reference))
    return {**snapshot, **_overrides(reference, world.profiles)} if overriding else snapshot


def _overrides(reference: Mapping[str, Any], profiles: Profiles) -> dict[str, Any]:
    overrides: dict[str, Any] = {}
    for name in ("mcp_servers", "skills"):
        if reference.get(name):
            raise invalid(f"agent.{name}: not part of this simulator")
    if "model" in reference:
        overrides["model"] = resolved_model(reference["model"], profiles)
    if "system" in reference:
        overrides["system"] = fields.optional_text(reference, "system")
    if "tools" in reference:
        overrides["tools"] = resolved_tools(fields.objects(reference, "tools"))
    return overrides


def _resource(world: World, resource: Mapping[str, Any], place: str) -> dict[str, Any]:
    """A mounted repository as the API returns it: never with its token."""
    if resource.get("type") != "github_repository":
        raise invalid(f"{place}.type: only github_repository resources are part of this simulator")
    fields.only_known(resource, _RESOURCE, f"{place}.")
    found = _GITHUB.fullmatch(str(resource.get("url", "")))
    if found is None:
        raise invalid(f"{place}.url: Input should be a GitHub repository URL, https://github.com/owner/repository")
    mount_path = resource.get("mount_path") or f"/workspace/{found['name']}"
    if not isinstance(mount_path, str) or not mount_path.startswith("/"):
        raise invalid(f"{place}.mount_path: Input should be an absolute path")
    now = rfc3339(world.clock.timestamp())
    return {
        "id": world.mint("sesrsc"),
        "type": "github_repository",
        "url": resource["url"],
        "checkout": _checkout(resource.get("checkout"), place),
        "mount_path": mount_path.rstrip("/"),
        "created_at": now,
        "updated_at": now,
    }


def _checkout(checkout: object, place: str) -> dict[str, str] | None:
    if checkout is None:
        return None
    kind = checkout.get("type") if isinstance(checkout, dict) else None
    if kind not in ("branch", "commit") or not isinstance(checkout, dict):
        raise invalid(f"{place}.checkout.type: Input should be 'branch' or 'commit'")
    name = "sha" if kind == "commit" else "name"
    value = checkout.get(name)
    if not isinstance(value, str) or not value:
        raise invalid(f"{place}.checkout.{name}: Field required")
    if kind == "commit" and not _FULL_SHA.fullmatch(value):
        raise invalid(f"{place}.checkout.sha: Input should be a full commit SHA")
    return {"type": kind, name: value.lower() if kind == "commit" else value}
