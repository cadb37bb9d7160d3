"""The composition root: where answers come from, keys, forks."""

from __future__ import annotations

import os
import socket
import sqlite3

import pytest

from dispatcher import Repository, ResearchAction
from dispatcher.errors import InvalidFlags, InvalidPolicy, NoApiKey
from dispatcher.settings import load_settings
from dispatcher.wiring.routers import build_router
from dispatcher.wiring.serving import build_dispatcher


@pytest.fixture
def action(checkout):
    return ResearchAction(question="Where is the greeting?", tenant="initech", repository=Repository(path=checkout))


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_without_a_key_and_without_the_simulator_the_error_names_both_ways_out(live_settings):
    settings = live_settings.model_copy(update={"anthropic_base_url": "https://api.anthropic.com"})
    with pytest.raises(NoApiKey, match=r"(?s)ANTHROPIC_API_KEY.*dispatcher simulator"):
        build_dispatcher(settings)


def test_an_address_that_is_not_the_simulator_needs_a_key(live_settings):
    settings = live_settings.model_copy(update={"anthropic_base_url": f"http://127.0.0.1:{unused_port()}"})
    with pytest.raises(NoApiKey):
        build_dispatcher(settings)


def test_a_missing_policies_directory_is_one_clear_error(tmp_path):
    with pytest.raises(InvalidPolicy, match="policies"):
        build_router(load_settings(policies_dir=tmp_path / "nowhere"))


def test_a_variant_whose_model_has_no_price_is_refused_because_no_cap_on_its_cost_could_hold(live_settings):
    policy = live_settings.policies_dir / "agent_research.yml"
    policy.write_text(policy.read_text().replace("model: claude-haiku-4-5\n", "model: claude-of-tomorrow\n"))

    with pytest.raises(InvalidPolicy, match=r"model: claude-of-tomorrow has no price in prices\.yml"):
        build_dispatcher(live_settings)


def test_a_broken_flag_file_is_loud_at_the_start_unless_the_brake_is_on(live_settings):
    (live_settings.policies_dir / "flags.json").write_text("{")
    with pytest.raises(InvalidFlags):
        build_router(live_settings)
    live_settings.kill_switch_file.write_text("legacy")

    assert build_router(live_settings).look_at_kill_switch() is not None


def test_a_forked_child_dispatches_with_parts_of_its_own_and_the_parent_goes_on(live_settings, action):
    dispatcher = build_dispatcher(live_settings)
    before = dispatcher.dispatch_research(action)
    child = os.fork()
    if child == 0:
        # Nothing of the test's own may run on in the child, whatever happens.
        try:
            status = dispatcher.dispatch_research(action).status
            os._exit(0 if status == "success" else 1)
        except BaseException:  # noqa: BLE001
            os._exit(2)
    _, code = os.waitpid(child, 0)
    after = dispatcher.dispatch_research(action)
    dispatcher.close()

    assert os.waitstatus_to_exitcode(code) == 0
    assert (before.status, after.status) == ("success", "success")
    with sqlite3.connect(live_settings.database_url.get_secret_value().removeprefix("sqlite:///")) as connection:
        owners = connection.execute("SELECT owner, status FROM ai_outbound_logs").fetchall()
    assert len(owners) == 3
    assert len({owner for owner, _ in owners}) == 2
    assert {status for _, status in owners} == {"success"}


def test_a_closed_dispatcher_can_be_used_again(live_settings, action):
    dispatcher = build_dispatcher(live_settings)
    dispatcher.close()

    assert dispatcher.dispatch_research(action).status == "success"
    dispatcher.close()


def test_a_forked_child_keeps_the_last_good_flag_state_of_its_parent(live_settings, action):
    dispatcher = build_dispatcher(live_settings)
    (live_settings.policies_dir / "flags.json").write_text("{")
    child = os.fork()
    if child == 0:
        try:
            decision = dispatcher.dispatch_research(action).decision
            os._exit(0 if decision.reason == "repository_not_mountable" else 1)
        except BaseException:  # noqa: BLE001
            os._exit(2)
    _, code = os.waitpid(child, 0)
    dispatcher.close()

    assert os.waitstatus_to_exitcode(code) == 0


def test_a_childs_child_dispatches_although_its_parent_never_did(live_settings, action):
    dispatcher = build_dispatcher(live_settings)
    child = os.fork()
    if child == 0:
        grandchild = os.fork()
        if grandchild == 0:
            try:
                os._exit(0 if dispatcher.dispatch_research(action).status == "success" else 1)
            except BaseException:  # noqa: BLE001
                os._exit(2)
        _, code = os.waitpid(grandchild, 0)
        os._exit(os.waitstatus_to_exitcode(code))
    _, code = os.waitpid(child, 0)
    dispatcher.close()

    assert os.waitstatus_to_exitcode(code) == 0
