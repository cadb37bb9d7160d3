"""`dispatcher research`: carry out one action from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dispatcher.action.result import ResearchResult


@click.command()
@click.argument("question")
@click.option("--tenant", required=True, help="Who asks.")
@click.option("--repository", "path", required=True, type=click.Path(path_type=Path), help="Local checkout to read.")
@click.option("--github-url", help="The repository's address, which the managed path mounts.")
@click.option("--commit", help="SHA to read; HEAD by default.")
@click.option("--project", help="Project of the tenant.")
@click.option("--conversation", "conversation_id", help="Conversation that a drawn assignment sticks to.")
@click.option("--variant", help="Pin a registered variant.")
@click.option("--iterations", type=int, help="Cap on model requests; it can only tighten the variant's.")
@click.option(
    "--deadline", "deadline_s", type=float, help="Seconds to wait at most; it can only tighten the variant's."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def research(
    question: str,
    path: Path,
    github_url: str | None,
    commit: str | None,
    iterations: int | None,
    deadline_s: float | None,
    *,
    as_json: bool,
    **who: Any,
) -> int:
    """Carry out one research action and print its report.

    Exits 0 where the research succeeded and 1 where it didn't.
    """
    from dispatcher.action.observation import Status
    from dispatcher.action.request import Limits, Repository, ResearchAction
    from dispatcher.settings import load_settings
    from dispatcher.wiring import build_dispatcher

    action = ResearchAction(
        question=question,
        repository=Repository(path=path, github_url=github_url, commit=commit),
        limits=Limits(iterations=iterations, deadline_s=deadline_s),
        **who,
    )
    dispatcher = build_dispatcher(load_settings())
    try:
        result = dispatcher.dispatch_research(action)
    finally:
        dispatcher.close()
    if as_json:
        import json

        click.echo(json.dumps(result_document(result), indent=2, ensure_ascii=False))
    else:
        click.echo(result_text(result))
    return 0 if result.status is Status.SUCCESS else 1


def result_document(result: ResearchResult) -> dict[str, Any]:
    """A result as JSON holds it; money as an exact decimal string."""
    from dataclasses import asdict

    from dispatcher.cli.explain import decision_fields

    return {
        "log_id": result.log_id,
        "dispatch_id": result.dispatch_id,
        "status": result.status,
        "ended_by": result.ended_by,
        "error_type": result.error_type,
        "error_stage": result.error_stage,
        "error": result.error,
        "output": None if result.output is None else result.output.model_dump(mode="json"),
        "decision": decision_fields(result.decision),
        "usage": asdict(result.usage),
        "cost_usd": None if result.cost_usd is None else f"{result.cost_usd:f}",
        "timings": asdict(result.timings),
        "iterations": result.iterations,
        "tool_calls": result.tool_calls,
    }


def result_text(result: ResearchResult) -> str:
    """A result for a person to read."""
    lines = []
    if result.output is not None:
        lines += [result.output.summary, ""]
        lines += [f"  {f.file}:{f.line}  {f.claim}\n      {f.evidence.strip()}" for f in result.output.findings]
        lines.append("")
    if result.error:
        lines.append(f"{result.error_type}: {result.error}")
    cost = "unknown" if result.cost_usd is None else f"${result.cost_usd:f}"
    seconds = result.timings.response_time_ms / 1000
    lines.append(
        f"{result.status} (ended by {result.ended_by}) on {result.decision.path} as {result.decision.variant.name}, "
        f"reason {result.decision.reason}: {seconds:.2f} s, {result.iterations} model requests, cost {cost}"
    )
    lines.append(f"row {result.log_id}")
    return "\n".join(lines)
