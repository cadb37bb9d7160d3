"""What concerns us is taken from a document of any size, and a large one is parsed elsewhere."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from flag_edits import first_rule, sound
from flag_server_world import World, ask, choosing, good, until
from routing_documents import FLAG, KILL, only, rule, text

from dispatcher.routing.flags.child import LARGE
from dispatcher.routing.flags.json_object import NoDocumentError
from dispatcher.routing.flags.sift import sift, sift_here


def crowded(content: dict[str, Any], flags: int = 1500) -> dict[str, Any]:
    """The document among many flags of other teams; more than LARGE bytes."""
    others = [{"name": f"other-{n}", "enabled": True, "strategies": [rule(only("x"))]} for n in range(flags)]
    segments = [{"id": 1, "constraints": [only("acme")]}, {"id": 2, "constraints": [only("globex")]}]
    return {**content, "features": [*others, *content["features"]], "segments": segments, "meta": {"revisionId": 4}}


@pytest.fixture
def large() -> bytes:
    content = crowded(sound())
    first_rule(content | {"features": content["features"][-2:]})["segments"] = [2]
    found = text(content)
    assert len(found) > LARGE
    return found


def test_only_our_flags_their_parents_and_their_segments_are_left(large: bytes) -> None:
    left = json.loads(sift_here(large, [FLAG]))

    assert [flag["name"] for flag in left["features"]] == [FLAG, KILL]
    assert [segment["id"] for segment in left["segments"]] == [2]
    assert left["meta"] == {"revisionId": 4}


def test_a_child_process_finds_what_this_one_would(large: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    spawned: list[str] = []
    sys.addaudithook(lambda name, args: spawned.append(name) if name in {"os.posix_spawn", "os.fork"} else None)

    assert sift(large, [FLAG]) == sift_here(large, [FLAG])
    assert "os.posix_spawn" in spawned
    assert "os.fork" not in spawned


def test_a_small_document_needs_no_child() -> None:
    assert sift(text(sound()), [FLAG]) == sift_here(text(sound()), [FLAG])


def test_where_no_child_can_be_started_it_is_done_here(large: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for executable in ("", "/usr/bin/uwsgi", "/nowhere/python3"):
        monkeypatch.setattr(sys, "executable", executable)

        assert sift(large, [FLAG]) == sift_here(large, [FLAG])


def test_a_directory_that_looks_like_ours_is_not_run(
    large: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    sift(large, [FLAG])

    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"<html>", "is not JSON"),
        (b"[" * 100_000, "is not usable JSON: it is nested too deeply"),
        (b"\xff", "is not UTF-8 text (byte 0)"),
        (b"[]", "holds a list"),
        (b"{}", "features is missing"),
        (b'{"features": {}}', "features holds a dict"),
        (b"[" + b" " * LARGE, "is not JSON, or only the beginning of it"),
    ],
)
def test_what_is_no_document_is_refused_with_its_reason_wherever_it_is_read(content: bytes, reason: str) -> None:
    with pytest.raises(NoDocumentError) as refused:
        sift(content, [FLAG])

    assert reason in str(refused.value)


def test_a_large_document_of_a_server_takes_effect_and_leaves_no_child_and_no_file_open(tmp_path: Path) -> None:
    with World().serving(good(text(crowded(json.loads(choosing("a")))))) as world:
        flags = world.flags(tmp_path)
        flags.start()
        until(lambda: ask(flags).variant == "a")
        opened = len(list(Path("/proc/self/fd").iterdir()))
        for variant in "bcd":
            world.answering = good(text(crowded(json.loads(choosing(variant)))))
            until(lambda: ask(flags).variant == variant)  # noqa: B023 - called at once
        flags.stop()
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()

    assert len(list(Path("/proc/self/fd").iterdir())) <= opened
    assert children == []
