"""Whatever a document says, a server that sends it and a file that holds it decide alike and explain it alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from routing_documents import FLAG, KILL, document, only, policies, rule, text

from dispatcher.action.decision import DEFAULT_VARIANT, Decision
from dispatcher.action.request import Limits
from dispatcher.errors import InvalidFlags
from dispatcher.routing.decision import Situation, decide
from dispatcher.routing.flags.answer import FlagContext
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.json_object import NoDocumentError
from dispatcher.routing.flags.reader import document_version, read_flag_document
from dispatcher.routing.flags.server_document import read_server_document
from dispatcher.routing.flags.sift import sift_here
from dispatcher.routing.flags.state import EngineState, compile_state

TENANTS = ["acme", "globex", "script", "é\x00\u202e", "∅"]
PROJECTS = ["p-1", "p-2"]
VARIANTS = ["legacy", "legacy-cached", "managed-haiku-4-5-cap8", "nobody registered it"]
FIELDS = ["tenantId", "conversationId", "projectId"]
CONTEXTS = st.builds(
    FlagContext,
    tenant=st.sampled_from(TENANTS) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
    conversation=st.integers(0, 99).map("c-{}".format),
    project=st.sampled_from([None, *PROJECTS]),
)

LISTED = st.builds(
    lambda field, operator, values, inverted: {**only(*values, field=field, operator=operator), "inverted": inverted},
    st.sampled_from(FIELDS),
    st.sampled_from(["IN", "NOT_IN", "STR_CONTAINS", "STR_STARTS_WITH", "STR_ENDS_WITH"]),
    st.lists(st.sampled_from([*TENANTS, *PROJECTS, "c-1", "a"]), min_size=1, max_size=3),
    st.booleans(),
)
COMPARED = st.builds(
    lambda compared, inverted: {
        "contextName": compared[0],
        "operator": compared[1],
        "value": compared[2],
        "inverted": inverted,
    },
    st.sampled_from(
        [
            ("currentTime", "DATE_AFTER", "2020-01-01T00:00:00Z"),
            ("currentTime", "DATE_BEFORE", "2020-01-01T00:00:00.000+02:00"),
            ("tenantId", "NUM_GT", "7"),
            ("projectId", "SEMVER_LT", "1.2.3-rc.1"),
        ]
    ),
    st.booleans(),
)
RULES = st.builds(
    lambda constraints, weights, rollout, by, disabled, title, segments: {
        **rule(*constraints, variants=weights, rollout=rollout, by=by, title=title),
        "disabled": disabled,
        "segments": segments,
    },
    st.lists(LISTED | COMPARED, max_size=2),
    st.dictionaries(st.sampled_from(VARIANTS), st.integers(0, 1000), min_size=1, max_size=3),
    st.sampled_from(["0", "5", "50", "99", "100"]),
    st.sampled_from(FIELDS),
    st.booleans(),
    st.sampled_from(["one", "two", "three"]),
    st.lists(st.sampled_from([4, 5]), max_size=1),
)
PARENTS = st.fixed_dictionaries(
    {
        "name": st.sampled_from([KILL, "season"]),
        "enabled": st.booleans(),
        "strategies": st.lists(RULES, max_size=1).map(lambda rules: [*rules, {"name": "default", "parameters": {}}]),
    }
)
DEPENDENCIES = st.fixed_dictionaries(
    {"feature": st.sampled_from([KILL, "season"])},
    optional={"enabled": st.booleans(), "variants": st.lists(st.sampled_from(VARIANTS), max_size=2)},
)
SEGMENTS = st.builds(lambda number, one: {"id": number, "constraints": [one]}, st.sampled_from([4, 5]), LISTED)


def by_name(parent: dict[str, Any]) -> Any:
    return parent["name"]


def by_number(segment: dict[str, Any]) -> Any:
    return segment["id"]


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Mostly sound ones; others are refused by the file's reader, for reasons that the server's may see differently."""
    flag = document(*draw(st.lists(RULES, min_size=1, max_size=4)), enabled=draw(st.booleans() | st.just(True)))
    parents = draw(st.lists(PARENTS, min_size=draw(st.sampled_from([0, 2, 2])), max_size=2, unique_by=by_name))
    own = {**flag["features"][1], "dependencies": draw(st.lists(DEPENDENCIES, max_size=2))}
    features = draw(st.permutations([own, *parents]))
    segments = draw(st.lists(SEGMENTS, min_size=draw(st.sampled_from([0, 2, 2])), max_size=2, unique_by=by_number))
    return {"version": 2, "features": features, "segments": segments}


def of_ours(content: dict[str, Any]) -> dict[str, Any]:
    """Without the flags that ours doesn't depend on: what is wrong with them concerns only a file."""
    own = next(feature for feature in content["features"] if feature["name"] == FLAG)
    deciding = {FLAG, *(dependency["feature"] for dependency in own["dependencies"])}
    return {**content, "features": [feature for feature in content["features"] if feature["name"] in deciding]}


def of_file(content: bytes) -> EngineState | None:
    """As a file that holds the document, None where it is refused."""
    try:
        return compile_state(read_flag_document(content, "flags.json", [FLAG]), [FLAG])
    except InvalidFlags:
        return None


def of_server(content: bytes) -> EngineState | None:
    """As a server that sends the document, None where it is refused."""
    try:
        read = read_server_document(sift_here(content, [FLAG]), document_version(content), "server", [FLAG])
    except (InvalidFlags, NoDocumentError):
        return None
    return compile_state(read.document, [FLAG])


def decision(state: EngineState, context: FlagContext) -> Decision:
    """The decision with its steps; where the state came from, and how old it is, is the same for both."""
    answer = replace(FlagEngine(state).answer(FLAG, context, None), source="somewhere", age_s=0.0)
    registered = policies()
    return decide(Situation(policies=registered, answer=answer, obstacle=None, pin=None, limits=Limits()))


@settings(max_examples=200)
@given(content=documents().map(text), contexts=st.lists(CONTEXTS, min_size=1, max_size=4))
def test_what_a_file_may_hold_decides_and_explains_alike_from_a_server(
    content: bytes, contexts: list[FlagContext]
) -> None:
    file, server = of_file(content), of_server(content)
    if file is None:
        return
    assert server is not None
    for context in contexts:
        assert decision(server, context) == decision(file, context)


@settings(max_examples=200)
@given(content=documents().map(of_ours).map(text), context=CONTEXTS)
def test_what_a_file_may_not_hold_moves_nobody_when_a_server_sends_it(content: bytes, context: FlagContext) -> None:
    """It is refused there, too, or the flag is off."""
    server = of_server(content)
    if of_file(content) is None and server is not None:
        assert decision(server, context).variant.name == DEFAULT_VARIANT
