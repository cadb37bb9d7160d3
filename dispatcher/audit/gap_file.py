"""Gaps in the log that the database doesn't know of yet, in a file that is as large from the start as it ever gets."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dispatcher.audit.lock_file import SpoolTrouble, keep_names, locked_file
from dispatcher.audit.record import new_log_id

_PATIENCE_S = 5.0
_PLACES = 16
# The longest gap has about 700 characters, of four bytes each at most.
_COPY = 4096
_REASON = 255
_BYTES = 2 * _PLACES * _COPY


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A span of time in which dispatches of a feature and origin were answered that no row tells of.

    `dispatches` says how many, 1 at least; both moments, aware and in UTC, are ones in which one was made.
    """

    gap_id: str
    feature: str
    origin: str
    began_at: dt.datetime
    ended_at: dt.datetime
    dispatches: int
    owner: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What stands in one place of the file; a sealed gap never changes, so that it can be told to the database."""

    number: int
    generation: int = 0
    gap: Gap | None = None
    sealed: bool = False


class GapFile:
    """The gaps that this host has noted, on the disk when a method returns.

    Every byte is written when the file is made, and later ones take the place of earlier ones, so that a full disk
    can't keep a gap from being noted. Each place has two copies, written in turn: a write that was cut short leaves the
    one before it. Shared by the processes of the host. All raise SpoolTrouble or OSError where the file can't be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def prepare(self) -> None:
        """Make the file."""
        with self._opened():
            pass

    def note(self, *, feature: str, origin: str, at: dt.datetime, owner: str, reason: str) -> None:
        """Note a dispatch that no row will tell of."""
        with self._opened() as descriptor:
            places = _read(descriptor)
            same = (p for p in places if p.gap and not p.sealed and (p.gap.feature, p.gap.origin) == (feature, origin))
            place = next(same, None) or next((place for place in places if place.gap is None), None)
            if place is None:
                raise SpoolTrouble("it is full of gaps; bring the database back")
            gap = place.gap or Gap(
                gap_id=new_log_id(),
                feature=feature,
                origin=origin,
                began_at=at,
                ended_at=at,
                dispatches=0,
                owner=owner,
                reason=reason[:_REASON],
            )
            began_at, ended_at = min(gap.began_at, at), max(gap.ended_at, at)
            gap = replace(gap, began_at=began_at, ended_at=ended_at, dispatches=gap.dispatches + 1)
            _write(descriptor, replace(place, gap=gap))

    def waiting(self) -> list[Gap]:
        """What is noted; creates nothing."""
        if not self._path.exists():
            return []
        with self._opened() as descriptor:
            return [place.gap for place in _read(descriptor) if place.gap is not None]

    def sealed(self) -> list[Gap]:
        """What is noted, to be told to the database: none of it changes any more."""
        if not self.waiting():
            return []
        with self._opened() as descriptor:
            noted = [place for place in _read(descriptor) if place.gap is not None]
            for place in noted:
                if not place.sealed:
                    _write(descriptor, replace(place, sealed=True))
            return [place.gap for place in noted if place.gap is not None]

    def forget(self, gap_id: str) -> None:
        """Free the place of a gap that the database knows."""
        with self._opened() as descriptor:
            for place in _read(descriptor):
                if place.gap is not None and place.gap.gap_id == gap_id:
                    _write(descriptor, replace(place, gap=None, sealed=False))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        with locked_file(self._path, _PATIENCE_S) as descriptor:
            if descriptor is None:
                raise SpoolTrouble("another program holds it locked; wait for that program or stop it")
            size = os.fstat(descriptor).st_size
            if size < _BYTES:
                # Whoever made it may have been killed before its name was on the disk; a whole file is a kept one.
                keep_names((self._path.parent,))
                # What is there may hold gaps already: a disk that is full takes less than it is given.
                if os.pwrite(descriptor, bytes(_BYTES - size), size) != _BYTES - size:
                    raise SpoolTrouble("it can't be made as large as it must be; free some space on its disk")
                os.fsync(descriptor)
            yield descriptor


def _read(descriptor: int) -> list[_Place]:
    content = os.pread(descriptor, _BYTES, 0)
    copies = [_decoded(content[start : start + _COPY]) for start in range(0, _BYTES, _COPY)]
    places = []
    for number in range(_PLACES):
        found = [copy for copy in copies[2 * number : 2 * number + 2] if copy is not None]
        newest = max(
            found, key=lambda copy: copy["generation"], default={"generation": 0, "gap": None, "sealed": False}
        )
        places.append(_Place(number=number, **newest))
    return places


def _write(descriptor: int, place: _Place) -> None:
    generation = place.generation + 1
    gap = None if place.gap is None else asdict(place.gap)
    value = {"generation": generation, "gap": gap, "sealed": place.sealed}
    text = json.dumps(value, ensure_ascii=False, default=dt.datetime.isoformat).encode()
    copy = f"{zlib.crc32(text):08x} {len(text):08x} ".encode() + text
    written = os.pwrite(descriptor, copy.ljust(_COPY), (2 * place.number + generation % 2) * _COPY)
    if written != _COPY:
        raise SpoolTrouble("it can't be written")
    os.fdatasync(descriptor)


def _decoded(copy: bytes) -> dict[str, Any] | None:
    """What a copy holds; None for one that was never written, or not to its end."""
    try:
        checksum, length, rest = int(copy[:8], 16), int(copy[9:17], 16), copy[18:]
    except ValueError:
        return None
    text = rest[:length]
    if zlib.crc32(text) != checksum:
        return None
    value: dict[str, Any] = json.loads(text)
    if (gap := value["gap"]) is not None:
        moments = {name: dt.datetime.fromisoformat(gap[name]) for name in ("began_at", "ended_at")}
        value["gap"] = Gap(**(gap | moments))
    return value
