"""What a publish writes, keeps and drops in the published file, and what that says of itself."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from step_lab import manifest_of, mart, project, stand_in

from headrace.artifacts.dbt_nodes import ColumnInfo, Constraint
from headrace.errors import DiffError, PublishError
from headrace.pipeline.diff import compare_published
from headrace.pipeline.publishing import published_file
from headrace.pipeline.publishing.publish import publish
from headrace.pipeline.publishing.published_file import publication, published_rows
from headrace.pipeline.reports import PublishReport
from headrace.quality.diff import DiffOptions
from headrace.settings import Resolved

SCRIPT = """
import sys
from pathlib import Path
from headrace.pipeline.publishing.published_file import publication
from headrace.server.published import PublishedFileReader
path = Path(sys.argv[1])
print(publication(path).published_at)
print(PublishedFileReader(path).publication().published_at)
"""


@pytest.fixture
def resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resolved:
    """A project whose warehouse has two marts."""
    stand_in(
        monkeypatch,
        "publishing.publish.read_manifest",
        manifest_of(mart("orders"), mart("customers")),
    )
    found = project(tmp_path)
    warehouse(
        found,
        "create schema marts; "
        "create table marts.orders as select range as id from range(3); "
        "create view marts.customers as select 1 as id, 'Ann' as name",
    )
    return found


def warehouse(resolved: Resolved, sql: str) -> None:
    path = Path(resolved.target.location)
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute(sql)


def read(resolved: Resolved, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(resolved.published), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def published(resolved: Resolved, *affected: str) -> PublishReport:
    return publish(
        resolved,
        resolved.target,
        run_id="r",
        code_version="c",
        listen=lambda _: None,
        affected={f"model.p.{name}" for name in affected},
    )


def changed(report: PublishReport) -> list[str]:
    return [table.name for table in report.tables if table.changed]


def test_the_first_publish_writes_all_marts_as_tables(resolved: Resolved) -> None:
    report = published(resolved)
    assert report.written
    assert changed(report) == ["marts.customers", "marts.orders"]
    assert read(resolved, "select * from marts.customers") == [(1, "Ann")]
    assert published_rows(resolved.published) == {"marts.customers": 1, "marts.orders": 3}
    assert read(resolved, "select run_id, code_version from _headrace.publication") == [("r", "c")]


def test_an_unchanged_mart_is_not_written_again(resolved: Resolved) -> None:
    published(resolved)
    before = publication(resolved.published)
    report = published(resolved)
    assert (report.written, changed(report)) == (False, [])
    assert publication(resolved.published) == before


def test_marts_below_a_failed_load_stay_as_they_are_published(resolved: Resolved) -> None:
    published(resolved)
    before = read(resolved, "select * from _headrace.tables where name = 'marts.customers'")
    warehouse(resolved, "insert into marts.orders values (9)")
    warehouse(resolved, "create or replace view marts.customers as select 2 as id, 'Bob' as name")
    report = published(resolved, "customers")
    assert (changed(report), report.left) == (["marts.orders"], ("marts.customers",))
    assert read(resolved, "select * from marts.customers") == [(1, "Ann")]
    assert published_rows(resolved.published) == {"marts.customers": 1, "marts.orders": 4}
    after = read(resolved, "select * from _headrace.tables where name = 'marts.customers'")
    assert after == before
    # the next publish has it, and a first one goes without
    assert changed(published(resolved)) == ["marts.customers"]
    resolved.published.unlink()
    assert changed(published(resolved, "customers")) == ["marts.orders"]
    assert published_rows(resolved.published) == {"marts.orders": 4}
    resolved.published.unlink()
    assert not published(resolved, "customers", "orders").written
    assert not resolved.published.exists()


def test_the_order_of_rows_is_no_change(resolved: Resolved) -> None:
    published(resolved)
    warehouse(
        resolved,
        "create or replace table marts.orders as select range as id from range(3) order by 1 desc",
    )
    assert not published(resolved).written


def test_rows_that_are_new_and_changed_are_counted_by_key(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = [Constraint(type="primary_key", columns=["id"])]
    stand_in(
        monkeypatch,
        "publishing.publish.read_manifest",
        manifest_of(mart("orders", constraints=key)),
    )

    def counted() -> list[tuple[int | None, int | None]]:
        return [(table.rows_new, table.rows_changed) for table in published(resolved).tables]

    warehouse(resolved, "alter table marts.orders add column amount integer")
    assert counted() == [(3, 0)]
    assert counted() == [(0, 0)]
    warehouse(resolved, "update marts.orders set amount = 5 where id = 1")
    warehouse(resolved, "insert into marts.orders values (9, 1)")
    assert counted() == [(1, 1)]
    warehouse(resolved, "alter table marts.orders add column note varchar")
    assert counted() == [(0, None)]  # all rows have another shape
    warehouse(resolved, "alter table marts.orders rename id to order_id")
    assert counted() == [(None, None)]
    stand_in(monkeypatch, "publishing.publish.read_manifest", manifest_of(mart("orders")))
    warehouse(resolved, "insert into marts.orders values (10, 1, 'x')")
    assert counted() == [(None, None)]


@pytest.mark.parametrize(
    "sql",
    [
        "insert into marts.orders values (9)",
        "update marts.orders set id = 7 where id = 1",
        "alter table marts.orders alter id type integer",
        "alter table marts.orders add column note varchar",
        "alter table marts.orders rename id to order_id",
    ],
)
def test_a_changed_mart_alone_is_written(resolved: Resolved, sql: str) -> None:
    published(resolved)
    warehouse(resolved, sql)
    assert changed(published(resolved)) == ["marts.orders"]
    assert read(resolved, "select count(*) from marts.customers") == [(1,)]


def test_a_changed_description_is_published_as_a_comment(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(resolved)
    described = mart(
        "orders",
        description="One row per order.",
        columns={"id": ColumnInfo(name="ID", description="It's the key.")},
    )
    stand_in(
        monkeypatch, "publishing.publish.read_manifest", manifest_of(described, mart("customers"))
    )
    assert changed(published(resolved)) == ["marts.orders"]
    assert read(resolved, "select comment from duckdb_tables() where table_name = 'orders'") == [
        ("One row per order.",)
    ]
    assert read(
        resolved,
        "select comment from duckdb_columns() where table_name = 'orders' and column_name = 'id'",
    ) == [("It's the key.",)]


def test_a_mart_that_is_no_longer_built_leaves_the_published_file(resolved: Resolved) -> None:
    published(resolved)
    warehouse(resolved, "drop view marts.customers")
    report = published(resolved)
    assert report.written
    assert list(published_rows(resolved.published)) == ["marts.orders"]
    assert read(resolved, "select table_name from duckdb_tables() where schema_name = 'marts'") == [
        ("orders",)
    ]


def test_without_any_mart_the_published_file_stays(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(resolved)
    content = resolved.published.read_bytes()
    stand_in(monkeypatch, "publishing.publish.read_manifest", manifest_of(mart("nothing_yet")))
    report = published(resolved)
    assert (report.written, report.tables) == (False, ())
    assert resolved.published.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"not a database" * 1000], ids=["empty", "other"])
def test_a_file_that_is_no_database_is_replaced(resolved: Resolved, content: bytes) -> None:
    resolved.published.write_bytes(content)
    assert published(resolved).written
    assert read(resolved, "select count(*) from marts.orders") == [(3,)]


def test_a_failure_leaves_the_old_file_and_no_other(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(resolved)
    warehouse(resolved, "insert into marts.orders values (9)")

    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    stand_in(monkeypatch, "publishing.publish.portable.replace", fail)
    with pytest.raises(PublishError, match=r"cannot be replaced .*headrace publish"):
        published(resolved)
    assert read(resolved, "select count(*) from marts.orders") == [(3,)]
    assert not list(resolved.published.parent.glob("*.tmp*"))


def test_what_a_killed_publish_left_is_removed(resolved: Resolved) -> None:
    left = resolved.published.with_name("published.duckdb.77.tmp")
    left.touch()
    published(resolved)
    assert not left.exists()


def test_when_it_was_published_is_told_in_utc_whatever_the_time_zone(tmp_path: Path) -> None:
    path = tmp_path / "published.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create schema _headrace; create table _headrace.publication as select 'r' as run_id, "
            "timestamptz '2026-01-01 00:00:00+00' as published_at, 'c' as code_version; "
            "create table _headrace.tables "
            "(name varchar, row_count bigint, unique_id varchar, fingerprint varchar)"
        )
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)],
        env=os.environ | {"TZ": "America/St_Johns"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.splitlines() == ["2026-01-01 00:00:00+00:00"] * 2


def keeping(resolved: Resolved, most: int) -> Resolved:
    kept = resolved.settings.publish.model_copy(update={"keep": most})
    return replace(resolved, settings=resolved.settings.model_copy(update={"publish": kept}))


def published_with(resolved: Resolved, number: int) -> None:
    """Publish a new number of orders."""
    warehouse(resolved, f"create or replace table marts.orders as from range({number}) t(id)")
    assert published(resolved).written


def stopped(*_: object) -> None:
    raise OSError("stopped")


def kept_orders(resolved: Resolved) -> list[int]:
    """How many orders each earlier file has, newest first."""
    earlier = published_file.earlier(resolved.published)
    return [published_rows(each.path)["marts.orders"] for each in earlier]


def test_earlier_files_are_kept_up_to_a_number(resolved: Resolved) -> None:
    lab = keeping(resolved, 2)
    for number in (4, 5, 6, 7):
        published_with(lab, number)
    assert kept_orders(lab) == [6, 5]
    assert read(lab, "select count(*) from marts.orders") == [(7,)]
    published(lab)  # nothing changed
    assert kept_orders(lab) == [6, 5]
    published_with(keeping(lab, 0), 8)
    assert not published_file.folder(lab.published).exists()


def test_a_publish_that_is_stopped_before_the_rename_keeps_nothing_twice(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    published_with(resolved, 4)
    with monkeypatch.context() as patch:
        stand_in(patch, "publishing.publish.portable.replace", stopped)
        warehouse(resolved, "insert into marts.orders values (9)")
        with pytest.raises(PublishError, match="stopped"):
            published(resolved)
    assert kept_orders(resolved) == []  # it is still the current one
    assert published(resolved).written
    assert kept_orders(resolved) == [4]


def test_a_file_system_without_hard_links(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.link", stopped)
    published_with(resolved, 4)
    published_with(resolved, 5)
    assert kept_orders(resolved) == [4]


def test_what_cannot_be_kept_does_not_stop_a_publish(
    resolved: Resolved, caplog: pytest.LogCaptureFixture
) -> None:
    published_with(resolved, 4)
    published_file.folder(resolved.published).write_text("a file")
    published_with(resolved, 5)
    assert read(resolved, "select count(*) from marts.orders") == [(5,)]
    assert "was not kept" in caplog.text


def test_what_changed_since_it_was_published_before(resolved: Resolved) -> None:
    with pytest.raises(DiffError, match="nothing is published"):
        compare_published(DiffOptions(), resolved)
    published_with(resolved, 4)
    with pytest.raises(DiffError, match="the next run that publishes a change keeps one"):
        compare_published(DiffOptions(), resolved)
    with pytest.raises(DiffError, match=r"publish\.keep is 0"):
        compare_published(DiffOptions(), keeping(resolved, 0))
    published_with(resolved, 6)
    report = compare_published(DiffOptions(), resolved)
    assert [(table.name, table.status) for table in report.tables] == [
        ("marts.customers", "same"),
        ("marts.orders", "changed"),
    ]
    assert "(run r)" in report.before
