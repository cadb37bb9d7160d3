"""`dispatcher explain`: the decision without a call, walked step by step."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from routing_documents import POLICIES, URL

from dispatcher.cli import run
from dispatcher.routing.policy import Policies
from dispatcher.wiring.prompts import with_prompts

ASSUMED = "no --repository was named, so it is assumed that the managed path can mount it"
CAPPED = f"""\
tenant acme: managed-haiku-4-5-cap8 on the managed path, reason flag

    kill switch     not set
    flag state      document VERSION from file, confirmed 0 s ago
    flag            'agent-research' is on
    tenant removed  no rule names it for 'legacy'
    repository      {ASSUMED}
    pin             the action pins no variant
  → tenant named    rule 'capped pilot' names it for 'managed-haiku-4-5-cap8'

definition HASH: claude-haiku-4-5, caps kept by confirm
in force: at most 8 model requests, 80 tool calls, 1 000 000 tokens, 1 USD, 180 s
"""
DEFAULT = f"""\
tenant umbrella: legacy on the messages path, reason default

    kill switch     not set
    flag state      document VERSION from file, confirmed 0 s ago
    flag            'agent-research' is on
    tenant removed  no rule names it for 'legacy'
    repository      {ASSUMED}
    pin             the action pins no variant
    tenant named    no rule names one variant for it
    sticky          no earlier turn was assigned a variant
    share           no rule draws for it
  → default         nothing moves it from 'legacy'

definition HASH: claude-sonnet-4-6, at most 8192 output tokens a request
in force: at most 30 model requests, 300 tool calls, 3 000 000 tokens, 5 USD, 300 s
"""
FORCED = """\
tenant acme: legacy on the messages path, reason forced

  → kill switch  DISPATCHER_FORCE_PATH says 'legacy'

definition HASH: claude-sonnet-4-6, at most 8192 output tokens a request
in force: at most 30 model requests, 300 tool calls, 3 000 000 tokens, 5 USD, 300 s
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the shipped policies, which is no checkout."""
    shutil.copytree(POLICIES, tmp_path / "policies")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def checkout(home: Path) -> Path:
    path = home / "checkout"
    path.mkdir()
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *command], cwd=path, check=True)
    return path


def filled(expected: str, variant: str, home: Path) -> str:
    return expected.replace("VERSION", version(home)).replace(
        "HASH", with_prompts(Policies.load(POLICIES)).variants[variant].hash
    )


def version(home: Path) -> str:
    return hashlib.sha256((home / "policies" / "flags.json").read_bytes()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("tenant", "variant", "expected"),
    [("acme", "managed-haiku-4-5-cap8", CAPPED), ("umbrella", "legacy", DEFAULT)],
)
def test_the_precedence_is_walked_up_to_what_decides(
    tenant: str, variant: str, expected: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", "--tenant", tenant]) == 0

    assert capsys.readouterr().out == filled(expected, variant, home)


def test_a_forced_decision_looks_at_nothing_else(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHER_FORCE_PATH", "legacy")
    (home / "policies" / "flags.json").write_text("{")

    assert run(["explain", "--tenant", "acme"]) == 0

    assert capsys.readouterr().out == filled(FORCED, "legacy", home)


def explained(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    assert run(["explain", "--json", *options]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_the_json_is_the_decision_as_the_row_has_it_plus_its_steps(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = explained(capsys, "--tenant", "script", "--conversation", "c-3")
    age_s = found.pop("flag_age_s")
    definition, steps = found.pop("definition"), found.pop("steps")
    caps = {"iterations": 30, "tool_calls": 300, "tokens": 3_000_000, "cost_nanousd": 5 * 10**9, "deadline_s": 300.0}

    assert found == {
        "path": "messages",
        "variant": "legacy",
        "model": "claude-sonnet-4-6",
        "reason": "share",
        "flag": "agent-research",
        "flag_version": version(home),
        "flag_stale": False,
        "flag_source": "file",
        "moved_by": None,
        "assignment_key": "c-3",
        "assignment_share": 0.33,
        "iteration_cap": 30,
        "deadline_s": 300.0,
        "caps": caps,
        "evaluation": {
            "feature_flag.key": "agent-research",
            "feature_flag.provider.name": "unleash",
            "feature_flag.result.variant": "legacy",
            "feature_flag.result.reason": "split",
            "feature_flag.context.id": "c-3",
            "feature_flag.version": version(home),
        },
    }
    assert isinstance(age_s, float)
    assert 0 <= age_s < 60
    assert definition == {
        "name": "legacy",
        "path": "messages",
        "model": "claude-sonnet-4-6",
        "iteration_cap": 30,
        "tool_call_cap": 300,
        "token_cap": 3_000_000,
        "cost_cap_nanousd": 5 * 10**9,
        "deadline_s": 300.0,
        "max_tokens": 8192,
        "prompt_caching": False,
        "cap_mode": None,
        "fallback": None,
        "prompt": with_prompts(Policies.load(POLICIES)).default.prompt,
        "hash": with_prompts(Policies.load(POLICIES)).default.hash,
    }
    assert isinstance(steps, list)
    assert steps[-1] == {
        "rule": "share",
        "decided": True,
        "detail": "rule 'KD-0650' drew 'legacy' by 'c-3', at a share of 0.33",
    }


def test_a_draw_without_a_conversation_says_what_was_drawn_by(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, "--tenant", "script")

    assert found["assignment_key"] == "explain"
    assert "no --conversation was named, and such a dispatch is drawn by its own id" in str(found["steps"])


def test_a_named_repository_is_judged_and_not_assumed(
    checkout: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = explained(capsys, "--tenant", "acme", "--repository", str(home), "--github-url", URL)
    local = explained(capsys, "--tenant", "acme", "--repository", str(checkout))
    known = explained(capsys, "--tenant", "acme", "--repository", str(checkout), "--github-url", URL)

    assert [found["reason"] for found in (plain, local, known)] == [
        "repository_not_mountable",
        "repository_not_mountable",
        "flag",
    ]
    assert "it has no commit" in str(plain["steps"])
    assert "it has no github_url" in str(local["steps"])


def test_a_pin_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, "--tenant", "umbrella", "--variant", "legacy-cached")

    assert (found["reason"], found["variant"]) == ("pinned", "legacy-cached")


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--tenant", "acme", "--variant", "mine"], 2, "variant 'mine' is not registered"),
        (["--tenant", ""], 2, "tenant is empty"),
        (["--tenant", "umbrella", "--github-url", URL + "-2"], 2, "tenant 'umbrella' may not have"),
        (["--tenant", "stranger", "--github-url", URL], 2, "tenant 'stranger' may not have"),
        (["--tenant", "acme", "--repository", "nowhere"], 2, "there is no directory nowhere"),
        ([], 2, "Missing option '--tenant'"),
    ],
)
def test_bad_input_is_one_clear_error(
    options: list[str], code: int, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", *options]) == code

    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("flags.json", "{", "is not JSON, or only the beginning of it"),
        ("agent_research.yml", "schema: 1\nwhat: 1\n", "agent_research.yml: line 2: what: is not a known key"),
    ],
)
def test_a_bad_file_at_the_start_is_a_clear_error(
    file: str, content: str, reason: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "policies" / file).write_text(content)

    assert run(["explain", "--tenant", "acme"]) == 2

    assert reason in capsys.readouterr().err
