"""A lake in a folder: what a build leaves there, how another machine goes on, what readers see."""

import json
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from headrace.errors import LockedError, PublishError, SettingsError, WarehouseError
from headrace.libraries.duckdb import connect
from headrace.settings import resolve
from headrace.targets import BuiltTable, Publication
from headrace.targets.lake import state as lake_state
from headrace.targets.lake.files import described
from headrace.targets.lake.target import LakeTarget
from headrace.targets.object_store import ABSENT, ConflictError, LocalStore

pytest.importorskip("deltalake", reason="uv sync --extra lake")
pytestmark = pytest.mark.slow

ODD = """
    select 1 as id, 12345678901234567890123::hugeint as big, 18446744073709551615::ubigint as uint,
    interval 40 days as span, 'a'::enum('a', 'b') as kind, time '12:30:00' as at, [1, null] as list,
    {'a': 1::hugeint} as pair, '{"a": 1}'::json as doc, 'x'::blob as raw,
    1.10::decimal(16, 2) as price, timestamptz '2024-06-01 12:00:00+02' as moment,
    timestamp '2024-06-01 12:00:00' as plain,
    gen_random_uuid() as key
"""


def lake(root: Path, *flags: str, machine: str = "a", url: Path | None = None) -> LakeTarget:
    """A lake below ``root``, as one of several machines sees it."""
    (root / "config").mkdir(exist_ok=True)
    given = ["target=lake", f"targets.lake.url={url or root / 'files'}", *flags]
    resolved = resolve(root, flags=[f"data_dir={root / machine}", *given], environ={})
    assert isinstance(resolved.target, LakeTarget)
    return resolved.target


def build(target: LakeTarget, *statements: str, written: Any = None) -> None:
    """Do in the engine what dbt does: open it as it does, run SQL, and release it.

    ``written`` is what the target is told of it; None to tell it nothing.
    """
    with target.lock("a test"):
        target.prepare()
        with target.engine.connect(read_only=False) as connection:
            target.prepare_engine(connection)
            for statement in statements:
                connection.execute(statement)
        if written is not None:
            target.note_written(written)
        target.release()


def rows(target: LakeTarget, sql: str) -> list[tuple[Any, ...]]:
    with closing(connect()) as connection:
        connection.execute("set TimeZone = 'UTC'")
        assert target.attach(connection, "t")
        return connection.execute(sql).fetchall()


def publish(target: LakeTarget, run: int, *names: str, keep: int = 1) -> None:
    publisher = target.publisher()
    found = publisher.fingerprints([("marts", name) for name in names])
    tables = [
        BuiltTable("marts", name, f"model.{name}", *found["marts", name], "About.", {"id": "Key."})
        for name in names
    ]
    at = datetime(2024, 6, 1, tzinfo=UTC) + timedelta(hours=run)
    current = publisher.current()
    before = {table.full_name: table.fingerprint for table in current.tables} if current else {}
    changed = [one for one in tables if before.get(one.full_name) != one.fingerprint]
    publisher.publish(
        Publication(f"run{run}", at, "abc", tuple(tables)), changed, keep=keep,
        tell=lambda table, seconds: None,
    )  # fmt: skip


def rows_of(files: list[str]) -> list[Any]:
    with connect() as connection:
        return connection.read_parquet(files).order("id").fetchall()


def published(target: LakeTarget, name: str) -> list[tuple[Any, ...]]:
    """What a reader with DuckDB alone gets by following the manifest."""
    root = Path(target.url)
    manifest = json.loads((root / "_headrace" / "published.json").read_bytes())
    (table,) = [one for one in manifest["tables"] if one["name"] == name]
    files = [str(root / file) for file in table["files"]]
    return rows_of(files)


MARTS = (
    "create schema if not exists marts",
    "create or replace table marts.orders as select range as id from range(3)",
)


def test_another_machine_goes_on_where_this_one_stopped(tmp_path: Path) -> None:
    first, second = lake(tmp_path), lake(tmp_path, machine="b")
    assert not first.exists()
    build(
        first,
        *MARTS,
        "create schema snapshots",
        f"create table snapshots.odd as {ODD}",
        "create view marts.few as from marts.orders limit 2",
    )
    (before,) = rows(first, "from t.snapshots.odd")
    build(
        second,
        "insert into marts.orders values (7)",
        "insert into snapshots.odd from snapshots.odd",
    )
    assert rows(first, "from t.snapshots.odd") == [before, before]
    assert rows(first, "select id from t.marts.orders order by id") == [(0,), (1,), (2,), (7,)]
    assert rows(first, "select count(*) from t.marts.few") == [(2,)]
    both = [("marts", "orders"), ("marts", "few")]
    assert list(first.count_rows(both).values()) == [4, 2]
    # the first machine's engine is behind, and catches up before it builds
    build(first, "insert into marts.orders values (8)")
    assert second.count_rows([("marts", "orders")]) == {("marts", "orders"): 5}


def test_a_query_that_may_read_no_file_reads_those_of_the_lake(tmp_path: Path) -> None:
    target = lake(tmp_path)
    build(target, *MARTS)
    (tmp_path / "other.csv").write_text("a\n1\n")
    with closing(connect()) as connection:
        assert target.attach(connection, target.database)
        connection.execute("set enable_external_access = false")
        assert len(connection.execute("from engine.marts.orders").fetchall()) == 3
        with pytest.raises(duckdb.PermissionException):
            connection.execute(f"from read_csv('{tmp_path / 'other.csv'}')")


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    target = lake(tmp_path)
    build(target, *MARTS, "create table marts.people as select 1 as id")
    before, signature = {entry.key for entry in target.store.list("gold")}, target.signature()
    build(target)
    assert target.signature() == signature
    build(target, *MARTS, "insert into marts.people values (2)")
    new = {entry.key for entry in target.store.list("gold")} - before
    assert [key.split("/")[:3] for key in new] == [["gold", "marts", "people"]]
    assert target.signature() != signature


def test_only_what_dbt_wrote_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build costs what it built, and what hooks or a build that was stopped wrote is not lost."""
    target = lake(tmp_path)
    read: list[str] = []

    def describing(connection: Any, relation: str) -> Any:
        read.append(relation.rsplit(".", 1)[1].strip('"'))
        return described(connection, relation)

    monkeypatch.setattr(lake_state, "described", describing)

    def reads(*statements: str, written: Any = (), of: LakeTarget = target) -> list[str]:
        read.clear()
        build(of, *statements, written=written)
        return sorted(read)

    odd = """create table marts."it's odd" as select range as id from range(200000)"""
    assert reads(*MARTS, odd) == ["it's odd", "orders"]
    assert reads() == []
    assert reads(*MARTS, written={("marts", "orders")}) == ["orders"]
    assert reads("update marts.orders set id = 7 where id = 2") == ["orders"]
    assert reads("delete from marts.orders where id = 7") == ["orders"]
    assert target.count_rows([("marts", "orders")]) == {("marts", "orders"): 2}
    assert reads("alter table marts.orders rename id to key") == ["orders"]
    assert reads("create view marts.v as select 1 as id", written=None) == ["it's odd", "orders"]
    with target.engine.connect(read_only=False) as connection:  # a build that was killed
        target.prepare_engine(connection)
        connection.execute("insert into marts.orders values (9)")
    assert reads() == ["it's odd", "orders"]
    assert target.count_rows([("marts", "orders")]) == {("marts", "orders"): 3}
    assert reads('create table marts."a""b" as select 1 as id') == ['a""b']
    # in another process the same is known
    view = "create view marts.w as select 1 as id"
    assert reads(view, of=lake(tmp_path)) == ['a""b']


def test_an_engine_that_is_lost_or_damaged_is_made_again(tmp_path: Path) -> None:
    target = lake(tmp_path)
    build(target, *MARTS)
    target.engine.path.unlink()
    build(target, "insert into marts.orders values (9)")
    target.engine.path.write_bytes(b"DUCK of another pond" * 1000)
    with target.lock("a test"):
        note = target.prepare()
    assert "damaged: it is made again from the lake" in str(note)
    build(target)
    assert target.count_rows([("marts", "orders")]) == {("marts", "orders"): 4}


def test_a_reader_that_began_ends_with_what_it_began(tmp_path: Path) -> None:
    target = lake(tmp_path, "targets.lake.partitions={marts.orders: [id]}")
    build(target, *MARTS, "create table marts.people as select 1 as id")
    publish(target, 1, "orders", "people")
    root = Path(target.url)
    manifest = json.loads((root / "_headrace" / "published.json").read_bytes())
    files = [str(root / file) for one in manifest["tables"] for file in one["files"]]
    assert len(files) == 4  # three parts of orders
    build(target, "create or replace table marts.orders as select 5 as id")
    assert published(target, "orders") == [(0,), (1,), (2,)]  # built is not published
    publish(target, 2, "orders", "people", keep=0)
    assert published(target, "orders") == [(5,)]
    assert len(rows_of(files)) == 4
    kept = lake(tmp_path, "targets.lake.retention_hours=0")
    publish(kept, 3, "orders", "people", keep=0)
    assert [Path(file).exists() for file in files] == [False, False, False, True]
    assert [one.run_id for one in target.publisher().history()] == ["run3"]


def test_what_a_killed_publish_left_goes_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = lake(tmp_path, "targets.lake.retention_hours=0")
    build(target, *MARTS)
    publish(target, 1, "orders")
    build(target, "create or replace table marts.orders as select 6 as id")
    put = LocalStore.put

    def killed(self: LocalStore, key: str, body: bytes, *, tag: str | None = None) -> str:
        if key.endswith("published.json"):
            raise KeyboardInterrupt
        return put(self, key, body, tag=tag)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "put", killed)
        with pytest.raises(KeyboardInterrupt):
            publish(target, 2, "orders")
    assert published(target, "orders") == [(0,), (1,), (2,)]
    current = target.publisher().current()
    assert current is not None
    assert current.run_id == "run1"
    leftover = tmp_path / "files" / "gold" / "marts" / "orders" / "half" / "data_0.parquet"
    leftover.parent.mkdir()
    leftover.write_bytes(b"PAR1")
    publish(target, 3, "orders", keep=0)
    assert published(target, "orders") == [(6,)]
    assert not leftover.exists()


def test_back_to_what_readers_had(tmp_path: Path) -> None:
    target = lake(tmp_path, "targets.lake.marts_format=delta", "targets.lake.retention_hours=0")
    build(target, *MARTS, f"create table marts.odd as {ODD}")
    publish(target, 1, "orders", "odd", keep=3)
    build(target, "create or replace table marts.orders as select 6 as id, 'new' as more")
    publish(target, 2, "orders", "odd", keep=3)
    table = Path(target.url) / "gold" / "marts" / "orders"
    with closing(connect()) as connection:
        target.open(connection)
        scan = f"from delta_scan('{table}')"
        assert connection.execute(scan).fetchall() == [(6, "new")]
        assert target.publisher().restore("run1").run_id == "run1"
        assert connection.execute(f"{scan} order by id").fetchall() == [(0,), (1,), (2,)]
        odd = connection.execute(
            f"select big, uint, kind, price from delta_scan('{table.parent}/odd')"
        )
        assert [str(value) for value in odd.fetchall()[0]] == [
            "12345678901234567890123", "18446744073709551615", "a", "1.10",
        ]  # fmt: skip
    assert published(target, "orders") == [(0,), (1,), (2,)]
    with pytest.raises(PublishError, match="run9 is not kept"):
        target.publisher().restore("run9")


def test_who_was_overtaken_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = lake(tmp_path)
    build(target, *MARTS)
    publish(target, 1, "orders")
    read = type(target.files).read

    def stale(self: Any, key: str, kind: Any) -> Any:
        found, tag = read(self, key, kind)
        return found, "tag of yesterday" if key.endswith(("published.json", "state.json")) else tag

    monkeypatch.setattr(type(target.files), "read", stale)
    build_again = "create or replace table marts.orders as select 6 as id"
    with pytest.raises(WarehouseError, match=r"another machine built in .* run the same command"):
        build(target, build_again)
    with pytest.raises(PublishError, match=r"another machine published in .* meanwhile"):
        publish(target, 2, "orders")
    monkeypatch.undo()
    assert published(target, "orders") == [(0,), (1,), (2,)]


def test_a_lock_that_others_see(tmp_path: Path) -> None:
    with (
        lake(tmp_path).lock("headrace run"),
        pytest.raises(LockedError, match=r"another run holds .*: `headrace run`, process \d+ on"),
        lake(tmp_path, machine="b").lock("headrace build"),
    ):
        pass
    with lake(tmp_path, machine="b").lock("headrace build"):
        pass


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"format": 99}', "written by a newer Headrace (format 99, this one knows 1)"),
        (b"{}", "cannot be read: restore it from a backup"),
    ],
)
def test_a_lake_of_a_newer_headrace(tmp_path: Path, content: bytes, words: str) -> None:
    target = lake(tmp_path)
    build(target, *MARTS)
    target.store.put("_headrace/lake.json", content)
    with pytest.raises(WarehouseError) as caught:
        target.prepare()
    assert words in str(caught.value)
    target.store.put("_headrace/state.json", b'{"id": 1}')
    with pytest.raises(WarehouseError, match="newer Headrace or changed by hand"):
        target.signature()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["url=gs://bucket/x"], "name a local folder, or s3://bucket/prefix"),
        (["url=s3://"], "the bucket is missing"),
        (["partitions={orders: [id]}"], "orders is not schema.table"),
        (["layout.silver=bronze/x"], "must not be in one another"),
        (["layout.gold=../x"], "layout.gold"),
        (["table_format=csv"], "delta"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, flags: Sequence[str], words: str) -> None:
    given = [f"targets.lake.{flag}" for flag in flags]
    with pytest.raises(SettingsError) as caught:
        resolve(tmp_path, flags=["target=lake", *given], environ={})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_extension_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.targets.lake.target.extension_path", lambda name: None)
    with pytest.raises(WarehouseError, match=r"extension delta is not installed: run `uv .*lake"):
        lake(tmp_path).check()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with (
        pytest.raises(WarehouseError, match="cannot be written"),
        lake(tmp_path, url=tmp_path / "file" / "lake").lock("a test"),
    ):
        pass


def test_objects_of_a_folder(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "lake")
    assert store.get("a/b") is None
    tag = store.put("a/b", b"1", tag=ABSENT)
    with pytest.raises(ConflictError):
        store.put("a/b", b"2", tag=ABSENT)
    assert store.put("a/b", b"2", tag=tag) != tag
    with pytest.raises(ConflictError):
        store.put("a/b", b"3", tag=tag)
    store.put("a/c", b"")
    assert [(one.key, one.size) for one in store.list()] == [("a/b", 1), ("a/c", 0)]
    store.delete(["a/b", "a/c", "a/none"])
    assert list(store.list()) == []
    assert not (tmp_path / "lake" / "a").exists()
