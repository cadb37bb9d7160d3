"""An endpoint that faults can strike, before it is asked, instead of its answer, or inside its stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from dispatcher.simulator.connection import disconnected, hang_up
from dispatcher.simulator.faults.header import HEADER, rule_of
from dispatcher.simulator.faults.occasions import request_occasion
from dispatcher.simulator.faults.plan import Due
from dispatcher.simulator.faults.responses import (
    DropAfter,
    NonJson,
    ResponseFault,
    SlowHeaders,
    Stall,
    Status,
)
from dispatcher.simulator.faults.rule import Rule
from dispatcher.simulator.faults.runs import InterruptFault
from dispatcher.simulator.faults.streams import StreamFault, faulted
from dispatcher.simulator.faults.vocabulary import REQUESTS
from dispatcher.simulator.sse import EventStream
from dispatcher.simulator.world import World

Endpoint = Callable[[Request], Awaitable[Any]]


def with_faults(world: World, route: Route) -> Route:
    """The route, with the faults of the world around its endpoint; the route's name is its operation."""
    endpoint: Endpoint = route.endpoint

    async def answer(request: Request) -> Any:
        asked = request.headers.get(HEADER)
        if asked is not None:
            return await _as_asked(world, request, rule_of(asked, route.name), meet)
        if not world.faults.is_armed:
            return await endpoint(request)
        return await meet(request)

    async def meet(request: Request) -> Any:
        due = world.faults.at(await request_occasion(world, route.name, request))
        return await (endpoint(request) if due is None else _struck(world, endpoint, request, due))

    return Route(route.path, answer, methods=list(route.methods or ()), name=route.name)


async def _as_asked(world: World, request: Request, rule: Rule, meet: Endpoint) -> Any:
    """Answer a request with the fault that it asks for itself."""
    if rule.on in REQUESTS:
        world.faults.bind(rule, request_id=request.state.request_id)
    else:
        world.faults.bind(rule, session_id=request.path_params["session_id"])
    try:
        return await meet(request)
    finally:
        world.faults.release(request.state.request_id)


async def _struck(world: World, endpoint: Endpoint, request: Request, due: Due) -> Any:
    fault = due.fault
    if isinstance(fault, ResponseFault) and not isinstance(fault, SlowHeaders):
        return await _instead(world, endpoint, request, due)
    if isinstance(fault, SlowHeaders):
        due.happened()
        await world.clock.wait(fault.seconds)
    elif isinstance(fault, InterruptFault):
        request.state.deferral = due
    response = await endpoint(request)
    if isinstance(fault, StreamFault) and isinstance(response, EventStream):
        response.frames = faulted(response.frames, fault, due.happened, world.clock)
    return response


async def _instead(world: World, endpoint: Endpoint, request: Request, due: Due) -> Any:
    """What the client gets in place of the answer."""
    fault = due.fault
    if isinstance(fault, DropAfter) or getattr(fault, "applied", False):
        await _apply_unseen(endpoint, request)
    due.happened()
    match fault:
        case Status():
            return fault.response(request.state.request_id, world.clock.timestamp())
        case NonJson():
            return fault.response()
        case Stall():
            return _never
        case _:
            return _hanging_up


async def _apply_unseen(endpoint: Endpoint, request: Request) -> None:
    """Let the request have its effect, and run its stream to the end for nobody."""
    request.state.unseen = True
    response = await endpoint(request)
    if isinstance(response, EventStream):
        async for _ in response.frames:
            pass


async def _hanging_up(scope: Scope, receive: Receive, _send: Send) -> None:
    await hang_up(scope, receive)


async def _never(_scope: Scope, receive: Receive, _send: Send) -> None:
    await disconnected(receive)
