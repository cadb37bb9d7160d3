"""`dispatcher flags` on a server that is away: what it kept, how old that is, and where an edit would go."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli import run
from dispatcher.routing.flags.sift import sift_here
from dispatcher.routing.flags.store import Kept, StateStore

POLICIES = Path(__file__).parents[2] / "policies"
AWAY = "http://127.0.0.1:9"
TOKEN = "default:production.0123456789abcdef"


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run one verb; gives its exit code, what it printed and what it complained."""
    shutil.copytree(POLICIES, tmp_path / "policies")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISPATCHER_UNLEASH_URL", AWAY)
    monkeypatch.setenv("DISPATCHER_UNLEASH_TOKEN", TOKEN)
    monkeypatch.setenv("DISPATCHER_UNLEASH_ADMIN_TOKEN", "*:*.0123456789abcdef")
    monkeypatch.setenv("DISPATCHER_UNLEASH_STATE_DIR", str(tmp_path / "state"))

    def run_verb(*arguments: str) -> tuple[int, str, str]:
        code = run(["flags", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run_verb


def keep(home: Path, age: dt.timedelta) -> None:
    """As a process that the server answered that long ago has kept its state."""
    sifted = sift_here((POLICIES / "flags.json").read_bytes(), ["agent-research"])
    kept = Kept(version="0123456789abcdef", etag=None, fetched_at=dt.datetime.now(dt.UTC) - age, sifted=sifted)
    StateStore(home / "state", AWAY, TOKEN, ["agent-research"]).write(kept)


@pytest.mark.parametrize(("minutes", "in_force"), [(30, True), (90, False)])
def test_a_state_that_is_too_old_to_be_used_is_not_shown_as_in_force(
    flags: Any, tmp_path: Path, minutes: int, in_force: bool
) -> None:
    keep(tmp_path, dt.timedelta(minutes=minutes))
    shown = json.loads(flags("show", "--json")[1])
    told = flags("show")[1]

    assert (shown["on"], shown["in_force"]) == (True, in_force)
    assert ("too old to be used: everybody is on legacy" in told) is not in_force


def test_an_environment_whose_state_no_process_is_given_is_not_edited(
    flags: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A brake that is pulled in development, while production goes on, would look like one that works."""
    monkeypatch.setenv("DISPATCHER_UNLEASH_ENVIRONMENT", "development")
    code, _, complaint = flags("off")

    assert code == 2
    assert "is 'development', and DISPATCHER_UNLEASH_TOKEN is one of 'production'" in complaint
    assert "0123456789abcdef" not in complaint


@pytest.mark.parametrize("environment", [None, "production"])
def test_the_environment_is_that_of_the_token(
    flags: Any, monkeypatch: pytest.MonkeyPatch, environment: str | None
) -> None:
    if environment is not None:
        monkeypatch.setenv("DISPATCHER_UNLEASH_ENVIRONMENT", environment)
    code, _, complaint = flags("off")

    assert (code, f"{AWAY} can't be reached" in complaint) == (5, True)
