"""What is done about verdicts besides printing them: the rollback that a record asks for, and what is kept and told."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import click

from dispatcher.errors import DispatcherError, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pydantic import SecretStr
    from sqlalchemy import Engine

    from dispatcher.settings import Settings
    from dispatcher.verdict.judgement.judge import Verdict

_CONNECT_S, _ANSWER_S, _ALL_S = 5, 15, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line wants of verdicts: the rollback, rows in the table `verdicts`, reports, a message.

    `webhook` may be what is wrong with its setting, which keeps nothing else from being done.
    """

    act: bool
    append: bool
    reports: Path | None
    webhook: SecretStr | InvalidSettings | None

    @property
    def is_anything(self) -> bool:
        """Whether anything is to be done besides printing."""
        return self.act or self.append or self.reports is not None or self.webhook is not None


def follow_up(settings: Settings, engine: Engine, verdicts: Sequence[Verdict], wanted: Wanted) -> list[DispatcherError]:
    """Do what is wanted, the rollback before all else, each whatever became of the others; what went wrong.

    Everything is said on standard error, and to the webhook.
    """
    done: list[str] = []
    failed: list[DispatcherError] = [wanted.webhook] if isinstance(wanted.webhook, InvalidSettings) else []
    for deed in _deeds(settings, engine, verdicts, wanted):
        try:
            done.extend(deed())
        except DispatcherError as error:
            failed.append(error)
    _tell(wanted.webhook, verdicts, [*done, *(f"failed: {error}" for error in failed)])
    for sentence in [*done, *(f"error: {error}" for error in failed)]:
        click.echo(sentence, err=True)
    return failed


@contextmanager
def told_of_failure(webhook: SecretStr | InvalidSettings | None) -> Iterator[None]:
    """Tell the webhook, where there is one, why there are no verdicts."""
    try:
        yield
    except DispatcherError as error:
        _tell(webhook, [], [f"no verdict this time: {error}"])
        raise


def _deeds(
    settings: Settings, engine: Engine, verdicts: Sequence[Verdict], wanted: Wanted
) -> Iterator[Callable[[], Sequence[str]]]:
    for verdict in verdicts if wanted.act else ():
        if asks_for_rollback(verdict):
            yield partial(_roll_back, settings, verdict)
    for verdict in verdicts if wanted.append else ():
        yield partial(_append, engine, verdict)
    if wanted.reports is not None:
        yield partial(_report, wanted.reports, verdicts)


def _append(engine: Engine, verdict: Verdict) -> list[str]:
    from dispatcher.verdict.history import store

    store(engine, verdict)
    return []


def _report(folder: Path, verdicts: Sequence[Verdict]) -> list[str]:
    from dispatcher.verdict.report.filing import file_reports

    return [f"report: {page}" for page in file_reports(folder, verdicts)]


def asks_for_rollback(verdict: Verdict) -> bool:
    """Whether the record, which must be an open one, wants its flag off after this verdict on production's rows."""
    from dispatcher.audit.record import Origin
    from dispatcher.verdict.judgement.judge import Outcome

    wanted = verdict.block.on_rollback == "flip_off" and verdict.outcome is Outcome.ROLLBACK
    return wanted and verdict.record.status.is_open and verdict.origin is Origin.PRODUCTION


def _roll_back(settings: Settings, verdict: Verdict) -> list[str]:
    """Turn the flag off, as `dispatcher flags off` does; what was done.

    Raises InvalidRecord where the flag isn't the one of the record's feature, and what editing a flag raises.
    """
    from dispatcher.cli.flag_writing import edit_flag
    from dispatcher.errors import InvalidRecord
    from dispatcher.routing.flag_editing.edit import Switch
    from dispatcher.routing.policy import Policies

    name, feature = verdict.record.id, verdict.block.feature
    policies = Policies.load(settings.policies_dir)
    if policies.feature != feature:
        elsewhere = f"asks for the flag of {feature}, and these policies are of {policies.feature}"
        raise InvalidRecord(name, [f"{elsewhere}: run `dispatcher flags off` where that feature is served"])
    outcome = edit_flag(settings, Switch(flag=policies.flag, on=False), f"verdict {name}", dry_run=False)
    state = "is off now" if outcome.written else "was off already"
    return [f"{policies.flag} {state}: everybody is back on legacy, as {name} asks for at a ROLLBACK"]


def _tell(webhook: SecretStr | InvalidSettings | None, verdicts: Sequence[Verdict], done: Sequence[str]) -> None:
    from dispatcher.verdict.report.notice import as_notice

    if webhook is None or isinstance(webhook, InvalidSettings):
        return
    problem = post_notice(webhook, as_notice(verdicts, done))
    # The verdicts stand, whether or not anybody was told.
    if problem is not None:
        click.echo(f"warning: {problem}; the verdicts are as printed", err=True)


def post_notice(url: SecretStr, notice: dict[str, Any]) -> str | None:
    """Send the message; why that failed, or None. No word is kept that may tell the URL, which is secret.

    An answer may come drop by drop, each within its time-out: whatever it does, nobody waits longer than 20 s.
    """
    said: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=lambda: said.put(_posted(url, notice)), name="webhook", daemon=True).start()
    try:
        return said.get(timeout=_ALL_S)
    except Empty:
        return f"the webhook didn't answer within {_ALL_S} s"


def _posted(url: SecretStr, notice: dict[str, Any]) -> str | None:
    import requests

    try:
        with requests.post(
            url.get_secret_value(),
            json=notice,
            timeout=(_CONNECT_S, _ANSWER_S),
            allow_redirects=False,
            stream=True,  # what it says beside its status isn't of interest
        ) as answer:
            return None if answer.ok and not answer.is_redirect else f"the webhook answered {answer.status_code}"
    except Exception as error:  # noqa: BLE001 - requests lets other libraries' errors through, with the URL in them
        return f"the webhook couldn't be reached ({type(error).__name__})"
