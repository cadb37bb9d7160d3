"""The last good state on disk: there at the next start, as old as it is, safe, and never trusted blindly."""

from __future__ import annotations

import datetime as dt
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from flag_server_world import TOKEN, World, ask, choosing, good, silent, status, until
from pydantic import SecretStr
from routing_documents import FLAG

from dispatcher.routing.flags.answer import FlagState
from dispatcher.routing.flags.holder import MAX_STALE_S
from dispatcher.routing.flags.server import ServerFlags
from dispatcher.routing.flags.store import Kept, StateStore, UnusableError

NOW = dt.datetime(2026, 11, 21, 12, 0, tzinfo=dt.UTC)
KEPT = Kept(version="v", etag='"e"', fetched_at=NOW, sifted=b'{"x": 1}')


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A server that was polled once and is away."""
    world = World()
    with world.serving():
        flags = world.flags(tmp_path / "state")
        flags.start()
        flags.stop()
    return world


def kept_file(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "state").iterdir()
    return path


def test_the_last_good_state_answers_after_a_restart_without_the_server(world: World, tmp_path: Path) -> None:
    answer = ask(world.flags(tmp_path / "state"))

    assert (answer.state, answer.variant, answer.stale) == (FlagState.VARIANT, "a", True)


def test_a_start_before_a_black_hole_is_ready_with_the_last_good_state(world: World, tmp_path: Path) -> None:
    with world.serving(silent):
        flags = world.flags(tmp_path / "state")
        flags.start()
        answer = ask(flags)
        flags.stop()

    assert (answer.variant, answer.stale) == ("a", True)


def test_garbage_of_the_server_never_reaches_the_disk(world: World, tmp_path: Path) -> None:
    before = kept_file(tmp_path).read_bytes()
    with world.serving(status(200, b"<html>502</html>")) as again:
        flags = world.flags(tmp_path / "state")
        flags.start()
        until(lambda: len(again.asked) > 3)
        flags.stop()

    assert kept_file(tmp_path).read_bytes() == before
    assert ask(world.flags(tmp_path / "state")).variant == "a"


def test_a_restored_state_is_confirmed_by_its_etag(tmp_path: Path) -> None:
    world = World()
    with world.serving(good(choosing("a"), etag='"seven"')):
        world.flags(tmp_path).start()
        until(lambda: any(tmp_path.iterdir()))
        world.asked.clear()
        flags = world.flags(tmp_path)
        flags.start()
        answer = ask(flags)
        flags.stop()

    assert [headers.get("If-None-Match") for _, headers in world.asked[:1]] == ['"seven"']
    assert (answer.variant, answer.stale) == ("a", False)


def test_directory_and_file_are_the_users_own(world: World, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE(kept_file(tmp_path).stat().st_mode) == 0o600


def test_the_file_is_json_and_holds_no_token(world: World, tmp_path: Path) -> None:
    content = kept_file(tmp_path).read_text()

    form = json.loads(content)
    assert form["format"] == 1
    assert FLAG in [flag["name"] for flag in json.loads(form["document"])["features"]]
    assert TOKEN not in content
    assert TOKEN.rpartition(".")[2] not in str(kept_file(tmp_path))


def test_the_age_goes_on_over_a_restart(world: World, tmp_path: Path) -> None:
    path = kept_file(tmp_path)
    form = json.loads(path.read_text())
    form["fetched_at"] = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=MAX_STALE_S + 5)).isoformat()
    path.write_text(json.dumps(form))

    assert ask(world.flags(tmp_path / "state")).state is FlagState.STALE


def test_another_token_never_gets_this_ones_state(world: World, tmp_path: Path) -> None:
    production = SecretStr("default:production.0123456789abcdef")
    flags = ServerFlags(world.url, production, [FLAG], state_dir=tmp_path / "state", refresh_s=0.05)

    assert ask(flags).state is FlagState.ERROR


DAMAGE: dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: path.write_bytes(b"\x80\x04garbage"),
    "half of it": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "nothing": lambda path: path.write_bytes(b""),
    "another form": lambda path: path.write_text('{"format": 2}'),
    "a document that isn't one": lambda path: path.write_text(
        json.dumps({**json.loads(path.read_text()), "document": "{}"})
    ),
    "writable for others": lambda path: path.chmod(0o666),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
    "a link": lambda path: (path.rename(path.with_name("other")), path.symlink_to(path.with_name("other"))),
}


@pytest.mark.parametrize("damaging", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_left_alone_and_said_and_the_start_goes_on(
    damaging: Callable[[Path], object], world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaging(kept_file(tmp_path))

    answer = ask(world.flags(tmp_path / "state"))

    assert answer.state is FlagState.ERROR
    assert "the last good flags on disk are left alone" in caplog.text


def test_a_directory_that_cannot_be_written_is_said_once_and_flags_are_read_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("in the way")
    with World().serving() as world:
        flags = world.flags(tmp_path / "state")
        flags.start()
        world.answering = good(choosing("b"))
        until(lambda: ask(flags).variant == "b")
        flags.stop()

    assert len([r for r in caplog.records if "can't be kept" in r.message]) == 1


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    store = StateStore(tmp_path, "http://here", "token", [FLAG])
    store.write(KEPT)

    assert store.read(NOW) == KEPT
    assert [path.name for path in tmp_path.iterdir()] == [store.path.name]


def test_a_state_from_the_future_has_no_age_and_is_refused(tmp_path: Path) -> None:
    store = StateStore(tmp_path, "http://here", "token", [FLAG])
    store.write(KEPT)

    with pytest.raises(UnusableError, match="from the future"):
        store.read(NOW - dt.timedelta(hours=1))
    slightly = store.read(NOW - dt.timedelta(minutes=1))
    assert slightly is not None
    assert slightly.fetched_at == NOW - dt.timedelta(minutes=1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write another user's files")
def test_root_does_not_make_the_state_of_a_serving_user_its_own(tmp_path: Path) -> None:
    store = StateStore(tmp_path, "http://here", "token", [FLAG])
    os.chown(tmp_path, 12345, 12345)

    with pytest.raises(PermissionError):
        store.write(KEPT)

    assert list(tmp_path.iterdir()) == []
