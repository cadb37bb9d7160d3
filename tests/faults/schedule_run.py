"""Plays schedules, and says what of the invariants of a dispatch they broke."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from faults_ground import SECRETS, Ask, Desk, Ground, Left, Row
from faults_money import money_problems
from schedules import BUDGET_USD, Schedule

from dispatcher import Limits, ResearchAction, ResearchResult
from dispatcher.errors import DispatcherError, LogUnavailable
from dispatcher.simulator.faults import CloneError
from dispatcher.simulator.faults.streams import StreamFault

_GRACE_MS = 8_000
"""The longest that leaving a session takes beyond the deadline, and what a busy machine takes."""
_EXACT = {"legacy": 0, "legacy-cached": 0, "legacy-falling": 0, "managed-confirm": 2}
"""By how many requests a variant may exceed its cap. Elsewhere one in flight may, and of those that take a second in
the world hundreds fit into the moment that an interrupt takes here."""


class Theatre:
    """Where schedules are played: one simulator, and a desk for each way in which dispatches are conducted.

    `endings` counts how rows have ended, and `happened` the faults that struck.
    """

    def __init__(self, room: Path) -> None:
        self.endings: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()
        self._room = room
        self._open = ExitStack()
        self._desks: dict[tuple[int, bool], Desk] = {}
        self._number = itertools.count(1)
        self._log = _Kept()

    def __enter__(self) -> Self:
        self.ground = self._open.enter_context(Ground.prepared(self._room))
        self._open.enter_context(self._log)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def broken(self, schedule: Schedule) -> list[str]:
        """What a run of the schedule broke; nothing where all is well."""
        self._log.lines.clear()
        number = next(self._number)
        asks = [self._ask(schedule, number, turn) for turn in range(len(schedule.turns))]
        with ExitStack() as brief:
            desk = self._desk(schedule, brief)
            left = desk.carry_out(asks, schedule.rules, schedule.cancel)
            self.endings.update(f"{row['path']}: {row['error_type'] or row['status']}" for row in left.rows)
            self.happened.update(one.fault.name for one in left.fired)
            return [*broken_by(schedule, left), *self.told_secrets(desk, left)]

    def _desk(self, schedule: Schedule, brief: ExitStack) -> Desk:
        if schedule.newcomer or schedule.budgeted:
            return brief.enter_context(self.ground.desk(lambda policy: _conduct(policy, schedule)))
        how = (schedule.attempts, schedule.keeps)
        if how not in self._desks:
            self._desks[how] = self._open.enter_context(self.ground.desk(lambda policy: _conduct(policy, schedule)))
        return self._desks[how]

    def _ask(self, schedule: Schedule, number: int, turn: int) -> Ask:
        name = f"{number}" if schedule.repeats else f"{number}, {turn}"

        def ask(before: Sequence[ResearchResult]) -> ResearchAction:
            told = [result.transcript for result in before if result.transcript.turns]
            return self.ground.asking(
                f"Where is the greeting computed? ({name})",
                variant=schedule.turns[turn],
                limits=Limits(iterations=schedule.iterations, deadline_s=schedule.deadline_s),
                conversation_id=f"c-{number}" if schedule.conversation else None,
                idempotency_key=f"k-{number}" if schedule.repeats else None,
                history=told[-1] if told and schedule.conversation and not schedule.keeps else None,
            )(before)

        return ask

    def told_secrets(self, desk: Desk, left: Left) -> Iterator[str]:
        """Where a secret has got to that belongs into no such place."""
        places = {
            "a row": json.dumps([dict(row) for row in (*left.rows, *left.calls)]),
            "an answer": " ".join(f"{ending!r} {ending}" for ending in left.endings),
            "the program's log": "\n".join(self._log.lines),
            "the database": "".join(_contents(desk)),
        }
        for place, text in places.items():
            if any(secret in text for secret in SECRETS):
                yield f"a secret is in {place}"


def _contents(desk: Desk) -> Iterator[str]:
    for path in desk.database.parent.glob(f"{desk.database.name}*"):
        yield path.read_bytes().decode("latin-1")


def _conduct(policy: dict[str, Any], schedule: Schedule) -> None:
    conduct, variants = policy["conduct"], policy["variants"]
    conduct["retries"]["attempts"] = schedule.attempts
    if schedule.keeps:
        bound = {"ttl": "1h", "max_bytes": 1_000_000}
        conduct["keep"] = {"conversations": bound, "results": dict(bound)}  # YAML would write one as an alias
    if schedule.budgeted:
        conduct["budgets"] = {"default": {"usd": BUDGET_USD, "per": "day"}}
    managed = variants["managed-haiku-4-5-cap8"]
    variants["managed-confirm"] = {**managed, "cap_mode": "confirm"}
    variants["managed-falling"] = {**managed, "fallback": "legacy"}
    variants["legacy-falling"] = {**variants["legacy"], "fallback": "managed-haiku-4-5-cap8"}


class _Kept(logging.Handler):
    """Everything that any logger says, while it is in force."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(logging.Formatter().format(record))

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._level = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        root.removeHandler(self)
        root.setLevel(self._level)


def broken_by(schedule: Schedule, left: Left) -> list[str]:
    """What of the invariants does not hold."""
    return [
        *_of_acceptance(left),
        *_of_dispatches(left),
        *(problem for row in left.rows for problem in _of_row(schedule, left, row)),
        *_of_sessions(left),
        *money_problems(left),
        *_of_spending(schedule, left),
    ]


def _of_acceptance(left: Left) -> Iterator[str]:
    answers = [ending for ending in left.endings if isinstance(ending, ResearchResult)]
    fresh = [answer for answer in answers if not answer.repeated]
    cancelled = sum(isinstance(ending, asyncio.CancelledError) for ending in left.endings)
    served = [row for row in left.rows if row["role"] == "served"]
    # The row of an opening that the log couldn't confirm within the deadline may be there; it is ended at no cost.
    doubted = sum(isinstance(ending, LogUnavailable) for ending in left.endings)
    if not len(fresh) <= len(served) <= len(fresh) + cancelled + doubted:
        yield f"{len(fresh)} answers, {cancelled} cancellations and {doubted} in doubt, but {len(served)} rows"
    for answer in fresh:
        row = next((one for one in left.rows if one["log_id"] == answer.log_id), None)
        if row is None or (row["status"], row["error_type"]) != (answer.status, answer.error_type):
            yield f"the answer says {answer.status} {answer.error_type}, its row {row and dict(row)}"
        if answer.timings.response_time_ms < 0:
            yield "an answer before the question"
    for ending in left.endings:
        if isinstance(ending, DispatcherError) and not str(ending):
            yield f"an error without a word: {ending!r}"


def _of_dispatches(left: Left) -> Iterator[str]:
    dispatches = defaultdict(list)
    for row in left.rows:
        dispatches[row["dispatch_id"]].append(row)
    for rows in dispatches.values():
        shape = [(row["attempt"], row["role"]) for row in rows]
        if shape not in ([(1, "served")], [(1, "served"), (2, "fallback")]):
            yield f"a dispatch of {shape}"
        if len({row["routed_variant"] for row in rows}) != 1:
            yield "a fallback isn't charged to the variant that was routed"
    turns = [row["turn"] for row in left.rows if row["role"] == "served" and row["turn"] is not None]
    if turns != sorted(set(turns)):
        yield f"turns {turns}"


def _of_row(schedule: Schedule, left: Left, row: Row) -> Iterator[str]:
    name = f"row {row['variant']}/{row['attempt']}"
    if row["status"] not in ("success", "error", "cancelled") or row["finished_at"] is None:
        yield f"{name} is {row['status']}"
        return
    if row["status"] == "success" and not (row["output_valid"] and row["error_type"] is None):
        yield f"{name} is a success without an answer"
    if row["status"] != "success" and row["error_type"] is None:
        yield f"{name} failed for no reason"
    if row["status"] == "success" and row["path"] == "messages" and row["stop_reason"] != "end_turn":
        yield f"{name} is a success that stopped for {row['stop_reason']}"
    if row["status"] == "success" and row["session_id"] in _never_mounted(left):
        yield f"{name} is a success without its repository"
    if row["error_type"] in ("internal", "origin_mismatch"):
        yield f"{name} ended by {row['error_type']}"
    yield from (f"{name}: {problem}" for problem in _of_times(schedule, row))
    beyond = row["iterations"] - row["iteration_cap"]
    if beyond > _EXACT.get(row["variant"], beyond) and not _was_deceived(left):
        yield f"{name} made {row['iterations']} requests of {row['iteration_cap']}"


def _never_mounted(left: Left) -> set[str | None]:
    return {one.session_id for one in left.fired if isinstance(one.fault, CloneError)}


def _was_deceived(left: Left) -> bool:
    """Whether a session could do what we didn't hear of, or didn't do what it was told."""
    return any(isinstance(one.fault, StreamFault) or one.on.startswith("events.") for one in left.fired)


def _of_times(schedule: Schedule, row: Row) -> Iterator[str]:
    waited, parts = row["response_time_ms"], [row[name] for name in ("ready_ms", "session_init_ms", "first_token_ms")]
    if not 0 <= waited <= schedule.deadline_s * 1000 + _GRACE_MS:
        yield f"the caller waited {waited} ms"
    remainder, reason = row["remainder_ms"], row["timing_unavailable_reason"]
    known = [part for part in (*parts, remainder) if part is not None]
    if any(part < 0 for part in known):
        yield f"a time below zero: {parts}, {remainder}"
    if remainder is not None and sum(known) > waited:
        yield f"{parts} and {remainder} are more than {waited} ms"
    if (None in parts or remainder is None) and not reason:
        yield f"{parts} and {remainder} are unknown for no reason"
    if row["first_text_ms"] is not None and remainder is not None and row["first_text_ms"] + 1 < sum(known):
        yield "the first text came before the first token"


def _of_sessions(left: Left) -> Iterator[str]:
    if left.running:
        yield f"{left.running} sessions still run"
    if left.repeated_turns:
        yield f"{left.repeated_turns} turns were asked twice"


def _of_spending(schedule: Schedule, left: Left) -> Iterator[str]:
    if schedule.repeats and sum(row["status"] == "success" for row in left.rows) > 1:
        yield "one idempotency key was answered twice"
    reserved = [row["reserved_nanousd"] for row in left.rows]
    if not schedule.budgeted:
        return
    spent = sum(
        held if row["cost_nanousd"] is None else row["cost_nanousd"]
        for row, held in zip(left.rows, reserved, strict=True)
    )
    if spent > BUDGET_USD * 10**9:
        yield f"{spent} nano-dollars of a budget of {BUDGET_USD}"
