"""What the log says that was spent, held against what the simulator charged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from faults_ground import Left, Row

from dispatcher.simulator.metering.ledger import LedgerEntry

_COMPLETE = {"reported", "split_inferred"}


def money_problems(left: Left) -> list[str]:
    """Where the log and the ledger disagree: each row's cost is what was charged for it, or unknown and says so.

    Rows of one session are compared together, because the ledger doesn't tell its turns apart; so are all rows of the
    messages path. Model requests are compared to the nano-dollar, running time to the millisecond.
    """
    rows, charges = defaultdict(list), defaultdict(list)
    for row in left.rows:
        rows[row["session_id"]].append(row)
    for entry in left.ledger:
        charges[entry.session_id].append(entry)
    unnamed = [
        f"session {name} was charged, and no row names it"
        for name, entries in charges.items()
        if name not in rows and any(entry.cost_nanousd for entry in entries)
    ]
    return [*unnamed, *(problem for name in rows for problem in _problems(rows[name], charges[name]))]


def _problems(rows: Sequence[Row], charges: Sequence[LedgerEntry]) -> Iterator[str]:
    unknown = [row for row in rows if row["cost_nanousd"] is None]
    for row in unknown:
        if row["usage_quality"] in _COMPLETE:
            yield f"row {row['attempt']} has no cost, and its usage is {row['usage_quality']}"
    recorded = sum(row["cost_nanousd"] - row["runtime_cost_nanousd"] for row in rows if row not in unknown)
    charged = sum(entry.cost_nanousd or 0 for entry in charges if not entry.active_ms)
    ran_ms = sum(row["active_ms"] or 0 for row in rows if row not in unknown)
    charged_ms = sum(entry.active_ms for entry in charges)
    if unknown and (recorded > charged or ran_ms > charged_ms):
        yield f"more was recorded ({recorded} and {ran_ms} ms) than charged ({charged} and {charged_ms} ms)"
    if not unknown and (recorded, ran_ms) != (charged, charged_ms):
        yield f"recorded {recorded} and {ran_ms} ms, charged {charged} and {charged_ms} ms"


def money_word(left: Left) -> str:
    """The comparison in a word or two; `money_problems` says whether it holds."""
    unknown = sorted({row["usage_quality"] for row in left.rows if row["cost_nanousd"] is None})
    return f"NULL, {', '.join(unknown)}" if unknown else "equal"
