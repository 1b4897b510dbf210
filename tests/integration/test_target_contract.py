"""What holds of every target: how it is made, loaded, read and counted, and how it publishes."""

import importlib.metadata
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pyarrow as pa
import pytest

from headrace.errors import PublishError
from headrace.libraries import dlt as libraries_dlt
from headrace.libraries.duckdb import connect
from headrace.pipeline import lock
from headrace.settings import Resolved, resolve
from headrace.targets import BuiltTable, Publication, Publisher, Target
from target_places import PLACES

pytestmark = pytest.mark.slow

ORDERS = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int64()),
        "number": pa.array([Decimal(12345678901234567890), Decimal(2), None], pa.decimal128(38, 0)),
        "price": pa.array([Decimal("1.10"), Decimal("-2.00"), None], pa.decimal128(18, 2)),
        "share": pa.array([0.1, -1e300, None], pa.float64()),
        "name": pa.array(["Zoë 'quoted'", "", None], pa.string()),
        "paid": pa.array([True, False, None], pa.bool_()),
        "day": pa.array([date(2024, 2, 29), date(1900, 1, 1), None], pa.date32()),
        "moment": pa.array(
            [
                datetime(2024, 6, 1, 23, 30, 0, 123456, UTC),
                datetime(1969, 12, 31, tzinfo=UTC),
                None,
            ],
            pa.timestamp("us", "UTC"),
        ),
    }
)


class Project:
    """A project on one target: what is loaded, and what is read."""

    def __init__(self, root: Path, flags: Sequence[str]) -> None:
        self.flags = list(flags)
        self.resolved: Resolved = resolve(root, flags=self.flags, environ={})
        self.target: Target = self.resolved.target

    def load(self, table: pa.Table, *, name: str = "orders", schema: str = "shop_raw") -> None:
        """Merge rows into a table, as the load of a source does."""
        pipeline = dlt.pipeline(
            pipeline_name=schema,
            destination=self.target.dlt_destination(),
            staging=self.target.dlt_staging(),
            dataset_name=schema,
            pipelines_dir=str(self.resolved.data_dir / "dlt"),
        )

        @dlt.resource(name=name, primary_key="id", write_disposition="merge")
        def rows() -> Iterator[pa.Table]:
            yield table

        with lock.hold(self.target, "a test"), libraries_dlt.environment():
            self.target.prepare()
            pipeline.run(rows())
        self.target.release()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of SQL that names the target's tables with the prefix ``target``."""
        with closing(connect()) as connection:
            connection.execute("set TimeZone = 'UTC'")
            assert self.target.attach(connection, "target")
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="module", params=list(PLACES))
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("contract")
    (root / "config").mkdir()
    with PLACES[request.param](root) as place:
        yield Project(root, [f"target={place.target}", *place.flags])


@pytest.fixture(scope="module")
def publisher(loaded: Project) -> Publisher:
    found = loaded.target.publisher()
    assert found is not None
    loaded.load(ORDERS, name="orders", schema="marts")
    loaded.load(ORDERS.select(["id", "name"]), name="people", schema="marts")
    return found


# readers of a DuckDB file open the published copy: see test_publishing.py
of_publishers = pytest.mark.parametrize(
    "project", [name for name in PLACES if name != "duckdb"], indirect=True
)


@pytest.fixture(scope="module")
def loaded(project: Project) -> Project:
    assert not project.target.exists()
    assert project.target.row_counts("shop_raw") == {}
    assert project.target.table_names(["shop_raw"]) == {}
    assert project.target.count_rows([("shop_raw", "orders")]) == {}
    with closing(connect()) as connection:
        assert not project.target.attach(connection, "target")
    project.target.check()
    project.load(ORDERS)
    return project


def test_what_was_loaded_can_be_counted_and_is_there(loaded: Project) -> None:
    target = loaded.target
    assert target.exists()
    assert target.row_counts("shop_raw") == {"orders": 3}
    assert target.row_counts("not_there") == {}
    assert target.table_names({"shop_raw", "not_there"}) == {"shop_raw": ["orders"]}
    assert target.table_names([]) == {}
    wanted = [("shop_raw", "orders"), ("shop_raw", "not_there"), ("not_there", "orders")]
    assert target.count_rows(wanted) == {("shop_raw", "orders"): 3}
    assert target.count_rows([]) == {}
    target.check()


def test_what_is_read_is_what_was_loaded(loaded: Project) -> None:
    columns = ", ".join(ORDERS.column_names)
    rows = loaded.query(f"select {columns} from target.shop_raw.orders order by id")
    wanted = [tuple(row.values()) for row in ORDERS.to_pylist()]
    assert rows == wanted


def test_what_is_read_only_cannot_be_written(loaded: Project) -> None:
    with pytest.raises(duckdb.Error):
        loaded.query("create or replace table target.shop_raw.orders as select 1 as id")
    assert loaded.target.row_counts("shop_raw") == {"orders": 3}


def test_a_change_shows_in_the_signature_and_reading_does_not(loaded: Project) -> None:
    before = loaded.target.signature()
    loaded.query("select count(*) from target.shop_raw.orders")
    loaded.target.check()
    assert loaded.target.signature() == before is not None
    loaded.load(ORDERS.slice(0, 2))
    assert loaded.target.signature() != before
    assert loaded.target.row_counts("shop_raw") == {"orders": 3}  # merged


def test_dbt_finds_its_adapter(loaded: Project) -> None:
    assert importlib.metadata.version(loaded.target.adapter)
    output = loaded.target.dbt_output()
    assert loaded.target.adapter == f"dbt-{output['type']}"
    assert output["threads"] >= 1


def test_where_it_is_can_be_told(loaded: Project) -> None:
    assert loaded.target.location
    assert loaded.target.lock_path.is_relative_to(loaded.resolved.data_dir)
    assert loaded.target.name == loaded.resolved.settings.target


def _built(publisher: Publisher, *names: str) -> list[BuiltTable]:
    found = publisher.fingerprints([("marts", name) for name in names])
    return [
        BuiltTable(
            "marts", name, f"model.p.{name}", *found["marts", name], "About.", {"id": "Key."}
        )
        for name in names
    ]


def _publish(publisher: Publisher, run: int, *names: str, changed: Sequence[str]) -> list[str]:
    """Publish tables; gives those that were copied."""
    tables = _built(publisher, *names)
    at = datetime(2024, 6, 1, tzinfo=UTC) + timedelta(hours=run)
    told: list[str] = []
    publisher.publish(
        Publication(f"run{run}", at, "abc", tuple(tables)),
        [table for table in tables if table.name in changed],
        keep=2,
        tell=lambda table, _: told.append(table.name),
    )
    return told


@of_publishers
def test_readers_get_a_publication_and_can_go_back(loaded: Project, publisher: Publisher) -> None:
    assert publisher.current() is None
    assert publisher.history() == []
    assert publisher.fingerprints([("marts", "not_there")]) == {}
    told = _publish(publisher, 1, "orders", "people", changed=["orders", "people"])
    assert sorted(told) == ["orders", "people"]
    first = publisher.current()
    assert first is not None
    assert {table.full_name: table.rows for table in first.tables} == {
        "marts.orders": 3,
        "marts.people": 3,
    }
    assert _publish(publisher, 2, "orders", "people", changed=[]) == []
    changed = ORDERS.set_column(4, "name", pa.array(["a", "b", "c"]))
    loaded.load(changed, name="orders", schema="marts")
    assert _publish(publisher, 3, "orders", changed=["orders"]) == ["orders"]
    now = publisher.current()
    assert now is not None
    assert [table.name for table in now.tables] == ["orders"]
    assert [one.run_id for one in publisher.history()] == ["run3", "run2", "run1"]
    assert publisher.restore("run1").run_id == "run1"
    again = publisher.current()
    assert again is not None
    assert again.tables == first.tables
    _reads_what_is_published(loaded, publisher)
    with pytest.raises(PublishError, match="run9"):
        publisher.restore("run9")


def _reads_what_is_published(loaded: Project, publisher: Publisher) -> None:
    """What was gone back to is read as it was, and so is an earlier publication beside it."""
    with closing(connect()) as connection:
        connection.execute("set TimeZone = 'UTC'")
        assert publisher.attach(connection, "nothing", "run9") is None
        current = publisher.attach(connection, "published")
        earlier = publisher.attach(connection, "earlier", "run3")
        connection.execute("set enable_external_access = false")  # as for a query
        assert (current and current.run_id, earlier and earlier.run_id) == ("run1", "run3")
        columns = ", ".join(ORDERS.column_names)
        rows = connection.execute(f"select {columns} from published.marts.orders order by id")
        assert rows.fetchall() == [tuple(row.values()) for row in ORDERS.to_pylist()]
        names = connection.execute("select name from earlier.marts.orders order by id").fetchall()
        assert names == [("a",), ("b",), ("c",)]
        listed = "select name, row_count from published._headrace.tables order by name"
        assert connection.execute(listed).fetchall() == [("marts.orders", 3), ("marts.people", 3)]
        info = connection.execute("select run_id, published_at from earlier._headrace.publication")
        assert info.fetchone() == ("run3", datetime(2024, 6, 1, 3, tzinfo=UTC))


@of_publishers
def test_a_fingerprint_is_of_the_content_alone(loaded: Project, publisher: Publisher) -> None:
    relations = [("marts", "people")]
    before = publisher.fingerprints(relations)
    loaded.load(ORDERS.select(["id", "name"]).take([2, 0, 1]), name="people", schema="marts")
    assert before[relations[0]][0] == 3
    other = ORDERS.select(["id", "name"]).set_column(1, "name", pa.array(["", None, "x"]))
    loaded.load(other, name="people", schema="marts")
    assert publisher.fingerprints(relations) != before


def test_there_is_an_empty_place_of_the_same_engine(loaded: Project, tmp_path: Path) -> None:
    name = loaded.target.name
    with loaded.resolved.settings.targets[name].apart(tmp_path) as changes:
        given = [f"targets.{name}.{key}={value}" for key, value in changes.items()]
        flags = [*loaded.flags, *given, f"data_dir={tmp_path / 'data'}"]
        other = resolve(loaded.resolved.root, flags=flags, environ={}).target
        other.check()
        assert not other.exists()
        assert other.location != loaded.target.location
        other.prepare()
    assert loaded.target.row_counts("shop_raw") == {"orders": 3}
