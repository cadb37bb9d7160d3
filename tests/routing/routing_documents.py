"""Builders of flag documents, policies and routers for the tests of this room."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dispatcher.action.decision import PathName, Variant
from dispatcher.action.request import Repository, ResearchAction
from dispatcher.routing.conduct import ConductDefinition
from dispatcher.routing.flags.answer import FlagAnswer, FlagContext
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.reader import read_flag_document
from dispatcher.routing.flags.state import compile_state
from dispatcher.routing.policy import Policies

FLAG = "agent-research"
KILL = "agent-research-kill"
URL = "https://github.com/example/checkout"
POLICIES = Path(__file__).parents[2] / "policies"


def only(*tenants: str, field: str = "tenantId", operator: str = "IN") -> dict[str, Any]:
    return {"contextName": field, "operator": operator, "values": list(tenants)}


def rule(
    *constraints: dict[str, Any],
    variants: dict[str, int] | None = None,
    rollout: str = "100",
    by: str = "tenantId",
    title: str = "pilot",
) -> dict[str, Any]:
    weights = {"managed-haiku-4-5-cap8": 1000} if variants is None else variants
    return {
        "name": "flexibleRollout",
        "title": title,
        "constraints": list(constraints),
        "parameters": {"rollout": rollout, "stickiness": by, "groupId": f"group of {title}"},
        "variants": [{"name": name, "weight": weight, "stickiness": by} for name, weight in weights.items()],
    }


def document(*rules: dict[str, Any], enabled: bool = True, kill: bool = False, **features: Any) -> dict[str, Any]:
    parent = {"name": KILL, "enabled": kill, "strategies": [{"name": "default", "parameters": {}}]}
    flag = {
        "name": FLAG,
        "enabled": enabled,
        "dependencies": [{"feature": KILL, "enabled": False}],
        "strategies": list(rules),
        **features,
    }
    return {"version": 2, "features": [parent, flag]}


def text(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode()


def engine(content: dict[str, Any]) -> FlagEngine:
    return FlagEngine(compile_state(read_flag_document(text(content), "flags.json", [FLAG]), [FLAG]))


def ask(
    asked: FlagEngine, tenant: str = "acme", conversation: str = "c-1", project: str | None = None, flag: str = FLAG
) -> FlagAnswer:
    return asked.answer(flag, FlagContext(tenant=tenant, conversation=conversation, project=project), None)


def variant(name: str, path: PathName = PathName.MANAGED) -> Variant:
    max_tokens = 4096 if path is PathName.MESSAGES else None
    return Variant(
        name=name,
        path=path,
        model="a-model",
        iteration_cap=8,
        tool_call_cap=80,
        token_cap=1_000_000,
        cost_cap_nanousd=10**9,
        max_tokens=max_tokens,
        deadline_s=60.0,
    )


def policies(repositories: dict[str, dict[str, str | None]] | None = None) -> Policies:
    registered = [
        variant("legacy", PathName.MESSAGES),
        variant("legacy-cached", PathName.MESSAGES),
        variant("managed-haiku-4-5-cap8"),
    ]
    return Policies(
        feature="agent_research",
        flag=FLAG,
        variants={each.name: each for each in registered},
        conduct=ConductDefinition().conduct(),
        repositories=repositories or {"acme": {URL: None}},
    )


def action(tenant: str = "acme", github_url: str | None = URL, **given: Any) -> ResearchAction:
    return ResearchAction(
        question="Where?", tenant=tenant, repository=Repository(path=".", github_url=github_url), **given
    )
