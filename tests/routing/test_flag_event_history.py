"""The history of a flag: states that were seen, joined with a server's event log."""

from __future__ import annotations

import datetime as dt

from dispatcher.routing.flag_editing.history import Event, Flip, Seen, told
from dispatcher.routing.flags.standing import Entry, Standing

START = dt.datetime(2026, 11, 21, 8, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def seen(sequence: int, seconds: float, variant: str, actor: str | None = None) -> Seen:
    entry = Entry(tenant="acme", project=None, by=None, shares=((variant, 1.0),), rule="pilot")
    standing = Standing(on=True, detail="", entries=(entry,))
    return Seen(source="server", sequence=sequence, at=at(seconds), version=variant, standing=standing, actor=actor)


def event(number: int, seconds: float, by: str = "bob") -> Event:
    return Event(number=number, at=at(seconds), by=by, what="feature-strategy-update")


def moved(flip: Flip) -> list[tuple[str | None, str | None, str]]:
    return [(move.tenant, move.before and move.before.text, move.after.text) for move in flip.moves]


def test_each_state_is_told_as_what_moved_since_the_one_before_the_newest_first() -> None:
    flips = told([seen(2, 60, "m", "alice"), seen(1, 0, "legacy")], [])

    assert [(flip.at, flip.first, flip.who, moved(flip)) for flip in flips] == [
        (at(60), False, ("alice",), [("acme", "legacy", "m")]),
        (at(0), True, (), [("acme", None, "legacy"), (None, None, "legacy")]),
    ]


def test_a_state_whose_predecessor_is_not_given_is_only_what_the_next_came_from() -> None:
    flips = told([seen(8, 60, "m"), seen(7, 0, "legacy")], [])

    assert [moved(flip) for flip in flips] == [[("acme", "legacy", "m")]]


def test_an_event_led_to_the_first_state_seen_after_it() -> None:
    states = [seen(1, 0, "legacy"), seen(2, 60, "m"), seen(3, 120, "legacy")]
    flips = told(states, [event(5, 58, "carol"), event(6, 61), event(7, 119)])

    assert [flip.who for flip in flips] == [("bob",), ("carol",), ()]
    assert [one.number for one in flips[0].events] == [6, 7]


def test_clocks_may_be_some_seconds_apart() -> None:
    flips = told([seen(1, 0, "legacy"), seen(2, 60, "m")], [event(5, 63)])

    assert [(flip.at, flip.who) for flip in flips] == [(at(60), ("bob",)), (at(0), ())]


def test_an_event_that_no_process_has_seen_the_state_of_is_told_by_itself() -> None:
    flips = told([seen(1, 0, "legacy")], [event(5, 600)])

    assert [(flip.at, flip.version, flip.who) for flip in flips] == [(at(600), None, ("bob",)), (at(0), "legacy", ())]
    assert flips[0].moves == ()


def test_who_flipped_it_here_and_by_the_server_s_log_are_both_named_once() -> None:
    flips = told([seen(1, 0, "legacy"), seen(2, 60, "m", "alice")], [event(5, 58, "alice"), event(6, 59, "admin")])

    assert flips[0].who == ("alice", "admin")


def test_nothing_seen_and_nothing_logged_is_no_history() -> None:
    assert told([], []) == []
