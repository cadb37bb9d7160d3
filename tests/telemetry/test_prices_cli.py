"""The verbs `prices` and `logs export`: what they print, and their exit codes."""

import json

import pytest
from money_rows import put, put_turn

from dispatcher.cli import run
from dispatcher.cli.prices import dollars


@pytest.fixture
def cli(engine, root, monkeypatch, capsys):
    """`cli(*arguments)` → (exit code, standard output, standard error), on the test's log."""
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", str(engine.url))
    monkeypatch.setenv("DISPATCHER_POLICIES_DIR", str(root / "policies"))

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def test_a_log_that_adds_up_checks_with_exit_code_0(cli, engine):
    put(engine, "a")
    put_turn(engine, "b")

    code, out, err = cli("prices", "check")

    assert (code, err) == (0, "")
    assert out == (
        "2 rows priced by this program, held against prices 2026-11-21: 2 add up, 0 have no known cost\n"
        "1 managed sessions: 1 within a cent of the platform's list cost, 0 beyond it, 0 still open, "
        "0 without both figures\n"
    )


def test_what_does_not_add_up_is_named_with_exit_code_1(cli, engine):
    put(engine, "a", cost_nanousd=1)
    put_turn(engine, "b", 5)

    code, out, _ = cli("prices", "check")

    assert code == 1
    assert "\n  parts_differ: 1, such as a\n" in out
    assert "\n  sesn_1: 0.0065 USD by us, 0.05 USD by the platform\n" in out


def test_the_check_as_json(cli, engine):
    put_turn(engine, "b", 5)

    code, out, _ = cli("prices", "check", "--json")
    document = json.loads(out)

    assert code == 1
    assert (document["rows"]["tied"], document["sessions"]["differ"]) == (1, 1)
    assert document["sessions"]["differing"][0]["difference_nanousd"] == 50_000_000 - 6_500_000
    assert document["sessions"]["dry_run"] is True


def test_a_repricing_says_what_it_appends_and_again_that_there_was_nothing_to_do(cli, engine):
    put(engine, "a", cost_nanousd=None)
    put(engine, "b", usage_quality="partial")

    dry = cli("prices", "reprice", "--dry-run")[1]
    first = cli("prices", "reprice")[1]
    second = cli("prices", "reprice")[1]

    assert dry == first.replace("adjusted", "would be adjusted")
    assert first == (
        "2 rows by prices 2026-11-21: 0 as they were, 1 adjusted, by 0.0045 USD together\nno cost: usage_incomplete 1\n"
    )
    assert "1 as they were, 0 adjusted, by 0.00 USD together" in second


def test_a_reconciliation_says_what_it_appends_and_then_agrees(cli, engine):
    put_turn(engine, "b", 5)

    assert "1 rows would be adjusted, by 0.0435 USD together" in cli("prices", "reconcile", "--dry-run")[1]
    assert json.loads(cli("prices", "reconcile", "--json")[1])["rows"] == 1
    assert cli("prices", "check")[0] == 0


def test_a_bad_price_file_is_an_error(cli, monkeypatch, tmp_path):
    (tmp_path / "prices.yml").write_text("schema: 2\n")
    monkeypatch.setenv("DISPATCHER_POLICIES_DIR", str(tmp_path))

    code, out, err = cli("prices", "check")

    assert (code, out) == (2, "")
    assert "prices.yml" in err
    assert "session_hour" in err


def test_an_export_says_how_much_it_holds(cli, engine, tmp_path):
    for log_id in "abc":
        put(engine, log_id)

    dry = cli("logs", "export", tmp_path / "out", "--dry-run")
    first = cli("logs", "export", tmp_path / "out", "--rows-per-part", 2)
    second = cli("logs", "export", tmp_path / "out", "--rows-per-part", 2, "--json")

    assert dry == (0, "3 rows to export\n", "")
    assert first == (0, "3 rows in 2 files, 0 of them from before; counts and sums are those of the log\n", "")
    document = json.loads(second[1])
    assert (document["rows"], document["parts"], document["resumed"]) == (3, 2, 2)
    assert document["sums"]["output_tokens"] == 300


def test_an_export_of_some_days_has_the_rows_that_began_on_them(cli, engine, tmp_path):
    put(engine, "a")

    of_the_day = cli("logs", "export", tmp_path / "out", "--since", "2026-11-20", "--until", "2026-11-21")
    other_days = cli("logs", "export", tmp_path / "other", "--since", "2026-11-21", "--dry-run")
    no_day = cli("logs", "export", tmp_path / "none", "--until", "yesterday")

    assert of_the_day[:2] == (0, "1 rows in 1 files, 0 of them from before; counts and sums are those of the log\n")
    assert other_days[1] == "0 rows to export\n"
    assert no_day[0] == 2
    assert "does not match the format '%Y-%m-%d'" in no_day[2]


def test_a_directory_of_something_else_is_not_exported_into(cli, engine, tmp_path):
    (tmp_path / "notes.txt").touch()

    code, out, err = cli("logs", "export", tmp_path)

    assert (code, out) == (2, "")
    assert "holds" in err
    assert "and no manifest; name a new directory" in err


@pytest.mark.parametrize(
    ("nanousd", "text"),
    [
        (0, "0.00 USD"),
        (1, "0.000000001 USD"),
        (-5_000_000, "-0.005 USD"),
        (10**9, "1.00 USD"),
        (1_500_000_000, "1.50 USD"),
        (2**70, "1180591620717.411303424 USD"),
    ],
)
def test_dollars_are_exact(nanousd, text):
    assert dollars(nanousd) == text
