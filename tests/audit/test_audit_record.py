from __future__ import annotations

import datetime as dt
import time
import uuid

from freezegun import freeze_time

from dispatcher.audit.record import new_log_id


def test_a_log_id_is_a_version_7_uuid_of_the_standard_variant() -> None:
    text = new_log_id()
    parsed = uuid.UUID(text)
    assert text == str(parsed)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


def test_a_log_id_begins_with_the_milliseconds_of_its_making() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(new_log_id()).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_later_log_ids_sort_after_earlier_ones() -> None:
    with freeze_time("2026-11-21T00:00:00Z") as frozen:
        ids = []
        for _ in range(20):
            ids.append(new_log_id())
            frozen.tick(dt.timedelta(milliseconds=10))
    assert ids == sorted(ids)


def test_log_ids_of_one_millisecond_differ() -> None:
    with freeze_time("2026-11-21T00:00:00Z"):
        ids = {new_log_id() for _ in range(20_000)}
    assert len(ids) == 20_000
    assert len({text[:13] for text in ids}) == 1


def test_every_random_bit_of_a_log_id_is_used() -> None:
    """74 bits vary; the 48 of the time and the 6 of version and variant don't, within a millisecond."""
    with freeze_time("2026-11-21T00:00:00Z"):
        values = [uuid.UUID(new_log_id()).int for _ in range(500)]
    varying = 0
    for value in values:
        varying |= value ^ values[0]
    assert varying.bit_count() == 74
