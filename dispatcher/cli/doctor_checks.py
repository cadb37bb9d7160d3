"""What `dispatcher doctor` looks at beside the database: the spool, the policies, the prices and the flags."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dispatcher.audit.checkup import Check
    from dispatcher.settings import Settings


def check_spool(settings: Settings, now: dt.datetime) -> Check:
    """Whether the spool can take rows while the database is away, and what waits in it."""
    from dispatcher.audit.checkup import Check, Outcome
    from dispatcher.errors import DispatcherError
    from dispatcher.wiring.doors import log_spool

    directory = settings.log_spool_dir
    if (problem := _why_not_writable(directory)) is not None:
        fix = "make it writable, or name another with DISPATCHER_SPOOL_DIR"
        return Check("spool", Outcome.FAIL, f"{directory}: {problem}", fix)
    try:
        status = log_spool(settings).status()
    except DispatcherError as error:
        return Check(
            "spool", Outcome.FAIL, str(error), "see the file; what is in it are rows that the log doesn't have"
        )
    waits = (
        f"{status.waiting} rows wait" if status.oldest is None else f"{status.waiting} rows wait since {status.oldest}"
    )
    finding = f"{directory}: {waits}, {status.quarantined} are set aside, {status.refused} were refused"
    full = status.bytes >= settings.spool_max_bytes
    if full or (status.oldest is not None and now - status.oldest >= dt.timedelta(hours=settings.spool_max_age_h)):
        return Check(
            "spool",
            Outcome.FAIL,
            f"{finding}; it takes no more",
            "bring the database back, then: dispatcher logs drain",
        )
    if status.waiting or status.quarantined:
        return Check("spool", Outcome.WARN, finding, "run: dispatcher logs drain; see: dispatcher logs status")
    return Check("spool", Outcome.OK, finding)


def check_policies(settings: Settings) -> Iterator[Check]:
    """Whether what is in the policies directory can be used, each file by itself."""
    from dispatcher.audit.checkup import Check, Outcome
    from dispatcher.errors import DispatcherError
    from dispatcher.prices import PriceTable
    from dispatcher.routing.policy import Policies
    from dispatcher.wiring.serving import refuse_unpriced

    directory, policies = settings.policies_dir, None
    try:
        policies = Policies.load(directory)
        yield Check("policies", Outcome.OK, f"{directory}: variants {', '.join(sorted(policies.variants))}")
    except DispatcherError as error:
        yield Check("policies", Outcome.FAIL, str(error), "set DISPATCHER_POLICIES_DIR, or mend the file")
    try:
        prices = PriceTable.load(directory / "prices.yml")
        if policies is not None:
            refuse_unpriced(policies, prices)
        yield Check("prices", Outcome.OK, f"{directory / 'prices.yml'}: every variant's model has a price today")
    except DispatcherError as error:
        yield Check("prices", Outcome.FAIL, str(error), "mend the file")


def check_flags(settings: Settings) -> Check:
    """Whether the flags can be read, and whether the kill switch overrules them."""
    from dispatcher.audit.checkup import Check, Outcome
    from dispatcher.errors import DispatcherError
    from dispatcher.routing.flags.answer import FlagContext, FlagState
    from dispatcher.wiring.routers import build_router

    try:
        router = build_router(settings)
    except DispatcherError as error:
        return Check("flags", Outcome.FAIL, str(error), "mend the file: dispatcher flags show")
    try:
        if (switch := router.look_at_kill_switch()) is not None:
            finding = f"the kill switch is on ({switch[0]}): every action goes to legacy"
            return Check("flags", Outcome.WARN, finding, f"take {switch[0]} away when that is over")
        answer = router.flags.evaluate(router.policies.flag, FlagContext(tenant="doctor", conversation="doctor"))
    finally:
        router.flags.stop()
    unusable = {FlagState.UNKNOWN_FLAG, FlagState.STALE, FlagState.ERROR}
    if answer.state in unusable or answer.problem is not None:
        finding = f"{router.policies.flag}: {answer.state.value}; {answer.problem or answer.detail}"
        return Check(
            "flags", Outcome.FAIL, finding, "every action goes to legacy meanwhile; see: dispatcher flags show"
        )
    return Check("flags", Outcome.OK, f"{router.policies.flag} from {answer.source}, version {answer.version}")


def _why_not_writable(directory: Path) -> str | None:
    """What keeps files from being made in a directory that may not be there yet; makes nothing."""
    try:
        there = next(path for path in (directory, *directory.parents) if path.exists())
    except OSError as error:
        return str(error.strerror)
    if not there.is_dir():
        return f"{there} is a file"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"no permission to write in {there}"
    return _full_or_read_only(there)


def _full_or_read_only(directory: Path) -> str | None:
    state = os.statvfs(directory)
    if state.f_flag & os.ST_RDONLY:
        return f"the file system of {directory} is read-only"
    return f"the disk of {directory} is full" if state.f_bavail == 0 else None
