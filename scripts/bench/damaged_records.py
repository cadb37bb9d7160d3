"""Damaged decision records, linted and judged: never a crash, and never SHIP without a gate that was measured.

The log holds more than enough good rows for the record as it is, so a criterion that lost its meaning would ship if
anything let it. A damaged record that can still be read is registered as it is, past lint, and judged.
"""

from __future__ import annotations

import argparse
import copy
import datetime as dt
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from dispatcher.adr.criterion import Measure, Severity, Source
from dispatcher.adr.document import Record
from dispatcher.adr.reader import parse_record
from dispatcher.adr.surroundings import Surroundings
from dispatcher.audit.evidence_tables import registrations
from dispatcher.audit.record import Origin, new_log_id
from dispatcher.audit.registrations import Registration, append_registration
from dispatcher.audit.tables import logs, metadata
from dispatcher.errors import InvalidRecord
from dispatcher.verdict.chances.linting import lint
from dispatcher.verdict.judgement.finding import State
from dispatcher.verdict.judgement.judge import Outcome
from dispatcher.verdict.judgement.standing import FEWEST_CLUSTERS
from dispatcher.verdict.reach import reach_verdict

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "adrs" / "KD-0650-migrate-research-to-managed-agents.md"
FENCE = "```yaml acceptance\n"
START = dt.datetime(2026, 6, 1, 8, 0, tzinfo=dt.UTC)
AS_OF = START + dt.timedelta(weeks=30)
LEGACY, MANAGED = "legacy", "managed-haiku-4-5-cap8"
ROWS = {MANAGED: 300, LEGACY: 150}
_SHARES = {MANAGED: 0.67, LEGACY: 0.33}
_TELLS = 1000
_LINTED_FULLY = 25
"""One readable record in so many is linted with its chances, which takes as long as all the rest."""

_SCRAPS = ["---", "```", FENCE, "~~~", "<!--", "-->", "## Confirmation", "- ", ": ", "&a", "*a", "[", "{", "|", "\t",
           "\0", "\u2028", "\ufeff", "0x1f", "1e999", ".nan", "null", "''"]  # fmt: skip
_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 36, 0.5, 1e-9, 10**14, "", "p95", "p50", "p99", "mean", "rate", "gate", "guard",
    "info", "0d", "7d", "520h", "tenant_flag", "sample", "contract", [], {}, [1], {"value": 1}, {"value": 0.01},
    {"value": 10**9}, {"times_control": 1.5}, {"times_control": 0.001}, {"times_baseline": 100},
    {"script": 0.5, "acme": 0.5}, MANAGED, LEGACY, {"variant": LEGACY}, {"source": "own-target"},
    {"source": "concurrent-control"}, *map(str, Measure), *map(str, Source),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one text: `refused`, or the outcome of its verdict."""

    outcome: str
    problems: int


class Court:
    """Judges texts by one log, of which nothing is left but its rows."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._engine = sa.create_engine("sqlite://")
        metadata.create_all(self._engine)
        with self._engine.begin() as connection:
            connection.execute(sa.insert(logs), list(_rows()))
        self._judged = 0

    def close(self) -> None:
        self._engine.dispose()

    def judge(self, text: str | bytes) -> Seen:
        """Read, lint and judge a text. Raises AssertionError where it ships without reason."""
        try:
            record = parse_record(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text, SAMPLE)
        except InvalidRecord as error:
            assert error.problems  # noqa: PT017 - no test of what is raised
            return Seen("refused", len(error.problems))
        self._judged += 1
        problems = self._lint(record)
        if record.acceptance is None:
            return Seen("not judged", problems)
        self._register(record)
        verdict = reach_verdict(record, Origin.PRODUCTION, AS_OF, self._engine)
        if verdict.outcome is Outcome.SHIP:
            gates = [each for each in verdict.findings if each.criterion.severity is Severity.GATE]
            assert gates, text
            for gate in gates:
                assert gate.state is State.PASS, text
                assert gate.looks, text
                assert gate.looks[-1].clusters >= FEWEST_CLUSTERS, text
        return Seen(verdict.outcome.value, problems)

    def _lint(self, record: Record) -> int:
        from dispatcher.adr.lint import problems  # noqa: PLC0415 - beside the other half

        if self._judged % _LINTED_FULLY == 0:
            return len(lint(record, self._around).problems)
        return len(problems(record, self._around))

    def _register(self, record: Record) -> None:
        assert record.acceptance is not None
        with self._engine.begin() as connection:
            connection.execute(sa.delete(registrations))
        registration = Registration(
            record=record.id,
            origin=Origin.PRODUCTION,
            epoch=1,
            start=START,
            candidate_hash=_hash(record.acceptance.candidate.variant),
            record_hash=record.acceptance.hash,
            block=record.acceptance.canonical,
        )
        assert append_registration(self._engine, registration)


def damaged(sample: str, rng: random.Random) -> str | bytes:
    """The record with one to three damages of one kind: of its bytes, its text, or the values of its block."""
    kind = rng.choices(["bytes", "text", "values"], [1, 5, 14])[0]
    if kind == "bytes":
        content = bytearray(sample.encode())
        for _ in range(rng.randint(1, 3)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        return bytes(content)
    if kind == "text":
        return _text_damage(sample, rng)
    head, _, rest = sample.partition(FENCE)
    loaded, _, tail = rest.partition("```")
    block = yaml.safe_load(loaded)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        _value_damage(block, rng)
    dumped = yaml.safe_dump(block, sort_keys=False, allow_unicode=True)
    return f"{head}{FENCE}{dumped}```{tail}"


def _text_damage(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 3)):
        at, length = rng.randrange(len(text)), rng.choice([0, 1, 5, 60])
        text = text[:at] + rng.choice([*_SCRAPS, "", text[at : at + 20]]) + text[at + length :]
    return text


def _value_damage(block: Any, rng: random.Random) -> None:
    path = rng.choice(list(_paths(block)))
    holder = block
    for key in path[:-1]:
        holder = holder[key]
    action = rng.choices(["delete", "repeat", "scale", "replace"], [3, 2, 3, 12])[0]
    if action == "delete":
        del holder[path[-1]]
    elif action == "repeat" and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[path[-1]]))
    elif action == "scale" and isinstance(holder[path[-1]], int | float) and not isinstance(holder[path[-1]], bool):
        holder[path[-1]] *= rng.choice([0, 0.1, 0.5, 2, 10, -1])
    else:
        holder[path[-1]] = copy.deepcopy(rng.choice(_VALUES))


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))


def _rows() -> Iterator[dict[str, Any]]:
    for variant, count in ROWS.items():
        for number in range(count):
            moment = START + dt.timedelta(hours=1, minutes=number * 10)
            cost = (10_000_000 if variant == MANAGED else 100_000_000) + number % 7 * 100_000
            yield {
                "log_id": new_log_id(), "dispatch_id": f"{variant}-{number}", "attempt": 1, "role": "served",
                "origin": "production", "time_scale": 1.0, "feature": "agent_research", "tenant": "script",
                "conversation_id": f"{variant}-{number}", "turn": 1, "created_at": moment, "recorded_at": moment,
                "landed_at": moment + dt.timedelta(seconds=20), "variant": variant, "routed_variant": variant,
                "variant_hash": _hash(variant), "reason": "share", "assignment_share": _SHARES[variant],
                "status": "success", "ended_by": "completed", "output_valid": True, "response_time_ms": 20_000 + number,
                "iterations": 5, "cost_nanousd": cost,
            }  # fmt: skip


def _hash(variant: str) -> str:
    return (variant.encode().hex() * 4)[:16]


def surroundings() -> Surroundings:
    """What the damaged records are linted against."""
    deadlines = {LEGACY: dt.timedelta(minutes=5), MANAGED: dt.timedelta(minutes=3)}
    return Surroundings(deadlines=deadlines, grace=dt.timedelta(minutes=1), log_was_read=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=650)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)  # noqa: S311 - nothing is kept secret by it
    sample, court = SAMPLE.read_text(), Court(surroundings())
    seen: Counter[str] = Counter()
    started = time.monotonic()
    for number in range(1, arguments.count + 1):
        text = damaged(sample, rng)
        try:
            seen[court.judge(text).outcome] += 1
        except Exception:
            name = f"damaged-{number}.md"
            Path(name).write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
            print(f"record {number} (seed {arguments.seed}) is in {name}", file=sys.stderr)
            raise
        if number % _TELLS == 0:
            print(f"{number}: {dict(seen)}", file=sys.stderr, flush=True)
    court.close()
    told = ", ".join(f"{outcome} {count}" for outcome, count in sorted(seen.items()))
    print(f"{arguments.count} damaged records in {time.monotonic() - started:.0f} s: {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
