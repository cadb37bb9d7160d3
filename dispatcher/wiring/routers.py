"""What decides, from settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from dispatcher.audit.flag_changes import FlagChanges
from dispatcher.routing.flags.file import EmbeddedFlags
from dispatcher.routing.policy import Policies
from dispatcher.routing.router import Flags, Router
from dispatcher.settings import Settings, look_at_kill_switch, repository_token
from dispatcher.wiring.prompts import with_prompts

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dispatcher.routing.flags.sighting import Sighting


def build_router(settings: Settings, on_sighting: Callable[[Sighting], None] | None = None) -> Router:
    """What decides, from settings; needs no provider and no database. Raises InvalidPolicy or InvalidFlags.

    `on_sighting` is told of the flags' states as they come into force.
    """
    policies = with_prompts(Policies.load(settings.policies_dir))

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


def recording_router(settings: Settings, database: Engine) -> Router:
    """What decides, and appends to the log what it sees of the flags; it goes on doing so after a fork."""
    changes = FlagChanges(database)

    def record(sighting: Sighting) -> None:
        changes.record(**asdict(sighting))

    return build_router(settings, on_sighting=record)


def after_fork(router: Router) -> Router:
    """A parent's router, fit for a forked child: it has the last good flag state, and looks for itself from now on."""
    router.flags.after_fork()
    return router
