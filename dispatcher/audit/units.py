"""What is committed as a whole, and several of them in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from dispatcher.audit.connections import BrokenOff, Connections, transaction

T = TypeVar("T")

_AT_ONCE_S = 1.0


class NotAsThought(Exception):
    """Several units can't be carried out in the way of most; each alone can."""


@dataclass(frozen=True, slots=True)
class Unit(Generic[T]):
    """Statements of which all are committed or none.

    `alone` commits them itself. `many` carries out several `what` in a transaction of theirs, and is None where a unit
    needs one of its own, or may wait for what another program holds. Both may be repeated.
    """

    alone: Callable[[sa.Connection], T]
    many: Callable[[sa.Connection, Sequence[Any]], Sequence[T]] | None = None
    what: Any = None


def carried_out(connections: Connections, units: Sequence[Unit[T]]) -> list[T | Exception]:
    """What became of each unit, in their order: of what can't be committed together, halves are, down to one alone.

    So none is refused for another's fault. What the database has taken its time to refuse for a reason of its own, or
    may have done, it isn't asked for again.
    """
    began = time.monotonic()
    try:
        if len(units) == 1:
            return [connections.run(units[0].alone)]
        return connections.run(lambda connection: _together(connection, units))
    except Exception as error:  # noqa: BLE001 - it is raised again, where the result is waited for
        is_late = isinstance(error, sa.exc.OperationalError) and time.monotonic() - began > _AT_ONCE_S
        if len(units) == 1 or is_late or isinstance(error, BrokenOff):
            return [error] * len(units)
    half = len(units) // 2
    return carried_out(connections, units[:half]) + carried_out(connections, units[half:])


def _together(connection: sa.Connection, units: Sequence[Unit[T]]) -> list[T | Exception]:
    kinds: dict[Callable[..., Sequence[T]], list[Any]] = {}
    for unit in units:
        if unit.many is not None:
            kinds.setdefault(unit.many, []).append(unit.what)
    with transaction(connection):
        done = {many: iter(many(connection, what)) for many, what in kinds.items()}
    return [next(done[unit.many]) for unit in units if unit.many is not None]
