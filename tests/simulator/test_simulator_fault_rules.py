"""Which request meets a fault, how faults are written down, and what a single request may ask for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, get_args

import anthropic
import pytest
from fault_driving import ASKED, Stage, asks, fault_names
from pydantic import ValidationError
from simulator_driving import INTERRUPT

from dispatcher.errors import InvalidSimulation
from dispatcher.simulator import Simulator
from dispatcher.simulator.faults import AnyFault, Cut, DropBefore, Faults, NonJson, Rule, SessionError, Status
from dispatcher.simulator.faults.vocabulary import OPERATIONS

CREATE = "messages.create"
BUSY = Status(status=529)
GUIDE = Path(__file__).parents[2] / "docs" / "simulator.md"


def pattern(stage: Stage, requests: int, *rules: Rule, **options: Any) -> str:
    """Which of so many requests failed: `x`, or `.` for those that went well."""
    seen = ""
    with stage.injected(*rules):
        for _ in range(requests):
            try:
                stage.create(**options)
                seen += "."
            except anthropic.APIError:
                seen += "x"
    return seen


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({}, "x....."),
        ({"at": 3}, "..x..."),
        ({"at": 2, "times": 3}, ".xxx.."),
        ({"every": True}, "xxxxxx"),
        ({"at": 4, "every": True}, "...xxx"),
    ],
)
def test_a_rule_counts_the_requests_that_fit(stage: Stage, words: dict[str, Any], expected: str) -> None:
    assert pattern(stage, 6, Rule(on=CREATE, fault=BUSY, **words)) == expected


def test_every_rule_counts_for_itself_and_the_first_one_strikes(stage: Stage) -> None:
    rules = (
        Rule(on=CREATE, fault=BUSY, at=2),
        Rule(on=CREATE, fault=DropBefore(), at=2),
        Rule(on=CREATE, fault=DropBefore(), at=3),
    )

    outcome = stage.meet(lambda: pattern(stage, 4), *rules)
    assert outcome.value == ".xx."
    assert fault_names(outcome) == ["status", "drop_before"]


def test_a_scenario_is_a_piece_of_a_users_message(stage: Stage) -> None:
    rule = Rule(on=CREATE, fault=BUSY, scenario="invoice", every=True)
    conversation: Any = [
        {"role": "user", "content": "Where is the invoice?"},
        {"role": "assistant", "content": "There."},
        {"role": "user", "content": "And the flags?"},
    ]

    assert pattern(stage, 2, rule) == ".."
    assert pattern(stage, 2, rule, messages=conversation) == "xx"


def test_a_scenario_of_a_session_is_its_metadata_its_id_or_its_messages(stage: Stage) -> None:
    desk = stage.desk()
    one, other = desk.session(metadata={"log": "log-1"}), desk.session(metadata={"log": "log-2"})
    retrieve = stage.client.beta.sessions.retrieve
    seen = []
    for scenario in ("log-1", other, "by the river"):
        with stage.injected(Rule(on="sessions.retrieve", fault=BUSY, scenario=scenario, every=True)):
            for session_id in (one, other):
                try:
                    seen.append(bool(retrieve(session_id)))
                except anthropic.APIError:
                    seen.append(False)
        desk.send(one, asks("What is by the river?"))

    assert seen == [False, True, True, False, False, True]


def test_a_rule_may_be_about_what_is_sent(stage: Stage) -> None:
    desk = stage.desk()
    session_id = desk.session()
    rule = Rule(on="events.send", sent="user.interrupt", fault=BUSY)
    sent = stage.meet(lambda: desk.send(session_id, asks()), rule)
    interrupted = stage.meet(lambda: desk.send(session_id, INTERRUPT), rule)

    assert (sent.error, sent.fired) == (None, ())
    assert isinstance(interrupted.error, anthropic.APIStatusError)


def test_threads_inject_and_meet_faults_at_once(stage: Stage) -> None:
    def inject() -> None:
        for _ in range(50):
            stage.simulator.inject(Rule(on=CREATE, fault=BUSY, scenario="never said"))

    threads = [threading.Thread(target=inject) for _ in range(4)]
    for thread in threads:
        thread.start()
    seen = pattern(stage, 20)
    for thread in threads:
        thread.join()

    assert seen == "." * 20
    assert pattern(stage, 1) == "."


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"on": "agents.list", "fault": Cut()}, "can't strike agents.list"),
        ({"on": "events.list", "fault": "drop_after"}, "can't strike events.list"),
        ({"on": "events.list", "fault": NonJson(applied=True)}, "changes nothing"),
        ({"on": "agents.list", "fault": BUSY, "scenario": "x"}, "carries no text"),
        ({"on": CREATE, "fault": BUSY, "sent": "user.message"}, "events.send only"),
        ({"on": CREATE, "fault": BUSY, "every": True, "times": 2}, "exclude each other"),
        (
            {"on": CREATE, "fault": {"name": "status", "status": 429, "retry_after_s": 1, "retry_after_ms": 1}},
            "exclude",
        ),
        ({"on": CREATE, "fault": {"name": "status", "status": 200}}, "greater than or equal to 400"),
        ({"on": CREATE, "fault": "explode"}, "does not match any of the expected tags"),
        ({"on": "messages.destroy", "fault": BUSY}, "Input should be"),
        ({"on": CREATE, "fault": BUSY, "at": 0}, "greater than or equal to 1"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(words: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Rule.model_validate(words)


FILE = """schema: 1
rules:
  - {on: messages.create, fault: drop_before, at: 2}
  - on: messages.create
    scenario: invoice
    every: true
    fault: {name: status, status: 429, retry_after_s: 1.5, should_retry: false}
  - on: events.stream
    fault: {name: cut, at_event: session.status_idle, how: clean}
  - {on: events.stream, fault: {name: silence, at_event: 3, seconds: 5, keepalive: ping}}
  - on: model_request
    fault: {name: session_error, error_type: model_overloaded_error, retry_status: exhausted}
"""


def test_a_file_declares_what_the_classes_do(tmp_path: Path) -> None:
    file = tmp_path / "faults.yml"
    file.write_text(FILE)
    rules = Faults.load(file).rules

    assert rules[0] == Rule(on=CREATE, fault=DropBefore(), at=2)
    assert rules[1].fault == Status(status=429, retry_after_s=1.5, should_retry=False)
    assert rules[2].fault == Cut(at_event="session.status_idle", how="clean")
    assert rules[4].fault == SessionError(error_type="model_overloaded_error", retry_status="exhausted")


def test_everything_wrong_with_a_file_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "faults.yml"
    file.write_text(
        "schema: 1\nextra: 1\nrules:\n"
        "  - {on: messages.destroy, fault: drop_before}\n"
        "  - {on: messages.create, fault: {name: status, status: 42, colour: red}}\n"
        "  - {on: events.list, fault: cut}\n"
        "  - {on: messages.create, fault: explode, surprise: 1}\n"
    )
    with pytest.raises(InvalidSimulation) as caught:
        Faults.load(file)
    told = "\n".join(caught.value.problems)

    assert caught.value.subject == str(file)
    for line, piece in [
        (2, "extra"),
        (4, "rules[0].on"),
        (5, "status.status"),
        (5, "colour: is not a known key"),
        (6, "the fault cut can't strike events.list"),
        (7, "explode"),
        (7, "surprise: is not a known key"),
    ]:
        assert any(problem.startswith(f"line {line}:") and piece in problem for problem in caught.value.problems), told


def test_a_simulator_starts_with_the_faults_of_its_configuration(simulation: Any, client_of: Any) -> None:
    with Simulator(simulation(faults=Faults((Rule(on=CREATE, fault=BUSY),)))) as simulator:
        stage = Stage(simulator, client_of(simulator))

        assert pattern(stage, 2) == "x."
        assert [(one.on, one.fault) for one in simulator.faults_fired] == [(CREATE, BUSY)]


def by_header(stage: Stage, header: str) -> Any:
    return stage.client.messages.create(**ASKED, extra_headers={"x-simulator-fault": header})


def test_a_request_asks_for_its_own_fault(stage: Stage) -> None:
    outcome = stage.meet(lambda: by_header(stage, "status; status=429; retry_after_s=7"))

    assert isinstance(outcome.error, anthropic.RateLimitError)
    assert outcome.error.response.headers["retry-after"] == "7"
    assert fault_names(outcome) == ["status"]
    assert pattern(stage, 2) == ".."


def test_a_request_asks_for_a_fault_of_its_reply(stage: Stage) -> None:
    outcome = stage.meet(lambda: by_header(stage, "max_tokens"))

    assert outcome.value.stop_reason == "max_tokens"
    assert pattern(stage, 1) == "."


def test_a_request_that_sends_events_asks_for_a_fault_of_its_session(stage: Stage) -> None:
    desk = stage.desk()
    session_id, other = desk.session(), desk.session()
    header = {"x-simulator-fault": "session_error; error_type=unknown_error; retry_status=exhausted"}
    stage.client.beta.sessions.events.send(session_id=session_id, events=[asks()], extra_headers=header)  # type: ignore[list-item]
    untouched = desk.until_idle(other, asks())
    desk.settled(session_id)

    assert untouched[-1].stop_reason.type == "requires_action"
    assert desk.events(session_id, "session.status_idle")[0].stop_reason.type == "retries_exhausted"


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("explode", "expected tags"),
        ("status", "Field required"),
        ("status; status", "field=value"),
        ("cut; at_event=0", "greater than or equal to 1"),
        ("duplicate", "can't strike messages.create"),
    ],
)
def test_a_header_that_makes_no_sense_is_a_bad_request(stage: Stage, header: str, sentence: str) -> None:
    error: Any = stage.meet(lambda: by_header(stage, header)).error

    assert isinstance(error, anthropic.BadRequestError)
    assert sentence in error.api_message


def test_the_guide_names_every_fault_and_every_operation() -> None:
    guide = GUIDE.read_text()
    names = [kind.model_fields["name"].default for kind in get_args(AnyFault)]

    assert len(set(names)) == len(names)
    assert [name for name in names if f"| `{name}` |" not in guide] == []
    assert [on for on in OPERATIONS if f"`{on}`" not in guide] == []


def test_the_guides_example_is_a_fault_file(tmp_path: Path) -> None:
    example = GUIDE.read_text().partition("```yaml\n")[2].partition("```")[0]
    file = tmp_path / "faults.yml"
    file.write_text(example)

    assert len(Faults.load(file).rules) == example.count("- on:")
