"""The exceptions this package raises, drawn once.

Expected endings of an attempt are results, not exceptions; what is here is misuse, bad input, or a part that can't
serve.

    DispatcherError
    ├─ InvalidInput              bad input at the border; every problem is listed at once
    │  ├─ InvalidAction          a ResearchAction, Limits or Repository
    │  ├─ InvalidSettings        an environment variable or an option of the command line
    │  ├─ InvalidPolicy          a file in the policies directory
    │  ├─ InvalidFlags           a flag document
    │  ├─ InvalidRecord          a decision record in the records directory
    │  ├─ InvalidImport          a column map, or a line of an imported file
    │  ├─ InvalidExport          a directory of exported files
    │  ├─ InvalidAdoption        another application's table, as the one of the log
    │  └─ InvalidSimulation      a simulator's configuration
    ├─ RepositoryUnusable        the repository or commit that an action names can't be read, or isn't the tenant's
    ├─ ConversationContinues     a later turn without the transcript of the earlier ones
    ├─ ConversationBusy          two turns of a conversation at once; the other one runs
    ├─ ActionInProgress          the action under this idempotency key still runs
    ├─ DuplicateAction           the action under this idempotency key was carried out, and its result isn't kept
    ├─ IdempotencyKeyReused      another action under the same idempotency key
    ├─ BudgetExhausted           the tenant's budget doesn't have room for the action
    ├─ CalledOnEventLoop         the blocking call on the thread of a running event loop
    ├─ NoApiKey                  no credential for the provider
    ├─ LogUnavailable            the audit log can't take a row, so nothing was spent
    ├─ ProviderUnavailable       the provider can't be asked
    ├─ FlagServerUnavailable     the flag server gives no answer that can be used
    ├─ StillNeeded               rows that are to be deleted are a registered record's evidence
    ├─ SourceUnreachable         a database that should be read can't be
    ├─ PortInUse                 the simulator's port is taken
    └─ AttemptFailed             raised by ResearchResult.raise_for_status() only
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dispatcher.action.result import ResearchResult


class DispatcherError(Exception):
    """Something went wrong in the dispatcher."""


class InvalidInput(DispatcherError):
    """Bad input; `subject` names what was read and `problems` lists everything that is wrong with it."""

    def __init__(self, subject: str, problems: Sequence[str]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        super().__init__(subject, self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.subject}: {self.problems[0]}"
        return f"{self.subject}: {len(self.problems)} problems\n" + "\n".join(f"  - {line}" for line in self.problems)


class InvalidAction(InvalidInput):
    """The action can't be carried out as it is written."""


class InvalidSettings(InvalidInput):
    """A setting or an option has no usable value."""


class InvalidPolicy(InvalidInput):
    """A policy file can't be used."""


class InvalidFlags(InvalidInput):
    """A flag document can't be used."""


class InvalidRecord(InvalidInput):
    """A decision record can't be used."""


class InvalidImport(InvalidInput):
    """A column map or an imported file can't be used; nothing was imported."""


class InvalidExport(InvalidInput):
    """A directory can't take an export, or what is in it isn't what the log holds."""


class InvalidAdoption(InvalidInput):
    """The log can't be kept in the table that another application has made; nothing of it was changed."""


class InvalidSimulation(InvalidInput):
    """A simulator's configuration can't be used."""


class RepositoryUnusable(DispatcherError):
    """The repository or commit can't be read, or the tenant may not use it."""


class ConversationContinues(DispatcherError):
    """The conversation has an answered turn, and its transcript isn't here; nothing was spent."""


class ConversationBusy(DispatcherError):
    """Another turn of the conversation runs; nothing was spent. Ask again when it has ended."""


class _UnderKey(DispatcherError):
    """What else is known of an idempotency key; `log_id` and `dispatch_id` are those of the action that holds it."""

    def __init__(self, message: str, *, log_id: str, dispatch_id: str) -> None:
        self.log_id = log_id
        self.dispatch_id = dispatch_id
        super().__init__(message)


class ActionInProgress(_UnderKey):
    """The action under this idempotency key still runs; nothing was spent. Ask again when it has ended."""


class DuplicateAction(_UnderKey):
    """The action under this idempotency key was carried out, and its result isn't kept; nothing was spent."""


class IdempotencyKeyReused(_UnderKey):
    """The idempotency key belongs to another action; nothing was spent."""


class BudgetExhausted(DispatcherError):
    """What the tenant has spent and reserved leaves no room for the action's cost cap; nothing was spent."""


class CalledOnEventLoop(DispatcherError):
    """dispatch_research() would block the running event loop; await adispatch_research() instead."""


class NoApiKey(DispatcherError):
    """No credential for the provider."""


class LogUnavailable(DispatcherError):
    """The audit log can't take a row; the action was not accepted and nothing was spent."""


class ProviderUnavailable(DispatcherError):
    """The provider can't be asked for what isn't research."""


class FlagServerUnavailable(DispatcherError):
    """The flag server gives no answer that can be used."""


class StillNeeded(DispatcherError):
    """Rows that are to be deleted are the evidence of a registered record."""


class SourceUnreachable(DispatcherError):
    """The database that holds the rows can't be read."""


class PortInUse(DispatcherError):
    """The port is taken by another program."""


class AttemptFailed(DispatcherError):
    """The research didn't succeed; `result` holds what there is."""

    def __init__(self, result: ResearchResult) -> None:
        self.result = result
        super().__init__(result)

    def __str__(self) -> str:
        result = self.result
        why = f": {result.error}" if result.error else ""
        return f"research ended as {result.status}, ended by {result.ended_by}; row {result.log_id}{why}"
