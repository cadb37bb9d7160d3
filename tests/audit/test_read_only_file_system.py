"""On a file system that became read-only the log is one clear error, and what was logged is there afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
UNSHARE = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--user", "--map-root-user"])]
PROGRAM = """
import asyncio, datetime, json, subprocess, sys
sys.path.insert(0, sys.argv[2])
from attempts import an_opening
from dispatcher.audit.checkup import check_database
from dispatcher.audit.engine import migrate_database, open_engine
from dispatcher.audit.log import Log
from dispatcher.errors import SourceUnreachable
from log_contract import rows

folder = sys.argv[1]
url = f"sqlite:///{folder}/log.db"
mount = lambda *how: subprocess.run(["mount", *how, folder], check=True)
mount("-t", "tmpfs", "none")

def use():
    engine = open_engine(url)
    log = Log(engine)
    asyncio.run(log.open(an_opening()))
    log.shutdown()
    found = len(rows(engine))
    engine.dispose()
    return found

use()
mount("-o", "remount,ro")
errors = []
for do in (open_engine, migrate_database, lambda _: open_engine(f"sqlite:///{folder}/new/other.db")):
    try:
        do(url)
    except SourceUnreachable as error:
        errors.append(str(error))
checks = {c.subject: c.outcome for c in check_database(url, lambda: datetime.datetime.now(datetime.UTC))}
mount("-o", "remount,rw")
print(json.dumps({"errors": errors, "checks": checks, "rows": use()}))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a file system of the test's own can be mounted, seen by nobody else."""
    probe = [*UNSHARE, "mount", "-t", "tmpfs", "none", str(tmp_path)]
    allowed = shutil.which("unshare") and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    if not allowed:
        pytest.skip("this machine doesn't let a test mount a file system of its own")
    return tmp_path


def test_a_read_only_file_system_is_one_clear_error_and_loses_nothing(folder: Path) -> None:
    command = [*UNSHARE, sys.executable, "-c", PROGRAM, str(folder), str(HERE)]
    run = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    problem = "can't be used: its file system is read-only; mount it for writing, or name a file on another one"
    assert [error.partition(" can't")[2] for error in told["errors"]] == [problem.removeprefix("can't")] * 3
    assert told["checks"]["database"] == "fail"
    assert told["rows"] == 2
