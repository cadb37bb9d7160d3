from __future__ import annotations

import sqlite3

import pytest
import yaml

from dispatcher import Repository, ResearchAction
from dispatcher.wiring.serving import build_dispatcher

URL = "https://github.com/example/checkout"


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
def rows(live_settings):
    path = live_settings.database_url.get_secret_value().removeprefix("sqlite:///")

    def read(sql="SELECT * FROM ai_outbound_logs ORDER BY created_at"):
        with sqlite3.connect(path) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql)]

    return read


@pytest.fixture
def ask(checkout):
    def action(tenant="umbrella", **more):
        more.setdefault("question", "Where is the greeting computed?")
        return ResearchAction(tenant=tenant, repository=Repository(path=checkout, github_url=URL), **more)

    return action
