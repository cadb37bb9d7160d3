"""The requests and moments that faults can strike, with the texts by which a scenario is told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from starlette.requests import Request

from dispatcher.simulator.faults.plan import Occasion, Plan
from dispatcher.simulator.faults.replies import kinds_of, spoiled
from dispatcher.simulator.faults.responses import ResponseFault
from dispatcher.simulator.faults.runs import InterruptFault
from dispatcher.simulator.faults.streams import StreamFault
from dispatcher.simulator.faults.vocabulary import Fault, Moment
from dispatcher.simulator.inference import Inference
from dispatcher.simulator.managed.session import Session
from dispatcher.simulator.model.conversation import blocks_of, text_of
from dispatcher.simulator.model.request import ModelRequest
from dispatcher.simulator.model.toolbox import toolbox_of
from dispatcher.simulator.world import World

Body = Mapping[str, Any]


async def request_occasion(world: World, operation: str, request: Request) -> Occasion:
    """An HTTP request as a place where a fault may strike; it isn't checked yet, and may be nonsense."""
    body = _body(await request.body())
    session = world.store.sessions.get(str(request.path_params.get("session_id")))
    sent = frozenset(str(event.get("type")) for event in _objects(body, "events"))
    kinds: list[type[Fault]] = [ResponseFault]
    if operation == "events.stream" or (operation == "messages.create" and body.get("stream")):
        kinds.append(StreamFault)
    if session is not None and "user.interrupt" in sent and (session.is_running or "user.message" in sent):
        kinds.append(InterruptFault)
    return Occasion(
        on=operation,
        kinds=tuple(kinds),
        texts=lambda: [*_texts_of_body(body), *(texts_of_session(session) if session else ())],
        sent=sent,
        request_id=request.state.request_id,
        session_id=session.id if session else None,
    )


def texts_of_session(session: Session) -> Iterator[str]:
    """What a scenario of a session is looked for in: its id, its title, its metadata, its user's messages."""
    yield from (session.id, session.title or "", *session.metadata.values())
    for message in (*session.transcript, *session.waiting):
        if message.get("role", "user") == "user":
            yield text_of(message["content"])


def reply_occasion(request: Request, body: Body) -> Occasion:
    """A Messages request whose reply is known, as a place where a fault may strike."""
    return Occasion(
        on="messages.create", kinds=(), texts=lambda: _texts_of_body(body), request_id=request.state.request_id
    )


def moment(operation: Moment, session: Session, *kinds: type[Fault]) -> Occasion:
    """A moment inside a session as a place where faults of these kinds may strike."""
    return Occasion(on=operation, kinds=kinds, texts=lambda: texts_of_session(session), session_id=session.id)


def replied(
    plan: Plan, occasion: Occasion, inference: Inference, request: ModelRequest
) -> tuple[Inference, Fault | None]:
    """The model's reply as the fault leaves it that it meets, and that fault."""
    tool = toolbox_of(request.tools).submit
    submit = tool.name if tool else None
    due = plan.at(replace(occasion, kinds=kinds_of(inference.content, submit)))
    if due is None:
        return inference, None
    due.happened()
    return spoiled(inference, due.fault, submit), due.fault


def _texts_of_body(body: Body) -> Iterator[str]:
    yield from (str(body.get(name) or "") for name in ("name", "title"))
    metadata = body.get("metadata")
    yield from map(str, metadata.values() if isinstance(metadata, Mapping) else ())
    for name in ("messages", "events", "initial_events"):
        for one in _objects(body, name):
            if one.get("role", one.get("type")) in ("user", "user.message"):
                yield text_of(blocks_of(one.get("content")))


def _objects(body: Body, name: str) -> list[Body]:
    values = body.get(name)
    return [one for one in values if isinstance(one, Mapping)] if isinstance(values, list) else []


def _body(raw: bytes) -> Body:
    try:
        body = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, Mapping) else {}
