"""Verdicts of the past: stored once, compared with what comes out now, and reached again from their file."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from verdict_worlds import COST, DAY, LEGACY, P95, START, World, block

from dispatcher.audit.evidence_tables import verdicts
from dispatcher.audit.record import Origin
from dispatcher.audit.tables import logs
from dispatcher.audit.verdicts import verdicts_of
from dispatcher.verdict.history import changed_crossings, differences, history_of, store, stored_of
from dispatcher.verdict.judgement.finding import Reason
from dispatcher.verdict.judgement.judge import Outcome, Verdict
from dispatcher.verdict.report.document import as_json

GATE = block(P95)
ONE, TWO = START + 8 * DAY, START + 15 * DAY


def registered(world: World, *, ms: int = 20_000) -> Verdict:
    world.register(GATE)
    world.rows(100, ms=ms)
    world.rows(50, LEGACY)
    return world.judged(GATE, ONE)


def rewrite(world: World, **values: Any) -> None:
    """What nobody may do: change rows that a look has seen."""
    with world.engine.begin() as connection:
        for name in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.execute(sa.update(logs).values(**values))


def test_a_verdict_is_stored_with_what_it_was_reached_from_and_only_once(any_world: World) -> None:
    verdict = registered(any_world)

    assert [store(any_world.engine, verdict) for _ in range(2)] == [True, False]
    (stored,) = verdicts_of(any_world.engine, "KD-0001", Origin.PRODUCTION)
    assert stored == stored_of(verdict)
    assert (stored.verdict, stored.epoch, stored.as_of, stored.document) == ("SHIP", 1, ONE, as_json([verdict]))
    assert (stored.record_hash, stored.rows_hash) == (GATE.hash, verdict.measurement.rows_hash)


def test_verdicts_of_another_origin_are_not_there(world: World) -> None:
    store(world.engine, registered(world))

    assert verdicts_of(world.engine, "KD-0001", Origin.SIMULATED) == ()


def test_what_a_look_saw_and_still_sees_is_no_change(world: World) -> None:
    store(world.engine, registered(world))
    world.rows(20, at=START + 9 * DAY, ms=90_000)
    later = world.judged(GATE, TWO + 7 * DAY)

    assert changed_crossings(history_of(world.engine, later), later) == ()
    assert Reason.HISTORY_CHANGED not in later.reasons


def test_a_crossing_that_comes_out_differently_makes_every_later_verdict_invalid(
    world_of_its_own: World,
) -> None:
    world = world_of_its_own
    store(world.engine, registered(world))
    rewrite(world, response_time_ms=90_000)
    later = world.judged(GATE, TWO)

    assert (later.outcome, later.reasons) == (Outcome.INVALID, (Reason.HISTORY_CHANGED,))
    assert changed_crossings(history_of(world.engine, later), later) == (
        f"AC-7 at {(START + 7 * DAY).isoformat()}: the pass line crossed then, the fail line crossed now",
    )
    store(world.engine, later)
    assert world.judged(GATE, TWO + 7 * DAY).reasons == (Reason.HISTORY_CHANGED,)


def test_a_verdict_of_a_moment_before_knows_nothing_of_later_ones(world_of_its_own: World) -> None:
    world = world_of_its_own
    registered(world)
    store(world.engine, world.judged(GATE, TWO))
    rewrite(world, response_time_ms=90_000)

    assert world.judged(GATE, ONE).outcome is Outcome.ROLLBACK


def test_what_was_found_in_an_earlier_epoch_is_no_history_of_the_next(world_of_its_own: World) -> None:
    world = world_of_its_own
    store(world.engine, registered(world))
    rewrite(world, response_time_ms=90_000)
    world.register(GATE, at=START + 10 * DAY, epoch=2)

    assert world.judged(GATE, START + 20 * DAY).outcome is Outcome.HOLD


def test_the_crossings_of_a_mean_are_compared_as_well(world_of_its_own: World) -> None:
    world, mean = world_of_its_own, block(COST)
    world.register(mean)
    world.rows(120)
    world.rows(60, LEGACY)
    store(world.engine, world.judged(mean, ONE))
    rewrite(world, cost_nanousd=sa.case((logs.c.variant == LEGACY, logs.c.cost_nanousd), else_=logs.c.cost_nanousd * 9))
    later = world.judged(mean, TWO)

    assert "AC-6" in " ".join(changed_crossings(history_of(world.engine, later), later))
    assert later.reasons == (Reason.HISTORY_CHANGED,)


def test_the_differences_of_two_documents_are_named_with_both_values() -> None:
    before = {"verdict": "SHIP", "findings": [{"id": "AC-7", "k": 0}], "gone": [1, 2], "same": 1}
    after = {"verdict": "HOLD", "findings": [{"id": "AC-7", "k": 2}], "same": 1}

    assert differences(before, after) == [
        "findings[AC-7].k: 0 then, 2 now",
        "gone: [1, 2] then, nothing now",
        'verdict: "SHIP" then, "HOLD" now',
    ]
    assert differences(before, before) == []
    assert len(differences({str(n): n for n in range(99)}, {})) == 21


def test_a_moment_in_another_zone_gives_the_same_bytes(any_world: World) -> None:
    any_world.register(block())
    rows = [any_world.made(START + n * dt.timedelta(hours=1), LEGACY if n % 3 else "managed-haiku-4-5-cap8",
                           cost_nanousd=n * 10**9 + 7, ms=1000 + 13 * n) for n in range(120)]  # fmt: skip
    any_world.write(rows)
    one = as_json([any_world.judged(block(), ONE)])
    zone = dt.timezone(dt.timedelta(hours=9, minutes=30))

    assert as_json([any_world.judged(block(), ONE.astimezone(zone))]) == one


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
