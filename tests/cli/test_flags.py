"""`dispatcher flags` on the embedded file: who moves is told before and after, and nobody else does."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli import run

POLICIES = Path(__file__).parents[2] / "policies"
CAPPED = "managed-haiku-4-5-cap8"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the shipped policies."""
    shutil.copytree(POLICIES, tmp_path / "policies")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def flags(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run one verb; gives its exit code, what it printed and what it complained."""

    def run_verb(*arguments: str) -> tuple[int, str, str]:
        code = run(["flags", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run_verb


def shown(flags: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(flags("show", "--json")[1])
    return document


def shares(flags: Any) -> dict[str | None, dict[str, float]]:
    return {entry["tenant"]: entry["shares"] for entry in shown(flags)["entries"] if entry["project"] is None}


def test_show_tells_every_tenant_everybody_else_the_switch_and_the_source(flags: Any) -> None:
    document = shown(flags)

    assert shares(flags) == {
        "acme": {CAPPED: 1},
        "globex": {"managed-sonnet-4-6": 1},
        "initech": {"legacy-cached": 1},
        "script": {CAPPED: 0.67, "legacy": 0.33},
        None: {"legacy": 1},
    }
    assert (document["on"], document["in_force"], document["kill_switch"]) == (True, True, None)
    assert (document["source"], document["problem"], document["age_s"]) == ("file", None, 0)


def test_show_for_people_names_what_json_has(flags: Any) -> None:
    code, printed, _ = flags("show")

    assert code == 0
    assert printed.splitlines()[:2] == ["flag agent-research: on", "kill switch: not set"]
    for word in ("acme", "globex", "initech", "script", "everybody else", "capped pilot", "KD-0650"):
        assert word in printed


def test_show_tells_of_the_kill_switch(flags: Any, home: Path) -> None:
    (home / "policies" / "KILL").write_text("legacy")

    assert shown(flags)["in_force"] is False
    assert f"kill switch: {home}/policies/KILL says 'legacy', everybody is on legacy" in flags("show")[1]


def test_a_tenant_moves_and_explain_says_so(flags: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert flags("set", "--tenant", "umbrella", "--variant", CAPPED) == (0, f"umbrella: legacy → {CAPPED}\n", "")

    assert run(["explain", "--tenant", "umbrella", "--json"]) == 0
    decision = json.loads(capsys.readouterr().out)
    assert (decision["variant"], decision["reason"]) == (CAPPED, "flag")


def test_a_tenant_named_for_legacy_is_removed(flags: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert flags("set", "--tenant", "acme", "--variant", "legacy")[1] == f"acme: {CAPPED} → legacy\n"

    assert run(["explain", "--tenant", "acme", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reason"] == "removed"


def test_a_removed_tenant_goes_back_into_its_draw(flags: Any) -> None:
    before = shares(flags)
    flags("set", "--tenant", "script", "--variant", "legacy")
    assert shares(flags)["script"] == {"legacy": 1}

    flags("unset", "--tenant", "script")
    assert shares(flags) == before


def test_one_project_of_a_tenant_moves_alone(flags: Any) -> None:
    printed = flags("set", "--tenant", "acme", "--project", "kendo", "--variant", "legacy")[1]

    assert printed == f"acme, project kendo: {CAPPED} → legacy\n"


def test_a_share_of_everybody_else_is_drawn_grows_and_goes(flags: Any) -> None:
    draw = ("--by", "conversation")
    assert flags("set", "--share", "20%", *draw, "--variant", CAPPED)[1] == (
        f"everybody else: legacy → 20 % {CAPPED}, 80 % legacy by conversation\n"
    )
    flags("set", "--share", "33.5%", *draw)
    assert shares(flags)[None] == {CAPPED: 0.335, "legacy": 0.665}
    flags("set", "--share", "0%", *draw)
    assert shares(flags)[None] == {"legacy": 1}


def test_a_share_of_one_tenant_has_its_own_control(flags: Any) -> None:
    drawn = ("--share", "50%", "--by", "conversation", "--variant", CAPPED, "--control", "legacy-cached")
    flags("set", "--tenant", "acme", *drawn)

    assert shares(flags)["acme"] == {CAPPED: 0.5, "legacy-cached": 0.5}


def test_off_is_legacy_for_everybody_and_on_is_as_before(flags: Any) -> None:
    before = shown(flags)
    assert flags("off")[1].splitlines()[-1] == "everybody is on legacy: 'agent-research' is switched off"
    assert shown(flags)["in_force"] is False

    flags("on")
    assert shown(flags)["entries"] == before["entries"]
    assert shown(flags)["in_force"] is True


def test_a_dry_run_tells_the_moves_and_writes_nothing(flags: Any, home: Path) -> None:
    before = (home / "policies" / "flags.json").read_bytes()
    _, printed, _ = flags("off", "--dry-run", "--json")

    document = json.loads(printed)
    assert (document["dry_run"], document["written"], document["on"]) == (True, False, False)
    assert [move["tenant"] for move in document["moves"]] == ["acme", "globex", "initech", "script"]
    assert (home / "policies" / "flags.json").read_bytes() == before
    assert not (home / ".dispatcher").exists()


def test_what_is_so_already_is_said(flags: Any) -> None:
    assert flags("on")[1] == "it is so already; nothing to do\n"


def test_the_history_tells_when_who_from_where_to_where(flags: Any) -> None:
    flags("set", "--tenant", "acme", "--variant", "legacy", "--actor", "alice")
    flags("off", "--actor", "bob")
    document = json.loads(flags("history", "--json")[1])

    assert [(flip["who"], flip["on"], flip["first"]) for flip in document] == [
        (["bob"], False, False),
        (["alice"], True, False),
        ([], True, True),
    ]
    assert document[1]["moves"] == [
        {
            "tenant": "acme",
            "project": None,
            "from": {"by": None, "shares": {CAPPED: 1.0}},
            "to": {"by": None, "shares": {"legacy": 1.0}},
        }
    ]
    assert [len(json.loads(flags("history", "--json", "--limit", "1")[1]))] == [1]
    assert f"    acme: {CAPPED} → legacy" in flags("history")[1].splitlines()


def test_without_a_name_the_login_is_the_actor(flags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "carol")
    flags("off")

    assert json.loads(flags("history", "--json")[1])[0]["actor"] == "carol"


def test_a_flip_is_done_though_its_history_can_not_be_written(
    flags: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "no-directory").write_text("")
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", f"sqlite:///{home}/no-directory/log.db")
    code, _, complaint = flags("off")

    assert (code, shown(flags)["on"]) == (0, False)
    assert complaint.startswith("the flag is changed, but its history is not: ")


def test_a_database_that_hangs_holds_up_no_flip(flags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("DISPATCHER_DATABASE_URL", f"postgresql+psycopg://user:secret@{where}/log")
        code, told, complaint = flags("off")

    assert (code, shown(flags)["on"]) == (0, False)
    assert told.endswith("everybody is on legacy: 'agent-research' is switched off\n")
    assert complaint == "the flag is changed, but its history is not: the database did not answer within 5 s\n"


def test_a_driver_that_is_not_installed_stops_no_flip(flags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", "oracle://user:secret@127.0.0.1/log")
    code, _, complaint = flags("off")

    assert (code, shown(flags)["on"]) == (0, False)
    assert complaint.startswith("the flag is changed, but its history is not: ")
    assert "secret" not in complaint


def test_an_empty_history_says_what_fills_it_and_makes_no_database(flags: Any, home: Path) -> None:
    assert flags("history")[1].startswith("no state of the flag has been seen yet")
    assert [found.name for found in home.iterdir()] == ["policies"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            "set --tenant acme --variant nope",
            "--variant 'nope' is not registered; registered are legacy, legacy-cached,",
        ),
        ("set --tenant acme --share 5% --by tenant --control nope", "--control 'nope' is not registered"),
        ("set --tenant acme", "name --tenant and --variant"),
        ("set --variant legacy", "name --tenant and --variant"),
        ("set --tenant acme --variant legacy --by tenant", "name --tenant and --variant"),
        ("set --share 20%", "--share needs --by"),
        ("set --share 20 --by tenant", "write a percentage from 0% to 100%"),
        ("set --share 100.1% --by tenant", "write a percentage from 0% to 100%"),
        ("set --share 20.55% --by tenant", "write a percentage from 0% to 100%"),
        ("set --share 20% --by tenant", "nothing is drawn yet: say between what, with --variant"),
        ("set --share 20% --by tenant --tenant acme --project kendo", "leave --project out"),
        ("set --share 20% --by project", "'project' is not one of 'conversation', 'tenant'"),
        ("set --tenant= --variant legacy", "tenant"),
    ],
)
def test_what_can_not_be_done_is_one_sentence_and_changes_nothing(
    flags: Any, home: Path, arguments: str, complaint: str
) -> None:
    before = (home / "policies" / "flags.json").read_bytes()
    code, _, said = flags(*arguments.split())

    assert (code, complaint in said, "Traceback" in said) == (2, True, False), said
    assert (home / "policies" / "flags.json").read_bytes() == before


def test_a_server_is_not_edited_without_the_admin_token(flags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_UNLEASH_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DISPATCHER_UNLEASH_TOKEN", "default:development.secret")
    code, _, said = flags("off")

    assert code == 2
    assert "error: DISPATCHER_UNLEASH_ADMIN_TOKEN: is not set, and the flag is on a server" in said


def test_where_the_flag_cannot_be_switched_off_the_brake_that_works_is_named(flags: Any, home: Path) -> None:
    for broken in ("flags.json", "agent_research.yml"):
        (home / "policies" / broken).write_text("{")
        code, _, said = flags("off")

        assert (code, f"echo legacy > {home / 'policies' / 'KILL'}" in said) == (2, True)


def test_a_server_that_is_away_is_exit_code_5(flags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_UNLEASH_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DISPATCHER_UNLEASH_TOKEN", "default:development.secret")
    monkeypatch.setenv("DISPATCHER_UNLEASH_ADMIN_TOKEN", "*:*.secret")

    for verb in ("show", "off"):
        code, _, said = flags(verb)
        assert (code, "secret" in said) == (5, False)
        assert "http://127.0.0.1:9 can't be reached" in said


def test_tenants_that_would_steer_a_terminal_are_shown_as_what_they_are(flags: Any, home: Path) -> None:
    path = home / "policies" / "flags.json"
    path.write_text(path.read_text().replace('"acme"', r'"[red]x[/red]\u001b[2J"'))

    assert r"[red]x[/red]\x1b[2J" in flags("show")[1]


def test_a_user_without_a_name_can_brake(flags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container, whose user no password file lists."""
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)

    def nobody(uid: int) -> Any:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", nobody)
    code, _, complaint = flags("off")

    assert (code, complaint) == (0, "")
    assert json.loads(flags("history", "--json")[1])[0]["who"] == [f"user {os.getuid()}"]
