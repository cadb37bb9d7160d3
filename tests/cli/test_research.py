"""`dispatcher research`, in this process against the simulator: turns, limits, keys and progress."""

from __future__ import annotations

import json

import pytest

from dispatcher.cli import run

URL = "https://github.com/example/checkout"


@pytest.fixture
def research(live_environment, checkout, capsys):
    def carry_out(question, *options, tenant="umbrella"):
        capsys.readouterr()
        where = ["--tenant", tenant, "--repository", str(checkout), "--github-url", URL]
        code = run(["research", question, *where, *options])
        return code, *capsys.readouterr()

    return carry_out


def test_a_transcript_file_carries_a_conversation_from_one_call_to_the_next(research, tmp_path):
    file = tmp_path / "talk.json"
    options = ("--conversation", "c-1", "--transcript", str(file))
    assert research("Where is the greeting computed?", *options)[0] == 0
    assert research("And where is it called?", *options)[0] == 0
    assert [turn["question"] for turn in json.loads(file.read_text())["turns"]] == [
        "Where is the greeting computed?",
        "And where is it called?",
    ]
    assert file.stat().st_mode & 0o077 == 0


def test_a_later_turn_without_the_file_is_one_clear_error(research):
    assert research("Where is the greeting computed?", "--conversation", "c-1")[0] == 0
    code, out, err = research("And where is it called?", "--conversation", "c-1")
    assert (code, out) == (2, "")
    assert "--transcript FILE" in err
    assert "Traceback" not in err


def test_a_transcript_that_cannot_be_read_is_one_clear_error_and_stays(research, tmp_path):
    file = tmp_path / "talk.json"
    file.write_text('{"schema": 1, "turns": [{"question": 7}], "more": 0}')
    code, _, err = research("Where?", "--conversation", "c-1", "--transcript", str(file))
    assert code == 2
    for place in ("turns[0].question", "turns[0].answer", "a key that is not known"):
        assert place in err
    assert json.loads(file.read_text())["more"] == 0


def test_limits_are_taken_and_show_in_the_ending(research):
    code, out, _ = research("Where is the greeting computed?", "--json", "--tool-calls", "0")
    ended = json.loads(out)
    assert (ended["tool_calls"], ended["ended_by"]) == (0, "tool_call_cap")
    assert code == (0 if ended["status"] == "success" else 1)


@pytest.mark.parametrize(("option", "value"), [("--cost", "-1"), ("--tokens", "0"), ("--cost", "much")])
def test_a_limit_that_means_nothing_is_a_usage_error(research, option, value):
    code, _, err = research("Where?", option, value)
    assert code == 2
    assert option.removeprefix("--") in err


def test_the_progress_goes_to_stderr_and_the_result_to_stdout(research):
    code, out, err = research("Where is the greeting computed?", "--json", "--follow")
    assert code == 0
    assert json.loads(out)["status"] == "success"
    assert err.startswith("→ legacy on the messages path (default)\n  model request 1: ")


def test_a_repeated_key_names_the_first_row(research):
    _, out, _ = research("Where is the greeting computed?", "--json", "--idempotency-key", "k-1")
    code, _, err = research("Where is the greeting computed?", "--json", "--idempotency-key", "k-1")
    assert code == 2
    assert json.loads(out)["log_id"] in err


def test_a_transcript_that_could_not_be_kept_is_refused_before_anything_is_spent(research, tmp_path, live_simulator):
    charged = len(live_simulator.ledger)
    nowhere = research("Where?", "--conversation", "c-1", "--transcript", str(tmp_path / "nowhere" / "talk.json"))
    homeless = research("Where?", "--transcript", str(tmp_path / "talk.json"))
    assert (nowhere[0], homeless[0], len(live_simulator.ledger)) == (2, 2, charged)
    assert "no folder" in nowhere[2]
    assert "--conversation" in homeless[2]


def test_an_answer_is_shown_although_its_transcript_can_not_be_written(research, tmp_path):
    (tmp_path / "talk.json").mkdir()
    (tmp_path / "talk.json" / "full").touch()
    code, out, err = research("Where?", "--conversation", "c-1", "--transcript", str(tmp_path / "talk.json"), "--json")
    assert code == 2
    assert out == ""
    assert "is a directory" in err
