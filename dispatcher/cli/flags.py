"""`dispatcher flags`: where the flag sends whom, and how it is flipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from dispatcher.routing.flag_editing.edit import Edit
    from dispatcher.routing.policy import Policies

_WRITING = (
    click.option("--actor", help="Who flips it, for the history; by default who is logged in."),
    click.option("--dry-run", is_flag=True, help="Print who would move, and write nothing."),
    click.option("--json", "as_json", is_flag=True, help="Print what moves as JSON."),
)


def _writing(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_WRITING):
        command = option(command)
    return command


@click.group()
def flags() -> None:
    """Show the flag, flip it, and read its history.

    The flag is that of the policies; it is edited in policies/flags.json, or on the Unleash server that
    DISPATCHER_UNLEASH_URL names, with DISPATCHER_UNLEASH_ADMIN_TOKEN.
    """


@flags.command()
@click.option("--json", "as_json", is_flag=True, help="Print the standing as JSON.")
def show(*, as_json: bool) -> None:
    """Show every tenant that the flag names with its variant, everybody else, and the kill switch."""
    from dispatcher.cli.flag_door import read_flag
    from dispatcher.cli.flag_report import print_shown, shown_document
    from dispatcher.settings import load_settings

    shown = read_flag(load_settings())
    if as_json:
        _print_json(shown_document(shown))
    else:
        print_shown(shown)


@flags.command("set")
@click.option("--tenant", help="Who moves; with --share, whose draw it is.")
@click.option("--project", help="Only that project of the tenant.")
@click.option("--variant", help="The registered variant; `legacy` removes the tenant.")
@click.option("--share", help="Draw the variant with this probability, such as 20%; 0% removes the draw.")
@click.option("--by", type=click.Choice(["conversation", "tenant"]), help="What a draw sticks to.")
@click.option("--control", default="legacy", show_default=True, help="Where a lost draw goes: a registered variant.")
@_writing
def set_(
    *, actor: str | None, dry_run: bool, as_json: bool, variant: str | None, control: str, **scope: str | None
) -> None:
    """Move one tenant, or one project of it, to a variant; or draw a share of everybody whom no rule names.

    Naming a tenant lies over its draw, and `flags unset` lifts it again. A larger share keeps whom a smaller one had.
    """
    from dispatcher.routing.policy import Policies
    from dispatcher.settings import load_settings

    policies = Policies.load(load_settings().policies_dir)
    _check(policies, variant=variant, control=control, tenant=scope["tenant"], project=scope["project"])
    if scope["share"] is None:
        edit = _naming(policies.flag, scope, variant)
    else:
        edit = _drawing(policies.flag, scope, variant, control)
    _write(edit, actor, dry_run=dry_run, as_json=as_json)


@flags.command()
@click.option("--tenant", required=True, help="Who is named no more.")
@click.option("--project", help="Only that project of the tenant.")
@_writing
def unset(tenant: str, project: str | None, *, actor: str | None, dry_run: bool, as_json: bool) -> None:
    """Name a tenant no more: it goes where everybody else goes, or back into its draw."""
    from dispatcher.routing.flag_editing.edit import Unnaming

    _write(Unnaming(flag=_flag(), tenant=tenant, project=project), actor, dry_run=dry_run, as_json=as_json)


@flags.command()
@_writing
def off(*, actor: str | None, dry_run: bool, as_json: bool) -> None:
    """Switch the flag off: everybody is back on legacy. What it says stays written down."""
    from dispatcher.errors import DispatcherError
    from dispatcher.routing.flag_editing.edit import Switch
    from dispatcher.settings import load_settings

    try:
        _write(Switch(flag=_flag(), on=False), actor, dry_run=dry_run, as_json=as_json)
    except DispatcherError:
        click.echo(f"to brake all the same: echo legacy > {load_settings().kill_switch_file}", err=True)
        raise


@flags.command()
@_writing
def on(*, actor: str | None, dry_run: bool, as_json: bool) -> None:
    """Switch the flag on again: everybody goes where its rules say. Without a rule it is refused."""
    from dispatcher.routing.flag_editing.edit import Switch

    _write(Switch(flag=_flag(), on=True), actor, dry_run=dry_run, as_json=as_json)


@flags.command()
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many of the latest.")
@click.option("--json", "as_json", is_flag=True, help="Print the changes as JSON.")
def history(limit: int, *, as_json: bool) -> None:
    """Show the flag's changes, the newest first: when, who, and which tenants went from where to where.

    Of a server, who did it is read from its event log, with DISPATCHER_UNLEASH_ADMIN_TOKEN.
    """
    from dispatcher.cli.flag_door import read_history
    from dispatcher.cli.flag_report import flips_document, print_flips
    from dispatcher.settings import load_settings

    found = read_history(load_settings(), limit)
    if as_json:
        _print_json(flips_document(found))
    else:
        print_flips(found)


def _flag() -> str:
    from dispatcher.routing.policy import Policies
    from dispatcher.settings import load_settings

    return Policies.load(load_settings().policies_dir).flag


def _check(policies: Policies, *, variant: str | None, control: str, tenant: str | None, project: str | None) -> None:
    """Refuse what no action could have, and variants that policies don't define."""
    from dispatcher.action.request import Repository, ResearchAction
    from dispatcher.errors import InvalidSettings

    known = ", ".join(sorted(policies.variants))
    problems = [
        f"{option} {name!r} is not registered; registered are {known}"
        for option, name in (("--variant", variant), ("--control", control))
        if name is not None and name not in policies.variants
    ]
    if problems:
        raise InvalidSettings("flags set", problems)
    ResearchAction(
        question="Could it be asked?",
        tenant="anybody" if tenant is None else tenant,
        project=project,
        repository=Repository(path="."),
    )


def _naming(flag: str, scope: dict[str, str | None], variant: str | None) -> Edit:
    from dispatcher.routing.flag_editing.edit import Naming

    if scope["tenant"] is None or variant is None or scope["by"] is not None:
        raise click.UsageError("name --tenant and --variant to move a tenant, or --share and --by to draw")
    return Naming(flag=flag, tenant=scope["tenant"], project=scope["project"], variant=variant)


def _drawing(flag: str, scope: dict[str, str | None], variant: str | None, control: str) -> Edit:
    from dispatcher.routing.flag_editing.edit import Share

    by: dict[str | None, Literal["tenant", "conversation"]] = {"tenant": "tenant", "conversation": "conversation"}
    if scope["by"] not in by:
        raise click.UsageError("--share needs --by: conversation or tenant")
    if scope["project"] is not None:
        raise click.UsageError("--share draws among all projects of a tenant: leave --project out")
    return Share(
        flag=flag,
        per_mille=per_mille(scope["share"] or ""),
        by=by[scope["by"]],
        variant=variant,
        control=control,
        tenant=scope["tenant"],
    )


def per_mille(share: str) -> int:
    """A share as a weight out of 1000. Raises InvalidSettings for anything but a percentage with one decimal."""
    import re

    from dispatcher.errors import InvalidSettings
    from dispatcher.routing.flag_editing.rule import WHOLE

    match = re.fullmatch(r"([0-9]{1,3})(?:\.([0-9]))? ?%", share, re.ASCII)
    weight = int(match[1]) * 10 + int(match[2] or 0) if match else -1
    if not 0 <= weight <= WHOLE:
        why = f"is {share!r}: write a percentage from 0% to 100%, with at most one decimal, such as 20%"
        raise InvalidSettings("--share", [why])
    return weight


def _write(edit: Edit, actor: str | None, *, dry_run: bool, as_json: bool) -> None:
    from dispatcher.cli.flag_report import outcome_document, outcome_text
    from dispatcher.cli.flag_writing import edit_flag
    from dispatcher.settings import load_settings

    outcome = edit_flag(load_settings(), edit, actor, dry_run=dry_run)
    if as_json:
        _print_json(outcome_document(outcome, dry_run=dry_run))
    else:
        click.echo(outcome_text(outcome, dry_run=dry_run))


def _print_json(document: Any) -> None:
    import json

    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
