"""Owners of rows: how they are written, and when one is known to be gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.audit.owner import Life, Owner, Running, life_of, look_at, read_owner, this_owner, this_process

BOOT, OTHER_BOOT = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
HERE = Owner("web-1", BOOT, "4026531836", 10, 1000)
IT = replace(HERE, pid=42, start=7000)
HEX = st.text("0123456789abcdef-", min_size=36, max_size=36)


@given(
    st.builds(
        Owner,
        host=st.text(max_size=64),
        boot=HEX,
        namespace=st.integers(0, 2**32).map(str),
        pid=st.integers(0, 4_194_304),
        start=st.integers(0, 10**15),
    )
)
def test_an_owner_is_read_as_it_was_written(owner: Owner) -> None:
    assert read_owner(str(owner)) == owner


@given(st.text())
def test_any_other_text_names_no_owner_or_one_that_is_written_the_same(text: str) -> None:
    owner = read_owner(text)
    assert owner is None or read_owner(str(owner)) == owner


@pytest.mark.parametrize("text", [None, "", "import:helicone", "host/boot/4026531836/42/99", f"h/{BOOT}/1/{10**12}/1"])
def test_what_no_process_of_ours_wrote_is_nobodys_and_never_known_to_be_gone(text: str | None) -> None:
    assert read_owner(text) is None
    assert life_of(read_owner(text), HERE, nobody) is Life.UNKNOWN


def nobody(_pid: int) -> Running | None:
    return None


def somebody(start: int, *, ended: bool = False) -> Callable[[int], Running | None]:
    return lambda pid: Running(start=start, ended=ended) if pid == IT.pid else None


def hidden(_pid: int) -> Running | None:
    raise PermissionError


@pytest.mark.parametrize(
    ("owner", "look", "life"),
    [
        (IT, somebody(IT.start), Life.ALIVE),
        (IT, nobody, Life.GONE),
        # The pid was given to another process since.
        (IT, somebody(IT.start + 1), Life.GONE),
        # It has ended, and its parent hasn't taken note.
        (IT, somebody(IT.start, ended=True), Life.GONE),
        (IT, hidden, Life.UNKNOWN),
        # The host was started anew; a host of another name is another machine.
        (replace(IT, boot=OTHER_BOOT), somebody(IT.start), Life.GONE),
        (replace(IT, boot=OTHER_BOOT, host="web-2"), nobody, Life.UNKNOWN),
        # The same kernel: a container, or a host that was renamed.
        (replace(IT, namespace="4026532999"), nobody, Life.UNKNOWN),
        (replace(IT, host="web-2"), somebody(IT.start), Life.ALIVE),
        (replace(IT, host="web-2"), nobody, Life.GONE),
    ],
)
def test_an_owner_is_gone_only_where_it_is_known_to_be(
    owner: Owner, look: Callable[[int], Running | None], life: Life
) -> None:
    assert life_of(owner, HERE, look) is life


def test_this_process_lives_and_one_that_was_killed_is_gone_even_before_its_parent_takes_note() -> None:
    code = "from dispatcher.audit.owner import this_owner; print(this_owner(), flush=True); import time; time.sleep(60)"
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    owner, here = read_owner(program.stdout.readline().strip()), this_process()
    assert owner is not None
    assert owner.pid == program.pid
    assert [life_of(one, here, look_at) for one in (here, owner)] == [Life.ALIVE, Life.ALIVE]
    program.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
    assert life_of(owner, here, look_at) is Life.GONE
    program.communicate()
    assert life_of(owner, here, look_at) is Life.GONE


def test_a_process_whose_first_thread_has_ended_still_lives() -> None:
    code = (
        "import ctypes, threading, time; from dispatcher.audit.owner import this_owner; print(this_owner(), flush=1);"
        "threading.Thread(target=lambda: time.sleep(60)).start(); ctypes.CDLL(None).pthread_exit(None)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        owner = read_owner(program.stdout.readline().strip())
        state = Path(f"/proc/{program.pid}/stat")
        while ") Z " not in state.read_text():
            os.sched_yield()
        assert life_of(owner, this_process(), look_at) is Life.ALIVE
        program.kill()


def test_a_process_of_a_pid_namespace_that_cannot_be_seen_into_counts_as_another_host() -> None:
    code = "from dispatcher.audit.owner import this_owner; print(this_owner(), flush=True); input()"
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    try:
        program = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    except FileNotFoundError:
        pytest.skip("no unshare here")
    assert program.stdout is not None
    said = program.stdout.readline().strip()
    if not said:
        pytest.skip(f"no pid namespaces here: {program.communicate()[1].strip()}")
    owner, here = read_owner(said), this_process()
    assert owner is not None
    assert (owner.boot, owner.namespace != here.namespace) == (here.boot, True)
    assert life_of(owner, here, look_at) is Life.UNKNOWN
    program.communicate("\n")
    assert life_of(owner, here, look_at) is Life.UNKNOWN


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
    code = "from dispatcher.audit.owner import this_owner; print(this_owner())"
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
