"""The simulated model: a deterministic planner that searches, reads and cites. Pure."""
