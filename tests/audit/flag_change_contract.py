"""What every database must keep of the history of flags; a test class inherits it and provides `engine`."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from log_contract import rows

from dispatcher.audit.evidence_tables import flag_changes
from dispatcher.audit.flag_changes import BEGUN_ANEW, FlagChanges
from dispatcher.errors import SourceUnreachable

NOON = dt.datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=dt.UTC)
SERVER = "http://127.0.0.1:4242"


def a_sighting(fingerprint: str, revision: int, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "source": SERVER,
        "flag": "agent-research",
        "fingerprint": fingerprint,
        "version": f"version {revision}",
        "revision": revision,
        "seen_at": NOON + dt.timedelta(seconds=revision),
        "standing": '{"on": true}',
        "actor": None,
    }
    return fields | changes


def flips(changes: FlagChanges, source: str = SERVER) -> list[tuple[int, str | None, str]]:
    """The sequence of a source, the oldest first."""
    history = changes.history("agent-research", source)
    return [(change.sequence, change.from_fingerprint, change.to_fingerprint) for change in reversed(history)]


class FlagChangeContract:
    @pytest.fixture
    def engine(self) -> Iterator[sa.Engine]:
        raise NotImplementedError("the inheriting class names the database")

    @pytest.fixture
    def changes(self, engine: sa.Engine) -> FlagChanges:
        return FlagChanges(engine)

    def test_what_is_recorded_is_what_was_seen(self, changes: FlagChanges, engine: sa.Engine) -> None:
        standing = '{"tenants": "' + "äöü" * 50_000 + '"}'
        assert changes.record(**a_sighting("a", 1))
        assert changes.record(**a_sighting("b", 2, actor="ada@example.com", standing=standing))
        first, second = rows(engine, flag_changes)
        assert (first["sequence"], first["from_fingerprint"], first["actor"]) == (1, None, None)
        assert {name: second[name] for name in second if name != "change_id"} == {
            "source": SERVER,
            "flag": "agent-research",
            "sequence": 2,
            "from_fingerprint": "a",
            "to_fingerprint": "b",
            "flag_version": "version 2",
            "revision": 2,
            "standing": standing,
            "seen_at": NOON + dt.timedelta(seconds=2),
            "actor": "ada@example.com",
        }

    def test_back_and_forth_is_a_row_each_and_standing_still_none(self, changes: FlagChanges) -> None:
        seen = [changes.record(**a_sighting(state, number)) for number, state in enumerate("aabbbaab", 1)]
        assert seen == [True, False, True, False, False, True, False, True]
        assert flips(changes) == [(1, None, "a"), (2, "a", "b"), (3, "b", "a"), (4, "a", "b")]

    @pytest.mark.parametrize("late", [1, 2])
    def test_an_old_document_that_is_seen_late_changes_nothing(self, changes: FlagChanges, late: int) -> None:
        """A process tells of a state that everybody else has left behind, by a clock that is ahead of theirs."""
        changes.record(**a_sighting("a", 1))
        changes.record(**a_sighting("b", 2))
        assert not changes.record(**a_sighting("a", late, seen_at=NOON + dt.timedelta(minutes=1)))
        assert flips(changes) == [(1, None, "a"), (2, "a", "b")]

    def test_a_server_that_counts_anew_goes_on_with_its_history(self, changes: FlagChanges) -> None:
        """Made again, or restored from a backup: its revisions are low ones, and its flips are flips."""
        changes.record(**a_sighting("a", 1000))
        anew = NOON + dt.timedelta(seconds=1000) + BEGUN_ANEW + dt.timedelta(seconds=1)
        for number, state in enumerate("bbab", 5):
            changes.record(**a_sighting(state, number, seen_at=anew + dt.timedelta(seconds=number)))
        assert flips(changes) == [(1, None, "a"), (2, "a", "b"), (3, "b", "a"), (4, "a", "b")]

    def test_an_older_file_that_another_host_still_has_is_no_flip(self, changes: FlagChanges) -> None:
        changes.record(**a_sighting("new", 1000, source="file"))
        assert not changes.record(**a_sighting("old", 5, source="file", seen_at=NOON + dt.timedelta(days=1)))
        assert flips(changes, "file") == [(1, None, "new")]

    def test_where_the_source_states_no_revision_the_order_is_that_of_the_sightings(self, changes: FlagChanges) -> None:
        for second, state in ((0, "a"), (5, "b"), (3, "a"), (7, "a")):
            changes.record(**a_sighting(state, 0, seen_at=NOON + dt.timedelta(seconds=second)))
        assert flips(changes) == [(1, None, "a"), (2, "a", "b"), (3, "b", "a")]

    def test_sources_and_flags_have_histories_of_their_own(self, changes: FlagChanges) -> None:
        changes.record(**a_sighting("a", 9))
        for other in ({"source": "file"}, {"source": SERVER.upper()}, {"flag": "Agent-Research"}):
            assert changes.record(**a_sighting("a", 1, **other))
        assert flips(changes) == flips(changes, "file") == flips(changes, SERVER.upper()) == [(1, None, "a")]
        assert [change.source for change in changes.history("Agent-Research")] == [SERVER]

    def test_the_history_is_the_newest_first_and_no_longer_than_asked_for(self, changes: FlagChanges) -> None:
        for number in range(1, 6):
            changes.record(**a_sighting(f"state {number}", number))
        changes.record(**a_sighting("of the file", 1, source="file", seen_at=NOON + dt.timedelta(seconds=3.5)))
        everywhere = [change.to_fingerprint for change in changes.history("agent-research", limit=4)]
        assert everywhere == ["state 5", "state 4", "of the file", "state 3"]
        assert [change.sequence for change in changes.history("agent-research", SERVER, limit=2)] == [5, 4]
        assert changes.history("nobody's") == []

    def test_of_many_that_see_one_flip_at_once_one_appends_it(self, engine: sa.Engine) -> None:
        """Each with connections of its own, as processes have them; several flips in a row, all kept."""
        workers = [FlagChanges(engine) for _ in range(8)]
        barrier = threading.Barrier(len(workers))

        def see(worker: FlagChanges) -> list[bool]:
            seen = []
            for number, state in enumerate("abab", 1):
                barrier.wait(30)
                seen.append(worker.record(**a_sighting(state, number)))
            return seen

        with ThreadPoolExecutor(len(workers)) as pool:
            seen = list(pool.map(see, workers))
        assert [sum(appended) for appended in zip(*seen, strict=True)] == [1, 1, 1, 1]
        assert flips(workers[0]) == [(1, None, "a"), (2, "a", "b"), (3, "b", "a"), (4, "a", "b")]

    def test_a_row_that_the_database_refuses_is_an_error_and_not_tried_for_ever(self, changes: FlagChanges) -> None:
        with pytest.raises(SourceUnreachable):
            changes.record(**a_sighting("a", 1, standing=None))

    def test_it_goes_on_in_a_child_after_a_fork_and_in_the_parent(self, changes: FlagChanges) -> None:
        changes.record(**a_sighting("a", 1))
        child = os.fork()
        if not child:
            recorded = False
            try:
                recorded = changes.record(**a_sighting("b", 2))
            finally:
                os._exit(0 if recorded else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not changes.record(**a_sighting("b", 2))
        assert changes.record(**a_sighting("c", 3))
        assert flips(changes) == [(1, None, "a"), (2, "a", "b"), (3, "b", "c")]
