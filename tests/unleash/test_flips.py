"""A flip at a real server takes effect within the refresh interval and the second that the server itself takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from real_unleash import FLAG, UnleashServer

from dispatcher.routing.flags.answer import FlagContext, FlagState
from dispatcher.routing.flags.server import ServerFlags

REFRESH_S = 1.0
SERVER_S = 1.0
BUSY_S = 1.0
"""What a machine that is busy with other tests may add."""
ACME = FlagContext(tenant="acme", conversation="c-1")
GLOBEX = FlagContext(tenant="globex", conversation="c-1")
SAME_MODEL = "managed-sonnet-4-6"


@pytest.fixture
def flags(unleash: UnleashServer, tmp_path: Path) -> Iterator[ServerFlags]:
    token = SecretStr(unleash.backend_token)
    flags = ServerFlags(unleash.url, token, [FLAG], state_dir=tmp_path / "state", refresh_s=REFRESH_S)
    flags.start()
    yield flags
    flags.stop()


def effect_of(flip: Callable[[], Any], happened: Callable[[], bool]) -> float:
    """How long after the server took the flip it is in effect here, in seconds."""
    flip()
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < 30
        time.sleep(0.01)
    return time.monotonic() - began


def test_one_tenant_is_flipped_in_time_and_nobody_else_moves(unleash: UnleashServer, flags: ServerFlags) -> None:
    path = unleash.environment_path(FLAG)
    rule = next(
        rule for rule in unleash.admin("GET", f"{path}/strategies") if rule["constraints"][0]["values"] == ["acme"]
    )

    def set_tenants(tenants: list[str]) -> None:
        patch = [{"op": "replace", "path": "/constraints/0/values", "value": tenants}]
        unleash.admin("PATCH", f"{path}/strategies/{rule['id']}", patch)

    took = []
    for _ in range(2):
        took.append(
            effect_of(lambda: set_tenants(["umbrella"]), lambda: flags.evaluate(FLAG, ACME).state is FlagState.NO_RULE)
        )
        assert flags.evaluate(FLAG, GLOBEX).variant == SAME_MODEL
        took.append(
            effect_of(lambda: set_tenants(["acme"]), lambda: flags.evaluate(FLAG, ACME).state is FlagState.VARIANT)
        )
        assert flags.evaluate(FLAG, GLOBEX).variant == SAME_MODEL

    assert max(took) <= REFRESH_S + SERVER_S + BUSY_S


def test_everybody_is_flipped_in_time(unleash: UnleashServer, flags: ServerFlags) -> None:
    took = []
    for _ in range(2):
        for on, state in ((False, FlagState.OFF), (True, FlagState.VARIANT)):
            took.append(
                effect_of(
                    lambda on=on: unleash.switch(FLAG, on=on),
                    lambda state=state: flags.evaluate(FLAG, ACME).state is state,
                )
            )
            assert flags.evaluate(FLAG, GLOBEX).state is state

    assert max(took) <= REFRESH_S + SERVER_S + BUSY_S
