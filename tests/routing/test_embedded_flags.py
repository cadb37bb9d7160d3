"""Flags from a file: seen again on use, kept while the file can't be used, refused at the start."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from routing_documents import FLAG, document, only, rule, text

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flags.answer import FlagAnswer, FlagContext, FlagState
from dispatcher.routing.flags.file import LOOK_EVERY_S, EmbeddedFlags
from dispatcher.routing.flags.holder import MAX_STALE_S

ACME = FlagContext(tenant="acme", conversation="c-1")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "flags.json"
    path.write_bytes(choosing("a"))
    return path


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def flags(path: Path, clock: Clock) -> EmbeddedFlags:
    return EmbeddedFlags(path, [FLAG], clock=clock)


def choosing(variant: str) -> bytes:
    return text(document(rule(only("acme"), variants={variant: 1})))


def later(flags: EmbeddedFlags, clock: Clock, seconds: float = LOOK_EVERY_S) -> FlagAnswer:
    clock.now += seconds
    return flags.evaluate(FLAG, ACME)


def test_an_edit_takes_effect_at_the_next_look_and_not_before(flags: EmbeddedFlags, path: Path, clock: Clock) -> None:
    path.write_bytes(choosing("b"))

    assert later(flags, clock, LOOK_EVERY_S / 2).variant == "a"
    assert later(flags, clock, LOOK_EVERY_S / 2).variant == "b"


def test_a_file_that_is_replaced_takes_effect(flags: EmbeddedFlags, path: Path, clock: Clock) -> None:
    other = path.with_name("other.json")
    other.write_bytes(choosing("b"))
    other.replace(path)

    assert later(flags, clock).variant == "b"


def test_a_link_that_is_swapped_takes_effect(tmp_path: Path, clock: Clock) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(choosing(name))
    link = tmp_path / "flags.json"
    link.symlink_to(tmp_path / "a")
    flags = EmbeddedFlags(link, [FLAG], clock=clock)
    (tmp_path / "swap").symlink_to(tmp_path / "b")
    (tmp_path / "swap").replace(link)

    assert later(flags, clock).variant == "b"


class CoarsePath(type(Path())):  # type: ignore[misc]
    """A file on a file system whose clock ticks once a second."""

    def stat(self, **given: bool) -> os.stat_result:
        found = super().stat(**given)
        fields = {name: getattr(found, name) for name in dir(found) if name.startswith("st_")}
        seconds = {name: value // 10**9 * 10**9 for name, value in fields.items() if name.endswith("time_ns")}
        return os.stat_result(tuple(found), {**fields, **seconds})


def test_edits_within_one_tick_of_the_file_system_are_all_seen(path: Path, clock: Clock) -> None:
    flags = EmbeddedFlags(CoarsePath(path), [FLAG], clock=clock)
    for variant in "babababa":
        with path.open("r+b") as file:
            file.write(choosing(variant))

        assert later(flags, clock).variant == variant


class CountingPath(type(Path())):  # type: ignore[misc]
    """A path that counts how often it is read."""

    reads = 0

    def read_bytes(self) -> bytes:
        CountingPath.reads += 1
        return super().read_bytes()


def test_a_file_at_rest_is_looked_at_and_not_read_again(path: Path, clock: Clock) -> None:
    flags = EmbeddedFlags(CountingPath(path), [FLAG], clock=clock, wall_ns=lambda: time.time_ns() + 10**10)
    for _ in range(5):
        later(flags, clock)

    assert CountingPath.reads == 1


BROKEN: dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: path.write_bytes(b"<html>502</html>"),
    "half-written": lambda path: path.write_bytes(choosing("b")[:-30]),
    "a number where text belongs": lambda path: path.write_bytes(choosing("b").replace(b'"100"', b"100")),
    "a misspelt key": lambda path: path.write_bytes(choosing("b").replace(b"constraints", b"constrants")),
    "empty": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
    "a pipe that nobody writes": lambda path: (path.unlink(), os.mkfifo(path)),
    "a link to nowhere": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("breaking", BROKEN.values(), ids=BROKEN)
def test_a_broken_edit_keeps_the_last_good_state_and_says_so(
    breaking: Callable[[Path], object], flags: EmbeddedFlags, path: Path, clock: Clock
) -> None:
    before = flags.evaluate(FLAG, ACME)
    breaking(path)

    answer = later(flags, clock)

    assert (answer.state, answer.variant, answer.version) == (before.state, before.variant, before.version)
    assert (before.stale, answer.stale) == (False, True)
    assert str(path) in (answer.problem or "")


@pytest.mark.parametrize("breaking", BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_bad_at_the_start_is_loud(breaking: Callable[[Path], object], path: Path) -> None:
    breaking(path)

    with pytest.raises(InvalidFlags, match=str(path)):
        EmbeddedFlags(path, [FLAG])


def test_a_process_that_starts_braked_starts_with_a_bad_file_and_sees_it_mended(path: Path, clock: Clock) -> None:
    path.write_bytes(b"{")
    flags = EmbeddedFlags(path, [FLAG], bad_start_allowed=True, clock=clock)

    answer = flags.evaluate(FLAG, ACME)
    path.write_bytes(choosing("b"))

    assert (answer.state, answer.version, answer.stale) == (FlagState.ERROR, None, True)
    assert "there is no flag document that can be used" in answer.detail
    assert later(flags, clock).variant == "b"


def test_a_mended_file_ends_the_staleness(flags: EmbeddedFlags, path: Path, clock: Clock) -> None:
    good = path.read_bytes()
    path.write_bytes(b"{")
    stale = later(flags, clock)
    path.write_bytes(good)

    mended = later(flags, clock)

    assert (stale.stale, mended.stale, mended.variant) == (True, False, "a")


def test_a_state_that_cannot_be_confirmed_is_stale_after_an_hour(
    flags: EmbeddedFlags, path: Path, clock: Clock
) -> None:
    path.unlink()

    within, beyond = later(flags, clock, MAX_STALE_S), later(flags, clock, 1)

    assert (within.state, beyond.state) == (FlagState.VARIANT, FlagState.STALE)
    assert "could not be confirmed for 3601 s" in beyond.detail


def test_a_file_that_is_good_and_old_never_gets_stale(flags: EmbeddedFlags, clock: Clock) -> None:
    assert later(flags, clock, 100 * MAX_STALE_S).state is FlagState.VARIANT


def test_one_problem_is_logged_once(
    flags: EmbeddedFlags, path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path.write_bytes(b"{")
    for _ in range(5):
        later(flags, clock)
    path.write_bytes(choosing("b"))
    later(flags, clock)

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "the last good flags stay in force" in caplog.records[0].message


def test_readers_on_many_threads_never_see_half_a_swap(path: Path) -> None:
    flags = EmbeddedFlags(path, [FLAG], clock=_hurried())
    versions = {flags.evaluate(FLAG, ACME).version: "a"}
    seen: set[tuple[str | None, str | None]] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            answer = flags.evaluate(FLAG, ACME)
            seen.add((answer.version, answer.variant))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(60):
        other = path.with_name("next")
        other.write_bytes(choosing("ba"[turn % 2]))
        other.replace(path)
        answer = flags.evaluate(FLAG, ACME)
        versions[answer.version] = answer.variant or ""
    stop.set()
    for reader in readers:
        reader.join()

    assert seen <= set(versions.items())
    assert set(versions.values()) == {"a", "b"}


def _hurried() -> Callable[[], float]:
    """A clock by which every question is due for a look at the file."""
    start = time.monotonic()
    return lambda: (time.monotonic() - start) * 1e6
