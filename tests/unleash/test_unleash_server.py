"""scripts/unleash starts a real server whose flags mean what policies/flags.json says, and keeps its secrets."""

from __future__ import annotations

import json
import re
import socket
import stat
import subprocess
import sys
import urllib.error
from pathlib import Path

import pytest
from real_unleash import FLAG, KILL, ROOT, UnleashServer

from dispatcher.routing.flags.answer import FlagAnswer, FlagContext, FlagState
from dispatcher.routing.flags.engine import FlagEngine
from dispatcher.routing.flags.reader import read_flag_document
from dispatcher.routing.flags.state import compile_state

FILE = ROOT / "policies" / "flags.json"
TENANTS = ("acme", "globex", "initech", "script", "nobody-named-it")


def engine_of(content: bytes) -> FlagEngine:
    return FlagEngine(compile_state(read_flag_document(content, "document", [FLAG]), [FLAG]))


def decided(answer: FlagAnswer) -> tuple[object, ...]:
    """What decides; the server doesn't tell clients a rule's title."""
    return answer.state, answer.variant, answer.drawn, answer.share, answer.assignment_key


def test_the_seeded_server_decides_as_the_file_does(unleash: UnleashServer) -> None:
    """For every tenant that the file names and one that it doesn't, and for many conversations of each."""
    file, server = engine_of(FILE.read_bytes()), engine_of(unleash.client_features())
    named = set(re.findall(r'"values": \["(.*?)"\]', FILE.read_text()))
    contexts = [FlagContext(tenant=t, conversation=f"conversation-{n}") for t in TENANTS for n in range(300)]

    assert named == set(TENANTS[:-1])
    assert [decided(file.answer(FLAG, c, None)) for c in contexts] == [
        decided(server.answer(FLAG, c, None)) for c in contexts
    ]


def test_the_parent_is_a_kill_switch_that_is_off_and_works_when_it_is_switched_on(unleash: UnleashServer) -> None:
    """A change is in the document within about a second."""
    from unleash_processes import wait_for  # noqa: PLC0415

    acme = FlagContext(tenant="acme", conversation="c-1")

    def comes_to(state: FlagState) -> bool:
        return wait_for(lambda: engine_of(unleash.client_features()).answer(FLAG, acme, None).state is state, 10)

    assert comes_to(FlagState.VARIANT)
    unleash.switch(KILL, on=True)
    assert comes_to(FlagState.OFF)
    unleash.switch(KILL, on=False)
    assert comes_to(FlagState.VARIANT)


def test_a_second_start_changes_nothing(unleash: UnleashServer) -> None:
    def state() -> tuple[int, str]:
        latest = unleash.admin("GET", "/api/admin/search/events?limit=1")["events"][0]["id"]
        return latest, (unleash._folder / "server.json").read_text()

    before = state()
    again = unleash.script("start")

    assert state() == before
    assert "Seeded" not in again.stderr


def test_an_edit_of_the_seeded_flag_survives_a_stop_and_a_start(unleash: UnleashServer) -> None:
    strategies = unleash.admin("GET", f"{unleash.environment_path(FLAG)}/strategies")
    first = f"{unleash.environment_path(FLAG)}/strategies/{strategies[0]['id']}"
    patch = [{"op": "replace", "path": "/constraints/0/values", "value": ["acme", "umbrella"]}]
    umbrella = FlagContext(tenant="umbrella", conversation="c-1")

    unleash.admin("PATCH", first, patch)
    unleash.stop()
    unleash.start()
    after = engine_of(unleash.client_features()).answer(FLAG, umbrella, None)

    assert strategies[0]["constraints"][0]["values"] == ["acme"]
    assert after.variant == "managed-haiku-4-5-cap8"


def test_env_prints_what_a_shell_can_evaluate(unleash: UnleashServer) -> None:
    shown = unleash.script("env").stdout
    variables = ("URL", "TOKEN", "ADMIN_TOKEN")
    asked = "; ".join(f'echo "$DISPATCHER_UNLEASH_{name}"' for name in variables)

    said = subprocess.run(["sh", "-c", f"{shown}\n{asked}"], capture_output=True, text=True, check=True)

    assert said.stdout.split() == [unleash.url, unleash.backend_token, unleash.admin_token]


def test_nothing_listens_beyond_loopback_and_nobody_is_let_in_without_a_token(unleash: UnleashServer) -> None:
    port = int(unleash.url.rpartition(":")[2])
    addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)}
    outside = [address for address in addresses if not address.startswith("127.")]

    refused = [address for address in outside if not connects(address, port)]
    anonymous = UnleashServer.__new__(UnleashServer)
    anonymous._port, anonymous.backend_token, anonymous.admin_token = port, "", ""
    with pytest.raises(urllib.error.HTTPError, match="401"):
        anonymous.client_features()
    with pytest.raises(Exception, match="answered 401"):
        anonymous.admin("GET", "/api/admin/projects")

    assert refused == outside


def connects(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def test_secrets_are_in_one_file_of_its_owner_and_in_no_log(unleash: UnleashServer) -> None:
    secrets = unleash._folder / "secrets.json"
    logs = "".join(path.read_text(errors="replace") for path in unleash._folder.rglob("*log") if path.is_file())
    known = json.loads(secrets.read_text())

    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    assert [name for name, value in known.items() if value in logs] == []


def test_a_taken_port_is_said_with_the_way_out(tmp_path: Path, unleash: UnleashServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, str(ROOT / "scripts" / "unleash.py")]

        done = subprocess.run(
            [*command, "start", "--data", str(tmp_path), "--port", port], capture_output=True, text=True, check=False
        )
        subprocess.run([*command, "reset", "--data", str(tmp_path)], check=True, capture_output=True)

    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 is taken by another program; choose another" in done.stderr
