"""Workers forked from a process that polls, evaluates and reloads: none hangs, and all see the next flip."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from real_unleash import ROOT, UnleashServer

WORKERS = 40


def test_none_of_40_forked_workers_hangs_and_all_see_the_next_flip(unleash: UnleashServer) -> None:
    settings = {
        "DISPATCHER_UNLEASH_URL": unleash.url,
        "DISPATCHER_UNLEASH_TOKEN": unleash.backend_token,
        "DISPATCHER_UNLEASH_ADMIN_TOKEN": unleash.admin_token,
    }
    command = [sys.executable, str(ROOT / "scripts" / "bench" / "flag_fork.py"), str(WORKERS)]

    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False, timeout=240
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["workers"], found["hung"], found["wrong"], found["never_saw_the_flip"]) == (WORKERS, 0, 0, 0)
