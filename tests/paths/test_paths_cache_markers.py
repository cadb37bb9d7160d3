"""Where the cache markers stand: four at most, and always where the request before had left something to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.paths.messages.cache_markers import LOOK_BACK_BLOCKS, marked
from dispatcher.paths.repository.tool_input import TOOLS

Messages = list[dict[str, Any]]


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def results(calls: int) -> list[dict[str, Any]]:
    return [{"type": "tool_result", "tool_use_id": f"t{n}", "content": [text("x")]} for n in range(calls)]


def reply(calls: int, *, thinks: bool) -> dict[str, Any]:
    thought = [{"type": "thinking", "thinking": "hm", "signature": "s"}] if thinks else []
    return {"role": "assistant", "content": [*thought, *({"type": "tool_use", "id": f"t{n}"} for n in range(calls))]}


@dataclass(frozen=True)
class Turn:
    """Rounds of tool calls, and whether the last request was made at a cap."""

    rounds: tuple[int, ...]
    capped: bool
    thinks: bool


def requests_of(turns: Sequence[Turn]) -> Iterator[tuple[Messages, bool]]:
    """The messages of every request of a conversation, and whether tools may be called in it."""
    messages: Messages = []
    for turn in turns:
        messages = [*messages, user(text("limit"), text("question"))]
        for at, calls in enumerate(turn.rounds):
            yield messages, True
            last = turn.capped and at == len(turn.rounds) - 1
            demand = [text("answer now")] if last else []
            messages = [*messages, reply(calls, thinks=turn.thinks), user(*results(calls), *demand)]
        yield messages, not (turn.capped and turn.rounds)
        messages = [*messages, {"role": "assistant", "content": [text("report")]}]


turns = st.lists(
    st.builds(
        Turn, rounds=st.lists(st.integers(1, 30), max_size=5).map(tuple), capped=st.booleans(), thinks=st.booleans()
    ),
    min_size=1,
    max_size=4,
)


def blocks_of(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All blocks of a request in the order in which a cache reads them."""
    return [*request["tools"], *request["system"], *(b for m in request["messages"] for b in m["content"])]


def marker_places(request: Mapping[str, Any]) -> list[int]:
    return [at for at, block in enumerate(blocks_of(request)) if "cache_control" in block]


@dataclass
class Cache:
    """The provider's rule: a marker writes an entry for its prefix, and reads the longest within 20 blocks.

    Whether tools may be called makes another prefix of the messages.
    """

    entries: set[tuple[int, bool]] = field(default_factory=set)

    def ask(self, request: Mapping[str, Any], *, with_tools: bool) -> int:
        """The number of blocks that are read; what is marked is readable afterwards."""
        fixed = len(request["tools"]) + len(request["system"])
        places = marker_places(request)
        seen = [
            at
            for place in places
            for at in range(place, place - LOOK_BACK_BLOCKS, -1)
            if (at, with_tools or at < fixed) in self.entries
        ]
        self.entries |= {(place, with_tools or place < fixed) for place in places}
        return max(seen, default=-1) + 1


def marked_requests(conversation: Sequence[Turn]) -> Iterator[tuple[dict[str, list[Any]], bool]]:
    for messages, with_tools in requests_of(conversation):
        yield marked(TOOLS, "system", messages, caching=True), with_tools


@given(turns)
def test_there_are_four_markers_at_most_and_two_in_what_never_changes(conversation: list[Turn]) -> None:
    for request, _ in marked_requests(conversation):
        assert 3 <= len(marker_places(request)) <= 4
        assert "cache_control" in request["system"][-1]


@given(turns)
def test_every_request_reads_all_that_a_request_of_its_kind_had_marked_before(conversation: list[Turn]) -> None:
    cache, newest = Cache(), {True: 0, False: 0}
    for request, with_tools in marked_requests(conversation):
        read = cache.ask(request, with_tools=with_tools)

        assert read >= (newest[with_tools] if with_tools else 0)
        newest[with_tools] = marker_places(request)[-1] + 1


@given(turns)
def test_what_is_marked_is_never_a_thought_and_is_all_that_differs(conversation: list[Turn]) -> None:
    for messages, _ in requests_of(conversation):
        request = marked(TOOLS, "system", messages, caching=True)
        blocks = [block for block in blocks_of(request) if "cache_control" in block]

        assert all(block["cache_control"] == {"type": "ephemeral"} for block in blocks)
        assert "thinking" not in {block.get("type") for block in blocks}
        for block in blocks:
            del block["cache_control"]
        assert request == marked(TOOLS, "system", messages, caching=False)


@given(turns)
def test_marking_leaves_the_conversation_as_it_was(conversation: list[Turn]) -> None:
    for messages, _ in requests_of(conversation):
        marked(TOOLS, "system", messages, caching=True)

        assert not [block for message in messages for block in message["content"] if "cache_control" in block]
        assert not [tool for tool in TOOLS if "cache_control" in tool]


@given(turns)
def test_without_caching_there_is_no_marker(conversation: list[Turn]) -> None:
    for messages, _ in requests_of(conversation):
        assert marker_places(marked(TOOLS, "system", messages, caching=False)) == []


def test_a_turn_after_a_cap_finds_what_was_written_before_the_last_large_round() -> None:
    """The last request's own entries can't be read: it could call no tool."""
    conversation = [Turn((2, 25), capped=True, thinks=False), Turn((), capped=False, thinks=False)]
    cache = Cache()
    asked = list(marked_requests(conversation))
    read = [cache.ask(request, with_tools=with_tools) for request, with_tools in asked]

    assert read[-1] == marker_places(asked[1][0])[-1] + 1
    assert "cache_control" not in asked[-1][0]["tools"][-1]


def test_a_message_that_holds_nothing_to_mark_is_passed_over() -> None:
    messages = [user(text("question")), {"role": "assistant", "content": [text("hm")]}, user(text(""))]

    places = marker_places(marked(TOOLS, "s", messages, caching=True))
    assert places == [len(TOOLS) - 1, len(TOOLS), len(TOOLS) + 1]
