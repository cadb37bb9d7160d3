"""`dispatcher flags` on a real Unleash: flips, and a history that names who made them, in the UI too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from real_unleash import FLAG, ROOT, UnleashServer

from dispatcher.cli import run

CAPPED = "managed-haiku-4-5-cap8"


@pytest.fixture
def flags(
    unleash: UnleashServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Run one verb against the server; gives what it printed."""
    unleash.start()
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISPATCHER_UNLEASH_URL", unleash.url)
    monkeypatch.setenv("DISPATCHER_UNLEASH_TOKEN", unleash.backend_token)
    monkeypatch.setenv("DISPATCHER_UNLEASH_ADMIN_TOKEN", unleash.admin_token)

    def run_verb(*arguments: str) -> str:
        assert run(["flags", *arguments]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out

    return run_verb


def test_a_tenant_moves_and_the_history_names_who_did_it_here_and_on_the_server(flags: Any) -> None:
    assert flags("set", "--tenant", "cli-1", "--variant", CAPPED, "--actor", "alice") == f"cli-1: legacy → {CAPPED}\n"

    shown = json.loads(flags("show", "--json"))
    assert {"tenant": "cli-1", "shares": {CAPPED: 1.0}}.items() <= next(
        entry for entry in shown["entries"] if entry["tenant"] == "cli-1"
    ).items()
    assert (shown["problem"], shown["in_force"]) == (None, True)
    latest = json.loads(flags("history", "--json"))[0]
    assert (latest["who"], latest["source"]) == (["alice", "admin"], shown["source"])
    assert [(move["tenant"], move["to"]["shares"]) for move in latest["moves"]] == [("cli-1", {CAPPED: 1.0})]
    flags("unset", "--tenant", "cli-1")


def test_a_flip_in_the_ui_is_in_the_history_by_the_server_s_log(flags: Any, unleash: UnleashServer) -> None:
    flags("set", "--tenant", "cli-2", "--variant", CAPPED)
    unleash.switch(FLAG, on=False)
    unleash.switch(FLAG, on=True)
    flags("unset", "--tenant", "cli-2")

    events = [event["what"] for flip in json.loads(flags("history", "--json")) for event in flip["events"]]
    assert f"feature-environment-disabled {FLAG}" in events
    assert f"feature-environment-enabled {FLAG}" in events


def test_off_is_off_for_clients_and_on_is_as_before(flags: Any) -> None:
    before = json.loads(flags("show", "--json"))
    flags("off")
    off = json.loads(flags("show", "--json"))
    flags("on")

    assert (off["in_force"], off["detail"]) == (False, "'agent-research' is switched off")
    after = json.loads(flags("show", "--json"))
    assert (after["in_force"], after["entries"]) == (True, before["entries"])


def test_with_the_server_away_show_tells_the_last_good_state_and_its_age(
    flags: Any, unleash: UnleashServer, capsys: pytest.CaptureFixture[str]
) -> None:
    before = json.loads(flags("show", "--json"))
    unleash.kill()

    assert run(["flags", "show", "--json"]) == 0
    away = json.loads(capsys.readouterr().out)
    assert (away["entries"], away["version"]) == (before["entries"], before["version"])
    assert "can't be reached" in away["problem"]
    assert run(["flags", "off"]) == 5
    unleash.start()
