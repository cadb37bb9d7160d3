"""One action under one idempotency key, and a tenant's budget, from the caller's side."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dispatcher import ActionInProgress, AttemptStarted, BudgetExhausted, DuplicateAction, IdempotencyKeyReused, Limits


def test_the_same_key_spends_once_and_names_the_first_row(dispatcher, ask, rows, live_simulator):
    first = dispatcher.dispatch_research(ask(idempotency_key="k-1")).raise_for_status()
    charged = len(live_simulator.ledger)
    with pytest.raises(DuplicateAction) as duplicate:
        dispatcher.dispatch_research(ask(idempotency_key="k-1"))
    assert (duplicate.value.log_id, len(rows()), len(live_simulator.ledger)) == (first.log_id, 1, charged)


def test_where_results_are_kept_the_same_key_returns_the_same_result(keeping_dispatcher, ask, rows, live_simulator):
    first = keeping_dispatcher.dispatch_research(ask(idempotency_key="k-1")).raise_for_status()
    charged = len(live_simulator.ledger)
    again = keeping_dispatcher.dispatch_research(ask(idempotency_key="k-1"))
    assert (again.output, again.log_id, again.cost_nanousd) == (first.output, first.log_id, first.cost_nanousd)
    assert (again.decision, again.timings, again.repeated) == (first.decision, first.timings, True)
    assert (len(rows()), len(live_simulator.ledger)) == (1, charged)


def test_another_question_under_the_same_key_is_an_error(dispatcher, ask, rows):
    dispatcher.dispatch_research(ask(idempotency_key="k-1")).raise_for_status()
    with pytest.raises(IdempotencyKeyReused):
        dispatcher.dispatch_research(ask(idempotency_key="k-1", question="Something else?"))
    assert len(rows()) == 1


def test_keys_of_different_tenants_are_different(dispatcher, ask, rows):
    for tenant in ("umbrella", "initech"):
        dispatcher.dispatch_research(ask(tenant, idempotency_key="k-1")).raise_for_status()
    assert len(rows()) == 2


def test_a_failure_releases_the_key(dispatcher, ask, rows):
    failed = dispatcher.dispatch_research(ask(idempotency_key="k-1", limits=Limits(deadline_s=0.001)))
    assert failed.output is None
    # The limits are part of the request, so the same ones are asked for again.
    again = dispatcher.dispatch_research(ask(idempotency_key="k-1", limits=Limits(deadline_s=0.001)))
    assert [row["log_id"] for row in rows()] == [failed.log_id, again.log_id]


def test_of_many_at_once_one_is_carried_out(dispatcher, ask, rows):
    start = threading.Barrier(8)

    def carry_out(_):
        start.wait()
        try:
            return dispatcher.dispatch_research(ask(idempotency_key="k-1"))
        except (ActionInProgress, DuplicateAction) as refused:
            return refused

    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(carry_out, range(8)))
    assert (sum(not isinstance(one, Exception) for one in ended), len(rows())) == (1, 1)


async def test_a_cancelled_dispatch_releases_the_key(dispatcher, ask, rows):
    started = asyncio.Event()

    def on_event(event):
        if isinstance(event, AttemptStarted):
            started.set()

    running = asyncio.ensure_future(dispatcher.adispatch_research(ask(idempotency_key="k-1"), on_event))
    await started.wait()
    running.cancel()
    await asyncio.wait({running})
    result = await dispatcher.adispatch_research(ask(idempotency_key="k-1"))
    assert ([row["status"] for row in rows()], result.output is not None) == (["cancelled", "success"], True)
    await dispatcher.settle()


def test_a_budget_has_room_for_so_many_reservations_however_many_start_at_once(budgeted_dispatcher, ask, rows):
    # The policy gives the tenant 3 dollars, and each dispatch reserves its cap of one.
    start = threading.Barrier(12)

    def carry_out(_):
        start.wait()
        try:
            return budgeted_dispatcher.dispatch_research(ask("acme", limits=Limits(cost_usd=1)))
        except BudgetExhausted as refused:
            return refused

    with ThreadPoolExecutor(12) as pool:
        ended = list(pool.map(carry_out, range(12)))
    opened = [row for row in rows() if row["reserved_nanousd"] == 10**9]
    assert len(opened) == len(rows()) == sum(not isinstance(one, Exception) for one in ended)
    # Each of a dispatch's endings frees what it didn't spend, so more than three may pass, but never at once.
    overlapping = max(
        sum(other["created_at"] <= row["created_at"] < other["finished_at"] for other in rows()) for row in rows()
    )
    assert overlapping <= 3


def test_a_tenant_without_room_is_told_what_is_spent_and_reserved(budgeted_dispatcher, ask, rows):
    with pytest.raises(BudgetExhausted, match=r"is 3 USD since.*this one needs 4 USD"):
        budgeted_dispatcher.dispatch_research(ask("acme", variant="legacy", limits=Limits(cost_usd=4)))
    assert rows() == []
    budgeted_dispatcher.dispatch_research(ask("umbrella", limits=Limits(cost_usd=4))).raise_for_status()


def test_a_repeated_turn_of_a_conversation_hears_of_its_key_first(dispatcher, keeping_dispatcher, ask, rows):
    asked = ask(conversation_id="c-1", idempotency_key="k-1")
    first = keeping_dispatcher.dispatch_research(asked).raise_for_status()
    assert keeping_dispatcher.dispatch_research(asked).log_id == first.log_id
    with pytest.raises(DuplicateAction):
        dispatcher.dispatch_research(asked)
    assert len(rows()) == 1
