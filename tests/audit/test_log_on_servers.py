"""The contracts of the log, of claims, budgets, content, flags and assignments, on a PostgreSQL and a MariaDB."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from assignment_contract import AssignmentContract
from budget_contract import BudgetContract
from claim_contract import ClaimContract
from flag_change_contract import FlagChangeContract
from kept_contract import KeptContract
from log_contract import LogContract

from dispatcher.audit.engine import open_engine


class OnServers:
    @pytest.fixture
    def engine(self, server_url: str) -> Iterator[sa.Engine]:
        engine = open_engine(server_url)
        yield engine
        engine.dispose()


class TestLogOnServers(OnServers, LogContract):
    pass


class TestClaimsOnServers(OnServers, ClaimContract):
    pass


class TestBudgetsOnServers(OnServers, BudgetContract):
    pass


class TestKeptContentOnServers(OnServers, KeptContract):
    pass


class TestFlagChangesOnServers(OnServers, FlagChangeContract):
    pass


class TestAssignmentsOnServers(OnServers, AssignmentContract):
    pass
