"""The agent and the environment of the managed path: made once at the provider, and found again by their content."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from dispatcher.action.decision import PathName
from dispatcher.action.request import FEATURE
from dispatcher.paths.claude import Claude, UnexpectedReply
from dispatcher.paths.prompt import submit_tool, system_text
from dispatcher.paths.wire import count, word

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from anthropic.types.beta import (
        AgentCreateParams,
        BetaEnvironment,
        BetaManagedAgentsAgent,
        BetaManagedAgentsSession,
        EnvironmentCreateParams,
    )

CONTENT_KEY = "dispatcher_content"
"""The metadata key that holds the hash of an agent's or environment's content."""

READING_TOOLS = ("read", "glob", "grep")
"""The only built-in tools that are switched on: none of them writes, runs anything or reaches the network."""

_PAGE = 100
_FIRST_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """What a session is created from; the agent's version is pinned."""

    agent_id: str
    agent_version: int
    environment_id: str


class Provisions:
    """What this process has found or made at the provider, by model.

    An agent or environment matches by name and content hash; of several the oldest wins, so that processes which
    started at the same time agree from then on. One that was archived, edited or opened since doesn't match.
    """

    def __init__(self, claude: Claude) -> None:
        self._claude = claude
        self._known: dict[str, Provision] = {}
        self._locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()

    async def of(self, model: str) -> Provision:
        """The provision for a model; attempts that need it at once look for it once. Raises the SDK's errors."""
        async with self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            if model not in self._known:
                self._known[model] = await self._find_or_create(model)
            return self._known[model]

    def forget(self, model: str) -> None:
        """Look at the provider again next time: what was known was refused."""
        self._known.pop(model, None)

    async def _find_or_create(self, model: str) -> Provision:
        client = self._claude.client()
        agent = await _agent(client, agent_definition(model))
        environment = await _environment(client, environment_definition())
        version = count(agent.version)
        if not version:
            raise UnexpectedReply("an agent came back without its version")
        return Provision(agent_id=id_of(agent), agent_version=version, environment_id=id_of(environment))


def id_of(created: BetaManagedAgentsAgent | BetaEnvironment | BetaManagedAgentsSession) -> str:
    """The id of what the provider made, in a form that can be kept. Raises UnexpectedReply."""
    if not created.id or word(created.id) != created.id:
        raise UnexpectedReply("what was created came back without an id that can be kept")
    return created.id


def agent_tools() -> list[dict[str, Any]]:
    """The tool contract: the toolset with everything off but reading, and the tool that takes the report."""
    allowed = [
        {"type": name, "name": name, "enabled": True, "permission_policy": {"type": "always_allow"}}
        for name in READING_TOOLS
    ]
    toolset = {"type": "agent_toolset_20260401", "default_config": {"enabled": False}, "configs": allowed}
    return [toolset, submit_tool()]


def agent_definition(model: str) -> AgentCreateParams:
    """The agent as it is created."""
    content = {"model": model, "system": system_text(PathName.MANAGED), "tools": agent_tools()}
    return cast("AgentCreateParams", _marked("agent", content))


def environment_definition() -> EnvironmentCreateParams:
    """The environment as it is created: a cloud container that can reach no host and installs nothing."""
    networking = {
        "type": "limited",
        "allowed_hosts": [],
        "allow_mcp_servers": False,
        "allow_package_managers": False,
    }
    return cast(
        "EnvironmentCreateParams", _marked("environment", {"config": {"type": "cloud", "networking": networking}})
    )


def _marked(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    digest = hashlib.sha256(json.dumps([kind, content], sort_keys=True).encode()).hexdigest()
    return {**content, "name": f"dispatcher-{FEATURE}-{digest[:12]}", "metadata": {CONTENT_KEY: digest}}


async def _agent(client: AsyncAnthropic, definition: AgentCreateParams) -> BetaManagedAgentsAgent:
    # An agent that was edited has a later version, and its hash no longer says what it is.
    found = [
        agent
        async for agent in client.beta.agents.list(limit=_PAGE)
        if _matches(agent, definition) and agent.version == _FIRST_VERSION
    ]
    return min(found, key=_age) if found else await client.beta.agents.create(**definition)


async def _environment(client: AsyncAnthropic, definition: EnvironmentCreateParams) -> BetaEnvironment:
    found = [
        environment
        async for environment in client.beta.environments.list(limit=_PAGE)
        if _matches(environment, definition) and _is_closed(environment)
    ]
    return min(found, key=_age) if found else await client.beta.environments.create(**definition)


def _matches(
    found: BetaManagedAgentsAgent | BetaEnvironment, definition: AgentCreateParams | EnvironmentCreateParams
) -> bool:
    same_content = (found.metadata or {}).get(CONTENT_KEY) == definition["metadata"][CONTENT_KEY]
    return same_content and found.name == definition["name"] and found.archived_at is None


def _is_closed(environment: BetaEnvironment) -> bool:
    """Whether the container still can't reach anything: environments have no versions and can be edited."""
    config: Any = environment.config
    networking = getattr(config, "networking", None)
    if getattr(config, "type", None) != "cloud" or getattr(networking, "type", None) != "limited":
        return False
    opened = ("allowed_hosts", "allow_mcp_servers", "allow_package_managers")
    return not any(getattr(networking, name, None) for name in opened)


def _age(found: BetaManagedAgentsAgent | BetaEnvironment) -> tuple[dt.datetime, str]:
    created = found.created_at
    return (dt.datetime.fromisoformat(created) if isinstance(created, str) else created), found.id
