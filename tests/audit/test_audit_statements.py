"""How many statements the log sends, and how the database looks for what they name."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest
import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening
from budget_contract import ROOM, reserving
from claim_contract import HASH, keyed
from kept_contract import a_turn, kept_turn, result_of, so_far

from dispatcher.action.observation import Status
from dispatcher.audit.log import Log
from dispatcher.audit.record import Kept


class Sent:
    """The statements that went to the database, with their parameters."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.statements: list[tuple[str, Any]] = []
        sa.event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        self.statements.append((statement, parameters))

    async def verbs(self, work: Awaitable[Any]) -> list[str]:
        self.statements.clear()
        await work
        return [" ".join(statement.split()[:3]).removesuffix(" (log_id,") for statement, _ in self.statements]


@pytest.fixture
def sent(engine: sa.Engine) -> Sent:
    return Sent(engine)


@pytest.fixture
def log(engine: sa.Engine) -> Any:
    log = Log(engine)
    yield log
    log.shutdown()


async def test_a_row_without_claims_is_one_statement_and_so_is_its_ending(log: Log, sent: Sent) -> None:
    opening = an_opening(conversation_id="c", turn=1)
    assert await sent.verbs(log.open(opening)) == ["INSERT INTO ai_outbound_logs"]
    assert await sent.verbs(log.close(opening.log_id, an_ending(), [])) == ["UPDATE ai_outbound_logs SET"]
    opening = an_opening()
    await log.open(opening)
    assert await sent.verbs(log.close(opening.log_id, an_ending(), [a_call(), a_call(ordinal=2)])) == [
        *("BEGIN IMMEDIATE", "UPDATE ai_outbound_logs SET", "INSERT INTO ai_outbound_calls", "COMMIT"),
    ]


async def test_a_row_with_all_claims_is_one_transaction_that_locks_first(log: Log, sent: Sent) -> None:
    await log.open(reserving(), room=ROOM)
    opening = reserving(idempotency_key="order-7")
    assert await sent.verbs(log.open(opening, request_hash=HASH, room=ROOM)) == [
        "BEGIN IMMEDIATE",
        "UPDATE ai_budget_locks SET",
        "INSERT INTO ai_idempotency_keys",
        "SELECT sum(CASE WHEN",
        "INSERT INTO ai_outbound_logs",
        "COMMIT",
    ]


async def test_a_new_conversation_is_one_question_and_a_known_one_two(log: Log, sent: Sent) -> None:
    assert len(await sent.verbs(so_far(log))) == 1
    await a_turn(log, 1, kept_turn("t"))
    assert len(await sent.verbs(so_far(log))) == 2


async def test_no_statement_searches_a_table_without_an_index(log: Log, sent: Sent, engine: sa.Engine) -> None:
    """Whatever is asked, told and claimed, with every branch of it taken."""
    for status in (Status.ERROR, Status.SUCCESS):
        opening = keyed(reserved_nanousd=1, conversation_id="c", turn=1 if status is Status.ERROR else 2)
        await log.open(opening, request_hash=HASH, room=ROOM)
        await log.note_session(opening.log_id, "sesn_1", "agent_1", 7)
        kept = Kept(
            turn="t",
            turn_expires_at=BEGAN,
            max_conversation_bytes=9,
            result="r",
            result_expires_at=BEGAN,
        )
        await log.close(opening.log_id, an_ending(status=status), [a_call()], kept)
        await log.close(opening.log_id, an_ending(status=status), [])
        await log.open(opening, request_hash=HASH, room=ROOM)
    await so_far(log)
    await result_of(log)
    await log.sessions([opening.log_id, "unknown"])
    explained = [given for given in sent.statements if given[0].startswith(("SELECT", "UPDATE"))]
    with engine.connect() as connection:
        plans = {
            step.detail: statement
            for statement, parameters in explained
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        }
    assert len(explained) > 20
    assert {step: statement for step, statement in plans.items() if step.startswith("SCAN")} == {}
    (summed,) = {step for step, statement in plans.items() if "sum(CASE WHEN" in statement}
    assert "ix_ai_outbound_logs_tenant_feature_origin_created_at" in summed
