"""The simulated model: a deterministic planner that searches, reads and cites. Pure; it sees only what a request carries."""
