"""`dispatcher adr pin`: measure a record's baselines where their rows are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

    from dispatcher.adr.criterion import Criterion
    from dispatcher.adr.document import Record
    from dispatcher.settings import Settings
    from dispatcher.verdict.pinning.pin import Pin
    from dispatcher.verdict.pinning.sources import Source


@click.command("pin")
@click.argument("record")
@click.argument("criteria", nargs=-1, metavar="[CRITERION]...")
@click.option("--dry-run", is_flag=True, help="Run the queries and show what they give; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the pins as JSON.")
def pin_baselines(record: str, criteria: tuple[str, ...], *, dry_run: bool, as_json: bool) -> None:
    """Measure the baselines of RECORD (of all its criteria that name a source) and write them beside it.

    A pin is the figure, its n, its window, the SQL with its hash, and every order statistic. The source is only read. A
    published baseline is never run again.
    """
    from dispatcher.adr.reader import find_record
    from dispatcher.settings import load_settings
    from dispatcher.verdict.pinning.sources import read_sources

    settings = load_settings()
    found = find_record(settings.adrs_dir, record)
    sources = read_sources(settings.policies_dir)
    pins: list[tuple[Pin, list[str]]] = []
    for name in _names(found, criteria):
        pin, written = _pin(settings, found, name, sources)
        pins.append((pin, sorted(path.name for path in written)))
        if not dry_run:
            from dispatcher.verdict.pinning.writing import write

            write(written)
            found = find_record(settings.adrs_dir, record)
    if as_json:
        click.echo(json.dumps([_document(pin, files, dry_run) for pin, files in pins], indent=2, ensure_ascii=False))
    else:
        for pin, files in pins:
            _print(pin, files, dry_run=dry_run)


def _names(record: Record, named: tuple[str, ...]) -> list[str]:
    """The criteria to pin. Raises InvalidRecord where one isn't there, or none names a source."""
    from dispatcher.errors import InvalidRecord

    criteria = record.acceptance.criteria if record.acceptance is not None else ()
    if named:
        unknown = [name for name in named if name not in {each.id for each in criteria}]
        if unknown:
            known = ", ".join(each.id for each in criteria) or "none"
            raise InvalidRecord(record.id, [f"has no criterion {name}; it has {known}" for name in unknown])
        return list(dict.fromkeys(named))
    found = [each.id for each in criteria if each.baseline is not None and each.baseline.from_ is not None]
    if found:
        return found
    published = [each.id for each in criteria if each.baseline is not None and each.baseline.published]
    told = f" ({', '.join(published)}: published, so it is never run again)" if published else ""
    raise InvalidRecord(record.id, [f"no baseline names a source in `from:`, so there is nothing to pin{told}"])


def _pin(settings: Settings, record: Record, name: str, sources: dict[str, Source]) -> tuple[Pin, dict[Path, str]]:
    import datetime as dt

    from dispatcher.cli.adr_rooms import url_of
    from dispatcher.verdict.measurement.source_rows import source_rows
    from dispatcher.verdict.pinning.pin import pin_of, pinnable
    from dispatcher.verdict.pinning.writing import files_of

    criterion = _criterion(record, name)
    baseline, source = pinnable(record, criterion, sources)
    rows = source_rows(url_of(source, settings), source, criterion, baseline)
    pin = pin_of(record, criterion, source, rows, dt.datetime.now(dt.UTC))
    return pin, files_of(record, pin)


def _criterion(record: Record, name: str) -> Criterion:
    assert record.acceptance is not None
    return next(each for each in record.acceptance.criteria if each.id == name)


def _document(pin: Pin, files: list[str], dry_run: bool) -> dict[str, Any]:  # noqa: FBT001 - as the verb has it
    return {
        "record": pin.record,
        "criterion": pin.criterion.id,
        "source": pin.source,
        "authorised_by": pin.authorised_by,
        "tenant": pin.tenant,
        "value": f"{pin.value:f}",
        "unit": pin.criterion.measure.unit or None,
        "n": pin.n,
        "unknown": pin.unknown,
        "ranks": {"file": pin.ranks_file, "sha256": pin.ranks.sha256},
        "traps": {trap.name: trap.told for trap in pin.traps},
        "sql": pin.sql,
        "sql_sha256": pin.sql_sha256,
        "as_pinned": _as_pinned(pin),
        "files": files,
        "dry_run": dry_run,
    }


def _as_pinned(pin: Pin) -> bool | None:
    """Whether the source still has what the record states of it; None where nothing is pinned yet."""
    baseline = pin.criterion.baseline
    stated = None if baseline is None or baseline.ranks is None else baseline.ranks.sha256
    return None if stated is None else stated == pin.ranks.sha256


def _print(pin: Pin, files: list[str], *, dry_run: bool) -> None:
    criterion = pin.criterion
    unit = f" {criterion.measure.unit}" if criterion.measure.unit else ""
    whose = f" of {pin.tenant}" if pin.tenant else ""
    method = " (nearest rank)" if criterion.quantile is not None else ""
    click.echo(f"{pin.record} {criterion.id}: {criterion.aggregate} of {criterion.measure}{whose}, from {pin.source}")
    click.echo(f"  {pin.value:f}{unit}{method} over {pin.n} rows; authorised by {pin.authorised_by}")
    for trap in pin.traps:
        click.echo(f"  trap {trap.name}: {trap.told}")
    if criterion.bound.times_baseline is not None:
        limit = criterion.bound.times_baseline * pin.value
        click.echo(
            f"  so the limit is {criterion.bound.times_baseline:f} × {pin.value:f} = {limit.normalize():f}{unit}"
        )
    told = {None: None, True: "as it is pinned", False: "not what is pinned: rows of the source came, went or changed"}
    if told[_as_pinned(pin)] is not None:
        click.echo(f"  {told[_as_pinned(pin)]}")
    click.echo(f"  {'would write' if dry_run else 'wrote'} {', '.join(files)}")
    if not dry_run:
        click.echo(f"  next: state the figure, its n and the limit in the sentences of {criterion.id}, then lint")
