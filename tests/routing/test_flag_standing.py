"""The standing: where a flag sends every tenant that it names, and everybody else."""

from __future__ import annotations

import time
from typing import Any

import pytest
from routing_documents import FLAG, ask, document, engine, only, rule

from dispatcher.routing.flags.answer import FlagState
from dispatcher.routing.flags.standing import Entry, Standing, moves, standing_of

LEGACY = (("legacy", 1.0),)


def standing(*rules: dict[str, Any], **given: Any) -> Standing:
    return standing_of(engine(document(*rules, **given)), FLAG)


def entry(tenant: str | None, *shares: tuple[str, float], project: str | None = None, **given: Any) -> Entry:
    return Entry(tenant=tenant, project=project, shares=shares, **{"by": None, "rule": None, **given})


def test_every_named_tenant_has_an_entry_and_everybody_else_has_one() -> None:
    held = standing(rule(only("b", "a"), variants={"m": 1}, title="pilot"))

    assert held == Standing(
        on=True,
        detail="",
        entries=(entry("a", ("m", 1), rule="pilot"), entry("b", ("m", 1), rule="pilot"), entry(None, *LEGACY)),
    )


def test_a_draw_is_told_as_its_shares_and_what_it_sticks_to() -> None:
    held = standing(rule(variants={"m": 670, "legacy": 330}, by="conversationId", title="all"))

    assert held.entries == (entry(None, ("m", 0.67), ("legacy", 0.33), by="conversation", rule="all"),)
    assert held.entries[0].text == "67 % m, 33 % legacy by conversation"


def test_whom_a_rollout_leaves_out_goes_on_to_the_next_rule() -> None:
    held = standing(rule(variants={"m": 1}, rollout="20", title="first"), rule(variants={"n": 1}, title="second"))

    assert held.entries == (entry(None, ("m", 0.2), ("n", 0.8), by="tenant", rule="first"),)


def test_rollouts_that_hash_the_same_win_and_lose_together() -> None:
    held = standing(rule(variants={"m": 1}, rollout="20"), rule(variants={"n": 1}, rollout="60"))

    assert held.entries[0].shares == (("m", 0.2), ("n", 0.4), ("legacy", 0.4))


def test_rollouts_that_hash_differently_are_drawn_one_after_the_other() -> None:
    first, second = rule(variants={"m": 1}, rollout="50", title="x"), rule(variants={"n": 1}, rollout="50", title="y")

    assert standing(first, second).entries[0].shares == (("m", 0.5), ("n", 0.25), ("legacy", 0.25))


@pytest.mark.parametrize("titles", [("x", "x"), ("x", "y")])
def test_the_shares_are_those_that_the_engine_gives(titles: tuple[str, str]) -> None:
    first = rule(variants={"m": 3, "legacy": 1}, rollout="50", title=titles[0])
    second = rule(variants={"n": 1}, rollout="80", title=titles[1])
    asked = engine(document(first, second))
    drawn = [ask(asked, tenant=f"t-{number}") for number in range(4000)]

    for variant, share in standing_of(asked, FLAG).entries[0].shares:
        found = sum((answer.variant or "legacy") == variant for answer in drawn) / len(drawn)
        assert found == pytest.approx(share, abs=0.03)


def test_a_project_has_an_entry_only_where_it_goes_elsewhere_than_its_tenant() -> None:
    held = standing(
        rule(only("acme"), only("kendo", field="projectId"), variants={"m": 1}, title="one"),
        rule(only("globex"), variants={"n": 1}, title="other"),
    )

    assert [(e.tenant, e.project, e.shares) for e in held.entries] == [
        ("acme", None, LEGACY),
        ("acme", "kendo", (("m", 1.0),)),
        ("globex", None, (("n", 1.0),)),
        (None, None, LEGACY),
    ]
    assert held.entry("acme", "kendo").shares == (("m", 1.0),)
    assert held.entry("acme", "other").shares == LEGACY
    assert held.entry("umbrella", "kendo").shares == LEGACY


def test_tenants_named_in_a_segment_have_entries() -> None:
    content = document({**rule(variants={"m": 1}), "segments": [7]})
    content["segments"] = [{"id": 7, "name": "pilot", "constraints": [only("acme")]}]

    assert [(e.tenant, e.shares) for e in standing_of(engine(content), FLAG).entries] == [
        ("acme", (("m", 1.0),)),
        (None, LEGACY),
    ]


def test_an_exclusion_names_tenants_too() -> None:
    held = standing(rule(only("acme", operator="NOT_IN"), variants={"m": 1}))

    assert [(e.tenant, e.shares) for e in held.entries] == [("acme", LEGACY), (None, (("m", 1.0),))]


@pytest.mark.parametrize(
    ("given", "detail"),
    [
        ({"enabled": False}, "'agent-research' is switched off"),
        ({"kill": True}, "its prerequisite isn't met: 'agent-research-kill' would have to be off"),
    ],
)
def test_while_the_flag_is_off_everybody_is_on_legacy_and_the_entries_say_what_would_be(
    given: dict[str, bool], detail: str
) -> None:
    held = standing(rule(only("acme"), variants={"m": 1}), **given)

    assert (held.on, held.detail) == (False, detail)
    assert held.entries[0].shares == (("m", 1.0),)
    assert held.entry("acme").shares == LEGACY


def test_a_flag_that_the_document_does_not_hold_is_off() -> None:
    held = standing_of(engine(document(rule())), "other")

    assert held == Standing(on=False, detail="the document doesn't hold 'other'", entries=())


def test_a_parent_that_is_on_for_some_tenants_stops_those_only() -> None:
    content = document(rule(variants={"m": 1}), kill=True)
    content["features"][0]["strategies"] = [
        {
            "name": "flexibleRollout",
            "constraints": [only("acme")],
            "parameters": {"rollout": "100", "stickiness": "tenantId", "groupId": "k"},
        }
    ]
    asked = engine(content)

    assert ask(asked, "acme").state is FlagState.OFF
    assert [(e.tenant, e.shares) for e in standing_of(asked, FLAG).entries] == [
        ("acme", LEGACY),
        (None, (("m", 1.0),)),
    ]


def test_a_standing_survives_json() -> None:
    held = standing(rule(only("acmé"), variants={"m": 2, "legacy": 1}), rule(only("b"), only("p", field="projectId")))

    assert Standing.from_json(held.to_json()) == held


def test_moves_are_told_by_tenant_and_a_new_title_moves_nobody() -> None:
    before = standing(rule(only("a", "b"), variants={"m": 1}, title="old"))
    after = standing(rule(only("b", "c"), variants={"m": 1}, title="new"))

    told = [(move.tenant, move.before and move.before.text, move.after.text) for move in moves(before, after)]
    assert told == [("a", "m", "legacy"), ("c", "legacy", "m")]


def test_switching_off_moves_everybody_who_was_elsewhere() -> None:
    rules = rule(only("a"), variants={"m": 1}), rule(only("b"), variants={"legacy": 1})

    told = moves(standing(*rules), standing(*rules, enabled=False))
    assert [(move.tenant, move.after.text) for move in told] == [("a", "legacy")]


def test_the_first_standing_ever_seen_moves_everybody_from_the_unknown() -> None:
    told = moves(None, standing(rule(only("a"), variants={"m": 1})))

    assert [(move.tenant, move.before, move.after.text) for move in told] == [("a", None, "m"), (None, None, "legacy")]


def test_many_tenants_are_compared_in_a_time_that_grows_with_their_number() -> None:
    """Ten thousand of them looked up among ten thousand one by one would take minutes, with the file locked."""
    tenants = [entry(f"t-{number}", ("m", 1.0)) for number in range(10_000)]
    before = Standing(on=True, detail="", entries=(*tenants, entry(None, *LEGACY)))
    began = time.process_time()

    assert len(moves(before, Standing(on=False, detail="off", entries=()))) == 10_000
    assert time.process_time() - began < 5
