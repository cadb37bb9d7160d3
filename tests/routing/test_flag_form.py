"""What the flag engine would drop or misread by its form is refused before it gets there, with the reason."""

from __future__ import annotations

import pytest
from flag_edits import (
    Edit,
    drop,
    first_constraint,
    first_parameters,
    first_rule,
    first_variant,
    flag_of,
    kill_flag,
    problems_after,
    problems_of,
    put,
    second_rule,
    sound,
    whole,
)
from routing_documents import FLAG, KILL, text

from dispatcher.routing.flags.reader import read_flag_document

NUMBER = "is a number, and the engine takes text only and drops the whole document without a word"
DROPPED = "is missing; without it the engine drops the whole document without a word"
OFF = "so the flag would be off"
CLOCK = {"contextName": "currentTime", "operator": "DATE_AFTER"}

TRAPS: dict[str, tuple[Edit, str]] = {
    "a rollout that is a number": (put(first_parameters, rollout=100), f"rollout: {NUMBER}"),
    "values that are numbers": (put(first_constraint, values=[1, 2]), f"value 1: {NUMBER}"),
    "a payload that is an object": (
        put(first_variant, payload={"type": "json", "value": {"cap": 8}}),
        "payload, value: Input should be a valid string",
    ),
    "a payload without its type": (put(first_variant, payload={"value": "x"}), "payload: type is missing"),
    "a variant without a weight": (drop(first_variant, "weight"), f"weight {DROPPED}"),
    "a weight below 0": (put(first_variant, weight=-1), "weight: Input should be greater than or equal to 0"),
    "a weight with a fraction": (put(first_variant, weight=1.0), "weight: Input should be a valid integer"),
    "a flag without enabled": (drop(flag_of, "enabled"), f"enabled {DROPPED}"),
    "a document without version": (drop(whole, "version"), f"version {DROPPED}"),
    "a version nobody knows": (put(whole, version=3), "version: Input should be 1 or 2"),
    "a flag without strategies": (drop(flag_of, "strategies"), "strategies is missing"),
    "an operator nobody knows": (put(first_constraint, operator="EQUALS"), f"operator 'EQUALS' is unknown, {OFF}"),
    "a date without a time": (
        put(first_constraint, **CLOCK, value="2026-01-31"),
        f"DATE_AFTER needs a moment of the form 2026-01-31T08:00:00Z in 'value', {OFF}",
    ),
    "a date that doesn't exist": (
        put(first_constraint, **CLOCK, value="2026-02-31T08:00:00Z"),
        "DATE_AFTER needs a moment",
    ),
    "a version that is none": (
        put(first_constraint, operator="SEMVER_GT", value="1.0"),
        f"SEMVER_GT needs a version of the form 1.2.3 in 'value', {OFF}",
    ),
    "a number that is none": (
        put(first_constraint, operator="NUM_GT", value="many"),
        f"NUM_GT needs a number written as text in 'value', {OFF}",
    ),
    "a rollout above 100": (put(first_parameters, rollout="150"), f"rollout is '150', {OFF}"),
    "a rollout that is a word": (put(first_parameters, rollout="lots"), f"rollout is 'lots', {OFF}"),
    "a rollout with a fraction": (put(first_parameters, rollout="0.5"), f"rollout is '0.5', {OFF}"),
    "a strategy nobody knows": (put(first_rule, name="gradual"), f"strategy 'gradual' is unknown, {OFF}"),
    "no parameters": (drop(first_rule, "parameters"), f"parameters are missing, {OFF}"),
    "no rollout": (drop(first_parameters, "rollout"), f"rollout is missing, {OFF}"),
    "no stickiness": (
        drop(first_parameters, "stickiness"),
        "stickiness is missing; the engine would draw anew on every call",
    ),
    "no groupId": (drop(first_parameters, "groupId"), "groupId is missing; it seeds the draw"),
    "stickiness default": (
        put(first_parameters, stickiness="default"),
        "is 'default', which draws anew on every call",
    ),
    "stickiness random": (put(first_parameters, stickiness="random"), "is 'random', which draws anew on every call"),
    "a misspelt constraints key": (
        put(first_rule, constrants=[]),
        "and a misspelt constraint opens the flag to everybody; is 'constraints' meant?",
    ),
    "a misspelt key of a constraint": (put(first_constraint, inverse=True), "key 'inverse' is unknown"),
    "an empty IN list": (put(first_constraint, values=[]), "IN has an empty list of values"),
    "an empty NOT_IN list": (
        put(first_constraint, operator="NOT_IN", values=[]),
        "NOT_IN has an empty list of values",
    ),
    "an empty value": (put(first_constraint, values=[""]), "value 1: String should have at least 1 character"),
    "a case that has no effect": (
        put(first_constraint, caseInsensitive=True),
        "caseInsensitive has no effect with IN",
    ),
    "weights that are all 0": (put(first_variant, weight=0), "all weights are 0, which makes the engine panic"),
    "a variant twice in one strategy": (
        lambda content: second_rule(content)["variants"].append(second_rule(content)["variants"][0]),
        "variant 'a' stands here twice",
    ),
    "variants that stick elsewhere": (
        lambda content: second_rule(content)["variants"][0].update(stickiness="tenantId"),
        "the rollout sticks to conversationId, the variants don't",
    ),
    "variants that don't stick": (
        lambda content: second_rule(content)["variants"][0].pop("stickiness"),
        "a variant's stickiness is missing, and the engine would draw anew on every call",
    ),
    "parameters of the default strategy": (put(first_rule, name="default"), "default takes no parameters"),
    "a draw without a groupId": (
        put(second_rule, name="default", parameters={}),
        "default draws among variants without a groupId",
    ),
    "a flag's name with a blank": (put(kill_flag, name="a kill"), "name: String should match pattern"),
}


@pytest.mark.parametrize(("edit", "reason"), TRAPS.values(), ids=TRAPS)
def test_a_trap_of_the_form_is_refused_with_its_reason(edit: Edit, reason: str) -> None:
    problems = problems_after(edit)

    assert [problem for problem in problems if reason in problem], problems


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"<html>502</html>", "is not JSON"),
        (text(sound())[:-40], "is not JSON, or only the beginning of it"),
        (b"[]", "holds a list, not an object with 'version' and 'features'"),
        (b"null", "holds a NoneType"),
        (b"{}", "version is missing"),
        (b"\xef\xbb\xbf" + text(sound()), "begins with a byte order mark"),
        (text(sound()).decode().encode("utf-16"), "begins with a byte order mark"),
        (b'{"version": 2, "features": [], "meta": {"x": "\xff"}}', "is not UTF-8 text"),
        (b'{"version": 2, "version": 1, "features": []}', "key 'version' stands twice in one object"),
        (b'{"version": NaN, "features": []}', "is not JSON: it holds NaN"),
        (b"[" * 100_000, "is not usable JSON"),
        (b'{"version": ' + b"9" * 5000 + b', "features": []}', "is not usable JSON"),
        (b'{"version": 2, "features": {}}', "features: Input should be a valid list"),
        (b'{"version": 2, "features": ["x"]}', "flag 1: Input should be a valid dictionary"),
    ],
)
def test_what_is_no_document_is_refused_with_its_reason(content: bytes, reason: str) -> None:
    problems = problems_of(content)

    assert reason in problems[0]


def test_a_sound_document_is_read() -> None:
    assert read_flag_document(text(sound()), "flags.json", [FLAG]).features.keys() == {KILL, FLAG}
