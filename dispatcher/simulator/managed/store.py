"""The managed resources of one simulator, by id."""

from __future__ import annotations

from dataclasses import dataclass, field

from dispatcher.simulator.managed.agents import Agent
from dispatcher.simulator.managed.environments import Environment
from dispatcher.simulator.managed.session import Session
from dispatcher.simulator.refusal import not_found


@dataclass(slots=True)
class Store:
    """Agents, environments and sessions in the order of their creation."""

    agents: dict[str, Agent] = field(default_factory=dict)
    environments: dict[str, Environment] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)

    def agent(self, agent_id: str) -> Agent:
        """The agent, or status 404."""
        if agent_id not in self.agents:
            raise not_found(f"Agent {agent_id} not found")
        return self.agents[agent_id]

    def environment(self, environment_id: str) -> Environment:
        """The environment, or status 404."""
        if environment_id not in self.environments:
            raise not_found(f"Environment {environment_id} not found", error_code="environment_not_found")
        return self.environments[environment_id]

    def session(self, session_id: str) -> Session:
        """The session, or status 404."""
        if session_id not in self.sessions:
            raise not_found(f"Session {session_id} not found")
        return self.sessions[session_id]
