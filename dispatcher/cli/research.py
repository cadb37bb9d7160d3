"""`dispatcher research`: carry out one action from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dispatcher.action.event import Event
    from dispatcher.action.request import ResearchAction
    from dispatcher.action.result import ResearchResult
    from dispatcher.action.transcript import Transcript

_LIMITS = ("iterations", "tool_calls", "tokens", "cost_usd", "deadline_s")


class _Decimal(click.ParamType[Any]):
    name = "decimal"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from decimal import Decimal, InvalidOperation

        try:
            return Decimal(value)
        except InvalidOperation:
            self.fail(f"{value!r} is not a number", param, ctx)


@click.command()
@click.argument("question")
@click.option("--tenant", required=True, help="Who asks.")
@click.option("--repository", "path", required=True, type=click.Path(path_type=Path), help="Local checkout to read.")
@click.option("--github-url", help="The repository's address, which the managed path mounts.")
@click.option("--commit", help="SHA to read; HEAD by default.")
@click.option("--project", help="Project of the tenant.")
@click.option(
    "--conversation", "conversation_id", help="Conversation of the question; a drawn assignment sticks to it."
)
@click.option(
    "--transcript",
    "transcript_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the conversation's earlier turns; read where it exists, and written with this turn added.",
)
@click.option("--variant", help="Pin a registered variant.")
@click.option("--idempotency-key", help="Of the actions of a tenant with one key, one is carried out.")
@click.option("--iterations", type=int, help="Cap on model requests. A limit can only tighten the variant's.")
@click.option("--tool-calls", type=int, help="Cap on tool calls.")
@click.option("--tokens", type=int, help="Cap on tokens of all classes, over all requests.")
@click.option("--cost", "cost_usd", type=_Decimal(), metavar="USD", help="Cap on the cost, in US dollars.")
@click.option("--deadline", "deadline_s", type=float, help="Seconds to wait at most.")
@click.option("--follow/--quiet", default=None, help="Tell the progress on stderr; by default where it is a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def research(
    question: str,
    path: Path,
    github_url: str | None,
    commit: str | None,
    transcript_file: Path | None,
    *,
    follow: bool | None,
    as_json: bool,
    **who: Any,
) -> int:
    """Carry out one research action and print its report.

    Exits 0 where the research succeeded and 1 where it didn't.
    """
    from dispatcher.action.observation import Status
    from dispatcher.action.request import Limits, Repository, ResearchAction

    if transcript_file is not None:
        _refuse_unusable(transcript_file, who["conversation_id"])
    action = ResearchAction(
        question=question,
        repository=Repository(path=path, github_url=github_url, commit=commit),
        limits=Limits(**{name: who.pop(name) for name in _LIMITS}),
        history=None if transcript_file is None else _earlier_turns(transcript_file),
        **who,
    )
    result = _carried_out(action, follow=follow)
    _show(result, as_json=as_json)
    # Last, so that an answer that is paid for is shown whatever becomes of the file.
    if transcript_file is not None and result.status is Status.SUCCESS:
        _keep(transcript_file, result)
    return 0 if result.status is Status.SUCCESS else 1


def _carried_out(action: ResearchAction, *, follow: bool | None) -> ResearchResult:
    import sys

    from dispatcher.settings import load_settings
    from dispatcher.wiring.serving import build_dispatcher

    dispatcher = build_dispatcher(load_settings())
    try:
        told = _tell if (sys.stderr.isatty() if follow is None else follow) else None
        return dispatcher.dispatch_research(action, told)
    finally:
        dispatcher.close()


def _show(result: ResearchResult, *, as_json: bool) -> None:
    import json

    click.echo(json.dumps(result_document(result), indent=2, ensure_ascii=False) if as_json else result_text(result))


def _refuse_unusable(file: Path, conversation_id: str | None) -> None:
    """Refuse a transcript that couldn't be kept, or would belong to nothing, before anything is spent."""
    import os

    if conversation_id is None:
        raise click.UsageError("--transcript belongs to a conversation: give its --conversation")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise click.UsageError(f"--transcript {file}: there is no folder {file.parent} that can be written to")


def _earlier_turns(file: Path) -> Transcript | None:
    from dispatcher.action.transcript import Transcript
    from dispatcher.errors import InvalidAction

    try:
        return Transcript.from_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidAction("history", [f"{file} can't be read: {error.strerror}"]) from None


def _keep(file: Path, result: ResearchResult) -> None:
    """Replace the file by the transcript with this turn, readable by its owner alone; never half written."""
    import os
    import tempfile

    try:
        descriptor, written = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                opened.write(result.transcript.to_json())
            os.replace(written, file)  # noqa: PTH105 - atomic, and says so
        except BaseException:
            os.unlink(written)  # noqa: PTH108 - the name that mkstemp made
            raise
    except OSError as error:
        raise click.ClickException(f"the transcript could not be written to {file}: {error.strerror}") from None


def _tell(event: Event) -> None:
    from dispatcher.cli.progress import progress_line

    line = progress_line(event)
    if line is not None:
        click.echo(line, err=True)


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
        "attempts": result.attempts,
        "repeated": result.repeated,
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
    again = "; kept from the first time, nothing was spent now" if result.repeated else ""
    lines.append(f"row {result.log_id}{again}")
    return "\n".join(lines)
