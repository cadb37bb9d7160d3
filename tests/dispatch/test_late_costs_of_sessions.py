"""A session that is not at rest when its row ends: the row has no cost, and gets it later as an adjustment."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from tampering import open_to_changes

from dispatcher.cli import run
from dispatcher.prices import PriceTable
from dispatcher.simulator.config import SimulatorConfig
from dispatcher.simulator.faults.rule import Rule
from dispatcher.simulator.faults.runs import Deleted, IgnoredInterrupt, Rescheduled, StaleStatus
from dispatcher.simulator.server import Simulator
from dispatcher.wiring.serving import build_dispatcher
from dispatcher.wiring.upkeep import complete_costs

PRICES = Path(__file__).parents[2] / "policies" / "prices.yml"
URL = "https://github.com/example/checkout"
LAGS = Rule(on="session.idle", every=True, fault=StaleStatus(ms=4000))
ADJUSTMENTS = "SELECT * FROM ai_outbound_adjustments"


@pytest.fixture
def live_simulator(own_simulator):
    return own_simulator


@pytest.fixture
def command(live_environment, capsys):
    def carry_out(*words):
        capsys.readouterr()
        assert run([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return carry_out


@pytest.fixture
def sweep(command):
    return lambda *options: command("logs", "sweep", *options)["costs"]


@pytest.fixture
def asked(live_simulator, live_settings, ask):
    """Asks, with the session's status behind its end for longer than a caller waits, unless said otherwise."""

    def dispatch(*, lags=True, **more):
        dispatcher = build_dispatcher(live_settings)
        if lags:
            live_simulator.inject(LAGS)
        try:
            action = ask("acme", variant="managed-sonnet-4-6", **more)
            return dispatcher.dispatch_research(action).raise_for_status()
        finally:
            live_simulator.clear_faults()
            dispatcher.close()

    return dispatch


def long_ago(database):
    """Move the endings to ten minutes ago, as only a test can."""
    with sqlite3.connect(database) as connection:
        moved = "strftime('%Y-%m-%d %H:%M:%f000', landed_at, '-10 minutes')"
        open_to_changes(connection).execute(f"UPDATE ai_outbound_logs SET landed_at = {moved}")
    connection.close()


def wait_for_rest(live_simulator, session_id):
    """Until the session says that nothing runs in it."""
    headers = {"x-api-key": "any", "anthropic-version": "2023-06-01", "anthropic-beta": "managed-agents-2026-04-01"}
    asked = Request(f"{live_simulator.base_url}/v1/sessions/{session_id}", headers=headers)
    status = "running"
    while status not in {"idle", "terminated"}:
        time.sleep(0.05)
        with urlopen(asked) as answer:
            status = json.load(answer)["status"]


def charged(simulator, session_id):
    """What the simulator charged for a session, in nano-dollars: each request, and the running time."""
    charges = [entry for entry in simulator.ledger if entry.session_id == session_id]
    running = PriceTable.load(PRICES).runtime_cost_nanousd(sum(entry.active_ms for entry in charges))
    return running + sum(entry.cost_nanousd for entry in charges if not entry.active_ms)


def test_what_the_session_counted_is_appended_once_it_is_at_rest_and_the_row_stays(
    asked, sweep, command, rows, database, live_simulator
):
    asked()
    [row] = rows()
    assert (row["status"], row["usage_quality"], row["cost_nanousd"]) == ("success", "partial", None)
    assert sweep() == {"completed": [], "left": {}}, "its ending landed a moment ago"
    long_ago(database)
    [row] = rows()
    while not (planned := sweep("--dry-run"))["completed"]:
        assert planned == {"completed": [], "left": {"session_still_runs": 1}}
    assert rows(ADJUSTMENTS) == []
    assert sweep() == planned
    [made] = rows(ADJUSTMENTS)
    assert [made[name] for name in ("log_id", "kind", "reason", "amount_nanousd", "price_version")] == [
        row["log_id"], "complete", "usage_completed", planned["completed"][0]["cost_nanousd"], row["price_version"],
    ]  # fmt: skip
    assert made["cost_nanousd"] == made["amount_nanousd"] == charged(live_simulator, row["session_id"])
    assert rows() == [row]
    assert sweep() == {"completed": [], "left": {}}
    checked = command("prices", "check")["sessions"]
    assert (checked["agree"], checked["unknown"]) == (1, 0)
    assert command("prices", "reprice")["adjusted"] == 0
    assert len(rows(ADJUSTMENTS)) == 1


def test_a_turn_that_the_conversation_went_on_after_is_told_its_own_cost(
    asked, sweep, command, rows, database, live_simulator
):
    """The session's whole count is that of both turns, of which the second one's row has its own."""
    first = asked(conversation_id="c-1")
    wait_for_rest(live_simulator, rows()[0]["session_id"])
    asked(lags=False, conversation_id="c-1", history=first.transcript, question="Where else?")
    one, two = rows()
    assert one["session_id"] == two["session_id"]
    assert (one["cost_nanousd"], two["cost_nanousd"] is None) == (None, False)
    long_ago(database)
    [completed] = sweep()["completed"]
    [made] = rows(ADJUSTMENTS)
    assert (completed["log_id"], made["log_id"]) == (one["log_id"], one["log_id"])
    # The running time of each turn is rounded for itself.
    both = made["cost_nanousd"] + two["cost_nanousd"]
    assert abs(both - charged(live_simulator, one["session_id"])) <= 1
    checked = command("prices", "check")["sessions"]
    assert (checked["sessions"], checked["agree"]) == (1, 1)


async def test_what_a_session_does_after_its_row_has_ended_is_in_the_cost(checkout, live_settings, ask, rows, database):
    """The caller cancels, and for some seconds the session neither stops nor comes to its end."""
    config = SimulatorConfig(repositories={URL: checkout}, time_scale=0.05, prices=PRICES)
    with Simulator(config) as simulator:
        settings = live_settings.model_copy(update={"anthropic_base_url": simulator.base_url})
        simulator.inject(
            Rule(on="events.send", sent="user.interrupt", every=True, fault=IgnoredInterrupt()),
            Rule(on="model_request", at=2, fault=Rescheduled(seconds=200)),
        )
        dispatcher = build_dispatcher(settings)

        action = dispatcher.adispatch_research(ask("acme", variant="managed-sonnet-4-6"))
        running = asyncio.ensure_future(action)
        while not simulator.faults_fired:  # noqa: ASYNC110 - the fault tells nobody
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        [row] = rows()
        assert (row["status"], row["usage_quality"], row["cost_nanousd"]) == ("cancelled", "partial", None)
        by_then = charged(simulator, row["session_id"])
        await dispatcher.settle()
        await asyncio.to_thread(dispatcher.close)
        await asyncio.to_thread(wait_for_rest, simulator, row["session_id"])
        long_ago(database)
        report = await complete_costs(settings, dry_run=False)
        [completed] = report.completed
        assert completed.cost_nanousd == charged(simulator, row["session_id"]) > by_then


def test_two_turns_of_a_session_that_both_lack_it_stay_without(asked, sweep, rows, database, live_simulator):
    first = asked(conversation_id="c-1")
    session_id = rows()[0]["session_id"]
    wait_for_rest(live_simulator, session_id)
    asked(conversation_id="c-1", history=first.transcript, question="Where else?")
    wait_for_rest(live_simulator, session_id)
    assert [(row["session_id"], row["cost_nanousd"]) for row in rows()] == [(session_id, None)] * 2
    long_ago(database)
    assert sweep() == {"completed": [], "left": {"earlier_turns_unknown": 2}}
    assert rows(ADJUSTMENTS) == []


def test_a_session_that_is_gone_leaves_its_row_without_a_cost(
    live_simulator, live_settings, ask, sweep, rows, database
):
    dispatcher = build_dispatcher(live_settings)
    live_simulator.inject(Rule(on="model_request", at=2, fault=Deleted()))
    dispatcher.dispatch_research(ask("acme", variant="managed-sonnet-4-6"))
    dispatcher.close()
    live_simulator.clear_faults()
    long_ago(database)
    assert sweep() == {"completed": [], "left": {"session_gone": 1}}
    assert rows(ADJUSTMENTS) == []


def test_a_dispatcher_completes_what_earlier_ones_left_when_it_starts(
    asked, live_settings, rows, database, live_simulator
):
    asked()
    wait_for_rest(live_simulator, rows()[0]["session_id"])
    long_ago(database)
    dispatcher = build_dispatcher(live_settings)
    while not rows(ADJUSTMENTS):
        assert dispatcher._parts.sweep._thread.is_alive()
    dispatcher.close()
    assert [made["reason"] for made in rows(ADJUSTMENTS)] == ["usage_completed"]


@pytest.mark.parametrize("lags", [False, True])
def test_a_dispatcher_comes_back_to_its_own_row_only_where_that_has_no_cost(live_simulator, live_settings, ask, lags):
    dispatcher = build_dispatcher(live_settings)
    sweep = dispatcher._parts.sweep
    sweep._thread.join(30)
    if lags:
        live_simulator.inject(LAGS)
    dispatcher.dispatch_research(ask("acme", variant="managed-sonnet-4-6")).raise_for_status()
    assert sweep._thread.is_alive() is lags
    live_simulator.clear_faults()
    dispatcher.close()
    assert not sweep._thread.is_alive()
