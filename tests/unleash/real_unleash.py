"""A real Unleash for the tests of this room: started from the installed programs, with a database of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from unleash_install import installed  # noqa: E402 - a script's module, found by the line above
from unleash_processes import Secrets, wait_for  # noqa: E402
from unleash_seed import Admin  # noqa: E402

ENVIRONMENT = "development"
FLAG = "agent-research"
KILL = "agent-research-kill"


class UnleashServer:
    """One real server with its database, on a port of its own; seeded from policies/flags.json."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = 0
        self.start()
        secret = Secrets.of(folder)
        self.backend_token = secret.backend_token
        self.admin_token = secret.admin_token
        self._seeded = {flag: self._standing(flag) for flag in (FLAG, KILL)}
        self._seeded_features = self._features()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it where it isn't running, on the port of last time, and wait until it is ready."""
        if self._port and self._answers():
            return
        self.script("start", "--port", str(self._port))
        self._port = self._state()["port"]

    def stop(self) -> None:
        """Stop the server and its database as an operator would."""
        self.script("stop")

    def kill(self) -> None:
        """End the server's process without a warning; its database goes on."""
        pid = self._state()["pid"]
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        assert wait_for(lambda: not self._answers(), 10)

    def restore(self) -> None:
        """Start it if need be, and put the flags back to what they were seeded with."""
        self.start()
        for flag, seeded in self._seeded.items():
            if self._standing(flag) != seeded:
                self.set_rules(flag, seeded["strategies"], enabled=seeded["enabled"])
        assert wait_for(lambda: self._features() == self._seeded_features, 10)

    def _standing(self, flag: str) -> dict[str, Any]:
        standing = self.admin("GET", self.environment_path(flag))
        strategies = [
            {key: rule[key] for key in ("name", "title", "constraints", "parameters", "variants", "disabled")}
            for rule in standing["strategies"]
        ]
        return {"enabled": standing["enabled"], "strategies": strategies}

    def _features(self) -> Any:
        return json.loads(self.client_features())["features"]

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the admin API: `path` begins with /api/admin."""
        return Admin(self.url, self.admin_token)(method, path, body)

    def set_rules(self, flag: str, strategies: list[dict[str, Any]], *, enabled: bool = True) -> None:
        """Replace all strategies of a flag, which is off meanwhile."""
        self.switch(flag, on=False)
        strategies_path = f"{self.environment_path(flag)}/strategies"
        for strategy in self.admin("GET", strategies_path):
            self.admin("DELETE", f"{strategies_path}/{strategy['id']}")
        for order, strategy in enumerate(strategies):
            self.admin("POST", strategies_path, {**strategy, "sortOrder": order})
        if enabled:
            self.switch(flag, on=True)

    def switch(self, flag: str, *, on: bool) -> None:
        """Switch a flag on or off; on without a strategy would be on for everybody, and is refused."""
        assert not on or self.admin("GET", f"{self.environment_path(flag)}/strategies")
        self.admin("POST", f"{self.environment_path(flag)}/{'on' if on else 'off'}")

    def client_features(self) -> bytes:
        """The document that clients are given at this moment."""
        asked = urllib.request.Request(f"{self.url}/api/client/features", headers={"Authorization": self.backend_token})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=10) as answer:
            content: bytes = answer.read()
        return content

    def script(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run scripts/unleash on this server's data."""
        command = [sys.executable, str(ROOT / "scripts" / "unleash.py"), *arguments, "--data", str(self._folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode in (0, 3), done.stderr
        return done

    def environment_path(self, flag: str) -> str:
        return f"/api/admin/projects/default/features/{flag}/environments/{ENVIRONMENT}"

    def _state(self) -> dict[str, int]:
        state: dict[str, int] = json.loads((self._folder / "server.json").read_text())
        return state

    def _answers(self) -> bool:
        try:
            return bool(self.client_features())
        except OSError:
            return False


def why_absent() -> str | None:
    """Why there can be no server here, None where there can."""
    return None if installed() else "no Unleash is installed here: run scripts/unleash install"
