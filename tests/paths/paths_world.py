"""What the tests of the paths run on: repositories made on the spot, jobs, and observers with a real price table."""

from __future__ import annotations

import datetime as dt
import os
import random
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dispatcher.action.decision import Caps, PathName, Variant
from dispatcher.action.event import OnEvent
from dispatcher.action.policy import RetryPolicy
from dispatcher.paths.observation import Observer, Session
from dispatcher.paths.path import Fresh, Job, Seed
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.prices import PriceTable

PRICES = PriceTable.load(Path(__file__).parents[2] / "policies" / "prices.yml")
MODEL = "claude-sonnet-4-6"
_GIT_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}


SLOW_PATTERN = "[ab]*a[ab]{900}c"
"""What both programs that search take a minute over in `slow_text`, with all the cleverness they have."""


def slow_text() -> str:
    """One long line; random, so that no state of a matching automaton comes twice."""
    bits = random.Random(1).getrandbits(1_900_000)
    return f"{bits:b}".translate({ord("0"): "a", ord("1"): "b"}) + "\n"


def git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *arguments],
        cwd=directory,
        env=_GIT_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def write_files(root: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def make_repository(root: Path, files: Mapping[str, str | bytes]) -> str:
    """A repository with one commit that holds these files; returns its SHA."""
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "--quiet", "--initial-branch=main")
    write_files(root, files)
    return commit_all(root)


def commit_all(root: Path) -> str:
    git(root, "add", "--all", "--force")
    git(root, "commit", "--quiet", "--allow-empty", "--message=change")
    return git(root, "rev-parse", "HEAD")


def make_observer(tell: OnEvent = lambda _event: None) -> Observer:
    async def note_session(session: Session) -> None:
        pass

    return Observer(
        prices=PRICES,
        on=dt.date(2026, 11, 21),
        clock=time.monotonic_ns,
        started_ns=time.monotonic_ns(),
        note_session=note_session,
        tell=tell,
    )


AT_ONCE = RetryPolicy(attempts=3, first_wait_s=0.001, longest_wait_s=0.002)
"""Retries that no test waits for."""
ONCE = RetryPolicy(attempts=1)


def make_variant(**definition: Any) -> Variant:
    usual = {
        "name": "legacy",
        "path": PathName.MESSAGES,
        "model": MODEL,
        "iteration_cap": 8,
        "tool_call_cap": 100,
        "token_cap": 1_000_000,
        "cost_cap_nanousd": 10**10,
        "max_tokens": 4096,
        "deadline_s": 60.0,
    }
    return Variant(**{**usual, **definition})


def make_job(
    checkout: Checkout,
    *,
    cap: int = 8,
    question: str = "Where is the retry limit set?",
    seed: Seed = Fresh(),  # noqa: B008 - frozen
    retries: RetryPolicy = ONCE,
    keeps_session: bool = False,
    within_s: float = 60.0,
    caps: Mapping[str, Any] | None = None,
    **definition: Any,
) -> Job:
    """A job whose variant has this definition; `caps` tightens its caps, `within_s` is the deadline from now on."""
    variant = make_variant(**{"iteration_cap": cap, **definition})
    in_force = {
        "iterations": variant.iteration_cap,
        "tool_calls": variant.tool_call_cap,
        "tokens": variant.token_cap,
        "cost_nanousd": variant.cost_cap_nanousd,
        "deadline_s": variant.deadline_s,
    }
    return Job(
        log_id="0190a0b0-0000-7000-8000-000000000000",
        tenant="script",
        project=None,
        question=question,
        variant=variant,
        caps=Caps(**{**in_force, **(caps or {})}),
        deadline_ns=time.monotonic_ns() + int(within_s * 1e9),
        checkout=checkout,
        seed=seed,
        keeps_session=keeps_session,
        retries=retries,
    )
