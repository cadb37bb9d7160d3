"""What an edit of a flag came to, whichever way it was written."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.routing.flags.standing import Move, Standing, moves


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A flag before and after an edit; `written` is False where nothing had to change, or nothing should."""

    flag: str
    before: Standing
    after: Standing
    written: bool

    @property
    def moves(self) -> tuple[Move, ...]:
        """Who is sent elsewhere, by tenant."""
        return moves(self.before, self.after)
