"""The history of flags and the assignments of conversations, in a SQLite file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from assignment_contract import AssignmentContract
from flag_change_contract import FlagChangeContract, a_sighting, flips
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateTable

from dispatcher.audit.engine import open_engine
from dispatcher.audit.evidence_tables import flag_changes
from dispatcher.audit.flag_changes import FlagChanges
from dispatcher.errors import SourceUnreachable

ROOT = Path(__file__).parents[2]


class OnSqlite:
    @pytest.fixture
    def engine(self, engine: sa.Engine) -> sa.Engine:
        return engine


class TestFlagChangesOnSqlite(OnSqlite, FlagChangeContract):
    pass


class TestAssignmentsOnSqlite(OnSqlite, AssignmentContract):
    pass


WORKER = """
import sys
sys.path.insert(0, "tests/audit")
from flag_change_contract import a_sighting
from dispatcher.audit.engine import open_engine
from dispatcher.audit.flag_changes import FlagChanges

changes = FlagChanges(open_engine(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(sum(changes.record(**a_sighting(state, number)) for number, state in enumerate("abab", 1)))
"""


def test_of_many_processes_each_flip_is_recorded_by_one(engine: sa.Engine, database: Path) -> None:
    command = [sys.executable, "-c", WORKER, f"sqlite:///{database}"]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    assert [worker.stdout.readline() for worker in workers if worker.stdout] == ["ready\n"] * 4
    recorded = [int(worker.communicate("go\n", timeout=60)[0]) for worker in workers]
    assert sum(recorded) == len(flips(FlagChanges(engine))) == 4


def test_a_fork_while_changes_are_recorded_hurts_neither_side(database: Path) -> None:
    changes = FlagChanges(open_engine(f"sqlite:///{database}"))
    done = threading.Event()

    def record() -> None:
        number = 0
        while not done.is_set():
            number += 1
            changes.record(**a_sighting(f"state {number}", number))

    recording = threading.Thread(target=record)
    recording.start()
    try:
        ended = []
        for number in range(10):
            child = os.fork()
            if not child:
                code = 1
                try:
                    code = 0 if changes.record(**a_sighting("a", 1, source=f"child {number}")) else 1
                finally:
                    os._exit(code)
            ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    finally:
        done.set()
        recording.join()
    assert ended == [0] * 10
    sequences = [sequence for sequence, _, _ in flips(changes)]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


def test_a_database_that_cannot_be_used_is_one_clear_error(engine: sa.Engine) -> None:
    changes = FlagChanges(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE flag_changes")
    for use in (lambda: changes.record(**a_sighting("a", 1)), lambda: changes.history("agent-research")):
        with pytest.raises(SourceUnreachable, match=r"can't be used: no such table: flag_changes"):
            use()


def test_on_every_engine_names_differ_by_case_and_a_standing_may_be_long() -> None:
    on_mariadb = str(CreateTable(flag_changes).compile(dialect=mysql.dialect()))
    assert "source VARCHAR(300) COLLATE utf8mb4_bin NOT NULL" in on_mariadb
    assert "flag VARCHAR(120) COLLATE utf8mb4_bin NOT NULL" in on_mariadb
    assert "standing LONGTEXT NOT NULL" in on_mariadb
    assert "UNIQUE (source, flag, sequence)" in on_mariadb
    on_postgresql = str(CreateTable(flag_changes).compile(dialect=postgresql.dialect()))
    assert "seen_at TIMESTAMP WITH TIME ZONE NOT NULL" in on_postgresql
    assert "revision BIGINT NOT NULL" in on_postgresql
