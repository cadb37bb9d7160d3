"""On a file system that became read-only the log is read as before, and anything else is one clear error.

What was logged is there afterwards.
"""

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
import asyncio, contextlib, datetime, io, json, os, shutil, subprocess, sys
sys.path.insert(0, sys.argv[2])
from attempts import an_opening
from dispatcher.audit.checkup import check_database
from dispatcher.audit.engine import connect, migrate_database, open_engine
from dispatcher.audit.log import Log
from dispatcher.cli import run
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
os.environ["DISPATCHER_DATABASE_URL"] = url

def said(verb):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(verb.split())
    return code, out.getvalue(), err.getvalue()

verbs = {verb: said(verb) for verb in sys.argv[3:]}
checks = {c.subject: c.outcome for c in check_database(url, lambda: datetime.datetime.now(datetime.UTC))}
mount("-o", "remount,rw")
engine = connect(url)
with engine.connect() as other:
    other.exec_driver_sql("SELECT count(*) FROM ai_outbound_logs")
    rows_now = use()
    for ending in ("", "-wal"):
        shutil.copy(f"{folder}/log.db{ending}", f"{folder}/crashed.db{ending}")
engine.dispose()
mount("-o", "remount,ro")
os.environ["DISPATCHER_DATABASE_URL"] = f"sqlite:///{folder}/crashed.db"
verbs["after a crash"] = said("logs summary")
mount("-o", "remount,rw")
print(json.dumps({"errors": errors, "verbs": verbs, "checks": checks, "rows": rows_now}))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a file system of the test's own can be mounted, seen by nobody else."""
    probe = [*UNSHARE, "mount", "-t", "tmpfs", "none", str(tmp_path)]
    allowed = shutil.which("unshare") and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    if not allowed:
        pytest.skip("this machine doesn't let a test mount a file system of its own")
    return tmp_path


READ = ("logs summary --json", "logs export {}/exported", "telemetry distribution --since all", "prices check")
REFUSED = {
    "logs export {}/log-too": (2, "can't be written: Read-only file system"),
    "logs drain": (5, "its file system is read-only; mount it for writing"),
    "migrate": (5, "its file system is read-only; mount it for writing"),
    "prices reprice": (5, "its file system is read-only; mount it for writing"),
    "logs import --dry-run {}/rows.csv --map {}/map.yml": (5, "it is read-only; give this user the right to write"),
}


def test_a_read_only_file_system_is_read_and_else_one_clear_error_and_loses_nothing(folder: Path) -> None:
    (folder / "rw").mkdir()
    ro, rw = folder / "ro", folder / "rw"
    ro.mkdir()
    (rw / "rows.csv").write_text("id,at\na,2026-01-01T00:00Z\n")
    (rw / "map.yml").write_text(
        "schema: 1\nsource: bench\nkey: [id]\ncolumns: {created_at: {from: at}}\n"
        "constants: {feature: agent_research, tenant: bench, status: success}\n"
    )
    placed = {verb: verb.format(*[ro if "log-too" in verb else rw] * 2) for verb in (*READ, *REFUSED)}
    command = [*UNSHARE, sys.executable, "-c", PROGRAM, str(ro), str(HERE), *placed.values()]
    run = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    problem = "can't be used: its file system is read-only; mount it for writing, or name a file on another one"
    assert [error.partition(" can't")[2] for error in told["errors"]] == [problem.removeprefix("can't")] * 3
    assert told["checks"]["database"] == "fail"
    assert told["rows"] == 2
    verbs = told["verbs"]
    assert [verbs[placed[verb]][::2] for verb in READ] == [[0, ""]] * len(READ)
    assert json.loads(verbs[placed[READ[0]]][1])["rows"][0]["n"] == 1
    for verb, (code, words) in REFUSED.items():
        assert (verbs[placed[verb]][0], verbs[placed[verb]][2].count("\n")) == (code, 1), verb
        assert words in verbs[placed[verb]][2]
    assert verbs["after a crash"][0] == 5
    assert (
        "its newest rows are still in a file beside it; copy both to where you may write" in verbs["after a crash"][2]
    )
