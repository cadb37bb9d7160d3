"""The composition root: settings in, a dispatcher out; home of the instance behind `dispatch_research()`."""

from __future__ import annotations

import asyncio
import atexit
import datetime as dt
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING

from pydantic import SecretStr

from dispatcher.action.decision import PathName
from dispatcher.action.event import Event, OnEvent
from dispatcher.action.observation import ZERO_USAGE, Status
from dispatcher.action.request import ResearchAction
from dispatcher.action.result import ResearchResult
from dispatcher.audit.assignments import LoggedAssignments
from dispatcher.audit.engine import open_engine
from dispatcher.audit.flag_changes import FlagChanges
from dispatcher.audit.log import Log
from dispatcher.audit.record import Origin, SweptRow, this_owner
from dispatcher.dispatch.dispatcher import Dispatcher
from dispatcher.dispatch.gate import Gate
from dispatcher.dispatch.parts import Parts
from dispatcher.dispatch.rows import Setting
from dispatcher.errors import InvalidPolicy, NoApiKey, ProviderUnavailable
from dispatcher.paths.claude import Claude
from dispatcher.paths.managed.path import ManagedPath
from dispatcher.paths.managed.session import Failed
from dispatcher.paths.managed.sweep import LoggedRow, SweepReport, SweepRules
from dispatcher.paths.messages.path import MessagesPath
from dispatcher.paths.origin import SimulatorMark, ask_simulator
from dispatcher.prices import PriceTable
from dispatcher.routing.assignment import Recall
from dispatcher.routing.flags.file import EmbeddedFlags
from dispatcher.routing.policy import FEATURE_FILE, Policies
from dispatcher.routing.router import Flags, Router
from dispatcher.settings import PROVIDER_URL, Settings, load_settings, look_at_kill_switch, repository_token

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dispatcher.routing.flags.sighting import Sighting

SWEEP_GRACE = dt.timedelta(minutes=1)
"""How long past its deadline an attempt may still be winding down."""


def build_dispatcher(settings: Settings) -> Dispatcher:
    """A dispatcher from settings.

    Raises InvalidPolicy, InvalidFlags, SourceUnreachable or NoApiKey, each before anything is spent.
    """
    return Dispatcher(lambda inherited: _assemble(settings, inherited))


def build_router(settings: Settings, on_sighting: Callable[[Sighting], None] | None = None) -> Router:
    """What decides, from settings; needs no provider and no database. Raises InvalidPolicy or InvalidFlags.

    `on_sighting` is told of the flags' states as they come into force.
    """
    policies = Policies.load(settings.policies_dir)

    kill_file = settings.kill_switch_file

    def look() -> tuple[str, str] | None:
        return look_at_kill_switch(kill_file)

    # With the brake on, a document that can't be used must not keep the process from starting.
    flags = _flags(settings, policies.flag, on_sighting, bad_start_allowed=look() is not None)
    return Router(
        policies=policies,
        flags=flags,
        look_at_kill_switch=look,
        token_present=lambda variable: repository_token(variable) is not None,
    )


def _flags(
    settings: Settings, flag: str, on_sighting: Callable[[Sighting], None] | None, *, bad_start_allowed: bool
) -> Flags:
    """Flags from the server where one is set, else from the file; never from both."""
    if settings.unleash_url is None or settings.unleash_token is None:
        path = settings.policies_dir / "flags.json"
        return EmbeddedFlags(path, [flag], bad_start_allowed=bad_start_allowed, on_sighting=on_sighting)
    from dispatcher.routing.flags.server import ServerFlags  # noqa: PLC0415 - only who has a server pays for its client

    flags = ServerFlags(
        settings.unleash_url,
        settings.unleash_token,
        [flag],
        state_dir=settings.flag_state_dir,
        refresh_s=settings.unleash_refresh_s,
        on_sighting=on_sighting,
    )
    flags.start()
    return flags


def origin_of(settings: Settings) -> Origin:
    """The origin of a dispatcher's rows; whatever isn't the provider is asked whether it is the simulator, for 2 s."""
    return _origin(_ask_where_answers_come_from(settings.anthropic_base_url))


def open_database(settings: Settings) -> Engine:
    """The audit database, at the newest schema. Raises SourceUnreachable."""
    return open_engine(settings.database_url.get_secret_value())


async def sweep_sessions(settings: Settings, *, since: dt.datetime, now: dt.datetime, dry_run: bool) -> SweepReport:
    """Stop and archive the managed sessions that nobody needs any more, of those created since then.

    Only sessions whose rows are in this log are touched. Raises InvalidPolicy, SourceUnreachable, NoApiKey,
    LogUnavailable, or ProviderUnavailable where the provider can't be asked.
    """
    conduct = Policies.load(settings.policies_dir).conduct
    mark = _ask_where_answers_come_from(settings.anthropic_base_url)
    claude = Claude(api_key=_api_key(settings, mark), base_url=settings.anthropic_base_url, simulated=mark is not None)
    log = Log(open_database(settings))

    async def look_up(log_ids: frozenset[str]) -> Mapping[str, LoggedRow]:
        return {log_id: _as_swept(row) for log_id, row in (await log.sessions(sorted(log_ids))).items()}

    rules = SweepRules(now=now, since=since, session_ttl=conduct.session_ttl, grace=SWEEP_GRACE)
    try:
        return await ManagedPath(claude, lambda _tenant, _url: None).sweep(look_up, rules, dry_run=dry_run)
    except Failed as failed:
        raise ProviderUnavailable(f"the provider's sessions can't be swept: {failed.failure.message}") from None
    finally:
        await asyncio.to_thread(log.shutdown)


def _as_swept(row: SweptRow) -> LoggedRow:
    """What a sweep must know of a row, and of its conversation, whose later turns may go on in the row's session."""
    return LoggedRow(
        status=row.status if row.busy_until is None else Status.STARTED,
        session_id=row.session_id,
        deadline_at=row.busy_until or row.deadline_at or row.active_at,
        conversation_used_at=row.active_at if row.resumable else None,
    )


def _assemble(settings: Settings, inherited: Parts | None) -> Parts:
    """The parts of a dispatcher, made afresh; a forked child keeps of its parent the last good flag state."""
    database = open_database(settings)
    router = _recording_router(settings, database) if inherited is None else _after_fork(inherited.router)
    prices = PriceTable.load(settings.policies_dir / "prices.yml")
    _refuse_unpriced(router.policies, prices)
    mark = _ask_where_answers_come_from(settings.anthropic_base_url)
    claude = Claude(api_key=_api_key(settings, mark), base_url=settings.anthropic_base_url, simulated=mark is not None)
    managed = ManagedPath(claude, lambda tenant, url: _mount_token(router.policies, tenant, url))
    origin = _origin(mark)
    return Parts(
        router=router,
        recall=Recall(LoggedAssignments(database, origin)),
        paths={PathName.MESSAGES: MessagesPath(claude), PathName.MANAGED: managed},
        gates={path: Gate(path, router.policies.conduct, time.monotonic_ns) for path in PathName},
        log=Log(database),
        prices=prices,
        setting=Setting(
            origin=origin,
            time_scale=1.0 if mark is None else mark.time_scale,
            owner=this_owner(),
        ),
        settle=managed.settle,
    )


def _recording_router(settings: Settings, database: Engine) -> Router:
    """What decides, and appends to the log what it sees of the flags; it goes on doing so after a fork."""
    changes = FlagChanges(database)

    def record(sighting: Sighting) -> None:
        changes.record(**asdict(sighting))

    return build_router(settings, on_sighting=record)


def _refuse_unpriced(policies: Policies, prices: PriceTable) -> None:
    """Raise InvalidPolicy for variants whose model has no price today: no cap on their cost could hold."""
    today = dt.datetime.now(dt.UTC).date()
    unpriced = [
        f"variants.{variant.name}.model: {variant.model} has no price in prices.yml; add its dated rates"
        for variant in policies.variants.values()
        if prices.cost_nanousd(variant.model, ZERO_USAGE, today) is None
    ]
    if unpriced:
        raise InvalidPolicy(FEATURE_FILE, unpriced)


def _after_fork(router: Router) -> Router:
    router.flags.after_fork()
    return router


def _mount_token(policies: Policies, tenant: str, github_url: str) -> SecretStr | None:
    variable = policies.token_variable(tenant, github_url)
    return None if variable is None else repository_token(variable)


def _ask_where_answers_come_from(base_url: str) -> SimulatorMark | None:
    # Asked before the first row, so that a row killed before its first response already has the right origin.
    return None if base_url.rstrip("/") == PROVIDER_URL else ask_simulator(base_url)


def _origin(mark: SimulatorMark | None) -> Origin:
    return Origin.PRODUCTION if mark is None else Origin.SIMULATED


def _api_key(settings: Settings, mark: SimulatorMark | None) -> SecretStr:
    if settings.anthropic_api_key is not None and settings.anthropic_api_key.get_secret_value():
        return settings.anthropic_api_key
    if mark is not None:
        return SecretStr("simulated")
    raise NoApiKey(
        f"ANTHROPIC_API_KEY is not set and no simulator answers at {settings.anthropic_base_url}; set the key, or run "
        "`dispatcher simulator` and set ANTHROPIC_BASE_URL to the address it prints"
    )


_default: Dispatcher | None = None
# A fork in the middle of the building would leave the child a half-built instance and a lock that nobody releases.
_default_lock = threading.RLock()
os.register_at_fork(
    before=_default_lock.acquire, after_in_parent=_default_lock.release, after_in_child=_default_lock.release
)


def default_dispatcher() -> Dispatcher:
    """The instance behind `dispatch_research()`, built from the environment at the first call."""
    global _default  # noqa: PLW0603 - one default instance a process is what the module-level call means
    with _default_lock:
        if _default is None:
            _default = build_dispatcher(load_settings())
            atexit.register(_default.close)
        return _default


def dispatch_research(action: ResearchAction, on_event: OnEvent | None = None) -> ResearchResult:
    """Carry out the action with the default dispatcher and wait for it; see `Dispatcher.dispatch_research`."""
    return default_dispatcher().dispatch_research(action, on_event)


async def adispatch_research(action: ResearchAction, on_event: OnEvent | None = None) -> ResearchResult:
    """Carry out the action with the default dispatcher; see `Dispatcher.adispatch_research`."""
    return await (await _ready_dispatcher()).adispatch_research(action, on_event)


async def astream_research(action: ResearchAction) -> AsyncGenerator[Event, None]:
    """The events of a dispatch with the default dispatcher; see `Dispatcher.astream_research`."""
    dispatcher = await _ready_dispatcher()
    async with aclosing(dispatcher.astream_research(action)) as events:
        async for event in events:
            yield event


async def _ready_dispatcher() -> Dispatcher:
    # The first call opens the database and imports the SDK, a second's work that must not stall the loop.
    return await asyncio.to_thread(default_dispatcher) if _default is None else _default
