"""An import is whole or nothing, adds a line once, and never guesses."""

import datetime as dt
import sqlite3

import pytest
import sqlalchemy as sa
from import_files import import_file

from dispatcher.audit.tables import logs
from dispatcher.errors import InvalidImport, SourceUnreachable

ONE = "a,ok,1,,,2026-01-01T00:00Z\n"


def _problems(engine, column_map, path):
    with pytest.raises(InvalidImport, match=str(path)) as refused:
        import_file(engine, column_map, path)
    return list(refused.value.problems)


def test_every_line_becomes_a_row_with_what_the_map_says_and_null_for_the_rest(engine, column_map, sample, rows):
    report = import_file(engine, column_map(), sample())
    found = rows()

    assert (report.lines, report.added, report.repeated) == (3, 3, 0)
    mapped = ("status", "response_time_ms", "cost_nanousd", "output_tokens")
    assert [tuple(row[name] for name in mapped) for row in found] == [
        ("success", 100, 500_000_000, 7),
        ("error", 200, 0, 0),
        ("lost", None, None, None),
    ]
    assert found[1]["created_at"] == dt.datetime(2026, 1, 1, 22, tzinfo=dt.UTC)
    assert {found[0][name] for name in ("path", "model", "cache_read_input_tokens", "iterations", "reason")} == {None}


def test_what_a_map_may_leave_out_is_derived(engine, column_map, sample, rows):
    import_file(engine, column_map(("tenant: bench", "tenant: bench, variant: loop")), sample(ONE))
    (row,) = rows()

    assert (row["origin"], row["time_scale"], row["owner"]) == ("import", 1.0, "import:bench")
    assert (row["attempt"], row["role"], row["routed_variant"]) == (1, "served", "loop")
    assert row["dispatch_id"] == row["log_id"]


def test_an_ending_that_was_never_learned_has_not_landed(engine, column_map, sample, rows):
    import_file(engine, column_map(), sample())

    assert {("success", True), ("error", True), ("lost", False)} == {
        (row["status"], row["landed_at"] is not None) for row in rows()
    }


def test_a_second_import_adds_nothing_and_says_so(engine, column_map, sample, rows):
    import_file(engine, column_map(), sample())
    before = rows()
    report = import_file(engine, column_map(), sample(name="copy.csv"))

    assert (report.lines, report.added, report.repeated) == (3, 0, 3)
    assert before == rows()


def test_a_longer_file_adds_only_its_new_lines(engine, column_map, sample):
    import_file(engine, column_map(), sample(ONE))
    report = import_file(engine, column_map(), sample(ONE + "b,ok,2,,,2026-01-01T00:00Z\n"))

    assert (report.added, report.repeated) == (1, 1)


def test_the_same_key_of_another_source_is_another_row(engine, column_map, sample, rows):
    import_file(engine, column_map(), sample())
    import_file(engine, column_map(("source: bench", "source: other")), sample())

    assert len(rows()) == 6


def test_a_line_that_stands_twice_with_the_same_content_is_one_row(engine, column_map, sample, rows):
    report = import_file(engine, column_map(), sample(ONE * 2))

    assert (report.lines, report.added, report.repeated) == (2, 1, 1)
    assert len(rows()) == 1


@pytest.mark.parametrize("between", [0, 2000])
def test_a_key_that_repeats_with_other_content_is_a_bad_line_near_and_far(engine, column_map, sample, rows, between):
    filling = "".join(f"x{i},ok,1,,,2026-01-01T00:00Z\n" for i in range(between))
    path = sample(f"{ONE}{filling}a,ok,2,,3,2026-01-01T00:00Z\n")

    (problem,) = _problems(engine, column_map(), path)

    assert problem == (
        f"line {between + 3}: a row with the same key (id='a') has other content: "
        "response_time_ms 1 there, 2 here, output_tokens unknown there, 3 here"
    )
    assert rows() == []


def test_a_changed_map_can_not_rewrite_what_is_in_the_log(engine, column_map, sample, rows):
    import_file(engine, column_map(), sample())
    before = rows()
    stricter = column_map(("unit: usd}", "unit: usd, zero_is_unknown: true}"))

    assert _problems(engine, stricter, sample()) == [
        "line 3: a row with the same key (id='b') has other content: cost_nanousd 0 there, unknown here"
    ]
    assert before == rows()


def test_a_bad_line_is_named_with_every_reason_and_nothing_of_the_file_remains(engine, column_map, sample, rows):
    at = "2026-01-01T00:00Z"
    bad = f"b,fine,-1,,,{at}\nd,ok,,x,1.5,{at}\n,ok,1,,,{at}\nc,ok,1,,,\ne,ok,1,,,never\n"

    assert _problems(engine, column_map(), sample(ONE + bad)) == [
        "line 3: status: 'fine' is not in the map; response_time_ms: '-1' is negative",
        "line 4: cost_nanousd: 'x' is not a number; output_tokens: '1.5' is not a whole number",
        "line 5: id is empty, and it is part of the key",
        "line 6: created_at: is unknown, and every row has one",
        "line 7: created_at: 'never' is not a moment in ISO 8601",
    ]
    assert rows() == []


def test_bad_lines_beyond_a_bound_are_counted(engine, column_map, sample):
    problems = _problems(engine, column_map(), sample("a,ok,-1,,,2026-01-01T00:00Z\n" * 1234))

    assert len(problems) == 21
    assert problems[0] == "line 2: response_time_ms: '-1' is negative"
    assert problems[-1] == "and 1214 more bad lines"


def test_a_dry_run_reports_what_would_be_done_and_does_none_of_it(engine, column_map, sample, rows):
    dry = import_file(engine, column_map(), sample(), dry_run=True)

    assert rows() == []
    assert dry == import_file(engine, column_map(), sample())


def test_the_report_shows_what_a_wrong_map_would_hide(engine, column_map, sample):
    report = import_file(engine, column_map(("unit: usd}", "unit: usd, zero_is_unknown: true}")), sample())

    assert report.statuses == {"error": 1, "lost": 1, "success": 1}
    assert report.unknown == {"response_time_ms": 1, "cost_nanousd": 2, "output_tokens": 1}


def test_zero_is_zero_unless_the_map_says_that_it_is_unknown(engine, column_map, sample, rows):
    zeros = column_map(("{from: tokens}", "{from: tokens, zero_is_unknown: true}"))
    import_file(engine, zeros, sample("a,ok,0,0,0,2026-01-01T00:00Z\n"))

    assert [(row["response_time_ms"], row["cost_nanousd"], row["output_tokens"]) for row in rows()] == [(0, 0, None)]


def test_a_default_stands_for_an_empty_cell(engine, column_map, sample, rows):
    defaulted = column_map(("{from: tokens}", "{from: tokens, default: 5}"))
    import_file(engine, defaulted, sample("a,ok,,,,2026-01-01T00:00Z\nb,ok,,,6,2026-01-02T00:00Z\n"))

    assert [row["output_tokens"] for row in rows()] == [5, 6]


def test_an_empty_translation_is_unknown(engine, column_map, sample, rows):
    empty = column_map(("{from: tokens}", '{from: tokens, map: {n/a: "", many: 99}}'))
    import_file(
        engine,
        empty,
        sample("a,ok,,,n/a,2026-01-01T00:00Z\nb,ok,,,many,2026-01-02T00:00Z\nc,ok,,,,2026-01-03T00:00Z\n"),
    )

    assert [row["output_tokens"] for row in rows()] == [None, 99, None]


def test_joined_columns_are_one_text_and_unknown_where_a_part_is(engine, column_map, sample, rows):
    joined = column_map(("{from: tokens}", "{from: tokens}\n  variant: {from: [id, tokens], join: ':'}"))
    import_file(engine, joined, sample("a,ok,,,7,2026-01-01T00:00Z\nb,ok,,,,2026-01-02T00:00Z\n"))

    assert [row["variant"] for row in rows()] == ["a:7", None]


def test_what_is_less_is_subtracted_and_unknown_where_a_part_is(engine, column_map, sample, rows):
    less = column_map(("{from: tokens}", "{from: tokens, less: wall}"))
    import_file(engine, less, sample("a,ok,3,,7,2026-01-01T00:00Z\nb,ok,,,7,2026-01-02T00:00Z\n"))

    assert [row["output_tokens"] for row in rows()] == [4, None]
    assert _problems(engine, less, sample("c,ok,8,,7,2026-01-01T00:00Z\n")) == [
        "line 2: output_tokens: tokens less wall is negative"
    ]


def test_a_turn_that_the_log_holds_already_is_a_bad_line(engine, column_map, sample, rows):
    talk = column_map(("{from: tokens}", "{from: tokens}\n  conversation_id: {from: outcome}\n  turn: {from: wall}"))
    path = sample("a,ok,1,,7,2026-01-01T00:00Z\nb,ok,2,,7,2026-01-01T00:00Z\nc,ok,1,,7,2026-01-01T00:00Z\n")

    (problem,) = _problems(engine, talk, path)

    assert problem.startswith("line 4: the log refuses the row: UNIQUE constraint failed: ai_outbound_logs.tenant")
    assert rows() == []


def test_a_locked_log_is_one_clear_error(engine, column_map, sample, rows, monkeypatch):
    other = sqlite3.connect(engine.url.database)
    other.execute("BEGIN IMMEDIATE")
    impatient = sa.create_engine(engine.url, connect_args={"timeout": 0})
    with pytest.raises(SourceUnreachable, match=r"nothing was imported: .*another program holds it locked"):
        import_file(impatient, column_map(), sample())
    impatient.dispose()
    other.close()

    assert rows() == []


def test_an_import_tells_how_far_it_is(engine, column_map, sample):
    seen = []
    path = sample("".join(f"{i},ok,1,,,2026-01-01T00:00Z\n" for i in range(5000)))
    import_file(engine, column_map(), path, on_progress=seen.append)

    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[-1] == 1.0


def test_imported_rows_are_found_by_the_production_query(engine, column_map, sample):
    import_file(engine, column_map(), sample())
    query = (
        "SELECT response_time_ms, input_tokens, output_tokens FROM ai_outbound_logs "
        "WHERE feature='agent_research' AND status='success' AND created_at >= '2026-01-01'"
    )
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.exec_driver_sql(query)] == [(100, None, 7)]
        assert connection.execute(sa.select(sa.func.count()).select_from(logs)).scalar() == 3
