"""The transcript: kept word for word, read strictly, and never quoted in an error."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.action.decision import PathName
from dispatcher.action.transcript import Transcript, Turn, verbatim
from dispatcher.errors import InvalidAction

SECRET = "sk-ant-very-secret"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
# A kind of block that nobody knows is kept as it is, whatever it holds.
blocks = st.dictionaries(texts.filter("cache_control".__ne__), values, max_size=3).map(
    lambda held: {"type": "of_tomorrow", **{key: value for key, value in held.items() if key != "type"}}
)
messages = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.just("user"),
    st.lists(blocks, min_size=1, max_size=3),
)
transcripts = st.lists(
    st.builds(
        Turn,
        question=texts,
        path=st.sampled_from(PathName),
        model=st.text("ab", min_size=1),
        answer=texts,
        messages=st.lists(messages, max_size=3).map(tuple),
    ),
    max_size=3,
).map(lambda turns: Transcript(tuple(turns)))


@given(transcripts)
def test_what_is_written_is_read_back_word_for_word(transcript: Transcript) -> None:
    text = transcript.to_json()

    assert Transcript.from_json(text) == transcript
    assert Transcript.from_json(text.encode()) == transcript
    # Key by key, too: what is replayed must be the very bytes that a cache knows.
    assert Transcript.from_json(text).to_json() == text


def test_what_no_database_takes_is_no_part_of_the_text() -> None:
    said = ({"role": "user", "content": [{"type": "text", "text": "half \ud83d and NUL \0"}]},)
    transcript = Transcript((turn(question="\udfff", messages=said),))

    text = transcript.to_json()

    assert text.encode()
    assert "\0" not in text
    (read,) = Transcript.from_json(text).turns
    assert (read.question, read.messages[0]["content"][0]["text"]) == ("\ufffd", "half \ufffd and NUL \0")


def turn(**changes: Any) -> Turn:
    said = ({"role": "user", "content": [{"type": "text", "text": "Where?"}]},)
    return Turn(
        **{"question": "q", "path": PathName.MESSAGES, "model": "m", "answer": "a", "messages": said, **changes}
    )


def document(**changes: Any) -> dict[str, Any]:
    return {**json.loads(Transcript((turn(),)).to_json())["turns"][0], **changes}


def problems(written: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidAction) as refused:
        Transcript.from_json(written if isinstance(written, str | bytes) else json.dumps(written))
    assert refused.value.subject == "history"
    return refused.value.problems


@pytest.mark.parametrize(
    "text", ["", "{", "\0", "nul", b"\xff", '"\ud83d"', '"\\ud83d"', "[" * 100_000, '{"schema": 1, "turns": [}']
)
def test_what_is_not_json_is_said_to_be_none(text: str | bytes) -> None:
    assert problems(text) == ("the text is not JSON",)


@pytest.mark.parametrize("text", ["[]", "1", "null", '"x"'])
def test_another_value_is_of_the_wrong_kind(text: str) -> None:
    assert problems(text) == ("the text has a value of the wrong kind",)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"question": 3}, "turns[0].question has a value of the wrong kind"),
        ({"path": "both"}, "turns[0].path is not the name of a path"),
        ({"model": ""}, "turns[0].model is empty"),
        ({"answer": None}, "turns[0].answer has a value of the wrong kind"),
        ({"messages": {}}, "turns[0].messages has a value of the wrong kind"),
        ({"more": 1}, "turns[0] holds a key that is not known"),
        (
            {"messages": [{"role": "system", "content": [{}]}]},
            "turns[0].messages[0].role is neither 'user' nor 'assistant'",
        ),
        ({"messages": [{"role": "user", "content": []}]}, "turns[0].messages[0].content is empty"),
        (
            {"messages": [{"role": "user", "content": "x"}]},
            (
                "turns[0].messages[0].content is not a list of content blocks; "
                'a text is written as [{"type": "text", "text": …}]'
            ),
        ),
        ({"messages": [{"role": "user"}]}, "turns[0].messages[0].content is missing"),
        (
            {"messages": [{"role": "user", "content": [1]}]},
            "turns[0].messages[0].content[0] has a value of the wrong kind",
        ),
    ],
)
def test_a_turn_is_read_strictly(changes: dict[str, Any], expected: str) -> None:
    assert problems({"schema": 1, "turns": [document(**changes)]}) == (expected,)


@pytest.mark.parametrize("schema", [0, 2, "1", 1.5, True, None])
def test_another_schema_is_refused(schema: Any) -> None:
    (problem,) = problems({"schema": schema, "turns": []})

    assert problem.startswith("schema ")


def test_every_problem_is_told_at_once_and_nothing_of_what_was_said() -> None:
    message = {"role": SECRET, "content": [SECRET], SECRET: 1}
    broken = {"question": [SECRET], "path": SECRET, "model": 1, "answer": {SECRET: 1}, "messages": [message], SECRET: 1}

    told = problems({"schema": 3, "turns": [broken, SECRET], SECRET: SECRET})

    assert len(told) == 11
    assert "secret" not in " ".join(told)


@given(st.binary(max_size=40) | st.text(max_size=40) | values.map(json.dumps))
def test_any_text_is_a_transcript_or_a_told_problem(text: str | bytes) -> None:
    with suppress(InvalidAction):
        assert isinstance(Transcript.from_json(text), Transcript)


def test_turns_of_the_same_model_on_the_messages_path_can_be_replayed() -> None:
    assert Transcript((turn(), turn())).can_be_replayed("m")
    assert Transcript().can_be_replayed("m")


@pytest.mark.parametrize("other", [{"path": PathName.MANAGED}, {"model": "n"}, {"messages": ()}])
@pytest.mark.parametrize("place", [0, 1])
def test_one_turn_of_another_kind_keeps_the_whole_from_being_replayed(other: dict[str, Any], place: int) -> None:
    turns = [turn(), turn()]
    turns[place] = turn(**other)

    assert not Transcript(tuple(turns)).can_be_replayed("m")


def test_a_turn_more_is_another_transcript() -> None:
    first = Transcript((turn(),))

    assert first.followed_by(turn(question="next")).turns == (turn(), turn(question="next"))
    assert first.turns == (turn(),)


def test_a_list_that_grows_later_does_not_reach_what_was_kept() -> None:
    content = [{"type": "text", "text": "first"}]
    said = [{"role": "user", "content": content}]
    kept = verbatim(said)
    content.append({"type": "text", "text": "second"})
    said.clear()

    assert kept == ({"role": "user", "content": [{"type": "text", "text": "first"}]},)
