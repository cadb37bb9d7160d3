from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dispatcher.audit.migrate import head
from dispatcher.cli.migrate import migrate
from dispatcher.errors import SourceUnreachable


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "log" / "dispatcher.db"
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", f"sqlite:///{file}")
    return file


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(migrate, arguments)


def test_a_dry_run_prints_the_statements_and_makes_nothing(file: Path) -> None:
    result = _run("--dry-run")
    assert result.exit_code == 0
    assert "CREATE TABLE ai_outbound_logs (" in result.output
    assert not file.parent.exists()


def test_migrating_twice_does_nothing_the_second_time(file: Path) -> None:
    nothing = f"the schema is at {head()} already; nothing to do\n"
    assert _run().output == f"migrated to {head()}\n"
    assert file.exists()
    assert _run().output == nothing
    assert _run("--dry-run").output == f"-- {nothing}"


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_a_database_that_cannot_be_used_is_one_clear_error(file: Path, arguments: tuple[str, ...]) -> None:
    file.mkdir(parents=True)
    result = _run(*arguments)
    assert isinstance(result.exception, SourceUnreachable)
    assert "it is a directory" in str(result.exception)
