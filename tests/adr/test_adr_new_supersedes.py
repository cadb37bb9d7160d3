"""`adr new --supersedes`: who takes whose place is written into both records, or into neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher.adr.document import Status
from dispatcher.adr.reader import find_record
from dispatcher.cli import run

pytestmark = pytest.mark.usefixtures("house")

NEW = ("adr", "new", "Only one prompt", "--id", "KD-0700")


@pytest.fixture
def old(house: Path) -> Path:
    return next((house / "adrs").glob("KD-0650-*.md"))


def texts(house: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (house / "adrs").iterdir()}


def test_both_records_say_it_and_lint_has_nothing_to_say_of_it(
    house: Path, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = old.read_text()
    assert run([*NEW, "--supersedes", "KD-0650"]) == 0
    new, replaced = (find_record(house / "adrs", name) for name in ("KD-0700", "KD-0650"))

    assert (new.supersedes, replaced.status, replaced.superseded_by) == (("KD-0650",), Status.SUPERSEDED, "KD-0700")
    assert old.read_text().split("---", 2)[2] == before.split("---", 2)[2]
    assert replaced.block_hash is not None
    capsys.readouterr()
    assert run(["adr", "lint", "KD-0700", "KD-0650"]) == 0


def test_a_dry_run_shows_the_difference_and_writes_nothing(
    house: Path, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = texts(house)
    status = next(line for line in old.read_text().splitlines() if line.startswith("status:"))
    assert run([*NEW, "--supersedes", "KD-0650", "--dry-run"]) == 0
    out = capsys.readouterr().out

    assert texts(house) == before
    assert "would write KD-0700-only-one-prompt.md:\n---\nid: KD-0700\n" in out
    assert f"would change {old.name}:\n--- {old.name}\n+++ {old.name}\n@@" in out
    assert f"-{status}\n+status: superseded\n+superseded_by: KD-0700\n" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--supersedes", "KD-0999"), "there is no such record"),
        (("--supersedes", "KD-0650", "--corrects", "KD-0650"), "it either corrects KD-0650, which stays, or takes its"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    house: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    before = texts(house)

    assert run([*NEW, *options]) == 2
    assert message in capsys.readouterr().err
    assert texts(house) == before


def test_a_place_is_taken_once(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*NEW, "--supersedes", "KD-0650"]) == 0
    before = texts(house)

    assert run(["adr", "new", "Again", "--id", "KD-0701", "--supersedes", "KD-0650"]) == 2
    assert "KD-0650 is superseded by KD-0700 already" in capsys.readouterr().err
    assert texts(house) == before


def test_a_status_that_is_no_line_of_its_own_is_left_to_people(
    house: Path, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old.write_text(old.read_text().replace("\nstatus:", '\n"status":', 1))
    before = texts(house)

    assert run([*NEW, "--supersedes", "KD-0650"]) == 2
    assert "write superseded_by: KD-0700 by hand" in capsys.readouterr().err
    assert texts(house) == before


def test_a_title_in_brackets_is_listed_as_it_is(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adr", "new", "[/b] :bug: it is", "--id", "KD-0702"]) == 0
    capsys.readouterr()

    assert run(["adr", "list"]) == 0
    assert "[/b] :bug: it is" in capsys.readouterr().out
