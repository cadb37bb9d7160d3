"""Runs the cells of the matrix, and tells what came of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from faults_ground import Desk, Ground, Left
from faults_money import money_problems, money_word
from matrix import PATHS, Cell, Scenario

from dispatcher import Limits

QUESTION = "Where is the greeting computed?"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the row says, and what the simulator knows of it."""

    status: str
    ended_by: str
    error_type: str | None
    error_stage: str | None
    retries: int
    repairs: int
    rows: int
    running: int
    repeated_turns: int
    money: str
    unarchived: int
    fired: bool


class Stage:
    """Where cells are played: one simulator, and one dispatcher for all that need none of their own."""

    def __init__(self, room: Path) -> None:
        self._room = room
        self._open = ExitStack()
        self._ground: Ground | None = None
        self._desk: Desk | None = None
        self._told: dict[tuple[Scenario, str], Told] = {}

    def __enter__(self) -> Self:
        self._ground = self._open.enter_context(Ground.prepared(self._room / "shared"))
        self._desk = self._open.enter_context(self._ground.desk())
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def told(self, scenario: Scenario, column: str) -> Told:
        """What came of a cell, which is played once."""
        if (scenario, column) not in self._told:
            self._told[scenario, column] = self._play(scenario, column)
        return self._told[scenario, column]

    def _play(self, scenario: Scenario, column: str) -> Told:
        cell = scenario.cells[column]
        assert isinstance(cell, Cell)
        with self._place(cell) as desk:
            limits = Limits(deadline_s=cell.deadline_s)
            ask = desk.ground.asking(QUESTION, variant=PATHS[column], limits=limits)
            left = desk.carry_out([ask], cell.rules, cell.cancel)
        return _told(left)

    @contextmanager
    def _place(self, cell: Cell) -> Iterator[Desk]:
        assert self._ground is not None
        assert self._desk is not None
        if cell.alone:
            room = self._room / f"alone-{len(list(self._room.iterdir()))}"
            with Ground.prepared(room) as ground, ground.desk() as desk:
                yield desk
        elif cell.silence_s is not None:
            with self._ground.desk(silence_s=cell.silence_s) as desk:
                yield desk
        else:
            yield self._desk


def _told(left: Left) -> Told:
    row = left.rows[-1]
    return Told(
        **{name: row[name] for name in ("status", "ended_by", "error_type", "error_stage", "retries", "repairs")},
        rows=len(left.rows),
        running=left.running,
        repeated_turns=left.repeated_turns,
        money="; ".join(money_problems(left)) or money_word(left),
        unarchived=left.unarchived,
        fired=bool(left.fired),
    )
