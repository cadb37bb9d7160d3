"""What a dispatcher is made of, and what the attempts of one dispatch share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from dispatcher.action.decision import PathName
from dispatcher.action.event import OnEvent
from dispatcher.action.policy import Conduct
from dispatcher.action.request import ResearchAction
from dispatcher.audit.log import Log
from dispatcher.audit.record import Room
from dispatcher.dispatch.beside import Beside
from dispatcher.dispatch.conversation import Past
from dispatcher.dispatch.gate import Gate
from dispatcher.dispatch.rows import Setting
from dispatcher.paths.path import Path
from dispatcher.paths.repository.checkout import Checkout
from dispatcher.prices import PriceTable
from dispatcher.routing.assignment import Recall
from dispatcher.routing.router import Router


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a dispatcher is made of.

    `recall` knows what conversations were assigned before. `settle` waits for what the running event loop's attempts
    left to wind down at the provider. `sweep` gives up what earlier processes left open, and completes costs; None in a
    forked child, whose parent does.
    """

    router: Router
    recall: Recall
    paths: Mapping[PathName, Path]
    gates: Mapping[PathName, Gate]
    log: Log
    prices: PriceTable
    setting: Setting
    settle: Callable[[], Coroutine[Any, Any, None]]
    sweep: Beside | None

    @property
    def conduct(self) -> Conduct:
        """How the policies say that actions are carried out."""
        return self.router.policies.conduct


@dataclass(frozen=True, slots=True, kw_only=True)
class Commission:
    """What all attempts of one dispatch share: what was asked, over what, after what, and until when.

    `deadline_ns` is on the monotonic clock; `tell` passes events on to whoever follows the dispatch.
    """

    action: ResearchAction
    checkout: Checkout
    past: Past
    dispatch_id: str
    deadline_ns: int
    room: Room | None
    tell: OnEvent
