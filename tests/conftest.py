"""What every test stands on: a scrubbed environment, so that no test can reach a provider or read a developer's keys."""

from __future__ import annotations

import os

import pytest

_PREFIXES = ("ANTHROPIC_", "DISPATCHER_")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def scrubbed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, no address and no proxy of the machine reaches a test."""
    for name in os.environ:
        if name.startswith(_PREFIXES) or name in _PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
