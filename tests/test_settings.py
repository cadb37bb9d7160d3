"""Settings and the kill switch's bare look."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dispatcher.errors import InvalidSettings
from dispatcher.settings import load_settings, look_at_kill_switch


def test_paths_are_absolute_at_start_so_that_a_later_change_of_directory_moves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    monkeypatch.chdir("/")

    assert settings.policies_dir == tmp_path / "policies"
    assert settings.kill_switch_file == tmp_path / "policies" / "KILL"
    assert settings.database_url.get_secret_value() == f"sqlite:///{tmp_path}/.dispatcher/dispatcher.db"


@pytest.mark.parametrize("url", ["postgresql+psycopg://u:p@h/db", "sqlite:////var/log.db", "sqlite://"])
def test_an_absolute_or_foreign_database_url_is_left_alone(url, monkeypatch):
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", url)

    assert load_settings().database_url.get_secret_value() == url


def test_the_environment_names_each_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("DISPATCHER_KILL_FILE", str(tmp_path / "stop"))
    monkeypatch.setenv("DISPATCHER_ADRS_DIR", str(tmp_path / "records"))
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    settings = load_settings()

    assert settings.kill_switch_file == tmp_path / "stop"
    assert settings.adrs_dir == tmp_path / "records"
    assert settings.anthropic_base_url == "http://127.0.0.1:9"


def test_no_secret_is_in_a_repr(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-very-secret")
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", "postgresql://u:hunter2@h/db")
    shown = repr(load_settings())

    assert "very-secret" not in shown
    assert "hunter2" not in shown


def test_a_bad_value_is_one_clear_error_without_the_value():
    with pytest.raises(InvalidSettings, match="policies_dir") as caught:
        load_settings(policies_dir=3.5, anthropic_api_key=7)

    assert len(caught.value.problems) == 2


def test_without_a_kill_switch_the_look_sees_nothing(tmp_path):
    assert look_at_kill_switch(tmp_path / "KILL") is None


@pytest.mark.parametrize("value", ["legacy", "", "managed", "off", "  "])
def test_any_value_of_the_variable_counts_as_set(value, tmp_path, monkeypatch):
    monkeypatch.setenv("DISPATCHER_FORCE_PATH", value)

    assert look_at_kill_switch(tmp_path / "KILL") == ("DISPATCHER_FORCE_PATH", value.strip())


@pytest.mark.parametrize("content", ["legacy\n", "", "anything", "\udcff"])
def test_a_kill_file_counts_whatever_it_holds(content, tmp_path):
    kill_file = tmp_path / "KILL"
    kill_file.write_bytes(content.encode(errors="surrogateescape"))
    seen = look_at_kill_switch(kill_file)

    assert seen is not None
    assert seen[0] == str(kill_file)


def test_a_kill_file_that_cannot_be_read_counts(tmp_path):
    (tmp_path / "KILL").mkdir()

    assert look_at_kill_switch(tmp_path / "KILL") == (str(tmp_path / "KILL"), "unreadable: not a regular file")


def test_a_pipe_in_the_kill_files_place_counts_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "KILL")

    assert look_at_kill_switch(tmp_path / "KILL") == (str(tmp_path / "KILL"), "unreadable: not a regular file")


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch, tmp_path):
    monkeypatch.setenv("DISPATCHER_KILL_FILE", "")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "")
    settings = load_settings(policies_dir=tmp_path)

    assert settings.kill_switch_file == tmp_path / "KILL"
    assert settings.anthropic_base_url == "https://api.anthropic.com"


def test_an_address_without_a_scheme_is_refused(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "127.0.0.1:8765")

    with pytest.raises(InvalidSettings, match=r"ANTHROPIC_BASE_URL: .*https://"):
        load_settings()


def test_a_kill_file_below_a_file_counts_as_it_is_not_plainly_absent(tmp_path):
    (tmp_path / "policies").write_text("not a directory")

    assert look_at_kill_switch(tmp_path / "policies" / "KILL") is not None


def test_a_link_to_nothing_in_the_kill_files_place_counts(tmp_path):
    (tmp_path / "KILL").symlink_to(tmp_path / "gone")

    assert look_at_kill_switch(tmp_path / "KILL") == (str(tmp_path / "KILL"), "unreadable: a link to nothing")


def test_of_a_long_value_the_beginning_is_told(tmp_path, monkeypatch):
    (tmp_path / "KILL").write_text("x" * 100_000)
    of_file = look_at_kill_switch(tmp_path / "KILL")
    monkeypatch.setenv("DISPATCHER_FORCE_PATH", "x" * 100_000)

    assert [len(seen[1]) for seen in (of_file, look_at_kill_switch(tmp_path / "KILL"))] == [200, 200]


def test_the_switch_is_looked_at_on_every_call(tmp_path):
    kill_file = Path(tmp_path / "KILL")
    before = look_at_kill_switch(kill_file)
    kill_file.write_text("legacy")
    during = look_at_kill_switch(kill_file)
    kill_file.unlink()

    assert (before, during, look_at_kill_switch(kill_file)) == (None, (str(kill_file), "legacy"), None)


SERVER = {"unleash_url": "http://127.0.0.1:4242", "unleash_token": "default:development.secret"}


def test_a_flag_server_needs_its_address_and_its_token(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load_settings(**SERVER)

    assert settings.unleash_url == SERVER["unleash_url"]
    assert settings.unleash_refresh_s == 5
    assert settings.flag_state_dir == tmp_path / ".dispatcher" / "flag-state"
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"unleash_token": None}, "DISPATCHER_UNLEASH_TOKEN is missing"),
        ({"unleash_url": None}, "DISPATCHER_UNLEASH_URL is missing"),
        ({"unleash_url": "127.0.0.1:4242"}, "unleash_url: is not an address of the form http"),
        ({"unleash_url": "http://me:secret@flags.example"}, "unleash_url: holds a user or a password"),
        ({"unleash_token": "two\nsecret lines"}, "unleash_token: holds a blank, a line end or a character"),
        ({"unleash_refresh_s": 0}, "unleash_refresh_s: Input should be greater than or equal to 0.1"),
    ],
)
def test_a_flag_server_that_cannot_be_asked_is_one_clear_error_without_the_value(given, problem):
    with pytest.raises(InvalidSettings) as caught:
        load_settings(**{**SERVER, **given})

    assert caught.value.problems[0].startswith(problem)
    assert "secret" not in str(caught.value)


def test_the_state_of_a_flag_server_is_kept_beside_the_database_or_where_it_is_told(tmp_path):
    beside = load_settings(database_url=f"sqlite:///{tmp_path}/log.db")
    told = load_settings(database_url="postgresql://u:p@h/db", unleash_state_dir=tmp_path / "x")

    assert beside.flag_state_dir == tmp_path / "flag-state"
    assert told.flag_state_dir == tmp_path / "x"


@pytest.mark.parametrize("hours", ["0", "inf", "nan", "1e300"])
def test_an_age_that_no_calendar_has_is_refused(hours, monkeypatch):
    monkeypatch.setenv("DISPATCHER_SPOOL_MAX_AGE_H", hours)
    with pytest.raises(InvalidSettings, match="spool_max_age_h"):
        load_settings()
