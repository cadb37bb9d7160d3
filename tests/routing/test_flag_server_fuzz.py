"""Whatever a server's document holds, it is refused in words or answers, and an off always gets through."""

from __future__ import annotations

import copy
from typing import Any

from flag_edits import flag_of, sound
from hypothesis import given, settings
from hypothesis import strategies as st
from routing_documents import FLAG, ask, text
from test_flag_fuzz import JSON, places

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flags.answer import FlagState
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.json_object import NoDocumentError
from dispatcher.routing.flags.server_document import read_server_document
from dispatcher.routing.flags.sift import sift_here
from dispatcher.routing.flags.state import compile_state


def answered(content: bytes) -> FlagState | None:
    """The state of the answer; None where the document is refused, with a reason."""
    try:
        read = read_server_document(sift_here(content, [FLAG]), "v", "the server", [FLAG])
    except NoDocumentError as refused:
        return None if str(refused) else FlagState.ERROR
    except InvalidFlags as refused:
        return None if refused.problems and all(refused.problems) else FlagState.ERROR
    return ask(FlagEngine(compile_state(read.document, [FLAG]))).state


def replaced(place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    content = copy.deepcopy(sound())
    node: Any = content
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return content


@settings(max_examples=300)
@given(place=st.sampled_from(places(sound())[1:]), value=JSON)
def test_a_document_with_one_value_replaced_is_refused_or_answers(place: tuple[Any, ...], value: Any) -> None:
    assert answered(text(replaced(place, value))) is not FlagState.ERROR


INNER = [place for place in places(sound()) if place[:2] != ("features", 1) and len(place) > 1]
OWN = [place for place in places(sound()) if place[:2] == ("features", 1) and len(place) > 2 and place[2] != "name"]


@settings(max_examples=300)
@given(place=st.sampled_from([*INNER, *OWN]), value=JSON)
def test_an_off_gets_through_whichever_value_is_replaced(place: tuple[Any, ...], value: Any) -> None:
    content = replaced(place, value)
    flag_of(content)["enabled"] = False

    assert answered(text(content)) is FlagState.OFF


@settings(max_examples=200)
@given(st.binary(max_size=60), st.integers(0, 2000), st.integers(0, 40))
def test_a_document_with_bytes_cut_out_and_put_in_is_refused_or_answers(noise: bytes, at: int, cut: int) -> None:
    content = text(sound())

    assert answered(content[:at] + noise + content[at + cut :]) is not FlagState.ERROR
