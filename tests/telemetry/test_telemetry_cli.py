"""The verbs `logs`, `telemetry` and `spike`: what they print, and their exit codes."""

import json
from pathlib import Path

import pytest
from freezegun import freeze_time

from dispatcher.audit.engine import open_engine
from dispatcher.cli import run


@pytest.fixture
def cli(tmp_path, root, monkeypatch, capsys):
    """`cli(*arguments)` → (exit code, standard output, standard error), on a log of its own."""
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", f"sqlite:///{tmp_path}/log.db")
    monkeypatch.setenv("DISPATCHER_ADRS_DIR", str(root / "adrs"))

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


@pytest.fixture
def files(sample, column_map, tmp_path):
    """The small sample and its map."""
    column_map(("tenant: bench", "tenant: bench, variant: loop, path: messages"))
    return sample(), "--map", tmp_path / "map.yml"


def test_an_import_says_what_it_did_and_again_that_there_was_nothing_to_do(cli, files):
    _, first, _ = cli("logs", "import", *files)
    code, second, progress = cli("logs", "import", *files)

    assert first == (
        "runs.csv as bench: 3 lines, 3 rows added, 0 were there already\n"
        "status: error 1, lost 1, success 1\n"
        "unknown in: response_time_ms 1, cost_nanousd 1, output_tokens 1\n"
    )
    assert (code, progress) == (0, "")
    assert second.startswith("runs.csv as bench: 3 lines, 0 rows added, 3 were there already\n")


def test_a_dry_run_writes_nothing_and_makes_no_file(cli, files, tmp_path):
    code, out, _ = cli("logs", "import", *files, "--dry-run")

    assert code == 0
    assert "3 rows would be added" in out
    assert out.endswith("nothing was written\n")
    assert list(tmp_path.glob("log.db*")) == []

    cli("logs", "import", *files)
    code, out, _ = cli("logs", "import", *files, "--dry-run")
    assert (code, "0 rows would be added, 3 were there already" in out) == (0, True)


def test_an_import_as_json(cli, files):
    code, out, _ = cli("logs", "import", *files, "--json")

    assert (code, json.loads(out)) == (
        0,
        {
            "file": str(files[0]),
            "source": "bench",
            "dry_run": False,
            "lines": 3,
            "added": 3,
            "repeated": 0,
            "statuses": {"error": 1, "lost": 1, "success": 1},
            "unknown": {"response_time_ms": 1, "cost_nanousd": 1, "output_tokens": 1},
        },
    )


def test_a_bad_file_exits_2_with_every_bad_line(cli, files, sample):
    sample("a,ok,-1,,,2026-01-01T00:00Z\nb,ok\n")
    code, out, err = cli("logs", "import", *files)

    assert (code, out) == (2, "")
    assert err == (
        f"error: {files[0]}: 2 problems\n"
        "  - line 2: response_time_ms: '-1' is negative\n"
        "  - line 3: has 2 fields, the header 6\n"
    )


@pytest.mark.parametrize("missing", ["no.csv", "no.yml"])
def test_a_missing_file_exits_2(cli, files, missing):
    arguments = (Path(missing), *files[1:]) if missing == "no.csv" else (*files[:2], Path(missing))
    code, _, err = cli("logs", "import", *arguments)

    assert (code, err) == (2, f"error: {missing}: can't be read: No such file or directory\n")


def test_an_import_without_a_map_is_bad_usage(cli, files):
    code, _, err = cli("logs", "import", files[0])

    assert code == 2
    assert "name a FILE and its --map, or a --source" in err


def test_the_summary_counts_rows_by_where_they_come_from_and_how_they_ended(cli, files):
    cli("logs", "import", *files)
    code, out, _ = cli("logs", "summary", "--json")
    document = json.loads(out)

    assert code == 0
    assert document["sql"].startswith("SELECT ai_outbound_logs.origin")
    assert document["rows"][0] == {
        "origin": "import",
        "status": "error",
        "path": "messages",
        "variant": "loop",
        "n": 1,
        "first": "2026-01-01T22:00:00+00:00",
        "last": "2026-01-01T22:00:00+00:00",
    }
    assert [row["status"] for row in document["rows"]] == ["error", "lost", "success"]
    assert json.loads(cli("logs", "summary", "--origin", "production", "--json")[1])["rows"] == []


def test_a_name_in_brackets_is_printed_as_it_is(cli, sample, column_map, tmp_path):
    """A variant or a tenant of another's file is a text, not markup that a table stumbles over."""
    column_map(("tenant: bench", "tenant: bench, variant: '[/b] :bug: [red]', path: messages"))
    cli("logs", "import", sample(), "--map", tmp_path / "map.yml")

    code, out, _ = cli("logs", "summary")

    assert code == 0
    assert "[/b] :bug: [red]" in out


def test_the_distribution_is_printed_with_its_definition_and_its_window(cli, files):
    cli("logs", "import", *files)
    with freeze_time("2026-01-20"):
        code, out, _ = cli("telemetry", "distribution", "--origin", "import", "--since", "30d")
        late = cli("telemetry", "distribution", "--origin", "import", "--since", "18d")[1]

    assert code == 0
    assert "agent_research, import rows, 2025-12-21T00:00+00:00 to 2026-01-20T00:00+00:00" in out
    assert "percentiles are nearest-rank" in out
    assert [line.split() for line in out.splitlines() if "messages" in line] == [
        ["messages", "success", *(["1"] + ["100"] * 6), "0"],
        ["messages", "error", *(["1"] + ["200"] * 6), "0"],
        ["messages", "lost", "0", "1"],
    ]
    assert [line.split()[1] for line in late.splitlines() if "messages" in line] == ["lost"]


def test_the_distribution_as_json_has_its_sql(cli, files):
    cli("logs", "import", *files)
    code, out, _ = cli("telemetry", "distribution", "--origin", "import", "--since", "all", "--by", "variant", "--json")
    document = json.loads(out)

    assert code == 0
    assert (document["percentiles"], document["by"], document["since"]) == ("nearest-rank", "variant", None)
    assert "GROUP BY ai_outbound_logs.variant" in document["sql"]
    assert document["rows"][0] == {
        "group": "loop",
        "status": "success",
        "n": 1,
        "unmeasured": 0,
        **dict.fromkeys(("min", "p50", "p90", "p95", "max"), 100),
        "avg": 100.0,
        "time_scales": [1.0],
    }


def test_no_rows_are_said_to_be_none(cli, tmp_path):
    open_engine(f"sqlite:///{tmp_path}/log.db").dispose()
    assert cli("logs", "summary")[1] == "no rows\n"
    code, out, _ = cli("telemetry", "distribution")

    assert code == 0
    assert out.endswith(": no rows\n")


@pytest.mark.parametrize("span", ["30", "d", "-1d", "0d", "1y", "∞", "999999d"])
def test_a_span_that_is_none_is_bad_usage(cli, span):
    code, _, err = cli("telemetry", "distribution", "--since", span)

    assert code == 2
    assert "is not a span: write a whole number and s, m, h or d, such as 30d, or all" in err


def test_an_unreachable_log_exits_5(cli, tmp_path):
    (tmp_path / "log.db").write_bytes(b"not a database, and long enough to be looked at as one" * 20)
    code, _, err = cli("telemetry", "distribution")

    assert code == 5
    assert "is not a SQLite database" in err


def test_the_comparison_names_every_denominator_and_calls_single_runs_indicative(cli):
    code, out, _ = cli("spike", "compare", "KD-0650")
    cells = [line.split() for line in out.splitlines()]

    assert code == 0
    assert ["production", "p95", "28", "036", "17.23", "6.81", "4.46"] in cells
    assert ["production", "p50", "18", "703", "25.82", "10.21", "6.68"] in cells
    assert ["limit", "of", "AC-7", "42", "054", "11.49", "4.54", "2.97"] in cells
    assert "These are indicative: single runs, never a verdict." in out
    assert next(line for line in out.splitlines() if "724 500" in line).rstrip().endswith("every published run passes")


def test_the_comparison_as_json(cli):
    code, out, _ = cli("spike", "compare", "KD-0650", "--json")
    document = json.loads(out)

    assert code == 0
    assert (document["criterion"], document["multiple"], document["production"]["p95"]) == ("AC-7", 1.5, 28036)
    assert [(limit["limit_ms"], limit["vacuous"]) for limit in document["limits"]] == [
        (42054, False),
        (28054.5, False),
        (724500, True),
    ]
    assert document["ratios"][0] == {
        "run": 'spike, "production-shape" prompt',
        "response_time_ms": 483000,
        "denominator": "production p95",
        "denominator_ms": 28036,
        "ratio": 17.2278,
    }


@pytest.mark.parametrize(("record", "reason"), [("KD-9999", "no such record"), ("KD-0651", "can't be read")])
def test_a_record_without_published_figures_exits_2(cli, record, reason):
    code, _, err = cli("spike", "compare", record)

    assert code == 2
    assert reason in err
