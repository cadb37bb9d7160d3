"""`dispatcher logs retention`: by the policy, by the option, against the evidence of a registered record."""

from __future__ import annotations

import datetime as dt
import json

import pytest
import sqlalchemy as sa
from open_rows import left_open, now_of

from dispatcher.audit.engine import open_engine
from dispatcher.audit.evidence_tables import registrations
from dispatcher.audit.record import new_log_id
from dispatcher.audit.tables import logs
from dispatcher.cli import run

DAY = dt.timedelta(days=1)


@pytest.fixture
def engine(live_settings):
    engine = open_engine(live_settings.database_url.get_secret_value())
    yield engine
    engine.dispose()


@pytest.fixture
def retention(live_settings, monkeypatch, capsys):
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", live_settings.database_url.get_secret_value())
    monkeypatch.setenv("DISPATCHER_POLICIES_DIR", str(live_settings.policies_dir))
    monkeypatch.setenv("DISPATCHER_ADRS_DIR", str(live_settings.adrs_dir))

    def carry_out(*options, code=0):
        capsys.readouterr()
        assert run(["logs", "retention", *options]) == code
        return capsys.readouterr()

    return carry_out


def ended(engine, age, **changes):
    moment = now_of(engine) - age
    return left_open(engine, created_at=moment, recorded_at=moment, status="success", **changes)


def count(engine):
    with engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(logs)).scalar_one()


def state(live_settings, section):
    with (live_settings.policies_dir / "agent_research.yml").open("a") as file:
        file.write(section)


def registered(engine, record, since):
    block = json.dumps({"feature": "agent_research", "criteria": []})
    row = {"registration_id": new_log_id(), "record": record, "origin": "production", "epoch": 1, "start_at": since}
    hashes = {"candidate_hash": "c", "record_hash": "r", "registered_at": since, "block": block}
    with engine.begin() as connection:
        connection.execute(sa.insert(registrations).values(row | hashes))


def test_without_a_word_in_the_policy_rows_are_kept_for_good(retention, engine):
    ended(engine, 4000 * DAY)
    assert "kept for good: the policy states no log.keep_rows" in retention().out
    assert json.loads(retention("--json").out)["before"] is None
    assert count(engine) == 1


def test_the_policy_says_how_long_rows_are_kept_and_a_dry_run_deletes_nothing(retention, engine, live_settings):
    ended(engine, 401 * DAY)
    ended(engine, 399 * DAY)
    state(live_settings, "log: {keep_rows: 400d}\n")
    said = retention("--dry-run").out
    assert "1 rows of the log from before" in said
    assert "would be deleted" in said
    assert count(engine) == 2
    report = json.loads(retention("--json").out)
    assert (report["rows"], report["needed"], report["dry_run"]) == (1, [], False)
    assert count(engine) == 1
    assert json.loads(retention("--json", "--older-than", "398d").out)["rows"] == 1


@pytest.mark.parametrize(
    ("span", "words"),
    [
        ("31d", "so 32d at least"),
        ("soon", "write a whole number and s, m, h or d"),
        ("900000d", "longer than a century"),
    ],
)
def test_a_span_that_cannot_be_kept_is_refused_before_anything_is_deleted(
    retention, engine, live_settings, span, words
):
    ended(engine, 4000 * DAY)
    assert words in retention("--older-than", span, code=2).err
    state(live_settings, f"log: {{keep_rows: {span}}}\n")
    said = retention(code=2).err
    assert "log.keep_rows" in said
    assert words in said
    assert count(engine) == 1


def test_rows_that_a_registered_record_needs_are_kept_unless_forced(retention, engine):
    ended(engine, 401 * DAY)
    registered(engine, "KD-0650", now_of(engine) - 500 * DAY)
    refused = retention("--older-than", "400d", code=2)
    assert "error: no row of the log was deleted: 1 of them since" in refused.err
    assert "are evidence of KD-0650 (production)" in refused.err
    report = json.loads(retention("--older-than", "400d", "--dry-run", "--json", code=2).out)
    assert [(one["record"], one["origin"], one["rows"]) for one in report["needed"]] == [("KD-0650", "production", 1)]
    assert count(engine) == 1
    assert json.loads(retention("--older-than", "400d", "--force", "--json").out)["rows"] == 1
    assert count(engine) == 0


def test_a_record_that_waits_for_no_verdict_any_more_keeps_nothing(
    retention, engine, live_settings, tmp_path, monkeypatch
):
    ended(engine, 401 * DAY)
    registered(engine, "KD-0650", now_of(engine) - 500 * DAY)
    (tmp_path / "adrs").mkdir()
    [source] = live_settings.adrs_dir.glob("KD-0650-*.md")
    record, file = source.read_text(), tmp_path / "adrs" / source.name
    monkeypatch.setenv("DISPATCHER_ADRS_DIR", str(file.parent))
    for status, code in (("accepted", 2), ("rejected", 0)):
        lines = [f"status: {status}" if line.startswith("status:") else line for line in record.splitlines()]
        file.write_text("\n".join(lines) + "\n")
        retention("--older-than", "400d", code=code)
    assert count(engine) == 0


def test_the_role_that_deletes_is_the_admin_one_where_it_is_named(retention, engine, tmp_path, monkeypatch):
    ended(engine, 401 * DAY)
    other = open_engine(f"sqlite:///{tmp_path}/other.db")
    ended(other, 401 * DAY)
    monkeypatch.setenv("DISPATCHER_ADMIN_DATABASE_URL", f"sqlite:///{tmp_path}/other.db")
    retention("--older-than", "400d")
    assert (count(engine), count(other)) == (1, 0)
    other.dispose()
