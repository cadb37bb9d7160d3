"""Writers of the flag file that hang, are killed, or meet an editor: the brake gets through, and nothing is lost."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from flag_server_world import until
from routing_documents import FLAG, POLICIES

from dispatcher.routing.flag_editing.edit import FlagContent, Naming, Switch
from dispatcher.routing.flag_editing.file_writer import FlagFile
from dispatcher.routing.flags.reader import read_flag_document
from dispatcher.routing.flags.sighting import Sighting

CAPPED = "managed-haiku-4-5-cap8"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "flags.json"
    path.write_bytes((POLICIES / "flags.json").read_bytes())
    return path


@pytest.fixture
def file(path: Path) -> FlagFile:
    return FlagFile(path=path, flag=FLAG, actor="alice", record=lambda sighting: None)


def naming(tenant: str) -> Naming:
    return Naming(flag=FLAG, tenant=tenant, variant=CAPPED)


def test_a_writer_that_hangs_stops_no_brake_and_does_not_undo_it(file: FlagFile, path: Path) -> None:
    """It hangs after it has read the file and before it writes; so does whoever is suspended there."""
    reading, go_on = threading.Event(), threading.Event()

    def hanging(content: FlagContent) -> FlagContent:
        if not reading.is_set():
            reading.set()
            go_on.wait(30)
        return naming("umbrella")(content)

    with ThreadPoolExecutor(1) as pool:
        edited = pool.submit(file.edit, hanging)
        reading.wait(30)
        braked = file.edit(Switch(flag=FLAG, on=False))
        go_on.set()
        outcome = edited.result(30)

    assert (braked.written, braked.after.on) == (True, False)
    assert (outcome.written, outcome.before.on, outcome.after.on) == (True, False, False)
    assert json.loads(path.read_bytes())["features"][1]["enabled"] is False


def test_a_history_that_hangs_stops_no_brake(file: FlagFile, path: Path) -> None:
    hanging, go_on = threading.Event(), threading.Event()

    def hang(sighting: Sighting) -> None:
        hanging.set()
        go_on.wait(30)

    with ThreadPoolExecutor(2) as pool:
        edited = pool.submit(replace(file, record=hang).edit, naming("umbrella"))
        hanging.wait(30)
        braked = pool.submit(replace(file, record=hang).edit, Switch(flag=FLAG, on=False))
        until(lambda: json.loads(path.read_bytes())["features"][1]["enabled"] is False)
        go_on.set()

    assert edited.result().written
    assert braked.result().written


def test_an_edit_is_made_on_what_an_editor_wrote_in_the_same_moment(file: FlagFile, path: Path) -> None:
    rounds = []

    def interrupted(content: FlagContent) -> FlagContent:
        rounds.append(content)
        if len(rounds) == 1:
            path.write_bytes(path.read_bytes().replace(b"acme", b"hooli"))
        return naming("umbrella")(content)

    after = file.edit(interrupted).after

    assert len(rounds) == 2
    assert [after.entry(tenant).text for tenant in ("acme", "hooli", "umbrella")] == ["legacy", CAPPED, CAPPED]


def test_writers_that_are_killed_leave_the_file_whole_and_the_way_free(file: FlagFile, path: Path) -> None:
    script = f"""
import itertools
from pathlib import Path
from dispatcher.routing.flag_editing.edit import Naming
from dispatcher.routing.flag_editing.file_writer import FlagFile
file = FlagFile(path=Path({str(path)!r}), flag={FLAG!r}, actor="bob", record=lambda sighting: None)
print("ready", flush=True)
for variant in itertools.cycle(["legacy", {CAPPED!r}]):
    file.edit(Naming(flag={FLAG!r}, tenant="umbrella", variant=variant))
"""
    for moment in range(8):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.03 * random.Random(moment).random())
            writer.kill()
        read_flag_document(path.read_bytes(), "flags.json", [FLAG])

    assert file.edit(naming("hooli")).written
