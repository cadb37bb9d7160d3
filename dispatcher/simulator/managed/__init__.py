"""Claude Managed Agents: agents, environments, sessions, and the harness that runs them."""
