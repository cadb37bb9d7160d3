"""`dispatcher adr` lists the records and starts a record's clock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from freezegun import freeze_time

from dispatcher.cli import run

pytestmark = pytest.mark.usefixtures("house")


def test_list_shows_every_record(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adr", "list"]) == 0

    out = capsys.readouterr().out
    assert all(name in out for name in ("0001", "KD-0650", "KD-0651", "AC-6, AC-7, AC-V", "none"))


def test_list_as_json_has_the_criteria_and_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adr", "list", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    record = next(item for item in document["records"] if item["id"] == "KD-0650")
    assert document["unreadable"] == []
    assert {item["id"]: item["limit"] for item in record["criteria"]} == {"AC-6": None, "AC-7": "42054", "AC-V": "0.95"}


def test_an_unreadable_record_is_listed_with_its_problems_and_exits_2(
    house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (house / "adrs" / "KD-0700-x.md").write_text("---\nid: KD-0700\n---\n")

    assert run(["adr", "list", "--json"]) == 2
    unreadable = json.loads(capsys.readouterr().out)["unreadable"]
    assert [item["file"] for item in unreadable] == ["KD-0700-x.md"]
    assert run(["adr", "list"]) == 2
    assert "line 2: status: is missing" in capsys.readouterr().err


def test_register_starts_the_clock_once(capsys: pytest.CaptureFixture[str]) -> None:
    with freeze_time("2026-06-01 09:00:00"):
        assert run(["adr", "register", "KD-0650", "--origin", "simulated", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    with freeze_time("2026-06-02 09:00:00"):
        assert run(["adr", "register", "KD-0650", "--origin", "simulated"]) == 0

    assert (first["is_new"], first["epoch"], first["start"]) == (True, 1, "2026-06-01T09:00:00+00:00")
    assert capsys.readouterr().out == (
        "KD-0650 for simulated rows: registered from 2026-06-01T09:00:00+00:00, epoch 1; nothing has changed, "
        "nothing to do\n"
    )


def test_a_dry_run_writes_nothing(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adr", "register", "KD-0650", "--dry-run"]) == 5
    assert "`dispatcher migrate`, makes it" in capsys.readouterr().err
    assert not (house / ".dispatcher").exists()
    assert run(["migrate"]) == 0
    capsys.readouterr()
    assert run(["adr", "register", "KD-0650", "--dry-run"]) == 0
    assert "would be registered" in capsys.readouterr().out
    assert run(["adr", "register", "KD-0650", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["is_new"]


def test_a_changed_definition_of_the_candidate_opens_the_next_epoch(
    house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["adr", "register", "KD-0650", "--json"]) == 0
    policy = house / "policies" / "agent_research.yml"
    text = policy.read_text()
    assert "iteration_cap: 8" in text
    policy.write_text(text.replace("iteration_cap: 8", "iteration_cap: 6"))
    capsys.readouterr()

    assert run(["adr", "register", "KD-0650", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epoch"] == 2


@pytest.mark.parametrize(
    ("arguments", "edit", "said"),
    [
        (["KD-0999"], None, "there is no such record"),
        (["0001"], None, "says `acceptance: none`: there is nothing to judge"),
        (["KD-0650"], ("{variant: legacy}", "{variant: old}"), "control old is not a registered variant"),
        (["KD-0650"], ("## Risks", "## Worries"), "the section Risks is missing"),
        (["KD-0650"], ("settle: 24h", "settle: 250s"), "below a registered variant's deadline of 0:05"),
        (["KD-0650"], ("schema: 1", "schema: one"), ": schema: input should be 1"),
    ],
)
def test_what_cannot_be_registered_exits_2_with_its_reason(
    house: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    edit: tuple[str, str] | None,
    said: str,
) -> None:
    if edit is not None:
        path = next((house / "adrs").glob("KD-0650-*.md"))
        path.write_text(path.read_text().replace(*edit))

    assert run(["adr", "register", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_an_origin_that_proves_nothing_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adr", "register", "KD-0650", "--origin", "spike"]) == 2
    assert "'production', 'import', 'simulated'" in capsys.readouterr().err
