"""Idempotency keys whose claims retention deletes while others ask for them, on every engine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from claim_contract import HASH, keyed
from log_contract import rows
from open_rows import held_key, left_open, now_of

from dispatcher.audit.claims import Claims, Holder, KeyIsHeld
from dispatcher.audit.connections import Connections, transaction
from dispatcher.audit.engine import open_engine
from dispatcher.audit.record import AttemptOpening
from dispatcher.audit.retention import Retention, RetentionRule
from dispatcher.audit.tables import idempotency_keys

YEAR = dt.timedelta(days=366)


@pytest.fixture
def engine(any_url: str) -> Iterator[sa.Engine]:
    engine = open_engine(any_url)
    yield engine
    engine.dispose()


@pytest.fixture
def connections(engine: sa.Engine) -> Iterator[Connections]:
    connections = Connections(engine)
    yield connections
    connections.release()


def delete_what_is_old(engine: sa.Engine) -> None:
    rule = RetentionRule(feature="agent_research", keep_rows=YEAR, evidence=lambda _: ())
    Retention(engine).apply(rule, dry_run=False, on_progress=lambda _done: None)
    assert (rows(engine), rows(engine, idempotency_keys)) == ([], [])


def claim(connections: Connections, claims: Claims, opening: AttemptOpening, released: Holder | None) -> None:
    def take(connection: sa.Connection) -> None:
        with transaction(connection):
            claims.take(connection, opening, HASH, released)

    connections.run(take)


@pytest.mark.parametrize("status", ["success", "error"])
def test_a_claim_that_is_deleted_between_its_refusal_and_the_look_at_it_is_to_be_had(
    engine: sa.Engine, connections: Connections, status: str
) -> None:
    began = now_of(engine) - YEAR - dt.timedelta(days=1)
    old = left_open(engine, idempotency_key="order-7", status=status, created_at=began, recorded_at=began)
    held_key(engine, old, "order-7", HASH)
    claims, opening = Claims(engine.dialect), keyed()
    with pytest.raises(KeyIsHeld):
        claim(connections, claims, opening, None)
    delete_what_is_old(engine)
    released = connections.run(lambda connection: claims.released(connection, opening, HASH))
    assert released is None
    claim(connections, claims, opening, released)
    assert [row["log_id"] for row in rows(engine, idempotency_keys)] == [opening.log_id]


def test_a_claim_that_is_deleted_before_it_is_taken_over_is_claimed_anew(
    engine: sa.Engine, connections: Connections
) -> None:
    began = now_of(engine) - YEAR - dt.timedelta(days=1)
    old = left_open(engine, idempotency_key="order-7", status="error", created_at=began, recorded_at=began)
    held_key(engine, old, "order-7", HASH)
    claims, opening = Claims(engine.dialect), keyed()
    released = connections.run(lambda connection: claims.released(connection, opening, HASH))
    assert (released or pytest.fail("nobody held it")).log_id == old
    delete_what_is_old(engine)
    claim(connections, claims, opening, released)
    assert [row["log_id"] for row in rows(engine, idempotency_keys)] == [opening.log_id]
