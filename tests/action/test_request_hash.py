"""The hash of what is asked for: the same for the same request, another for another one."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.action.decision import PathName
from dispatcher.action.request import Limits, Repository, ResearchAction
from dispatcher.action.transcript import Transcript, Turn
from dispatcher.errors import InvalidAction

URL = "https://github.com/example/checkout"
names = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
blocks = st.fixed_dictionaries({"type": st.just("text"), "text": texts})
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"]), "content": st.lists(blocks, min_size=1)}
)


def opened_by_the_user(said: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    return ({**said[0], "role": "user"}, *said[1:]) if said else ()


turns = st.builds(
    Turn,
    question=texts,
    path=st.sampled_from(PathName),
    model=names,
    answer=texts,
    messages=st.lists(messages, max_size=2).map(opened_by_the_user),
)
limits = st.builds(
    Limits,
    iterations=st.none() | st.integers(1, 9),
    tool_calls=st.none() | st.integers(0, 9),
    tokens=st.none() | st.integers(1, 9),
    cost_usd=st.none() | st.integers(1, 9) | st.floats(0.5, 9),
    deadline_s=st.none() | st.integers(1, 9) | st.floats(0.5, 9),
)
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "question": texts,
    "project": st.none() | names,
    "conversation_id": names,
    "variant": st.none() | names,
    "limits": limits,
    "repository": st.builds(
        Repository,
        path=names,
        github_url=st.none() | names.map(lambda name: f"https://github.com/example/{name}"),
        commit=st.none() | st.from_regex(r"[0-9a-f]{7,9}", fullmatch=True),
    ),
    "history": st.none() | st.lists(turns, max_size=2).map(lambda said: Transcript(tuple(said))),
}
WHO: dict[str, st.SearchStrategy[Any]] = {
    "tenant": names,
    "actor": st.none() | names,
    "idempotency_key": st.none() | names,
}
actions = st.fixed_dictionaries({**PARTS, **WHO}).map(lambda given: ResearchAction(**given))


def test_an_idempotency_key_is_a_name() -> None:
    with pytest.raises(InvalidAction) as refused:
        ResearchAction(question="Where?", tenant="acme", repository=Repository(path="."), idempotency_key="a b")

    assert refused.value.problems[0].startswith("idempotency_key 'a b' may hold ")


def test_a_history_belongs_to_a_conversation_and_is_a_transcript() -> None:
    with pytest.raises(InvalidAction) as refused:
        ResearchAction(
            question="Where?",
            tenant="acme",
            repository=Repository(path="."),
            history=[],  # type: ignore[arg-type]
        )

    assert refused.value.problems == (
        "history must be a Transcript value",
        "history belongs to a conversation: give its conversation_id",
    )


def test_what_was_said_is_not_in_the_repr_of_an_action() -> None:
    said = Turn(question="secret", path=PathName.MESSAGES, model="m", answer="secret", messages=())
    action = ResearchAction(
        question="Where?",
        tenant="acme",
        repository=Repository(path="."),
        conversation_id="c",
        history=Transcript((said,)),
    )

    assert "secret" not in repr(action)


def test_a_path_with_a_nul_is_refused() -> None:
    with pytest.raises(InvalidAction, match="path holds a NUL"):
        Repository(path="a\0b")


@given(actions, st.data())
def test_the_same_request_has_the_same_hash_whoever_asks(action: ResearchAction, data: st.DataObject) -> None:
    other = replace(action, **{name: data.draw(values) for name, values in WHO.items()})

    assert other.request_hash == action.request_hash
    assert len(action.request_hash) == 32


@given(actions, st.sampled_from(sorted(PARTS)), st.data())
def test_every_changed_part_changes_the_hash(action: ResearchAction, part: str, data: st.DataObject) -> None:
    changed = replace(action, **{part: data.draw(PARTS[part])})

    assert (changed.request_hash == action.request_hash) == (changed == action)


LIMITED = {
    "iterations": (2, 3),
    "tool_calls": (0, 1),
    "tokens": (2, 3),
    "cost_usd": (0.1, 0.1000001),
    "deadline_s": (1, 1.5),
}


@pytest.mark.parametrize("name", LIMITED)
def test_every_single_limit_counts(name: str) -> None:
    asked = [hash_of(limits=Limits(**{name: value})) for value in (*LIMITED[name], None)]

    assert len(set(asked)) == 3


def hash_of(**given: Any) -> str:
    whole = {"question": "Where?", "tenant": "acme", "repository": Repository(path="here"), **given}
    return ResearchAction(**whole).request_hash


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"limits": Limits(cost_usd=1)}, {"limits": Limits(cost_usd=Decimal("1.00"))}),
        ({"limits": Limits(cost_usd=0.1)}, {"limits": Limits(cost_usd=Decimal("0.1"))}),
        ({"limits": Limits(deadline_s=5)}, {"limits": Limits(deadline_s=5.0)}),
        ({"repository": Repository(path="a")}, {"repository": Repository(path=Path("a"))}),
        ({"repository": Repository(path="a/b/")}, {"repository": Repository(path="a//b")}),
    ],
)
def test_one_value_written_in_two_ways_is_one_request(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert hash_of(**one) == hash_of(**other)


def test_a_transcript_that_a_database_gave_back_with_its_keys_sorted_is_the_same_one() -> None:
    def said(content: dict[str, Any]) -> Transcript:
        message = {"role": "user", "content": [content]}
        return Transcript((Turn(question="q", path=PathName.MESSAGES, model="m", answer="a", messages=(message,)),))

    one, other = said({"type": "text", "text": "x"}), said({"text": "x", "type": "text"})

    assert hash_of(conversation_id="c", history=one) == hash_of(conversation_id="c", history=other)


def test_parts_do_not_run_into_each_other() -> None:
    assert hash_of(project="ab", variant="c") != hash_of(project="a", variant="bc")
    assert hash_of(project="x") != hash_of(variant="x") != hash_of(conversation_id="x")


def test_the_hash_is_the_same_in_every_process() -> None:
    assert (
        hash_of(repository=Repository(path="/r", github_url=URL, commit="abcdef1"), project="p")
        == "0cfd254ef908579e893f80cd2c2c01b5"
    )
