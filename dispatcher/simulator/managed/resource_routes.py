"""Agents and environments over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from dispatcher.simulator.managed.agents import Agent, created_agent, update_agent
from dispatcher.simulator.managed.environments import Environment, created_environment, update_environment
from dispatcher.simulator.managed.listing import Page, chosen_times, flag, page_by_creation, page_of
from dispatcher.simulator.reading import json_object, require_beta
from dispatcher.simulator.refusal import invalid
from dispatcher.simulator.world import World

_PAGE = 20
_LARGEST_PAGE = 100


@dataclass(frozen=True, slots=True)
class ResourceRoutes:
    """The handlers of agents and environments."""

    world: World

    async def create_agent(self, request: Request) -> JSONResponse:
        """POST /v1/agents"""
        require_beta(request)
        body = await json_object(request)
        agent = created_agent(self.world.mint("agent"), body, self.world.profiles, self.world.clock.timestamp())
        self.world.store.agents[agent.id] = agent
        return JSONResponse(agent.view())

    async def list_agents(self, request: Request) -> JSONResponse:
        """GET /v1/agents, the newest first"""
        require_beta(request)
        return _listed(request, list(self.world.store.agents.values()))

    async def retrieve_agent(self, request: Request) -> JSONResponse:
        """GET /v1/agents/{id}, at a `version` where one is named"""
        version = request.query_params.get("version")
        if version is not None and not version.isdecimal():
            raise invalid("version: Input should be a valid integer")
        return JSONResponse(self._agent(request).view(None if version is None else int(version)))

    async def update_agent(self, request: Request) -> JSONResponse:
        """POST /v1/agents/{id}"""
        agent, body = self._agent(request), await json_object(request)
        update_agent(agent, body, self.world.profiles, self.world.clock.timestamp())
        return JSONResponse(agent.view())

    async def archive_agent(self, request: Request) -> JSONResponse:
        """POST /v1/agents/{id}/archive"""
        agent = self._agent(request)
        agent.archived_at = agent.archived_at or self.world.clock.timestamp()
        return JSONResponse(agent.view())

    async def list_agent_versions(self, request: Request) -> JSONResponse:
        """GET /v1/agents/{id}/versions, the newest first"""
        agent = self._agent(request)
        views = [agent.view(version) for version in range(len(agent.versions), 0, -1)]
        cut = page_of(views, request.query_params, lambda v: str(v["version"]), default=_PAGE, most=_LARGEST_PAGE)
        return _page_response(cut, list(cut.rows))

    async def create_environment(self, request: Request) -> JSONResponse:
        """POST /v1/environments"""
        require_beta(request)
        body = await json_object(request)
        environment = created_environment(self.world.mint("env"), body, self.world.clock.timestamp())
        self.world.store.environments[environment.id] = environment
        return JSONResponse(environment.view())

    async def list_environments(self, request: Request) -> JSONResponse:
        """GET /v1/environments, the newest first"""
        require_beta(request)
        return _listed(request, list(self.world.store.environments.values()))

    async def retrieve_environment(self, request: Request) -> JSONResponse:
        """GET /v1/environments/{id}"""
        return JSONResponse(self._environment(request).view())

    async def update_environment(self, request: Request) -> JSONResponse:
        """POST /v1/environments/{id}"""
        environment, body = self._environment(request), await json_object(request)
        update_environment(environment, body, self.world.clock.timestamp())
        return JSONResponse(environment.view())

    async def archive_environment(self, request: Request) -> JSONResponse:
        """POST /v1/environments/{id}/archive"""
        environment = self._environment(request)
        environment.archived_at = environment.archived_at or self.world.clock.timestamp()
        return JSONResponse(environment.view())

    async def delete_environment(self, request: Request) -> JSONResponse:
        """DELETE /v1/environments/{id}"""
        environment = self._environment(request)
        del self.world.store.environments[environment.id]
        return JSONResponse({"id": environment.id, "type": "environment_deleted"})

    def _agent(self, request: Request) -> Agent:
        require_beta(request)
        return self.world.store.agent(request.path_params["agent_id"])

    def _environment(self, request: Request) -> Environment:
        require_beta(request)
        return self.world.store.environment(request.path_params["environment_id"])


def _listed(request: Request, rows: list[Any]) -> JSONResponse:
    query = request.query_params
    in_time, archived_too = chosen_times(query), flag(query, "include_archived")
    chosen = [row for row in reversed(rows) if in_time(row.created_at) and (archived_too or row.archived_at is None)]
    cut = page_by_creation(
        chosen, query, lambda row: row.created_at, descending=True, default=_PAGE, most=_LARGEST_PAGE
    )
    return _page_response(cut, [row.view() for row in cut.rows])


def _page_response(cut: Page, views: list[Any]) -> JSONResponse:
    return JSONResponse({"data": views, "next_page": cut.next_page})
