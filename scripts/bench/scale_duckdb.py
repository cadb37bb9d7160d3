"""Statements over Parquet files, by DuckDB in a process of its own: a line of JSON in, one out."""

from __future__ import annotations

import json
import sys
import time

import duckdb


def main(files: str) -> None:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE VIEW ai_outbound_logs AS SELECT * FROM read_parquet('{files}')")  # noqa: S608 - our own
    for line in sys.stdin:
        began = time.perf_counter()
        rows = connection.execute(json.loads(line)).fetchall()
        print(json.dumps({"seconds": time.perf_counter() - began, "rows": rows}, default=int), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
