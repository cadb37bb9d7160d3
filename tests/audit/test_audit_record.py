from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

from freezegun import freeze_time

from dispatcher.audit.record import new_log_id, this_owner


def test_a_log_id_is_a_version_7_uuid_of_the_standard_variant() -> None:
    text = new_log_id()
    parsed = uuid.UUID(text)
    assert text == str(parsed)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


def test_a_log_id_begins_with_the_milliseconds_of_its_making() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(new_log_id()).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_later_log_ids_sort_after_earlier_ones() -> None:
    with freeze_time("2026-11-21T00:00:00Z") as frozen:
        ids = []
        for _ in range(20):
            ids.append(new_log_id())
            frozen.tick(dt.timedelta(milliseconds=10))
    assert ids == sorted(ids)


def test_log_ids_of_one_millisecond_differ() -> None:
    with freeze_time("2026-11-21T00:00:00Z"):
        ids = {new_log_id() for _ in range(20_000)}
    assert len(ids) == 20_000
    assert len({text[:13] for text in ids}) == 1


def test_every_random_bit_of_a_log_id_is_used() -> None:
    """74 bits vary; the 48 of the time and the 6 of version and variant don't, within a millisecond."""
    with freeze_time("2026-11-21T00:00:00Z"):
        values = [uuid.UUID(new_log_id()).int for _ in range(500)]
    varying = 0
    for value in values:
        varying |= value ^ values[0]
    assert varying.bit_count() == 74


def test_an_owner_names_host_boot_namespace_process_and_start() -> None:
    host, boot, namespace, pid, start = this_owner().rsplit("/", 4)
    assert os.uname().nodename == host
    assert Path("/proc/sys/kernel/random/boot_id").read_text().strip() == boot
    assert f"pid:[{namespace}]" == str(Path("/proc/self/ns/pid").readlink())
    assert str(os.getpid()) == pid
    assert _age_s(int(start)) < 3600 * 24
    assert this_owner() == this_owner()


def test_another_process_is_another_owner_whatever_it_is_called(tmp_path: Path) -> None:
    """The name of a program may hold blanks and parentheses, which the file of the kernel doesn't escape."""
    program = tmp_path / "a) b (c 1 2 3"
    program.symlink_to(sys.executable)
    code = "from dispatcher.audit.record import this_owner; print(this_owner())"
    root = Path(__file__).parents[2]
    search = os.pathsep.join([str(root), *(path for path in sys.path if path)])
    run = subprocess.run(
        [program, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": search}
    )
    theirs, ours = run.stdout.strip().rsplit("/", 4), this_owner().rsplit("/", 4)
    assert theirs[:3] == ours[:3]
    assert theirs[3] != ours[3]
    assert 0 <= _age_s(int(theirs[4])) < 60


def _age_s(start_ticks: int) -> float:
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - start_ticks / os.sysconf("SC_CLK_TCK")
