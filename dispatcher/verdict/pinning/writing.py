"""What a pin leaves beside its record: the order statistics, where they came from, and the values in the block."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dispatcher.adr.block_edit import with_baseline
from dispatcher.adr.document import Record
from dispatcher.adr.reader import parse_record
from dispatcher.document.notation import plain
from dispatcher.document.whole_file import replace_file
from dispatcher.errors import InvalidRecord
from dispatcher.verdict.pinning.pin import Pin


def files_of(record: Record, pin: Pin) -> dict[Path, str]:
    """The files that a pin writes, by path: the ranks, what is known of them, and the record itself.

    Raises InvalidRecord where the record wouldn't be readable with the values in it.
    """
    directory = record.path.parent
    text = with_baseline(record, pin.criterion.id, _values(pin))
    parse_record(text.encode(), record.path)
    return {
        directory / pin.ranks_file: pin.ranks.text,
        directory / f"{pin.record}-{pin.criterion.id}.pin.yml": _provenance(pin),
        record.path: text,
    }


def write(files: Mapping[Path, str]) -> None:
    """Write the files, each one whole or not at all, the record last. Raises InvalidRecord."""
    for path, text in files.items():
        try:
            replace_file(path, text)
        except OSError as error:
            raise InvalidRecord(path.name, [f"can't be written: {error.strerror}"]) from None


def _values(pin: Pin) -> dict[str, str]:
    reference = pin.ranks_reference
    return {
        "n": str(pin.n),
        "value": plain(pin.value),
        "ranks": f"{{file: {reference.file}, sha256: {reference.sha256}}}",
    }


def _provenance(pin: Pin) -> str:
    """Everything a reader needs to run the query again; the order statistics are in the file it names."""
    baseline = pin.criterion.baseline
    assert baseline is not None
    where = {} if baseline.where is None else baseline.where.model_dump(exclude_none=True)
    window = [] if baseline.window is None else [day.isoformat() for day in baseline.window]
    document: dict[str, Any] = {
        "schema": 1,
        "record": pin.record,
        "criterion": pin.criterion.id,
        "source": pin.source,
        "authorised_by": pin.authorised_by,
        "tenant": pin.tenant,
        "measure": str(pin.criterion.measure),
        "aggregate": pin.criterion.aggregate,
        "percentile_method": "nearest-rank" if pin.criterion.quantile is not None else None,
        "where": where,
        "window": window,
        "n": pin.n,
        "unknown": pin.unknown,
        "value": plain(pin.value),
        "unit": pin.criterion.measure.unit or None,
        "ranks": {"file": pin.ranks_file, "sha256": pin.ranks.sha256},
        "sql_sha256": pin.sql_sha256,
        "pinned_at": pin.pinned_at.isoformat(timespec="seconds"),
        "traps": {trap.name: trap.told for trap in pin.traps},
        "sql": pin.sql,
    }
    head = (
        f"# Written by `dispatcher adr pin {pin.record}`; the rows were read once and nothing here is edited by hand.\n"
    )
    return head + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as one."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    lines = "\n".join(line.rstrip() for line in value.split("\n"))
    return dumper.represent_scalar("tag:yaml.org,2002:str", lines, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)
