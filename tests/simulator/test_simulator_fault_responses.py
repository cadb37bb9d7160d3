"""Faults of a whole response, as the SDK sees them, and what they cost."""

from __future__ import annotations

import datetime as dt
from email.utils import parsedate_to_datetime
from typing import Any

import anthropic
import httpx2
import pytest
from fault_driving import ASKED, Stage, asks, fault_names
from simulator_driving import SONNET

from dispatcher.simulator import Simulator
from dispatcher.simulator.faults import DropAfter, DropBefore, Faults, NonJson, Rule, SlowHeaders, Stall, Status
from dispatcher.simulator.faults.vocabulary import REQUESTS

CREATE = "messages.create"


@pytest.mark.parametrize(
    ("status", "expected", "error_type"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (409, anthropic.ConflictError, "conflict_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic.InternalServerError, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
def test_an_error_status_is_the_sdks_exception_and_costs_nothing(
    stage: Stage, status: int, expected: type[anthropic.APIStatusError], error_type: str, streams: bool
) -> None:
    rule = Rule(on=CREATE, fault=Status(status=status))
    outcome = stage.meet(stage.stream if streams else stage.create, rule)

    assert isinstance(outcome.error, expected)
    assert (outcome.error.status_code, outcome.error.type) == (status, error_type)
    assert outcome.error.request_id == outcome.fired[0].request_id
    assert (fault_names(outcome), outcome.charged) == (["status"], ())


def test_the_spend_limit_has_its_code(stage: Stage) -> None:
    fault = Status(status=429, error_code="enforced_spend_limit_reached")
    outcome = stage.meet(stage.create, Rule(on=CREATE, fault=fault))

    assert isinstance(outcome.error, anthropic.EnforcedSpendLimitReachedError)
    assert "retry-after" not in outcome.error.response.headers


@pytest.mark.parametrize(
    ("fault", "name", "value"),
    [
        (Status(status=429, retry_after_s=7), "retry-after", "7"),
        (Status(status=429, retry_after_s=1.5), "retry-after", "1.5"),
        (Status(status=429, retry_after_s=3600), "retry-after", "3600"),
        (Status(status=429, retry_after_ms=250), "retry-after-ms", "250"),
        (Status(status=400, should_retry=True), "x-should-retry", "true"),
        (Status(status=529, should_retry=False), "x-should-retry", "false"),
    ],
)
def test_a_status_says_when_to_try_again(stage: Stage, fault: Status, name: str, value: str) -> None:
    error: Any = stage.meet(stage.create, Rule(on=CREATE, fault=fault)).error

    assert error.response.headers[name] == value


def test_retry_after_may_be_a_date(stage: Stage) -> None:
    fault = Status(status=503, retry_after_date_s=90)
    error: Any = stage.meet(stage.create, Rule(on=CREATE, fault=fault)).error
    wait = parsedate_to_datetime(error.response.headers["retry-after"]) - dt.datetime.now(dt.UTC)

    assert dt.timedelta(seconds=80) < wait <= dt.timedelta(seconds=90)


def test_the_sdk_itself_obeys_should_retry_and_retry_after(stage: Stage) -> None:
    client = stage.client.with_options(max_retries=1)
    fault = Status(status=400, should_retry=True, retry_after_ms=1)
    answered = stage.meet(lambda: client.messages.create(**ASKED), Rule(on=CREATE, fault=fault))

    assert (answered.error, len(answered.charged), fault_names(answered)) == (None, 1, ["status"])


def test_a_proxys_page_is_the_message_of_the_error(stage: Stage) -> None:
    outcome = stage.meet(stage.create, Rule(on=CREATE, fault=Status(status=502, html=True)))

    assert isinstance(outcome.error, anthropic.InternalServerError)
    assert outcome.error.type is None
    assert "<h1>502</h1>" in str(outcome.error)


@pytest.mark.parametrize("streams", [False, True])
def test_a_connection_that_drops_before_the_headers_applied_nothing(stage: Stage, streams: bool) -> None:
    outcome = stage.meet(stage.stream if streams else stage.create, Rule(on=CREATE, fault=DropBefore()))

    assert isinstance(outcome.error, anthropic.APIConnectionError)
    assert isinstance(outcome.error.__cause__, httpx2.RemoteProtocolError)
    assert (fault_names(outcome), outcome.charged) == (["drop_before"], ())


@pytest.mark.parametrize("streams", [False, True])
def test_a_connection_that_drops_after_a_request_was_applied_costs_all_of_it(stage: Stage, streams: bool) -> None:
    whole = stage.meet(stage.create)
    dropped = stage.meet(stage.stream if streams else stage.create, Rule(on=CREATE, fault=DropAfter()))

    assert isinstance(dropped.error, anthropic.APIConnectionError)
    assert (dropped.delivered, whole.delivered) == (["none"], ["whole"])
    assert [entry.usage for entry in dropped.charged] == [entry.usage for entry in whole.charged]
    assert dropped.charged[0].question == ASKED["messages"][0]["content"]


def test_a_session_whose_creation_was_never_answered_is_there_all_the_same(stage: Stage) -> None:
    desk = stage.desk()
    mark = {"log": "orphan-1"}
    outcome = stage.meet(lambda: desk.session(metadata=mark), Rule(on="sessions.create", fault=DropAfter()))
    left = [one.id for one in stage.client.beta.sessions.list(agent_id=desk.agent_id) if one.metadata == mark]

    assert isinstance(outcome.error, anthropic.APIConnectionError)
    assert (len(left), outcome.charged) == (1, ())


def test_a_message_that_was_sent_twice_after_a_drop_is_two_turns(stage: Stage) -> None:
    desk = stage.desk()
    session_id = desk.session()
    rule = Rule(on="events.send", sent="user.message", fault=DropAfter())
    outcome = stage.meet(lambda: desk.send(session_id, asks()), rule)
    desk.send(session_id, asks())
    desk.settled(session_id)

    assert isinstance(outcome.error, anthropic.APIConnectionError)
    assert outcome.fired[0].session_id == session_id
    assert len(desk.events(session_id, "user.message")) == 2


def test_a_session_that_was_dropped_before_its_creation_is_not_there(stage: Stage) -> None:
    desk = stage.desk()
    outcome = stage.meet(desk.session, Rule(on="sessions.create", fault=DropBefore()))

    assert isinstance(outcome.error, anthropic.APIConnectionError)
    assert list(stage.client.beta.sessions.list(agent_id=desk.agent_id)) == []


@pytest.mark.parametrize("applied", [False, True])
def test_a_page_that_is_no_json_comes_back_as_a_string(stage: Stage, applied: bool) -> None:
    outcome = stage.meet(stage.create, Rule(on=CREATE, fault=NonJson(applied=applied)))

    assert isinstance(outcome.value, str)
    assert outcome.delivered == (["none"] if applied else [])


@pytest.mark.parametrize("applied", [False, True])
def test_a_stalled_response_lasts_until_the_client_gives_up(stage: Stage, applied: bool) -> None:
    client = stage.client.with_options(timeout=0.2)
    rule = Rule(on=CREATE, fault=Stall(applied=applied))
    outcome = stage.meet(lambda: client.messages.create(**ASKED), rule)

    assert isinstance(outcome.error, anthropic.APITimeoutError)
    assert outcome.delivered == (["none"] if applied else [])


def test_a_status_can_come_after_the_request_was_applied(stage: Stage) -> None:
    desk = stage.desk()
    session_id = desk.session()
    rule = Rule(on="events.send", fault=Status(status=504, applied=True))
    outcome = stage.meet(lambda: desk.send(session_id, asks()), rule)
    desk.settled(session_id)

    assert isinstance(outcome.error, anthropic.InternalServerError)
    assert len(desk.events(session_id, "user.message")) == 1


def test_slow_headers_come_late_and_nothing_else_is_wrong(simulation: Any, client_of: Any) -> None:
    faults = Faults((Rule(on=CREATE, fault=SlowHeaders(seconds=1000), at=2),))
    with Simulator(simulation(time_scale=0.002, faults=faults)) as simulator:
        client = client_of(simulator, timeout=0.5)
        small = {**ASKED, "model": SONNET, "max_tokens": 1}
        first = client.messages.create(**small)
        with pytest.raises(anthropic.APITimeoutError):
            client.messages.create(**small)
        third = client.messages.create(**small)

        assert first.usage.output_tokens == third.usage.output_tokens == 1
        assert [one.fault.name for one in simulator.faults_fired] == ["slow_headers"]


async def test_the_asynchronous_client_sees_the_same(stage: Stage) -> None:
    rules = [Rule(on=CREATE, fault=fault) for fault in (Status(status=529), DropBefore())]
    seen = []
    async with anthropic.AsyncAnthropic(api_key="key-1", base_url=stage.client.base_url, max_retries=0) as client:
        for rule in rules:
            with stage.injected(rule), pytest.raises(anthropic.APIError) as caught:
                await client.messages.create(**ASKED)
            seen.append(type(caught.value).__name__)

    assert seen == ["OverloadedError", "APIConnectionError"]


def _requests(stage: Stage) -> dict[str, Any]:
    """Every request of the API, on resources that exist."""
    beta, desk = stage.client.beta, stage.desk()
    session_id = desk.session()
    agent, environment = desk.agent_id, desk.environment_id
    return {
        "messages.create": stage.create,
        "messages.count_tokens": lambda: stage.client.messages.count_tokens(
            model=SONNET, messages=[{"role": "user", "content": "x"}]
        ),
        "agents.create": lambda: beta.agents.create(name="a", model=SONNET),
        "agents.list": lambda: list(beta.agents.list()),
        "agents.retrieve": lambda: beta.agents.retrieve(agent),
        "agents.update": lambda: beta.agents.update(agent, version=1, name="b"),
        "agents.list_versions": lambda: list(beta.agents.versions.list(agent)),
        "environments.create": lambda: beta.environments.create(name="e"),
        "environments.list": lambda: list(beta.environments.list()),
        "environments.retrieve": lambda: beta.environments.retrieve(environment),
        "environments.update": lambda: beta.environments.update(environment, name="f"),
        "sessions.create": desk.session,
        "sessions.list": lambda: list(beta.sessions.list()),
        "sessions.retrieve": lambda: beta.sessions.retrieve(session_id),
        "sessions.update": lambda: beta.sessions.update(session_id, title="t"),
        "events.send": lambda: desk.send(session_id, {"type": "user.interrupt"}),
        "events.list": lambda: desk.events(session_id),
        "events.stream": lambda: beta.sessions.events.stream(session_id=session_id),
        "sessions.archive": lambda: beta.sessions.archive(session_id),
        "sessions.delete": lambda: beta.sessions.delete(session_id),
        "environments.archive": lambda: beta.environments.archive(environment),
        "environments.delete": lambda: beta.environments.delete(environment),
        "agents.archive": lambda: beta.agents.archive(agent),
    }


def test_every_request_of_the_vocabulary_can_be_struck(stage: Stage) -> None:
    requests = _requests(stage)
    struck = {}
    for on, act in requests.items():
        outcome = stage.meet(act, Rule(on=on, fault=Status(status=529)))
        struck[on] = (type(outcome.error).__name__, [one.on for one in outcome.fired])

    assert set(requests) == REQUESTS
    assert struck == {on: ("OverloadedError", [on]) for on in requests}
