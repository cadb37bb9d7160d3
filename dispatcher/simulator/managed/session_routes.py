"""Sessions and their events over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse

from dispatcher.simulator.managed import fields
from dispatcher.simulator.managed.budget import budget_view, changed_budget
from dispatcher.simulator.managed.creation import created_session
from dispatcher.simulator.managed.harness import wake
from dispatcher.simulator.managed.inbox import apply_event, checked_events
from dispatcher.simulator.managed.interrupts import defer_interrupts
from dispatcher.simulator.managed.listing import (
    chosen_times,
    chosen_values,
    flag,
    is_descending,
    page_by_creation,
    page_of,
)
from dispatcher.simulator.managed.running import spent_nanousd
from dispatcher.simulator.managed.session import Session
from dispatcher.simulator.managed.tools import resolved_tools
from dispatcher.simulator.reading import json_object, require_beta
from dispatcher.simulator.refusal import invalid
from dispatcher.simulator.sse import EventStream
from dispatcher.simulator.world import World

_PAGE = 20
_LARGEST_PAGE = 100
_EVENTS_PAGE = 1000
_UPDATABLE = frozenset(["agent", "budget", "metadata", "title", "vault_ids"])


@dataclass(frozen=True, slots=True)
class SessionRoutes:
    """The handlers of sessions."""

    world: World

    async def create(self, request: Request) -> JSONResponse:
        """POST /v1/sessions"""
        require_beta(request)
        body = await json_object(request)
        session, first = created_session(self.world, body, request.state.api_key)
        self.world.store.sessions[session.id] = session
        for event in first:
            apply_event(session, event)
        wake(self.world, session)
        return self._view(session)

    async def list(self, request: Request) -> JSONResponse:
        """GET /v1/sessions, the newest first by default"""
        require_beta(request)
        query, now = request.query_params, self.world.clock.real_seconds()
        chosen = [one for one in self.world.store.sessions.values() if _is_chosen(one, query, one.status(now))]
        descending = is_descending(query, "desc")
        if descending:
            chosen.reverse()
        cut = page_by_creation(
            chosen, query, lambda one: one.created_at, descending=descending, default=_PAGE, most=_LARGEST_PAGE
        )
        views = [self._resource(one) for one in cut.rows]
        return JSONResponse({"data": views, "next_page": cut.next_page, "prev_page": cut.prev_page})

    async def retrieve(self, request: Request) -> JSONResponse:
        """GET /v1/sessions/{id}"""
        return self._view(self._session(request))

    async def update(self, request: Request) -> JSONResponse:
        """POST /v1/sessions/{id}: title, metadata, budget, and tools of a session that isn't running"""
        session, body = self._session(request), await json_object(request)
        fields.only_known(body, _UPDATABLE)
        if session.is_over:
            raise invalid("the session is terminated")
        changes = self._changes(session, body)
        if changes:
            session.updated_at = self.world.clock.timestamp()
            session.log.emit("session.updated", **changes)
        if "budget" in changes and session.budget_reached:
            session.budget_reached = False
            self._resume(session)
        return self._view(session)

    async def archive(self, request: Request) -> JSONResponse:
        """POST /v1/sessions/{id}/archive: the history stays, nothing runs any more"""
        session = self._session(request)
        if session.archived_at is None:
            self._refuse_running(session, "archived")
            if not session.is_over:
                session.ended_simulated_s = self.world.clock.simulated_seconds()
                session.log.emit("session.status_terminated")
            session.archived_at = self.world.clock.timestamp()
        return self._view(session)

    async def delete(self, request: Request) -> JSONResponse:
        """DELETE /v1/sessions/{id}: open streams are told, then closed"""
        session = self._session(request)
        self._refuse_running(session, "deleted")
        del self.world.store.sessions[session.id]
        session.log.emit("session.deleted")
        session.log.close()
        return JSONResponse({"id": session.id, "type": "session_deleted"})

    async def send_events(self, request: Request) -> JSONResponse:
        """POST /v1/sessions/{id}/events: all are checked before any is applied"""
        session, body = self._session(request), await json_object(request)
        if session.is_over:
            raise invalid("the session is terminated and accepts no events")
        echoes = []
        for event in checked_events(session, body):
            # What came before an interrupt in the same request has to be at work, or there is nothing to interrupt.
            if event["type"] == "user.interrupt" and session.waiting:
                wake(self.world, session)
            echoes.append(apply_event(session, event))
        if request.state.deferral is not None:
            interrupts = [echo["id"] for echo in echoes if echo["type"] == "user.interrupt"]
            defer_interrupts(self.world, session, interrupts, request.state.deferral)
        wake(self.world, session)
        return JSONResponse({"data": echoes})

    async def list_events(self, request: Request) -> JSONResponse:
        """GET /v1/sessions/{id}/events, in the order in which they were processed"""
        session, query = self._session(request), request.query_params
        types, in_time = chosen_values(query, "types"), chosen_times(query)
        events = [e for e, when in session.log.history if (not types or e["type"] in types) and in_time(when)]
        if is_descending(query, "asc"):
            events.reverse()
        cut = page_of(events, query, lambda one: str(one["id"]), default=_EVENTS_PAGE, most=_EVENTS_PAGE)
        return JSONResponse({"data": list(cut.rows), "next_page": cut.next_page})

    async def stream_events(self, request: Request) -> EventStream:
        """GET /v1/sessions/{id}/events/stream: what happens from now on"""
        session = self._session(request)
        previews = chosen_values(request.query_params, "event_deltas")
        if previews - {"agent.message", "agent.thinking"}:
            raise invalid("event_deltas: Input should be 'agent.message' or 'agent.thinking'")
        subscriber = session.log.subscribe(previews)
        return EventStream(session.log.frames(subscriber, self.world.profiles.harness.keepalive_seconds))

    def _session(self, request: Request) -> Session:
        require_beta(request)
        return self.world.store.session(request.path_params["session_id"])

    def _resource(self, session: Session) -> dict[str, Any]:
        return session.view(self.world.clock.real_seconds(), self.world.clock.simulated_seconds())

    def _view(self, session: Session) -> JSONResponse:
        return JSONResponse(self._resource(session))

    def _refuse_running(self, session: Session, done: str) -> None:
        if session.status(self.world.clock.real_seconds()) in ("running", "rescheduling"):
            raise invalid(f"Session {session.id} cannot be {done} while it is running")

    def _changes(self, session: Session, body: Mapping[str, Any]) -> dict[str, Any]:
        """Apply an update and return the fields that changed."""
        changes: dict[str, Any] = {}
        if body.get("vault_ids") is not None:
            raise invalid("vault_ids: not yet supported")
        if body.get("agent") is not None:
            changes |= self._changed_tools(session, body["agent"])
        if "budget" in body:
            after = changed_budget(body["budget"], session.budget_cents, spent_nanousd(self.world, session))
            if after != session.budget_cents:
                session.budget_cents = after
                changes["budget"] = budget_view(after)
        if "title" in body and fields.optional_text(body, "title") != session.title:
            session.title = changes["title"] = body["title"]
        metadata = fields.patched_metadata(session.metadata, body)
        if metadata != session.metadata:
            session.metadata = changes["metadata"] = metadata
        return changes

    def _changed_tools(self, session: Session, agent: object) -> dict[str, Any]:
        if not isinstance(agent, dict):
            raise invalid("agent: Input should be an object")
        fields.only_known(agent, ("tools", "mcp_servers"), "agent.")
        self._refuse_running(session, "updated")
        tools = resolved_tools(fields.objects(agent, "tools")) if "tools" in agent else session.agent["tools"]
        if tools == session.agent["tools"]:
            return {}
        session.agent = {**session.agent, "tools": tools}
        return {"agent": session.agent}

    def _resume(self, session: Session) -> None:
        """A raised budget lets the stopped turn go on by itself."""
        session.resumes = bool(session.transcript) and session.transcript[-1]["role"] == "user"
        wake(self.world, session)


def _is_chosen(session: Session, query: QueryParams, status: str) -> bool:
    statuses = chosen_values(query, "statuses")
    return (
        chosen_times(query)(session.created_at)
        and (flag(query, "include_archived") or session.archived_at is None)
        and (not statuses or status in statuses)
        and query.get("agent_id") in (None, session.agent["id"])
        and ("agent_id" not in query or query.get("agent_version") in (None, str(session.agent["version"])))
    )
