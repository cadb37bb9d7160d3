"""What every database must keep of conversations and results; a test class inherits it and provides `engine`."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

import pytest
import sqlalchemy as sa
from attempts import BEGAN, a_call, an_ending, an_opening
from log_contract import OnDatabase, rows

from dispatcher.action.observation import Status
from dispatcher.audit.log import Log
from dispatcher.audit.record import AttemptOpening, ConversationSoFar, Kept, LoggedSession, Origin, Role, SweptRow
from dispatcher.audit.tables import conversations, results
from dispatcher.errors import LogUnavailable

ENDED = BEGAN + dt.timedelta(seconds=19)
LATER = BEGAN + dt.timedelta(hours=1)
EXPIRY = BEGAN + dt.timedelta(hours=24)
SESSION = {"session_id": "sesn_1", "agent_id": "agent_1", "agent_version": 7}


def kept_turn(text: str, max_bytes: int = 1_000_000, expires_at: dt.datetime = EXPIRY) -> Kept:
    return Kept(turn=text, turn_expires_at=expires_at, max_conversation_bytes=max_bytes)


async def a_turn(log: Log, turn: int, kept: Kept | None = None, **changes: Any) -> AttemptOpening:
    """An ended turn of conversation c; changes of the ending are those that an ending has."""
    ends = {name: changes.pop(name) for name in (*SESSION, "status", "section_fingerprints") if name in changes}
    opening = an_opening(**({"conversation_id": "c", "turn": turn} | changes))
    await log.open(opening)
    await log.close(opening.log_id, an_ending(**ends), [], kept)
    return opening


async def so_far(log: Log, now: dt.datetime = LATER, origin: Origin = Origin.PRODUCTION) -> ConversationSoFar:
    return await log.conversation("script", "agent_research", "c", origin=origin, now=now)


async def result_of(log: Log, now: dt.datetime = LATER, **other: Any) -> str | None:
    asked = {"tenant": "script", "feature": "agent_research", "idempotency_key": "order-7", "origin": Origin.PRODUCTION}
    return await log.kept_result(**(asked | other), now=now)


class KeptContract(OnDatabase):
    async def test_a_conversation_nobody_began_has_nothing(self, log: Log) -> None:
        await log.open(an_opening())
        assert await so_far(log) == ConversationSoFar()

    async def test_a_conversation_tells_its_answered_turns_and_what_is_kept_of_them(self, log: Log) -> None:
        await a_turn(log, 1, kept_turn("first ✓"))
        await a_turn(log, 2, kept_turn("not an answer"), status=Status.ERROR)
        await a_turn(log, 2, kept_turn("second"), attempt=2, role=Role.FALLBACK)
        await a_turn(log, 3)
        await a_turn(log, 4, status=Status.CANCELLED, section_fingerprints='{"role":"f00d"}')
        assert await so_far(log) == ConversationSoFar(
            turn=4,
            answered=(1, 2, 3),
            kept=((1, "first ✓"), (2, "second")),
            path="messages",
            section_fingerprints='{"role":"f00d"}',
        )

    @pytest.mark.parametrize("other", [{"tenant": "acme"}, {"feature": "agent_review"}, {"conversation_id": "d"}])
    async def test_another_conversation_is_another_one(self, log: Log, other: dict[str, str]) -> None:
        await a_turn(log, 1, kept_turn("theirs"), **other)
        assert await so_far(log) == ConversationSoFar()
        await a_turn(log, 1, kept_turn("ours"))
        assert (await so_far(log)).kept == ((1, "ours"),)

    async def test_rows_of_another_origin_are_nothing_but_taken_ordinals(self, log: Log) -> None:
        await a_turn(log, 1, kept_turn("simulated"), origin=Origin.SIMULATED, path="managed", **SESSION)
        await log.open(an_opening(conversation_id="c", turn=2, origin=Origin.SIMULATED))
        assert await so_far(log) == ConversationSoFar(turn=2)
        assert (await so_far(log, BEGAN, Origin.SIMULATED)).running

    async def test_shadow_rows_are_no_part_of_a_conversation(self, log: Log) -> None:
        await a_turn(log, 1, path="messages", section_fingerprints="{}")
        await a_turn(log, 1, attempt=2, role=Role.SHADOW, path="managed", **SESSION)
        await log.open(an_opening(conversation_id="c", turn=1, attempt=3, role=Role.SHADOW))
        expected = ConversationSoFar(turn=1, answered=(1,), path="messages", section_fingerprints="{}")
        assert await so_far(log, BEGAN) == expected

    async def test_a_turn_runs_until_it_is_ended_or_a_minute_after_its_deadline(self, log: Log) -> None:
        opening = an_opening(conversation_id="c", turn=1)
        await log.open(opening)
        end = opening.deadline_at + dt.timedelta(seconds=60)
        running = [(await so_far(log, now)).running for now in (BEGAN, end, end + dt.timedelta(microseconds=1))]
        assert running == [True, True, False]
        await log.close(opening.log_id, an_ending(), [])
        assert not (await so_far(log, BEGAN)).running

    async def test_the_session_of_the_latest_answer_is_told_with_what_it_was_made_for(self, log: Log) -> None:
        opening = await a_turn(log, 1, path="managed", **SESSION)
        assert (await so_far(log)).session == LoggedSession(
            **SESSION,
            model=opening.model,
            repository=opening.repository,
            commit_sha=opening.commit_sha,
            project=opening.project,
            prefix_fingerprint="the prefix_fingerprint",
            finished_at=ENDED,
        )

    @pytest.mark.parametrize(
        "latest",
        [
            {"turn": 2, "path": "messages"},
            {"turn": 2, "path": "managed", "status": Status.ERROR, **SESSION},
            {"turn": 2, "path": "managed", **SESSION, "session_id": None},
            {"turn": 1, "attempt": 2, "role": Role.FALLBACK, "path": "messages"},
        ],
        ids=["on the other path", "failed", "without a session", "a fallback"],
    )
    async def test_only_the_latest_attempt_has_a_session_to_go_on_in(self, log: Log, latest: dict[str, Any]) -> None:
        first = await a_turn(log, 1, path="managed", **SESSION)
        assert (await so_far(log)).session is not None
        await a_turn(log, **latest)
        assert (await so_far(log)).session is None
        assert not (await log.sessions([first.log_id]))[first.log_id].resumable

    async def test_content_lands_with_the_ending_and_a_row_ends_once(self, log: Log, engine: sa.Engine) -> None:
        opening = an_opening(conversation_id="c", turn=1, idempotency_key="order-7")
        await log.open(opening, request_hash="5")
        both = Kept(
            turn="ün",
            turn_expires_at=EXPIRY,
            max_conversation_bytes=3,
            result="r",
            result_expires_at=EXPIRY,
        )
        await log.close(opening.log_id, an_ending(), [a_call()], both)
        before = rows(engine, conversations), rows(engine, results)
        owned = {"tenant": "script", "feature": "agent_research", "log_id": opening.log_id}
        stamps = {"created_at": ENDED, "expires_at": EXPIRY}
        turn = {"conversation_id": "c", "turn": 1, "content": "ün", "bytes": 3}
        result = {"idempotency_key": "order-7", "dispatch_id": opening.dispatch_id, "content": "r", "bytes": 1}
        assert before == ([owned | stamps | turn], [owned | stamps | result])
        late = Kept(turn="x", turn_expires_at=EXPIRY, max_conversation_bytes=9, result="x", result_expires_at=EXPIRY)
        await log.close(opening.log_id, an_ending(), [a_call()], late)
        assert before == (rows(engine, conversations), rows(engine, results))

    async def test_a_row_outside_conversations_and_without_a_key_keeps_nothing(
        self, log: Log, engine: sa.Engine
    ) -> None:
        opening = an_opening()
        await log.open(opening)
        kept = Kept(turn="t", turn_expires_at=EXPIRY, max_conversation_bytes=9, result="r", result_expires_at=EXPIRY)
        await log.close(opening.log_id, an_ending(), [], kept)
        assert (rows(engine)[0]["status"], rows(engine, conversations), rows(engine, results)) == ("success", [], [])

    async def test_a_turn_beyond_the_bound_of_its_conversation_is_not_kept_and_said_without_its_content(
        self, log: Log, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The bound is on the bytes of all kept turns that haven't expired."""
        await a_turn(log, 1, kept_turn("éé", max_bytes=4))
        await a_turn(log, 2, kept_turn("secret", max_bytes=9))
        await a_turn(log, 3, kept_turn("12345", max_bytes=9))
        assert (await so_far(log)).kept == ((1, "éé"), (3, "12345"))
        (line,) = caplog.messages
        assert "turn of 6 bytes isn't kept: 4 bytes of the conversation are, and it may have 9 in all" in line
        assert "secret" not in line

    async def test_expired_turns_are_gone_and_leave_room(self, log: Log) -> None:
        await a_turn(log, 1, kept_turn("12345", max_bytes=5, expires_at=ENDED))
        await a_turn(log, 2, kept_turn("67890", max_bytes=5))
        before, after = EXPIRY - dt.timedelta(microseconds=1), EXPIRY
        assert [(await so_far(log, now)).kept for now in (before, after)] == [((2, "67890"),), ()]
        assert (await so_far(log)).answered == (1, 2)

    async def test_content_that_no_database_can_hold_is_not_kept_and_the_row_ends(
        self, log: Log, engine: sa.Engine, caplog: pytest.LogCaptureFixture
    ) -> None:
        opening = an_opening(conversation_id="c", turn=1, idempotency_key="order-7")
        await log.open(opening, request_hash="5")
        half = "\ud800"
        kept = Kept(turn=half, turn_expires_at=EXPIRY, max_conversation_bytes=9, result=half, result_expires_at=EXPIRY)
        await log.close(opening.log_id, an_ending(), [], kept)
        assert (rows(engine)[0]["status"], rows(engine, conversations), rows(engine, results)) == ("success", [], [])
        assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2

    async def test_megabytes_are_kept_whole(self, log: Log) -> None:
        text = "0123456789" * 400_000
        await a_turn(log, 1, kept_turn(text, max_bytes=len(text)))
        assert (await so_far(log)).kept == ((1, text),)

    async def test_a_kept_result_is_told_until_it_expires_to_its_own_tenant_and_origin(self, log: Log) -> None:
        opening = an_opening(idempotency_key="order-7")
        await log.open(opening, request_hash="5")
        assert await result_of(log) is None
        await log.close(opening.log_id, an_ending(), [], Kept(result="the answer", result_expires_at=EXPIRY))
        others = [
            *({"tenant": "acme"}, {"feature": "agent_review"}, {"idempotency_key": "order-8"}),
            *({"origin": Origin.SIMULATED}, {"now": EXPIRY}),
        ]
        assert [await result_of(log, **other) for other in others] == [None] * 5
        assert await result_of(log) == "the answer"

    async def test_a_later_result_of_the_key_replaces_the_earlier_one(self, log: Log) -> None:
        for text, status in (("partial", Status.ERROR), ("whole", Status.SUCCESS)):
            opening = an_opening(idempotency_key="order-7")
            await log.open(opening, request_hash="5")
            await log.close(opening.log_id, an_ending(status=status), [], Kept(result=text, result_expires_at=EXPIRY))
        assert await result_of(log) == "whole"

    async def test_a_sweep_learns_how_the_rows_that_it_asks_for_stand(self, log: Log) -> None:
        lone = an_opening(path="managed")
        await log.open(lone)
        await log.note_session(lone.log_id, "sesn_9", "agent_1", 7)
        first = await a_turn(log, 1, path="managed", **SESSION)
        second = an_opening(conversation_id="c", turn=2, created_at=LATER, deadline_at=EXPIRY)
        await log.open(second)
        found = await log.sessions({lone.log_id, first.log_id, "unknown"})
        alone = SweptRow(
            log_id=lone.log_id,
            tenant="script",
            conversation_id=None,
            status=Status.STARTED,
            session_id="sesn_9",
            deadline_at=lone.deadline_at,
            finished_at=None,
            busy_until=lone.deadline_at,
            active_at=BEGAN,
            resumable=False,
        )
        of_conversation = SweptRow(
            log_id=first.log_id,
            tenant="script",
            conversation_id="c",
            status=Status.SUCCESS,
            session_id="sesn_1",
            deadline_at=first.deadline_at,
            finished_at=ENDED,
            busy_until=EXPIRY,
            active_at=LATER,
            resumable=False,
        )
        assert found == {lone.log_id: alone, first.log_id: of_conversation}

    async def test_a_session_that_the_latest_answer_went_on_in_is_resumable_by_the_row_that_created_it(
        self, log: Log
    ) -> None:
        first = await a_turn(log, 1, path="managed", **SESSION)
        assert (await log.sessions([first.log_id]))[first.log_id].resumable
        second = await a_turn(log, 2, path="managed", **SESSION)
        found = await log.sessions([first.log_id, second.log_id])
        assert [row.resumable for row in found.values()] == [True, True]
        third = await a_turn(log, 3, path="managed", **SESSION | {"session_id": "sesn_2"})
        found = await log.sessions([first.log_id, third.log_id])
        assert {log_id: row.resumable for log_id, row in found.items()} == {first.log_id: False, third.log_id: True}

    async def test_a_sweep_may_ask_for_more_rows_than_one_statement_takes(self, log: Log) -> None:
        openings = [an_opening() for _ in range(210)]
        for opening in openings:
            await log.open(opening)
        assert set(await log.sessions([opening.log_id for opening in openings])) == {o.log_id for o in openings}
        assert await log.sessions([]) == {}

    async def test_questions_to_a_log_that_cannot_answer_are_one_clear_error(self, log: Log, engine: sa.Engine) -> None:
        for table in ("ai_results", "ai_outbound_logs"):
            with engine.begin() as connection:
                connection.exec_driver_sql(f"DROP TABLE {table}")
        for question, words in (
            (so_far(log), "can't say what was asked before"),
            (result_of(log), "can't say what was answered under the idempotency key"),
            (log.sessions(["x"]), "can't say whose the sessions are"),
        ):
            with pytest.raises(LogUnavailable, match=words):
                await question
