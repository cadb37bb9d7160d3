from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from dispatcher.audit.bounds import Patience
from dispatcher.audit.engine import open_engine
from dispatcher.audit.trouble import named, reason_of
from dispatcher.errors import SourceUnreachable

ROOT = Path(__file__).parents[2]


def refusal(url: str) -> str:
    """The one clear error of a URL: one line, without the password."""
    with pytest.raises(SourceUnreachable) as caught:
        open_engine(url)
    text = str(caught.value)
    assert "\n" not in text
    assert "s3cret" not in text
    assert caught.value.__cause__ is None
    return text


def test_a_new_file_is_made_with_its_directory(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "log.db"
    open_engine(f"sqlite:///{file}").dispose()
    assert file.is_file()


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("mmap_size", 0), ("busy_timeout", 10_000)]
)
def test_every_connection_to_a_file_is_durable_and_patient(engine: sa.Engine, pragma: str, value: object) -> None:
    engine.dispose()
    with engine.connect() as first, engine.connect() as second:
        assert [c.exec_driver_sql(f"PRAGMA {pragma}").scalar() for c in (first, second)] == [value, value]


def test_a_transaction_of_the_engine_is_one(engine: sa.Engine) -> None:
    """What reads and appends beside the log relies on it."""
    with engine.connect() as connection:
        connection.exec_driver_sql("INSERT INTO dispatcher_alembic_version VALUES ('x')")
        connection.rollback()
        assert connection.exec_driver_sql("SELECT count(*) FROM dispatcher_alembic_version").scalar() == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "can't be read; write it as sqlite:"),
        ("nonsense", "can't be read; write it as sqlite:"),
        ("s3cret@host/name", "can't be read; write it as sqlite:"),
        ("postgresql://ada:s3cret@host:port/name", "can't be read; write it as sqlite:"),
        ("postgresql+psycopg://ada:p@s3cret@host/name", "an @ in a user or a password is written %40"),
        ("postgresql+psycopg://ada:p@s/s3cret@host/name", "an @ in a user or a password is written %40"),
        ("oracul://ada:s3cret@host/name", "no database is known as 'oracul'; write it as sqlite:"),
        ("postgresql+oracul://ada:s3cret@host/name", "no database is known as 'postgresql+oracul'"),
        ("sqlite://", "would not outlive its process; name a file"),
        ("sqlite:///:memory:", "would not outlive its process; name a file"),
        ("sqlite:///log.db?mode=ro", "takes a path and no options"),
        ("sqlite:///file:log.db?uri=true", "takes a path and no options"),
    ],
)
def test_a_url_that_names_no_database_is_an_error_that_shows_the_right_form(url: str, words: str) -> None:
    assert words in refusal(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "mssql+pymssql://ada:s3cret@host:77/name",
            "mssql://host:77/name can't be used: its driver pymssql",
        ),
        (
            "oracle+cx_oracle://ada:s3cret@host/name",
            "oracle://host/name can't be used: its driver cx_Oracle",
        ),
    ],
)
def test_a_driver_that_is_not_installed_is_named(url: str, words: str) -> None:
    assert f"the database {words} isn't installed; install it" in refusal(url)


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    assert f"the database file {tmp_path} can't be used: it is a directory; name a file" in refusal(
        f"sqlite:///{tmp_path}"
    )


def test_a_file_is_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert f"{tmp_path}/file is a file, not a directory" in refusal(f"sqlite:///{tmp_path}/file/log.db")
    assert "its directory can't be created: Not a directory" in refusal(f"sqlite:///{tmp_path}/file/deeper/log.db")


def test_a_file_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("shopping list\n" * 100)
    assert "the file is not a SQLite database; name another file" in refusal(f"sqlite:///{file}")
    assert file.read_text() == "shopping list\n" * 100


def test_a_damaged_file_is_said_to_be_damaged(engine: sa.Engine, database: Path) -> None:
    engine.dispose()
    with database.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 4000)
    assert "the file is damaged; restore it from a copy" in refusal(f"sqlite:///{database}")


OPEN_AS_NOBODY = """
import os, sqlite3, sys
import sqlalchemy.dialects.sqlite
from dispatcher.audit.bounds import Patience
from dispatcher.audit.engine import open_engine
from dispatcher.errors import SourceUnreachable
if os.getuid() == 0:  # root may write anywhere
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for path in sys.argv[1:]:
    try:
        open_engine("sqlite:///" + path)
    except SourceUnreachable as error:
        print(error)
"""


@pytest.fixture
def foreign() -> Iterator[Path]:
    """A directory that every user can reach, unlike pytest's own, and only its owner can change."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory
        for inner in [path for path in directory.iterdir() if path.is_dir()]:
            inner.chmod(0o755)


def _made(directory: Path, mode: int) -> Path:
    directory.mkdir()
    directory.chmod(mode)
    return directory


def test_a_missing_permission_is_named(foreign: Path) -> None:
    read_only = _made(foreign / "open", 0o777) / "log.db"
    open_engine(f"sqlite:///{read_only}").dispose()
    read_only.chmod(0o444)
    closed = _made(foreign / "closed", 0o555)
    files = {
        read_only: "no permission to read and write the file; give this user both",
        closed / "log.db": f"no permission to write in the directory {closed}; give this user that right",
        closed / "new" / "log.db": "its directory can't be created: Permission denied",
        _made(foreign / "hidden", 0o000) / "log.db": "Permission denied; check the path and its permissions",
    }
    run = subprocess.run(
        [sys.executable, "-c", OPEN_AS_NOBODY, *map(str, files)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for (file, words), line in zip(files.items(), run.stdout.splitlines(), strict=True):
        assert line.startswith(f"the database file {file} can't be used: {words}")


def test_a_lock_held_for_too_long_is_one_clear_error(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatcher.audit.bounds.SERVING", Patience(statement_s=0))
    database.parent.mkdir()
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("BEGIN IMMEDIATE")
    assert "another program holds it locked; wait for that program" in refusal(f"sqlite:///{database}")
    other.close()


def test_a_database_is_named_without_user_password_and_options() -> None:
    url = sa.make_url("postgresql+psycopg://ada:s3cret@host:5432/name?sslpassword=s3cret")
    assert named(url) == "the database postgresql://host:5432/name"


def test_a_drivers_words_are_told_without_the_password() -> None:
    url = sa.make_url("postgresql+psycopg://ada:s3cret@host/name")
    error = sa.exc.OperationalError("SELECT 1", {"tenant": "acme"}, Exception("no route with s3cret\nHINT: none"))
    assert reason_of(error, url) == "no route with ***"
