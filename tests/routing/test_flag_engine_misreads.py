"""What the engine can't read never comes into force: it says nothing then, and loses a flag or lifts a brake."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flag_edits import problems_of
from hypothesis import given, settings
from hypothesis import strategies as st
from routing_documents import FLAG, KILL, ask, document, engine, only, rule, text

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flags.answer import FlagState
from dispatcher.routing.flags.constraint import Constraint
from dispatcher.routing.flags.document import FlagDocument
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.reader import read_flag_document
from dispatcher.routing.flags.state import compile_state


def constrained(operator: str, value: str, field: str = "tenantId") -> dict[str, Any]:
    return rule({"contextName": field, "operator": operator, "value": value})


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("SEMVER_EQ", "01.2.3"),
        ("SEMVER_EQ", "1.2.3-01"),
        ("SEMVER_GT", "1.2.3-a..b"),
        ("SEMVER_LT", "99999999999999999999.1.1"),
        ("DATE_AFTER", "2020-01-01T00:00:00.5Z"),
    ],
)
def test_a_value_that_the_engine_makes_nothing_of_is_refused(operator: str, value: str) -> None:
    assert any(repr(value) in problem for problem in problems_of(text(document(constrained(operator, value)))))


@pytest.mark.parametrize("number", [2**31, 2**70, -(2**31) - 1])
def test_a_segment_whose_number_the_engine_does_not_take_is_refused(number: int) -> None:
    segments = [{"id": number, "name": "s", "constraints": [only("acme")]}]

    assert problems_of(text({**document({**rule(), "segments": [number]}), "segments": segments}))


VERSIONS = st.from_regex(r"[0-9]{1,3}\.[0-9]{1,21}\.[0-9](-[0-9a.A-]{1,6})?(\+[0-9a.-]{1,6})?", fullmatch=True)
DATES = st.from_regex(
    r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,12})?Z", fullmatch=True
)
NUMBERS = st.from_regex(r"[+-]?[0-9]{1,400}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,5})?", fullmatch=True)


@settings(max_examples=150)
@given(
    st.tuples(st.sampled_from(["SEMVER_EQ", "SEMVER_LT"]), VERSIONS)
    | st.tuples(st.sampled_from(["DATE_AFTER", "DATE_BEFORE"]), DATES)
    | st.tuples(st.sampled_from(["NUM_EQ", "NUM_GTE"]), NUMBERS)
)
def test_every_value_that_is_not_refused_is_read_by_the_engine(given_: tuple[str, str]) -> None:
    content = text(document(constrained(*given_, field="currentTime" if "DATE" in given_[0] else "tenantId")))
    try:
        read = read_flag_document(content, "flags.json", [FLAG])
    except InvalidFlags:
        return

    assert ask(FlagEngine(compile_state(read, [FLAG]))).state is not FlagState.ERROR


def misread(content: dict[str, Any], place: int) -> FlagDocument:
    """The document, with a condition in one of its flags that our reading let through and the engine can't read."""
    read = read_flag_document(text(content), "flags.json", [FLAG])
    unread = Constraint.model_construct(
        context_name="tenantId", operator="SEMVER_EQ", value="01.2.3", values=[], inverted=False, case_insensitive=False
    )
    name = content["features"][place]["name"]
    feature = read.features[name]
    strategies = [feature.strategies[0].model_copy(update={"constraints": [unread]})]
    return replace(read, features={**read.features, name: feature.model_copy(update={"strategies": strategies})})


@pytest.mark.parametrize("place", [0, 1])
def test_rules_that_the_engine_cannot_read_are_refused_a_brakes_too(place: int) -> None:
    """The engine would take a parent that must be off for off, and lift the brake without a word."""
    content = document(rule(), kill=True)

    with pytest.raises(InvalidFlags, match=KILL if place == 0 else FLAG):
        FlagEngine(compile_state(misread(content, place), [FLAG]))


def test_a_flag_that_is_off_is_off_whatever_the_engine_makes_of_its_rules() -> None:
    asked = FlagEngine(compile_state(misread(document(rule(), enabled=False), 1), [FLAG]))

    assert ask(asked).state is FlagState.OFF


def test_a_title_is_told_in_every_decision_and_so_it_is_cut() -> None:
    assert ask(engine(document(rule(title="t" * 100_000)))).rule == "t" * 200
