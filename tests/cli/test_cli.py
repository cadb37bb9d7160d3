"""The command line as a whole: lightness, exit codes, one message an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from dispatcher.audit.engine import open_engine

PROJECT = Path(__file__).resolve().parents[2]
HEAVY = ("anthropic", "sqlalchemy", "UnleashClient", "numpy", "pydantic_settings", "rich", "uvicorn")
VERBS = (
    *("adr", "demo", "doctor", "explain", "flags", "logs", "migrate", "prices"),
    *("research", "simulator", "spike", "telemetry", "verdict"),
)


@pytest.fixture
def cli(tmp_path):
    """Run the command line in the project's folder with a log of its own."""

    def run(*arguments, **environment):
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC", "DISPATCHER"))},
            "DISPATCHER_DATABASE_URL": f"sqlite:///{tmp_path}/log.db",
            **environment,
        }
        command = [sys.executable, "-m", "dispatcher", *arguments]
        return subprocess.run(command, cwd=PROJECT, env=variables, capture_output=True, text=True, check=False)

    return run


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, check=True, capture_output=True, text=True)
    return set(shown.stdout.splitlines()) & set(HEAVY)


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_after("import dispatcher") == set()


@pytest.mark.parametrize("verb", [(), *((verb,) for verb in VERBS)])
def test_help_loads_nothing_heavy(verb):
    assert loaded_after(f"from dispatcher.cli import run; assert run([*{verb!r}, '--help']) == 0") == set()


def test_the_help_lists_every_verb(cli):
    shown = cli("--help")

    assert shown.returncode == 0
    for verb in VERBS:
        assert f"\n  {verb} " in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nonsense",), 2, "No such command"),
        (("research", "Where?", "--repository", "."), 2, "--tenant"),
        (("research", " ", "--tenant", "acme", "--repository", "."), 2, "question is empty"),
        (("research", "Where?", "--tenant", "", "--repository", "."), 2, "tenant is empty"),
        (("research", "Where?", "--tenant", "acme", "--repository", "."), 2, "ANTHROPIC_API_KEY"),
        (("simulator", "--repository", "nonsense"), 2, "URL=PATH"),
    ],
)
def test_bad_usage_is_one_message_and_its_exit_code(cli, arguments, code, message):
    shown = cli(*arguments)

    assert (shown.returncode, shown.stdout) == (code, "")
    assert message in shown.stderr
    assert "Traceback" not in shown.stderr


def test_several_problems_of_an_action_are_listed_at_once(cli):
    shown = cli("research", " ", "--tenant", "a b", "--repository", ".")

    assert shown.returncode == 2
    assert "question is empty" in shown.stderr
    assert "tenant 'a b'" in shown.stderr


@pytest.fixture
def simulator_process():
    process = subprocess.Popen(
        [sys.executable, "-m", "dispatcher", "simulator", "--time-scale", "0",
         "--repository", f"https://github.com/example/checkout={PROJECT}"],
        cwd=PROJECT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process, process.stdout.readline().strip()
    process.terminate()
    process.wait(10)
    process.stdout.close()


def test_the_simulator_prints_its_base_url_first_and_says_that_it_is_simulated(simulator_process):
    _, base_url = simulator_process
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{base_url}/simulator", timeout=5) as answer:
        mark = json.load(answer)

    assert (mark["simulator"], mark["time_scale"]) == ("dispatcher", 0)


def test_a_taken_port_is_one_message(cli, simulator_process):
    _, base_url = simulator_process
    shown = cli("simulator", "--port", base_url.rpartition(":")[2])

    assert shown.returncode == 2
    assert "is taken by another program" in shown.stderr


def test_the_simulator_stops_cleanly_when_asked(simulator_process):
    process, _ = simulator_process
    began = time.monotonic()
    process.terminate()

    assert process.wait(10) == 0
    assert time.monotonic() - began < 5


def test_research_on_the_simulator_prints_a_report_whose_every_cited_line_exists(cli, simulator_process):
    _, base_url = simulator_process
    shown = cli(
        "research", "Where is the kill switch read?", "--tenant", "acme", "--repository", ".", "--json",
        ANTHROPIC_BASE_URL=base_url,
    )  # fmt: skip
    result = json.loads(shown.stdout)

    assert (shown.returncode, result["status"]) == (0, "success")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=PROJECT, check=True, capture_output=True, text=True)
    for finding in result["output"]["findings"]:
        blob = subprocess.run(
            ["git", "show", f"{commit.stdout.strip()}:{finding['file']}"],
            cwd=PROJECT, check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert finding["evidence"].strip() in blob.stdout.splitlines()[finding["line"] - 1]


def test_the_kill_switch_of_the_environment_forces_messages(cli, simulator_process):
    _, base_url = simulator_process
    shown = cli(
        "research", "Where is the kill switch read?", "--tenant", "globex", "--repository", ".",
        "--github-url", "https://github.com/example/checkout", "--json",
        ANTHROPIC_BASE_URL=base_url, DISPATCHER_FORCE_PATH="legacy",
    )  # fmt: skip
    decision = json.loads(shown.stdout)["decision"]

    assert (decision["path"], decision["reason"]) == ("messages", "forced")


@pytest.mark.parametrize("arguments", [("verdict", "KD-0650", "--gate", "--json"), ("adr", "list")])
def test_a_reader_that_leaves_early_is_not_a_rollback(tmp_path, arguments):
    open_engine(f"sqlite:///{tmp_path}/log.db").dispose()
    environment = {**os.environ, "DISPATCHER_DATABASE_URL": f"sqlite:///{tmp_path}/log.db"}
    command = [sys.executable, "-m", "dispatcher", *arguments]
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        complaint = process.stderr.read()

    assert (process.wait(), complaint) == (141, b"")
