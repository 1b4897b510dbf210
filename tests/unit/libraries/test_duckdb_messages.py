"""What DuckDB says in each case; fails when a new version says it in other words."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from headrace.errors import WarehouseError
from headrace.libraries import duckdb as libraries_duckdb

_FACTOR = 0xBF58476D1CE4E5B9  # a block's checksum: all words of 8 bytes times this, by xor


def _word(content: bytearray, at: int) -> int:
    return int.from_bytes(content[at : at + 8], "little")


def message_of(path: Path) -> str:
    with pytest.raises(duckdb.Error) as caught:
        duckdb.connect(str(path))
    return str(caught.value)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table orders as select 1 as id")
    return path


def test_locked_database_and_who_holds_it(database: Path) -> None:
    script = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(database)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as other:  # fmt: skip
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        message = message_of(database)
        other.stdin.close()
    assert libraries_duckdb.is_locked(message)
    if sys.platform != "win32":
        holder = libraries_duckdb.lock_holder(message)
        assert holder is not None
        assert holder[1] == str(other.pid)


def test_database_of_another_version(database: Path) -> None:
    content = bytearray(database.read_bytes())
    checksum, before = _word(content, 0), _word(content, 8)
    content[12] = 250  # the storage version
    checksum ^= (before * _FACTOR ^ _word(content, 8) * _FACTOR) % (1 << 64)
    content[:8] = checksum.to_bytes(8, "little")
    database.write_bytes(content)
    assert libraries_duckdb.is_of_other_version(message_of(database))


def test_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "text.duckdb"
    path.write_text("no database" * 2000)
    assert libraries_duckdb.is_damaged(message_of(path))


def test_damaged_database(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[4096:12288] = bytes(8192)
    database.write_bytes(content)
    assert libraries_duckdb.is_damaged(message_of(database))


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with duckdb.connect() as connection, pytest.raises(duckdb.Error) as caught:
        connection.execute(f"select * from read_csv('{(tmp_path / 'gone.csv').as_posix()}')")
    assert libraries_duckdb.is_missing_file(str(caught.value))


def test_how_far_a_statement_is_can_be_followed(tmp_path: Path) -> None:
    path = tmp_path / "numbers.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"copy (from range(4_000_000)) to '{path}'")
        seen: list[float] = []
        with libraries_duckdb.progress_of(connection, seen.append):
            while not seen:
                connection.execute(
                    f"create or replace table numbers as select hash(range) from '{path}'"
                )
    assert all(0 <= share <= 1 for share in seen)


def test_to_follow_a_statement_prints_nothing() -> None:
    script = """
import duckdb, time
from headrace.libraries.duckdb import progress_of

for _ in range(10):
    with duckdb.connect() as connection, progress_of(connection, lambda share: None):
        connection.execute("create table numbers as select hash(range) from range(1_000_000)")
        connection.execute("create table more as select * from numbers order by 1")
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert ended.stdout == ended.stderr == b""


def test_an_extension_is_loaded_from_its_package() -> None:
    pytest.importorskip("duckdb_extension_sqlite_scanner", reason="uv sync --extra ducklake")
    with duckdb.connect() as connection:
        libraries_duckdb.load_extension(connection, "sqlite_scanner", extra="ducklake")
        loaded = connection.execute(
            "select loaded from duckdb_extensions() where extension_name = 'sqlite_scanner'"
        ).fetchone()
    assert loaded == (True,)


def test_an_extension_that_is_not_installed_names_its_extra() -> None:
    with (
        duckdb.connect() as connection,
        pytest.raises(WarehouseError, match=r"extension nothing is not installed: run `uv .*lake"),
    ):
        libraries_duckdb.load_extension(connection, "nothing", extra="lake")
