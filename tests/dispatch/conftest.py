from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest
import yaml
from sticky_talk import Talk, rule

from dispatcher import Repository, ResearchAction
from dispatcher.routing.flags.file import LOOK_EVERY_S
from dispatcher.simulator.config import SimulatorConfig
from dispatcher.simulator.server import Simulator
from dispatcher.wiring.serving import build_dispatcher

URL = "https://github.com/example/checkout"
PRICES = Path(__file__).parents[2] / "policies" / "prices.yml"


@pytest.fixture
def own_simulator(checkout):
    """A simulator in which no other test has left anything."""
    with Simulator(SimulatorConfig(repositories={URL: checkout}, time_scale=0, prices=PRICES)) as simulator:
        yield simulator


@pytest.fixture
def dispatcher(live_settings):
    made = build_dispatcher(live_settings)
    yield made
    made.close()


def _with_conduct(settings, **sections):
    """A dispatcher whose policy states these sections of `conduct`."""
    file = settings.policies_dir / "agent_research.yml"
    policy = yaml.safe_load(file.read_text())
    policy["conduct"] |= sections
    file.write_text(yaml.safe_dump(policy))
    return build_dispatcher(settings)


@pytest.fixture
def keeping_dispatcher(live_settings):
    kinds = ("conversations", "results")
    made = _with_conduct(live_settings, keep={kind: {"ttl": "1h", "max_bytes": 1_000_000} for kind in kinds})
    yield made
    made.close()


@pytest.fixture
def budgeted_dispatcher(live_settings):
    made = _with_conduct(live_settings, budgets={"tenants": {"acme": {"usd": 3, "per": "month"}}})
    yield made
    made.close()


@pytest.fixture
def database(live_settings):
    """The file that the log is in."""
    return live_settings.database_url.get_secret_value().removeprefix("sqlite:///")


@pytest.fixture
def rows(database):
    def read(sql="SELECT * FROM ai_outbound_logs ORDER BY created_at"):
        with sqlite3.connect(database) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql)]

    return read


@pytest.fixture
def ask(checkout):
    def action(tenant="umbrella", **more):
        more.setdefault("question", "Where is the greeting computed?")
        return ResearchAction(tenant=tenant, repository=Repository(path=checkout, github_url=URL), **more)

    return action


@pytest.fixture
def flip(live_settings):
    """Put a flag in force; a dispatcher sees it at its next look at the file."""

    def write(*rules, enabled=True):
        flag = {"name": "agent-research", "enabled": enabled, "strategies": list(rules)}
        file = live_settings.policies_dir / "flags.new"
        file.write_text(json.dumps({"version": 2, "features": [flag]}))
        file.replace(live_settings.policies_dir / "flags.json")
        time.sleep(LOOK_EVERY_S)

    write(rule(99))
    return write


@pytest.fixture
def talk(ask):
    return Talk(ask)
