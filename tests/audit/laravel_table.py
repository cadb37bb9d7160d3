"""The `ai_outbound_logs` of another application: as Laravel makes tables, years old, with rows, still written to."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

_COLUMNS = """
    feature VARCHAR(255) NOT NULL,
    model VARCHAR(255) NULL,
    status VARCHAR(255) NOT NULL,
    user_id BIGINT NULL,
    prompt TEXT NULL,
    response_time_ms INTEGER NULL,
    input_tokens INTEGER NULL,
    output_tokens INTEGER NULL,
"""
_MADE = {
    "sqlite": f"CREATE TABLE ai_outbound_logs (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, {_COLUMNS}"
    "created_at DATETIME, updated_at DATETIME)",
    "postgresql": f"CREATE TABLE ai_outbound_logs (id BIGSERIAL PRIMARY KEY, {_COLUMNS}"
    "created_at TIMESTAMP(0) WITHOUT TIME ZONE NULL, updated_at TIMESTAMP(0) WITHOUT TIME ZONE NULL)",
    "mariadb": f"CREATE TABLE ai_outbound_logs (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, {_COLUMNS}"
    "created_at TIMESTAMP NULL, updated_at TIMESTAMP NULL) "
    "DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
}
INSERT = (
    "INSERT INTO ai_outbound_logs (feature, model, status, user_id, prompt, response_time_ms, input_tokens, "
    "output_tokens, created_at, updated_at) VALUES ('agent_research', 'claude-3-5-sonnet', 'success', 7, 'Ça va ?', "
    "19000, 1200, 340, '2026-04-10 08:00:00', '2026-04-10 08:00:19')"
)
"""As the other application logs a call."""


def make(engine: sa.Engine, *, rows: int = 3) -> None:
    """Make the table, as the other application did, with rows in it."""
    with engine.begin() as connection:
        connection.exec_driver_sql(_MADE[engine.dialect.name])
        for _ in range(rows):
            connection.exec_driver_sql(INSERT)


def theirs(engine: sa.Engine) -> list[dict[str, Any]]:
    """The rows that aren't the log's, in the columns that the other application made."""
    names = "id, feature, model, status, user_id, prompt, response_time_ms, input_tokens, output_tokens, created_at"
    with engine.connect() as connection:
        adopted = any(column["name"] == "log_id" for column in sa.inspect(connection).get_columns("ai_outbound_logs"))
        where = "WHERE log_id IS NULL" if adopted else ""
        query = f"SELECT {names}, updated_at FROM ai_outbound_logs {where} ORDER BY id"
        return [dict(row) for row in connection.exec_driver_sql(query).mappings()]
