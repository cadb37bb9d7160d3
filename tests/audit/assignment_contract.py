"""What every database must say of assignments; a test class inherits it and provides `engine`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from attempts import an_ending, an_opening
from log_contract import OnDatabase

from dispatcher.action.decision import Assignment
from dispatcher.action.observation import Status
from dispatcher.audit.assignments import LoggedAssignments
from dispatcher.audit.log import Log
from dispatcher.audit.record import AttemptOpening, Origin, Role
from dispatcher.errors import LogUnavailable

WHO = ("script", "agent_research", "c-1")


def a_turn(turn: int, reason: str, variant: str = "legacy", **changes: Any) -> AttemptOpening:
    of_turn = {"conversation_id": "c-1", "turn": turn, "reason": reason, "variant": variant, "routed_variant": variant}
    return an_opening(**(of_turn | changes))


def assigned(turn: int, variant: str) -> Assignment:
    return Assignment(variant=variant, variant_hash="0123456789abcdef", turn=turn, key="script", share=0.67)


class AssignmentContract(OnDatabase):
    @pytest.fixture
    def assignments(self, engine: sa.Engine) -> Iterator[LoggedAssignments]:
        made = LoggedAssignments(engine, Origin.PRODUCTION)
        yield made
        made.shutdown()

    async def found(self, assignments: LoggedAssignments, who: tuple[str, str, str] = WHO) -> Assignment | None:
        return await asyncio.wrap_future(assignments.look_up(*who))

    async def test_a_conversation_without_a_row_has_none(self, assignments: LoggedAssignments) -> None:
        assert await self.found(assignments) is None

    @pytest.mark.parametrize("reason", ["flag", "share"])
    async def test_a_rule_by_name_or_by_draw_assigns(
        self, log: Log, assignments: LoggedAssignments, reason: str
    ) -> None:
        await log.open(a_turn(1, reason, "managed"))
        assert await self.found(assignments) == assigned(1, "managed")

    @pytest.mark.parametrize(
        "reason",
        [
            *("sticky", "sticky_unavailable", "sticky_overridden", "pinned", "default", "removed", "off", "forced"),
            *("stale", "repository_not_mountable", "unknown_variant"),
        ],
    )
    async def test_nothing_else_assigns(self, log: Log, assignments: LoggedAssignments, reason: str) -> None:
        await log.open(a_turn(1, reason))
        assert await self.found(assignments) is None

    async def test_the_first_that_assigns_counts_whatever_comes_before_and_after(
        self, log: Log, assignments: LoggedAssignments
    ) -> None:
        for turn, reason in reversed([*enumerate(("default", "share", "sticky_overridden", "flag", "share"), 1)]):
            await log.open(a_turn(turn, reason, f"variant of {turn}"))
        assert await self.found(assignments) == assigned(2, "variant of 2")

    async def test_what_was_routed_counts_and_not_what_stood_in_for_it(
        self, log: Log, assignments: LoggedAssignments
    ) -> None:
        first = a_turn(1, "share", "managed")
        await log.open(first)
        await log.close(first.log_id, an_ending(status=Status.ERROR), [])
        stands_in = {"attempt": 2, "role": Role.FALLBACK, "routed_variant": "managed", "variant_hash": "f" * 16}
        await log.open(a_turn(1, "share", "legacy", dispatch_id=first.dispatch_id, **stands_in))
        assert await self.found(assignments) == assigned(1, "managed")

    @pytest.mark.parametrize(
        "other",
        [
            {"tenant": "acme"},
            {"feature": "another"},
            {"conversation_id": "c-2"},
            {"origin": Origin.SIMULATED},
            {"role": Role.SHADOW},
            {"conversation_id": None},
        ],
        ids=str,
    )
    async def test_other_conversations_origins_and_shadows_say_nothing(
        self, log: Log, assignments: LoggedAssignments, other: dict[str, Any]
    ) -> None:
        await log.open(a_turn(1, "share", **other))
        assert await self.found(assignments) is None

    async def test_a_log_that_is_gone_is_the_look_ups_error(
        self, assignments: LoggedAssignments, engine: sa.Engine
    ) -> None:
        await self.found(assignments)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE ai_outbound_logs RENAME TO elsewhere")
        with pytest.raises(LogUnavailable, match="can't say what was assigned"):
            await self.found(assignments)

    async def test_a_reader_that_is_shut_down_says_so(self, assignments: LoggedAssignments) -> None:
        assignments.shutdown()
        with pytest.raises(LogUnavailable, match="shut down"):
            await self.found(assignments)
