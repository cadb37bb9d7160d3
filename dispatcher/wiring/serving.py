"""A dispatcher from settings."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

from pydantic import SecretStr

from dispatcher.action.decision import PathName
from dispatcher.action.observation import ZERO_USAGE
from dispatcher.audit.assignments import LoggedAssignments
from dispatcher.audit.late_costs import LateCosts
from dispatcher.audit.owner import this_owner
from dispatcher.audit.spooled_log import log_with_spool, open_serving_engine
from dispatcher.dispatch.beside import Beside
from dispatcher.dispatch.completing import Completion
from dispatcher.dispatch.dispatcher import Dispatcher
from dispatcher.dispatch.gate import Gate
from dispatcher.dispatch.parts import Parts
from dispatcher.dispatch.rows import Setting
from dispatcher.dispatch.sweeping import Provider
from dispatcher.errors import InvalidPolicy
from dispatcher.paths.managed.path import ManagedPath
from dispatcher.paths.messages.path import MessagesPath
from dispatcher.prices import PriceTable
from dispatcher.routing.assignment import Recall
from dispatcher.routing.policy import FEATURE_FILE, Policies
from dispatcher.settings import Settings, repository_token
from dispatcher.wiring.doors import ask_where_answers_come_from, claude_of, log_spool, origin_of_mark
from dispatcher.wiring.routers import after_fork, recording_router
from dispatcher.wiring.upkeep import sweep_rows_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dispatcher.audit.spool import Spool


def build_dispatcher(settings: Settings) -> Dispatcher:
    """A dispatcher from settings.

    Raises InvalidPolicy, InvalidFlags, SourceUnreachable or NoApiKey, each before anything is spent.
    """
    return Dispatcher(lambda inherited: _assemble(settings, inherited))


def _assemble(settings: Settings, inherited: Parts | None) -> Parts:
    """The parts of a dispatcher, made afresh; a forked child keeps of its parent the last good flag state."""
    spool = log_spool(settings)
    database = open_serving_engine(settings.database_url.get_secret_value(), spool)
    router = recording_router(settings, database) if inherited is None else after_fork(inherited.router)
    prices = PriceTable.load(settings.policies_dir / "prices.yml")
    refuse_unpriced(router.policies, prices)
    mark = ask_where_answers_come_from(settings.anthropic_base_url)
    claude = claude_of(settings, mark)
    managed = ManagedPath(claude, lambda tenant, url: _mount_token(router.policies, tenant, url))
    origin = origin_of_mark(mark)
    provider = Provider(sessions=managed, origin=origin)
    told_all: set[str] = set()
    return Parts(
        router=router,
        recall=Recall(LoggedAssignments(database, origin)),
        paths={PathName.MESSAGES: MessagesPath(claude), PathName.MANAGED: managed},
        gates={path: Gate(path, router.policies.conduct, time.monotonic_ns) for path in PathName},
        log=log_with_spool(database, spool, patience_s=settings.spool_after_s),
        prices=prices,
        setting=Setting(
            origin=origin,
            time_scale=1.0 if mark is None else mark.time_scale,
            owner=this_owner(),
        ),
        settle=managed.settle,
        # A forked child leaves it to its parent.
        sweep=None
        if inherited is not None
        else Beside("sweep of the log", lambda: _swept(settings, database, spool, provider, prices, told_all)),
    )


async def _swept(
    settings: Settings, database: Engine, spool: Spool, provider: Provider, prices: PriceTable, told_all: set[str]
) -> None:
    await sweep_rows_of(settings, database, spool, provider, prices)
    await Completion(LateCosts(database), provider, prices, told_all).run()


def refuse_unpriced(policies: Policies, prices: PriceTable) -> None:
    """Raise InvalidPolicy for variants whose model has no price today: no cap on their cost could hold."""
    today = dt.datetime.now(dt.UTC).date()
    unpriced = [
        f"variants.{variant.name}.model: {variant.model} has no price in prices.yml; add its dated rates"
        for variant in policies.variants.values()
        if prices.cost_nanousd(variant.model, ZERO_USAGE, today) is None
    ]
    if unpriced:
        raise InvalidPolicy(FEATURE_FILE, unpriced)


def _mount_token(policies: Policies, tenant: str, github_url: str) -> SecretStr | None:
    variable = policies.token_variable(tenant, github_url)
    return None if variable is None else repository_token(variable)
