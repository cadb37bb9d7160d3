"""The prompt cache: vectors computed by hand, and identities that hold for any prompt."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.action.observation import Usage
from dispatcher.simulator.metering.cache import CachedPrompt, PromptCache
from dispatcher.simulator.metering.prefix import PrefixBlock, RawBlock, chain, count_tokens, prompt_prefix

SCOPE = ("key", "claude-sonnet-4-6")


def prompt(*blocks: tuple[str, int] | tuple[str, int, Any]) -> tuple[PrefixBlock, ...]:
    return chain([], [RawBlock(name.encode(), tokens, *marker) for name, tokens, *marker in blocks])


def served(
    cache: PromptCache, blocks: tuple[PrefixBlock, ...], now: float = 0.0, *, minimum: int = 0, scope: Any = SCOPE
) -> CachedPrompt:
    opened = cache.open(scope, blocks, minimum, now)
    cache.begin_response(opened)
    return opened


def classes(usage: Usage) -> tuple[int | None, ...]:
    """Uncached, read, written for five minutes, written for an hour."""
    return (
        usage.input_tokens,
        usage.cache_read_input_tokens,
        usage.cache_creation_5m_input_tokens,
        usage.cache_creation_1h_input_tokens,
    )


GROWING = [
    prompt(("tools", 1000), ("system", 500, "1h"), ("question", 100, "5m")),
    prompt(("tools", 1000), ("system", 500, "1h"), ("question", 100), ("call", 30), ("result", 200, "5m")),
    prompt(("tools", 1000), ("system", 500, "1h"), ("question", 100), ("call", 30), ("result", 200), ("new", 70)),
]


def test_a_growing_conversation_reads_what_it_wrote() -> None:
    cache = PromptCache()

    assert classes(served(cache, GROWING[0], 0).usage) == (0, 0, 100, 1500)
    assert classes(served(cache, GROWING[1], 10).usage) == (0, 1600, 230, 0)
    assert classes(served(cache, GROWING[2], 20).usage) == (400, 1500, 0, 0)


def test_without_markers_everything_is_plain_input() -> None:
    cache = PromptCache()
    for _ in range(2):
        assert classes(served(cache, prompt(("a", 5000), ("b", 1))).usage) == (5001, 0, 0, 0)


def test_five_minutes_end_the_short_entries_and_leave_the_long_ones() -> None:
    cache = PromptCache()
    served(cache, GROWING[0], 0)

    assert classes(served(cache, GROWING[0], 300).usage) == (0, 1500, 100, 0)


def test_a_hit_lets_an_entry_live_on() -> None:
    cache = PromptCache()
    short = prompt(("a", 2000, "5m"))
    served(cache, short, 0)
    hits = [served(cache, short, now).usage.cache_read_input_tokens for now in (299, 598, 897.9, 1197.8, 1500)]

    assert hits == [2000, 2000, 2000, 2000, 0]


def test_the_hour_ends_too() -> None:
    cache = PromptCache()
    hour = prompt(("a", 2000, "1h"))
    served(cache, hour, 0)

    assert served(cache, hour, 3599).usage.cache_read_input_tokens == 2000
    assert served(cache, hour, 3599 + 3600).usage.cache_read_input_tokens == 0


def test_a_life_counts_from_the_start_of_the_request() -> None:
    cache = PromptCache()
    short = prompt(("a", 2000, "5m"))
    slow = cache.open(SCOPE, short, 0, 0)
    cache.begin_response(slow)

    assert cache.open(SCOPE, short, 0, 299.9).usage.cache_read_input_tokens == 2000


def test_entries_are_readable_only_once_a_response_has_begun() -> None:
    cache = PromptCache()
    first, second = cache.open(SCOPE, GROWING[0], 0, 0), cache.open(SCOPE, GROWING[0], 0, 0)
    cache.begin_response(first)
    third = cache.open(SCOPE, GROWING[0], 0, 0)

    assert [one.usage.cache_read_input_tokens for one in (first, second, third)] == [0, 0, 1600]


def test_below_the_minimum_nothing_is_cached() -> None:
    cache = PromptCache()
    small = prompt(("a", 1023, "5m"), ("b", 1))
    for _ in range(2):
        assert classes(served(cache, small, minimum=1024).usage) == (1024, 0, 0, 0)
    enough = prompt(("a", 1024, "5m"), ("b", 1))
    served(cache, enough, minimum=1024)

    assert classes(served(cache, enough, minimum=1024).usage) == (1, 1024, 0, 0)


def chat(length: int, *, marked_at: int) -> tuple[PrefixBlock, ...]:
    return prompt(*((f"block {i}", 100, "5m") if i == marked_at else (f"block {i}", 100) for i in range(length)))


def test_a_marker_looks_back_over_twenty_blocks_and_no_further() -> None:
    for distance, read in ((19, 1000), (20, 0)):
        cache = PromptCache()
        served(cache, chat(10, marked_at=9))

        assert served(cache, chat(10 + distance, marked_at=9 + distance)).usage.cache_read_input_tokens == read


def test_keys_and_models_share_nothing() -> None:
    cache = PromptCache()
    served(cache, GROWING[0])
    for scope in (("other", SCOPE[1]), (SCOPE[0], "claude-haiku-4-5")):
        assert served(cache, GROWING[0], scope=scope).usage.cache_read_input_tokens == 0


BODY: dict[str, Any] = {
    "model": SCOPE[1],
    "tools": [{"name": "t", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}],
    "system": [{"type": "text", "text": "s" * 40, "cache_control": {"type": "ephemeral"}}],
    "messages": [{"role": "user", "content": [{"type": "text", "text": "q", "cache_control": {"type": "ephemeral"}}]}],
}


def test_a_change_loses_what_comes_after_it() -> None:
    tokens = [block.tokens for block in prompt_prefix(BODY)]
    all_of_it, before_messages, tools_only = sum(tokens), sum(tokens[:2]), tokens[0]
    changes: list[tuple[dict[str, Any], int]] = [
        ({}, all_of_it),
        ({"messages": [*BODY["messages"], {"role": "assistant", "content": "a"}]}, all_of_it),
        (
            {"messages": [{"role": "user", "content": [{**BODY["messages"][0]["content"][0], "text": "r"}]}]},
            before_messages,
        ),
        ({"tool_choice": {"type": "none"}}, before_messages),
        ({"output_config": {"effort": "low"}}, before_messages),
        ({"system": [{**BODY["system"][0], "text": "t" * 40}]}, tools_only),
        ({"tools": [{**BODY["tools"][0], "description": "other"}]}, 0),
    ]
    for change, read in changes:
        cache = PromptCache()
        served(cache, prompt_prefix(BODY))

        assert served(cache, prompt_prefix({**BODY, **change})).usage.cache_read_input_tokens == read, change


def test_moving_a_marker_changes_no_content() -> None:
    unmarked = {**BODY, "messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}]}

    assert [b.digest for b in prompt_prefix(BODY)] == [b.digest for b in prompt_prefix(unmarked)]


def test_a_plain_string_is_one_text_block() -> None:
    as_text = {**BODY, "messages": [{"role": "user", "content": "q"}]}

    assert prompt_prefix(as_text)[-1].digest == prompt_prefix(BODY)[-1].digest


def test_the_automatic_marker_is_on_the_last_block() -> None:
    automatic = {"messages": [{"role": "user", "content": "q"}], "cache_control": {"type": "ephemeral", "ttl": "1h"}}

    assert [block.marker for block in prompt_prefix(automatic)] == ["1h"]


def test_tokens_are_quarters_of_bytes_rounded_up() -> None:
    assert [count_tokens(b"x" * size) for size in (0, 1, 4, 5, 8)] == [0, 1, 1, 2, 2]
    assert count_tokens("äää".encode()) == 2


MARKERS = st.sampled_from([None, "5m", "1h"])
BLOCKS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50), MARKERS), min_size=1, max_size=30)


@given(st.lists(st.tuples(BLOCKS, st.floats(0, 4000)), min_size=1, max_size=8), st.integers(0, 200))
def test_every_token_is_in_exactly_one_class(requests: list[tuple[Any, float]], minimum: int) -> None:
    cache, now = PromptCache(), 0.0
    for raw, pause in requests:
        now += pause
        blocks = prompt(*raw)
        usage = served(cache, blocks, now, minimum=minimum).usage

        assert usage.prompt_tokens == sum(block.tokens for block in blocks)
        assert min(count for count in classes(usage) if count is not None) >= 0
        split = (usage.cache_creation_5m_input_tokens or 0) + (usage.cache_creation_1h_input_tokens or 0)
        assert split == usage.cache_creation_input_tokens


@given(BLOCKS, st.floats(0, 299))
def test_a_repeated_prompt_reads_all_that_was_cached(raw: Any, pause: float) -> None:
    cache, blocks = PromptCache(), prompt(*raw)
    first, second = served(cache, blocks, 0).usage, served(cache, blocks, pause).usage

    assert second.cache_read_input_tokens == (first.cache_creation_input_tokens or 0)
    assert second.cache_creation_input_tokens == 0
    assert second.input_tokens == first.input_tokens


@given(BLOCKS)
def test_reads_end_where_a_prompt_once_had_a_marker(raw: Any) -> None:
    cache, blocks = PromptCache(), prompt(*raw)
    served(cache, blocks)
    ends = {
        0,
        *(total for total, block in zip(accumulate(b.tokens for b in blocks), blocks, strict=True) if block.marker),
    }

    assert served(cache, blocks).usage.cache_read_input_tokens in ends
