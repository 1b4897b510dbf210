"""What Headrace relies on inside dlt; fails when a new version of dlt moves it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Annotated, Any, cast

import dlt
import duckdb
import pytest
from dlt.common.configuration import inject_section, resolve, resolve_configuration
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.configuration.providers import EnvironProvider, environ
from dlt.common.configuration.specs import ConfigSectionContext, RuntimeConfiguration
from dlt.common.typing import TSecretStrValue
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials
from dlt.pipeline.configuration import PipelineRuntimeConfiguration
from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator, SinglePagePaginator

from headrace.libraries import dlt as libraries_dlt


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[dlt.Pipeline]:
    with libraries_dlt.environment():
        yield dlt.pipeline(
            "orders",
            destination=dlt.destinations.duckdb(str(tmp_path / "warehouse.duckdb")),
            dataset_name="orders_raw",
            pipelines_dir=str(tmp_path / "dlt"),
        )


def test_environment_is_read_by_dlt() -> None:
    with libraries_dlt.environment():
        assert resolve_configuration(RuntimeConfiguration()).dlthub_telemetry is False
        assert resolve_configuration(PipelineRuntimeConfiguration()).intercept_signals is False


def test_settings_are_looked_up_once_for_each_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a destination can do follows from them, so dlt asks again and again."""
    monkeypatch.setenv("SHOP__DESTINATION__DUCKDB__CREATE_INDEXES", "true")
    asked: list[str] = []
    original = EnvironProvider.get_value

    def get_value(self: EnvironProvider, key: str, *rest: Any) -> Any:
        asked.append(key)
        return original(self, key, *rest)

    monkeypatch.setattr(EnvironProvider, "get_value", get_value)
    steps = map(str, count())  # dlt is in other sections each time, which changes nothing
    given: Any = dlt.destinations.duckdb("given.duckdb")
    other: Any = dlt.destinations.duckdb("other.duckdb")
    with libraries_dlt.environment():

        def indexes(name: str, destination: Any = given, *, partial: bool = True) -> bool:
            section = ConfigSectionContext(pipeline_name=name, sections=(next(steps),))
            with inject_section(section):
                found = destination.configuration(destination.spec(), accept_partial=partial)
                return bool(found.create_indexes)

        assert [indexes("shop"), indexes("crm"), indexes("shop", other)] == [True, False, True]
        asked.clear()
        assert [indexes("shop"), indexes("crm"), indexes("shop", other)] == [True, False, True]
        assert asked == []
        with pytest.raises(ConfigFieldMissingException, match="dataset_name"):
            indexes("shop", partial=False)
        assert asked, "what is connected with is looked up each time"


def test_a_hint_is_as_secret_as_dlt_says() -> None:
    secret: Any = TSecretStrValue
    unhashable: Any = Annotated[int, {"unit": "s"}]
    hints = [str, secret, str | None, secret | None, list[str], DuckDbCredentials, unhashable]
    resolver, providers = cast("Any", resolve), cast("Any", environ)
    expected = [resolver.is_secret_hint(hint) for hint in hints]
    with libraries_dlt.environment():
        for _ in range(2):
            assert [resolver.is_secret_hint(hint) for hint in hints] == expected
            assert [providers.is_secret_hint(hint) for hint in hints] == expected
    assert expected == [False, True, False, True, False, True, False]
    assert resolver.is_secret_hint.__module__ != libraries_dlt.__name__, "dlt is as it was"


def test_working_files_tell_a_pending_load(pipeline: dlt.Pipeline) -> None:
    files = libraries_dlt.WorkingFiles(Path(pipeline.working_dir))
    during: list[Path] = []

    @dlt.resource
    def orders() -> Iterator[dict[str, int]]:
        during.extend(files.leftovers)
        yield {"id": 1}

    assert not files.has_pending
    pipeline.extract(orders())
    assert [path.parent.name for path in during] == ["normalize"]
    assert files.has_pending
    pipeline.normalize()
    assert files.has_pending
    assert [path.parent.name for path in files.leftovers] == ["normalized"]
    pipeline.load()
    assert not files.has_pending
    assert files.leftovers == []


def test_failed_job_leaves_its_exception_in_a_file(pipeline: dlt.Pipeline, tmp_path: Path) -> None:
    @dlt.resource
    def orders() -> Iterator[Any]:
        yield libraries_dlt.sql_rows("select no_such", tmp_path / "orders.model", 1, _hints())

    with pytest.raises(Exception, match="no_such"):
        pipeline.run(orders())
    folder = Path(pipeline.working_dir)
    found = {path.suffix for name in libraries_dlt.EXCEPTION_FILES for path in folder.glob(name)}
    assert ".exception" in found
    assert any(path.name.startswith("trace.") for path in folder.iterdir())


def test_a_connection_that_cannot_be_prepared_is_closed(pipeline: dlt.Pipeline) -> None:
    """Another DuckDB of this process could not attach the file as long as it is open."""
    pipeline.run([{"id": 1}], table_name="orders")
    kept = []

    def fail(connection: duckdb.DuckDBPyConnection) -> AbstractContextManager[None]:
        kept.append(connection)
        raise ValueError("no room")

    with (
        libraries_dlt.around_connections(fail),
        pytest.raises(ValueError, match="no room"),
        pipeline.sql_client(),
    ):
        pass
    with pytest.raises(duckdb.ConnectionException, match="closed"):
        kept[0].execute("select 1")


def test_rows_that_the_warehouse_selects_have_a_load_id(
    pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    @dlt.resource
    def orders() -> Iterator[Any]:
        yield libraries_dlt.sql_rows("select 7 as id", tmp_path / "orders.model", 1, _hints())

    info = pipeline.run(orders())
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        rows = connection.execute("select id, _dlt_load_id from orders_raw.orders").fetchall()
    assert rows == [(7, info.loads_ids[0])]


def _hints() -> Any:
    return dlt.mark.make_hints(
        columns={"id": {"name": "id", "data_type": "bigint", "nullable": True}},
        write_disposition="replace",
    )


def test_rows_of_a_resource_are_replaced() -> None:
    @dlt.resource
    def numbers() -> Iterator[list[int]]:
        yield [1, 2]

    def doubled(generate: Callable[..., Iterator[Any]]) -> Callable[[], Iterator[Any]]:
        return lambda: ([2 * number for number in page] for page in generate())

    resource = numbers()
    libraries_dlt.replace_rows(resource, doubled)
    assert list(resource) == [2, 4]


def test_paginator_is_told_whether_a_page_follows() -> None:
    paginator = SinglePagePaginator()
    libraries_dlt.set_next_page(paginator, follows=False)
    assert not paginator.has_next_page
    libraries_dlt.set_next_page(paginator, follows=True)
    assert paginator.has_next_page


def test_next_reference_of_a_paginator() -> None:
    from requests import Response

    response = Response()
    response._content = b'{"next": "https://api.example.com/?page=2"}'
    paginator = JSONLinkPaginator("next")
    paginator.update_state(response)
    assert libraries_dlt.next_reference(paginator) == "https://api.example.com/?page=2"


def test_the_files_of_a_load_are_its_jobs() -> None:
    """Compressed files have the format that is compressed; a job that has not ended is none."""
    from datetime import UTC, datetime
    from types import SimpleNamespace

    from headrace.libraries.dlt import load_jobs

    at = datetime(2030, 1, 2, tzinfo=UTC)

    def job(path: str, ended: datetime | None = at, state: str = "completed") -> SimpleNamespace:
        return SimpleNamespace(
            table_name="orders", started_at=at, finished_at=ended, file_path=path, state=state
        )

    jobs = {
        "1": job("/p/orders.ab12.0.insert_values.gz"),
        "2": job("/p/orders.ab12.0.reference", state="failed"),
        "3": job("/p/orders.ab12.0.parquet", None),
    }
    info = SimpleNamespace(metrics={"170.1": [{"job_metrics": jobs}]})
    found = list(load_jobs(info))
    assert [(one["format"], one["failed"]) for one in found] == [
        ("insert_values", False), ("reference", True),
    ]  # fmt: skip


FIRST: list[dict[str, Any]] = [
    {"id": 1, "placed": 1, "n": 1},
    {"id": 2, "placed": 1, "n": 2},
    {"id": 5, "placed": 1, "n": 5},
]
SECOND: list[dict[str, Any]] = [
    {"id": 1, "placed": 3, "n": 13, "lines": [{"x": 1}, {"x": 2}]},
    {"id": 1, "placed": 4, "n": 14, "lines": [{"x": 3}]},
    {"id": 1, "placed": None, "n": 10},
    {"id": 2, "placed": None, "n": 20},
    {"id": 2, "placed": None, "n": 20},
    {"id": 3, "placed": 2, "n": 32, "lines": [{"x": 4}]},
    {"id": 3, "placed": 1, "n": 31, "gone": True},
    {"id": 4, "placed": 1, "n": 41, "gone": True},
    {"id": 5, "placed": 9, "n": 59, "gone": True},
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "nested", "ids"),
    [
        (None, True, [1, 2, 3]),
        ("asc", True, [1, 2]),
        ("desc", True, [1, 2, 3]),
        ("desc", False, [1, 2, 3]),
    ],
)
def test_a_merge_in_little_memory_leaves_what_dlts_leaves(
    tmp_path: Path, order: Any, nested: bool, ids: list[int]
) -> None:
    """Of the rows with one key the first in order, of nested rows those that belong to it."""
    columns: Any = {"gone": {"hard_delete": True, "data_type": "bool"}}
    if order is not None:
        columns["placed"] = {"dedup_sort": order}
    left = []
    for name, how in (
        ("plain", nullcontext()),
        ("ours", libraries_dlt.merging_in_little_memory(())),
    ):
        pipeline = dlt.pipeline(
            name,
            destination=dlt.destinations.duckdb(str(tmp_path / f"{name}.duckdb")),
            dataset_name="raw",
            pipelines_dir=str(tmp_path / "dlt"),
        )
        with libraries_dlt.environment(), how:
            for rows in (FIRST, SECOND):
                given = [row if nested else row | {"lines": None} for row in rows]
                pipeline.run(
                    dlt.resource(
                        given, name="t", primary_key="id", write_disposition="merge",
                        columns=columns,
                    )
                )  # fmt: skip
        with duckdb.connect(str(tmp_path / f"{name}.duckdb")) as connection:
            found = [connection.execute("select id, placed, n from raw.t order by all").fetchall()]
            if nested:
                query = (
                    "select t.n, lines.x from raw.t inner join raw.t__lines as lines "
                    "on lines._dlt_parent_id = t._dlt_id order by all"
                )
                found.append(connection.execute(query).fetchall())
                found.append(connection.execute("select count(*) from raw.t__lines").fetchall())
        left.append(found)
    assert left[1] == left[0]
    assert [row[0] for row in left[1][0]] == ids


def test_statements_have_their_values_in_their_text(pipeline: dlt.Pipeline) -> None:
    """Of a value that is not plain, or a mark that stands in a text, dlt has its own way."""
    seen: list[Any] = []

    class Native:
        description = None

        def execute(self, query: str, values: Any = None) -> "Native":
            seen.append((query, values))
            return self

    def asked(query: str, *values: Any) -> tuple[str, Any]:
        client = pipeline.sql_client()
        client._conn = Native()  # type: ignore[attr-defined]
        with client.execute_query(query, *values):
            return cast("tuple[str, Any]", seen[-1])

    at = datetime(2026, 12, 1, tzinfo=UTC)
    assert asked("select %s, %s, %s", "it's %s", 2, at) == (
        "select 'it''s %s', 2, '2026-12-01T00:00:00+00:00'::timestamptz",
        None,
    )
    assert asked("select %s", None) == ("select ?", (None,))
    assert asked("select '%s'") == ("select '%s'", None)
    with_mark = "select * from t where name like '%sum' and id = %s"
    assert asked(with_mark, 1) == (with_mark.replace("%s", "?"), (1,))
