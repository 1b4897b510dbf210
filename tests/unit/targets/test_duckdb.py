"""A DuckDB file is born whole; one that was stopped at its birth is none, and is created anew."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from headrace.errors import WarehouseError
from headrace.targets import DuckDbTarget
from headrace.targets.duckdb import create, explain_duckdb_error


def target(path: Path) -> DuckDbTarget:
    return DuckDbTarget("duckdb", path, "256MB", "256MB", 1, path.parent / "spill")


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    path = tmp_path / "whole.duckdb"
    create(path, {})
    return path.read_bytes()


@pytest.mark.parametrize(
    ("size", "zeros"),
    [
        *((size, True) for size in (0, 1, 8, 4_096, 12_288, 274_432)),
        *((size, False) for size in (12, 100, 4_095, 4_096, 8_192, 12_287)),
    ],
)
def test_a_file_that_was_stopped_at_its_birth_is_created_anew(
    tmp_path: Path, whole: bytes, size: int, zeros: bool
) -> None:
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(bytes(size) if zeros else whole[:size])
    place = target(path)
    place.check()
    assert place.row_counts("x_raw") == {}
    assert place.table_names(["x_raw"]) == {}
    with duckdb.connect() as connection:
        assert not place.attach(connection, "w")
    note = place.prepare()
    assert note is not None
    assert "unfinished" in note
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table t as select 1")
    assert place.prepare() is None
    assert place.row_counts("main") == {"t": 1}
    assert place.table_names({"main", "x_raw"}) == {"main": ["t"]}


@pytest.mark.parametrize("name", ["a.b.duckdb", "main.duckdb", "temp.duckdb", ".hid.duckdb", "x"])
def test_tables_are_found_whatever_duckdb_calls_the_file(name: str, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / name)) as connection:
        connection.execute("create schema x_raw")
        connection.execute("create table x_raw.t as select 1")
        connection.execute("create table x_raw._dlt_loads as select 1")
    place = target(tmp_path / name)
    assert place.table_names(["x_raw"]) == {"x_raw": ["t"]}
    assert place.row_counts("x_raw") == {"t": 1}


def test_a_view_of_what_is_gone_and_what_never_was_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table raw as select 1 as id union all select 2")
        connection.execute("create view mart as from raw; create view lost as from raw")
        connection.execute("create table kept as from raw; drop table raw")
        connection.execute("create or replace view mart as from kept")
    names = [("main", name) for name in ("mart", "lost", "KEPT", "never")]
    assert target(path).count_rows(names) == {("main", "mart"): 2, ("main", "KEPT"): 2}


def test_only_the_warehouse_has_the_newer_storage(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    target(path).prepare()
    with duckdb.connect(str(path)) as connection:  # as dlt and dbt open it
        connection.execute(
            "create table t as select string_agg(md5((i * j)::varchar)) as long "
            "from range(200) as r(i), range(200) as s(j) group by i"
        )
        connection.execute(f"attach '{tmp_path / 'published.duckdb'}' as published")
        connection.execute("create table published.t as from t")
        connection.execute("checkpoint")
        rows = connection.execute(
            "select database_name, tags['storage_version'] from duckdb_databases() where path <> ''"
        ).fetchall()
        used = connection.execute(
            "select distinct compression from pragma_storage_info('t') "
            "where segment_type = 'VARCHAR'"
        ).fetchall()
    assert dict(rows) == {"warehouse": "v1.2.0+", "published": "v1.0.0+"}
    assert used == [("ZSTD",)]


def test_what_somebody_else_wrote_is_not_taken_for_ours(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    path.write_text("a note of mine")
    assert target(path).prepare() is None
    with pytest.raises(WarehouseError, match="not a readable DuckDB file"):
        target(path).check()
    assert path.read_text() == "a note of mine"


def test_a_log_of_a_lost_database_goes_with_it_and_a_link_stays(tmp_path: Path) -> None:
    real = tmp_path / "disk" / "w.duckdb"
    real.parent.mkdir()
    path = tmp_path / "warehouse.duckdb"
    path.symlink_to(real)
    (real.parent / "w.duckdb.wal").write_bytes(b"an old log")
    assert target(path).prepare() is None
    assert path.is_symlink()
    assert [entry.name for entry in real.parent.iterdir()] == ["w.duckdb"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_at_its_birth_leaves_nothing(tmp_path: Path) -> None:
    limits = (0, 1, 4_096, 5_000, 8_192, 12_287)
    script = (
        "import duckdb, resource, sys\n"
        "from pathlib import Path\n"
        "from headrace.errors import WarehouseError\n"
        "from headrace.targets import DuckDbTarget\n"
        "most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "for limit in map(int, sys.argv[2:]):\n"
        "    path = Path(sys.argv[1], str(limit), 'warehouse.duckdb')\n"
        "    place = DuckDbTarget('duckdb', path, '256MB', '256MB', 1, path.parent / 'spill')\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))\n"
        "    try: place.prepare()\n"
        "    except WarehouseError as error: print(limit, error)"
    )
    for limit in limits:
        (tmp_path / str(limit)).mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *map(str, limits)],
        capture_output=True,
        text=True,
        check=True,
    )
    said = ended.stdout.splitlines()
    assert [line.split()[0] for line in said] == [str(limit) for limit in limits]
    assert all("ulimit -f" in line for line in said)
    for limit in limits:
        folder = tmp_path / str(limit)
        assert list(folder.iterdir()) == []
        path = folder / "warehouse.duckdb"
        assert target(path).prepare() is None
        target(path).check()


PATH = Path("x.duckdb")


@pytest.mark.parametrize(
    ("message", "warehouse", "any_file"),
    [
        (
            (
                'IO Error: Could not set lock on file "x.duckdb": Conflicting lock is held in '
                "/usr/bin/python3 (PID 12). See also …"
            ),
            "x.duckdb is open in process 12 (/usr/bin/python3): close it there",
            "x.duckdb is open in process 12 (/usr/bin/python3): close it there",
        ),
        (
            "IO Error: … it is being used by another process",
            "x.duckdb is open in another program: close it there",
            "x.duckdb is open in another program: close it there",
        ),
        (
            "IO Error: Trying to read a database file with version number 99",
            "or move the file away and run `headrace run`",
            "or have the file written by this version",
        ),
        (
            "IO Error: The file exists, but it is not a valid DuckDB database file!",
            "run `headrace run` to load everything again",
            "name another, or write it again",
        ),
        (
            "IO Error: No space left on device",
            "x.duckdb cannot be opened: the disk is full",
            "free some space",
        ),
        ("", "could not be opened: unknown error", "could not be opened: unknown error"),
    ],
)
def test_each_message_says_what_to_do(message: str, warehouse: str, any_file: str) -> None:
    assert warehouse in explain_duckdb_error(PATH, message)
    found = explain_duckdb_error(PATH, message, rebuilt=False)
    assert any_file in found
    assert "headrace run" not in found
