"""What `dispatcher doctor` looks at beside the database: the spool, the policies, the prices and the flags."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dispatcher.audit.checkup import Check
    from dispatcher.audit.gap_file import Gap
    from dispatcher.audit.spool_table import SpoolStatus
    from dispatcher.settings import Settings


def check_spool(settings: Settings, now: dt.datetime) -> Iterator[Check]:
    """Whether the spool can take rows while the database is away, what it holds, and what it could never take."""
    from dispatcher.audit.checkup import Check, Outcome
    from dispatcher.errors import DispatcherError
    from dispatcher.wiring.doors import log_spool

    directory = settings.log_spool_dir
    if (problem := _why_not_writable(directory)) is not None:
        fix = "make it writable, or name another with DISPATCHER_SPOOL_DIR"
        yield Check("spool", Outcome.FAIL, f"{directory}: {problem}", fix)
        return
    try:
        spool = log_spool(settings)
        status, gaps = spool.status(), spool.gaps()
    except DispatcherError as error:
        fix = "see the file; what is in it are rows that the log doesn't have"
        yield Check("spool", Outcome.FAIL, str(error), fix)
        return
    yield _of_waiting(status, settings, now)
    yield _of_gaps(gaps)


def _of_waiting(status: SpoolStatus, settings: Settings, now: dt.datetime) -> Check:
    from dispatcher.audit.checkup import Check, Outcome

    age = None if status.oldest is None else now - status.oldest
    waits = f"{status.waiting} rows wait" + ("" if age is None else f", the oldest for {_for_people(age)}")
    finding = f"{settings.log_spool_dir}: {waits}, {status.quarantined} are set aside, {status.refused} were refused"
    too_old = age is not None and age >= dt.timedelta(hours=settings.spool_max_age_h)
    if too_old or status.bytes >= settings.spool_max_bytes:
        fix = "bring the database back, then: dispatcher logs drain"
        return Check("spool", Outcome.FAIL, f"{finding}; it takes no more", fix)
    if status.quarantined:
        fix = "the log will never have them by itself; see why: dispatcher logs status, then: "
        return Check("spool", Outcome.FAIL, finding, f"{fix}dispatcher logs drain --quarantined")
    if status.waiting:
        return Check("spool", Outcome.WARN, finding, "run: dispatcher logs drain; see: dispatcher logs status")
    if status.refused:
        fix = (
            "it was full: see why the database was away for so long, or raise DISPATCHER_SPOOL_MAX_BYTES or _MAX_AGE_H"
        )
        return Check("spool", Outcome.WARN, finding, fix)
    return Check("spool", Outcome.OK, finding)


def _of_gaps(gaps: Sequence[Gap]) -> Check:
    from dispatcher.audit.checkup import Check, Outcome

    if not gaps:
        return Check("gaps", Outcome.OK, "none of this host waits for the database")
    dispatches, since = sum(gap.dispatches for gap in gaps), min(gap.began_at for gap in gaps)
    finding = f"{dispatches} dispatches since {since:%Y-%m-%d %H:%M} UTC have no row, and the database doesn't know"
    fix = "a verdict over that time must be INVALID, and isn't until you run: dispatcher logs drain"
    return Check("gaps", Outcome.FAIL, finding, fix)


def _for_people(age: dt.timedelta) -> str:
    minutes = int(age.total_seconds()) // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"  # noqa: PLR2004 - of an hour


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
