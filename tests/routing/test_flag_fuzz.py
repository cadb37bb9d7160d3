"""Whatever a flag document holds, it is refused in words, or the flag engine takes it."""

from __future__ import annotations

import copy
from typing import Any

from flag_edits import sound
from hypothesis import given, settings
from hypothesis import strategies as st
from routing_documents import FLAG, ask, text

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flags.answer import FlagState
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.reader import read_flag_document
from dispatcher.routing.flags.state import compile_state

WORDS = st.sampled_from(
    ["", "100", "0", "150", "IN", "NOT_IN", "DATE_AFTER", "default", "tenantId", "acme", FLAG, "\ud800", "\x00", "é"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def places(node: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [at, *(place for key, value in inner for place in places(value, (*at, key)))]


def answered(content: bytes) -> FlagState | None:
    """The state of the answer; None where the document is refused, with a reason."""
    try:
        document = read_flag_document(content, "flags.json", [FLAG])
    except InvalidFlags as refused:
        return None if refused.problems and all(refused.problems) else FlagState.ERROR
    return ask(FlagEngine(compile_state(document, [FLAG]))).state


@settings(max_examples=300)
@given(place=st.sampled_from(places(sound())[1:]), value=JSON)
def test_a_document_with_one_value_replaced_is_refused_or_answers(place: tuple[Any, ...], value: Any) -> None:
    content = copy.deepcopy(sound())
    node: Any = content
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value

    assert answered(text(content)) is not FlagState.ERROR


@settings(max_examples=200)
@given(st.binary(max_size=60), st.integers(0, 2000), st.integers(0, 40))
def test_a_document_with_bytes_cut_out_and_put_in_is_refused_or_answers(noise: bytes, at: int, cut: int) -> None:
    content = text(sound())

    assert answered(content[:at] + noise + content[at + cut :]) is not FlagState.ERROR
