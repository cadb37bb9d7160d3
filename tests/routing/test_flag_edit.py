"""Edits of a flag: what each says about its own tenant, and that it says nothing about anybody else."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routing_documents import FLAG, ask, document, engine, only, rule

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flag_editing.edit import FlagContent, Naming, Share, Switch, Unnaming
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.standing import standing_of

TENANTS = ("acme", "globex", "initech", "umbrella")
PROJECTS = (None, "kendo", "tooling")
VARIANTS = ("legacy", "legacy-cached", "managed")
CONVERSATIONS = ("c-1", "c-2", "c-3")


def content(*rules: dict[str, Any], enabled: bool = True) -> FlagContent:
    return FlagContent(enabled=enabled, rules=rules)


SEGMENT = {"id": 4, "constraints": [only(*TENANTS[:2])]}


def held_by(edited: FlagContent) -> FlagEngine:
    held = document(*(dict(each) for each in edited.rules), enabled=edited.enabled)
    return engine({**held, "segments": [SEGMENT]})


Answers = dict[tuple[str, str | None, str], str]


def answers(edited: FlagContent) -> Answers:
    asked = held_by(edited)
    return {
        (tenant, project, conversation): ask(asked, tenant, conversation, project).variant or "legacy"
        for tenant, project, conversation in product((*TENANTS, "other"), PROJECTS, CONVERSATIONS)
    }


def of_others(found: Answers, tenant: str, project: str | None = None) -> Answers:
    return {key: said for key, said in found.items() if key[0] != tenant or (project and key[1] != project)}


def of(found: Answers, tenant: str, project: str | None = None) -> set[str]:
    return {said for key, said in found.items() if key[0] == tenant and (project is None or key[1] == project)}


names = st.lists(st.sampled_from(TENANTS), min_size=1, max_size=3, unique=True)


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    constraints = []
    if draw(st.booleans()):
        operator = draw(st.sampled_from(["IN", "IN", "NOT_IN", "STR_STARTS_WITH"]))
        constraint = only(*draw(names), operator=operator)
        constraints.append({**constraint, "inverted": draw(st.sampled_from([False, False, True]))})
    if draw(st.sampled_from([False, False, True])):
        constraints.append(
            only(*draw(st.lists(st.sampled_from(PROJECTS[1:]), min_size=1, unique=True)), field="projectId")
        )
    variants = draw(st.dictionaries(st.sampled_from(VARIANTS), st.integers(1, 1000), min_size=1, max_size=3))
    by = draw(st.sampled_from(["tenantId", "conversationId", "projectId"]))
    made = rule(*constraints, variants=variants, rollout=draw(st.sampled_from(["100", "100", "40"])), by=by)
    return {
        **made,
        "title": f"r{draw(st.integers(0, 9))}",
        "disabled": draw(st.sampled_from([False, False, True])),
        "segments": draw(st.sampled_from([[], [], [SEGMENT["id"]]])),
    }


@st.composite
def contents(draw: st.DrawFn) -> FlagContent:
    found = draw(st.lists(rules(), max_size=5))
    if all(each["disabled"] for each in found):
        found.append(rule(only("nobody")))
    return content(*found)


tenants = st.sampled_from(TENANTS)
projects = st.sampled_from(PROJECTS)
variants = st.sampled_from(VARIANTS)


@settings(max_examples=40)
@given(contents(), tenants, projects, variants)
def test_a_named_tenant_goes_where_it_is_named_for_and_nobody_else_moves(
    before: FlagContent, tenant: str, project: str | None, variant: str
) -> None:
    after = Naming(flag=FLAG, tenant=tenant, project=project, variant=variant)(before)

    found = answers(after)
    assert of(found, tenant, project) == {variant}
    assert of_others(found, tenant, project) == of_others(answers(before), tenant, project)


@settings(max_examples=15)
@given(contents(), tenants, tenants, projects, variants, variants)
def test_namings_of_two_tenants_commute(
    before: FlagContent, one: str, other: str, project: str | None, to: str, elsewhere: str
) -> None:
    if one == other:
        return
    first = Naming(flag=FLAG, tenant=one, project=project, variant=to)
    second = Naming(flag=FLAG, tenant=other, variant=elsewhere)

    assert answers(second(first(before))) == answers(first(second(before)))


@settings(max_examples=15)
@given(contents(), tenants, projects, variants)
def test_naming_again_changes_nothing(before: FlagContent, tenant: str, project: str | None, variant: str) -> None:
    edit = Naming(flag=FLAG, tenant=tenant, project=project, variant=variant)
    once = edit(before)

    assert edit(once) == once


@settings(max_examples=15)
@given(contents(), tenants, projects, variants)
def test_a_naming_that_is_lifted_leaves_the_tenant_where_it_was_unless_it_was_named_before(
    before: FlagContent, tenant: str, project: str | None, variant: str
) -> None:
    bare = _lifted(before, tenant, project)
    if bare is None:
        return
    named = Naming(flag=FLAG, tenant=tenant, project=project, variant=variant)(bare)

    assert answers(Unnaming(flag=FLAG, tenant=tenant, project=project)(named)) == answers(bare)


def _lifted(before: FlagContent, tenant: str, project: str | None) -> FlagContent | None:
    try:
        return Unnaming(flag=FLAG, tenant=tenant, project=project)(before)
    except InvalidFlags:
        return None


@settings(max_examples=15)
@given(contents())
def test_off_and_on_again_is_where_it_was_and_off_is_legacy_for_everybody(before: FlagContent) -> None:
    off = Switch(flag=FLAG, on=False)(before)

    assert set(answers(off).values()) == {"legacy"}
    assert Switch(flag=FLAG, on=True)(off) == before


@settings(max_examples=15)
@given(contents(), tenants, st.integers(1, 1000), st.sampled_from(["tenant", "conversation"]))
def test_a_draw_for_one_tenant_moves_nobody_else(before: FlagContent, tenant: str, per_mille: int, by: Any) -> None:
    edit = Share(flag=FLAG, tenant=tenant, per_mille=per_mille, by=by, variant="managed", control="legacy")
    after = edit(before)

    assert of_others(answers(after), tenant) == of_others(answers(before), tenant)
    entry = standing_of(held_by(after), FLAG).entry(tenant)
    assert (entry.by, dict(entry.shares)["managed"]) == (by, per_mille / 1000)


def share(per_mille: int, by: Any = "conversation", **given: Any) -> Share:
    return Share(flag=FLAG, per_mille=per_mille, by=by, **{"control": "legacy", "variant": "managed", **given})


def told(edited: FlagContent) -> dict[str | None, str]:
    return {entry.tenant: entry.text for entry in standing_of(held_by(edited), FLAG).entries}


def test_a_draw_for_everybody_leaves_whom_a_rule_names() -> None:
    after = share(200)(content(rule(only("acme"), variants={"managed": 1})))

    assert told(after) == {"acme": "managed", None: "20 % managed, 80 % legacy by conversation"}


@pytest.mark.parametrize("by", ["tenant", "conversation"])
@pytest.mark.parametrize("start", [("managed", "legacy"), ("legacy", "managed")])
def test_a_larger_share_keeps_whom_the_smaller_one_had(by: str, start: tuple[str, str]) -> None:
    weights = dict.fromkeys(start, 500)
    before = share(50, by)(content(rule(variants=weights, by=f"{by}Id")))
    asked = held_by(before), held_by(share(200, by)(before))

    def had(which: FlagEngine) -> set[int]:
        return {n for n in range(1500) if ask(which, f"t-{n}", f"c-{n}").variant == "managed"}

    small, large = map(had, asked)
    assert small < large
    assert (len(small) / 1500, len(large) / 1500) == (pytest.approx(0.05, abs=0.02), pytest.approx(0.2, abs=0.03))


def test_a_new_share_keeps_the_variant_that_is_drawn_now() -> None:
    after = share(300, variant=None)(share(200)(content(rule(only("acme")))))

    assert told(after)[None] == "30 % managed, 70 % legacy by conversation"


def test_a_share_of_nothing_removes_the_draw() -> None:
    before = content(rule(only("acme")))

    assert share(0)(share(200)(before)) == before


def test_the_last_rule_stays_at_a_share_of_nothing() -> None:
    after = share(0)(share(200)(content(rule())))

    assert told(after) == {None: "100 % legacy by conversation"}


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (share(200, variant=None), "nothing is drawn yet: say between what, with --variant"),
        (share(200, variant="legacy"), "'legacy' can't be drawn against itself"),
    ],
)
def test_a_draw_needs_two_variants(edit: Share, problem: str) -> None:
    with pytest.raises(InvalidFlags, match=problem):
        edit(content(rule(only("acme"))))


def test_a_tenant_s_draw_lies_still_under_its_name() -> None:
    before = content(rule(only("script"), variants={"managed": 670, "legacy": 330}, by="conversationId"))
    braked = Naming(flag=FLAG, tenant="script", variant="legacy")(before)

    assert told(braked)["script"] == "legacy"
    assert Unnaming(flag=FLAG, tenant="script")(braked) == before


def test_more_tenants_than_a_constraint_takes_are_split_over_rules() -> None:
    edited = content(rule(only("acme")))
    for number in range(251):
        edited = Naming(flag=FLAG, tenant=f"t-{number}", variant="managed")(edited)

    sizes = [len(each["constraints"][0]["values"]) for each in edited.rules]
    assert sorted(sizes) == [1, 1, 250]
    assert {text for tenant, text in told(edited).items() if tenant and tenant.startswith("t-")} == {"managed"}


def test_more_rules_than_a_server_takes_are_refused() -> None:
    full = content(*(rule(only(f"x-{number}")) for number in range(30)))

    with pytest.raises(InvalidFlags, match="would have 31 rules, and a server takes 30"):
        Naming(flag=FLAG, tenant="acme", variant="legacy")(full)


@pytest.mark.parametrize("held", [[], [{**rule(), "disabled": True}]])
def test_switching_on_without_a_rule_in_force_is_refused(held: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidFlags, match="it would open to everybody"):
        Switch(flag=FLAG, on=True)(content(*held, enabled=False))


def test_the_only_rule_is_not_taken_away() -> None:
    with pytest.raises(InvalidFlags, match="is in the only rule"):
        Unnaming(flag=FLAG, tenant="acme")(content(rule(only("acme"))))
