"""What a flag document would do other than it says is refused, with the reason; all problems at once."""

from __future__ import annotations

import pytest
from flag_edits import (
    Edit,
    drop,
    each,
    first_constraint,
    first_parameters,
    first_rule,
    flag_of,
    kill_flag,
    problems_after,
    problems_of,
    put,
    second_rule,
    sound,
    whole,
)
from routing_documents import FLAG, KILL, POLICIES, only, text

from dispatcher.routing.flags.reader import read_flag_document

OFF = "so the flag would be off"

TRAPS: dict[str, tuple[Edit, str]] = {
    "a segment that isn't there": (put(first_rule, segments=[7]), f"segment 7 is unknown, {OFF}"),
    "the same segment twice": (
        put(whole, segments=[{"id": 1, "constraints": [only("x")]}] * 2),
        "segment 1 stands here twice",
    ),
    "a segment that holds everybody": (
        put(whole, segments=[{"id": 1, "constraints": []}]),
        "segment 1, constraints: List should have at least 1 item",
    ),
    "enabled without strategies": (
        put(flag_of, strategies=[]),
        "is enabled without a strategy in force, which switches it on for everybody",
    ),
    "enabled with disabled strategies only": (
        each(put(first_rule, disabled=True), put(second_rule, disabled=True)),
        "is enabled without a strategy in force",
    ),
    "the same flag twice": (
        lambda content: content["features"].append(flag_of(content)),
        f"flag '{FLAG}' stands here twice; the later would win",
    ),
    "a prerequisite that isn't there": (
        put(flag_of, dependencies=[{"feature": "gone"}]),
        f"depends on 'gone', which isn't here, {OFF}",
    ),
    "a prerequisite of itself": (put(flag_of, dependencies=[{"feature": FLAG}]), "depends on itself"),
    "prerequisites of each other": (put(kill_flag, dependencies=[{"feature": FLAG}]), "they depend on each other"),
    "a prerequisite with a prerequisite": (
        each(
            put(kill_flag, dependencies=[{"feature": "third"}]),
            lambda content: content["features"].append({"name": "third", "enabled": False, "strategies": []}),
        ),
        "that flag has a prerequisite of its own, and the engine then never switches a flag on",
    ),
    "stickiness to what is never sent": (
        put(first_parameters, stickiness="userId"),
        "sticks to 'userId'; only tenantId, conversationId, projectId are sent",
    ),
    "a constraint on what is never sent": (
        put(first_constraint, contextName="tenant"),
        "is constrained by 'tenant'; only tenantId, conversationId, projectId, currentTime are sent",
    ),
    "a segment on what is never sent": (
        each(put(whole, segments=[{"id": 1, "constraints": [only("x", field="plan")]}]), put(first_rule, segments=[1])),
        "is constrained by 'plan'",
    ),
    "a prerequisite's constraint on what is never sent": (
        lambda content: kill_flag(content)["strategies"][0].update(constraints=[only("x", field="userId")]),
        "is constrained by 'userId'",
    ),
    "a rule without variants": (
        put(first_rule, variants=[]),
        "has no variants, so it would switch the flag on without choosing a variant",
    ),
    "variants beside the strategies": (
        put(flag_of, variants=[{"name": "a", "weight": 1}]),
        "has variants of its own: write them on its strategies",
    ),
    "a rule that doesn't say whom it reaches": (
        drop(first_rule, "constraints"),
        'write "constraints": [] where it shall reach every tenant',
    ),
    "a sortOrder that contradicts the order": (
        each(put(first_rule, sortOrder=2), put(second_rule, sortOrder=1)),
        "sortOrder contradicts the order of the strategies",
    ),
}


@pytest.mark.parametrize(("edit", "reason"), TRAPS.values(), ids=TRAPS)
def test_a_trap_of_the_meaning_is_refused_with_its_reason(edit: Edit, reason: str) -> None:
    problems = problems_after(edit)

    assert [problem for problem in problems if reason in problem], problems


def test_the_document_that_is_shipped_is_sound() -> None:
    shipped = read_flag_document((POLICIES / "flags.json").read_bytes(), "flags.json", [FLAG])

    assert shipped.features.keys() == {KILL, FLAG}


def test_an_empty_feature_list_is_a_document_in_which_the_flag_is_unknown() -> None:
    read = read_flag_document(b'{"version": 2, "features": []}', "flags.json", [FLAG])

    assert read.features == {}


def test_a_server_answer_with_its_own_keys_is_read() -> None:
    content = sound()
    content |= {"query": {"environment": "development"}, "meta": {"revisionId": 7}, "segments": []}
    flag_of(content).update(type="release", project="default", stale=False, impressionData=True, variants=[])

    read = read_flag_document(text(content), "flags.json", [FLAG])

    assert FLAG in read.features


def test_all_problems_are_listed_at_once_each_with_its_place() -> None:
    content = sound()
    first_rule(content)["parameters"]["rollout"] = 5
    flag_of(content)["strategies"][1]["constraints"][0]["operator"] = "EQUALS"
    content["features"].append(
        {"name": "third", "enabled": True, "strategies": [], "dependencies": [{"feature": "third"}]}
    )
    content["features"].append({"name": KILL, "enabled": "no", "strategies": []})

    problems = problems_of(text(content))

    assert f"flag '{FLAG}', strategy 1 ('pilot'), parameters, rollout: is a number" in problems[0]
    assert f"flag '{FLAG}', strategy 2 ('pilot'), constraint 1 ('tenantId'): operator 'EQUALS'" in problems[1]
    assert "flag 'third': is enabled without a strategy" in problems[2]
    assert f"flag '{KILL}', enabled: Input should be a valid boolean" in problems[3]
    assert problems[4] == f"flag '{KILL}' stands here twice; the later would win"
    assert len(problems) == 5


def test_flags_that_choose_no_variant_may_stay_without_variants_and_constraints() -> None:
    content = sound()
    content["features"].append({"name": "other", "enabled": True, "strategies": [{"name": "default"}]})

    assert "other" in read_flag_document(text(content), "flags.json", [FLAG]).features
