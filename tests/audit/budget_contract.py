"""What every database must keep of tenants' budgets; a test class inherits it and provides `engine`."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest
import sqlalchemy as sa
from attempts import BEGAN, an_ending, an_opening
from log_contract import OnDatabase, break_connections, rows, sweep

from dispatcher.action.observation import Status
from dispatcher.audit.log import Log
from dispatcher.audit.record import AttemptOpening, Origin, Role, Room
from dispatcher.audit.tables import idempotency_keys
from dispatcher.errors import ActionInProgress, BudgetExhausted, ConversationBusy

USD = 10**9
ROOM = Room(nanousd=10 * USD, since=BEGAN - dt.timedelta(days=20))


def reserving(usd: float = 1, **changes: Any) -> AttemptOpening:
    return an_opening(reserved_nanousd=int(usd * USD), **changes)


async def spent(log: Log, ending: dict[str, Any], **changes: Any) -> None:
    """A row of the tenant that has ended, opened beside any budget."""
    opening = an_opening(**changes)
    await log.open(opening)
    await log.close(opening.log_id, an_ending(**ending), [])


class BudgetContract(OnDatabase):
    async def test_reservations_fill_the_budget_to_the_last_cent_and_no_further(
        self, log: Log, engine: sa.Engine
    ) -> None:
        for usd in (6, 3.99, 0.01):
            await log.open(reserving(usd), room=ROOM)
        with pytest.raises(BudgetExhausted):
            await log.open(an_opening(reserved_nanousd=1), room=ROOM)
        assert len(rows(engine)) == 3

    async def test_the_refusal_says_what_is_spent_reserved_and_allowed(self, log: Log) -> None:
        await spent(log, {"cost_nanousd": 4_120_000_001})
        await log.open(reserving(5), room=ROOM)
        with pytest.raises(BudgetExhausted) as refusal:
            await log.open(reserving(1.5), room=ROOM)
        assert str(refusal.value) == (
            "the budget of tenant 'script' for agent_research is 10 USD since 2026-10-31 09:30 UTC: 4.120000001 USD is "
            "spent, 5 USD is reserved by running actions, and this one needs 1.5 USD; lower its cost limit, or raise "
            "the tenant's budget"
        )

    async def test_an_ended_row_counts_what_it_cost_and_gives_back_the_rest(self, log: Log) -> None:
        first = reserving(10)
        await log.open(first, room=ROOM)
        await log.close(first.log_id, an_ending(cost_nanousd=4 * USD), [])
        await log.open(reserving(6), room=ROOM)
        with pytest.raises(BudgetExhausted, match=r"4 USD is spent, 6 USD is reserved"):
            await log.open(reserving(0.01), room=ROOM)

    @pytest.mark.parametrize("status", [Status.SUCCESS, Status.ERROR, Status.CANCELLED])
    async def test_a_cost_that_is_not_known_counts_as_its_reservation(self, log: Log, status: Status) -> None:
        ending = {"cost_nanousd": None, "status": status}
        await spent(log, ending, reserved_nanousd=10 * USD)
        with pytest.raises(BudgetExhausted, match="10 USD is spent"):
            await log.open(reserving(0.01), room=ROOM)

    async def test_so_does_that_of_a_row_that_was_swept(self, log: Log, engine: sa.Engine) -> None:
        opening = reserving(10)
        await log.open(opening, room=ROOM)
        sweep(engine, opening.log_id)
        with pytest.raises(BudgetExhausted, match="10 USD is spent"):
            await log.open(reserving(0.01), room=ROOM)

    async def test_a_cost_of_nothing_is_nothing_and_a_row_without_any_figure_counts_nothing(self, log: Log) -> None:
        await spent(log, {"cost_nanousd": 0}, reserved_nanousd=10 * USD)
        await spent(log, {"cost_nanousd": None})
        await log.open(reserving(10), room=ROOM)

    @pytest.mark.parametrize(
        "other",
        [
            {"tenant": "acme"},
            {"feature": "agent_review"},
            {"origin": Origin.SIMULATED},
            {"role": Role.SHADOW},
            {"created_at": ROOM.since - dt.timedelta(microseconds=1)},
        ],
        ids=lambda other: next(iter(other)),
    )
    async def test_what_is_not_of_the_budget_does_not_count(self, log: Log, other: dict[str, Any]) -> None:
        await spent(log, {"cost_nanousd": 10 * USD}, **other)
        await log.open(reserving(10), room=ROOM)

    async def test_the_first_moment_of_the_period_and_a_fallback_count(self, log: Log) -> None:
        await spent(log, {"cost_nanousd": 5 * USD}, created_at=ROOM.since)
        await spent(log, {"cost_nanousd": 5 * USD}, attempt=2, role=Role.FALLBACK)
        with pytest.raises(BudgetExhausted, match="10 USD is spent"):
            await log.open(reserving(0.01), room=ROOM)

    async def test_a_sum_beyond_32_bits_is_exact(self, log: Log) -> None:
        room = Room(nanousd=10**18, since=ROOM.since)
        for _ in range(2):
            await spent(log, {"cost_nanousd": 10**18 // 2 - 1})
        await log.open(an_opening(reserved_nanousd=2), room=room)
        with pytest.raises(BudgetExhausted):
            await log.open(an_opening(reserved_nanousd=1), room=room)

    async def test_opening_the_same_row_again_takes_no_more_of_the_budget(self, log: Log, engine: sa.Engine) -> None:
        opening = reserving(10)
        for _ in range(2):
            await log.open(opening, room=ROOM)
            break_connections(log)
        assert len(rows(engine)) == 1

    async def test_a_refused_row_leaves_no_claim_of_its_key_and_its_turn(self, log: Log, engine: sa.Engine) -> None:
        refused = reserving(10.01, idempotency_key="order-7", conversation_id="c", turn=1)
        with pytest.raises(BudgetExhausted):
            await log.open(refused, request_hash="5", room=ROOM)
        assert (rows(engine), rows(engine, idempotency_keys)) == ([], [])
        await log.open(
            reserving(10, idempotency_key="order-7", conversation_id="c", turn=1), request_hash="5", room=ROOM
        )

    async def test_a_repeated_key_is_told_as_such_although_the_budget_is_spent(self, log: Log) -> None:
        await log.open(reserving(10, idempotency_key="order-7"), request_hash="5", room=ROOM)
        with pytest.raises(ActionInProgress):
            await log.open(reserving(10, idempotency_key="order-7"), request_hash="5", room=ROOM)

    async def test_a_turn_that_is_taken_is_told_as_such(self, log: Log) -> None:
        await log.open(reserving(1, conversation_id="c", turn=1), room=ROOM)
        with pytest.raises(ConversationBusy):
            await log.open(reserving(1, conversation_id="c", turn=1), room=ROOM)

    async def test_64_concurrent_starts_in_threads_cannot_overdraw_a_budget(self, engine: sa.Engine) -> None:
        """Of a budget of 10 USD, reservations of 0.70 USD are granted 14 times, whoever asks first."""
        rivals = [Log(engine) for _ in range(3)]
        starts = [rivals[place % 3].open(reserving(0.7), room=ROOM) for place in range(64)]
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        for rival in rivals:
            rival.shutdown()
        assert [BudgetExhausted] * 50 == [type(outcome) for outcome in outcomes if outcome is not None]
        assert len(rows(engine)) == 14

    async def test_a_row_under_a_budget_that_reserves_nothing_is_a_mistake(self, log: Log, engine: sa.Engine) -> None:
        with pytest.raises(ValueError, match="reserves a part of it"):
            await log.open(an_opening(), room=ROOM)
        assert rows(engine) == []
