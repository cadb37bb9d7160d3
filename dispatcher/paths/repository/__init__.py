"""A repository and the tools that read it; nothing of it runs and nothing leaves it."""
