"""The agent and the environment of the managed path: made once at the provider, and found again by their content."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import weakref
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dispatcher.action.decision import CapMode, PathName
from dispatcher.action.request import FEATURE
from dispatcher.paths.claude import Claude, UnexpectedReply
from dispatcher.paths.managed.sending import Sending
from dispatcher.paths.managed.session import ANSWER_S
from dispatcher.paths.managed.tools import agent_tools
from dispatcher.paths.prompt import system_text
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

T = TypeVar("T")

CONTENT_KEY = "dispatcher_content"
"""The metadata key that holds the hash of an agent's or environment's content."""

_NAME = f"dispatcher-{FEATURE}-"
_PAGE = 100
_FIRST_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """What a session is created from; the agent's version is pinned."""

    agent_id: str
    agent_version: int
    environment_id: str


class Provisions:
    """What this process has found or made at the provider, by model and mode of keeping to the caps.

    An agent or environment matches by name and content hash; of several the oldest wins, so that processes which
    started at the same time agree from then on. One that was archived, edited or opened since doesn't match.
    """

    def __init__(self, claude: Claude) -> None:
        self._claude = claude
        self._known: dict[tuple[str, CapMode], Provision] = {}
        self._locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()

    async def of(self, model: str, mode: CapMode, sending: Sending) -> Provision:
        """The provision for a model; attempts that need it at once look for it once. Raises the SDK's errors."""
        async with self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            if (model, mode) not in self._known:
                self._known[model, mode] = await self._find_or_create(model, mode, sending)
            return self._known[model, mode]

    def forget(self, model: str, mode: CapMode) -> None:
        """Look at the provider again next time: what was known was refused."""
        self._known.pop((model, mode), None)

    async def _find_or_create(self, model: str, mode: CapMode, sending: Sending) -> Provision:
        client = self._claude.client().with_options(timeout=ANSWER_S)
        agent = await _agent(client, agent_definition(model, mode), sending)
        environment = await _environment(client, environment_definition(), sending)
        version = count(agent.version)
        if not version:
            raise UnexpectedReply("an agent came back without its version")
        return Provision(agent_id=id_of(agent), agent_version=version, environment_id=id_of(environment))


def id_of(created: BetaManagedAgentsAgent | BetaEnvironment | BetaManagedAgentsSession) -> str:
    """The id of what the provider made, in a form that can be kept. Raises UnexpectedReply."""
    if not created.id or word(created.id) != created.id:
        raise UnexpectedReply("what was created came back without an id that can be kept")
    return created.id


def agent_definition(model: str, mode: CapMode) -> AgentCreateParams:
    """The agent as it is created."""
    content = {"model": model, "system": system_text(PathName.MANAGED), "tools": agent_tools(mode)}
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
    return {**content, "name": f"{_NAME}{digest[:12]}", "metadata": {CONTENT_KEY: digest}}


async def our_agents(client: AsyncAnthropic) -> list[str]:
    """The ids of all agents that were made here, at any time and of any content. Raises the SDK's errors."""
    listed = client.beta.agents.list(limit=_PAGE, include_archived=True)
    return [id_of(agent) async for agent in listed if _is_ours(agent)]


async def _agent(client: AsyncAnthropic, definition: AgentCreateParams, sending: Sending) -> BetaManagedAgentsAgent:
    async def found() -> BetaManagedAgentsAgent | None:
        # An agent that was edited has a later version, and its hash no longer says what it is.
        listed = client.beta.agents.list(limit=_PAGE)
        matching = [a async for a in listed if _matches(a, definition) and a.version == _FIRST_VERSION]
        return min(matching, key=_age, default=None)

    async def create() -> BetaManagedAgentsAgent:
        return await client.beta.agents.create(**definition)

    return await _oldest(found, create, sending)


async def _environment(
    client: AsyncAnthropic, definition: EnvironmentCreateParams, sending: Sending
) -> BetaEnvironment:
    async def found() -> BetaEnvironment | None:
        listed = client.beta.environments.list(limit=_PAGE)
        return min([e async for e in listed if _matches(e, definition) and _is_closed(e)], key=_age, default=None)

    async def create() -> BetaEnvironment:
        return await client.beta.environments.create(**definition)

    return await _oldest(found, create, sending)


async def _oldest(found: Callable[[], Awaitable[T | None]], create: Callable[[], Awaitable[T]], sending: Sending) -> T:
    there = await sending(found)
    if there is not None:
        return there
    created = await sending(create, found)
    # Another process may have made one at the same time: sessions must go on in whichever of them a later turn runs.
    return await sending(found) or created


def _is_ours(agent: BetaManagedAgentsAgent) -> bool:
    return CONTENT_KEY in (agent.metadata or {}) and str(agent.name).startswith(_NAME)


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
