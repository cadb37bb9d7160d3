"""`dispatcher verdict --verify`, and what is shown for display: a file is reached again and never believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from verdict_worlds import DAY, LEGACY, P95, START, World

from dispatcher.audit.evidence_tables import verdicts

ONE = START + 8 * DAY


@pytest.fixture
def typed(world: World, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    from test_verdict_command import register, write  # noqa: PLC0415 - the records of that file

    from dispatcher.cli import run  # noqa: PLC0415

    adrs = tmp_path / "adrs"
    adrs.mkdir()
    write(adrs, "AA-0001", P95)
    register(world, adrs, "AA-0001")
    world.rows(100)
    world.rows(50, LEGACY)
    monkeypatch.setenv("DISPATCHER_DATABASE_URL", f"sqlite:///{database}")
    monkeypatch.setenv("DISPATCHER_ADRS_DIR", str(adrs))

    def command(*arguments: str) -> tuple[int, str, str]:
        code = run(["verdict", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


AS_OF = ("--as-of", ONE.isoformat())


def test_a_stored_verdict_is_verified_from_its_file(typed: Any, world: World, tmp_path: Path) -> None:
    code, out, _ = typed("AA-0001", "--json", "--append", *AS_OF)
    with world.engine.connect() as connection:
        held = connection.execute(sa.select(verdicts.c.document)).scalar_one()
    (tmp_path / "held.json").write_text(held)
    (tmp_path / "tampered.json").write_text(json.dumps(json.loads(out) | {"verdict": "HOLD"}))

    assert (code, held) == (0, out.rstrip("\n"))
    assert typed("--verify", str(tmp_path / "held.json"))[:2] == (
        0,
        f"identical: AA-0001 as of {ONE.isoformat()}, SHIP\n",
    )
    assert typed("--verify", str(tmp_path / "tampered.json"))[:2] == (
        4,
        f'differs: AA-0001 as of {ONE.isoformat()}\n  verdict: "HOLD" then, "SHIP" now\n',
    )


def test_a_record_that_changed_or_went_is_verified_by_what_the_verdict_holds_and_it_is_said(
    typed: Any, tmp_path: Path
) -> None:
    from test_verdict_command import SLOW, write  # noqa: PLC0415 - the records of that file

    (tmp_path / "kept.json").write_text(typed("AA-0001", "--json", *AS_OF)[1])
    adrs = tmp_path / "adrs"
    write(adrs, "AA-0001", SLOW)
    edited = typed("--verify", str(tmp_path / "kept.json"))[:2]
    (adrs / "AA-0001-a-record.md").unlink()
    gone = typed("--verify", str(tmp_path / "kept.json"))[:2]

    assert edited[0] == gone[0] == 0
    assert edited[1].startswith(f"identical: AA-0001 as of {ONE.isoformat()}, SHIP\n  the record has changed since: ")
    assert "SHIP\n  the record's file can't be compared with what was judged: " in gone[1]


def test_criteria_that_are_not_those_whose_hash_is_stated_are_refused(typed: Any, tmp_path: Path) -> None:
    document = json.loads(typed("AA-0001", "--json", *AS_OF)[1])
    loosened = document | {"criteria": document["criteria"].replace("1.5", "9.5")}
    (tmp_path / "loosened.json").write_text(json.dumps(loosened))
    code, out, err = typed("--verify", str(tmp_path / "loosened.json"))

    assert (code, out) == (2, "")
    assert "and states" in err


@pytest.mark.parametrize(
    "forged",
    [
        lambda text: text.replace('"verdict": "SHIP"', '"verdict": "ROLLBACK",\n  "verdict": "SHIP"'),
        lambda text: text.replace('"origin": "production"', '"origin": "elsewhere"'),
        lambda text: text.replace(f'"as_of": "{ONE.year}', '"as_of": "2999'),
        lambda text: "[" * 100_000,
    ],
    ids=["a key twice", "an unknown origin", "the future", "nested"],
)
def test_a_file_that_two_readers_would_read_differently_or_nobody_is_no_verdict(
    typed: Any, tmp_path: Path, forged: Any
) -> None:
    text = typed("AA-0001", "--json", *AS_OF)[1]
    (tmp_path / "forged.json").write_text(forged(text))
    code, out, err = typed("--verify", str(tmp_path / "forged.json"))

    assert forged(text) != text
    assert (code, out) == (2, "")
    assert "is no verdict" in err


def test_a_title_that_is_not_the_records_is_a_difference(typed: Any, tmp_path: Path) -> None:
    forged = typed("AA-0001", "--json", *AS_OF)[1].replace("A record", "Everything was fine")
    (tmp_path / "forged.json").write_text(forged)

    code, out, _ = typed("--verify", str(tmp_path / "forged.json"))

    assert (code, out.splitlines()) == (4, [
        f"differs: AA-0001 as of {ONE.isoformat()}",
        '  record_title: "Everything was fine" in the file, "A record" in the record',
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--candidate", "nobody"], "no registered variant; there are legacy"),
        (["--candidate", "legacy"], "--against-itself"),
        (["--candidate", "legacy-cached", "--against-itself"], "leave one out"),
        (["--against-itself", "--append"], "decides nothing"),
        (["--verify", "{file}", "--append"], "decides nothing"),
        (["--verify", "{file}"], "is no verdict"),
        (["--verify", "{empty}"], "is no verdict"),
    ],
)
def test_what_contradicts_itself_is_refused(typed: Any, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "none.json").write_text("[3]")
    (tmp_path / "empty.json").write_text("[]")
    arguments = [each.format(file=tmp_path / "none.json", empty=tmp_path / "empty.json") for each in arguments]
    code, out, err = typed(*arguments, *AS_OF)

    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    "forged",
    [{"record": "\ud800"}, {"record_title": "\udfff"}, {"record": "AA\x1b[2J"}, {"as_of": "0001-01-01T00:00:00+14:00"}],
    ids=["half a character", "half a title", "an order to the terminal", "before the calendar"],
)
def test_a_file_that_nobody_can_have_stored_is_refused(typed: Any, tmp_path: Path, forged: dict[str, str]) -> None:
    document = json.loads(typed("AA-0001", "--json", *AS_OF)[1])
    (tmp_path / "forged.json").write_text(json.dumps(document | forged))

    code, out, err = typed("--verify", str(tmp_path / "forged.json"))

    assert (code, out) == (2, "")
    assert "is no verdict" in err


def test_another_variant_and_the_control_against_itself_are_shown(typed: Any, world: World) -> None:
    world.rows(40, "legacy-cached", assignment_share=0.67)
    other = json.loads(typed("AA-0001", "--candidate", "legacy-cached", "--json", *AS_OF)[1])
    itself = json.loads(typed("AA-0001", "--against-itself", "--json", *AS_OF)[1])

    assert [(each["verdict"], each["arms"]["candidate"]) for each in (other, itself)] == [
        ("HOLD", "legacy-cached"),
        ("HOLD", "legacy, one half"),
    ]
    assert other["reasons"].count("not_registered") == 1
    text = typed("AA-0001", "--candidate", "legacy-cached", *AS_OF)[1].replace("\n", " ")
    assert "Shown for legacy-cached, which isn't what was registered: for display, it decides nothing." in text
    halves = typed("AA-0001", "--against-itself", *AS_OF)[1].replace("\n ", "")
    assert "legacy, the other half p95" in halves
    assert (other["findings"][0]["n"], itself["findings"][0]["n"] + itself["findings"][0]["control"]["n"]) == (40, 50)
