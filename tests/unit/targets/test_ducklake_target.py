"""The target of the type ``ducklake``: settings, what it tells of faults, how it publishes."""

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from headrace.errors import PublishError, SettingsError, WarehouseError
from headrace.libraries.duckdb import connect
from headrace.settings import resolve
from headrace.targets import BuiltTable, Publication
from headrace.targets.ducklake import connection as connections
from headrace.targets.ducklake.target import DuckLakeTarget

pytest.importorskip("duckdb_extension_ducklake", reason="uv sync --extra ducklake")

PASSWORD = "correct-horse-7"  # noqa: S105 - that of a test


def _target(root: Path, *flags: str) -> DuckLakeTarget:
    (root / "config").mkdir(exist_ok=True)
    given = [f"targets.ducklake.{flag}" for flag in flags]
    target = resolve(root, flags=["target=ducklake", *given], environ={}).target
    assert isinstance(target, DuckLakeTarget)
    return target


@pytest.fixture
def lake(tmp_path: Path) -> DuckLakeTarget:
    target = _target(tmp_path, "retention_hours=0")
    target.prepare()
    _write(target, "create schema lake.marts")
    return target


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, str]]:
    """The settings of each DuckDB that is opened for a lake, from now on."""
    found = []

    def counted(config: Mapping[str, str]) -> duckdb.DuckDBPyConnection:
        found.append(config)
        return connect(config)

    monkeypatch.setattr(connections, "connect", counted)
    return found


def _write(target: DuckLakeTarget, sql: str) -> None:
    with target.lake.write() as connection:
        connection.execute(sql)


def _read(target: DuckLakeTarget, sql: str) -> list[tuple[object, ...]]:
    with target.lake.read() as connection:
        assert connection is not None
        return connection.execute(sql).fetchall()


def _publish(
    target: DuckLakeTarget, run: str, names: Sequence[str], *, keep: int = 1, schema: str = "marts"
) -> None:
    publisher = target.publisher()
    found = publisher.fingerprints([(schema, name) for name in names])
    tables = tuple(
        BuiltTable(schema, name, f"model.p.{name}", *found[schema, name], "About.", {"ID": "Key."})
        for name in names
    )
    publication = Publication(run, datetime.now(UTC), "abc", tables)
    publisher.publish(publication, tables, keep=keep, tell=lambda *_: None)


def _files(target: DuckLakeTarget) -> int:
    return len(list(Path(target.storage).rglob("*.parquet")))


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("catalog=lake.duckdb", "would lock readers out"),
        ("catalog=mysql://h/d", "a SQLite file, or postgresql://"),
        ("storage=gs://bucket/x", "name a local folder, or s3://"),
        ("storage=s3://", "the bucket is missing"),
        ("published_schema=My Marts", "published_schema"),
        ("retention_hours=-1", "greater than or equal to 0"),
        ("storrage=x", "storrage"),
    ],
)
def test_settings_that_cannot_be_say_why(tmp_path: Path, flag: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        _target(tmp_path, flag)


def test_a_wrong_url_is_told_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        _target(tmp_path, f"catalog=mysql://me:{PASSWORD}@h/d")
    assert PASSWORD not in str(caught.value)


def test_without_a_lake_there_is_nothing_and_no_fault(tmp_path: Path) -> None:
    target = _target(tmp_path)
    assert not target.exists()
    assert target.signature() is None
    publisher = target.publisher()
    assert publisher.history() == []
    assert publisher.fingerprints([("marts", "orders")]) == {}
    target.check()
    assert not Path(target.storage).exists()  # to look makes nothing
    with target.settings.apart(tmp_path / "apart") as changes:
        assert set(changes) == {"catalog", "storage"}


def test_a_catalog_that_is_none_says_so(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    path.write_text("no database " * 100)
    target = _target(tmp_path, f"catalog={path}")
    with pytest.raises(WarehouseError, match=r"notes\.sqlite is no SQLite database"):
        target.prepare()
    with pytest.raises(WarehouseError, match=r"notes\.sqlite is no SQLite database"):
        target.check()


@pytest.mark.parametrize(
    ("version", "said"), [("2.1", "written by a newer DuckLake"), ("strange", "a newer DuckLake")]
)
def test_a_catalog_of_a_newer_version_says_so(
    lake: DuckLakeTarget, version: str, said: str
) -> None:
    with closing(sqlite3.connect(lake.location)) as connection, connection:
        connection.execute(
            "update ducklake_metadata set value = ? where key = 'version'", [version]
        )
    for work in (lake.check, lake.prepare, lake.signature):
        with pytest.raises(WarehouseError, match=said):
            work()


def test_a_file_that_was_stopped_at_its_birth_is_no_lake(tmp_path: Path) -> None:
    target = _target(tmp_path)
    path = Path(target.location)
    path.parent.mkdir(parents=True)
    path.touch()
    assert not target.exists()
    target.prepare()
    assert target.exists()
    assert target.prepare() is None  # again changes nothing


def test_a_lake_moves_with_its_project(lake: DuckLakeTarget, tmp_path: Path) -> None:
    _write(lake, "create table lake.marts.orders as select range as id from range(100)")
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "data").rename(moved / "data")
    assert _target(moved).row_counts("marts") == {"orders": 100}


def test_readers_in_a_run_share_a_duckdb_and_read_the_newest(
    tmp_path: Path, opened: list[Mapping[str, str]]
) -> None:
    lake = _target(tmp_path)
    with lake.read_by_one():
        assert lake.signature() is None  # there is none yet
        lake.prepare()
        _write(lake, "create schema lake.marts; create table lake.marts.a as select 1 as id")
        written = len(opened)
        assert _read(lake, "select id from lake.marts.a") == [(1,)]
        before = lake.signature()
        assert _target(tmp_path).row_counts("marts") == {"a": 1}  # another object, the same lake
        with lake.read_by_one():
            assert lake.table_names(["marts"]) == {"marts": ["a"]}
        _write(lake, "insert into lake.marts.a values (2); create table lake.marts.b (x int)")
        assert len(opened) == written + 1  # by whoever wrote
        with lake.reader("one") as one, lake.reader("two") as two:
            assert one is not None
            assert two is not None
            one.execute("use one.marts")
            assert one.execute("select max(id) from a").fetchall() == [(2,)]
            where = two.execute("select current_database(), current_setting('TimeZone')").fetchone()
            assert where == ("memory", "UTC")
        assert lake.row_counts("marts") == {"a": 2, "b": 0}
        assert lake.signature() != before
        assert len(opened) == written + 1
    assert lake.row_counts("marts") == {"a": 2, "b": 0}
    assert len(opened) == written + 2
    Path(lake.location).unlink()  # nothing holds what was there
    assert lake.signature() is None


def test_a_duckdb_that_nobody_used_for_a_while_or_that_failed_is_not_shared_any_more(
    lake: DuckLakeTarget, opened: list[Mapping[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with lake.read_by_one():
        assert _read(lake, "select 1") == _read(lake, "select 1")
        assert len(opened) == 1
        with pytest.raises(WarehouseError, match="no_such_table"):
            _read(lake, "from no_such_table")
        assert _read(lake, "select 1") == [(1,)]
        assert len(opened) == 2
        monkeypatch.setattr(connections, "_IDLE_S", 0.0)
        with lake.lake.read() as reader:  # as long as it reads, it stays open
            assert reader is not None
            assert lake.row_counts("marts") == {}
            assert reader.execute("select 1").fetchall() == [(1,)]
        assert len(opened) == 3
        assert _read(lake, "select 1") == [(1,)]
        assert len(opened) == 4


def test_storage_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    target = _target(tmp_path, f"storage={tmp_path / 'file'}")
    with pytest.raises(WarehouseError, match="the files of the lake at"):
        target.prepare()


def test_a_publication_is_one_snapshot_with_its_comments(lake: DuckLakeTarget) -> None:
    _write(
        lake,
        "create table lake.marts.a as select range as id from range(100); "
        "create table lake.marts.b as select 1 as id",
    )
    before = lake.signature()
    _publish(lake, "run1", ["a", "b"])
    assert lake.signature() == before  # the next run finds the build unchanged
    found = _read(
        lake,
        "select commit_message, changes['tables_created'] from ducklake_snapshots('lake') "
        "where author = 'headrace'",
    )
    assert [message for message, _ in found] == ["published by run run1"]
    assert _read(lake, "select run_id from lake._headrace.published") == [("run1",)]
    comments = (
        "select comment from duckdb_tables() where schema_name = 'published' union all "
        "select comment from duckdb_columns() where schema_name = 'published' order by all"
    )
    assert _read(lake, comments) == [("About.",)] * 2 + [("Key.",)] * 2
    _write(lake, "create or replace table lake.marts.a as select 'x' as id, 2 as more")
    _publish(lake, "run2", ["a"])
    assert _read(lake, "from lake.published.a") == [("x", 2)]
    lake.publisher().restore("run1")
    assert _read(lake, "select count(*), max(id) from lake.published.a") == [(100, 99)]
    assert _read(lake, "from lake.published.b") == [(1,)]
    assert _read(lake, comments) == [("About.",)] * 2 + [("Key.",)] * 2


def test_what_is_kept_is_what_can_be_gone_back_to(lake: DuckLakeTarget) -> None:
    for run in range(3):
        _write(
            lake,
            f"create or replace table lake.marts.a as select range + {run} as id from range(100)",
        )
        _publish(lake, f"run{run}", ["a"], keep=1)
    assert [one.run_id for one in lake.publisher().history()] == ["run2", "run1"]
    with pytest.raises(PublishError, match="run0"):
        lake.publisher().restore("run0")
    # two publications, each with what was built then: a snapshot is of the whole lake
    assert _files(lake) == 4


def test_a_failed_publication_leaves_the_old_and_its_files_are_removed(
    lake: DuckLakeTarget,
) -> None:
    _write(
        lake,
        "create table lake.marts.a as select range as id from range(100); "
        "create table lake.marts.b as select range as id from range(100)",
    )
    _publish(lake, "run1", ["a", "b"])
    there = _files(lake)
    publisher = lake.publisher()
    found = publisher.fingerprints([("marts", "a")])
    table = BuiltTable("marts", "a", "a", *found["marts", "a"], "", {})
    gone = BuiltTable("marts", "gone", "gone", 1, "x", "", {})
    publication = Publication("run2", datetime.now(UTC), "abc", (table, gone))
    with pytest.raises(WarehouseError, match="gone"):
        publisher.publish(publication, [table, gone], keep=1, tell=lambda *_: None)
    assert [one.run_id for one in publisher.history()] == ["run1"]
    assert _read(lake, "select count(*) from lake.published.b") == [(100,)]
    _publish(lake, "run3", ["a", "b"])
    assert _files(lake) == there + 2  # those of run1 are kept, and nothing is left of run2


def test_two_marts_of_one_name_cannot_be_published(lake: DuckLakeTarget) -> None:
    tables = [BuiltTable(schema, "a", schema, 1, "x", "", {}) for schema in ("marts", "finance")]
    publication = Publication("run1", datetime.now(UTC), "abc", tuple(tables))
    with pytest.raises(PublishError, match=r"marts\.a and finance\.a would both be published\.a"):
        lake.publisher().publish(publication, tables, keep=1, tell=lambda *_: None)


def test_whole_numbers_that_were_rounded_are_not_published(lake: DuckLakeTarget) -> None:
    _write(
        lake, f"create table lake.marts.a as select range + {2**53}::hugeint as id from range(100)"
    )
    with pytest.raises(PublishError, match=r"marts\.a\.id has whole numbers beyond 2\^53"):
        _publish(lake, "run1", ["a"])
    _write(
        lake, "create or replace table lake.marts.a as select range::hugeint as id from range(100)"
    )
    _publish(lake, "run1", ["a"])


@pytest.fixture
def reader(lake: DuckLakeTarget) -> Iterator[duckdb.DuckDBPyConnection]:
    with lake.lake.read() as connection:
        assert connection is not None
        yield connection


@pytest.mark.slow
def test_a_reader_never_sees_half_and_is_never_stopped(tmp_path: Path) -> None:
    lake = _target(tmp_path, "retention_hours=1")  # files stay for readers of what is replaced
    lake.prepare()
    _write(lake, "create schema lake.marts")

    def build(run: int) -> None:
        for name in "ab":
            _write(
                lake,
                f"create or replace table lake.marts.{name} as "
                f"select {run} as run from range(1000)",
            )

    build(0)
    _publish(lake, "run0", ["a", "b"])
    seen: list[tuple[object, ...]] = []
    faults: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                seen.extend(
                    _read(
                        lake,
                        "select (select any_value(run) from lake.published.a), "
                        "(select any_value(run) from lake.published.b), "
                        "(select count(*) from lake.published.a)",
                    )
                )
        except BaseException as error:
            faults.append(error)

    reading = threading.Thread(target=read)
    reading.start()
    try:
        for run in (1, 2):
            build(run)
            _publish(lake, f"run{run}", ["a", "b"])
    finally:
        done.set()
        reading.join()
    assert not faults
    assert len(set(seen)) > 1
    assert all(a == b and rows == 1000 for a, b, rows in seen)


def test_a_query_that_began_before_reads_what_it_began_with(
    lake: DuckLakeTarget, reader: duckdb.DuckDBPyConnection
) -> None:
    _write(lake, "create table lake.marts.a as select range as id from range(1000)")
    _publish(lake, "run1", ["a"])
    reader.execute("begin")
    assert reader.execute("select count(*) from lake.published.a").fetchone() == (1000,)
    _write(lake, "create or replace table lake.marts.a as select 1 as id")
    _publish(lake, "run2", ["a"])
    assert reader.execute("select count(*) from lake.published.a").fetchone() == (1000,)
    reader.execute("commit")
    assert reader.execute("select count(*) from lake.published.a").fetchone() == (1,)


def test_what_a_newer_headrace_published_is_left_alone_and_others_commits_are_none(
    lake: DuckLakeTarget,
) -> None:
    note = "begin; create table lake.marts.{name} as select 1 as id; "
    note += "call ducklake_set_commit_message('lake', 'headrace', 'hello'{more}); commit"
    _write(lake, note.format(name="a", more=""))
    _write(lake, note.format(name="b", more=", extra_info => 'by hand'"))
    assert lake.publisher().history() == []
    assert lake.signature() is not None
    _write(lake, note.format(name="c", more=""", extra_info => '{"format": 9}'"""))
    for work in (lake.publisher().history, lake.signature):
        with pytest.raises(WarehouseError, match=r"a newer Headrace \(format 9"):
            work()
