"""The HTTP surface of Managed Agents."""

from __future__ import annotations

from starlette.routing import Route

from dispatcher.simulator.managed.resource_routes import ResourceRoutes
from dispatcher.simulator.managed.session_routes import SessionRoutes
from dispatcher.simulator.world import World


def managed_routes(world: World) -> list[Route]:
    """Agents, environments, sessions and their events; each route bears the name of its operation."""
    resources, sessions = ResourceRoutes(world), SessionRoutes(world)
    agent, environment, session = (
        "/v1/agents/{agent_id}",
        "/v1/environments/{environment_id}",
        "/v1/sessions/{session_id}",
    )
    served = [
        ("POST", "/v1/agents", resources.create_agent, "agents.create"),
        ("GET", "/v1/agents", resources.list_agents, "agents.list"),
        ("GET", agent, resources.retrieve_agent, "agents.retrieve"),
        ("POST", agent, resources.update_agent, "agents.update"),
        ("POST", f"{agent}/archive", resources.archive_agent, "agents.archive"),
        ("GET", f"{agent}/versions", resources.list_agent_versions, "agents.list_versions"),
        ("POST", "/v1/environments", resources.create_environment, "environments.create"),
        ("GET", "/v1/environments", resources.list_environments, "environments.list"),
        ("GET", environment, resources.retrieve_environment, "environments.retrieve"),
        ("POST", environment, resources.update_environment, "environments.update"),
        ("DELETE", environment, resources.delete_environment, "environments.delete"),
        ("POST", f"{environment}/archive", resources.archive_environment, "environments.archive"),
        ("POST", "/v1/sessions", sessions.create, "sessions.create"),
        ("GET", "/v1/sessions", sessions.list, "sessions.list"),
        ("GET", session, sessions.retrieve, "sessions.retrieve"),
        ("POST", session, sessions.update, "sessions.update"),
        ("DELETE", session, sessions.delete, "sessions.delete"),
        ("POST", f"{session}/archive", sessions.archive, "sessions.archive"),
        ("POST", f"{session}/events", sessions.send_events, "events.send"),
        ("GET", f"{session}/events", sessions.list_events, "events.list"),
        ("GET", f"{session}/events/stream", sessions.stream_events, "events.stream"),
    ]
    return [Route(path, endpoint, methods=[method], name=name) for method, path, endpoint, name in served]
