"""The ASGI application: routes, credentials, the simulator's own marks, and error bodies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dispatcher.simulator.effects import Effect
from dispatcher.simulator.faults.endpoint import with_faults
from dispatcher.simulator.managed.routes import managed_routes
from dispatcher.simulator.messages.endpoint import messages_routes
from dispatcher.simulator.refusal import Refusal
from dispatcher.simulator.world import World

_OPEN_PATHS = frozenset({"/simulator"})
_ELSEWHERE = "/elsewhere/"


def build_application(world: World) -> ASGIApp:
    """The whole API over one world."""
    served = [*messages_routes(world), *managed_routes(world)]
    routes = [_about_route(world), _elsewhere_route(world), *(with_faults(world, route) for route in served)]
    handlers: dict[int | type[Exception], Callable[..., Awaitable[Response]]] = {
        Refusal: _refused,
        HTTPException: _no_such_route,
        ClientDisconnect: _unheard,
        Exception: _defect,
    }
    return Gate(Starlette(routes=routes, exception_handlers=handlers), world)


class Gate:
    """What every request passes: a request id, the simulator's marks on the response, and a credential."""

    def __init__(self, inner: ASGIApp, world: World) -> None:
        self._inner = inner
        self._mint = world.mint
        self._marks = marks(world.config.time_scale)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        request_id = self._mint("req")
        api_key = credential(Headers(scope=scope))
        scope.setdefault("state", {}).update(request_id=request_id, api_key=api_key, unseen=False, deferral=None)

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update({**self._marks, "request-id": request_id})
            await send(message)

        if api_key is None and scope["path"] not in _OPEN_PATHS and not scope["path"].startswith(_ELSEWHERE):
            refusal = Refusal(401, "a credential is required: Authorization: Bearer or x-api-key")
            await JSONResponse(refusal.body(request_id), 401)(scope, receive, marked)
            return
        await self._inner(scope, receive, marked)


def marks(time_scale: float) -> dict[str, str]:
    """The headers by which every response says that it is simulated, and how fast."""
    return {"x-simulator": "dispatcher", "x-simulator-time-scale": f"{time_scale:g}"}


def credential(headers: Headers) -> str | None:
    """The API key of a request, in either of the forms that SDKs send; None without one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "").strip()
    return key or None


def _about_route(world: World) -> Route:
    async def about(_request: Request) -> Response:
        return JSONResponse({"simulator": "dispatcher", "time_scale": world.config.time_scale})

    return Route("/simulator", about)


def _elsewhere_route(world: World) -> Route:
    """A stranger's server, for tests in which something must not call it: any request here is an effect."""

    async def called(request: Request) -> Response:
        world.effects.append(Effect("network", "http", str(request.url)))
        return Response(status_code=204)

    return Route(f"{_ELSEWHERE}{{rest:path}}", called, methods=["GET", "POST", "PUT", "DELETE"])


async def _refused(request: Request, refusal: Refusal) -> Response:
    return JSONResponse(refusal.body(request.state.request_id), refusal.status)


async def _no_such_route(request: Request, error: HTTPException) -> Response:
    refusal = Refusal(error.status_code, error.detail)
    return JSONResponse(refusal.body(request.state.request_id), error.status_code)


async def _unheard(_request: Request, _error: Exception) -> Response:
    """The client left before it had said all of its request: nobody hears the answer, and nothing is wrong here."""
    return Response(status_code=400)


async def _defect(request: Request, _error: Exception) -> Response:
    return JSONResponse(Refusal(500, "Internal server error").body(request.state.request_id), 500)
