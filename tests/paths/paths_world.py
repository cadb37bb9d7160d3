"""What the tests of the paths run on: repositories made on the spot, jobs, and observers with a real price table."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dispatcher.action.decision import PathName, Variant
from dispatcher.paths.observation import Observer, Session
from dispatcher.paths.path import Job
from dispatcher.paths.repository import Checkout
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


def make_observer() -> Observer:
    async def note_session(session: Session) -> None:
        pass

    return Observer(
        prices=PRICES,
        on=dt.date(2026, 11, 21),
        clock=time.monotonic_ns,
        started_ns=time.monotonic_ns(),
        note_session=note_session,
    )


def make_job(checkout: Checkout, *, cap: int = 8, **variant: Any) -> Job:
    definition = {
        "name": "legacy",
        "path": PathName.MESSAGES,
        "model": MODEL,
        "iteration_cap": cap,
        "max_tokens": 4096,
        "deadline_s": 60.0,
    }
    return Job(
        log_id="0190a0b0-0000-7000-8000-000000000000",
        tenant="script",
        question="Where is the retry limit set?",
        variant=Variant(**{**definition, **variant}),
        iteration_cap=cap,
        checkout=checkout,
    )
