"""Flips are told of once each, in order, off the threads that evaluate, whatever whoever is told does."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from flag_edits import sound
from flag_server_world import World, ask, choosing, good, until
from routing_documents import FLAG, text

from dispatcher.routing.flags.file import EmbeddedFlags, changed_ns
from dispatcher.routing.flags.sighting import Sighting
from dispatcher.routing.flags.standing import Standing


def test_the_first_state_and_each_flip_of_a_server_are_told_once(tmp_path: Path) -> None:
    told: list[Sighting] = []
    with World().serving(good(choosing("a", meta={"revisionId": 1}))) as world:
        flags = world.flags(tmp_path, on_sighting=told.append)
        flags.start()
        until(lambda: len(told) == 1)
        for revision, variant in enumerate("aba", 2):
            world.answering = good(choosing(variant, meta={"revisionId": revision}))
            until(lambda: ask(flags).variant == variant)  # noqa: B023 - called at once
        until(lambda: len(told) == 3)
        flags.stop()

    assert [sighting.revision for sighting in told] == [1, 3, 4]
    assert told[0].fingerprint == told[2].fingerprint != told[1].fingerprint
    assert {sighting.source for sighting in told} == {world.url}
    assert {sighting.flag for sighting in told} == {FLAG}
    assert Standing.from_json(told[1].standing).entry("acme").shares == (("b", 1.0),)


def test_a_restored_state_is_told_once_it_is_confirmed(tmp_path: Path) -> None:
    told: list[Sighting] = []
    world = World()
    with world.serving():
        world.flags(tmp_path).start()
        until(lambda: any(tmp_path.iterdir()))
    restored = world.flags(tmp_path, on_sighting=told.append)
    assert ask(restored).variant == "a"
    before = len(told)
    with world.serving():
        until(lambda: len(told) == 1)
        restored.stop()

    assert before == 0


def test_a_teller_that_hangs_or_raises_hurts_no_flip_and_is_asked_again(tmp_path: Path) -> None:
    hanging = threading.Event()
    calls: list[int] = []

    def tell(sighting: Sighting) -> None:
        calls.append(sighting.revision)
        hanging.wait(20)
        if len(calls) == 1:
            raise RuntimeError("the database is away")

    with World().serving(good(choosing("a", meta={"revisionId": 1}))) as world:
        flags = world.flags(tmp_path, on_sighting=tell)
        flags.start()
        until(lambda: len(calls) == 1)
        world.answering = good(choosing("b", meta={"revisionId": 2}))
        until(lambda: ask(flags).variant == "b")
        hanging.set()
        began = time.monotonic()
        flags.stop()
        stopped = time.monotonic()
        until(lambda: len(calls) == 3)

    assert stopped - began < 1
    assert calls == [1, 1, 2]


def test_a_files_flip_is_told_later_so_that_whoever_made_it_comes_first(tmp_path: Path) -> None:
    told: list[tuple[float, Sighting]] = []
    path = tmp_path / "flags.json"
    path.write_bytes(text(sound()))
    began = time.monotonic()
    flags = EmbeddedFlags(path, [FLAG], on_sighting=lambda sighting: told.append((time.monotonic(), sighting)))
    until(lambda: len(told) == 1)

    at, sighting = told[0]
    assert at - began >= 1
    assert (sighting.source, sighting.revision) == ("file", changed_ns(path.stat()))
    assert sighting.version == ask(flags).version  # type: ignore[arg-type]


def test_without_a_thread_to_tell_flags_are_evaluated_and_the_next_flip_tells_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Sighting] = []
    path = tmp_path / "flags.json"
    path.write_bytes(text(sound()))

    def refused(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        flags = EmbeddedFlags(path, [FLAG], on_sighting=told.append)
        answer = ask(flags)  # type: ignore[arg-type]
    path.write_bytes(choosing("b"))
    until(lambda: ask(flags).variant == "b")  # type: ignore[arg-type]
    until(lambda: len(told) == 2)

    assert answer.variant == "managed-haiku-4-5-cap8"
