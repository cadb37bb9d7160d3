"""Starting a session's container with its repositories."""

from __future__ import annotations

from dispatcher.simulator.identity import spread
from dispatcher.simulator.managed.checkout import NoSuchCommit, NoSuchRepository
from dispatcher.simulator.managed.container import Container, Mount
from dispatcher.simulator.managed.running import pass_time
from dispatcher.simulator.managed.session import Session
from dispatcher.simulator.world import World


async def start_container(world: World, session: Session) -> None:
    """Start the container of a session; a repository that can't be mounted is told, and the run goes on without it."""
    profile = world.profiles.container_start
    factor = spread(profile.spread, world.config.seed, "container", session.transcript[:1])
    await pass_time(world, session, factor * profile.ms / 1000)
    mounts = []
    for resource in session.resources:
        try:
            checkout = await world.checkouts.mount(resource["url"], resource["checkout"])
        except (NoSuchRepository, NoSuchCommit) as problem:
            _emit_error(session, resource["url"], missing=isinstance(problem, NoSuchRepository))
        else:
            mounts.append(Mount(resource["mount_path"], checkout))
    session.container = Container(world.checkouts, tuple(mounts))


def _emit_error(session: Session, url: str, *, missing: bool) -> None:
    error = {
        "type": "repository_not_found_error" if missing else "repository_checkout_error",
        "message": "The repository was not found." if missing else "The branch or commit does not exist.",
        "repository_url": url,
        "retry_status": {"type": "retrying"},
    }
    session.log.emit("session.error", error=error)
