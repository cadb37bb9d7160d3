"""A client that leaves in the middle of its own request is no defect of the simulator's."""

from __future__ import annotations

import logging
import socket
import urllib.parse
from typing import Any

import httpx2
import pytest

from dispatcher.simulator import Simulator, SimulatorConfig
from dispatcher.simulator.faults import Rule
from dispatcher.simulator.faults.responses import Status

HEAD = """POST {path} HTTP/1.1\r
Host: 127.0.0.1\r
X-Api-Key: any\r
Anthropic-Version: 2023-06-01\r
Anthropic-Beta: managed-agents-2026-04-01\r
Content-Type: application/json\r
Content-Length: 1000\r
\r
{{"model": """


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/sessions"])
@pytest.mark.parametrize("faulty", [False, True])
def test_a_client_that_leaves_before_it_has_said_all_is_not_complained_about(
    simulation: Any, caplog: pytest.LogCaptureFixture, path: str, *, faulty: bool
) -> None:
    config: SimulatorConfig = simulation()
    with caplog.at_level(logging.WARNING), Simulator(config) as simulator:
        if faulty:
            simulator.inject(Rule(on="messages.create", scenario="never said", fault=Status(status=529)))
        address = urllib.parse.urlsplit(simulator.base_url)
        assert address.hostname is not None
        for _ in range(3):
            with socket.create_connection((address.hostname, address.port or 0)) as client:
                client.sendall(HEAD.format(path=path).encode())
        assert httpx2.get(f"{simulator.base_url}/simulator").status_code == 200
    assert [record.getMessage() for record in caplog.records] == []
