"""The catalog by version, on SQLite and on a real Postgres."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from headrace.catalog import (
    Asset,
    Catalog,
    CatalogChange,
    Column,
    ColumnEdge,
    ColumnLineageProblem,
    Reading,
    RunStore,
    TestInfo,
)
from headrace.errors import RunStoreError

ORDERS = Asset(
    id="model.shop.orders",
    kind="model",
    name="orders",
    database="warehouse",
    schema="marts",
    identifier="orders",
    description='One row per "order" שלום </script>.',
    owners=("Analytics",),
    columns=(
        Column("order_id", "BIGINT", "The key.", nullable=False),
        Column("e-mail", "VARCHAR", "Whose.", tags=("contact",), pii="email"),
    ),
    raw_code="select 1",
    meta={"tier": 1},
    primary_key=("order_id",),
)
RAW = Asset(id="table.shop_raw.orders", kind="table", name="orders", columns=(Column("id"),))
UNIQUE = Asset(
    id="test.shop.unique_orders",
    kind="test",
    name="unique(order_id) on orders",
    test=TestInfo("unique", ORDERS.id, "order_id", "error", {"where": "true"}),
)


def catalog_of(*assets: Asset) -> Catalog:
    return Catalog(
        assets={asset.id: asset for asset in assets},
        parents={asset.id: (RAW.id,) if asset is not RAW else () for asset in assets},
        column_edges=(ColumnEdge(RAW.id, "id", ORDERS.id, "order_id", "renamed"),),
        problems=(ColumnLineageProblem(ORDERS.id, "a star could not be read"),),
        lookups={key: (RAW.id,) for key in (ORDERS.id,) if ORDERS in assets},
        readings=(Reading("manifest.json", "v12", "lenient", ("left out: x",)),),
    )


@pytest.fixture
def store(url: str) -> Iterator[RunStore]:
    opened = RunStore(url)
    yield opened
    opened.close()


def change(url: str, *statements: str) -> None:
    """Run SQL on a store that is closed."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def test_a_catalog_is_loaded_as_it_was_saved(store: RunStore) -> None:
    catalog = catalog_of(RAW, ORDERS, UNIQUE)
    assert store.catalog_version() is None
    assert store.load_catalog() is None
    assert store.save_catalog(catalog, "r1") == 1
    found = store.load_catalog()
    assert found is not None
    assert found.created_at is not None
    assert replace(found, version=None, created_at=None) == catalog
    assert [(v.version, v.run_id) for v in store.catalog_versions(5)] == [(1, "r1")]


def test_a_rename_or_a_move_is_recognised(store: RunStore) -> None:
    assert UNIQUE.test is not None
    columns = (Column("id"), Column("name"), Column("_dlt_id"))
    raw = replace(RAW, id="table.raw.a", columns=columns)
    twin = replace(RAW, id="table.raw.twin", columns=(Column("x"), Column("y"), Column("z")))
    moved = Asset(
        id="model.shop.m", kind="model", name="m", schema="s", identifier="m", path="a.sql",
        raw_code="select 3", columns=(Column("email", "string"), Column("n")), owners=("Ann",),
    )  # fmt: skip
    store.save_catalog(catalog_of(raw, twin, ORDERS, UNIQUE, moved), "r1")
    purchases = replace(ORDERS, id="model.shop.purchases", name="purchases", description="Bought.")
    unique = replace(
        UNIQUE, id="test.shop.other", test=replace(UNIQUE.test, attached_to=purchases.id)
    )
    twins = [replace(twin, id=f"table.raw.{name}") for name in ("one", "two")]
    later = replace(moved, schema="t", path="b/a.sql", owners=("Bo",), columns=(
        Column("email", "VARCHAR", pii="email"), Column("n", "BIGINT")))  # fmt: skip
    now = catalog_of(replace(raw, id="table.raw.b", name="b"), *twins, purchases, unique, later)
    store.save_catalog(now, "r2")
    at = store.catalog_versions(1)[0].created_at
    found = store.catalog_changes(1, 2)
    assert list(found) == [
        CatalogChange(2, at, moved.id, None, "asset moved", "s.m (a.sql)", "t.m (b/a.sql)"),
        CatalogChange(2, at, moved.id, None, "owners changed", "Ann", "Bo"),
        CatalogChange(2, at, moved.id, "email", "personal data changed", None, "email"),
        CatalogChange(2, at, purchases.id, None, "asset renamed", ORDERS.name, "purchases"),
        CatalogChange(
            2, at, purchases.id, None, "description changed", ORDERS.description, "Bought."
        ),
        CatalogChange(2, at, "table.raw.b", None, "asset renamed", raw.name, "b"),
        # two tables look like the one that went: nobody can tell which it became
        CatalogChange(2, at, "table.raw.one", None, "asset added"),
        CatalogChange(2, at, twin.id, None, "asset removed"),
        CatalogChange(2, at, "table.raw.two", None, "asset added"),
    ]
    assert unique.test is not None
    warns = replace(unique, test=replace(unique.test, severity="warn"))
    kept = {key: asset for key, asset in now.assets.items() if key != unique.id}
    store.save_catalog(catalog_of(*kept.values(), warns), "r3")
    (change,) = store.catalog_changes(2, 3)
    assert (change.asset, change.column, change.what) == (purchases.id, "order_id", "test changed")
    assert (change.before, change.after) == (
        f"{UNIQUE.name}, severity error", f"{UNIQUE.name}, severity warn"
    )  # fmt: skip


def accepted(number: int, *values: str, **fields: Any) -> Asset:
    """A test of values, whose id dbt makes of them."""
    info = TestInfo("accepted_values", ORDERS.id, "status", "error", {"values": list(values)})
    return Asset(
        id=f"test.shop.accepted_values_{number}", kind="test",
        name="accepted_values(status) on orders", test=replace(info, **fields),
    )  # fmt: skip


def record(store: RunStore, number: int, *tests: str, status: str = "fail") -> None:
    store.begin_run(f"r{number}", command="c", target="t", lock="l", code_version="v")
    keys = ("name", "label", "resource_type")
    row = {**dict.fromkeys(keys, "test"), "status": status, "seconds": 0.0}
    store.add_nodes(f"r{number}", [{"unique_id": test, **row} for test in tests])


def past(store: RunStore, test: Asset) -> list[str]:
    return [one.run_id for one in store.node_history(test.id, 9)]


def test_a_test_whose_values_change_is_the_same_and_keeps_its_past(store: RunStore) -> None:
    old, new = accepted(1, "paid"), accepted(2, "paid", "open", severity="warn")
    record(store, 1, old.id)
    store.save_catalog(catalog_of(RAW, ORDERS, old), "r1")
    record(store, 2, new.id, status="pass")
    store.save_catalog(catalog_of(RAW, ORDERS, new), "r2")
    assert past(store, new) == ["r2", "r1"]
    (change,) = store.catalog_changes(1, 2)
    assert (change.asset, change.column, change.what) == (ORDERS.id, "status", "test changed")
    assert change.before == "accepted_values(status) on orders, severity error, values paid"
    assert change.after == "accepted_values(status) on orders, severity warn, values paid, open"
    # back to the first values, and away for a version
    store.save_catalog(catalog_of(RAW, ORDERS, old), "r3")
    assert past(store, old) == ["r2", "r1"]
    store.save_catalog(catalog_of(RAW, ORDERS), "r4")
    store.save_catalog(catalog_of(RAW, ORDERS, new), "r5")
    assert past(store, new) == ["r2", "r1"]


def test_of_several_tests_of_a_kind_those_most_alike_are_one(store: RunStore) -> None:
    one, two = accepted(1, "paid", "open"), accepted(2, "yes", "no")
    record(store, 1, one.id)
    record(store, 2, two.id)
    store.save_catalog(catalog_of(RAW, ORDERS, one, two), "r1")
    first, second = accepted(3, "yes", "no", "maybe"), accepted(4, "paid", "open", "lost")
    store.save_catalog(catalog_of(RAW, ORDERS, first, second), "r2")
    assert (past(store, first), past(store, second)) == (["r2"], ["r1"])
    # one that goes leaves its past to none that was there beside it, and to none that comes later
    store.save_catalog(catalog_of(RAW, ORDERS, first), "r3")
    third = accepted(5, "paid", "open")
    store.save_catalog(catalog_of(RAW, ORDERS, first, third), "r4")
    assert (past(store, first), past(store, third)) == (["r2"], [])


def test_a_test_of_a_renamed_model_keeps_its_past(store: RunStore) -> None:
    record(store, 1, UNIQUE.id)
    store.save_catalog(catalog_of(RAW, ORDERS, UNIQUE), "r1")
    assert UNIQUE.test is not None
    purchases = replace(ORDERS, id="model.shop.purchases", name="purchases")
    unique = replace(
        UNIQUE, id="test.shop.other", test=replace(UNIQUE.test, attached_to=purchases.id)
    )
    store.save_catalog(catalog_of(RAW, purchases, unique), "r2")
    assert past(store, unique) == ["r1"]


def test_the_same_catalog_makes_no_version(store: RunStore) -> None:
    assert store.save_catalog(catalog_of(RAW, ORDERS), "r1") == 1
    assert store.save_catalog(catalog_of(RAW, ORDERS), "r2") is None
    assert store.catalog_version() == 1


def test_what_changed_between_versions(store: RunStore) -> None:
    first = catalog_of(RAW, ORDERS, UNIQUE)
    key, mail = ORDERS.columns
    second = catalog_of(
        RAW,
        replace(
            ORDERS,
            description="One row per order.",
            raw_code="select 2",
            columns=(replace(key, data_type="INTEGER", description="It."), Column("status")),
        ),
        Asset(id="seed.shop.countries", kind="seed", name="countries", columns=(Column("code"),)),
    )
    store.save_catalog(first, "r1")
    store.save_catalog(second, "r2")
    store.save_catalog(first, "r3")
    changes = store.catalog_changes(1, 2)
    at = changes[0].created_at
    assert list(changes) == [
        CatalogChange(2, at, ORDERS.id, None, "code changed", ORDERS.raw_code, "select 2"),
        CatalogChange(
            2, at, ORDERS.id, None, "description changed", ORDERS.description, "One row per order."
        ),
        CatalogChange(2, at, ORDERS.id, mail.name, "column removed", "VARCHAR", None),
        CatalogChange(2, at, ORDERS.id, "order_id", "column retyped", "BIGINT", "INTEGER"),
        CatalogChange(2, at, ORDERS.id, "order_id", "description changed", "The key.", "It."),
        CatalogChange(2, at, ORDERS.id, "order_id", "test removed", UNIQUE.name, None),
        CatalogChange(2, at, ORDERS.id, "status", "column added", None, None),
        CatalogChange(2, at, "seed.shop.countries", None, "asset added"),
    ]
    back = store.catalog_changes(2, 3)
    assert {(c.asset, c.what) for c in back} >= {
        ("seed.shop.countries", "asset removed"),
        (ORDERS.id, "test added"),
    }
    assert {change.version for change in store.catalog_changes(0, 3)} == {2, 3}
    for number, catalog in ((1, first), (2, second), (3, first)):
        found = store.load_catalog(number)
        assert found is not None
        assert replace(found, version=None, created_at=None) == catalog
    assert store.load_catalog(4) is None


def test_a_store_of_version_one_is_upgraded_and_keeps_its_runs(url: str, store: RunStore) -> None:
    store.begin_run("r0", command="headrace run", target="duckdb", lock="l", code_version="c")
    store.add_step("r0", "load", "success", 1.0)
    counts = {"rows_new": 1, "rows_changed": 0, "rows_total": 1, "rows_quarantined": 0}
    store.add_loads("r0", [{"source": "s", "table": "t", **counts}])
    store.close()
    change(
        url,
        "alter table steps drop column started_at",
        "drop index ix_nodes_unique_id",
        "alter table nodes drop column started_at",
        "alter table nodes drop column thread",
        "alter table loads drop column rows_given",
        "alter table loads drop column rows_unchanged",
        "drop table catalog_versions",
        "update meta set value = '1' where key = 'schema_version'",
    )
    upgraded = RunStore(url)
    detail = upgraded.run("r0")
    assert detail is not None
    assert [(step.step, step.started_at) for step in detail.steps] == [("load", None)]
    assert [(load.rows_given, load.rows_new) for load in detail.loads] == [(None, 1)]
    assert upgraded.save_catalog(catalog_of(RAW, ORDERS), "r1") == 1
    upgraded.close()


def test_a_newer_store_is_refused_and_unchanged(url: str, store: RunStore) -> None:
    store.close()
    change(
        url,
        "update meta set value = '99' where key = 'schema_version'",
        "drop table catalog_lineage",
    )
    with pytest.raises(RunStoreError, match=r"of version 99, this Headrace knows"):
        RunStore(url)
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    assert "catalog_lineage" not in inspect(engine).get_table_names()
    engine.dispose()


def test_the_history_of_a_node(store: RunStore) -> None:
    base = {"unique_id": "test.t", "name": "t", "label": "t", "resource_type": "test"}
    for number, status in enumerate(("pass", "fail", "reused")):
        run_id = f"r{number}"
        store.begin_run(run_id, command="c", target="t", lock=run_id, code_version="v")
        store.add_nodes(run_id, [{**base, "status": status, "seconds": 0.1}])
    assert [(n.run_id, n.status) for n in store.node_history("test.t", 5)] == [
        ("r1", "fail"),
        ("r0", "pass"),
    ]
    assert store.latest_nodes()["test.t"].status == "fail"
    assert store.run("nothing") is None


def test_a_store_locked_by_another_program_is_named_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "runs.sqlite"
    store = RunStore(f"sqlite:///{path}")
    store.save_catalog(catalog_of(RAW), "r1")
    store.close()
    monkeypatch.setattr("headrace.catalog.database.BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(path)) as holder:
        holder.execute("begin immediate")
        store = RunStore(f"sqlite:///{path}")
        with pytest.raises(RunStoreError, match=r"is locked by another program .* end what holds"):
            store.save_catalog(catalog_of(RAW, ORDERS), "r2")
        assert store.load_catalog() is not None  # who reads is not in the way
        holder.rollback()
        assert store.save_catalog(catalog_of(RAW, ORDERS), "r2") == 2
        store.close()
