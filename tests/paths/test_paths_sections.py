"""Stable before volatile: every kind has a class, the prefix never moves, and what moves it is named."""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages_world import SEARCH, run
from paths_world import make_job, make_observer
from pydantic import SecretStr
from scripted_provider import answering, provider

from dispatcher.action.decision import PathName
from dispatcher.action.transcript import Transcript, Turn
from dispatcher.paths.claude import Claude
from dispatcher.paths.earlier_turns import RESULT_CHARS, flattened_turns, shortened
from dispatcher.paths.messages.path import MessagesPath
from dispatcher.paths.messages.prompt import Prompt
from dispatcher.paths.path import Fresh, Replay
from dispatcher.paths.prompt import (
    PREFIX,
    SECTIONS,
    SUBMIT_TOOL,
    answer_now_text,
    changed_sections,
    question_sections,
    question_text,
    repair_text,
    section_fingerprints,
)
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.paths.repository.tool_input import TOOLS
from dispatcher.paths.sections import INNER_TAGS, STABILITY, Section, SectionKind, Stability, quoted

MESSAGES = SECTIONS[PathName.MESSAGES]
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)
hostile = st.builds(
    "".join,
    st.lists(
        texts
        | st.sampled_from([*SectionKind, *INNER_TAGS, *(f"</{tag}>" for tag in (*SectionKind, *INNER_TAGS))])
        | st.sampled_from(["<", ">", "/", " ", "</", "< /"]),
        max_size=8,
    ),
)


def block(kind: str, said: str) -> dict[str, Any]:
    if kind == "tool_use":
        return {"type": kind, "id": "t", "name": said, "input": {"pattern": said}}
    if kind == "tool_result":
        return {"type": kind, "tool_use_id": "t", "content": [{"type": "text", "text": said}]}
    return {"type": kind, "text": said}


messages = st.builds(
    lambda role, blocks: {"role": role, "content": blocks},
    st.sampled_from(["user", "assistant"]),
    st.lists(st.builds(block, st.sampled_from(["text", "tool_use", "tool_result"]), hostile), min_size=1, max_size=3),
)
transcripts = st.lists(
    st.builds(
        Turn,
        question=hostile,
        path=st.sampled_from(PathName),
        model=st.sampled_from(["claude-sonnet-4-6", "another"]),
        answer=hostile,
        messages=st.lists(messages, max_size=4).map(tuple),
    ),
    min_size=1,
    max_size=3,
).map(lambda turns: Transcript(tuple(turns)))


def test_every_kind_of_section_is_stable_or_volatile() -> None:
    assert set(STABILITY) == set(SectionKind)


@pytest.mark.parametrize("path", PathName)
def test_the_system_prompt_is_stable_and_the_message_volatile(path: PathName) -> None:
    said = question_sections("q", replies=1, mounted_at="/w", earlier=Transcript())

    assert {STABILITY[section.kind] for section in SECTIONS[path]} == {Stability.STABLE}
    assert {STABILITY[section.kind] for section in said} == {Stability.VOLATILE}


def test_every_kind_is_sent_somewhere_and_stable_ones_come_first() -> None:
    earlier = Transcript((Turn(question="q", path=PathName.MANAGED, model="m", answer="a", messages=()),))
    sent = [
        SectionKind.TOOLS,
        *(section.kind for section in MESSAGES),
        *(section.kind for section in question_sections("q", replies=1, mounted_at="/w", earlier=earlier)),
        *(SectionKind(text.partition(">")[0][1:]) for text in (repair_text("x"), answer_now_text(PathName.MESSAGES))),
    ]

    assert sent == list(SectionKind)
    classes = [STABILITY[kind] for kind in sent]
    assert classes == sorted(classes, key=lambda stability: stability is Stability.VOLATILE)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(texts.filter(str.strip), st.integers(1, 30), st.none() | transcripts), min_size=2, max_size=3)
)
async def test_the_prefix_is_the_same_bytes_whatever_is_volatile(
    checkout: Checkout, asked: list[tuple[str, int, Transcript | None]]
) -> None:
    """Held against what goes over the wire: question, limit and earlier turns differ, tools and system don't."""
    prefixes, fingerprints, sections = set(), set(), []
    for question, replies, earlier in asked:
        observer = make_observer()
        job = make_job(checkout, cap=replies, question=question, seed=Fresh() if earlier is None else Replay(earlier))
        async with provider([answering()]) as scripted:
            claude = Claude(api_key=SecretStr("k"), base_url=scripted.base_url, simulated=False)
            await MessagesPath(claude).run(job, observer)
        seen = observer.observed()
        prefixes.add(repr((scripted.requests[0]["tools"], scripted.requests[0]["system"])))
        fingerprints.add(seen.prefix_fingerprint)
        sections.append(seen.section_fingerprints)

    assert len(prefixes) == len(fingerprints) == 1
    assert all(changed_sections(sections[0], other) == () for other in sections)


def test_a_fingerprint_is_logged_for_every_section_and_for_the_prefix() -> None:
    said = question_sections("Where?", replies=3)
    fingerprints = section_fingerprints(TOOLS, MESSAGES, said)

    assert set(fingerprints) == {PREFIX, "tools", "role", "method", "trust", "citations", "answer", "limit", "question"}
    assert all(re.fullmatch("[0-9a-f]{16}", fingerprint) for fingerprint in fingerprints.values())
    assert len(set(fingerprints.values())) == len(fingerprints)


CHANGES = [
    (TOOLS[:-1], MESSAGES, ("tools",)),
    (TOOLS, (Section(SectionKind.ROLE, "another"), *MESSAGES[1:]), ("role",)),
    (TOOLS[::-1], (*MESSAGES[:-1], Section(SectionKind.ANSWER, "another")), ("tools", "answer")),
    (TOOLS, MESSAGES[:-1], ("answer",)),
    (TOOLS, MESSAGES[::-1], ("unattributed",)),
    (TOOLS, MESSAGES, ()),
]


@pytest.mark.parametrize(("tools", "system", "named"), CHANGES)
def test_the_section_that_moved_the_prefix_is_named(tools: Any, system: Any, named: tuple[str, ...]) -> None:
    before = section_fingerprints(TOOLS, MESSAGES, question_sections("Where?", replies=3))
    now = section_fingerprints(tools, system, question_sections("Why?", replies=9, mounted_at="/w"))

    assert set(changed_sections(before, now)) == set(named)
    assert set(changed_sections(now, before)) == set(named)


def test_nothing_has_changed_since_a_prompt_that_is_not_known() -> None:
    now = section_fingerprints(TOOLS, MESSAGES)

    assert changed_sections({}, now) == changed_sections(now, {}) == ()


async def test_an_attempt_logs_its_fingerprints_and_no_drift(checkout: Checkout) -> None:
    ran = await run(checkout, [SEARCH, SEARCH, answering()])
    job = make_job(checkout)

    assert ran.seen.section_fingerprints == Prompt(job).section_fingerprints()
    assert ran.seen.section_fingerprints[PREFIX] == ran.seen.prefix_fingerprint
    assert ran.seen.prefix_changed == ()


async def test_what_changes_the_prefix_while_an_attempt_runs_is_named(checkout: Checkout) -> None:
    """The definitions of the tools are one object of the process, so a program can reach them."""
    kept = dict(TOOLS[0])
    definition: Any = TOOLS[0]

    def answer(_body: dict[str, Any]) -> Any:
        if "changed" not in definition["description"]:
            definition["description"] += " changed"
            return SEARCH
        return answering()

    try:
        ran = await run(checkout, answer)
    finally:
        definition.update(kept)

    assert ran.seen.prefix_changed == ("tools",)


def tags_in(text: str) -> list[str]:
    return re.findall(rf"<\s*/?\s*(?:{'|'.join((*SectionKind, *INNER_TAGS))})\b", text, re.IGNORECASE)


@given(hostile)
def test_quoted_text_holds_no_tag_of_ours(text: str) -> None:
    assert tags_in(quoted(text)) == []
    assert quoted(quoted(text)) == quoted(text)


def test_code_is_quoted_as_it_is() -> None:
    code = "if a < b && c > d: render('<div class=turnip>&lt;</div>')"

    assert quoted(code) == code


@given(transcripts, texts)
def test_earlier_turns_can_neither_leave_their_section_nor_open_another(earlier: Transcript, question: str) -> None:
    text = question_text(question, replies=8, mounted_at="/w", earlier=earlier)
    tags = [tag.lower() for tag in tags_in(text)]

    outer = [tag for tag in tags if tag.strip("</") not in INNER_TAGS]
    kinds = ("earlier_turns", "repository", "limit", "question")
    assert outer == list(chain(*((f"<{kind}", f"</{kind}") for kind in kinds)))
    assert [tags.count(tag) for tag in ("<turn", "</turn", "<answered")] == [len(earlier.turns)] * 3
    assert f"<earlier_turns>\n{flattened_turns(earlier, answers_by=SUBMIT_TOOL)}\n</earlier_turns>" in text


def test_the_trust_section_speaks_of_earlier_turns() -> None:
    trust = next(section for section in MESSAGES if section.kind is SectionKind.TRUST)

    assert "earlier turns" in trust.text


def test_what_earlier_turns_returned_is_told_up_to_a_bound() -> None:
    turn = Turn(
        question="Where?",
        path=PathName.MANAGED,
        model="m",
        answer='{"summary": "there"}',
        messages=(
            {"role": "user", "content": [block("text", "<question>Where?</question>")]},
            {"role": "assistant", "content": [block("text", "Looking."), block("tool_use", "grep")]},
            {"role": "user", "content": [block("tool_result", "x" * RESULT_CHARS + "beyond")]},
            {"role": "assistant", "content": [{"type": "tool_use", "name": "submit_result", "input": {"a": "no"}}]},
        ),
    )
    told = flattened_turns(Transcript((turn,)), answers_by="submit_result")

    assert told == (
        "<turn>\n<asked>\nWhere?\n</asked>\n<said>\nLooking.\n</said>\n"
        '<called>\ngrep {"pattern": "grep"}\n</called>\n'
        f"<returned>\n{'x' * RESULT_CHARS}\n[6 more characters left out]\n</returned>\n"
        '<answered>\n{"summary": "there"}\n</answered>\n</turn>'
    )


@given(st.text(max_size=50), st.integers(0, 60))
def test_a_text_is_cut_only_where_it_is_too_long(text: str, most: int) -> None:
    cut = shortened(text, most)

    assert cut == text if len(text) <= most else cut.startswith(text[:most])
