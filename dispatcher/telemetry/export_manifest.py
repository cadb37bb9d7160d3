"""The manifest of an export: which parts are whole, where the next one begins, what they add up to."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from dispatcher.audit.lock_file import holding
from dispatcher.errors import InvalidExport
from dispatcher.telemetry.export_parts import Form, move_into_place

NAME = "manifest.json"


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Keep other exports out of a directory, which is made where there is none. Raises InvalidExport, and OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with holding(descriptor, 0) as held:
            if not held:
                raise InvalidExport(str(directory), ["another export writes into it; wait for it, or name another one"])
            yield
    finally:
        os.close(descriptor)


class Part(BaseModel):
    """A file that is whole: its length and rows, the key of its last row, and the sums of its columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    bytes: int
    rows: int
    last_created_at: AwareDatetime
    last_log_id: str
    sums: Mapping[str, int]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Annotated[Literal[1], Field(alias="schema")]
    form: Form
    origin: str | None
    since: AwareDatetime | None
    until: AwareDatetime
    columns: list[str]
    parts: list[Part]


class Manifest:
    """The manifest in a directory; every part that is added to it is on the disk before `add` returns."""

    def __init__(self, directory: Path, document: _Document) -> None:
        self._directory = directory
        self._document = document

    @classmethod
    def begun(cls, directory: Path, order: Mapping[str, Any], now: dt.datetime) -> Manifest:
        """That of the directory: a new one of the order, up to `now` where that names no end.

        Raises InvalidExport where the directory holds something else than this export, and OSError.
        """
        path = directory / NAME
        if not path.exists():
            if strangers := sorted(one.name for one in directory.iterdir() if not one.name.endswith(".unfinished")):
                raise InvalidExport(str(directory), [f"holds {strangers[0]} and no manifest; name a new directory"])
            begun = {"schema": 1, **order, "until": order["until"] or now, "parts": []}
            manifest = cls(directory, _Document.model_validate(begun))
            manifest._save()
            return manifest
        document = _read(path)
        problems = _differences(document, order)
        problems += [problem for part in document.parts for problem in _damage(directory / part.file, part.bytes)]
        if problems:
            raise InvalidExport(str(path), [*problems, "name a new directory"])
        return cls(directory, document)

    @property
    def until(self) -> dt.datetime:
        """The moment before which the exported rows began."""
        return self._document.until

    @property
    def parts(self) -> Sequence[Part]:
        """The whole parts, in order."""
        return self._document.parts

    @property
    def last(self) -> Mapping[str, Any] | None:
        """The key of the last row; None where there is none yet."""
        if not self.parts:
            return None
        return {"created_at": self.parts[-1].last_created_at, "log_id": self.parts[-1].last_log_id}

    def next_path(self) -> Path:
        """Where the next part belongs."""
        return self._directory / f"part-{len(self.parts) + 1:06d}.{self._document.form}"

    def add(self, part: Part) -> None:
        """Note a part as whole."""
        self._document = self._document.model_copy(update={"parts": [*self.parts, part]})
        self._save()

    def _save(self) -> None:
        unfinished = self._directory / f"{NAME}.unfinished"
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(self._document.model_dump_json(by_alias=True, indent=1))
            file.flush()
            os.fsync(file.fileno())
        move_into_place(unfinished, self._directory / NAME)


def _read(path: Path) -> _Document:
    try:
        return _Document.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)]
        raise InvalidExport(str(path), problems) from None


def _damage(path: Path, size: int) -> list[str]:
    if not path.exists():
        return [f"{path.name} is missing"]
    return [] if path.stat().st_size == size else [f"{path.name} isn't as it was written"]


def _differences(document: _Document, wanted: Mapping[str, Any]) -> list[str]:
    told = {"columns": "the columns of another schema"}
    named = {name: value for name, value in wanted.items() if (name, value) != ("until", None)}
    return [
        f"was begun with {told.get(name, f'another {name}')}"
        for name, value in named.items()
        if getattr(document, name) != value
    ]
