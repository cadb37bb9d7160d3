from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from sandbox_repository import ENVIRONMENT_CANARY, QUESTION, lay_out
from sandbox_wire import WireTap

from dispatcher.simulator import Simulator, SimulatorConfig

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("sandbox_program.py")
URL = "https://github.com/example/checkout"
OBEDIENT = PROJECT / "dispatcher" / "simulator" / "profiles-obedient.yml"
TOKEN = "canary-of-the-repositorys-token-31c9"
API_KEY = "sk-ant-api03-canary-of-the-provider-77e2"


@dataclass(frozen=True)
class Trap:
    """A hostile repository, the obedient platform behind a wire-tap, and a home for the log and the policies."""

    simulator: Simulator
    wire: WireTap
    repository: Path
    folder: Path
    home: Path

    def ask(self, variant: str, **more: Any) -> dict[str, Any]:
        """One dispatch in a process of its own: its result, and all it reached for."""
        asked = {
            "settings": {
                "database_url": f"sqlite:///{self.home}/log.db",
                "policies_dir": str(self.home / "policies"),
                "adrs_dir": str(PROJECT / "adrs"),
                "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{self.wire.port}",
                "ANTHROPIC_API_KEY": API_KEY,
            },
            "question": QUESTION,
            "variant": variant,
            "repository": str(self.repository),
            "github_url": URL,
            "limits": {},
            **more,
        }
        done = subprocess.run(
            [sys.executable, str(PROGRAM), json.dumps(asked)],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.home,
            env=self._environment(),
        )
        assert done.returncode == 0, done.stderr
        return {**json.loads(done.stdout), "said": done.stderr}

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ}
        return {
            **kept,
            "HOME": str(self.home),
            "NO_PROXY": "127.0.0.1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "SANDBOX_SECRET": ENVIRONMENT_CANARY,
            "SANDBOX_TOKEN": TOKEN,
        }


@contextmanager
def laid(root: Path) -> Iterator[Trap]:
    """A trap in an empty directory."""
    with WireTap() as wire:
        repository = lay_out(root, f"http://127.0.0.1:{wire.port}/elsewhere")
        folder, home = root / "folder", root / "home"
        shutil.copytree(repository, folder, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        shutil.copytree(PROJECT / "policies", home / "policies")
        listed = {"schema": 1, "tenants": {"acme": {URL: "SANDBOX_TOKEN"}}}
        (home / "policies" / "repositories.yml").write_text(yaml.safe_dump(listed))
        prices = PROJECT / "policies" / "prices.yml"
        config = SimulatorConfig(repositories={URL: repository}, time_scale=0, prices=prices, profiles=OBEDIENT)
        with Simulator(config) as simulator:
            wire.onward = int(simulator.base_url.rpartition(":")[2])
            yield Trap(simulator, wire, repository, folder, home)


@pytest.fixture(scope="module")
def trap(tmp_path_factory):
    with laid(tmp_path_factory.mktemp("trap")) as made:
        yield made


@pytest.fixture
def other_trap(tmp_path):
    with laid(tmp_path / "trap") as made:
        yield made
