"""What is deleted and what is kept, on every engine."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from log_contract import rows
from open_rows import ended_as, held_key, left_open, now_of

from dispatcher.audit.engine import open_engine
from dispatcher.audit.evidence import Evidence, evidence_of
from dispatcher.audit.evidence_tables import registrations
from dispatcher.audit.record import Origin, new_log_id
from dispatcher.audit.retention import AT_ONCE, Needed, Retention, RetentionReport, RetentionRule
from dispatcher.audit.tables import adjustments, calls, conversations, idempotency_keys, logs, results
from dispatcher.errors import SourceUnreachable

DAY = dt.timedelta(days=1)
FEATURE = "agent_research"


@pytest.fixture
def engine(any_url: str) -> Iterator[sa.Engine]:
    engine = open_engine(any_url)
    yield engine
    engine.dispose()


def apply(engine: sa.Engine, days: int | None = 400, *, dry_run: bool = False, **changes: Any) -> RetentionReport:
    rule = {"feature": FEATURE, "keep_rows": None if days is None else days * DAY, "evidence": lambda _: ()} | changes
    return Retention(engine).apply(RetentionRule(**rule), dry_run=dry_run, on_progress=lambda _done: None)


def ended(engine: sa.Engine, age: dt.timedelta, **changes: Any) -> str:
    """A row that began so long ago and has ended."""
    began = {"created_at": now_of(engine) - age, "recorded_at": now_of(engine) - age}
    return left_open(engine, **{"status": "success"} | began | changes)


def insert(engine: sa.Engine, table: sa.Table, *values: dict[str, Any]) -> None:
    with engine.begin() as connection:
        connection.execute(sa.insert(table), list(values))


def a_turn(engine: sa.Engine, turn: int, expires_in: dt.timedelta, **changes: Any) -> dict[str, Any]:
    values = {"tenant": "script", "feature": FEATURE, "conversation_id": "c-1", "turn": turn, "log_id": new_log_id()}
    values |= {"content": "secret", "bytes": 6, "created_at": now_of(engine), "expires_at": now_of(engine) + expires_in}
    return values | changes


def a_result(engine: sa.Engine, key: str, expires_in: dt.timedelta, **changes: Any) -> dict[str, Any]:
    values = {
        "tenant": "script",
        "feature": FEATURE,
        "idempotency_key": key,
        "dispatch_id": "d",
        "log_id": new_log_id(),
    }
    values |= {"content": "secret", "bytes": 6, "created_at": now_of(engine), "expires_at": now_of(engine) + expires_in}
    return values | changes


def test_expired_content_of_every_tenant_is_deleted_and_no_other(engine: sa.Engine) -> None:
    expired = [a_turn(engine, turn, -DAY, tenant=tenant) for turn in range(1, 4) for tenant in ("acme", "script")]
    insert(engine, conversations, *expired, a_turn(engine, 9, DAY))
    insert(engine, results, a_result(engine, "old", -DAY, tenant="acme"), a_result(engine, "new", DAY))
    counts = {"ai_conversations": 6, "ai_results": 1}
    assert apply(engine, None, dry_run=True).content == counts
    assert len(rows(engine, conversations)) == 7
    assert apply(engine, None) == RetentionReport(content=counts, before=None, rows=0, needed=())
    assert [row["turn"] for row in rows(engine, conversations)] == [9]
    assert [row["idempotency_key"] for row in rows(engine, results)] == ["new"]
    assert apply(engine, None).content == {"ai_conversations": 0, "ai_results": 0}


def test_more_than_a_batch_is_deleted_batch_by_batch_with_its_progress(engine: sa.Engine) -> None:
    insert(engine, conversations, *(a_turn(engine, turn, -DAY) for turn in range(AT_ONCE + 1)))
    told: list[float] = []
    rule = RetentionRule(feature=FEATURE, keep_rows=None, evidence=lambda _: ())
    report = Retention(engine).apply(rule, dry_run=False, on_progress=told.append)
    assert report.content["ai_conversations"] == AT_ONCE + 1
    assert rows(engine, conversations) == []
    assert (len(told) >= 2, told == sorted(told), told[-1]) == (True, True, 1.0)


def test_old_rows_go_with_all_that_belongs_to_them(engine: sa.Engine) -> None:
    old, kept = (ended(engine, age * DAY, idempotency_key=f"key-{age}") for age in (401, 399))
    other = ended(engine, 401 * DAY, feature="other")
    for log_id, key in ((old, "key-401"), (kept, "key-399")):
        insert(engine, calls, {"log_id": log_id, "ordinal": 1, "model": "m"})
        made = {"tenant": "script", "log_id": log_id, "sequence": 1, "kind": "reprice", "reason": "price_changed"}
        insert(engine, adjustments, made | {"amount_nanousd": 1, "cost_nanousd": 2})
        held_key(engine, log_id, key, "5" * 32)
        insert(engine, results, a_result(engine, key, DAY, log_id=log_id))
    planned = apply(engine, dry_run=True)
    assert len(rows(engine)) == 3
    report = apply(engine)
    assert (planned.rows, report.rows, planned.needed) == (1, 1, ())
    assert {row["log_id"] for row in rows(engine)} == {kept, other}
    for table in (calls, adjustments, idempotency_keys, results):
        assert [row["log_id"] for row in rows(engine, table)] == [kept], table.name


def test_what_another_row_has_under_the_same_key_since_stays(engine: sa.Engine) -> None:
    ended(engine, 401 * DAY, idempotency_key="k", status="error")
    later = ended(engine, DAY, idempotency_key="k")
    held_key(engine, later, "k", "5" * 32)
    insert(engine, results, a_result(engine, "k", DAY, log_id=later))
    assert apply(engine).rows == 1
    assert [row["log_id"] for row in rows(engine, idempotency_keys)] == [later]
    assert [row["log_id"] for row in rows(engine, results)] == [later]


def test_a_conversation_is_deleted_whole_or_not_at_all(engine: sa.Engine) -> None:
    """Its first row says what it was assigned, and its turns count from 1."""
    for conversation, ages in {"goes on": (500, 399), "is over": (500, 401), "is open": (500, 450)}.items():
        for turn, age in enumerate(ages, start=1):
            status = "started" if conversation == "is open" and turn == 2 else "success"
            ended(engine, age * DAY, conversation_id=conversation, turn=turn, status=status)
    # Another tenant's conversation of the same name is another one.
    ended(engine, 500 * DAY, conversation_id="goes on", turn=1, tenant="acme")
    assert apply(engine).rows == 3
    left = [(row["tenant"], row["conversation_id"], row["turn"]) for row in rows(engine)]
    assert sorted(left) == [("script", name, turn) for name in ("goes on", "is open") for turn in (1, 2)]


def test_an_open_row_is_never_deleted(engine: sa.Engine) -> None:
    log_id = ended(engine, 900 * DAY, status="started")
    assert apply(engine).rows == 0
    assert ended_as(engine, log_id)["status"] == "started"


def test_no_row_is_deleted_while_one_of_them_is_evidence(engine: sa.Engine) -> None:
    ended(engine, 600 * DAY)
    for _ in range(2):
        ended(engine, 450 * DAY)
    ended(engine, 450 * DAY, origin="simulated")
    started = now_of(engine) - 500 * DAY
    evidence = Evidence(record="KD-1", feature=FEATURE, origin=Origin.PRODUCTION, since=started, until=None)
    insert(engine, results, a_result(engine, "old", -DAY))
    report = apply(engine, evidence=lambda _: (evidence,))
    assert (report.rows, report.needed) == (0, (Needed(evidence=evidence, rows=2),))
    assert report.content["ai_results"] == 1
    assert len(rows(engine)) == 4
    baseline = Evidence(record="KD-1", feature=FEATURE, origin=None, since=started, until=started + 100 * DAY)
    assert [one.rows for one in apply(engine, evidence=lambda _: (baseline,)).needed] == [3]
    # Older than all that is needed.
    assert apply(engine, 550, evidence=lambda _: (evidence, baseline)).rows == 1
    # Forced.
    assert apply(engine).rows == 3


def test_evidence_is_that_of_the_newest_registration_of_each_record_and_origin_still_open(engine: sa.Engine) -> None:
    moments = [dt.datetime(2026, month, 1, tzinfo=dt.UTC) for month in range(1, 6)]
    pinned = {"window": ["2025-03-01", "2025-04-01"], "where": {"feature": FEATURE}, "value": 3}
    criteria = [
        {"baseline": pinned},
        {"baseline": pinned | {"published": True, "window": ["2024-01-01", "2024-02-01"]}},
    ]
    block = {"feature": FEATURE, "criteria": [*criteria, {"baseline": {"source": "concurrent-control"}}]}
    for record, origin, epoch, start, of in (
        ("KD-1", "production", 1, moments[0], block),
        ("KD-1", "production", 2, moments[1], {"feature": FEATURE}),
        ("KD-1", "simulated", 1, moments[2], {"feature": FEATURE}),
        ("KD-2", "production", 1, moments[3], block),
        ("KD-3", "production", 1, moments[4], {"feature": "other"}),
        ("KD-4", "production", 1, moments[4], {"feature": FEATURE}),
    ):
        row = {"registration_id": new_log_id(), "record": record, "origin": origin, "epoch": epoch, "start_at": start}
        hashes = {"candidate_hash": "c", "record_hash": "r"}
        insert(engine, registrations, row | hashes | {"block": json.dumps(of), "registered_at": start})
    with engine.connect() as connection:
        found = evidence_of(connection, FEATURE, closed={"KD-4"})
    assert [(one.record, one.origin, one.since, one.until) for one in found] == [
        ("KD-1", "production", moments[1], None),
        ("KD-1", "simulated", moments[2], None),
        ("KD-2", "production", moments[3], None),
        ("KD-2", None, dt.datetime(2025, 3, 1, tzinfo=dt.UTC), dt.datetime(2025, 4, 1, tzinfo=dt.UTC)),
    ]


def test_two_that_delete_at_once_delete_the_same_rows_and_hurt_nobody(engine: sa.Engine) -> None:
    for _ in range(30):
        ended(engine, 401 * DAY)
    keeps = ended(engine, DAY)
    threads = [threading.Thread(target=apply, args=(engine,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row["log_id"] for row in rows(engine)] == [keeps]


def test_a_database_that_cannot_be_used_is_one_clear_error(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE ai_conversations")
    with pytest.raises(SourceUnreachable, match="ai_conversations"):
        apply(engine)


def test_every_table_that_a_row_fills_is_emptied_of_it() -> None:
    """A table that is added later must be thought of here."""
    of_a_row = {table.name for table in logs.metadata.tables.values() if "log_id" in table.columns}
    deleted = {table.name for table in (logs, calls, adjustments, conversations, results, idempotency_keys)}
    assert of_a_row == deleted


def test_a_conversation_that_is_larger_than_a_batch_goes_in_one_transaction(engine: sa.Engine) -> None:
    """Its youngest turns are as old as the rows of other batches, and yet nobody ever sees a part of it."""
    for turn in range(1, AT_ONCE + 3):
        ended(engine, (900 if turn == 1 else 410) * DAY, conversation_id="long", turn=turn)
    for age in range(500, 520):
        ended(engine, age * DAY)
    seen: list[int] = []
    of_it = sa.select(sa.func.count()).select_from(logs).where(logs.c.conversation_id == "long")

    def look(_done: float) -> None:
        with engine.connect() as connection:
            seen.append(connection.execute(of_it).scalar_one())

    rule = RetentionRule(feature=FEATURE, keep_rows=400 * DAY, evidence=lambda _: ())
    report = Retention(engine).apply(rule, dry_run=False, on_progress=look)
    assert (report.rows, len(rows(engine)), set(seen)) == (AT_ONCE + 22, 0, {0})


def test_a_record_that_is_registered_meanwhile_keeps_what_is_left(engine: sa.Engine) -> None:
    """Its baseline may be older than what is deleted next."""
    for _ in range(AT_ONCE):
        ended(engine, 900 * DAY)
    ended(engine, 450 * DAY)
    window = [str((now_of(engine) - days * DAY).date()) for days in (460, 440)]
    block = {"feature": FEATURE, "criteria": [{"baseline": {"window": window}}]}
    asked: list[int] = []

    def evidence(connection: sa.Connection) -> list[Evidence]:
        asked.append(1)
        if len(asked) == 3:
            row = {"registration_id": new_log_id(), "record": "KD-1", "origin": "production", "epoch": 1}
            values = {"candidate_hash": "c", "record_hash": "r", "block": json.dumps(block), "start_at": now_of(engine)}
            connection.execute(sa.insert(registrations).values(row | values))
        return evidence_of(connection, FEATURE, closed=())

    report = apply(engine, evidence=evidence)
    assert (report.rows, [one.rows for one in report.needed], len(rows(engine))) == (AT_ONCE, [1], 1)


def test_a_conversation_that_goes_on_between_the_look_and_the_deletion_stays_whole(engine: sa.Engine) -> None:
    for turn in (1, 2):
        ended(engine, 450 * DAY, conversation_id="goes on", turn=turn)
    alone = ended(engine, 440 * DAY)
    other = open_engine(engine.url.render_as_string(hide_password=False))
    went_on: list[str] = []

    def goes_on(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "LIMIT" in statement and not went_on:
            went_on.append(ended(other, DAY, conversation_id="goes on", turn=3))

    sa.event.listen(engine, "after_cursor_execute", goes_on)
    assert apply(engine).rows == 1
    assert alone not in {row["log_id"] for row in rows(engine)}
    assert sorted(row["turn"] for row in rows(engine)) == [1, 2, 3]
    other.dispose()
