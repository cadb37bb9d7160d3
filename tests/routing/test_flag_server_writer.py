"""Editing a flag on a server that fails, lies or is edited by others in the same moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from routing_documents import FLAG, only, rule
from scripted_admin import ScriptedAdmin

from dispatcher.errors import FlagServerUnavailable, InvalidFlags
from dispatcher.routing.flag_editing.admin import AdminApi
from dispatcher.routing.flag_editing.edit import Naming, Share, Switch
from dispatcher.routing.flag_editing.server_writer import ServerFlag

CAPPED = "managed-haiku-4-5-cap8"
NAMING = Naming(flag=FLAG, tenant="globex", variant="legacy")
OFF, ON = Switch(flag=FLAG, on=False), Switch(flag=FLAG, on=True)


@pytest.fixture
def admin() -> Iterator[ScriptedAdmin]:
    server = ScriptedAdmin([rule(only("acme")), rule(only("globex"), variants={"legacy-cached": 1000})])
    yield server
    server.close()


@pytest.fixture
def flag(admin: ScriptedAdmin, tmp_path: Path) -> ServerFlag:
    api = AdminApi(url=admin.url, token=SecretStr("*:*.secret"), project="default", environment="development")
    return ServerFlag(api=api, flag=FLAG, actor="alice", queue=tmp_path)


def failing(admin: ScriptedAdmin, method: str, name: str | None, answer: Any, times: int = 10**6) -> None:
    """Answer so to the first calls of that kind; the name None is any."""
    left = [times]

    def fault(called: str, path: str) -> Any:
        if called != method or name not in {None, path} or left[0] == 0:
            return None
        left[0] -= 1
        return answer

    admin.fault = fault


def told(flag: ServerFlag) -> dict[str | None, str]:
    outcome = flag.edit(lambda content: content, dry_run=True)
    return {entry.tenant: entry.text for entry in outcome.after.entries}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (500, "answered 500"),
        (503, "answered 503"),
        (401, "answered 401: DISPATCHER_UNLEASH_ADMIN_TOKEN is no admin or personal token"),
        (403, "answered 403: DISPATCHER_UNLEASH_ADMIN_TOKEN is no admin or personal token"),
        (302, "redirects to"),
        (b"<html>a proxy</html>", "something that isn't JSON: is it an Unleash server"),
    ],
)
def test_what_a_server_answers_instead_of_a_flag_is_said_in_one_sentence(
    admin: ScriptedAdmin, flag: ServerFlag, answer: Any, problem: str
) -> None:
    failing(admin, "GET", FLAG, answer)

    with pytest.raises(FlagServerUnavailable, match=problem) as refused:
        flag.edit(NAMING)
    assert "secret" not in str(refused.value)
    assert admin.tags == []


def test_a_server_that_does_not_answer_is_given_up_in_time(admin: ScriptedAdmin, flag: ServerFlag) -> None:
    impatient = replace(flag, api=replace(flag.api, deadline_s=0.3))

    with admin.lock, pytest.raises(FlagServerUnavailable, match=r"did not answer within 0\.3 s"):
        impatient.edit(NAMING)


def test_a_write_that_fails_half_way_leaves_everybody_where_a_rule_of_before_or_after_sends_them(
    admin: ScriptedAdmin, flag: ServerFlag
) -> None:
    failing(admin, "DELETE", "s-1", 500)

    with pytest.raises(FlagServerUnavailable, match="answered 500"):
        flag.edit(NAMING)
    assert told(flag) == {"acme": CAPPED, "globex": "legacy", None: "legacy"}
    admin.fault = lambda method, path: None
    flag.edit(NAMING)
    assert [each["title"] for each in admin.strategies if each["id"] == "s-1"] == []


@pytest.mark.parametrize("lost", [1, 3])
def test_an_update_that_another_one_overwrote_is_done_again(admin: ScriptedAdmin, flag: ServerFlag, lost: int) -> None:
    failing(admin, "POST", "strategies", "lose", times=lost)

    assert flag.edit(NAMING).written
    assert told(flag)["globex"] == "legacy"


def test_an_update_that_is_overwritten_again_and_again_is_given_up(admin: ScriptedAdmin, flag: ServerFlag) -> None:
    failing(admin, "POST", "strategies", "lose")

    with pytest.raises(InvalidFlags, match="in the same moment, again and again"):
        flag.edit(NAMING)


def test_new_rules_come_before_the_old_ones_go(admin: ScriptedAdmin, flag: ServerFlag) -> None:
    flag.edit(NAMING)

    written = [call for call in admin.calls if call[0] != "GET" and "dispatcher" not in call[1] + call[0]]
    assert [call for call in written if call[1] != "tag-types"] == [("POST", "strategies"), ("DELETE", "s-1")]


def test_a_rule_for_everybody_stands_last(admin: ScriptedAdmin, flag: ServerFlag) -> None:
    flag.edit(Share(flag=FLAG, per_mille=200, by="tenant", variant=CAPPED, control="legacy"))
    flag.edit(NAMING)

    order = sorted(admin.strategies, key=lambda each: each["sortOrder"])
    assert [each["title"] for each in order] == ["tenants on legacy", "pilot", "share of everybody else"]


def test_off_is_one_call_even_where_nothing_can_be_read_before(admin: ScriptedAdmin, flag: ServerFlag) -> None:
    failing(admin, "GET", FLAG, 500, times=1)

    assert flag.edit(OFF).after.on is False
    assert [call for call in admin.calls if call[0] == "POST"] == [("POST", "off")]


def test_off_brakes_though_the_rules_can_not_be_read(admin: ScriptedAdmin, flag: ServerFlag) -> None:
    admin.strategies[0]["constraints"][0]["operator"] = "SOUNDS_LIKE"

    assert "operator 'SOUNDS_LIKE' is unknown" in flag.edit(OFF).after.detail
    assert admin.enabled is False


def test_off_that_has_no_effect_is_an_error(admin: ScriptedAdmin, flag: ServerFlag) -> None:
    failing(admin, "POST", "off", "lose")

    with pytest.raises(FlagServerUnavailable, match="still says that 'agent-research' is on: do it again"):
        flag.edit(OFF)


def test_rules_that_would_be_misread_are_not_edited(admin: ScriptedAdmin, flag: ServerFlag) -> None:
    admin.strategies[0]["constraints"][0]["operator"] = "SOUNDS_LIKE"

    with pytest.raises(InvalidFlags, match="operator 'SOUNDS_LIKE' is unknown"):
        flag.edit(NAMING)
    assert ("POST", "strategies") not in admin.calls


def test_on_is_taken_back_where_the_server_opened_the_flag_to_everybody(admin: ScriptedAdmin, flag: ServerFlag) -> None:
    admin.enabled = False

    def opened(method: str, path: str) -> None:
        if path == "on":
            # The last rule is deleted in the same moment, and the server adds its own.
            admin.strategies = [{"id": "new", "name": "flexibleRollout", "sortOrder": 0, "parameters": {}}]

    admin.fault = opened
    with pytest.raises(InvalidFlags, match="got a rule for everybody while it was switched on, and is off again"):
        flag.edit(ON)
    assert admin.enabled is False
