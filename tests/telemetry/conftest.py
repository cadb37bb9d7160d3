from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

# A frozen clock replaces datetime.date, of which pydantic can't build a model: what has dates in it is imported before.
import dispatcher.telemetry.published  # noqa: F401
from dispatcher.audit.engine import open_engine
from dispatcher.audit.tables import logs
from dispatcher.telemetry.export_parts import Form
from dispatcher.telemetry.import_map import ImportMap, read_map

ROOT = Path(__file__).parents[2]
SHARED = ROOT / ".." / "shared" / "data"


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """A file of the shared data sets; without it the test is skipped, except in CI, where it must be there."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            assert "CI" not in os.environ, f"the shared data set {name} is not beside the checkout"
            pytest.skip(f"the shared data set {name} is not beside the checkout")
        return path

    return find


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """A log of its own, on SQLite."""
    engine = open_engine(f"sqlite:///{tmp_path}/log.db")
    yield engine
    engine.dispose()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture(params=list(Form))
def form(request: pytest.FixtureRequest) -> Form:
    if request.param is Form.PARQUET:
        pytest.importorskip("pyarrow")
    return request.param  # type: ignore[no-any-return]


MAP = """\
schema: 1
source: bench
key: [id]
columns:
  status: {from: outcome, map: {ok: success, bad: error, "": lost}}
  response_time_ms: {from: wall, unit: ms}
  cost_nanousd: {from: cost, unit: usd}
  output_tokens: {from: tokens}
  created_at: {from: at}
constants: {feature: agent_research, tenant: bench}
"""

HEADER = "id,outcome,wall,cost,tokens,at\n"
LINES = "a,ok,100,0.5,7,2026-01-01T00:00:00Z\nb,bad,200,0,0,2026-01-02T00:00:00+02:00\nc,,,,,2026-01-03T00:00:00Z\n"


@pytest.fixture
def column_map(tmp_path: Path) -> Callable[..., ImportMap]:
    """`column_map((old, new), …)`: the map of the small sample, with edits."""

    def build(*edits: tuple[str, str]) -> ImportMap:
        text = MAP
        for old, new in edits:
            assert old in text, f"{old!r} is not in the map"
            text = text.replace(old, new)
        path = tmp_path / "map.yml"
        path.write_text(text)
        return read_map(path)

    return build


@pytest.fixture
def sample(tmp_path: Path) -> Callable[..., Path]:
    """`sample(lines)`: a CSV file with the small sample's header and these lines."""

    def write(lines: str | bytes = LINES, *, header: str = HEADER, name: str = "runs.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(header.encode() + (lines.encode() if isinstance(lines, str) else lines))
        return path

    return write


@pytest.fixture
def rows(engine: sa.Engine) -> Callable[[], list[sa.RowMapping]]:
    """All rows of the log by id."""

    def read() -> list[sa.RowMapping]:
        with engine.connect() as connection:
            return list(connection.execute(sa.select(logs).order_by(logs.c.created_at)).mappings())

    return read
