"""What goes wrong inside a session, where a fault says so."""

from __future__ import annotations

from dispatcher.simulator.faults.occasions import moment
from dispatcher.simulator.faults.plan import Due
from dispatcher.simulator.faults.runs import (
    BudgetReached,
    CloneError,
    Deleted,
    FailedRequest,
    ForeignInterrupt,
    LateUsage,
    Rescheduled,
    RunFault,
    SessionError,
    StaleStatus,
    Terminated,
)
from dispatcher.simulator.faults.streams import NOVELTY, UnknownEvent
from dispatcher.simulator.managed.running import Ended, Interrupted, Stopped
from dispatcher.simulator.managed.session import Session
from dispatcher.simulator.world import World

_NAMES = {
    "mcp_connection_failed_error": {"mcp_server_name": "simulated"},
    "mcp_authentication_failed_error": {"mcp_server_name": "simulated"},
    "credential_host_unreachable_error": {"credential_id": "cred_simulated", "vault_id": "vault_simulated"},
}
_NO_TOKENS = dict.fromkeys(
    ["input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"], 0
)


async def before_request(world: World, session: Session) -> bool:
    """What happens right before a model request; returns whether its usage will be told late.

    Raises Stopped where the turn ends, Ended where the session does, Interrupted at an interrupt.
    """
    if not world.faults.is_armed:
        return False
    budgeted = () if session.budget_cents is None else (BudgetReached,)
    due = world.faults.at(moment("model_request", session, RunFault, LateUsage, UnknownEvent, *budgeted))
    if due is None:
        return False
    due.happened()
    await _happen(world, session, due)
    return isinstance(due.fault, LateUsage)


async def _happen(world: World, session: Session, due: Due) -> None:
    match due.fault:
        case SessionError():
            _fail(session, due.fault)
        case Rescheduled():
            await _reschedule(world, session, due.fault.seconds)
        case Terminated():
            raise Ended("terminated")
        case Deleted():
            raise Ended("deleted")
        case BudgetReached():
            session.budget_reached = True
            raise Stopped({"type": "budget_reached"})
        case ForeignInterrupt():
            session.interrupts.append(session.log.accept({"type": "user.interrupt"}, processed=False)["id"])
            session.interrupted.set()
        case FailedRequest():
            start = session.log.emit("span.model_request_start")
            end = {"model_request_start_id": start["id"], "is_error": True, "model_usage": _NO_TOKENS}
            session.log.emit("span.model_request_end", **end)
        case UnknownEvent():
            session.log.emit(NOVELTY)


def _fail(session: Session, fault: SessionError) -> None:
    error = {
        "type": fault.error_type,
        "message": fault.message,
        "retry_status": {"type": fault.retry_status},
        **_NAMES.get(fault.error_type, {}),
    }
    session.log.emit("session.error", error=error)
    if fault.retry_status == "exhausted":
        session.flush_waiting()
        raise Stopped({"type": "retries_exhausted"})
    if fault.retry_status == "terminal":
        raise Ended("terminated")


async def _reschedule(world: World, session: Session, seconds: float) -> None:
    """Rescheduling is free: the wait adds no running time."""
    session.log.emit("session.thread_status_rescheduled", **session.thread_facts)
    session.log.emit("session.status_rescheduled")
    session.is_rescheduling = True
    try:
        await world.clock.wait_unless(session.interrupted, seconds)
    finally:
        session.is_rescheduling = False
    if session.interrupted.is_set():
        raise Interrupted
    session.log.emit("session.status_running")
    session.log.emit("session.thread_status_running", **session.thread_facts)


def failed_clone(world: World, session: Session) -> str | None:
    """The error with which a repository's mounting fails; None where it doesn't have to."""
    due = world.faults.at(moment("repository.clone", session, CloneError)) if world.faults.is_armed else None
    if due is None or not isinstance(due.fault, CloneError):
        return None
    due.happened()
    return due.fault.error_type


def at_idle(world: World, session: Session) -> bool:
    """What happens as the session goes idle; returns whether its usage is told after that."""
    due = None
    if world.faults.is_armed:
        due = world.faults.at(moment("session.idle", session, LateUsage, StaleStatus))
    if due is None:
        return False
    due.happened()
    if isinstance(due.fault, StaleStatus):
        session.says_running_until = world.clock.real_seconds() + due.fault.ms / 1000
    return isinstance(due.fault, LateUsage)
