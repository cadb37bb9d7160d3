"""The door to a flag server: bounded in time and size, and silent about secrets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flag_server_world import TOKEN, Answering, World, broken_off, good, huge, silent, status, trickling

from dispatcher.errors import FlagServerUnavailable
from dispatcher.routing.flags.http import get, origin_of, post, request

HEADERS = {"Authorization": TOKEN}


@pytest.fixture
def world() -> Iterator[World]:
    with World().serving() as world:
        yield world


def trickling_body(handler: object) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")  # type: ignore[attr-defined]
    while not handler.world.closing.wait(0.05):  # type: ignore[attr-defined]
        handler.wfile.write(b"x")  # type: ignore[attr-defined]


@pytest.mark.parametrize("answering", [silent, trickling, trickling_body], ids=["silent", "headers", "body"])
def test_an_exchange_ends_within_its_deadline(answering: Answering, world: World) -> None:
    world.answering = answering
    began = time.monotonic()

    with pytest.raises(FlagServerUnavailable, match=r"^http://127\.0\.0\.1:\d+ did not answer within 0\.4 s$"):
        get(world.url, headers=HEADERS, deadline_s=0.4)

    assert time.monotonic() - began < 1.5


def test_a_body_without_an_end_is_refused(world: World) -> None:
    world.answering = huge

    with pytest.raises(FlagServerUnavailable, match="answers with more than 64 MiB"):
        get(world.url, headers=HEADERS, deadline_s=60)


def test_a_connection_that_breaks_off_is_no_answer(world: World) -> None:
    world.answering = broken_off

    with pytest.raises(FlagServerUnavailable, match="can't be reached"):
        get(world.url, headers=HEADERS, deadline_s=2)


def test_a_port_where_nobody_listens_is_said(world: World) -> None:
    port = world.port
    with pytest.raises(FlagServerUnavailable, match="can't be reached: Connection refused"):
        get(f"http://127.0.0.2:{port}", headers=HEADERS, deadline_s=2)


def test_a_redirect_is_not_followed_with_the_token(world: World) -> None:
    with World().serving() as other:
        world.answering = status(302, Location=f"{other.url}/x?secret=1")

        with pytest.raises(FlagServerUnavailable, match=f"redirects to {other.url}, which is not followed"):
            get(world.url, headers=HEADERS, deadline_s=2)

    assert other.asked == []


def test_an_etag_asks_for_a_newer_document_only(world: World) -> None:
    world.answering = good(b"x", etag='"1"')
    first = get(world.url, headers=HEADERS, deadline_s=2)

    assert (first.status, first.body, first.etag) == (200, b"x", '"1"')
    assert get(world.url, headers=HEADERS, etag=first.etag, deadline_s=2).status == 304


def test_what_is_posted_arrives_as_json(world: World) -> None:
    assert post(world.url + "/api/x", headers=HEADERS, body=b'{"a": 1}', deadline_s=2).status == 202
    path, headers, body = world.posted[0]

    assert (path, headers["Content-Type"], headers["Authorization"], body) == (
        "/api/x",
        "application/json",
        TOKEN,
        {"a": 1},
    )


def test_a_netrc_never_replaces_the_token(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    get(world.url, headers=HEADERS, deadline_s=2)

    assert world.asked[0][1]["Authorization"] == TOKEN


@pytest.mark.parametrize("token", ["secret\nvalue", "secret\u20acvalue"])
def test_a_token_that_cannot_be_sent_is_not_shown(token: str, world: World) -> None:
    with pytest.raises(FlagServerUnavailable) as refused:
        request("GET", world.url, headers={"Authorization": token}, deadline_s=2)

    assert "holds a character that can't be sent" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_an_origin_holds_no_credentials() -> None:
    assert origin_of("https://user:pass@flags.example:4242/api?x=1") == "https://flags.example:4242"
