"""`dispatcher adr lint` and `adr simulate`: what is wrong with a record, and what its traffic can decide."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dispatcher.adr.document import Record
    from dispatcher.document.tree import Problem
    from dispatcher.errors import InvalidRecord
    from dispatcher.verdict.chances.decidability import Decidability
    from dispatcher.verdict.chances.linting import Linted
    from dispatcher.verdict.chances.rehearsal import Rehearsal

_LINE = re.compile(r"line (\d+): (.*)", re.DOTALL)
_REFUSED = 2
_NOTABLE = 0.0005


@click.command("lint")
@click.argument("records", nargs=-1, metavar="[RECORD]...")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def lint_records(records: tuple[str, ...], *, as_json: bool) -> int:
    """Say everything that is wrong with decision records, with line numbers; without RECORD, with all of them.

    A criterion that its record's traffic can't decide is wrong, and what could be decided is said. Exits 2 where
    anything is wrong.
    """
    from dispatcher.cli.adr_rooms import surroundings_of
    from dispatcher.cli.progress_bar import progress_bar
    from dispatcher.routing.policy import Policies
    from dispatcher.settings import load_settings
    from dispatcher.verdict.chances.linting import lint

    settings = load_settings()
    around, unread = surroundings_of(settings, Policies.load(settings.policies_dir))
    chosen, unreadable = _chosen(settings.adrs_dir, records)
    done = []
    with progress_bar("linting") as tell:
        for record in chosen:
            done.append(lint(record, around))
            tell(len(done) / len(chosen))
    if as_json:
        click.echo(json.dumps(_lint_document(done, unreadable, unread), indent=2, ensure_ascii=False))
    else:
        _print_lint(done, unreadable, unread)
    return _REFUSED if unreadable or any(each.problems for each in done) else 0


@click.command("simulate")
@click.argument("record")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def simulate_record(record: str, *, as_json: bool) -> None:
    """Rehearse RECORD on its own traffic: how often it would ship a bad path, how often a good one, and when.

    Every criterion is looked at weekly, with its true figure at, inside and beyond its limit, and beside it the naive
    check that passes whenever the figure seen so far lies within the limit.
    """
    from dispatcher.adr.reader import find_record
    from dispatcher.cli.progress_bar import progress_bar
    from dispatcher.settings import load_settings
    from dispatcher.verdict.chances.rehearsal import rehearse

    found = find_record(load_settings().adrs_dir, record)
    with progress_bar("simulating") as tell:
        done = rehearse(found, tell)
    if as_json:
        click.echo(json.dumps(_rehearsal_document(done), indent=2, ensure_ascii=False))
    else:
        _print_rehearsal(done)


def _chosen(directory: Any, names: Sequence[str]) -> tuple[list[Record], list[InvalidRecord]]:
    from dispatcher.adr.reader import find_record, read_records
    from dispatcher.errors import InvalidRecord

    if not names:
        return read_records(directory)
    chosen, unreadable = [], []
    for name in dict.fromkeys(names):
        try:
            chosen.append(find_record(directory, name))
        except InvalidRecord as error:
            unreadable.append(error)
    return chosen, unreadable


def _lint_document(done: Sequence[Linted], unreadable: Sequence[InvalidRecord], unread: str | None) -> dict[str, Any]:
    records: list[dict[str, Any]] = [
        {
            "record": each.record.id,
            "file": each.record.path.name,
            "problems": [_problem(problem) for problem in each.problems],
            "criteria": [_chances(chance) for chance in each.chances],
        }
        for each in done
    ]
    records += [
        {"record": None, "file": error.subject, "problems": [_told(text) for text in error.problems], "criteria": []}
        for error in unreadable
    ]
    return {"records": records, "log_not_read": unread}


def _problem(problem: Problem) -> dict[str, Any]:
    return _told(str(problem))


def _told(text: str) -> dict[str, Any]:
    match = _LINE.fullmatch(text)
    return {"line": int(match[1]), "problem": match[2]} if match else {"line": None, "problem": text}


def _chances(chance: Decidability) -> dict[str, Any]:
    return {
        "id": chance.criterion.id,
        "decidable": chance.is_decidable,
        "power": round(chance.power, 4),
        "false_ship": round(chance.false_ship, 4),
        "weeks": chance.weeks,
        "median_week": chance.median_week,
        "earliest_week": chance.earliest,
        "control_would_be": chance.control.value,
        "control": {"pass": round(chance.control_chances[0], 4), "fail": round(chance.control_chances[1], 4)},
        "method": chance.method,
        "assumed": list(chance.because),
        "decidable_wordings": list(chance.wordings),
        "never": chance.never,
    }


def _print_lint(done: Sequence[Linted], unreadable: Sequence[InvalidRecord], unread: str | None) -> None:
    from dispatcher.verdict.report.amounts import many

    for error in unreadable:
        for text in error.problems:
            click.echo(f"{error.subject}: {text}")
    for each in done:
        for problem in each.problems:
            click.echo(f"{each.record.path.name}: {problem}")
        for chance in each.chances:
            click.echo(f"{each.record.path.name}: {_in_words(chance)}")
    wrong = sum(len(each.problems) for each in done) + sum(len(error.problems) for error in unreadable)
    click.echo(f"{many(len(done) + len(unreadable), 'record')}, {many(wrong, 'problem')}")
    if unread is not None:
        click.echo(f"warning: whether the log has production rows wasn't looked at: {unread}", err=True)


def _in_words(chance: Decidability) -> str:
    if chance.never is not None:
        return f"{chance.criterion.id} can never be decided: {chance.never}"
    weeks = f"week {chance.weeks}" if chance.weeks else "no week"
    return (
        f"{chance.criterion.id} ({chance.criterion.severity}): passes within the horizon with a chance of "
        f"{100 * chance.power:.0f} %, of 80 % by {weeks}; false ship at the limit {100 * chance.false_ship:.1f} %; the "
        f"control itself: {chance.control}"
    )


def _chance(chance: float, week: int | None) -> tuple[str, str]:
    """A chance, and the week at which half of it has come about; no week of what doesn't happen."""
    shown = f"{100 * chance:.1f} %"
    return shown, str(week or "") if chance >= _NOTABLE else ""


def _rehearsal_document(done: Rehearsal) -> dict[str, Any]:
    return {
        "record": done.record.id,
        "weeks": done.weeks,
        "alpha": done.alpha,
        "false_ship": round(done.false_ship, 4),
        "power_at_least": round(done.power_at_least, 4),
        "weeks_to_decision": done.weeks_to_decision,
        "criteria": [
            {
                **_chances(each.chance),
                "rows": [
                    {
                        "of_limit": row.position,
                        "pass": round(row.ours.to_pass, 4),
                        "pass_week": row.ours.median_week,
                        "fail": round(row.ours.to_fail, 4),
                        "fail_week": row.ours.median_fail_week,
                        "naive_pass": None if row.naive is None else round(row.naive.to_pass, 4),
                    }
                    for row in each.rows
                ],
            }
            for each in done.criteria
        ],
    }


def _print_rehearsal(done: Rehearsal) -> None:
    from rich import box
    from rich.table import Table

    from dispatcher.cli.telemetry import page

    console = page()
    click.echo(
        f"{done.record.id} on its own traffic, weekly looks for {done.weeks} weeks, α = {done.alpha:g} in epoch 1"
    )
    for each in done.criteria:
        chance = each.chance
        click.echo(f"\n{chance.criterion.id} ({chance.criterion.severity}): {chance.criterion.says}")
        if chance.never is not None:
            click.echo(f"  can never be decided: {chance.never}")
            continue
        table = Table("true figure, × limit", "passes", "week", "fails", "week", "naive check passes", box=box.SIMPLE)
        for row in each.rows:
            naive = "" if row.naive is None else f"{100 * row.naive.to_pass:.1f} %"
            passed = _chance(row.ours.to_pass, row.ours.median_week)
            table.add_row(f"{row.position:.2f}", *passed, *_chance(row.ours.to_fail, row.ours.median_fail_week), naive)
        console.print(table)
        click.echo(f"  {_in_words(chance)}")
        click.echo(f"  by {chance.method}; {'; '.join(chance.because)}")
        for wording in chance.wordings:
            click.echo(f"  decidable: {wording}")
    decided = f"week {done.weeks_to_decision}" if done.weeks_to_decision else "no week within the horizon"
    click.echo(
        f"\nThe record: ships a path at a limit with at most {100 * done.false_ship:.1f} %, ships the expected one "
        f"with at least {100 * done.power_at_least:.0f} %, by {decided}."
    )
