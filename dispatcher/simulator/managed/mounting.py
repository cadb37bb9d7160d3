"""Starting a session's container with its repositories."""

from __future__ import annotations

from dispatcher.simulator.identity import spread
from dispatcher.simulator.managed.checkout import NoSuchCommit, NoSuchRepository
from dispatcher.simulator.managed.container import Container, Mount
from dispatcher.simulator.managed.mishaps import failed_clone
from dispatcher.simulator.managed.outside import Outside
from dispatcher.simulator.managed.running import pass_time
from dispatcher.simulator.managed.session import Session
from dispatcher.simulator.world import World

_MESSAGES = {
    "repository_authentication_error": "The token was not accepted.",
    "repository_forbidden_error": "The token may not read the repository.",
    "repository_not_found_error": "The repository was not found.",
    "repository_checkout_error": "The branch or commit does not exist.",
    "repository_clone_error": "The repository could not be cloned.",
}


async def start_container(world: World, session: Session) -> None:
    """Start the container of a session; a repository that can't be mounted is told, and the run goes on without it."""
    profile = world.profiles.container_start
    factor = spread(profile.spread, world.config.seed, "container", session.transcript[:1])
    await pass_time(world, session, factor * profile.ms / 1000)
    mounts = []
    for resource in session.resources:
        failure = failed_clone(world, session)
        if failure is not None:
            _emit_error(session, resource["url"], failure)
            continue
        try:
            checkout = await world.checkouts.mount(resource["url"], resource["checkout"])
        except (NoSuchRepository, NoSuchCommit) as problem:
            missing = isinstance(problem, NoSuchRepository)
            _emit_error(session, resource["url"], f"repository_{'not_found' if missing else 'checkout'}_error")
        else:
            mounts.append(Mount(resource["mount_path"], checkout))
    session.container = Container(
        world.checkouts, tuple(mounts), Outside(session.networking, world.effects, session.id)
    )


def _emit_error(session: Session, url: str, kind: str) -> None:
    error = {
        "type": kind,
        "message": _MESSAGES[kind],
        "repository_url": url,
        "retry_status": {"type": "retrying"},
    }
    session.log.emit("session.error", error=error)
