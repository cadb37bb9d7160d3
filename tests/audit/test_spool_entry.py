"""The spool's entries as texts: what is written is what is read, to the last digit."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import Any

import pytest
from attempts import BEGAN, a_call, an_ending, an_opening
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.action.observation import Call, Status, Usage
from dispatcher.audit.record import AttemptEnding, AttemptOpening, Kept, Role
from dispatcher.audit.spool_entry import entry_of, why_it_cannot_wait
from dispatcher.audit.spool_text import (
    ENDED,
    OPENING,
    SESSION,
    UnreadableEntry,
    ending_text,
    opening_text,
    session_text,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MOMENTS = st.datetimes(timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=-5, minutes=30))]))
FIGURES = st.integers(-(2**63), 2**63 - 1)
BY_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "str": TEXTS,
    "str | None": TEXTS | st.none(),
    "int": FIGURES,
    "int | None": FIGURES | st.none(),
    "bool": st.booleans(),
    "bool | None": st.booleans() | st.none(),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "float | None": st.floats(allow_nan=False, allow_infinity=False) | st.none(),
    "dt.datetime": MOMENTS,
    "dt.datetime | None": MOMENTS | st.none(),
    "Usage": st.builds(Usage, **{field.name: FIGURES | st.none() for field in dataclasses.fields(Usage)}),
}


def any_of(kind: type[Any], plain: Any) -> st.SearchStrategy[Any]:
    """Any value of a class; fields of a closed vocabulary are those of a plain one."""
    chosen = {
        field.name: BY_TYPE[str(field.type)] if str(field.type) in BY_TYPE else st.just(getattr(plain, field.name))
        for field in dataclasses.fields(kind)
    }
    return st.builds(kind, **chosen)


def as_values(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


@given(any_of(AttemptOpening, an_opening()))
def test_an_opening_is_read_as_it_was_written(opening: AttemptOpening) -> None:
    assert entry_of("id", 1, opening_text(opening), None, None).opening == as_values(opening)


@given(
    any_of(AttemptEnding, an_ending()),
    st.lists(any_of(Call, a_call()), max_size=3),
    any_of(Kept, Kept()) | st.none(),
)
def test_an_ending_is_read_as_it_was_written(ending: AttemptEnding, made: list[Call], kept: Kept | None) -> None:
    entry = entry_of("id", 1, None, None, ending_text(ending, made, kept))
    assert (entry.as_ending(), entry.as_calls(), entry.kept) == (ending, made, kept)


@pytest.mark.parametrize("known", [None, "of the ending"])
def test_the_session_that_was_noted_stays_where_the_ending_does_not_know_it(known: str | None) -> None:
    ending = an_ending(session_id=known, agent_id=known, agent_version=None)
    entry = entry_of("id", 1, None, session_text("noted", "noted", 7), ending_text(ending, [], None))
    row = entry.row()
    assert [known or "noted", known or "noted", 7] == [row[name] for name in SESSION]


def test_an_opening_alone_is_compared_with_what_an_ending_leaves_of_it() -> None:
    opening = an_opening()
    entry = entry_of(opening.log_id, 1, opening_text(opening), None, None)
    ended = as_values(opening) | {"status": "success", "transcript_form": "session"}
    assert entry.differences(ended, []) == []
    assert entry.differences(ended | {"status": "started"}, []) == ["transcript_form"]
    assert entry.differences(ended | {"tenant": "acme"}, []) == ["tenant"]


def test_an_ending_without_a_session_contradicts_none_that_was_noted_before() -> None:
    ending = an_ending(session_id=None)
    entry = entry_of("id", 1, None, None, ending_text(ending, [], None))
    row = {"log_id": "id"} | as_values(ending)
    assert [entry.differences(row | {"session_id": noted}, []) for noted in (None, "sesn_1")] == [[], []]
    assert entry.differences(row | {"agent_id": "another"}, []) == ["agent_id"]


def test_unknown_is_not_zero_in_a_comparison() -> None:
    ending = an_ending(cost_nanousd=None)
    entry = entry_of("id", 1, None, None, ending_text(ending, [], None))
    assert entry.differences({"log_id": "id"} | as_values(ending) | {"cost_nanousd": 0}, []) == ["cost_nanousd"]


def of_another_program(text: str, names: tuple[tuple[str, ...], ...]) -> tuple[str, dict[str, str]]:
    """A text whose values have other names than this program's, and what the file keeps of them."""
    mark, *body = json.loads(text)
    assert mark in {OPENING.mark, ENDED.mark}
    return json.dumps(["another", *body]), {"another": json.dumps(names)}


def test_what_an_earlier_program_did_not_know_is_unknown() -> None:
    mark, ending, made, kept = json.loads(ending_text(an_ending(), [a_call()], None))
    place = ENDED.names[0].index("repairs")
    del ending[place]
    names = (ENDED.names[0][:place] + ENDED.names[0][place + 1 :], *ENDED.names[1:])
    text, shapes = of_another_program(json.dumps([mark, ending, made, kept]), names)
    entry = entry_of("id", 1, None, None, text, shapes)
    assert (entry.ending or {})["repairs"] is None
    assert (entry.as_ending().status, entry.as_calls()) == (Status.SUCCESS, [a_call()])


def test_values_are_read_by_the_names_that_the_file_keeps_of_them() -> None:
    """Whatever order another program had them in."""
    opening = an_opening()
    mark, *values = json.loads(opening_text(opening))
    text, shapes = of_another_program(json.dumps([mark, *reversed(values)]), (OPENING.names[0][::-1],))
    assert entry_of("id", 1, text, None, None, shapes).opening == as_values(opening)


def test_what_a_newer_program_knows_is_not_cut_off() -> None:
    mark, *values = json.loads(opening_text(an_opening()))
    text, shapes = of_another_program(json.dumps([mark, *values, "good"]), ((*OPENING.names[0], "mood"),))
    with pytest.raises(UnreadableEntry, match="a newer program wrote it, this one doesn't know mood"):
        entry_of("id", 1, text, None, None, shapes)


def test_what_the_first_version_of_the_file_holds_is_read() -> None:
    opening, ending = an_opening(), an_ending()
    texts = [as_values(opening), {"ending": as_values(ending), "calls": [], "kept": None}]
    written = [json.dumps(text, default=dt.datetime.isoformat) for text in texts]
    session = json.dumps(dict(zip(SESSION, ("sesn_1", "agent_1", 7), strict=True)))
    entry = entry_of("id", 3, written[0], session, written[1])
    assert (entry.opening, entry.as_ending()) == (as_values(opening), ending)
    assert entry.session == {"session_id": "sesn_1", "agent_id": "agent_1", "agent_version": 7}


@pytest.mark.parametrize(
    ("opening", "ended"),
    [
        ("{", None),
        ("[]", None),
        ("7", None),
        ('["another", 1]', None),
        (f'["{OPENING.mark}", 1]', None),
        ('{"mood": "good"}', None),
        ('{"created_at": "yesterday"}', None),
        (None, "{}"),
        (None, f'["{ENDED.mark}", [], [], null]'),
        (None, '{"ending": {}, "calls": [{"mood": "good"}], "kept": null}'),
    ],
)
def test_what_this_program_cannot_have_written_is_not_read(opening: str | None, ended: str | None) -> None:
    with pytest.raises(UnreadableEntry):
        entry_of("id", 1, opening, None, ended)


def test_a_plain_attempt_may_wait_and_a_later_one_of_a_dispatch_too() -> None:
    later = an_opening(attempt=2, role=Role.FALLBACK, conversation_id="c", turn=3, created_at=BEGAN)
    assert [why_it_cannot_wait(opening) for opening in (an_opening(), later)] == [None, None]
