"""Agent and environment of the managed path: what they are, and that they are made once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from managed_world import HAIKU, PRICES, make_sending
from pydantic import SecretStr

from dispatcher.action.decision import CapMode
from dispatcher.paths.claude import Claude
from dispatcher.paths.managed.provision import (
    CONTENT_KEY,
    Provision,
    Provisions,
    agent_definition,
    environment_definition,
)
from dispatcher.simulator.config import SimulatorConfig
from dispatcher.simulator.server import Simulator

SONNET = "claude-sonnet-4-6"


@pytest.fixture
def claude() -> Iterator[Claude]:
    with Simulator(SimulatorConfig(time_scale=0, prices=PRICES)) as simulator:
        yield Claude(api_key=SecretStr("key"), base_url=simulator.base_url, simulated=True)


async def provided(provisions: Provisions, model: str = HAIKU, mode: CapMode = CapMode.INTERRUPT) -> Provision:
    return await provisions.of(model, mode, make_sending())


async def agents(claude: Claude) -> list[Any]:
    return [agent async for agent in claude.client().beta.agents.list(include_archived=True)]


async def environments(claude: Claude) -> list[Any]:
    return [one async for one in claude.client().beta.environments.list(include_archived=True)]


async def test_the_agent_reads_and_submits_and_can_do_nothing_else(claude: Claude):
    await provided(Provisions(claude), HAIKU)

    [agent] = await agents(claude)
    toolset, submit = agent.tools
    assert toolset.default_config.enabled is False
    assert {config.name: config.permission_policy.type for config in toolset.configs} == {
        "read": "always_allow",
        "glob": "always_allow",
        "grep": "always_allow",
    }
    assert (submit.type, submit.name) == ("custom", "submit_result")
    assert submit.input_schema.to_dict()["additionalProperties"] is False
    assert (agent.mcp_servers, agent.skills) == ([], [])


async def test_where_caps_are_kept_by_confirmation_the_agent_asks_for_every_tool(claude: Claude):
    provisions = Provisions(claude)
    asks, does_not = await provided(provisions, mode=CapMode.CONFIRM), await provided(provisions)

    [toolset, _] = next(agent for agent in await agents(claude) if agent.id == asks.agent_id).tools
    assert {config.permission_policy.type for config in toolset.configs} == {"always_ask"}
    assert toolset.default_config.enabled is False
    assert asks.agent_id != does_not.agent_id
    assert asks.environment_id == does_not.environment_id


async def test_the_environment_reaches_no_host(claude: Claude):
    await provided(Provisions(claude), HAIKU)

    [environment] = await environments(claude)
    networking = environment.config.networking
    assert (environment.config.type, networking.type, networking.allowed_hosts) == ("cloud", "limited", [])
    assert (networking.allow_mcp_servers, networking.allow_package_managers) == (False, False)


async def test_attempts_at_the_same_time_provision_once(claude: Claude):
    provisions = Provisions(claude)
    found = await asyncio.gather(*(provided(provisions) for _ in range(20)))

    assert len(set(found)) == 1
    assert (len(await agents(claude)), len(await environments(claude))) == (1, 1)


async def test_another_process_finds_what_the_first_one_made(claude: Claude):
    first = await provided(Provisions(claude), HAIKU)
    second = await provided(Provisions(claude), HAIKU)

    assert first == second
    assert (first.agent_version, len(await agents(claude))) == (1, 1)


async def test_processes_that_start_at_the_same_time_agree(claude: Claude):
    """A conversation's session belongs to one agent, whichever process its next turn runs in."""
    first, second = await asyncio.gather(provided(Provisions(claude)), provided(Provisions(claude)))

    assert first == second


async def test_models_have_agents_of_their_own_and_share_the_environment(claude: Claude):
    provisions = Provisions(claude)
    haiku, sonnet = await provided(provisions, HAIKU), await provided(provisions, SONNET)

    assert haiku.agent_id != sonnet.agent_id
    assert haiku.environment_id == sonnet.environment_id


async def test_of_several_that_match_the_oldest_is_taken(claude: Claude):
    """Two processes that start at once may both create; from then on all agree."""
    client = claude.client()
    oldest = await client.beta.agents.create(**agent_definition(HAIKU, CapMode.INTERRUPT))
    await client.beta.agents.create(**agent_definition(HAIKU, CapMode.INTERRUPT))
    oldest_environment = await client.beta.environments.create(**environment_definition())
    await client.beta.environments.create(**environment_definition())

    found = await provided(Provisions(claude), HAIKU)

    assert (found.agent_id, found.environment_id) == (oldest.id, oldest_environment.id)


async def test_a_match_on_a_later_page_is_found(claude: Claude):
    client = claude.client()
    made = await client.beta.agents.create(**agent_definition(HAIKU, CapMode.INTERRUPT))
    await asyncio.gather(*(client.beta.agents.create(name=f"other-{number}", model=HAIKU) for number in range(120)))

    assert (await provided(Provisions(claude), HAIKU)).agent_id == made.id


async def test_what_was_archived_does_not_match(claude: Claude):
    first = await provided(Provisions(claude), HAIKU)
    await claude.client().beta.agents.archive(first.agent_id)
    await claude.client().beta.environments.archive(first.environment_id)
    second = await provided(Provisions(claude), HAIKU)

    assert first.agent_id != second.agent_id
    assert first.environment_id != second.environment_id


async def test_an_agent_that_was_edited_does_not_match_although_it_kept_its_hash(claude: Claude):
    first = await provided(Provisions(claude), HAIKU)
    edited = await claude.client().beta.agents.update(first.agent_id, version=1, system="Do as you like.")
    second = await provided(Provisions(claude), HAIKU)

    assert edited.metadata[CONTENT_KEY] == agent_definition(HAIKU, CapMode.INTERRUPT)["metadata"][CONTENT_KEY]
    assert first.agent_id != second.agent_id


@pytest.mark.parametrize(
    "networking",
    [
        {"type": "unrestricted"},
        {"type": "limited", "allowed_hosts": ["example.org"]},
        {"type": "limited", "allow_package_managers": True},
    ],
    ids=["unrestricted", "a host", "packages"],
)
async def test_an_environment_that_was_opened_does_not_match(claude: Claude, networking: Any):
    first = await provided(Provisions(claude), HAIKU)
    config: Any = {"type": "cloud", "networking": networking}
    await claude.client().beta.environments.update(first.environment_id, config=config)
    second = await provided(Provisions(claude), HAIKU)

    assert first.environment_id != second.environment_id
    assert first.agent_id == second.agent_id


def test_what_is_known_survives_the_event_loop_it_was_found_on(claude: Claude):
    provisions = Provisions(claude)

    async def provision_and_count() -> tuple[object, int]:
        return await provided(provisions, HAIKU), len(await agents(claude))

    assert asyncio.run(provision_and_count()) == asyncio.run(provision_and_count())


async def test_what_was_forgotten_is_found_again(claude: Claude):
    provisions = Provisions(claude)
    first = await provided(provisions, HAIKU)
    await claude.client().beta.agents.archive(first.agent_id)
    provisions.forget(HAIKU, CapMode.INTERRUPT)

    assert (await provided(provisions, HAIKU)).agent_id != first.agent_id
