"""DuckLake: whole runs, kills, its catalog in PostgreSQL, its files in S3, and their faults."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lab import ROOT, copy_project
from small_project import leave_tests
from warm_process import run_module

from headrace.errors import LockedError, WarehouseError
from headrace.pipeline import lock
from headrace.pipeline.publishing.publications import published, rollback
from headrace.settings import Resolved, resolve
from headrace.targets import BuiltTable, Publication
from headrace.targets.ducklake.target import DuckLakeTarget
from postgres_lab import server_in
from s3_lab import BUCKET, KEY, SECRET, Fault, Server, s3_server

pytestmark = pytest.mark.slow
pytest.importorskip("duckdb_extension_ducklake", reason="uv sync --extra ducklake")

PASSWORD = "wrong-horse-7"  # noqa: S105 - that of a test


def _target(root: Path, *flags: str) -> DuckLakeTarget:
    (root / "config").mkdir(exist_ok=True)
    given = [f"targets.ducklake.{flag}" for flag in flags]
    target = resolve(root, flags=["target=ducklake", *given], environ={}).target
    assert isinstance(target, DuckLakeTarget)
    return target


def _read(target: DuckLakeTarget, sql: str) -> list[tuple[Any, ...]]:
    with target.lake.read() as connection:
        assert connection is not None
        return connection.execute(sql).fetchall()


# --- a whole run ---


class Project:
    """A copy of the project, run on a lake."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def resolved(self) -> Resolved:
        """Its settings."""
        return resolve(self.root, flags=["target=ducklake"], environ={})

    @property
    def target(self) -> DuckLakeTarget:
        """The lake."""
        target = self.resolved.target
        assert isinstance(target, DuckLakeTarget)
        return target

    def run(self, *words: str, wanted: int = 0) -> None:
        """`headrace run`."""
        unobserved = ("--set", "monitors.enabled=false", "--set", "quality.keep_profiles=0")
        command = ("run", *words, "--target", "ducklake", *unobserved)
        done = run_module("headrace", command, cwd=self.root, env=os.environ)
        assert done.returncode == wanted, done.stdout + done.stderr


_SNAPSHOT = """
{% snapshot customers_over_time %}
{{ config(
    target_schema='snapshots', unique_key='customer_id', strategy='check', check_cols='all'
) }}
select * from {{ ref('stg_jaffle_shop__customers') }}
{% endsnapshot %}
"""
_INCREMENTAL = """
{{ config(materialized='incremental', unique_key='order_id') }}
select * from {{ ref('stg_jaffle_shop__orders') }}
{% if is_incremental() %}
where order_id > (select max(order_id) - 5 from {{ this }})
{% endif %}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """After three runs: of the sample, of a change, and of one that fails its audit."""
    root = copy_project(tmp_path_factory.mktemp("ducklake") / "project")
    shutil.copytree(ROOT / "data" / "schemas", root / "data" / "schemas")
    folder = root / "dbt_project"
    leave_tests(folder, lambda _: False)
    (folder / "snapshots").mkdir()
    (folder / "snapshots" / "customers_over_time.sql").write_text(_SNAPSHOT)
    (folder / "models" / "marts" / "recent_orders.sql").write_text(_INCREMENTAL)
    project = Project(root)
    project.run()
    customers = root / "data" / "jaffle_shop" / "raw_customers.csv"
    lines = customers.read_text().splitlines()
    customers.write_text("\n".join([lines[0], '1,"Changed","C."', *lines[2:], '9999,"New","N."']))
    project.run()
    bad = folder / "tests" / "assert_nobody_is_new.sql"
    bad.write_text("select * from {{ ref('customers') }} where customer_id = 9999\n")
    project.run("--full-refresh", wanted=1)
    return project


def test_readers_have_what_passed_its_audit_last(project: Project) -> None:
    rows = _read(
        project.target,
        "select count(*), count(*) filter (first_name = 'Changed') from lake.published.customers",
    )
    assert rows == [(101, 1)]
    assert len(published(project.resolved, is_history=True).publications) == 2


def test_snapshots_and_incremental_models_go_on(project: Project) -> None:
    assert _read(
        project.target,
        "select count(*), count(dbt_valid_to) from lake.snapshots.customers_over_time",
    ) == [(102, 1)]
    assert _read(project.target, "select count(*) from lake.marts.recent_orders") == [(99,)]


def test_back_and_as_of(project: Project) -> None:
    newest, oldest = published(project.resolved, is_history=True).publications
    then = published(project.resolved, as_of=oldest.since).publications
    assert [one.run_id for one in then] == [oldest.run_id]
    rollback(project.resolved, oldest.run_id)
    assert _read(project.target, "select count(*) from lake.published.customers") == [(100,)]
    rollback(project.resolved, newest.run_id)
    assert _read(project.target, "select count(*) from lake.published.customers") == [(101,)]


# --- kills ---

_KILLED = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from headrace.settings import resolve
from headrace.targets import BuiltTable, Publication
target = resolve(Path(sys.argv[1]), flags=["target=ducklake"], environ={}).target
publisher = target.publisher()
content = publisher.fingerprints([("marts", name) for name in "ab"])
tables = tuple(BuiltTable("marts", name, name, *content["marts", name], "", {}) for name in "ab")
def tell(table, _):
    if table.name == "b":
        os._exit(9)  # as kill -9 does: nothing is rolled back, nothing is removed
publisher.publish(Publication("killed", datetime.now(UTC), "", tables), tables, keep=1, tell=tell)
"""


def _publish(target: DuckLakeTarget, run: str) -> None:
    publisher = target.publisher()
    content = publisher.fingerprints([("marts", name) for name in "ab"])
    tables = tuple(
        BuiltTable("marts", name, name, *content["marts", name], "", {}) for name in "ab"
    )
    publication = Publication(run, datetime.now(UTC), "", tables)
    publisher.publish(publication, tables, keep=0, tell=lambda *_: None)


def test_a_publication_that_is_killed_leaves_the_old_and_no_files(tmp_path: Path) -> None:
    target = _target(tmp_path, "retention_hours=0")
    target.prepare()

    def build(number: int) -> None:
        with target.lake.write() as connection:
            connection.execute("create schema if not exists lake.marts")
            for name in "ab":
                connection.execute(
                    f"create or replace table lake.marts.{name} as "
                    f"select {number} as number from range(100)"
                )

    build(1)
    _publish(target, "first")
    files = len(list(Path(target.storage).rglob("*.parquet")))
    build(2)
    words = [sys.executable, "-c", _KILLED, str(tmp_path)]
    assert subprocess.run(words, check=False).returncode == 9
    both = "select any_value(a.number), any_value(b.number) from lake.published.a, lake.published.b"
    assert _read(target, both) == [(1, 1)]
    _publish(target, "third")
    assert _read(target, both) == [(2, 2)]
    assert [one.run_id for one in target.publisher().history()] == ["third"]
    assert len(list(Path(target.storage).rglob("*.parquet"))) == files


# --- servers ---


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("psycopg", reason="uv sync --extra ducklake")
    with server_in(tmp_path_factory.mktemp("postgres")) as found:
        yield found


def test_another_machine_sees_the_lock(tmp_path: Path, url: str) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    here = _target(tmp_path / "here", f"catalog={url}")
    there = _target(tmp_path / "there", f"catalog={url}")
    assert here.lock_path != there.lock_path
    with (
        lock.hold(here, "headrace run"),
        pytest.raises(LockedError, match="headrace run on"),
        lock.hold(there, "headrace run"),
    ):
        pass
    with lock.hold(there, "headrace run"):
        pass


def test_a_wrong_password_and_no_server_are_told_without_it(tmp_path: Path) -> None:
    target = _target(tmp_path, f"catalog=postgresql://me:{PASSWORD}@127.0.0.1:1/lakes")
    for work in (target.check, target.prepare, target.signature):
        with pytest.raises(WarehouseError, match="no PostgreSQL server at") as caught:
            work()
        assert PASSWORD not in str(caught.value)
    assert not target.exists()
    assert PASSWORD not in target.location
    assert PASSWORD not in repr(target)


def test_a_catalog_of_an_older_version_is_migrated_by_a_run_alone(tmp_path: Path) -> None:
    target = _target(tmp_path)
    target.prepare()
    with target.lake.write() as connection:
        connection.execute(
            "update __ducklake_metadata_lake.ducklake_metadata set value = '0.3' "
            "where key = 'version'"
        )
    with pytest.raises(WarehouseError, match=r"older DuckLake \(0\.3.*`headrace run` migrates it"):
        target.signature()


@pytest.fixture(scope="module")
def s3() -> Iterator[Server]:
    with s3_server() as server:
        yield server


@contextmanager
def _failing(server: Server, *faults: Fault) -> Iterator[None]:
    server.fail(*faults)
    try:
        yield
    finally:
        server.fail()


def _in_s3(root: Path, server: Server, *more: str) -> DuckLakeTarget:
    given = {
        "storage": f"s3://{BUCKET}/{root.name}",
        "endpoint": server.url,
        "access_key_id": KEY,
        "secret_access_key": SECRET,
        **dict(flag.split("=", 1) for flag in more),
    }
    return _target(root, *(f"{key}={value}" for key, value in given.items()))


def test_a_bucket_that_is_not_there_or_nobody_answers_for(tmp_path: Path, s3: Server) -> None:
    target = _in_s3(tmp_path, s3, "storage=s3://nothing/x")
    with pytest.raises(WarehouseError, match=r"no bucket nothing: .*targets\.ducklake\.storage"):
        target.prepare()
    assert not target.exists()
    target = _in_s3(tmp_path, s3, "endpoint=http://127.0.0.1:1")
    with pytest.raises(WarehouseError, match=r"no server answers at http://127\.0\.0\.1:1"):
        target.prepare()


def test_a_bucket_that_fails_leaves_what_was_published(tmp_path: Path, s3: Server) -> None:
    target = _in_s3(tmp_path, s3)
    target.prepare()
    with target.lake.write() as connection:
        connection.execute("create schema lake.marts")
        for name in "ab":
            connection.execute(f"create table lake.marts.{name} as from range(100) t(number)")
    _publish(target, "first")
    with target.lake.write() as connection:
        connection.execute("create or replace table lake.marts.a as from range(200) t(number)")
    for fault, said in (
        (Fault("PUT|POST", "published", 503, "SlowDown"), "overloaded"),
        (Fault("PUT|POST", "published", 403, "AccessDenied"), "access is denied"),
    ):
        with _failing(s3, fault), pytest.raises(WarehouseError, match=said) as caught:
            _publish(target, "second")
        assert SECRET not in str(caught.value)
    assert _read(target, "select count(*) from lake.published.a") == [(100,)]
    assert [one.run_id for one in target.publisher().history()] == ["first"]
    _publish(target, "third")
    assert _read(target, "select count(*) from lake.published.a") == [(200,)]


def test_the_files_of_another_bucket_are_refused(tmp_path: Path, s3: Server) -> None:
    _in_s3(tmp_path, s3).prepare()
    other = _in_s3(tmp_path, s3, f"storage=s3://{BUCKET}/elsewhere")
    with pytest.raises(
        WarehouseError, match=r"targets\.ducklake\.storage says s3://lake/elsewhere"
    ):
        other.signature()


def test_an_empty_place_on_servers_is_removed(tmp_path: Path, url: str, s3: Server) -> None:
    given = _in_s3(tmp_path, s3, f"catalog={url}")
    with given.settings.apart(tmp_path) as changes:
        assert "catalog" not in changes
        apart = given.settings.model_copy(update=changes).target(
            "ducklake", data_dir=tmp_path, path_of=lambda path: path
        )
        apart.prepare()
        with apart.lake.write() as connection:
            connection.execute("create table lake.t as from range(100)")
        assert apart.exists()
    assert not apart.exists()
    found = s3.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{tmp_path.name}/headrace_parity")
    assert found["KeyCount"] == 0
