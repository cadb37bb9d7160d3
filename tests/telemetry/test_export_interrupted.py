"""Exports that were interrupted go on; what isn't as it was left is refused."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from exported_files import LATER, export, exported, fill, in_order, order, parts
from money_rows import BEGAN, put

from dispatcher.audit.record import Origin
from dispatcher.errors import InvalidExport
from dispatcher.telemetry.export_parts import Form

ROOT = Path(__file__).parents[2]


def test_an_interrupted_export_goes_on_where_it_ended(engine: sa.Engine, out: Path, form: Form) -> None:
    """The parts that were whole stay as they are, and nothing that came after the beginning gets in."""
    fill(engine, 8)

    def stop(done: float) -> None:
        if done > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(engine, out, order(form), on_progress=stop)
    before = {path.name: path.read_bytes() for path in parts(out)}
    put(engine, "late", created_at=LATER + dt.timedelta(hours=1))

    report = export(engine, out, order(form), now=LATER + dt.timedelta(days=1))

    assert (report.parts, report.resumed, report.rows) == (3, 2, 8)
    assert {name: (out / name).read_bytes() for name in before} == before
    assert [row["log_id"] for row in exported(out, form)] == [row["log_id"] for row in in_order(engine)][:8]


def test_two_exports_never_write_into_one_directory_at_once(engine: sa.Engine, out: Path, form: Form) -> None:
    fill(engine, 8)
    refused: list[str] = []

    def another(_done: float) -> None:
        with pytest.raises(InvalidExport) as refusal:
            export(engine, out, order(form))
        refused.append(str(refusal.value))

    report = export(engine, out, order(form), on_progress=another)

    assert set(refused) == {f"{out}: another export writes into it; wait for it, or name another one"}
    assert (report.parts, report.rows, report.left) == (3, 8, 0)
    assert export(engine, out, order(form)).resumed == 3


KILLED = """
import os, signal, sys
import datetime as dt
from pathlib import Path
from dispatcher.audit.engine import open_engine
from dispatcher.telemetry import export_parts, exporter
from dispatcher.telemetry.export_parts import Form, read_back

step, left = sys.argv[3], int(sys.argv[4])

def hook(event, args):
    global left
    if event == step and "part-" in str(args):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
order = exporter.ExportOrder(form=Form.CSV, origin=None, since=None, until=None, rows_per_part=3)
now = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
exporter.export(open_engine(sys.argv[1]), Path(sys.argv[2]), order, now=now)
"""


@pytest.mark.parametrize(("step", "time"), [("open", 1), ("open", 3), ("open", 4), ("os.rename", 2)])
def test_an_export_that_is_killed_goes_on_and_has_every_row_once(
    engine: sa.Engine, out: Path, step: str, time: int
) -> None:
    """While a part is opened to be written or to be read back, and before it gets its name."""
    fill(engine, 8)
    arguments = [
        sys.executable,
        "-c",
        KILLED,
        engine.url.render_as_string(hide_password=False),
        str(out),
        step,
        str(time),
    ]
    killed = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    report = export(engine, out, order())

    assert report.rows == 8
    assert exported(out, Form.CSV) == in_order(engine)
    assert [path.name for path in out.glob("*.unfinished")] == []


def test_exporting_again_changes_nothing(engine: sa.Engine, out: Path) -> None:
    fill(engine, 4)
    export(engine, out, order())
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    report = export(engine, out, order())

    assert (report.parts, report.resumed) == (2, 2)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda out: (out / "part-000001.csv").unlink(), "part-000001.csv is missing"),
        (lambda out: (out / "part-000001.csv").write_text("x"), "part-000001.csv isn't as it was written"),
        (lambda out: (out / "manifest.json").write_text("{"), "Invalid JSON"),
        (lambda out: (out / "manifest.json").unlink(), "holds part-000001.csv and no manifest; name a new directory"),
    ],
)
def test_a_directory_that_is_not_as_it_was_left_is_refused(
    engine: sa.Engine, out: Path, spoil: Any, problem: str
) -> None:
    fill(engine, 2)
    export(engine, out, order())
    spoil(out)
    with pytest.raises(InvalidExport, match=problem):
        export(engine, out, order())


def test_an_export_is_continued_by_the_same_order_only(engine: sa.Engine, out: Path) -> None:
    export(engine, out, order())
    with pytest.raises(InvalidExport) as caught:
        export(engine, out, order(Form.PARQUET, origin=Origin.IMPORT, since=BEGAN, until=BEGAN))
    assert caught.value.problems == (
        "was begun with another form",
        "was begun with another origin",
        "was begun with another since",
        "was begun with another until",
        "name a new directory",
    )
