"""`dispatcher explain`: where an action would go, and why, without a call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dispatcher.action.decision import Caps, Decision, Step, Variant
    from dispatcher.action.request import ResearchAction
    from dispatcher.routing.assignment import Recalled
    from dispatcher.routing.router import Router
    from dispatcher.settings import Settings

_WAIT_S = 5.0
"""How long the log is waited for: longer than a dispatch would, since nobody waits for an answer."""
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
    import asyncio

    from dispatcher.action.request import Repository, ResearchAction
    from dispatcher.settings import load_settings
    from dispatcher.wiring.routers import build_router

    repository = Repository(path=path or ".", github_url=github_url)
    action = ResearchAction(question="Where would this go?", repository=repository, **who)
    settings = load_settings()
    known = asyncio.run(recalled(settings, action))
    decision = explained(build_router(settings), action, known, assume_mountable=path is None)
    if as_json:
        import json

        click.echo(json.dumps(decision_document(decision, action), indent=2, ensure_ascii=False))
    else:
        click.echo(decision_text(action, decision))


async def recalled(settings: Settings, action: ResearchAction) -> Recalled:
    """What a dispatch of the action would know of its conversation's assignment, without its hurry.

    Creates no database; one that can't be read is the answer's problem.
    """
    from dispatcher.action.request import FEATURE
    from dispatcher.audit.assignments import LoggedAssignments
    from dispatcher.audit.engine import open_existing
    from dispatcher.errors import SourceUnreachable
    from dispatcher.routing.assignment import NOTHING_ASSIGNED, Recall, Recalled
    from dispatcher.wiring.doors import origin_of

    if action.conversation_id is None:
        return NOTHING_ASSIGNED
    try:
        database = open_existing(settings.database_url.get_secret_value())
    except SourceUnreachable as error:
        return Recalled(problem=str(error))
    if database is None:
        return NOTHING_ASSIGNED
    recall = Recall(LoggedAssignments(database, origin_of(settings)), bound_s=_WAIT_S)
    try:
        return await recall.of(action.tenant, FEATURE, action.conversation_id)
    finally:
        recall.shutdown()
        database.dispose()


def explained(router: Router, action: ResearchAction, known: Recalled, *, assume_mountable: bool) -> Decision:
    """The decision that a dispatch of the action would get; its steps say what had to be assumed.

    `known` is what the log says of the conversation's assignment.

    Raises what a dispatch would raise for the action: InvalidAction or RepositoryUnusable.
    """
    from dataclasses import replace

    from dispatcher.paths.repository.checkout import resolve

    router.refuse_foreign_repository(action)
    assumed = {}
    if assume_mountable:
        mountable = True
        assumed["repository"] = "no --repository was named, so it is assumed that the managed path can mount it"
    else:
        mountable = router.mountable(action, has_commit=resolve(action.repository).commit_sha is not None)
    decision = router.decide(action, mountable=mountable, unit=_UNIT, recalled=known)
    if decision.assignment_key == _UNIT:
        drawn = decision.steps[-1]
        assumed[drawn.rule] = f"{drawn.detail}; no --conversation was named, and such a dispatch is drawn by its own id"
    steps = (replace(step, detail=assumed.get(step.rule, step.detail)) for step in decision.steps)
    return replace(decision, steps=tuple(steps))


def decision_document(decision: Decision, action: ResearchAction) -> dict[str, Any]:
    """The decision as the row has it, plus what the row has no room for.

    These are the state of the flag, what moved a conversation, the caps in force, the variant's definition, the
    decision in OpenTelemetry's words, and the steps.
    """
    from dataclasses import asdict

    from dispatcher.routing.evaluation import attributes_of

    return {
        **decision_fields(decision),
        "flag_source": decision.flag_source,
        "flag_age_s": None if decision.flag_age_s is None else round(decision.flag_age_s, 3),
        "moved_by": decision.moved_by,
        "evaluation": attributes_of(decision, action.tenant),
        "caps": asdict(decision.caps),
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
    width = max(len(step.rule) for step in decision.steps)
    lines = [
        f"tenant {action.tenant}: {decision.variant.name} on the {decision.path} path, reason {decision.reason}",
        "",
        *(_step_line(step, width) for step in decision.steps),
        "",
        f"definition {decision.variant.hash}: {_definition_text(decision.variant)}",
        f"in force: at most {_caps_text(decision.caps)}",
    ]
    return "\n".join(lines)


def _definition_text(variant: Variant) -> str:
    parts = [variant.model]
    if variant.prompt_caching:
        parts.append("with prompt caching")
    if variant.max_tokens is not None:
        parts.append(f"at most {variant.max_tokens} output tokens a request")
    if variant.cap_mode is not None:
        parts.append(f"caps kept by {variant.cap_mode}")
    if variant.fallback is not None:
        parts.append(f"falls back to {variant.fallback}")
    return ", ".join(parts)


def _caps_text(caps: Caps) -> str:
    from decimal import Decimal

    from dispatcher.cli.telemetry import number

    cost = f"{(Decimal(caps.cost_nanousd) / 10**9).normalize():f} USD"
    counted = (caps.iterations, "model requests"), (caps.tool_calls, "tool calls"), (caps.tokens, "tokens")
    return ", ".join([*(f"{number(count)} {what}" for count, what in counted), cost, f"{caps.deadline_s:g} s"])


def _step_line(step: Step, width: int) -> str:
    return f"  {'→' if step.decided else ' '} {step.rule:<{width}}  {step.detail}"
