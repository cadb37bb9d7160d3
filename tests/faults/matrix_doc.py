"""The matrix as a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matrix_replies
import matrix_responses
import matrix_sessions
from matrix import PATHS, SHORT_S, Cell, Scenario
from matrix_run import Told

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "faults.md"

SECTIONS: Mapping[str, Sequence[Scenario]] = {
    "Error statuses": matrix_responses.STATUSES,
    "Connections that close": matrix_responses.CONNECTIONS,
    "Responses that are none, or late": matrix_responses.BODIES,
    "Streams": matrix_replies.STREAMS,
    "The model's reply": matrix_replies.REPLIES,
    "Inside a session": matrix_sessions.SCENARIOS,
}
SCENARIOS: tuple[Scenario, ...] = tuple(scenario for section in SECTIONS.values() for scenario in section)

_PREFACE = f"""\
# What becomes of every failure

Written by `scripts/faults_doc` from a run: each line is one real dispatch against the [simulator](simulator.md) with
that fault, and what its row says. `legacy` is the variant of that name on the messages path, where a fault strikes a
request to the Messages API; `managed` is `{PATHS["managed"]}`, where it strikes the message to the session, its
stream, the request that is named, or the session itself. The tests play all of it, against endings that are claimed
beforehand, and fail where this page says anything else.

Requests are sent three times at most here, after waits of some milliseconds. Where something is awaited in vain, the
deadline is {SHORT_S:g} s.

| column | says |
|---|---|
| status, ended by, error type, error stage | the row's, as [Carrying out research](dispatching.md) explains them |
| retries | requests that were sent again, or found to have landed after a wait |
| rows | of this dispatch; no fallback is configured |
| running | sessions that still ran once the dispatcher had settled |
| repeated | users' messages that the platform processed once more than they were asked |
| money | the row's cost held against what the simulator charged: `equal`, to the nano-dollar of model requests and the millisecond of running time, or `NULL` with the row's `usage_quality` |
"""  # noqa: E501 - a table's row is one line
_HEAD = """\
| fault | what happens | path | status | ended by | error type | error stage | retries | rows | running | repeated | money |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""  # noqa: E501 - as above


def document(told: Mapping[tuple[Scenario, str], Told]) -> str:
    """The page for what came of every cell."""
    sections = (f"\n## {title}\n\n{_HEAD}{''.join(_lines(told, scenarios))}" for title, scenarios in SECTIONS.items())
    return _PREFACE + "".join(sections)


def _lines(told: Mapping[tuple[Scenario, str], Told], scenarios: Sequence[Scenario]) -> Iterator[str]:
    for scenario in scenarios:
        for column, cell in scenario.cells.items():
            start = f"| `{scenario.fault}` | {scenario.what} | {column} |"
            if isinstance(cell, Cell):
                yield f"{start} {_columns(told[scenario, column])} |\n"
            else:
                yield f"{start} can't happen: {cell.why} |{' |' * 8}\n"


def _columns(one: Told) -> str:
    values = (
        one.status,
        one.ended_by,
        one.error_type or "",
        one.error_stage or "",
        one.retries,
        one.rows,
        one.running,
        one.repeated_turns,
        one.money,
    )
    return " | ".join(map(str, values))
