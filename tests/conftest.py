"""What every test stands on: a scrubbed environment, so that no test reaches a provider or reads somebody's keys."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import freezegun
import hypothesis
import pytest

# freezegun reads every public name of a package, and would import the lazy ones' modules under its frozen clock.
import dispatcher.prices  # noqa: F401

# A frozen monotonic clock lies decades ahead: a timer that an event loop on another thread sets meanwhile, such as the
# simulator's, would never fire again.
freezegun.configure(extend_ignore_list=["asyncio"])

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

if TYPE_CHECKING:
    import sqlalchemy as sa
    from database_servers import Place
    from databases import Databases

    from dispatcher.settings import Settings
    from dispatcher.simulator.server import Simulator

PROJECT = Path(__file__).resolve().parent.parent

_PREFIXES = ("ANTHROPIC_", "DISPATCHER_")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def scrubbed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, no address and no proxy of the machine reaches a test."""
    for name in os.environ:
        if name.startswith(_PREFIXES) or name in _PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


QUESTION = "Where is the greeting computed?"
GITHUB_URL = "https://github.com/example/checkout"


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small git repository with one commit, for research that costs little."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "greeting.py").write_text("def greeting(name):\n    return f'Hello, {name}'\n")
    (root / "main.py").write_text("from greeting import greeting\n\nprint(greeting('world'))\n")
    (root / "README.md").write_text("# Greeter\n\nThe greeting is computed in greeting.py.\n")
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    for command in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "Start")):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    return root


@pytest.fixture(scope="session")
def live_simulator(checkout: Path) -> Iterator[Simulator]:
    """The loopback API, without waits, with the checkout behind the example address."""
    from dispatcher.simulator.config import SimulatorConfig  # noqa: PLC0415 - only what needs it pays for it
    from dispatcher.simulator.server import Simulator  # noqa: PLC0415

    config = SimulatorConfig(
        repositories={GITHUB_URL: checkout}, time_scale=0, prices=PROJECT / "policies" / "prices.yml"
    )
    with Simulator(config) as simulator:
        yield simulator


@pytest.fixture(scope="session")
def empty_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the newest schema and no row: copying it costs a tenth of what making it does."""
    from dispatcher.audit.engine import open_engine  # noqa: PLC0415 - only what needs it pays for it

    file = tmp_path_factory.mktemp("empty-log") / "log.db"
    open_engine(f"sqlite:///{file}").dispose()
    return file


@pytest.fixture
def live_settings(live_simulator: Simulator, empty_log: Path, tmp_path: Path) -> Settings:
    """Settings of a dispatcher on the simulator, with a log and policies of its own."""
    from dispatcher.settings import load_settings  # noqa: PLC0415

    shutil.copy(empty_log, tmp_path / "log.db")
    shutil.copytree(PROJECT / "policies", tmp_path / "policies")
    return load_settings(
        database_url=f"sqlite:///{tmp_path}/log.db",
        policies_dir=tmp_path / "policies",
        adrs_dir=PROJECT / "adrs",
        ANTHROPIC_BASE_URL=live_simulator.base_url,
    )


@pytest.fixture
def live_environment(live_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which the command line has the live settings."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", live_settings.anthropic_base_url)
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", live_settings.database_url.get_secret_value())
    monkeypatch.setenv("DISPATCHER_POLICIES_DIR", str(live_settings.policies_dir))
    return monkeypatch


@pytest.fixture(scope="session")
def database_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """A real PostgreSQL and a real MariaDB, shared by the workers of a run."""
    from database_servers import running_servers, why_absent  # noqa: PLC0415 - only what needs it pays for it

    absent = why_absent()
    if absent and os.environ.get("CI"):
        pytest.fail(absent)
    if absent:
        pytest.skip(absent)
    base = tmp_path_factory.getbasetemp()
    with running_servers((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "databases") as servers:
        yield servers


@pytest.fixture(scope="session")
def database_places(database_servers: Databases) -> Iterator[dict[str, Place]]:
    """A database of each server, for this process."""
    from database_servers import SERVERS, Place  # noqa: PLC0415 - as above

    places = {name: Place(database_servers, name) for name in SERVERS}
    yield places
    for place in places.values():
        place.close()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def any_url(request: pytest.FixtureRequest, empty_log: Path, tmp_path: Path) -> str:
    """The URL of an empty log on every engine in turn."""
    if request.param == "sqlite":
        (tmp_path / "log").mkdir()
        file = shutil.copy(empty_log, tmp_path / "log" / "dispatcher.db")
        return f"sqlite:///{file}"
    places: dict[str, Place] = request.getfixturevalue("database_places")
    return places[request.param].migrated()


@pytest.fixture
def any_engine(any_url: str) -> Iterator[sa.Engine]:
    """An empty log on every engine in turn."""
    from dispatcher.audit.engine import open_engine  # noqa: PLC0415 - as above

    engine = open_engine(any_url)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def any_bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any table on every engine in turn; on SQLite the file isn't there yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/dispatcher.db"
    places: dict[str, Place] = request.getfixturevalue("database_places")
    return places[request.param].bare()


@pytest.fixture(params=["postgresql", "mariadb"])
def server_url(request: pytest.FixtureRequest, database_places: dict[str, Place]) -> str:
    """The URL of an empty log on every server in turn."""
    return database_places[request.param].migrated()
