"""`dispatcher doctor` sees what is wrong, says what to do about it, and leaves nothing behind."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dispatcher.audit.append_only import INSERT_ONLY, removing
from dispatcher.audit.checkup import Check, check_database
from dispatcher.audit.engine import connect, granted, migrate_database, restore_triggers
from dispatcher.audit.revision import VERSION_TABLE
from dispatcher.audit.tables import logs
from dispatcher.cli import run

ROOT = Path(__file__).parents[2]
ROW: dict[str, Any] = {
    "log_id": "1", "dispatch_id": "d", "attempt": 1, "role": "served", "origin": "production", "time_scale": 1.0,
    "feature": "f", "tenant": "t", "status": "started",
}  # fmt: skip


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture
def engine(any_url: str) -> Iterator[sa.Engine]:
    migrate_database(any_url)
    engine = connect(any_url)
    yield engine
    engine.dispose()


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    monkeypatch.setenv("DISPATCHER_POLICIES_DIR", str(tmp_path / "policies"))
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", f"sqlite:///{tmp_path}/log/dispatcher.db")
    return tmp_path / "policies"


@pytest.fixture
def told(policies: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[int, dict[str, dict[str, str]]]]:
    """What the verb answers: its exit code, and its checks by subject."""

    def ask() -> tuple[int, dict[str, dict[str, str]]]:
        code = run(["doctor", "--json"])
        return code, {check["subject"]: check for check in json.loads(capsys.readouterr().out)}

    return ask


def checked(engine: sa.Engine, clock: Callable[[], dt.datetime] = now) -> dict[str, Check]:
    url = engine.url.render_as_string(hide_password=False)
    return {check.subject: check for check in check_database(url, clock)}


def execute(engine: sa.Engine, *statements: Any) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(sa.text(statement) if isinstance(statement, str) else statement)


def test_a_fresh_machine_has_nothing_that_fails_and_nothing_is_made(told: Any, tmp_path: Path) -> None:
    code, checks = told()
    assert code == 0
    assert list(checks) == ["database", "sqlite", "spool", "gaps", "policies", "prices", "flags"]
    assert {check["outcome"] for name, check in checks.items() if name != "sqlite"} == {"ok"}
    assert not (tmp_path / "log").exists()


def test_every_line_says_how_it_stands_and_every_one_that_is_not_ok_what_to_do(
    policies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (policies / "prices.yml").write_text("nonsense: [")
    assert run(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    outcomes = [line[:5].strip() for line in lines]
    assert set(outcomes) == {"ok", "warn", "fail", ""} - ({"warn"} if "warn" not in outcomes else set())
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        assert line.startswith(("warn ", "fail ")) == following.startswith("     → ")
    assert any(line.startswith("fail prices: ") for line in lines)


def test_a_log_in_order_is_said_to_be_and_nothing_is_left_in_it(engine: sa.Engine) -> None:
    checks = checked(engine)
    assert list(checks) == ["database", "sqlite", "schema", "append-only", "role", "clock", "open rows"]
    assert {checks[name].outcome for name in ("database", "schema", "append-only", "clock", "open rows")} == {"ok"}
    assert "each try was refused by a trigger" in checks["append-only"].finding
    assert checks["role"].outcome == ("ok" if engine.dialect.name == "sqlite" else "warn")
    with engine.connect() as connection:
        for table in (logs, *INSERT_ONLY):
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 0


def test_triggers_that_were_taken_away_are_seen_although_the_schema_is_the_newest(engine: sa.Engine) -> None:
    execute(engine, *removing(engine.dialect.name))
    check = checked(engine)["append-only"]
    assert check.outcome == "fail"
    assert "carries out UPDATE on ai_outbound_logs, DELETE on ai_outbound_logs" in check.finding
    assert "dispatcher migrate" in str(check.fix)
    restore_triggers(engine.url.render_as_string(hide_password=False))
    assert checked(engine)["append-only"].outcome == "ok"


@pytest.mark.parametrize("any_url", ["sqlite", "postgresql"], indirect=True)
def test_a_trigger_is_missed_though_each_try_is_refused_by_another_one(engine: sa.Engine) -> None:
    """Without it the tenant or the moment of a row that has ended changes."""
    on = " ON ai_outbound_logs" if engine.dialect.name == "postgresql" else ""
    execute(engine, f"DROP TRIGGER ai_outbound_logs_keeps_opening{on}")
    check = checked(engine)["append-only"]
    assert (check.outcome, check.finding) == ("fail", "there is no trigger ai_outbound_logs_keeps_opening")
    restore_triggers(engine.url.render_as_string(hide_password=False))
    assert checked(engine)["append-only"].outcome == "ok"


@pytest.mark.parametrize("any_url", ["postgresql"], indirect=True)
def test_a_trigger_that_is_there_and_switched_off_is_seen(engine: sa.Engine) -> None:
    execute(engine, "ALTER TABLE ai_outbound_calls DISABLE TRIGGER ai_outbound_calls_keeps_rows")
    assert "carries out DELETE on ai_outbound_calls" in checked(engine)["append-only"].finding
    restore_triggers(engine.url.render_as_string(hide_password=False))
    assert checked(engine)["append-only"].outcome == "ok"


@pytest.mark.parametrize("any_url", ["postgresql", "mariadb"], indirect=True)
def test_a_serving_role_with_its_rights_has_nothing_to_be_warned_of(engine: sa.Engine) -> None:
    postgresql = engine.dialect.name == "postgresql"
    execute(engine, "CREATE ROLE serving LOGIN" if postgresql else "CREATE USER serving@localhost")
    try:
        as_serving = connect(engine.url.set(username="serving").render_as_string(hide_password=False))
        serving = "serving" if postgresql else "serving@localhost"
        execute(engine, f"GRANT SELECT ON {VERSION_TABLE} TO {serving}")
        assert checked(as_serving)["role"].outcome == "fail"
        assert "INSERT on ai_outbound_logs" in checked(as_serving)["role"].finding
        granted(engine.url.render_as_string(hide_password=False), serving, dry_run=False)
        checks = checked(as_serving)
        assert {check.outcome for name, check in checks.items() if name != "sqlite"} == {"ok"}
        assert "refused by a trigger or refused for want of rights" in checks["append-only"].finding
        as_serving.dispose()
    finally:
        execute(
            engine, *(["DROP OWNED BY serving", "DROP ROLE serving"] if postgresql else ["DROP USER serving@localhost"])
        )


@pytest.mark.parametrize(("revision", "words"), [("0003", "0003 is older than"), ("9999", "9999 is newer than this")])
def test_another_schema_fails_and_nothing_else_is_tried(engine: sa.Engine, revision: str, words: str) -> None:
    execute(engine, f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'")
    try:
        checks = checked(engine)
        assert (checks["schema"].outcome, words in checks["schema"].finding) == ("fail", True)
        assert list(checks) == ["database", "sqlite", "schema"]
    finally:
        execute(engine, f"DELETE FROM {VERSION_TABLE}")


@pytest.mark.parametrize(("ahead", "outcome"), [(0.5, "ok"), (5, "warn"), (-5, "warn"), (90, "fail"), (-90, "fail")])
def test_clocks_that_differ_are_seen(engine: sa.Engine, ahead: float, outcome: str) -> None:
    assert checked(engine, lambda: now() + dt.timedelta(seconds=ahead))["clock"].outcome == outcome


def test_a_clock_of_the_database_that_went_back_is_seen(engine: sa.Engine) -> None:
    later = now() + dt.timedelta(hours=1)
    execute(engine, sa.insert(logs).values(**ROW, created_at=now(), recorded_at=later))
    check = checked(engine)["clock"]
    assert (check.outcome, "the database's clock went back" in check.finding) == ("warn", True)


def test_rows_past_their_deadline_are_counted(engine: sa.Engine) -> None:
    ended = {"log_id": "2", "status": "success"}
    for row in (ROW, ROW | ended, ROW | {"log_id": "3", "deadline_at": now()}):
        execute(
            engine, sa.insert(logs).values({"deadline_at": now() - dt.timedelta(hours=1), "created_at": now()} | row)
        )
    ahead, hour = now() + dt.timedelta(days=365), dt.timedelta(hours=1)
    of_a_wrong_clock = {
        "log_id": "4",
        "created_at": ahead,
        "deadline_at": ahead + hour,
        "recorded_at": now() - 2 * hour,
    }
    execute(engine, sa.insert(logs).values(ROW | of_a_wrong_clock))
    check = checked(engine)["open rows"]
    assert (check.outcome, check.finding.partition(" ")[0]) == ("warn", "2")
    assert "dispatcher logs sweep" in str(check.fix)


def test_a_database_that_is_not_there_fails_and_the_rest_is_looked_at_all_the_same(
    told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", "postgresql+psycopg://ada:s3cret@127.0.0.1:1/name")
    code, checks = told()
    assert code == 1
    assert checks["database"]["outcome"] == "fail"
    assert "s3cret" not in json.dumps(checks)
    assert checks["policies"]["outcome"] == "ok"


def test_a_spool_that_cannot_be_written_fails(told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DISPATCHER_SPOOL_DIR", str(tmp_path / "file" / "spool"))
    code, checks = told()
    assert (code, checks["spool"]["outcome"]) == (1, "fail")
    monkeypatch.setenv("DISPATCHER_SPOOL_DIR", "/proc/spool")
    assert told()[1]["spool"]["outcome"] == "fail"


@pytest.mark.parametrize(("file", "subject"), [("flags.json", "flags"), ("agent_research.yml", "policies")])
def test_a_file_that_cannot_be_used_fails(told: Any, policies: Path, file: str, subject: str) -> None:
    (policies / file).write_text("{")
    code, checks = told()
    assert (code, checks[subject]["outcome"]) == (1, "fail")


def test_a_kill_switch_that_is_on_is_a_warning(told: Any, policies: Path) -> None:
    (policies / "KILL").touch()
    code, checks = told()
    assert (code, checks["flags"]["outcome"]) == (0, "warn")
    assert "every action goes to legacy" in checks["flags"]["finding"]
