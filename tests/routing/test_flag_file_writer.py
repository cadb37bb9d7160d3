"""Editing the flag file: whole at every moment, one writer at a time, and never what its reader would refuse."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from routing_documents import FLAG, POLICIES, document, only, rule, text

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flag_editing.edit import FlagContent, Naming, Share, Switch
from dispatcher.routing.flag_editing.file_writer import FlagFile
from dispatcher.routing.flags.answer import FlagContext
from dispatcher.routing.flags.file import EmbeddedFlags, changed_ns
from dispatcher.routing.flags.reader import read_flag_document
from dispatcher.routing.flags.sighting import Sighting
from dispatcher.routing.flags.standing import Standing, moves

CAPPED = "managed-haiku-4-5-cap8"
TENANTS = [f"t-{number:02}" for number in range(40)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "flags.json"
    path.write_bytes((POLICIES / "flags.json").read_bytes())
    return path


@pytest.fixture
def told() -> list[Sighting]:
    return []


@pytest.fixture
def file(path: Path, told: list[Sighting]) -> FlagFile:
    return FlagFile(path=path, flag=FLAG, actor="alice", record=told.append)


def naming(tenant: str, variant: str = CAPPED) -> Naming:
    return Naming(flag=FLAG, tenant=tenant, variant=variant)


def nothing(content: FlagContent) -> FlagContent:
    return content


def test_an_edit_takes_effect_in_a_process_that_reads_the_file(file: FlagFile, path: Path) -> None:
    now = [0.0]
    flags = EmbeddedFlags(path, [FLAG], clock=lambda: now[0])
    file.edit(naming("umbrella"))
    now[0] += 1

    assert flags.evaluate(FLAG, FlagContext(tenant="umbrella", conversation="c")).variant == CAPPED


def test_40_edits_at_once_for_40_tenants_are_all_kept(file: FlagFile, told: list[Sighting]) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda tenant: file.edit(naming(tenant)), TENANTS))

    assert all(outcome.written for outcome in outcomes)
    after = file.edit(nothing).after
    assert {after.entry(tenant).text for tenant in TENANTS} == {CAPPED}
    made = [sighting for sighting in told if sighting.actor == "alice"]
    revisions = [sighting.revision for sighting in made]
    assert (len(made), revisions) == (40, sorted(set(revisions)))


def test_the_file_is_whole_at_every_moment(file: FlagFile, path: Path) -> None:
    stop = threading.Event()
    problems: list[str] = []

    def look() -> None:
        while not stop.is_set():
            try:
                read_flag_document(path.read_bytes(), "flags.json", [FLAG])
            except (InvalidFlags, OSError) as error:
                problems.append(str(error))

    looking = threading.Thread(target=look)
    looking.start()
    for tenant in TENANTS[:10]:
        file.edit(naming(tenant))
    stop.set()
    looking.join()

    assert problems == []


def test_what_is_not_edited_keeps_its_order_and_only_the_layout_changes(file: FlagFile, path: Path) -> None:
    before = json.loads(path.read_bytes())
    file.edit(Switch(flag=FLAG, on=False))
    content = path.read_text()

    after = json.loads(content)
    assert content == json.dumps(after, indent=2, ensure_ascii=False) + "\n"
    assert [list(flag) for flag in after["features"]] == [list(flag) for flag in before["features"]]
    before["features"][1]["enabled"] = False
    assert after == before


def test_the_states_before_and_after_are_told_with_who_made_the_second(file: FlagFile, told: list[Sighting]) -> None:
    outcome = file.edit(naming("acme", "legacy"))

    before, after = told
    assert (before.actor, after.actor, before.source) == (None, "alice", "file")
    assert before.revision < after.revision
    assert moves(Standing.from_json(before.standing), Standing.from_json(after.standing)) == outcome.moves
    assert [move.tenant for move in outcome.moves] == ["acme"]


@pytest.mark.parametrize("edit", [nothing, naming("acme"), Switch(flag=FLAG, on=True)])
def test_what_is_so_already_is_not_written(
    file: FlagFile, path: Path, told: list[Sighting], edit: Callable[[FlagContent], FlagContent]
) -> None:
    before = path.stat()

    assert file.edit(edit).written is False
    assert (path.stat(), told) == (before, [])


def test_a_dry_run_tells_the_moves_and_writes_nothing(file: FlagFile, path: Path, told: list[Sighting]) -> None:
    before = path.read_bytes()
    outcome = file.edit(Share(flag=FLAG, per_mille=200, by="tenant", variant=CAPPED, control="legacy"), dry_run=True)

    assert [(move.tenant, move.after.text) for move in outcome.moves] == [
        (None, f"20 % {CAPPED}, 80 % legacy by tenant")
    ]
    assert (outcome.written, path.read_bytes(), told) == (False, before, [])


def test_a_link_stays_one_and_the_rights_stay_as_they_are(file: FlagFile, path: Path, tmp_path: Path) -> None:
    target = tmp_path / "real" / "flags.json"
    target.parent.mkdir()
    path.rename(target)
    target.chmod(0o640)
    path.symlink_to(target)
    file.edit(naming("umbrella"))

    assert path.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert [found.name for found in target.parent.iterdir()] == ["flags.json"]


def test_the_time_of_change_grows_even_where_it_lay_in_the_future(file: FlagFile, path: Path) -> None:
    ahead = path.stat().st_mtime_ns + 3600 * 10**9
    os.utime(path, ns=(ahead, ahead))
    file.edit(naming("umbrella"))

    assert path.stat().st_mtime_ns > ahead


def test_a_time_that_is_far_to_come_does_not_make_later_changes_look_older(file: FlagFile, path: Path) -> None:
    """Such as `touch` can set: by the file's own time, nothing would be newer until then, and no flip be recorded."""
    os.utime(path, ns=(2**63 * 2, 2**63 * 2))
    ahead = changed_ns(path.stat())
    os.utime(path)

    assert ahead <= changed_ns(path.stat()) < 2**63


def test_a_link_to_itself_is_named(file: FlagFile, path: Path) -> None:
    path.unlink()
    path.symlink_to(path)

    with pytest.raises(InvalidFlags, match="can't be edited"):
        file.edit(naming("umbrella"))


def test_an_edit_that_the_reader_would_refuse_is_not_written(file: FlagFile, path: Path) -> None:
    before = path.read_bytes()

    with pytest.raises(InvalidFlags, match="enabled without a strategy in force"):
        file.edit(lambda content: FlagContent(enabled=True, rules=()))
    assert path.read_bytes() == before


def test_a_file_that_is_broken_already_is_named_and_left(file: FlagFile, path: Path) -> None:
    path.write_bytes(b'{"version": 2, "features": [')

    with pytest.raises(InvalidFlags, match="is not JSON, or only the beginning of it"):
        file.edit(Switch(flag=FLAG, on=False))
    assert path.read_bytes() == b'{"version": 2, "features": ['


def test_a_flag_that_the_file_does_not_hold_is_named_with_those_it_holds(path: Path) -> None:
    other = FlagFile(path=path, flag="other", actor="alice", record=lambda _: None)

    with pytest.raises(
        InvalidFlags, match="doesn't hold the flag 'other'; it holds agent-research-kill, agent-research"
    ):
        other.edit(Switch(flag="other", on=False))


def test_a_file_that_is_not_there_is_named(file: FlagFile, path: Path) -> None:
    path.unlink()

    with pytest.raises(InvalidFlags, match="no such file; set DISPATCHER_POLICIES_DIR"):
        file.edit(nothing)


def test_rules_with_numbers_of_their_order_are_edited_in_that_order(file: FlagFile, path: Path) -> None:
    rules = [{**rule(only(tenant), title=tenant), "sortOrder": order} for order, tenant in enumerate("ab")]
    path.write_bytes(text(document(*rules)))
    file.edit(naming("c", "legacy"))

    held = json.loads(path.read_bytes())["features"][1]["strategies"]
    assert [rule_["title"] for rule_ in held] == ["tenants on legacy", "a", "b"]
