"""How many schedules a run of the tests plays; they are the same ones every time."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

IN_CI = settings(max_examples=130, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Of each of the test files; scripts/bench/faults plays more. What failed once is tried first from then on."""
