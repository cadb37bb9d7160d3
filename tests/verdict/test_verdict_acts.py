"""What `dispatcher verdict` does besides printing: reports, a message, and the rollback that a record asks for."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time
from test_verdict_command import NOW, SLOW, register, write
from verdict_worlds import LEGACY, P95, World

from dispatcher.audit.flag_changes import FlagChanges
from dispatcher.audit.record import Origin
from dispatcher.cli import run

PROJECT = Path(__file__).parents[2]


class _Chat(HTTPServer):
    """A webhook on loopback that keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiving)
        self.answers = 200
        self.received: list[Any] = []


class _Receiving(BaseHTTPRequestHandler):
    server: _Chat

    def do_POST(self) -> None:
        self.server.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.answers)
        self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Chat]:
    with _Chat() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("DISPATCHER_WEBHOOK_URL", f"http://127.0.0.1:{server.server_port}/services/T0/secret-part")
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROJECT / "policies", tmp_path / "policies"))


@pytest.fixture
def typed(
    tmp_path: Path,
    policies: Path,
    database: Path,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """Runs one command line at NOW, or truly now; returns its exit code, output and errors."""
    (tmp_path / "adrs").mkdir()
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", f"sqlite:///{database}")
    monkeypatch.setenv("DISPATCHER_ADRS_DIR", str(tmp_path / "adrs"))
    monkeypatch.setenv("DISPATCHER_POLICIES_DIR", str(policies))
    world.rows(100)
    world.rows(60, LEGACY)

    def command(*arguments: str, frozen: bool = True) -> tuple[int, str, str]:
        with freeze_time(NOW) if frozen else nullcontext():
            code = run(["verdict", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


def record(world: World, folder: Path, criterion: dict[str, Any], on_rollback: str, **registered: Any) -> None:
    write(folder / "adrs", "AA-0002", criterion, on_rollback=on_rollback)
    register(world, folder / "adrs", "AA-0002", **registered)


def is_on(policies: Path) -> bool:
    features = json.loads((policies / "flags.json").read_text())["features"]
    return bool(next(each["enabled"] for each in features if each["name"] == "agent-research"))


def test_a_rollback_turns_the_flag_off_where_the_record_and_the_command_line_both_say_so(
    typed: Any, world: World, tmp_path: Path, policies: Path
) -> None:
    record(world, tmp_path, SLOW, "flip_off")
    code, _, errors = typed("--gate", "--act", frozen=False)  # a file's own times don't freeze
    again = typed("--gate", "--act", frozen=False)

    assert (code, is_on(policies)) == (1, False)
    assert errors == "agent-research is off now: everybody is back on legacy, as AA-0002 asks for at a ROLLBACK\n"
    assert again[2] == errors.replace("is off now", "was off already")
    newest = FlagChanges(world.engine).history("agent-research", "file", 1)[0]
    assert newest.actor == "verdict AA-0002"


@pytest.mark.parametrize(
    ("criterion", "on_rollback", "arguments", "origin"),
    [
        (SLOW, "flip_off", [], Origin.PRODUCTION),
        (SLOW, "report", ["--act"], Origin.PRODUCTION),
        (P95, "flip_off", ["--act"], Origin.PRODUCTION),
        (SLOW, "flip_off", ["--act", "--origin", "simulated"], Origin.SIMULATED),
    ],
)
def test_without_any_one_of_them_the_flag_stays(
    typed: Any,
    world: World,
    tmp_path: Path,
    policies: Path,
    criterion: dict[str, Any],
    on_rollback: str,
    arguments: list[str],
    origin: Origin,
) -> None:
    """Not acting, a record that only reports, another outcome, and rows that aren't production's."""
    record(world, tmp_path, criterion, on_rollback, origin=origin)
    world.rows(100, origin="simulated")
    typed("AA-0002", *arguments)

    assert is_on(policies)


def test_nobody_acts_on_the_past(typed: Any) -> None:
    code, _, errors = typed("--act", "--as-of", "2026-06-02T00:00:00Z")

    assert (code, "leave --as-of out" in errors) == (2, True)


def test_reports_are_written_where_they_were_asked_for(typed: Any, world: World, tmp_path: Path) -> None:
    record(world, tmp_path, P95, "report")
    code, _, errors = typed("--reports", str(tmp_path / "reports"))
    page = tmp_path / "reports" / "AA-0002-2026-06-09T080000Z.html"

    assert (code, errors) == (0, f"report: {page}\n")
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_a_message_goes_to_the_webhook_with_what_was_done(
    typed: Any, world: World, tmp_path: Path, chat: _Chat
) -> None:
    record(world, tmp_path, SLOW, "flip_off")
    code, _, _ = typed("--gate", "--act", "--notify")

    assert code == 1
    assert [each["text"] for each in chat.received] == ["🔴 AA-0002 A record: ROLLBACK"]
    assert "everybody is back on legacy" in chat.received[0]["blocks"][-1]["text"]["text"]


@pytest.mark.parametrize(("answers", "problem"), [(500, "answered 500"), (302, "answered 302")])
def test_a_webhook_that_fails_changes_no_verdict_and_its_url_stays_secret(
    typed: Any, world: World, tmp_path: Path, chat: _Chat, answers: int, problem: str
) -> None:
    record(world, tmp_path, P95, "report")
    chat.answers = answers
    code, output, errors = typed("--gate", "--notify")

    assert code == 0
    assert "SHIP" in output
    assert errors == f"warning: the webhook {problem}; the verdicts are as printed\n"


@pytest.mark.parametrize(
    ("host", "problem"), [("127.0.0.1:9", "ConnectionError"), (f"{'x' * 70}.invalid", "LocationParseError")]
)
def test_a_webhook_that_cannot_be_reached_is_a_warning(
    typed: Any, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, problem: str
) -> None:
    record(world, tmp_path, P95, "report")
    monkeypatch.setenv("DISPATCHER_WEBHOOK_URL", f"http://{host}/services/secret-part")
    code, _, errors = typed("--gate", "--notify")

    assert code == 0
    assert f"couldn't be reached ({problem})" in errors
    assert "secret-part" not in errors


def test_a_rollback_does_not_wait_for_a_chat_that_is_not_set_up(
    typed: Any, world: World, tmp_path: Path, policies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(world, tmp_path, SLOW, "flip_off")
    monkeypatch.setenv("DISPATCHER_WEBHOOK_URL", "ftp://127.0.0.1/secret-part")
    code, _, errors = typed("--gate", "--act", "--notify", frozen=False)

    assert (code, is_on(policies)) == (2, False)
    assert "webhook_url: is no URL" in errors
    assert "secret-part" not in errors


def test_a_message_without_a_webhook_is_refused_before_anything_is_done(typed: Any, tmp_path: Path) -> None:
    code, output, errors = typed("--notify", "--reports", str(tmp_path / "reports"))

    assert (code, output, (tmp_path / "reports").exists()) == (2, "", False)
    assert "set DISPATCHER_WEBHOOK_URL" in errors


def test_what_cannot_be_written_keeps_nobody_from_being_rolled_back_and_told(
    typed: Any, world: World, tmp_path: Path, policies: Path, chat: _Chat
) -> None:
    record(world, tmp_path, SLOW, "flip_off")
    (tmp_path / "a file").touch()
    code, _, errors = typed(
        "--gate", "--act", "--notify", "--reports", str(tmp_path / "a file" / "reports"), frozen=False
    )
    told = [block["text"]["text"] for block in chat.received[0]["blocks"]]

    assert (code, is_on(policies)) == (2, False)
    assert "is off now" in errors
    assert "the reports can't be written there" in errors
    assert "is off now" in told[-2]
    assert told[-1].startswith("failed: ")


def test_a_rollback_does_not_wait_for_whoever_reads_the_verdict(
    typed: Any, world: World, tmp_path: Path, policies: Path, monkeypatch: pytest.MonkeyPatch, chat: _Chat
) -> None:
    """A pipe that nobody reads any more, or a log file on a full disk, takes no verdict; the brake is on by then."""
    record(world, tmp_path, SLOW, "flip_off")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1, closefd=False) as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        code, _, _ = typed("--gate", "--act", "--notify", frozen=False)
        monkeypatch.undo()

    assert code != 0
    assert not is_on(policies)
    assert len(chat.received) == 1


def test_a_rollback_that_cannot_be_carried_out_is_told(
    typed: Any, world: World, tmp_path: Path, policies: Path, chat: _Chat
) -> None:
    record(world, tmp_path, SLOW, "flip_off")
    (policies / "flags.json").write_text("{")
    code, _, errors = typed("--gate", "--act", "--notify", "--reports", str(tmp_path / "reports"), frozen=False)

    assert code == 2
    assert "report: " in errors
    assert [each["text"] for each in chat.received] == ["🔴 AA-0002 A record: ROLLBACK"]
    assert chat.received[0]["blocks"][-1]["text"]["text"].startswith("failed: ")


@pytest.mark.parametrize(
    ("changed", "code", "why"),
    [
        ({"feature": "summaries"}, 2, "asks for the flag of summaries, and these policies are of agent_research"),
        ({"status": "rejected"}, 1, ""),
    ],
)
def test_another_features_flag_and_that_of_a_record_whose_life_is_over_stay(
    typed: Any, world: World, tmp_path: Path, policies: Path, changed: dict[str, str], code: int, why: str
) -> None:
    world.rows(100, **{name: value for name, value in changed.items() if name == "feature"})
    world.rows(60, LEGACY, **{name: value for name, value in changed.items() if name == "feature"})
    write(tmp_path / "adrs", "AA-0002", SLOW, on_rollback="flip_off", **changed)
    register(world, tmp_path / "adrs", "AA-0002")
    seen, printed, errors = typed("AA-0002", "--gate", "--act", frozen=False)

    assert (seen, is_on(policies)) == (code, True)
    assert "ROLLBACK" in printed
    assert why in errors


def test_a_run_without_a_verdict_is_told_too(typed: Any, chat: _Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", "postgresql+psycopg://nobody:hidden-word@127.0.0.1:9/none")
    code, _, _ = typed("--notify", frozen=False)

    assert code == 5
    assert chat.received[0]["text"].startswith("no verdict this time: ")
    assert "hidden-word" not in json.dumps(chat.received)
