"""The drain's promises on a PostgreSQL and a MariaDB."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from spool_contract import DrainContract

from dispatcher.audit.engine import open_engine


class TestDrainToServers(DrainContract):
    @pytest.fixture
    def engine(self, server_url: str) -> Iterator[sa.Engine]:
        engine = open_engine(server_url)
        yield engine
        engine.dispose()
