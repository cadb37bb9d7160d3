"""From the environment to a decision by a server's flags."""

from __future__ import annotations

from pathlib import Path

import pytest
from flag_server_world import TOKEN, World, choosing, good, until
from routing_documents import POLICIES, action

from dispatcher.action.decision import Reason
from dispatcher.settings import load_settings
from dispatcher.wiring.routers import build_router


def test_with_address_and_token_the_server_decides_and_the_file_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = tmp_path / "policies"
    policies.mkdir()
    for name in ("agent_research.yml", "repositories.yml"):
        (policies / name).write_bytes((POLICIES / name).read_bytes())
    monkeypatch.setenv("DISPATCHER_POLICIES_DIR", str(policies))
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", f"sqlite:///{tmp_path}/log.db")
    with World().serving(good(choosing("legacy-cached"))) as world:
        monkeypatch.setenv("DISPATCHER_UNLEASH_URL", world.url)
        monkeypatch.setenv("DISPATCHER_UNLEASH_TOKEN", TOKEN)
        monkeypatch.setenv("DISPATCHER_UNLEASH_REFRESH_S", "0.1")
        router = build_router(load_settings())
        first = router.decide(action(), mountable=True, unit="d-1")
        world.answering = good(choosing("legacy"))
        until(lambda: router.decide(action(), mountable=True, unit="d-1").variant.name == "legacy")
        router.flags.stop()

    assert (first.variant.name, first.reason, first.flag_stale) == ("legacy-cached", Reason.FLAG, False)
    assert list((tmp_path / "flag-state").iterdir()) != []
