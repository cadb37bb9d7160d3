"""The HTTP surface of Managed Agents."""

from __future__ import annotations

from starlette.routing import Route

from dispatcher.simulator.managed.resource_routes import ResourceRoutes
from dispatcher.simulator.managed.session_routes import SessionRoutes
from dispatcher.simulator.world import World


def managed_routes(world: World) -> list[Route]:
    """Agents, environments, sessions and their events."""
    resources, sessions = ResourceRoutes(world), SessionRoutes(world)
    session = "/v1/sessions/{session_id}"
    return [
        Route("/v1/agents", resources.create_agent, methods=["POST"]),
        Route("/v1/agents", resources.list_agents, methods=["GET"]),
        Route("/v1/agents/{agent_id}", resources.retrieve_agent, methods=["GET"]),
        Route("/v1/agents/{agent_id}", resources.update_agent, methods=["POST"]),
        Route("/v1/agents/{agent_id}/archive", resources.archive_agent, methods=["POST"]),
        Route("/v1/agents/{agent_id}/versions", resources.list_agent_versions, methods=["GET"]),
        Route("/v1/environments", resources.create_environment, methods=["POST"]),
        Route("/v1/environments", resources.list_environments, methods=["GET"]),
        Route("/v1/environments/{environment_id}", resources.retrieve_environment, methods=["GET"]),
        Route("/v1/environments/{environment_id}", resources.update_environment, methods=["POST"]),
        Route("/v1/environments/{environment_id}", resources.delete_environment, methods=["DELETE"]),
        Route("/v1/environments/{environment_id}/archive", resources.archive_environment, methods=["POST"]),
        Route("/v1/sessions", sessions.create, methods=["POST"]),
        Route("/v1/sessions", sessions.list, methods=["GET"]),
        Route(session, sessions.retrieve, methods=["GET"]),
        Route(session, sessions.update, methods=["POST"]),
        Route(session, sessions.delete, methods=["DELETE"]),
        Route(f"{session}/archive", sessions.archive, methods=["POST"]),
        Route(f"{session}/events", sessions.send_events, methods=["POST"]),
        Route(f"{session}/events", sessions.list_events, methods=["GET"]),
        Route(f"{session}/events/stream", sessions.stream_events, methods=["GET"]),
    ]
