"""``headrace load --table --since --until``: a part of a source again, and cursors stay there."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import api_lab
import pytest
from api_lab import Api, customer, customers
from lab import Lab, Shop

from headrace.add import AddRequest
from headrace.errors import HeadraceError, NoCursorError, SettingsError, SourceError
from headrace.ingest import stage
from headrace.ingest.periods import Backfill
from headrace.pipeline.reports import LoadReport, TableReport
from headrace.pipeline.run import run


def again(
    lab: Lab, since: str | None, until: str | None, *tables: str, sources: tuple[str, ...] = ()
) -> LoadReport:
    report = run(
        lab.resolved,
        steps=("load",),
        source_names=sources,
        tables=tables,
        backfill=Backfill(since, until, is_named=bool(tables)) if since else None,
    )
    assert report.load is not None
    for table in report.load.tables:
        assert table.rows_unaccounted == 0, table
    return report.load


def one(report: LoadReport) -> TableReport:
    (table,) = report.tables
    return table


def counts(table: TableReport) -> tuple[int, int, int]:
    return table.rows_new, table.rows_changed, table.rows_unchanged


def damage(lab: Lab, *statements: str) -> None:
    """Change the raw tables, as if an earlier load had gone wrong."""
    import duckdb

    with duckdb.connect(str(lab.warehouse)) as connection:
        for statement in statements:
            connection.execute(statement)


# files


def days(shop: Shop) -> None:
    for day in (1, 2, 3):
        shop.write(f"orders_2024-01-{day:02}.csv", f"id,n\na{day},{day}\nb{day},{day}\n")


@pytest.mark.parametrize("key", ["primary_key: [id]", "write: append"])
def test_files_are_chosen_by_the_dates_in_their_names(shop: Shop, key: str) -> None:
    days(shop)
    lab = shop.lab_with(f"{{orders: {{pattern: 'orders*.csv', {key}}}}}")
    lab.load()
    damage(lab, "delete from store_raw.orders where n = 2", "update store_raw.orders set n = 9")
    shop.write("orders_2024-01-09.csv", "id,n\na9,9\n")  # new, and not of the range
    table = one(again(lab, "2024-01-02", "2024-01-03", "store.orders"))
    assert counts(table) == (2, 0, 0)
    assert table.files_read == 1
    assert table.notes[0] == "loaded again: 2024-01-02 to 2024-01-03, from 1 file"
    assert lab.query("select id, n from store_raw.orders order by all") == [
        ("a1", 9), ("a2", 2), ("a3", 9), ("b1", 9), ("b2", 2), ("b3", 9),
    ]  # fmt: skip
    assert one(again(lab, "2025-01-01", None, "store.orders")).notes == (
        "no file is of since 2025-01-01",
    )
    again(lab, "2024-01-03", None, "store.orders")
    loads = "select n, count(*) from store_raw.orders group by all order by all"
    assert lab.query(loads) == [(2, 2), (3, 2), (9, 3)]  # a9 too: it is in this range
    assert lab.load_one().files_read == 0


@pytest.mark.parametrize("is_large", [False, True])
def test_files_without_dates_are_searched_for_rows_by_their_cursor(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, is_large: bool
) -> None:
    if is_large:
        monkeypatch.setattr(stage, "BULK_BYTES", 0)
        monkeypatch.setattr(stage._Stager, "run", None)  # the thorough way would fail
    rows = "".join(f"{day},2024-01-{day:02}T12:00:00Z,x\n" for day in range(1, 6))
    shop.write("orders.csv", f"id,at,v\n{rows}")
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id], cursor: at}}")
    lab.load()
    damage(lab, "delete from store_raw.orders where id > 1", "update store_raw.orders set v = 'y'")
    table = one(again(lab, "2024-01-02", "2024-01-04T13:00:00+01:00", "store.orders"))
    assert counts(table) == (2, 0, 3)
    assert lab.query("select id, v from store_raw.orders order by id") == [
        (1, "y"), (2, "x"), (3, "x"),
    ]  # fmt: skip
    assert counts(one(again(lab, "2024-01-02", "2024-01-04", "store.orders"))) == (0, 0, 5)
    with pytest.raises(SourceError, match="give --since and --until as its values are"):
        again(lab, "1000", None, "store.orders")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("primary_key: [id]", "has no dates in the names of its files, and no primary_key and"),
        ("write: snapshot", "is a snapshot: its newest files are the table"),
    ],
)
def test_a_table_without_a_time_is_refused_or_left_out(
    shop: Shop, settings: str, said: str
) -> None:
    shop.write("orders.csv", "id,n\n1,1\n")
    lab = shop.lab_with(f"{{orders: {{pattern: '*', {settings}}}}}")
    with pytest.raises(SourceError, match=r"store.orders"):
        again(lab, "2024-01-01", None, "store.orders")
    lab.load()
    with pytest.raises(NoCursorError, match=said):
        again(lab, "2024-01-01", None, "store.orders")
    assert said in one(again(lab, "2024-01-01", None)).notes[0]
    assert lab.load_one().files_read == 0


def test_a_table_alone(shop: Shop) -> None:
    for name in ("a", "b"):
        shop.write(f"{name}.csv", "id\n1\n")
    lab = shop.lab_with("{a: {pattern: 'a*'}, b: {pattern: 'b*'}}")
    assert [table.table for table in again(lab, None, None, "store.b").tables] == ["b"]
    assert [(table.table, table.rows_new) for table in lab.load().tables] == [("a", 1), ("b", 0)]
    with pytest.raises(SettingsError, match=r"--table store.c: not a table of the source"):
        again(lab, None, None, "store.c")
    with pytest.raises(SettingsError, match=r"--table a: write it as SOURCE.TABLE"):
        again(lab, None, None, "a")
    with pytest.raises(SettingsError, match="--full-refresh is of whole sources"):
        run(lab.resolved, steps=("load",), tables=("store.a",), full_refresh=True)


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("yesterday", None, "--since yesterday: not a date"),
        ("2024-13-01", None, "--since 2024-13-01: not a date"),
        ("31/12/2024", None, "--since 31/12/2024: not a date"),
        ("2024-01-02", "2024-01-02", "not a range"),
        ("2024-01-02", "5", "not a range"),
    ],
)
def test_what_is_no_range_is_refused(since: str, until: str | None, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Backfill(since, until)


# other kinds of source


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lab = api_lab.project(tmp_path_factory.mktemp("past"))
    resources = ("customers", "regions")
    api_lab.added(
        lab,
        AddRequest(
            name="crm",
            kind="rest_api",
            resource=resources,
            primary_key=("id",),
            cursor="updated_at",
        ),
    )
    api_lab.added(lab, AddRequest(name="erp", kind="sql_database"))
    return lab.root


@pytest.fixture
def api() -> Iterator[Api]:
    with api_lab.serve() as server:
        server.answers.tables = {"/v1/customers": customers(7), "/v1/regions": []}
        yield server


@pytest.fixture
def lab(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    found = Lab(tmp_path / "data", root)
    api_lab.use_pipelines(monkeypatch, found)
    return found


def test_an_api_is_asked_from_since_on(lab: Lab, api: Api) -> None:
    lab = lab.set(f"sources.crm.base_url={api.url}")
    with pytest.raises(HeadraceError, match=r"crm\.customers was not loaded yet"):
        again(lab, "2026-01-02", None, "crm.customers")
    lab.load("crm")
    damage(lab, "delete from crm_raw.customers where id in (1, 3, 6)")
    api.answers.tables["/v1/customers"][1] = customer(2, 2, name="corrected")
    api.calls.clear()
    table = one(again(lab, "2026-01-02", "2026-01-05", "crm.customers"))
    assert api.asked()[0].query["since"] == "2026-01-02T00:00:00Z"
    assert counts(table) == (1, 1, 4)  # what the API gives of later days leaves the table as it is
    assert lab.query("select id, name from crm_raw.customers order by id") == [
        (2, "corrected"), (3, "name 3 of day 3"), (4, "name 4 of day 4"),
        (5, "name 5 of day 5"), (7, "name 7 of day 7"),
    ]  # fmt: skip
    api.calls.clear()
    lab.load("crm")
    assert api.asked()[0].query["since"] == "2026-01-07T00:00:00Z"
    lab = lab.set("sources.crm.resources.regions={cursor: ''}")
    with pytest.raises(NoCursorError, match=r"crm.regions has no cursor"):
        again(lab, "2026-01-02", None, "crm.regions")
    notes = [table.notes for table in again(lab, "2026-01-02", None, sources=("crm",)).tables]
    assert ("loaded again: since 2026-01-02",) in notes


def database(path: Path, kind: str, values: list[Any]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"create table items (id integer primary key, at {kind}, n integer)")
        rows = [(number, value, number) for number, value in enumerate(values, start=1)]
        connection.executemany("insert into items values (?, ?, ?)", rows)
        connection.execute("create table kinds (id integer primary key)")


@pytest.mark.parametrize(
    ("kind", "values", "since", "until"),
    [
        (
            "timestamp",
            [f"2026-01-{day:02} 00:00:00.000000" for day in range(1, 6)],
            "2026-01-02",
            "2026-01-04",
        ),
        ("date", [f"2026-01-{day:02}" for day in range(1, 6)], "2026-01-02", "2026-01-04"),
        ("integer", [10, 20, 30, 40, 50], "20", "40"),
    ],
)
def test_a_database_is_asked_for_the_range(
    lab: Lab, tmp_path: Path, kind: str, values: list[Any], since: str, until: str
) -> None:
    path = tmp_path / "erp.sqlite"
    database(path, kind, values)
    tables = json.dumps({"items": {"cursor": "at"}, "kinds": {}})
    lab = lab.set(f"sources.erp.url=sqlite:///{path}", f"sources.erp.tables={tables}")
    lab.load("erp")
    damage(lab, "delete from erp_raw.items where id in (1, 3, 5)")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update items set n = 99 where id in (2, 4)")
    assert counts(one(again(lab, since, until, "erp.items"))) == (1, 1, 0)
    everything = "select id, n from erp_raw.items order by id"
    assert lab.query(everything) == [(2, 99), (3, 3), (4, 4)]
    assert counts(one(again(lab, since, None, "erp.items"))) == (1, 1, 2)
    assert lab.query(everything) == [(2, 99), (3, 3), (4, 99), (5, 5)]
    loaded = {table.table: counts(table) for table in lab.load("erp").tables}
    assert loaded["items"] == (0, 0, 1)  # from the last cursor on, as before

    with pytest.raises(NoCursorError, match=r"erp.kinds has no cursor"):
        again(lab, since, until, "erp.kinds")
    tables_loaded = again(lab, since, until, sources=("erp",)).tables
    assert [table.table for table in tables_loaded] == ["items"]
    assert "left out: erp.kinds has no cursor" in tables_loaded[0].notes
    wrong = "2026-01-01" if kind == "integer" else "5"
    with pytest.raises(SourceError, match=r"the cursor at of erp.items has values like"):
        again(lab, wrong, None, "erp.items")


def test_simulated_tables_give_what_changed_in_the_range(lab: Lab) -> None:
    lab = lab.set("sources.shop.scale=0.01", "sources.shop.as_of=2026-03-01")
    lab.load("shop")
    damage(lab, 'delete from shop_raw."order"')
    before = lab.query('select count(*) from shop_raw."order"')
    assert before == [(0,)]
    table = one(again(lab, "2026-02-01", "2026-02-10", "shop.order"))
    assert table.rows_new > 0
    (low, high) = lab.query('select min(updated_at), max(updated_at) from shop_raw."order"')[0]
    assert f"{low:%Y-%m-%d}" >= "2026-02-01"
    assert f"{high:%Y-%m-%d}" < "2026-02-10"
    assert not any(table.rows_new for table in lab.load("shop").tables)
