"""The HTTP surface of Managed Agents."""

from __future__ import annotations

from starlette.routing import Route

from dispatcher.simulator.managed.resource_routes import ResourceRoutes
from dispatcher.simulator.managed.session_routes import SessionRoutes
from dispatcher.simulator.world import World


def managed_routes(world: World) -> list[Route]:
    """Agents, environments, sessions and their events; each route bears the name of its operation."""
    resources, sessions = ResourceRoutes(world), SessionRoutes(world)
    session = "/v1/sessions/{session_id}"
    return [
        Route("/v1/agents", resources.create_agent, methods=["POST"], name="agents.create"),
        Route("/v1/agents", resources.list_agents, methods=["GET"], name="agents.list"),
        Route("/v1/agents/{agent_id}", resources.retrieve_agent, methods=["GET"], name="agents.retrieve"),
        Route("/v1/agents/{agent_id}", resources.update_agent, methods=["POST"], name="agents.update"),
        Route("/v1/agents/{agent_id}/archive", resources.archive_agent, methods=["POST"], name="agents.archive"),
        Route(
            "/v1/agents/{agent_id}/versions",
            resources.list_agent_versions,
            methods=["GET"],
            name="agents.list_versions",
        ),
        Route("/v1/environments", resources.create_environment, methods=["POST"], name="environments.create"),
        Route("/v1/environments", resources.list_environments, methods=["GET"], name="environments.list"),
        Route(
            "/v1/environments/{environment_id}",
            resources.retrieve_environment,
            methods=["GET"],
            name="environments.retrieve",
        ),
        Route(
            "/v1/environments/{environment_id}",
            resources.update_environment,
            methods=["POST"],
            name="environments.update",
        ),
        Route(
            "/v1/environments/{environment_id}",
            resources.delete_environment,
            methods=["DELETE"],
            name="environments.delete",
        ),
        Route(
            "/v1/environments/{environment_id}/archive",
            resources.archive_environment,
            methods=["POST"],
            name="environments.archive",
        ),
        Route("/v1/sessions", sessions.create, methods=["POST"], name="sessions.create"),
        Route("/v1/sessions", sessions.list, methods=["GET"], name="sessions.list"),
        Route(session, sessions.retrieve, methods=["GET"], name="sessions.retrieve"),
        Route(session, sessions.update, methods=["POST"], name="sessions.update"),
        Route(session, sessions.delete, methods=["DELETE"], name="sessions.delete"),
        Route(f"{session}/archive", sessions.archive, methods=["POST"], name="sessions.archive"),
        Route(f"{session}/events", sessions.send_events, methods=["POST"], name="events.send"),
        Route(f"{session}/events", sessions.list_events, methods=["GET"], name="events.list"),
        Route(f"{session}/events/stream", sessions.stream_events, methods=["GET"], name="events.stream"),
    ]
