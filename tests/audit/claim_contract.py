"""What every database must keep of idempotency keys; a test class inherits it and provides `engine`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from attempts import an_ending, an_opening
from log_contract import OnDatabase, break_connections, rows, sweep

from dispatcher.action.observation import Status
from dispatcher.audit.log import Log
from dispatcher.audit.record import AttemptOpening, Role
from dispatcher.audit.tables import idempotency_keys
from dispatcher.errors import (
    ActionInProgress,
    ConversationBusy,
    DuplicateAction,
    IdempotencyKeyReused,
    LogUnavailable,
)

HASH = "5" * 32
RELEASING = [Status.ERROR, Status.CANCELLED, Status.LOST]


def keyed(**changes: Any) -> AttemptOpening:
    return an_opening(**({"idempotency_key": "order-7"} | changes))


async def carried_out(log: Log, engine: sa.Engine, status: Status, **changes: Any) -> AttemptOpening:
    """An action under the key that has ended so, was swept, or still runs."""
    opening = keyed(**changes)
    await log.open(opening, request_hash=HASH)
    if status is Status.LOST:
        sweep(engine, opening.log_id)
    elif status is not Status.STARTED:
        await log.close(opening.log_id, an_ending(status=status), [])
    return opening


def fallback_of(opening: AttemptOpening) -> AttemptOpening:
    return keyed(dispatch_id=opening.dispatch_id, attempt=2, role=Role.FALLBACK)


class ClaimContract(OnDatabase):
    async def test_a_key_is_claimed_with_the_row(self, log: Log, engine: sa.Engine) -> None:
        opening = keyed()
        await log.open(opening, request_hash=HASH)
        (claim,) = rows(engine, idempotency_keys)
        assert claim == {
            "tenant": "script",
            "feature": "agent_research",
            "idempotency_key": "order-7",
            "dispatch_id": opening.dispatch_id,
            "log_id": opening.log_id,
            "request_hash": HASH,
            "claimed_at": opening.created_at,
        }
        assert [row["idempotency_key"] for row in rows(engine)] == ["order-7"]

    async def test_while_the_action_runs_the_same_key_is_refused_and_names_it(
        self, log: Log, engine: sa.Engine
    ) -> None:
        first = keyed()
        await log.open(first, request_hash=HASH)
        with pytest.raises(ActionInProgress, match=f"key 'order-7' of tenant 'script'.* row {first.log_id}") as refusal:
            await log.open(keyed(), request_hash=HASH)
        assert (refusal.value.log_id, refusal.value.dispatch_id) == (first.log_id, first.dispatch_id)
        assert [row["log_id"] for row in rows(engine)] == [first.log_id]

    async def test_an_action_that_was_answered_is_never_carried_out_again(self, log: Log, engine: sa.Engine) -> None:
        first = await carried_out(log, engine, Status.SUCCESS)
        with pytest.raises(DuplicateAction) as refusal:
            await log.open(keyed(), request_hash=HASH)
        assert (refusal.value.log_id, refusal.value.dispatch_id) == (first.log_id, first.dispatch_id)
        assert len(rows(engine)) == 1

    @pytest.mark.parametrize("status", [Status.STARTED, Status.SUCCESS, *RELEASING])
    async def test_another_request_under_the_key_is_an_error_whatever_became_of_the_first(
        self, log: Log, engine: sa.Engine, status: Status
    ) -> None:
        first = await carried_out(log, engine, status)
        with pytest.raises(IdempotencyKeyReused) as refusal:
            await log.open(keyed(), request_hash="6" * 32)
        assert (refusal.value.log_id, len(rows(engine))) == (first.log_id, 1)

    @pytest.mark.parametrize("status", RELEASING)
    async def test_an_action_that_failed_releases_its_key_to_the_next_one(
        self, log: Log, engine: sa.Engine, status: Status
    ) -> None:
        await carried_out(log, engine, status)
        second = await carried_out(log, engine, status)
        third = keyed()
        await log.open(third, request_hash=HASH)
        with pytest.raises(ActionInProgress):
            await log.open(keyed(), request_hash=HASH)
        (claim,) = rows(engine, idempotency_keys)
        assert (claim["dispatch_id"], claim["log_id"]) == (third.dispatch_id, third.log_id)
        assert [row["status"] for row in rows(engine)] == [status, status, "started"]
        assert second.dispatch_id != third.dispatch_id

    async def test_a_row_that_was_never_ended_keeps_its_key_however_old_it_is(self, log: Log) -> None:
        """Nobody knows what it spends: its deadline is long past, and the next action with the key is refused."""
        old = keyed()
        await log.open(old, request_hash=HASH)
        with pytest.raises(ActionInProgress):
            await log.open(keyed(created_at=old.deadline_at.replace(year=2027)), request_hash=HASH)

    @pytest.mark.parametrize(
        "other", [{"tenant": "acme"}, {"feature": "agent_review"}, {"idempotency_key": "order-8"}], ids=str
    )
    async def test_a_key_belongs_to_a_tenant_and_feature(
        self, log: Log, engine: sa.Engine, other: dict[str, Any]
    ) -> None:
        await log.open(keyed(), request_hash=HASH)
        await log.open(keyed(**other), request_hash="6" * 32)
        assert len(rows(engine)) == 2

    async def test_a_fallback_goes_on_under_the_key_of_its_dispatch(self, log: Log, engine: sa.Engine) -> None:
        """The key stays taken after the first attempt has failed, and is released or kept by how the fallback ends."""
        first = keyed()
        await log.open(first, request_hash=HASH)
        fallback = fallback_of(first)
        await log.open(fallback, request_hash=HASH)
        await log.close(first.log_id, an_ending(status=Status.ERROR), [])
        with pytest.raises(ActionInProgress):
            await log.open(keyed(), request_hash=HASH)
        await log.close(fallback.log_id, an_ending(), [])
        with pytest.raises(DuplicateAction) as refusal:
            await log.open(keyed(), request_hash=HASH)
        assert (refusal.value.log_id, refusal.value.dispatch_id) == (fallback.log_id, first.dispatch_id)
        assert len(rows(engine)) == 2

    async def test_a_fallback_that_fails_too_releases_the_key(self, log: Log, engine: sa.Engine) -> None:
        first = await carried_out(log, engine, Status.ERROR)
        fallback = fallback_of(first)
        await log.open(fallback, request_hash=HASH)
        await log.close(fallback.log_id, an_ending(status=Status.ERROR), [])
        await log.open(keyed(), request_hash=HASH)
        assert len(rows(engine)) == 3

    @pytest.mark.parametrize("status", [Status.STARTED, Status.SUCCESS, Status.ERROR])
    async def test_a_fallback_whose_key_another_dispatch_took_is_refused(
        self, log: Log, engine: sa.Engine, status: Status
    ) -> None:
        first = await carried_out(log, engine, Status.LOST)
        second = await carried_out(log, engine, status)
        with pytest.raises(ActionInProgress, match="another dispatch took it") as refusal:
            await log.open(fallback_of(first), request_hash=HASH)
        assert (refusal.value.log_id, len(rows(engine))) == (second.log_id, 2)

    async def test_opening_the_same_claimed_row_again_changes_nothing(self, log: Log, engine: sa.Engine) -> None:
        first = keyed(conversation_id="c", turn=1)
        fallback = keyed(dispatch_id=first.dispatch_id, attempt=2, role=Role.FALLBACK)
        for opening in (first, fallback):
            await log.open(opening, request_hash=HASH)
            before = rows(engine), rows(engine, idempotency_keys)
            break_connections(log)
            await log.open(opening, request_hash=HASH)
            assert before == (rows(engine), rows(engine, idempotency_keys))

    async def test_a_row_that_is_refused_leaves_no_claim(self, log: Log, engine: sa.Engine) -> None:
        taken = an_opening(conversation_id="c", turn=1)
        await log.open(taken)
        with pytest.raises(ConversationBusy):
            await log.open(keyed(conversation_id="c", turn=1), request_hash=HASH)
        with pytest.raises(LogUnavailable, match="nothing was sent to the provider"):
            await log.open(keyed(log_id=taken.log_id), request_hash=HASH)
        assert (rows(engine, idempotency_keys), len(rows(engine))) == ([], 1)

    async def test_a_takeover_that_is_refused_leaves_the_key_with_who_released_it(
        self, log: Log, engine: sa.Engine
    ) -> None:
        await carried_out(log, engine, Status.ERROR)
        await log.open(an_opening(conversation_id="c", turn=1))
        before = rows(engine), rows(engine, idempotency_keys)
        with pytest.raises(ConversationBusy):
            await log.open(keyed(conversation_id="c", turn=1), request_hash=HASH)
        assert before == (rows(engine), rows(engine, idempotency_keys))

    @pytest.mark.parametrize("before", [None, Status.ERROR], ids=["a new key", "a released key"])
    async def test_one_of_several_actions_that_race_for_a_key_is_carried_out(
        self, engine: sa.Engine, log: Log, before: Status | None
    ) -> None:
        if before is not None:
            await carried_out(log, engine, before)
        rivals = [Log(engine) for _ in range(3)]
        openings = [keyed() for _ in range(16)]
        work = [rivals[place % 3].open(opening, request_hash=HASH) for place, opening in enumerate(openings)]
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        for rival in rivals:
            rival.shutdown()
        assert [ActionInProgress] * 15 == [type(outcome) for outcome in outcomes if outcome is not None]
        (winner,) = (opening for opening, outcome in zip(openings, outcomes, strict=True) if outcome is None)
        assert [row["log_id"] for row in rows(engine) if row["status"] == "started"] == [winner.log_id]
        assert [claim["log_id"] for claim in rows(engine, idempotency_keys)] == [winner.log_id]

    async def test_a_key_without_a_hash_and_a_hash_without_a_key_are_mistakes(
        self, log: Log, engine: sa.Engine
    ) -> None:
        with pytest.raises(ValueError, match="belong together"):
            await log.open(keyed())
        with pytest.raises(ValueError, match="belong together"):
            await log.open(an_opening(), request_hash=HASH)
        assert rows(engine) == []
