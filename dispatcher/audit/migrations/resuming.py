"""On MySQL and MariaDB every statement commits: a migration that was interrupted goes on where it was.

Importing this makes Alembic leave out what is there already, and of nothing else that it does.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.ddl.mysql import MariaDBImpl, MySQLImpl


class _Resuming(MySQLImpl):
    __dialect__ = "mysql"

    def create_table(self, table: sa.Table, **kw: Any) -> None:
        """Make a table with its indexes, unless it is there: the engine makes it in one statement or not at all."""
        if self.as_sql or not self._inspector.has_table(table.name):
            super().create_table(table, **kw)

    def create_index(self, index: sa.Index, **kw: Any) -> None:
        """Make an index, unless it is there."""
        assert index.table is not None
        if self.as_sql or index.name not in {one["name"] for one in self._inspector.get_indexes(index.table.name)}:
            super().create_index(index, **kw)

    def add_column(self, table_name: str, column: sa.Column[Any], **kw: Any) -> None:
        """Add a column, unless it is there."""
        if self.as_sql or column.name not in {one["name"] for one in self._inspector.get_columns(table_name)}:
            super().add_column(table_name, column, **kw)

    @property
    def _inspector(self) -> sa.Inspector:
        # A new one each time, since they keep what they have seen.
        assert self.connection is not None
        return sa.inspect(self.connection)


class _ResumingOnMariaDb(_Resuming, MariaDBImpl):
    __dialect__ = "mariadb"
