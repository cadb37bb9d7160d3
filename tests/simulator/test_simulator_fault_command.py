"""`dispatcher simulator --faults`: from the file to the client."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import anthropic
import pytest
from fault_driving import ASKED

ROOT = Path(__file__).parents[2]


def command(faults: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dispatcher", "simulator", "--time-scale", "0", "--faults", str(faults)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_the_command_serves_the_faults_of_its_file(template: anthropic.Anthropic, tmp_path: Path) -> None:
    faults = tmp_path / "faults.yml"
    faults.write_text("schema: 1\nrules:\n  - {on: messages.create, fault: {name: status, status: 529}}\n")
    with command(faults) as process:
        assert process.stdout is not None
        client = template.with_options(base_url=process.stdout.readline().strip())
        with pytest.raises(anthropic.InternalServerError) as caught:
            client.messages.create(**ASKED)
        answer = client.messages.create(**ASKED)
        os.kill(process.pid, signal.SIGTERM)

    assert (caught.value.status_code, answer.stop_reason) == (529, "end_turn")


def test_the_command_refuses_a_file_with_everything_that_is_wrong_with_it(tmp_path: Path) -> None:
    faults = tmp_path / "faults.yml"
    faults.write_text("schema: 2\nrules:\n  - {on: nowhere, fault: explode}\n")
    with command(faults) as process:
        told = process.communicate()[1]

    assert process.returncode == 2
    for piece in ("line 1", "schema", "line 3", "rules[0].on", "explode"):
        assert piece in told
