"""Whatever is sent, the simulator answers as the API would: it serves or it refuses, it never falls over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulator_driving import FORMAT, HAIKU, SUBMIT, TOOLS, github, message, toolset

from dispatcher.simulator import Simulator

HEADERS = {"x-api-key": "k", "anthropic-version": "2026-10-21", "anthropic-beta": "managed-agents-2026-04-01"}
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 70_000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "x", "user"])
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
FUZZ = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of a JSON value with something else at one place."""
    if not path:
        return new
    head, *rest = path
    if isinstance(value, dict):
        return {key: replaced(one, tuple(rest), new) if key == head else one for key, one in value.items()}
    return [replaced(one, tuple(rest), new) if index == head else one for index, one in enumerate(value)]


CALL = {"type": "tool_use", "id": "toolu_1", "name": "search_code", "input": {"pattern": "flag"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "a.py:1: flag"}]}
MARKER = {"cache_control": {"type": "ephemeral", "ttl": "5m"}}
MESSAGES = {
    "model": HAIKU,
    "max_tokens": 500,
    "system": [{"type": "text", "text": "x", **MARKER}],
    "messages": [
        {"role": "user", "content": "Where are flags evaluated?"},
        {"role": "assistant", "content": [CALL]},
        {"role": "user", "content": [RESULT]},
    ],
    "tools": [*TOOLS, {**SUBMIT, **MARKER}],
    "tool_choice": {"type": "tool", "name": "search_code"},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "output_config": FORMAT,
    "stop_sequences": ["zzz"],
    "metadata": {"user_id": "u"},
    "stream": False,
}
AGENT = {
    "name": "a",
    "model": {"id": HAIKU, "effort": {"type": "low"}},
    "system": "s",
    "tools": [toolset("read", permission_policy={"type": "always_ask"}), SUBMIT],
    "metadata": {"k": "v"},
}
ENVIRONMENT = {
    "name": "e",
    "config": {"type": "cloud", "networking": {"type": "limited", "allowed_hosts": ["x"]}, "packages": {"pip": []}},
}


def mutations(body: Any) -> st.SearchStrategy[Any]:
    return st.tuples(st.sampled_from(list(places(body))), ANYTHING).map(lambda change: replaced(body, *change))


@pytest.fixture(scope="module")
def wire(shared: Simulator) -> Iterator[httpx2.Client]:
    with httpx2.Client(headers=HEADERS, trust_env=False, base_url=shared.base_url) as client:
        yield client


def answers(wire: httpx2.Client, path: str, body: Any) -> Any:
    response = wire.post(path, json=body)

    assert response.status_code in (200, 400, 404, 409), (response.text, body)
    return response.json()


@FUZZ
@given(mutations(MESSAGES) | mutations({**MESSAGES, "tool_choice": None, "thinking": None}))
def test_any_message_request_is_answered(wire: httpx2.Client, body: Any) -> None:
    answers(wire, "/v1/messages", body)


@FUZZ
@given(mutations(AGENT), mutations(AGENT))
def test_any_agent_is_answered(wire: httpx2.Client, body: Any, change: Any) -> None:
    made = answers(wire, "/v1/agents", body)
    if "id" in made:
        answers(wire, f"/v1/agents/{made['id']}", change)


@FUZZ
@given(mutations(ENVIRONMENT), mutations(ENVIRONMENT))
def test_any_environment_is_answered(wire: httpx2.Client, body: Any, change: Any) -> None:
    made = answers(wire, "/v1/environments", body)
    if "id" in made:
        answers(wire, f"/v1/environments/{made['id']}", change)


@FUZZ
@given(st.data())
def test_any_session_and_event_is_answered(wire: httpx2.Client, data: st.DataObject) -> None:
    agent = answers(wire, "/v1/agents", AGENT)
    session = {
        "agent": {"type": "agent_with_overrides", "id": agent["id"], "version": 1, "tools": [SUBMIT]},
        "environment_id": answers(wire, "/v1/environments", ENVIRONMENT)["id"],
        "resources": [github("0" * 40)],
        "budget": {"type": "limit", "max_list_cost": {"amount": "50", "currency": "USD"}},
        "initial_events": [],
        "metadata": {},
    }
    made = answers(wire, "/v1/sessions", data.draw(mutations(session)))
    if "id" in made:
        answers(
            wire,
            f"/v1/sessions/{made['id']}/events",
            data.draw(mutations({"events": [message(), {"type": "user.interrupt"}]})),
        )
        answers(wire, f"/v1/sessions/{made['id']}", data.draw(mutations({"title": "t", "budget": session["budget"]})))
