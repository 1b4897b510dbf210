"""The proof itself: it finds what is wrong, and only that."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from headrace.catalog.model import (
    Asset,
    Catalog,
    Column,
    ColumnEdge,
    ColumnLineageProblem,
    SnapshotInfo,
)
from headrace.errors import LineageError
from headrace.lineage.columns import column_lineage
from headrace.lineage.find import NodeRef
from headrace.lineage.trace import closure
from headrace.lineage.verify import (
    VerifyOptions,
    VerifyReport,
    in_duckdb,
    verify,
    warehouse_alias,
)
from headrace.lineage.verify.strategies import expressions

RAW = {
    "orders": "select range + 1 as id, 'C' || range % 4 as customer, (range * 7) % 30 as amount, "
    "if(range % 5 = 0, 'test', 'real') as status, 'A' || range % 3 as code from range(20)",
    "customers": "select 'C' || range as id, 'Name ' || range as name from range(6)",
}
MODELS = {
    "stg_orders": "select id as order_id, customer, amount * 2 as amount "
    "from db.raw.orders where status <> 'test'",
    "per_customer": "select customers.id as customer_id, customers.name, "
    "count(stg.order_id) as orders, coalesce(sum(stg.amount), 0) as total "
    "from db.raw.customers left join db.dbt.stg_orders as stg on stg.customer = customers.id "
    "group by all",
}
KEYS = {"stg_orders": "order_id", "per_customer": "customer_id"}

Run = Callable[..., VerifyReport]


def _project(
    path: Path,
    raw: Mapping[str, str],
    models: Mapping[str, str],
    keys: Mapping[str, str] | None = None,
) -> Catalog:
    """A warehouse file of raw tables, and the catalog of models over them with their lineage."""
    assets: dict[str, Asset] = {}
    parents: dict[str, tuple[str, ...]] = {}
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema raw")
        for name, sql in raw.items():
            connection.execute(f"create table raw.{name} as {sql}")
            described = connection.execute(f"describe raw.{name}").fetchall()
            columns = tuple(Column(row[0], row[1]) for row in described)
            assets[name] = _relation(name, "table", "raw", columns)
            parents[name] = ()
    for name, sql in models.items():
        asset = _relation(name, "model", "dbt", (), compiled_code=sql)
        key = (keys or {}).get(name)
        assets[name] = replace(asset, primary_key=(key,) if key else ())
        read = [key for key, found in assets.items() if f"{found.schema}.{key}" in sql]
        parents[name] = tuple(sorted({*read} - {name}))
    return _with_lineage(Catalog(assets, parents))


def _relation(name: str, kind: str, schema: str, columns: Iterable[Column], **more: str) -> Asset:
    return Asset(
        id=name,
        kind=kind,  # type: ignore[arg-type]
        name=name,
        database="db",
        schema=schema,
        identifier=name,
        columns=tuple(columns),
        **more,  # type: ignore[arg-type]
    )


def _with_lineage(catalog: Catalog) -> Catalog:
    found = column_lineage(catalog, dialect="duckdb")
    return replace(
        catalog, column_edges=found.edges, problems=found.problems, lookups=found.lookups
    )


def _verify(catalog: Catalog, path: Path, *only: NodeRef, rows: int = 1000) -> VerifyReport:
    written = str(path).replace("'", "''")
    attach = f"attach '{written}' as {warehouse_alias()} (read_only)"
    return verify(
        catalog,
        lambda one: one.execute(attach),
        only=only,
        options=VerifyOptions(rows=rows, workers=2),
    )


def _without(catalog: Catalog, *edge: str) -> Catalog:
    """The claim with one edge less; it must have been there."""
    kept = tuple(
        found
        for found in catalog.column_edges
        if (found.parent, found.parent_column, found.child, found.child_column) != edge
    )
    assert len(kept) < len(catalog.column_edges), edge
    return replace(catalog, column_edges=kept)


def _pairs(report: VerifyReport) -> set[str]:
    return {f"{p.raw}.{p.raw_column} > {p.asset}.{p.column}" for p in report.missed}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "it's a warehouse.duckdb"


def test_a_true_claim_stands(path: Path) -> None:
    catalog = _project(path, RAW, MODELS, KEYS)
    before = path.read_bytes()
    report = _verify(catalog, path)
    assert report.ok
    assert report.all.recall == 1.0
    assert report.all.precision_direct == 1.0
    assert report.all.missed == len(report.missed) == 0
    assert report.perturbed == 7
    assert {(c.raw, c.column): c.changed for c in report.columns}["orders", "code"] == 0
    assert (*report.unstable, *report.failures, *report.idle, *report.notes) == ()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("edge", "missed"),
    [
        (
            ("stg_orders", "amount", "per_customer", "total"),
            {"orders.amount > per_customer.total"},
        ),
        (
            ("orders", "id", "stg_orders", "order_id"),
            {"orders.id > stg_orders.order_id", "orders.id > per_customer.orders"},
        ),
        (
            ("orders", "status", "stg_orders", ""),
            {
                *(f"orders.status > stg_orders.{c}" for c in ("order_id", "customer", "amount")),
                "orders.status > per_customer.orders",
                "orders.status > per_customer.total",
            },
        ),
    ],
)
def test_a_claim_that_lacks_an_edge_is_missed_there_and_nowhere_else(
    path: Path, edge: tuple[str, ...], missed: set[str]
) -> None:
    catalog = _project(path, RAW, MODELS, KEYS)
    report = _verify(_without(catalog, *edge), path)
    assert not report.ok
    assert _pairs(report) == missed
    assert report.all.recall == report.all.confirmed / (report.all.confirmed + len(missed))


def test_a_value_that_only_changes_places_is_seen_by_the_key(path: Path) -> None:
    raw = {"t": "select range as id, range % 2 = 0 as flag from range(10)"}
    models = {"m": "select id, flag from db.raw.t"}
    keyed = _without(_project(path, raw, models, {"m": "id"}), "t", "flag", "m", "flag")
    (pair,) = _verify(keyed, path).missed
    assert "rotate" in pair.strategies


def test_a_surrogate_key_that_is_renumbered_blames_no_other_column(path: Path) -> None:
    raw = {"t": "select range as id, (range * 7) % 11 as size, range % 3 as kind from range(11)"}
    models = {"m": "select row_number() over (order by size) as key, id, kind from db.raw.t"}
    catalog = _project(path, raw, models, {"m": "key"})
    assert _verify(catalog, path).missed == ()


def test_what_is_claimed_too_much_costs_precision_only(path: Path) -> None:
    catalog = _project(path, RAW, MODELS, KEYS)
    extra = ColumnEdge("orders", "code", "stg_orders", "amount", "computed")
    report = _verify(replace(catalog, column_edges=(*catalog.column_edges, extra)), path)
    assert report.ok
    direct = [pair for pair in report.never_changed if pair.claim == "direct"]
    assert {(p.raw_column, p.asset, p.column) for p in direct} == {
        ("code", "stg_orders", "amount"),
        ("code", "per_customer", "total"),
    }
    assert report.all.precision_direct is not None
    assert report.all.precision_direct < 1


def test_columns_that_differ_by_themselves_are_left_out_with_the_reason(path: Path) -> None:
    models = {
        "m": "select id, amount, random() as luck, get_current_timestamp() as built_at, "
        "row_number() over () as place from db.raw.orders"
    }
    report = _verify(_project(path, RAW, models, {"m": "id"}), path, NodeRef("m"))
    assert {item.column: item.reason for item in report.unstable} == {
        "luck": "differs from build to build",
        "built_at": "differs from build to build",
        "place": "depends on the order of rows",
    }
    assert report.ok
    assert report.all.columns == 2


def test_a_value_that_the_sql_cannot_read_is_counted_and_another_way_is_found(path: Path) -> None:
    models = {"m": "select id, substr(code, 2)::int as number from db.raw.orders"}
    report = _verify(_project(path, RAW, models, {"m": "id"}), path)
    assert {(f.raw_column, f.strategy) for f in report.failures} >= {("code", "change")}
    assert "Conversion Error" in report.failures[0].message
    code = next(column for column in report.columns if column.column == "code")
    assert code.changed == 1
    assert "change" in code.failed
    assert "rotate" not in code.failed


def test_an_empty_table_and_an_empty_column_say_so(path: Path) -> None:
    raw = RAW | {"orders": RAW["orders"] + " where false"}
    report = _verify(_project(path, raw, MODELS, KEYS), path)
    assert report.ok
    assert set(report.idle) == {
        f"orders.{c}" for c in ("id", "customer", "amount", "status", "code")
    }
    assert report.notes == ("empty, so no column of them can be changed: orders",)
    filled = {"t": "select 1 as id, null::varchar as nothing"}
    other = path.with_name("other.duckdb")
    catalog = _project(other, filled, {"m": "select * from db.raw.t"}, {"m": "id"})
    nothing = next(c for c in _verify(catalog, other).columns if c.column == "nothing")
    assert (nothing.strategies, nothing.changed) == (("fill",), 1)


@pytest.mark.slow
def test_what_no_parser_reads_is_no_miss(path: Path) -> None:
    catalog = _project(path, RAW, MODELS, KEYS)
    kept = tuple(edge for edge in catalog.column_edges if edge.child != "stg_orders")
    unread = replace(
        catalog, column_edges=kept, problems=(ColumnLineageProblem("stg_orders", "no parser"),)
    )
    report = _verify(unread, path)
    assert report.ok
    assert {pair.asset for pair in report.unread} == {"stg_orders", "per_customer"}
    assert {pair.raw for pair in report.unread} == {"orders"}
    worse = _without(unread, "customers", "id", "per_customer", "customer_id")
    worse = _without(worse, "customers", "id", "per_customer", "")
    assert {pair.raw for pair in _verify(worse, path).missed} == {"customers"}  # past what is read


def test_a_table_that_the_manifest_does_not_know_is_a_miss(path: Path) -> None:
    catalog = _project(path, RAW, MODELS, KEYS)
    assets = {key: asset for key, asset in catalog.assets.items() if key != "customers"}
    parents = {key: tuple(p for p in catalog.parents[key] if p in assets) for key in assets}
    edges = tuple(edge for edge in catalog.column_edges if edge.parent in assets)
    report = _verify(replace(catalog, assets=assets, parents=parents, column_edges=edges), path)
    assert {pair.raw for pair in report.missed} == {"table.raw.customers"}


def test_incremental_models_and_snapshots_are_built_as_if_from_nothing(path: Path) -> None:
    models = {
        "inc": "select id, amount from db.raw.orders "
        "where status <> 'x' and id > (select max(id) from db.dbt.inc)",
        "snap": "select * from db.raw.customers",
    }
    catalog = _project(path, RAW, models, {"inc": "id"})
    kept = SnapshotInfo(unique_key=("id",), strategy="timestamp", updated_at="name")
    snap = replace(catalog.assets["snap"], kind="snapshot", snapshot=kept)
    catalog = _with_lineage(replace(catalog, assets={**catalog.assets, "snap": snap}))
    report = _verify(catalog, path)
    assert report.failures == ()
    assert report.notes == ()
    changed = {(column.raw, column.column): column.changed for column in report.columns}
    assert changed["orders", "amount"] == 1
    assert changed["customers", "name"] >= 2  # itself, and dbt's columns that are made of it
    assert report.missed == ()


def test_a_reader_of_the_columns_that_dbt_adds_to_a_snapshot_is_verified(path: Path) -> None:
    models = {
        "snap": "select id, name from db.raw.customers",
        "reader": "select id, name, gone, dbt_scd_id, since from db.dbt.snap "
        "where gone = 'False' and dbt_valid_to = timestamp '9999-12-31'",
    }
    catalog = _project(path, RAW, models, {"reader": "id"})
    kept = SnapshotInfo(
        unique_key=("id",),
        strategy="check",
        check_cols=("name",),
        column_names={"dbt_is_deleted": "gone", "dbt_valid_from": "since"},
        marks_deleted=True,
        valid_to_current="timestamp '9999-12-31'",
    )
    snap = replace(catalog.assets["snap"], kind="snapshot", snapshot=kept)
    catalog = _with_lineage(replace(catalog, assets={**catalog.assets, "snap": snap}))
    assert catalog.problems == ()
    into_gone = {(edge.parent, edge.parent_column) for edge in catalog.edges_by_child["snap"]
                 if edge.child_column == "gone"}  # fmt: skip
    assert into_gone == {("customers", "id")}
    report = _verify(catalog, path)
    assert (report.failures, report.missed, report.models) == ((), (), 2)
    changed = {(column.raw, column.column): column.changed for column in report.columns}
    assert changed["customers", "name"] == 2


def test_what_is_more_than_its_sql_is_named_and_counts_as_nothing(path: Path) -> None:
    models = {
        "hooked": "select id, amount from db.raw.orders",
        "reader": "select sum(amount) as total from db.dbt.hooked",
    }
    catalog = _project(path, RAW, models)
    reason = "its post-hook `{{ fill(this) }}` may change its rows"
    hooked = replace(catalog.assets["hooked"], beyond_sql=(reason,))
    report = _verify(replace(catalog, assets={**catalog.assets, "hooked": hooked}), path)
    assert report.notes == (f"hooked is not verified, it is more than its SQL: {reason}",)
    assert (report.models, report.all.columns) == (1, 1)
    assert report.all.changed == 1


def test_a_table_that_a_hook_made_is_named(path: Path) -> None:
    models = {"reader": "select * from db.raw.made, db.raw.orders, db.raw.known"}
    catalog = _project(path, {**RAW, "made": "select 1 as x", "known": "select 2 as y"}, models)
    resource = Asset("resource.shop.orders", "resource", "orders")
    assets = {key: one for key, one in catalog.assets.items() if key != "made"}
    parents = {
        **{key: tuple(p for p in catalog.parents[key] if p != "made") for key in assets},
        "orders": (resource.id,),
        resource.id: (),
    }
    found = _with_lineage(Catalog({**assets, resource.id: resource}, parents))
    report = _verify(found, path)
    (note,) = report.notes
    assert note.startswith("made by no model and no source, and so taken as they are: ")
    assert "raw.known, raw.made" in note
    assert "raw.orders" not in note


def test_a_model_that_cannot_be_built_is_told_with_its_readers(path: Path) -> None:
    models = MODELS | {"stg_orders": "select nope(id) as order_id from db.raw.orders"}
    catalog = _project(path, RAW, {**models, "fine": "select id from db.raw.customers"}, KEYS)
    report = _verify(catalog, path)
    assert {failure.asset for failure in report.failures} == {"stg_orders", "per_customer"}
    assert report.models == 1
    assert report.ok


LOOKS = {
    "orders_of": "select customer, count(*) as orders, 1 as seen from db.raw.orders "
    "where status <> 'x' group by customer",
    "looked_up": "select customers.id, customers.name, f.orders, f.seen from db.raw.customers "
    "left join db.dbt.orders_of as f on f.customer = customers.id",
    "in_a_value": "select id, (select max(seen) from db.dbt.orders_of) as top, "
    "(select 1 from db.dbt.orders_of where orders > 3 limit 1) as many from db.raw.customers",
}


def test_what_is_looked_up_decides_its_own_columns_and_no_others(path: Path) -> None:
    catalog = _project(path, RAW, LOOKS, {"orders_of": "customer", "looked_up": "id"})
    built = {key: replace(one, materialized="table") for key, one in catalog.assets.items()}
    catalog = _with_lineage(replace(catalog, assets=built))
    assert catalog.lookups == {"looked_up": ("orders_of",), "in_a_value": ("orders_of",)}
    report = _verify(catalog, path)
    assert report.missed == ()
    claimed = {
        (column, name)
        for column in ("customer", "status")
        for asset, name in closure(catalog, [("orders", column)], "downstream")
        if asset == "looked_up"
    }
    assert claimed == {(c, name) for c in ("customer", "status") for name in ("orders", "seen")}
    reached = closure(catalog, [("orders", "status")], "downstream")
    assert {name for asset, name in reached if asset == "in_a_value"} == {"top", "many"}
    upward = closure(catalog, [("looked_up", "name")], "upstream")
    assert {asset for asset, _ in upward} == {"looked_up", "customers"}


def test_models_of_tables_that_are_not_loaded_are_named_once_and_the_rest_is_checked(
    path: Path,
) -> None:
    both = "select orders.id from db.raw.orders cross join db.raw.customers"
    catalog = _project(path, RAW, MODELS | {"fine": "select id from db.raw.customers", "b": both})
    with duckdb.connect(str(path)) as connection:
        connection.execute("drop table raw.orders")
    report = _verify(catalog, path)
    assert report.failures == ()
    assert report.models == 1
    said = "not in the warehouse: raw (1 table); 3 models that need them cannot be checked"
    assert report.notes == (said,)
    assert report.ok


def test_assets_and_columns_limit_what_is_perturbed(path: Path) -> None:
    catalog = _project(path, RAW, MODELS, KEYS)
    tried = {
        place: {(column.raw, column.column) for column in _verify(catalog, path, place).columns}
        for place in (
            NodeRef("stg_orders"),
            NodeRef("customers"),
            NodeRef("orders", "amount"),
        )
    }
    assert {raw for raw, _ in tried[NodeRef("stg_orders")]} == {"orders"}
    assert tried[NodeRef("customers")] == {("customers", "id"), ("customers", "name")}
    assert tried[NodeRef("orders", "amount")] == {("orders", "amount")}


def test_large_tables_are_sampled_and_it_is_said(path: Path) -> None:
    report = _verify(_project(path, RAW, MODELS, KEYS), path, rows=10)
    assert report.sampled == ("orders",)
    assert report.ok


def test_what_cannot_be_checked_says_why(path: Path) -> None:
    catalog = _project(path, RAW, MODELS, KEYS)
    cyclic = replace(catalog, parents={**catalog.parents, "stg_orders": ("per_customer",)})
    with pytest.raises(LineageError, match="in a cycle"):
        _verify(cyclic, path)
    empty = {key: replace(asset, compiled_code=None) for key, asset in catalog.assets.items()}
    with pytest.raises(LineageError, match="headrace run"):
        _verify(replace(catalog, assets=empty), path)
    duckdb.connect(str(path.with_name("void.duckdb"))).close()
    with pytest.raises(LineageError, match=r"needs \(raw\): enable their source"):
        _verify(catalog, path.with_name("void.duckdb"))


TYPES = {
    "tinyint": "127::tinyint", "ubigint": "0::ubigint", "decimal": "9.99::decimal(3,2)",
    "double": "1.5", "boolean": "true", "date": "date '2024-02-29'",
    "timestamp": "timestamp '2024-01-01 10:00:00'",
    "timestamptz": "timestamptz '2024-01-01 10:00:00+00'", "time": "time '10:00:00'",
    "uuid": "uuid '00000000-0000-0000-0000-000000000001'", "blob": "'a'::blob", "text": "'Abc'",
    "digits": "'0042'", "day": "'2024-01-31'", "mail": "'a@b.example'",
    "json": """'{"a": 1, "b": ["x", 2], "c": true}'::json""",
    "json_text": """'[{"a": 0.5}]'""",
    "list": "[1, 2, 3]", "struct": "{'a': 1, 'b c': 'x', 'd': [{'e': 1}]}",
}  # fmt: skip


@pytest.mark.parametrize("sql", TYPES.values(), ids=TYPES.keys())
def test_each_type_gets_other_values_of_its_type(sql: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"create table t as select {sql} as x from range(4)")
        described = connection.execute("from t limit 0").description
        assert described is not None
        kind = described[0][1]
        found = expressions('"x"', kind, "t")
        assert {"rotate", "null", "change"} <= set(found)
        for name in set(found) - {"rotate", "fill"}:
            rows = connection.execute(
                f"select {found[name]}, typeof({found[name]}) from t window in_order as "
                "(order by rowid) order by rowid"
            ).fetchall()
            assert {row[1] for row in rows} == {str(kind)}, name
            before = connection.execute("select x from t").fetchall()
            changed = sum(row[0] != old[0] for row, old in zip(rows, before, strict=True))
            assert changed < 4, name
            assert changed > 0 or (name == "spread" and sql.startswith("'[")), name


def test_odd_names_views_and_python_models_are_no_obstacle(path: Path) -> None:
    raw = {"base": 'select range as id, range || \'x\' as "say ""hi""" from range(5)'}
    catalog = _project(path, raw, {})
    with duckdb.connect(str(path)) as connection:
        connection.execute('create schema "odd schema"; create schema dbt')
        connection.execute('create view "odd schema"."a.b/c" as from raw.base')
        connection.execute("create table dbt.by_python as select 3 as id")
    columns = (Column("id"), Column('say "hi"'))
    view = replace(_relation("a.b/c", "table", "odd schema", columns), id="view")
    sql = (
        'select v.id, v."say ""hi""" as "<b>" from db."odd schema"."a.b/c" as v '
        "join db.dbt.by_python as p on v.id <= p.id"
    )
    model = replace(_relation("שלום", "model", "dbt", (), compiled_code=sql), primary_key=("id",))
    python = _relation("by_python", "model", "dbt", (Column("id"),))
    assets = {**catalog.assets, "view": view, "שלום": model, "by_python": python}
    parents = {**catalog.parents, "view": (), "שלום": ("by_python", "view"), "by_python": ()}
    report = _verify(_with_lineage(Catalog(assets, parents)), path)
    assert report.failures == ()
    assert {(c.raw, c.column): c.changed for c in report.columns} == {
        ("view", "id"): 2,
        ("view", 'say "hi"'): 1,
    }
    assert report.missed == ()
    assert report.notes == ("by_python has no compiled SQL: its table was taken as it is",)


def test_sql_of_another_engine_is_built_by_duckdb() -> None:
    sqls = {
        "a": "select date_trunc('day', at)::date, x::jsonb ->> 'k' from t",
        "b": "select from where (",
        "c": None,
    }
    assets = {name: Asset(name, "model", name, compiled_code=sql) for name, sql in sqls.items()}
    catalog = Catalog(assets, {})
    found = in_duckdb(catalog, "postgres")
    a, b, c = (found.assets[name].compiled_code for name in sqls)
    assert (b, c) == (None, None)
    with duckdb.connect() as connection:
        connection.execute("create table t as select now() as \"at\", '{}' as x")
        assert a is not None
        connection.execute(a)
    assert in_duckdb(catalog, "duckdb") is catalog
