"""Agents, environments and lists, driven by the official Python SDK."""

from __future__ import annotations

import datetime as dt
from typing import Any

import anthropic
import httpx2
import pytest
from simulator_driving import SONNET, SUBMIT, Shop, accepted, bench, message, toolset

from dispatcher.simulator import Simulator


@pytest.fixture
def beta(client: anthropic.Anthropic) -> Any:
    return client.beta


@pytest.fixture
def alone(simulator: Simulator, client_of: Any) -> Any:
    """The beta resources of a simulator that holds nothing yet."""
    return client_of(simulator).beta


def test_an_agent_has_versions(beta: Any) -> None:
    agent = beta.agents.create(name="a", model=SONNET, tools=[toolset("read"), SUBMIT], metadata={"hash": "1"})
    changed = beta.agents.update(agent.id, version=1, system="Research.", metadata={"more": "2"})
    same = beta.agents.update(agent.id, version=2, system="Research.")

    assert (agent.version, changed.version, same.version) == (1, 2, 2)
    assert (changed.name, changed.metadata) == ("a", {"hash": "1", "more": "2"})
    assert beta.agents.retrieve(agent.id, version=1).system is None
    assert beta.agents.retrieve(agent.id).system == "Research."
    assert [one.version for one in beta.agents.versions.list(agent.id)] == [2, 1]


def test_an_update_of_another_version_is_a_conflict(beta: Any) -> None:
    agent = beta.agents.create(name="a", model=SONNET)
    with pytest.raises(anthropic.ConflictError) as caught:
        beta.agents.update(agent.id, version=7, name="b")

    assert caught.value.type == "conflict_error"


def test_an_agents_tools_come_back_with_their_defaults(beta: Any) -> None:
    agent = beta.agents.create(name="a", model={"id": SONNET, "effort": "low"}, tools=[toolset("read"), SUBMIT])
    tools, custom = agent.tools

    assert agent.model.effort.type == "low"
    assert tools.default_config.enabled is False
    assert [(one.name, one.enabled, one.permission_policy.type) for one in tools.configs] == [
        ("read", True, "always_allow")
    ]
    assert (custom.type, custom.name) == ("custom", "submit_result")


WRONG_AGENTS: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"model": None}, "model: Field required"),
    ({"tools": [{"type": "bash"}]}, "tools.0.type"),
    ({"tools": [{**SUBMIT, "input_schema": {}}]}, "input_schema.type"),
    ({"tools": [SUBMIT, SUBMIT]}, "must be unique"),
    ({"tools": [toolset("fly")]}, "configs.0.name"),
    ({"tools": [toolset("read", permission_policy={"type": "maybe"})]}, "permission_policy.type"),
    ({"metadata": {str(n): "" for n in range(17)}}, "at most 16 pairs"),
    ({"max_tokens": 5}, "max_tokens: Extra inputs are not permitted"),
    ({"model": {"id": SONNET, "effort": "huge"}}, "model.effort"),
]


@pytest.mark.parametrize(("change", "expected"), WRONG_AGENTS)
def test_an_agent_that_makes_no_sense_is_refused(beta: Any, change: dict[str, Any], expected: str) -> None:
    body = {"name": "a", "model": SONNET, **change}
    with pytest.raises(anthropic.BadRequestError, match=expected):
        beta.agents.create(name="a", model=SONNET, extra_body=body)


def test_an_unknown_model_is_not_found(beta: Any) -> None:
    with pytest.raises(anthropic.NotFoundError):
        beta.agents.create(name="a", model="claude-nobody")


def test_an_archived_agent_starts_no_session(beta: Any) -> None:
    agent = beta.agents.create(name="a", model=SONNET)
    environment = beta.environments.create(name="e")
    archived = beta.agents.archive(agent.id)

    assert archived.archived_at is not None
    with pytest.raises(anthropic.BadRequestError, match="archived"):
        beta.sessions.create(agent=agent.id, environment_id=environment.id)


def test_an_environment_says_what_it_allows(beta: Any) -> None:
    shut = beta.environments.create(name="e", config={"type": "cloud", "networking": {"type": "limited"}})
    plain = beta.environments.create(name="p", description="d", metadata={"k": "v"})

    assert shut.config.networking.to_dict() == {
        "type": "limited",
        "allowed_hosts": [],
        "allow_mcp_servers": False,
        "allow_package_managers": False,
    }
    assert (plain.config.networking.type, plain.description, plain.metadata) == ("unrestricted", "d", {"k": "v"})
    assert beta.environments.update(plain.id, name="q", metadata={"k": None}).metadata == {}


def test_packages_need_their_package_managers(beta: Any) -> None:
    config = {"type": "cloud", "networking": {"type": "limited"}, "packages": {"pip": ["requests"]}}
    with pytest.raises(anthropic.BadRequestError, match="allow_package_managers"):
        beta.environments.create(name="e", config=config)


def test_environments_are_archived_and_deleted(beta: Any) -> None:
    agent, environment = beta.agents.create(name="a", model=SONNET), beta.environments.create(name="e")
    assert beta.environments.archive(environment.id).archived_at is not None
    with pytest.raises(anthropic.BadRequestError) as archived:
        beta.sessions.create(agent=agent.id, environment_id=environment.id)
    assert beta.environments.delete(environment.id).type == "environment_deleted"
    with pytest.raises(anthropic.NotFoundError) as missing:
        beta.environments.retrieve(environment.id)

    assert archived.value.error_code == "environment_archived"
    assert missing.value.error_code == "environment_not_found"


def test_lists_come_in_pages_the_newest_first(alone: Any) -> None:
    made = [alone.agents.create(name=str(number), model=SONNET).id for number in range(5)]
    page = alone.agents.list(limit=2)

    assert [agent.id for agent in page.data] == made[:2:-1]
    assert [agent.id for agent in alone.agents.list(limit=2)] == made[::-1]
    alone.agents.archive(made[0])
    assert len(list(alone.agents.list())) == 4
    assert len(list(alone.agents.list(include_archived=True))) == 5


def test_sessions_are_found_by_agent_time_and_status(alone: Any, simulator: Simulator, client_of: Any) -> None:
    first, second = bench(client_of(simulator)), bench(client_of(simulator))
    ids = [desk.session(title=str(n)) for n, desk in enumerate([first, first, second])]
    middle = alone.sessions.retrieve(ids[1]).created_at

    def found(**query: Any) -> list[str]:
        return [session.id for session in alone.sessions.list(**query)]

    assert found() == ids[::-1]
    assert found(agent_id=first.agent_id, order="asc") == ids[:2]
    assert found(agent_id=first.agent_id, agent_version=2) == []
    assert found(created_at_gte=middle) == [ids[2], ids[1]]
    assert found(created_at_gt=middle, statuses=["idle"]) == [ids[2]]
    assert found(statuses=["running", "terminated"]) == []
    assert found(limit=1) == ids[::-1]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_sessions_may_be_archived_and_deleted_while_their_list_is_read(
    alone: Any, simulator: Simulator, client_of: Any, order: Any
) -> None:
    desk = bench(client_of(simulator))
    ids = [desk.session() for _ in range(7)]
    seen = []
    for number, session in enumerate(alone.sessions.list(limit=2, order=order, agent_id=desk.agent_id)):
        seen.append(session.id)
        (alone.sessions.archive if number % 2 else alone.sessions.delete)(session.id)

    assert seen == (ids if order == "asc" else ids[::-1])
    assert list(alone.sessions.list()) == []
    assert len(list(alone.sessions.list(include_archived=True))) == 3


def test_events_are_listed_by_type_time_page_and_order(client: anthropic.Anthropic, shop: Shop) -> None:
    desk = bench(client)
    session_id = desk.session(shop)
    call = next(e for e in desk.until_idle(session_id, message()) if e.type == "agent.custom_tool_use")
    desk.until_idle(session_id, accepted(call.id))
    listing = client.beta.sessions.events.list
    everything = [event.id for event in listing(session_id)]

    assert [event.id for event in listing(session_id, limit=3)] == everything
    assert [event.id for event in listing(session_id, order="desc", limit=7)] == everything[::-1]
    assert {event.type for event in listing(session_id, types=["user.message", "session.usage"])} == {
        "user.message",
        "session.usage",
    }
    since = [event.id for event in listing(session_id, created_at_gte=call.processed_at)]
    assert since == everything[everything.index(call.id) :]
    assert not list(listing(session_id, created_at_gt=dt.datetime(2999, 1, 1, tzinfo=dt.UTC)))


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 5000}, {"page": "x"}, {"order": "up"}, {"created_at[gte]": "x"}]
)
def test_a_list_refuses_what_it_does_not_understand(client: anthropic.Anthropic, query: dict[str, Any]) -> None:
    session_id = bench(client).session()
    with pytest.raises(anthropic.BadRequestError):
        client.beta.sessions.events.list(session_id, extra_query=query)


WRONG_EVENTS: list[dict[str, Any]] = [
    {"type": "user.message", "content": []},
    {"type": "user.message"},
    {"type": "user.message", "content": [{"type": "text", "text": ""}]},
    {"type": "agent.message", "content": []},
    {"type": "user.custom_tool_result", "custom_tool_use_id": "sevt_x"},
    {"type": "user.tool_confirmation", "tool_use_id": "sevt_x", "result": "allow"},
    {"type": "user.interrupt", "why": "x"},
]


@pytest.mark.parametrize("event", WRONG_EVENTS)
def test_an_event_that_makes_no_sense_is_refused_with_all_that_came_along(
    client: anthropic.Anthropic, event: Any
) -> None:
    desk = bench(client)
    session_id = desk.session()
    with pytest.raises(anthropic.BadRequestError):
        desk.send(session_id, message(), event)

    assert desk.events(session_id) == []


def test_what_does_not_exist_is_not_found(beta: Any) -> None:
    for missing in (
        lambda: beta.agents.retrieve("agent_x"),
        lambda: beta.sessions.retrieve("sesn_x"),
        lambda: beta.sessions.events.send("sesn_x", events=[message()]),
        lambda: beta.sessions.events.list("sesn_x"),
        lambda: beta.sessions.delete("sesn_x"),
    ):
        with pytest.raises(anthropic.NotFoundError) as caught:
            missing()
        assert caught.value.type == "not_found_error"


def test_managed_agents_need_their_beta_header(shared: Simulator) -> None:
    headers = {"x-api-key": "k", "anthropic-version": "2026-10-21"}
    response = httpx2.get(f"{shared.base_url}/v1/agents", headers=headers)

    assert response.status_code == 400
    assert "anthropic-beta" in response.json()["error"]["message"]


def test_a_session_is_updated_in_its_title_metadata_and_tools(client: anthropic.Anthropic) -> None:
    desk = bench(client)
    session_id = desk.session(metadata={"a": "1"})
    tools: Any = [toolset("read")]
    updated = client.beta.sessions.update(session_id, title="T", metadata={"b": "2"}, agent={"tools": tools})
    told = desk.events(session_id, "session.updated")

    assert (updated.title, updated.metadata) == ("T", {"a": "1", "b": "2"})
    assert len(updated.agent.tools) == 1
    assert len(told) == 1
    client.beta.sessions.update(session_id, title="T")
    assert len(desk.events(session_id, "session.updated")) == 1


def test_a_session_may_override_its_agent(client: anthropic.Anthropic) -> None:
    desk = bench(client)
    override: Any = {"type": "agent_with_overrides", "id": desk.agent_id, "model": "claude-haiku-4-5", "system": None}
    session = client.beta.sessions.create(agent=override, environment_id=desk.environment_id)

    assert (session.agent.model.id, session.agent.system) == ("claude-haiku-4-5", None)
    assert client.beta.agents.retrieve(desk.agent_id).model.id == SONNET
