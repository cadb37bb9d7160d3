"""The crash matrix: every step at which programs are killed, with whatever the database does meanwhile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run: the step at which every program dies, the n-th time it comes to it, and what the database does.

    `full` means that neither the database nor the spool can grow; with `fail_open` attempts go on without a row then.
    """

    step: str
    state: str
    processes: int
    nth: int
    fail_open: bool = False

    def __str__(self) -> str:
        words = f"{self.step} {self.nth} {self.state} x{self.processes}"
        return (words + (" open" if self.fail_open else "")).replace(" ", "-")


def matrix(times: int = 2) -> list[Cell]:
    """Every combination that exists, each with so many moments of death.

    Nothing is spooled while the database answers, a sweep writes through the database alone and can't get to a row
    while it is down, and neither can a migration; a full disk refuses a sweep's first row.
    """
    states = {
        "during spool": ("down", "slow", "full"),
        "during sweep": ("up", "slow"),
        "during migrate": ("up", "slow"),
    }
    # A step's moments: statements of a thread are many, and every other one is of another kind.
    moments = {"during spool": 3, "during drain": 3, "during sweep": 2, "during migrate": 9}
    cells = [
        Cell(step=step, state=state, processes=processes, nth=1 + time * moments.get(step, 1))
        for step in (*_SCRIPTED, "during spool", "during drain", "during sweep", "during migrate")
        for state in states.get(step, ("up", "down", "slow", "full"))
        for processes in (1, 8)
        for time in range(times)
    ]
    gaps = [
        Cell(step=step, state="full", processes=processes, nth=20, fail_open=True)
        for step in _SCRIPTED[1:]
        for processes in (1, 8)
    ]
    return cells + gaps


_SCRIPTED = ("before open", "after open", "mid-stream", "before close")
"""The steps that the program itself comes to; of the others, the statements of a thread are counted."""
