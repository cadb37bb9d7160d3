"""What a flag answers: the engine's own draws, with the rule, the share and the key beside them."""

from __future__ import annotations

import math
from typing import Any

import mmh3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routing_documents import KILL, ask, document, engine, only, rule

from dispatcher.routing.flags.answer import FlagState

_VARIANT_SEED = 86028157
"""The seed of Unleash's variant hash, as its client specification publishes it."""


def test_the_first_rule_that_reaches_the_tenant_names_its_variant() -> None:
    asked = engine(document(rule(only("acme"), variants={"a": 1000}), rule(only("acme"), variants={"b": 1000})))

    answer = ask(asked)

    assert (answer.state, answer.variant, answer.rule, answer.drawn) == (FlagState.VARIANT, "a", "pilot", False)
    assert (answer.share, answer.assignment_key) == (None, None)


def test_a_tenant_that_no_rule_reaches_gets_no_variant() -> None:
    assert ask(engine(document(rule(only("acme")))), tenant="umbrella").state is FlagState.NO_RULE


def test_a_draw_tells_its_share_and_what_it_hashed() -> None:
    asked = engine(document(rule(only("acme"), variants={"a": 670, "legacy": 330}, by="conversationId")))

    answers = {ask(asked, conversation=f"c-{number}") for number in range(40)}

    assert {(answer.variant, answer.share) for answer in answers} == {("a", 0.67), ("legacy", 0.33)}
    assert {answer.assignment_key for answer in answers} == {f"c-{number}" for number in range(40)}


def test_the_share_of_a_variant_inside_a_rollout_is_their_product() -> None:
    asked = engine(document(rule(only("acme"), variants={"a": 3, "b": 1}, rollout="40", by="conversationId")))

    shares = {(a.state, a.variant): a.share for a in (ask(asked, conversation=f"c-{n}") for n in range(100))}

    assert {
        (FlagState.VARIANT, "a"): pytest.approx(0.3),
        (FlagState.VARIANT, "b"): pytest.approx(0.1),
        (FlagState.LOST, None): pytest.approx(0.6),
    } == shares


def test_a_lost_rollout_and_the_default_among_the_variants_are_one_side_with_one_share() -> None:
    asked = engine(document(rule(only("acme"), variants={"a": 670, "legacy": 330}, rollout="50", by="conversationId")))

    shares = {(a.state, a.variant): a.share for a in (ask(asked, conversation=f"c-{n}") for n in range(200))}

    assert {
        (FlagState.VARIANT, "a"): pytest.approx(0.335),
        (FlagState.VARIANT, "legacy"): pytest.approx(0.665),
        (FlagState.LOST, None): pytest.approx(0.665),
    } == shares


def test_a_tenant_left_out_by_a_rollout_can_be_reached_by_a_later_rule() -> None:
    asked = engine(document(rule(only("acme"), rollout="0", title="first"), rule(only("acme"), title="second")))

    assert ask(asked).rule == "second"


def test_a_rule_that_draws_by_project_does_not_reach_an_action_without_one() -> None:
    asked = engine(document(rule(only("acme"), by="projectId")))

    answer = ask(asked)

    assert answer.state is FlagState.NO_RULE
    assert answer.detail == "constraints of rule 'pilot' pass, but it draws by projectId, which is missing"
    assert ask(asked, project="kendo").state is FlagState.VARIANT


def test_a_disabled_strategy_reaches_nobody_although_the_engine_itself_would_use_it() -> None:
    asked = engine(document({**rule(only("acme")), "disabled": True}, rule(only("globex"))))

    assert ask(asked).state is FlagState.NO_RULE


def test_segments_are_obeyed() -> None:
    content = document({**rule(), "segments": [4]})
    content["segments"] = [{"id": 4, "constraints": [only("acme")]}]
    asked = engine(content)

    assert [ask(asked).state, ask(asked, tenant="globex").state] == [FlagState.VARIANT, FlagState.NO_RULE]


def test_off_by_itself_off_by_its_prerequisite_and_unknown_are_told_apart() -> None:
    off = ask(engine(document(rule(only("acme")), enabled=False)))
    braked = ask(engine(document(rule(only("acme")), kill=True)))
    unknown = ask(engine(document(rule(only("acme")))), flag="another")

    assert [off.state, braked.state, unknown.state] == [FlagState.OFF, FlagState.OFF, FlagState.UNKNOWN_FLAG]
    assert off.detail == "'agent-research' is switched off"
    assert braked.detail == "its prerequisite isn't met: 'agent-research-kill' would have to be off"


def test_a_prerequisite_can_brake_one_tenant_alone() -> None:
    content = document(rule(only("acme", "globex")), kill=True)
    content["features"][0]["strategies"] = [rule(only("acme"), title="brake")]
    asked = engine(content)

    assert [ask(asked).state, ask(asked, tenant="globex").state] == [FlagState.OFF, FlagState.VARIANT]


def test_a_prerequisite_can_ask_for_a_variant() -> None:
    content = document(rule(only("acme", "globex")))
    content["features"][0] = {
        "name": KILL,
        "enabled": True,
        "strategies": [rule(only("acme"), variants={"calm": 1}), rule(variants={"storm": 1})],
    }
    content["features"][1]["dependencies"] = [{"feature": KILL, "variants": ["calm"]}]
    asked = engine(content)

    assert [ask(asked).state, ask(asked, tenant="globex").state] == [FlagState.VARIANT, FlagState.OFF]
    wanted = "its prerequisite isn't met: 'agent-research-kill' would have to be on, and to give 'calm'"
    assert ask(asked, tenant="globex").detail == wanted


def test_a_prerequisite_that_must_be_off_is_asked_for_no_variant() -> None:
    """As Unleash's own clients read it; the engine would ask for one that a flag gives although it is off."""
    content = document(rule(only("acme")))
    content["features"][0]["strategies"] = [rule(variants={"calm": 1, "storm": 1}, by="conversationId")]
    content["features"][1]["dependencies"] = [{"feature": KILL, "enabled": False, "variants": ["calm"]}]
    asked = engine(content)

    assert {ask(asked, conversation=f"c-{number}").state for number in range(20)} == {FlagState.VARIANT}


def test_payloads_are_ignored() -> None:
    content = document(rule(only("acme")))
    variant = content["features"][1]["strategies"][0]["variants"][0]
    variant["payload"] = {"type": "json", "value": '{"model": "another", "iteration_cap": 999}'}

    assert ask(engine(content)).variant == ask(engine(document(rule(only("acme"))))).variant


@pytest.mark.parametrize(("by", "units"), [("tenantId", 20_000), ("conversationId", 4_000)])
def test_draws_keep_their_share_and_growing_it_keeps_the_first_set(by: str, units: int) -> None:
    def drawn(share: int) -> set[int]:
        weights = {"candidate": share, "legacy": 1000 - share}
        asked = engine(document(rule(variants=weights, by=by)))
        key = "tenant" if by == "tenantId" else "conversation"
        return {n for n in range(units) if ask(asked, **{key: f"unit-{n}"}).variant == "candidate"}

    few, many = drawn(50), drawn(200)

    assert few <= many
    for found, share in ((few, 0.05), (many, 0.20)):
        # Five standard deviations of a binomial: a sound draw misses this less than once in a million.
        assert abs(len(found) - units * share) < 5 * math.sqrt(units * share * (1 - share))


TENANTS = ["acme", "globex", "script", "umbrella"]
CONSTRAINTS = st.builds(
    lambda field, operator, values, inverted: {**only(*values, field=field, operator=operator), "inverted": inverted},
    st.sampled_from(["tenantId", "projectId"]),
    st.sampled_from(["IN", "NOT_IN", "STR_STARTS_WITH"]),
    st.lists(st.sampled_from([*TENANTS, "a", "p-1", "p-2"]), min_size=1, max_size=3),
    st.booleans(),
)
RULES = st.builds(
    lambda constraints, weights, rollout, by, disabled, title: {
        **rule(*constraints, variants=weights, rollout=rollout, by=by, title=title),
        "disabled": disabled,
    },
    st.lists(CONSTRAINTS, max_size=2),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 1000), min_size=1).filter(lambda w: any(w.values())),
    st.integers(0, 100).map(str),
    st.sampled_from(["tenantId", "conversationId", "projectId"]),
    st.booleans(),
    st.sampled_from(["one", "two", "three"]),
)


@settings(max_examples=150)
@given(
    rules=st.lists(RULES, min_size=1, max_size=4).filter(lambda rules: not all(rule["disabled"] for rule in rules)),
    kill=st.booleans(),
    context=st.fixed_dictionaries(
        {
            "tenant": st.sampled_from(TENANTS),
            "conversation": st.integers(0, 99).map("c-{}".format),
            "project": st.sampled_from([None, "p-1", "p-2"]),
        }
    ),
)
def test_any_sound_document_answers_as_a_plain_reading_of_it(
    rules: list[dict[str, Any]], kill: bool, context: dict[str, Any]
) -> None:
    answer = ask(engine(document(*rules, kill=kill)), **context)

    assert (answer.state, answer.variant, answer.rule, answer.assignment_key) == plain_reading(rules, kill, context)


def plain_reading(rules: list[dict[str, Any]], kill: bool, context: dict[str, Any]) -> tuple[Any, ...]:
    fields = {f"{name}Id": value for name, value in context.items() if value is not None}
    if kill:
        return FlagState.OFF, None, None, None
    lost = None
    for each in (r for r in rules if not r["disabled"] and all(passes(c, fields) for c in r["constraints"])):
        by, group, rollout = (each["parameters"][key] for key in ("stickiness", "groupId", "rollout"))
        weights = {variant["name"]: variant["weight"] for variant in each["variants"]}
        key = fields.get(by)
        if key is not None and mmh3.hash(f"{group}:{key}", 0, signed=False) % 100 + 1 <= int(rollout):
            drawn = len(weights) > 1 or rollout != "100"
            return FlagState.VARIANT, among(weights, f"{group}:{key}"), each["title"], key if drawn else None
        if lost is None and (rollout != "100" or by == "projectId"):
            lost = (FlagState.NO_RULE, None, None, None) if key is None else (FlagState.LOST, None, each["title"], key)
    return lost or (FlagState.NO_RULE, None, None, None)


def passes(constraint: dict[str, Any], fields: dict[str, str]) -> bool:
    value = fields.get(constraint["contextName"])
    if constraint["operator"] == "STR_STARTS_WITH":
        met = value is not None and value.startswith(tuple(constraint["values"]))
    else:
        met = (value in constraint["values"]) is (constraint["operator"] == "IN")
    return met is not constraint["inverted"]


def among(weights: dict[str, int], seed: str) -> str:
    point = mmh3.hash(seed, _VARIANT_SEED, signed=False) % sum(weights.values()) + 1
    for name, weight in sorted(weights.items()):
        point -= weight
        if point <= 0:
            return name
    raise AssertionError
