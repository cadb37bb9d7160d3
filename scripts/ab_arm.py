"""One arm of scripts/ab: dispatches what it is told on its standard input, with the `dispatcher` that it finds.

A line asks one turn; the answer is one line of JSON. Only what every version of the package offers is used, so that
another checkout's code can be an arm.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from contextlib import closing
from typing import Any

from dispatcher.action.request import Repository, ResearchAction
from dispatcher.settings import load_settings
from dispatcher.wiring.serving import build_dispatcher

_COLUMNS = (
    "origin, time_scale, variant, reason, variant_hash, output_valid, "
    "first_call_input_tokens, first_call_cache_creation_input_tokens"
)


def row_of(log_id: str) -> dict[str, Any]:
    """What the row says beyond the result."""
    with closing(sqlite3.connect(os.environ["AB_LOG"])) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute(f"SELECT {_COLUMNS} FROM ai_outbound_logs WHERE log_id = ?", [log_id])  # noqa: S608
        return dict(found.fetchone())


def answer(dispatcher: Any, asked: dict[str, Any], transcripts: dict[str, Any]) -> dict[str, Any]:
    """Carry out one turn; a later one goes on from the transcript of the one before."""
    conversation = asked["conversation"]
    later = {"history": transcripts[conversation]} if asked["turn"] > 1 else {}
    action = ResearchAction(
        question=asked["question"],
        tenant=asked["tenant"],
        conversation_id=conversation,
        repository=Repository(**asked["repository"]),
        variant=asked["variant"],
        actor="scripts-ab",
        **later,
    )
    result = dispatcher.dispatch_research(action)
    transcripts[conversation] = getattr(result, "transcript", None)
    report = result.output
    return {
        **row_of(result.log_id),
        "status": result.status,
        "wall_ms": result.timings.response_time_ms,
        "cost_nanousd": result.cost_nanousd,
        "findings": [] if report is None else [finding.model_dump() for finding in report.findings],
    }


def main() -> None:
    dispatcher = build_dispatcher(load_settings())
    transcripts: dict[str, Any] = {}
    for line in sys.stdin:
        print(json.dumps(answer(dispatcher, json.loads(line), transcripts)), flush=True)
    dispatcher.close()


if __name__ == "__main__":
    main()
