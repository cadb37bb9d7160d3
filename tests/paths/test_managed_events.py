"""The reducer over a session's events: how they were delivered changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from managed_world import make_caps
from session_scripts import (
    AWAIT_ANSWER,
    INVALID_REPORT,
    MESSAGE_ID,
    REPORT,
    SUBMITS,
    Event,
    custom_use,
    echo,
    error,
    idle,
    interrupt,
    message,
    request_end,
    request_start,
    requires,
    tool_result,
    tool_use,
)

from dispatcher.paths.managed.ending import outcome_of
from dispatcher.paths.managed.event import loses_repository
from dispatcher.paths.managed.events import Stop, Submission, TurnState, reduce
from dispatcher.paths.managed.steps import Done, Halt, Respond, Wait, next_step, responded

START = TurnState(caps=make_caps(3), message_id=MESSAGE_ID)


def after(events: Sequence[Event], state: TurnState = START) -> TurnState:
    for event in events:
        state = reduce(state, event)
    return state


def told(state: TurnState) -> TurnState:
    """What the events said, without the ids by which they were told apart."""
    return replace(state, seen=frozenset())


def _numbered(events: Sequence[Event]) -> list[Event]:
    """Events with ids of their own, behind our message."""
    return [echo(), *({**event, "id": f"sevt_{number}"} for number, event in enumerate(events))]


_ANY_EVENT = st.sampled_from(
    [
        request_start(1),
        request_end(1),
        tool_use("t"),
        tool_result("t"),
        custom_use("c", REPORT),
        custom_use("c", INVALID_REPORT),
        message("m", "Looking."),
        interrupt(),
        error("model_overloaded_error", "retrying"),
        error("repository_clone_error", "retrying"),
        error("billing_error"),
        requires("i", "sevt_3"),
        idle("i"),
        idle("i", "refusal"),
        {"type": "session.status_terminated"},
        {"type": "agent.dreamt", "content": 1},
    ]
)
HISTORIES = st.lists(_ANY_EVENT, max_size=25).map(_numbered)


@given(HISTORIES, st.data())
def test_events_delivered_again_change_nothing(history: list[Event], data: st.DataObject):
    """A live part, the whole history after a reconnect, and a tail that overlaps it, as often as it happens."""
    delivered: list[Event] = []
    for _ in range(data.draw(st.integers(0, 3))):
        delivered += history[: data.draw(st.integers(0, len(history)))]
    delivered += history + history[data.draw(st.integers(0, len(history))) :]

    assert after(delivered) == after(history)


@given(HISTORIES, st.lists(_ANY_EVENT, max_size=5))
def test_nothing_before_our_message_counts_but_the_loss_of_the_repository(history: list[Event], before: list[Event]):
    lost = [event for event in before if loses_repository(event)]

    assert after([*before, *history]) == after([*lost, *history])
    assert bool(lost) <= (after([*before, *history]).repository_error is not None)


@given(HISTORIES, st.integers(0, 25))
def test_deltas_and_unknown_events_say_nothing(history: list[Event], where: int):
    delta = {"type": "event_delta", "event_id": "sevt_1", "delta": {"type": "content_delta"}}
    unknown = {"type": "agent.dreamt", "id": "sevt_dream", "stop_reason": {"type": "end_turn"}}
    with_strangers = [*history[: where + 1], delta, unknown, *history[where + 1 :]]

    assert told(after(with_strangers)) == told(after(history))


@given(HISTORIES)
def test_every_state_has_a_next_step_and_every_end_an_outcome(history: list[Event]):
    state = after(history)
    step = next_step(state)
    if isinstance(step, Halt):
        state = replace(state, stopped=step.stop)
    if isinstance(step, Respond):
        state = responded(state, step)

    if isinstance(step, Done | Halt) or state.accepted is not None:
        outcome = outcome_of(state)
        assert (outcome.output is None) == (outcome.error_type is not None)


@given(HISTORIES)
def test_an_interrupt_without_an_accepted_report_is_never_a_success(history: list[Event]):
    state = after([*history, interrupt("sevt_last")])
    if isinstance(next_step(state), Done):
        assert outcome_of(state).output is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from([event["type"] for event in SUBMITS] + ["session.error", "agent.message", "user.interrupt"]),
)
def test_an_event_of_any_form_is_survived(value: object, kind: str):
    """Nothing in a response is validated."""
    names = ("id", "content", "error", "stop_reason", "input", "name", "model_request_start_id", "custom_tool_use_id")
    state = after([echo(), request_start(1), {"type": kind, **dict.fromkeys(names, value)}])

    assert next_step(state) is not None
    assert next_step(after([echo(), {"type": value, "id": kind}])) is not None


def test_the_same_state_comes_back_where_an_event_says_nothing_new():
    state = after(SUBMITS[:4])

    assert all(reduce(state, event) is state for event in SUBMITS[:4])


def test_our_own_interrupt_is_not_somebody_elses():
    stopped = replace(after(SUBMITS[:3]), stopped=Stop.ITERATION_CAP)

    assert not after([interrupt(""), interrupt("sevt_other")], stopped).interrupted


def test_a_report_is_accepted_at_the_moment_it_is_read():
    state = after(SUBMITS[: SUBMITS.index(AWAIT_ANSWER)])
    step = next_step(state)
    assert isinstance(step, Respond)

    accepted = responded(state, step).accepted
    assert isinstance(accepted, Submission)
    assert accepted.report.model_dump(mode="json") == REPORT


def test_what_was_answered_is_not_answered_again():
    asked = after([echo(), request_start(1), custom_use("c", INVALID_REPORT), request_end(1), requires("i", "c")])
    step = next_step(asked)
    assert isinstance(step, Respond)

    assert next_step(responded(asked, step)) == Wait()
    assert (
        next_step(after([{"type": "user.custom_tool_result", "id": "r", "custom_tool_use_id": "c"}], asked)) == Wait()
    )


def test_the_last_allowed_reply_is_given_a_moment_to_be_announced_in_full():
    script = [echo(), *(request_start(number) for number in (1, 2, 3)), tool_use("t"), request_end(3)]
    state = after(script)

    assert next_step(state) == Wait(settling=True)
    assert next_step(state, quiet=True) == Halt(Stop.ITERATION_CAP)
    assert next_step(after([custom_use("c", REPORT)], state), quiet=True) == Wait()
    assert next_step(after([request_start(4)], state)) == Halt(Stop.ITERATION_CAP)
