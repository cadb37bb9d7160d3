"""A server's document: refused where it would mislead, off for what nobody knows, and a brake always gets through."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from flag_edits import (
    Edit,
    drop,
    each,
    first_constraint,
    first_parameters,
    first_rule,
    first_variant,
    flag_of,
    kill_flag,
    put,
    sound,
    whole,
)
from routing_documents import FLAG, KILL, ask, only, text

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flags.answer import FlagAnswer, FlagState
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.server_document import ServerDocument, read_server_document
from dispatcher.routing.flags.sift import sift_here
from dispatcher.routing.flags.state import compile_state


def read(content: dict[str, Any]) -> ServerDocument:
    return read_server_document(sift_here(text(content), [FLAG]), "v", "the server", [FLAG])


def after(edit: Edit) -> ServerDocument:
    content = copy.deepcopy(sound())
    edit(content)
    return read(content)


def answer(edit: Edit, tenant: str = "acme") -> FlagAnswer:
    return ask(FlagEngine(compile_state(after(edit).document, [FLAG])), tenant=tenant)


def test_a_sound_document_answers_as_the_same_file_does() -> None:
    found = answer(lambda content: None)

    assert (found.state, found.variant, found.rule) == (FlagState.VARIANT, "managed-haiku-4-5-cap8", "pilot")


MALFORMED: dict[str, tuple[Edit, str]] = {
    "a rollout that is a number": (put(first_parameters, rollout=100), "rollout: is a number"),
    "values that are numbers": (put(first_constraint, values=[1, 2]), "value 1: is a number"),
    "a payload that is an object": (
        put(first_variant, payload={"type": "json", "value": {"cap": 8}}),
        "payload, value: Input should be a valid string",
    ),
    "a variant without a weight": (drop(first_variant, "weight"), "weight is missing"),
    "a flag without enabled": (drop(flag_of, "enabled"), "enabled is missing"),
    "a parent without enabled": (drop(kill_flag, "enabled"), f"flag '{KILL}': enabled is missing"),
    "no version": (drop(whole, "version"), "version is missing"),
    "a version that is text": (put(whole, version="2"), "version: Input should be 1 or 2"),
    "an operator nobody knows": (put(first_constraint, operator="EQUALS"), "operator 'EQUALS' is unknown"),
    "a date that is none": (
        put(first_constraint, contextName="currentTime", operator="DATE_AFTER", value="soon"),
        "DATE_AFTER needs a moment",
    ),
    "a version that is none": (
        put(first_constraint, operator="SEMVER_GT", value="1.0"),
        "SEMVER_GT needs a version",
    ),
    "a segment that isn't there": (put(first_rule, segments=[7]), "segment 7 is unknown"),
    "a segment that holds everybody": (
        each(put(first_rule, segments=[7]), put(whole, segments=[{"id": 7, "constraints": []}])),
        "segment 1, constraints: List should have at least 1 item",
    ),
    "a rollout above 100": (put(first_parameters, rollout="150"), "rollout is '150'"),
    "a rollout that is a word": (put(first_parameters, rollout="lots"), "rollout is 'lots'"),
    "a strategy nobody knows": (put(first_rule, name="gradual"), "strategy 'gradual' is unknown"),
    "no parameters": (drop(first_rule, "parameters"), "parameters are missing"),
    "enabled without strategies": (put(flag_of, strategies=[]), "is enabled without a strategy in force"),
    "no strategies key": (drop(flag_of, "strategies"), "strategies is missing"),
    "the same flag twice": (
        lambda content: content["features"].append(flag_of(content)),
        f"flag '{FLAG}' stands here twice",
    ),
    "weights that are all 0": (put(first_variant, weight=0), "all weights are 0"),
    "a rule without variants": (put(first_rule, variants=[]), "has no variants"),
    "stickiness default": (put(first_parameters, stickiness="default"), "draws anew on every call"),
    "segments that are no list": (put(whole, segments={}), "segments: Input should be a valid list"),
}


@pytest.mark.parametrize(("edit", "reason"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_routed_flag_refuses_the_document_with_its_reason(edit: Edit, reason: str) -> None:
    with pytest.raises(InvalidFlags) as refused:
        after(edit)

    assert [problem for problem in refused.value.problems if reason in problem], refused.value.problems


@pytest.mark.parametrize("edit", [edit for edit, _ in MALFORMED.values()], ids=MALFORMED)
def test_a_flag_that_says_it_is_off_is_off_whatever_else_is_wrong(edit: Edit) -> None:
    found = answer(each(edit, put(flag_of, enabled=False)))

    assert (found.state, found.detail) == (FlagState.OFF, f"'{FLAG}' is switched off")


SAYS_PRESSED = {name: edit for name, (edit, _) in MALFORMED.items() if name != "a parent without enabled"}


@pytest.mark.parametrize("edit", SAYS_PRESSED.values(), ids=SAYS_PRESSED)
@pytest.mark.parametrize("tenant", ["acme", "umbrella"])
def test_a_parent_that_is_pressed_brakes_whatever_else_is_wrong(edit: Edit, tenant: str) -> None:
    assert answer(each(edit, put(kill_flag, enabled=True)), tenant=tenant).state is FlagState.OFF


UNKNOWN: dict[str, tuple[Edit, str]] = {
    "of a rule": (put(first_rule, constrants=[]), "key 'constrants' is unknown"),
    "of a constraint": (put(first_constraint, inverse=True), "key 'inverse' is unknown"),
    "of the flag": (put(flag_of, lifecycle="live"), "key 'lifecycle' is unknown"),
    "of a variant": (put(first_variant, color="red"), "key 'color' is unknown"),
    "of a used segment": (
        each(
            put(first_rule, segments=[7]),
            put(whole, segments=[{"id": 7, "constraints": [only("acme")], "scope": "all"}]),
        ),
        "key 'scope' is unknown",
    ),
    "of a parent that is on": (
        each(put(kill_flag, enabled=True), put(kill_flag, lifecycle="live")),
        "key 'lifecycle' is unknown",
    ),
    "beside a malformed value": (
        each(put(first_rule, constrants=[]), put(first_parameters, rollout=100)),
        "key 'constrants' is unknown",
    ),
    "and the document's version": (put(whole, version=3), "the document is of version 3"),
}


@pytest.mark.parametrize(("edit", "reason"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_key_that_nobody_knows_switches_the_flag_off_and_is_named(edit: Edit, reason: str) -> None:
    document = after(edit)

    assert reason in document.unknown[FLAG]
    assert answer(edit).state is FlagState.OFF
    assert reason in answer(edit).detail


def test_a_parent_that_is_off_may_hold_whatever_it_likes() -> None:
    assert answer(each(put(kill_flag, lifecycle="live"), drop(kill_flag, "strategies"))).state is FlagState.VARIANT


@pytest.mark.parametrize(
    ("edit", "detail"),
    [
        (put(flag_of, dependencies=[{"feature": "gone"}]), "'gone' isn't in the document"),
        (put(flag_of, dependencies=[{"feature": KILL}]), f"'{KILL}' would have to be on"),
    ],
)
def test_a_prerequisite_that_cannot_be_met_switches_the_flag_off(edit: Edit, detail: str) -> None:
    found = answer(edit)

    assert (found.state, found.detail) == (FlagState.OFF, f"its prerequisite isn't met: {detail}")


ODD: list[Any] = [
    {"name": "other", "enabled": "perhaps"},
    {"name": "other", "enabled": True, "strategies": [{"name": "userWithId", "constraints": "x", "anything": 1}]},
    {"name": "other", "enabled": True, "strategies": [], "dependencies": [{"feature": "other"}]},
    {"name": 7},
    {"no": "name"},
    None,
    3,
    ["x"],
]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_other_teams_flags_never_matter(odd: Any) -> None:
    content = sound()
    content["features"] = [odd, *content["features"], odd]
    content |= {"segments": [{"id": 5, "odd": True}, odd], "anything": {"goes": 1}, "query": 3, "meta": []}

    assert read(content).document == read(sound()).document


def test_odd_numbers_and_repeated_keys_of_other_flags_never_matter_and_of_ours_are_refused() -> None:
    good = text(sound())
    oddity = b'{"name": "other", "x": NaN, "y": %s, "z": 1, "z": 2}, ' % (b"9" * 5000)
    beside = good.replace(b'"features": [', b'"features": [' + oddity)
    ours = good.replace(b'"enabled": true', b'"enabled": true, "enabled": true')

    assert read_server_document(sift_here(beside, [FLAG]), "v", "s", [FLAG]).document == read(sound()).document
    with pytest.raises(InvalidFlags, match="key 'enabled' stands twice in one object"):
        read_server_document(sift_here(ours, [FLAG]), "v", "s", [FLAG])


def test_a_document_without_the_flag_is_one_in_which_it_is_unknown() -> None:
    assert answer(put(whole, features=[])).state is FlagState.UNKNOWN_FLAG


@pytest.mark.parametrize(("meta", "revision"), [({"revisionId": 9}, 9), ({}, 0), ("x", 0), (None, 0)])
def test_the_revision_is_the_servers_own_count(meta: Any, revision: int) -> None:
    assert after(put(whole, meta=meta)).revision == revision


def fingerprint(edit: Edit) -> str:
    return compile_state(after(edit).document, [FLAG]).fingerprints[FLAG]


@pytest.mark.parametrize(
    ("edit", "same"),
    [
        (lambda content: content["features"].append({"name": "other", "enabled": True}), True),
        (put(whole, meta={"revisionId": 9}), True),
        (put(flag_of, project="default", type="release", impressionData=True), True),
        (put(first_constraint, values=["globex"]), False),
        (put(kill_flag, enabled=True), False),
        (put(flag_of, enabled=False), False),
        (put(flag_of, lifecycle="live"), False),
        (put(whole, features=[]), False),
    ],
)
def test_the_fingerprint_changes_with_what_decides_the_flag_and_with_nothing_else(edit: Edit, same: bool) -> None:
    assert (fingerprint(edit) == fingerprint(lambda content: None)) is same


def test_the_segments_a_flag_uses_are_in_its_fingerprint_and_others_are_not() -> None:
    def with_segments(**tenants: str) -> Callable[[dict[str, Any]], Any]:
        segments = [{"id": int(number[1:]), "constraints": [only(tenant)]} for number, tenant in tenants.items()]
        return each(put(first_rule, segments=[7]), put(whole, segments=segments))

    one = fingerprint(with_segments(s7="acme", s8="x"))

    assert fingerprint(with_segments(s7="acme", s8="y")) == one
    assert fingerprint(with_segments(s7="globex", s8="x")) != one
