"""`dispatcher explain`: where an action would go, and why, without a call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dispatcher.action.decision import Decision, Step
    from dispatcher.action.request import ResearchAction
    from dispatcher.routing.router import Router

_UNIT = "explain"
"""What a draw by conversation hashes where none is named; a dispatch would be drawn by its own id."""


@click.command()
@click.option("--tenant", required=True, help="Who would ask.")
@click.option("--project", help="Project of the tenant.")
@click.option("--conversation", "conversation_id", help="Conversation that a drawn assignment sticks to.")
@click.option("--repository", "path", type=click.Path(path_type=Path), help="Local checkout that would be read.")
@click.option("--github-url", help="The repository's address, which the managed path would mount.")
@click.option("--variant", help="Pin a registered variant.")
@click.option("--json", "as_json", is_flag=True, help="Print the decision as JSON, as a row has it, plus its steps.")
def explain(path: Path | None, github_url: str | None, *, as_json: bool, **who: Any) -> None:
    """Say where an action would go, and why: the precedence, walked step by step."""
    from dispatcher.action.request import Repository, ResearchAction
    from dispatcher.settings import load_settings
    from dispatcher.wiring import build_router

    repository = Repository(path=path or ".", github_url=github_url)
    action = ResearchAction(question="Where would this go?", repository=repository, **who)
    decision = explained(build_router(load_settings()), action, assume_mountable=path is None)
    if as_json:
        import json

        click.echo(json.dumps(decision_document(decision), indent=2, ensure_ascii=False))
    else:
        click.echo(decision_text(action, decision))


def explained(router: Router, action: ResearchAction, *, assume_mountable: bool) -> Decision:
    """The decision that a dispatch of the action would get; its steps say what had to be assumed.

    Raises what a dispatch would raise for the action: InvalidAction or RepositoryUnusable.
    """
    from dataclasses import replace

    from dispatcher.paths.repository import resolve

    router.refuse_foreign_repository(action)
    assumed = {}
    if assume_mountable:
        mountable = True
        assumed["repository"] = "no --repository was named, so it is assumed that the managed path can mount it"
    else:
        mountable = router.mountable(action, has_commit=resolve(action.repository).commit_sha is not None)
    decision = router.decide(action, mountable=mountable, unit=_UNIT)
    if decision.assignment_key == _UNIT:
        drawn = decision.steps[-1]
        assumed[drawn.rule] = f"{drawn.detail}; no --conversation was named, and such a dispatch is drawn by its own id"
    steps = (replace(step, detail=assumed.get(step.rule, step.detail)) for step in decision.steps)
    return replace(decision, steps=tuple(steps))


def decision_document(decision: Decision) -> dict[str, Any]:
    """The decision as the row has it, plus the variant's definition and the steps."""
    from dataclasses import asdict

    return {
        **decision_fields(decision),
        "definition": {**asdict(decision.variant), "hash": decision.variant.hash},
        "steps": [asdict(step) for step in decision.steps],
    }


def decision_fields(decision: Decision) -> dict[str, Any]:
    """The decision as the row has it."""
    return {
        "path": decision.path,
        "variant": decision.variant.name,
        "model": decision.variant.model,
        "reason": decision.reason,
        "flag": decision.flag,
        "flag_version": decision.flag_version,
        "flag_stale": decision.flag_stale,
        "assignment_key": decision.assignment_key,
        "assignment_share": decision.assignment_share,
        "iteration_cap": decision.iteration_cap,
        "deadline_s": decision.deadline_s,
    }


def decision_text(action: ResearchAction, decision: Decision) -> str:
    """The decision for a person to read."""
    variant = decision.variant
    caching = ", with prompt caching" if variant.prompt_caching else ""
    width = max(len(step.rule) for step in decision.steps)
    bound = "" if variant.max_tokens is None else f", at most {variant.max_tokens} output tokens a request"
    lines = [
        f"tenant {action.tenant}: {variant.name} on the {decision.path} path, reason {decision.reason}",
        "",
        *(_step_line(step, width) for step in decision.steps),
        "",
        f"definition {variant.hash}: {variant.model}{caching}{bound}",
        f"in force: at most {decision.iteration_cap} model requests in {decision.deadline_s:g} s",
    ]
    return "\n".join(lines)


def _step_line(step: Step, width: int) -> str:
    return f"  {'→' if step.decided else ' '} {step.rule:<{width}}  {step.detail}"
