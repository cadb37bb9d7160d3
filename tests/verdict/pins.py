"""KD-0650 with a baseline to be measured, and the source it would be measured in."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from dispatcher.adr.document import Record
from dispatcher.adr.reader import parse_record
from dispatcher.verdict.pinning.sources import Source

NOW = dt.datetime(2026, 5, 10, 9, 0, tzinfo=dt.UTC)
SAMPLE = Path(__file__).parents[2] / "adrs" / "KD-0650-migrate-research-to-managed-agents.md"
FIXTURE = [
    3451, 6745, 8244, 9419, 10424, 11319, 12134, 12889, 13596, 14264, 14898, 15503, 16084, 16643, 17183, 17705, 18211,
    18703, 18703, 19055, 19511, 20017, 20559, 21129, 21723, 22336, 22968, 23615, 24277, 24953, 25641, 26340, 26340,
    28036, 28036, 32214,
]  # fmt: skip
"""36 made-up times with exactly the six published figures, by any definition of a percentile."""

_PUBLISHED = """      source: production-telemetry
      published: true
"""
_PINNED = """      source: production-telemetry
      from: tracker
"""
_FIGURE = """      n: 36
      value: 28036
      treat_as: contract
"""
_COST = """  - id: AC-C
    says: the mean cost is at most 1.1 × that of production
    severity: info
    measure: cost
    aggregate: mean
    at_most: {times_baseline: 1.1}
    baseline:
      source: production-telemetry
      from: tracker
      where: {feature: agent_research, status: success}
      window: [2026-04-09, 2026-05-09]
"""


def published_as_pin(*, measure: str = "response_time_ms", treat_as: str = "contract") -> Record:
    """The record with the baseline of AC-7 to be measured from `tracker`, and, for money, a criterion on the cost."""
    text = SAMPLE.read_text()
    assert _PUBLISHED + "" in text
    text = text.replace(_PUBLISHED, _PINNED).replace(_FIGURE, f"      treat_as: {treat_as}\n")
    if measure == "cost":
        text = text.replace("criteria:\n", "criteria:\n" + _COST)
    return parse_record(text.encode(), SAMPLE)


def tracker(**changes: Any) -> Source:
    """The source: another application's table, one tenant's."""
    columns: dict[str, Any] = {
        "created_at": "created_at", "feature": "feature", "status": "status",
        "response_time_ms": {"column": "response_time_ms", "unit": "ms"},
        "cost": {"column": "cost_usd", "unit": "usd", "zero_is_unknown": True},
    }  # fmt: skip
    columns |= changes.pop("columns", {})
    stated: dict[str, Any] = {
        "url": "TRACKER_URL", "table": "ai_outbound_logs", "authorised_by": "J. Doe", "tenant": "script",
        "success": ["success"], "columns": columns,
    }  # fmt: skip
    return Source.model_validate(stated | changes)
