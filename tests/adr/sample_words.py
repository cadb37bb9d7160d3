"""The words of KD-0650 that tests of records edit, and what the fixtures that edit and read its text look like."""

from __future__ import annotations

from collections.abc import Callable

from dispatcher.adr.document import Record

Edit = tuple[str, str]
Edited = Callable[..., str]
Read = Callable[[str | bytes], Record]
ProblemsOf = Callable[[str | bytes], list[str]]

SAYS_7 = "says: p95 wall time stays at or below 1.5 × current production, 28036 ms over 36 calls, that is 42054 ms"
PROSE_7 = """p95 wall time stays at or below 1.5 × current, where current is the published production telemetry: \
28 036 ms
  over 36 calls from 2026-04-09 to 2026-05-09, so 42 054 ms."""
BASELINE_7 = """source: production-telemetry
      published: true
      where: {feature: agent_research, status: success, tenant: script}
      window: [2026-04-09, 2026-05-09]
      n: 36
      value: 28036
      treat_as: contract
"""
