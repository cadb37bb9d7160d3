"""Where an action goes: the kill switch first, then the flag and the policies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dispatcher.action.decision import Decision
from dispatcher.action.request import ResearchAction
from dispatcher.errors import RepositoryUnusable
from dispatcher.routing.assignment import NOTHING_ASSIGNED, Recalled
from dispatcher.routing.decision import Situation, brake, decide
from dispatcher.routing.flags.answer import FlagAnswer, FlagContext
from dispatcher.routing.policy import Policies


class Flags(Protocol):
    """A state of flags that can be asked at any time, from any thread."""

    def evaluate(self, flag: str, context: FlagContext) -> FlagAnswer:
        """The flag's answer; a state that can't be used is an answer, too, never an exception."""
        ...

    def after_fork(self) -> None:
        """Make the state usable in a forked child, before its first evaluation there."""
        ...

    def stop(self) -> None:
        """End what runs in the background, within half a second."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """Decides for dispatches and explains without one.

    `look_at_kill_switch` returns where the switch is set and its value, None where it isn't; it is asked before
    anything else, on every decision. `token_present` says whether an environment variable holds a repository's token.
    """

    policies: Policies
    flags: Flags
    look_at_kill_switch: Callable[[], tuple[str, str] | None]
    token_present: Callable[[str], bool]

    def refuse_foreign_repository(self, action: ResearchAction) -> None:
        """Raise RepositoryUnusable where the action names a repository that isn't its tenant's."""
        url = action.repository.github_url
        if url is not None and not self.policies.repository_allowed(action.tenant, url):
            raise RepositoryUnusable(
                f"tenant {action.tenant!r} may not have {url} researched: repositories.yml doesn't list the pair"
            )

    def mountable(self, action: ResearchAction, *, has_commit: bool) -> bool:
        """Whether the managed path can mount the repository: at an address, at a commit, with its token at hand."""
        return has_commit and self._obstacle(action) is None

    def decide(
        self, action: ResearchAction, *, mountable: bool, unit: str, recalled: Recalled = NOTHING_ASSIGNED
    ) -> Decision:
        """The decision for an action, made anew on every call.

        `unit` is what a draw by conversation hashes where the action has no conversation: the dispatch's id. `recalled`
        is what is known of the variant that the conversation was first assigned. Raises InvalidAction where the action
        pins a variant that isn't registered, unless the kill switch brakes before.
        """
        switch = self.look_at_kill_switch()
        if switch is not None:
            return brake(self.policies, action.limits, *switch, recalled)
        context = FlagContext(tenant=action.tenant, project=action.project, conversation=action.conversation_id or unit)
        situation = Situation(
            policies=self.policies,
            answer=self.flags.evaluate(self.policies.flag, context),
            obstacle=None if mountable else self._obstacle(action) or "it has no commit",
            pin=action.variant,
            limits=action.limits,
            recalled=recalled,
        )
        return decide(situation)

    def _obstacle(self, action: ResearchAction) -> str | None:
        url = action.repository.github_url
        if url is None:
            return "it has no github_url"
        if not self.policies.repository_allowed(action.tenant, url):
            return "it isn't the tenant's"
        variable = self.policies.token_variable(action.tenant, url)
        if variable is not None and not self.token_present(variable):
            return f"{variable}, which holds its token, is not set"
        return None
