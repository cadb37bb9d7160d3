"""`dispatcher adr new` and `adr schema`: how a record begins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

    from dispatcher.adr.template import Draft
    from dispatcher.settings import Settings


@click.command("new")
@click.argument("title")
@click.option("--id", "record_id", help="Its id, such as KD-0652; the next one of the prefix by default.")
@click.option("--prefix", default="", help="The prefix of the next id, such as KD; none by default.")
@click.option("--decider", "deciders", multiple=True, help="Who decides; may be repeated.")
@click.option("--candidate", help="The variant to be judged; without one, no telemetry judges the record.")
@click.option("--control", default="legacy", show_default=True, help="The variant it is held against.")
@click.option("--tenant", default="script", show_default=True, help="The tenant whose dispatches count.")
@click.option("--source", default="own-log", show_default=True, help="Where its baseline is to be measured.")
@click.option("--corrects", help="The record that this one corrects; it gets a banner, its text stays.")
@click.option(
    "--supersedes", multiple=True, help="A record whose place this one takes, which then says so too; may be repeated."
)
@click.option("--dry-run", is_flag=True, help="Print what would be written, or changed; write nothing.")
def new_record(  # noqa: PLR0913 - each one is an option
    *,
    title: str,
    record_id: str | None,
    prefix: str,
    deciders: tuple[str, ...],
    candidate: str | None,
    control: str,
    tenant: str,
    source: str,
    corrects: str | None,
    supersedes: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Begin a decision record: a MADR file with the four options, its sections and, with --candidate, its criteria."""
    import datetime as dt

    from dispatcher.adr.reader import find_record
    from dispatcher.adr.template import Draft, Judged
    from dispatcher.settings import load_settings

    settings = load_settings()
    draft = Draft(
        id=record_id or _next(settings, prefix),
        title=title,
        date=dt.datetime.now(dt.UTC).date(),
        deciders=deciders or ("nobody yet",),
        corrects=None if corrects is None else find_record(settings.adrs_dir, corrects),
        supersedes=tuple(find_record(settings.adrs_dir, name) for name in dict.fromkeys(supersedes)),
        judged=None if candidate is None else Judged(_feature(settings), candidate, control, tenant, source),
    )
    _write(draft, _files(draft, settings.adrs_dir), dry_run=dry_run)


@click.command("schema")
@click.argument("part", type=click.Choice(["acceptance", "front-matter"]), default="acceptance")
def print_schema(part: str) -> None:
    """Print the JSON Schema of the acceptance block or of the front matter, for an editor."""
    from dispatcher.adr.schema import json_schema

    schema = json_schema("acceptance" if part == "acceptance" else "front-matter")
    click.echo(json.dumps(schema, indent=2, ensure_ascii=False))


def _feature(settings: Settings) -> str:
    from dispatcher.routing.policy import Policies

    return Policies.load(settings.policies_dir).feature


def _next(settings: Settings, prefix: str) -> str:
    from dispatcher.adr.reader import read_records
    from dispatcher.adr.template import next_id
    from dispatcher.errors import InvalidRecord

    records, _ = read_records(settings.adrs_dir)
    try:
        return next_id((record.id for record in records), prefix)
    except ValueError as error:
        raise InvalidRecord(prefix, [str(error)]) from None


def _files(draft: Draft, directory: Path) -> dict[Path, str]:
    """The new record and every older one that it changes. Raises InvalidRecord for what couldn't be read again."""
    from dispatcher.adr.reader import parse_record
    from dispatcher.adr.template import corrected, superseded
    from dispatcher.errors import InvalidRecord

    files = {directory / draft.file_name: draft.text}
    if draft.corrects is not None:
        files[draft.corrects.path] = corrected(draft.corrects, draft)
    for old in draft.supersedes:
        files[old.path] = superseded(old, draft)
        if parse_record(files[old.path].encode(), old.path).superseded_by != draft.id:
            raise InvalidRecord(
                old.id, [f"its status isn't a line of its own: write superseded_by: {draft.id} by hand"]
            )
    for path, text in files.items():
        parse_record(text.encode(), path)  # what can't be read isn't written
    return files


def _difference(file: Path, text: str) -> str:
    """What would change of a file, as a unified diff; the whole text of a new one."""
    from difflib import unified_diff

    if not file.exists():
        return f"would write {file.name}:\n{text}"
    before = file.read_text(encoding="utf-8").replace("\r\n", "\n")
    lines = unified_diff(before.splitlines(), text.splitlines(), file.name, file.name, lineterm="")
    return f"would change {file.name}:\n" + "\n".join(lines)


def _write(draft: Draft, files: dict[Path, str], *, dry_run: bool) -> None:
    from dispatcher.document.whole_file import replace_file
    from dispatcher.errors import InvalidRecord

    path = next(iter(files))
    taken = sorted(other.name for other in path.parent.glob(f"{draft.id}-*.md"))
    if taken:
        raise InvalidRecord(draft.id, [f"is taken by {', '.join(taken)}"])
    for file, text in files.items():
        if dry_run:
            click.echo(_difference(file, text))
            continue
        try:
            replace_file(file, text)
        except OSError as error:
            raise InvalidRecord(file.name, [f"can't be written: {error.strerror}"]) from None
        click.echo(f"wrote {file.name}")
    if not dry_run:
        click.echo(f"next: fill it in, then `dispatcher adr lint {draft.id}`")
