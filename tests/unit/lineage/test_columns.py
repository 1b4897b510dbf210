"""Column lineage of a catalog: models on top of each other, tests, snapshots, raw tables."""

from collections.abc import Mapping

import pytest

from headrace.catalog import Asset, Catalog, Column, TestInfo
from headrace.catalog.model import ColumnEdge, SnapshotInfo, field_of
from headrace.lineage.columns import ColumnLineage, column_lineage


def _asset(key: str, sql: str | None = None, columns: str = "", **more: object) -> Asset:
    kind, _, name = key.partition(".")
    settings = {"database": "db", "schema": "s", "identifier": name, **more}
    return Asset(
        key,
        kind,  # type: ignore[arg-type]
        name,
        columns=tuple(Column(one) for one in columns.split()),
        compiled_code=sql,
        **settings,  # type: ignore[arg-type]
    )


def _catalog(*assets: Asset, parents: Mapping[str, tuple[str, ...]] | None = None) -> Catalog:
    known = parents or {}
    return Catalog(
        {asset.id: asset for asset in assets},
        {asset.id: known.get(asset.id, ()) for asset in assets},
    )


def _lineage(*assets: Asset, parents: Mapping[str, tuple[str, ...]] | None = None) -> ColumnLineage:
    return column_lineage(_catalog(*assets, parents=parents), dialect="duckdb")


def _into(found: ColumnLineage, child: str) -> list[str]:
    return [
        f"{edge.parent}.{edge.parent_column} -> {edge.child_column} {edge.kind}"
        for edge in found.edges
        if edge.child == child
    ]


def _problems(found: ColumnLineage) -> list[tuple[str, str]]:
    return [(problem.asset, problem.message) for problem in found.problems]


RAW = _asset("table.raw", columns="id amount status")


def test_a_star_is_expanded_by_what_the_parent_s_own_sql_yields() -> None:
    found = _lineage(
        _asset("model.c", "select * exclude (doubled), doubled + 1 as more from db.s.b"),
        _asset("model.b", "select *, amount * 2 as doubled from db.s.a"),
        _asset("model.a", "select id, amount from db.s.raw"),
        RAW,
    )
    assert found.problems == ()
    assert found.columns["model.c"] == ("id", "amount", "more")
    assert _into(found, "model.c") == [
        "model.b.amount -> amount copied",
        "model.b.id -> id copied",
        "model.b.doubled -> more computed",
    ]


def test_names_are_those_of_the_catalog() -> None:
    found = _lineage(
        _asset("model.a", 'select ID, count(*), "AMOUNT" as Total from DB.S.RAW', "id n total"),
        RAW,
    )
    assert found.columns["model.a"] == ("id", "n", "total")
    assert _into(found, "model.a") == [
        "table.raw.id -> id copied",
        "table.raw. -> n aggregated",
        "table.raw.amount -> total renamed",
    ]


def test_a_stale_name_in_the_docs_does_not_rename_a_column() -> None:
    found = _lineage(_asset("model.a", "select id from db.s.raw", "old_name"), RAW)
    assert _into(found, "model.a") == ["table.raw.id -> id copied"]
    assert found.columns["model.a"] == ("id",)
    assert _problems(found) == [
        ("model.a", 'its SQL does not say where column "old_name" comes from')
    ]


def test_an_incremental_model_does_not_come_from_itself() -> None:
    sql = "select * from db.s.raw where id > (select max(id) from db.s.a)"
    found = _lineage(_asset("model.a", sql, "id amount status", materialized="incremental"), RAW)
    assert found.problems == ()
    assert {edge.parent for edge in found.edges} == {"table.raw"}
    merged = "select * from db.s.raw union all select * from db.s.a"
    assert _lineage(_asset("model.a", merged), RAW).problems == ()


def test_an_ephemeral_model_is_a_parent_of_its_own() -> None:
    inner = "select id, amount as price from db.s.raw where status = 'x'"
    outer = f"with __dbt__cte__e as ({inner}) select id, price + 1 as price from __dbt__cte__e"
    found = _lineage(
        _asset("model.e", inner, materialized="ephemeral"),
        _asset("model.a", outer),
        RAW,
        parents={"model.a": ("model.e",)},
    )
    assert _into(found, "model.a") == [
        "model.e.id -> id copied",
        "model.e.price -> price computed",
    ]
    assert "table.raw.status ->  filtered" in _into(found, "model.e")


def test_an_ephemeral_model_that_the_catalog_lacks_is_read_as_a_cte() -> None:
    sql = "with __dbt__cte__e as (select id as k from db.s.raw) select k from __dbt__cte__e"
    assert _into(_lineage(_asset("model.a", sql), RAW), "model.a") == ["table.raw.id -> k renamed"]


def test_of_two_relations_of_one_name_the_parent_counts() -> None:
    one, other = _asset("table.p1", columns="k"), _asset("table.p2", columns="k")
    twins = [
        Asset(one.id, "table", "p", identifier="p", columns=one.columns, schema="x"),
        Asset(other.id, "table", "p", identifier="p", columns=other.columns, schema="y"),
    ]
    found = _lineage(
        _asset("model.a", "select k from p"), *twins, parents={"model.a": ("table.p2",)}
    )
    assert _into(found, "model.a") == ["table.p2.k -> k copied"]


def test_a_star_over_a_table_without_known_columns_is_a_problem() -> None:
    found = _lineage(
        _asset("model.a", "select *, 1 as one from db.s.bare"),
        _asset("model.b", "select one, other from db.s.a"),
        _asset("table.bare"),
    )
    assert _problems(found) == [
        ("model.a", 'a `*` stands for the columns of "bare", which are not known'),
        ("model.b", 'column "other" is not among the columns of model.a that are known'),
    ]
    assert _into(found, "model.a") == []
    assert _into(found, "model.b") == [
        "model.a.one -> one copied",
        "model.a.other -> other copied",
    ]


def test_a_column_that_the_documentation_lacks_is_claimed_and_said() -> None:
    found = _lineage(_asset("model.a", "select id, extra from db.s.raw"), RAW)
    assert "table.raw.extra -> extra copied" in _into(found, "model.a")
    assert _problems(found) == [
        ("model.a", 'column "extra" is not among the columns of table.raw that are known')
    ]


def test_columns_of_a_pivot_are_taken_from_the_catalog() -> None:
    sql = "pivot db.s.raw on status using sum(amount) group by id"
    found = _lineage(_asset("model.a", sql, "id paid refunded"), RAW)
    assert found.problems == ()
    assert found.columns["model.a"] == ("id", "paid", "refunded")
    assert "table.raw.amount -> refunded aggregated" in _into(found, "model.a")


def test_a_column_on_record_that_the_sql_does_not_yield_is_a_problem() -> None:
    found = _lineage(_asset("model.a", "select id from db.s.raw", "id since"), RAW)
    assert _problems(found) == [("model.a", 'its SQL does not say where column "since" comes from')]


def test_what_cannot_be_read_spoils_nothing_else() -> None:
    found = _lineage(
        _asset("model.broken", "select id from (", "id"),
        _asset("model.python", None, path="models/python.py"),
        _asset("model.uncompiled", None),
        _asset("model.half", "select id, nope from db.s.broken"),
        _asset("model.good", "select id from db.s.raw"),
        RAW,
    )
    messages = dict(_problems(found))
    assert messages["model.broken"].startswith("its SQL cannot be parsed at line 1")
    assert messages["model.python"] == "it is written in Python, which is not read"
    assert messages["model.uncompiled"].startswith("it has no compiled SQL: run")
    assert "nope" in messages["model.half"]
    assert "model.broken.id -> id copied" in _into(found, "model.half")
    assert _into(found, "model.good") == ["table.raw.id -> id copied"]
    assert "model.broken" not in found.columns


@pytest.mark.parametrize("depth", [300, 3000, 50_000])
def test_deep_nesting_is_a_problem_and_no_crash(depth: int) -> None:
    for sql in (
        f"select {'(' * depth}id{')' * depth} as id from db.s.raw",
        f"select * from {'(' * depth}select id from db.s.raw{')' * depth}",
        f"select {'not ' * depth}id as id from db.s.raw",
    ):
        found = _lineage(_asset("model.a", sql), RAW)
        assert found.problems or _into(found, "model.a")


def test_long_chains_are_no_deep_nesting() -> None:
    many = 3000
    added = " + ".join(["amount"] * many)
    both = " and ".join(["id = 1"] * many)
    united = " union all ".join(["select id from db.s.raw"] * many)
    steps = ", ".join(
        f"c{number} as (select id from {f'c{number - 1}' if number else 'db.s.raw'})"
        for number in range(many)
    )
    found = _lineage(
        _asset("model.a", f"select {added} as z from db.s.raw where {both}"),
        _asset("model.b", united),
        _asset("model.c", f"with {steps} select id from c{many - 1}"),
        RAW,
    )
    assert found.problems == ()
    assert [len(_into(found, key)) for key in ("model.a", "model.b", "model.c")] == [2, 1, 1]


def test_a_cte_that_is_called_as_a_model_is_not_that_model() -> None:
    sql = "with orders as (select * from db.s.raw), raw as (select * from orders) select * from raw"
    found = _lineage(
        _asset("model.orders", "select * from db.s.customers"),
        _asset("model.customers", sql),
        RAW,
    )
    assert found.problems == ()
    assert found.columns["model.orders"] == ("id", "amount", "status")


def test_models_that_read_each_other_come_to_an_end() -> None:
    found = _lineage(
        _asset("model.a", "select x from db.s.b"), _asset("model.b", "select x from db.s.a")
    )
    assert _into(found, "model.a") == ["model.b.x -> x copied"]
    assert _into(found, "model.b") == ["model.a.x -> x copied"]


def test_strange_names() -> None:
    name, column = 'ta"b.le <x> \u202e', 'co"l. umn/ä'
    raw = Asset("table.odd", "table", name, "db", "s", name, columns=(Column(column),))
    quoted = [part.replace('"', '""') for part in (name, column)]
    found = _lineage(_asset("model.a", f'select "{quoted[1]}" from "db"."s"."{quoted[0]}"'), raw)
    assert found.problems == ()
    assert found.edges == (ColumnEdge("table.odd", column, "model.a", column, "copied"),)


def _test(name: str, column: str | None, sql: str | None = None, **arguments: object) -> Asset:
    info = TestInfo(name, "model.a", column, "error", arguments)
    return Asset(f"test.{name}", "test", name, compiled_code=sql, test=info)


MODEL = _asset("model.a", "select id, amount from db.s.raw")


def test_built_in_tests_need_no_sql() -> None:
    tests = [
        _test("unique", "ID"),
        _test("not_null", "id"),
        _test("accepted_values", "amount", values=[1]),
        _test("relationships", "id", to="ref('other')", field="key"),
    ]
    found = _lineage(
        *tests,
        MODEL,
        RAW,
        _asset("model.other", "select id as key from db.s.raw"),
        parents={"test.relationships": ("model.a", "model.other")},
    )
    assert found.read == 2
    assert found.problems == ()
    assert _into(found, "test.unique") == ["model.a.id ->  filtered"]
    assert _into(found, "test.accepted_values") == ["model.a.amount ->  filtered"]
    assert _into(found, "test.relationships") == [
        "model.a.id ->  filtered",
        "model.other.key ->  filtered",
    ]


def test_other_tests_read_what_their_sql_names() -> None:
    singular = _test("singular", None, "select * from db.s.a where amount < 0")
    with_where = _test(
        "unique", "id", "select id from (select * from db.s.a where amount > 1) dbt_subquery"
    )
    found = _lineage(singular, with_where, MODEL, RAW)
    assert _into(found, "test.singular") == ["model.a.amount ->  filtered"]
    assert _into(found, "test.unique") == [
        "model.a.amount ->  filtered",
        "model.a.id ->  filtered",
    ]


def test_a_test_without_sql_and_without_a_column_is_a_problem() -> None:
    found = _lineage(_test("singular", None), _test("mine", "amount"), MODEL, RAW)
    assert [problem.asset for problem in found.problems] == ["test.singular"]
    assert _into(found, "test.mine") == ["model.a.amount ->  filtered"]


def _snapshot(info: SnapshotInfo) -> ColumnLineage:
    return _lineage(_asset("snapshot.s", "select * from db.s.raw", snapshot=info), RAW)


def test_a_snapshot_by_timestamp() -> None:
    found = _snapshot(SnapshotInfo(("id",), "timestamp", updated_at="amount"))
    assert found.columns["snapshot.s"][-4:] == (
        "dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to",
    )  # fmt: skip
    assert _into(found, "snapshot.s") == [
        "table.raw.amount ->  filtered",
        "table.raw.id ->  filtered",
        "table.raw.amount -> amount copied",
        "table.raw.amount -> dbt_scd_id computed",
        "table.raw.id -> dbt_scd_id computed",
        "table.raw.amount -> dbt_updated_at renamed",
        "table.raw.amount -> dbt_valid_from renamed",
        "table.raw.amount -> dbt_valid_to computed",
        "table.raw.id -> id copied",
        "table.raw.status -> status copied",
    ]


def test_a_snapshot_by_check_with_other_names() -> None:
    found = _snapshot(
        SnapshotInfo(
            ("id", "upper(status)"),
            "check",
            check_cols=("amount",),
            column_names={"dbt_valid_from": "since", "dbt_is_deleted": "gone"},
            marks_deleted=True,
        )
    )
    lines = _into(found, "snapshot.s")
    assert "table.raw.amount -> since computed" in lines
    assert "table.raw.status -> dbt_scd_id computed" in lines
    assert "table.raw.id -> gone computed" in lines
    assert "table.raw.status ->  filtered" in lines
    every = _snapshot(SnapshotInfo(("id",), "check", check_cols="all"))
    assert "table.raw.status -> dbt_valid_from computed" in _into(every, "snapshot.s")


def test_raw_tables_come_from_the_fields_of_their_resource() -> None:
    assert field_of([], "id") == "id"
    assert field_of(["lines", "taxes"], "rate") == "lines[].taxes[].rate"
    resource = Asset(
        "resource.shop.orders",
        "resource",
        "orders",
        columns=(Column("id"), Column("lines[].sku"), Column("lines[].taxes[].rate")),
    )
    root = _asset("table.orders", columns="id _dlt_id _dlt_load_id made_up")
    lines = _asset(
        "table.orders__lines",
        columns="sku _dlt_parent_id _dlt_root_id _dlt_list_idx _dlt_id",
        parent_table="table.orders",
    )
    taxes = _asset(
        "table.orders__lines__taxes",
        columns="rate _dlt_parent_id _dlt_root_id _dlt_id",
        parent_table="table.orders__lines",
    )
    found = _lineage(
        resource,
        root,
        lines,
        taxes,
        parents={
            "table.orders": (resource.id,),
            "table.orders__lines": ("table.orders",),
            "table.orders__lines__taxes": ("table.orders__lines",),
        },
    )
    assert found.problems == ()
    assert _into(found, "table.orders") == ["resource.shop.orders.id -> id copied"]
    assert _into(found, "table.orders__lines") == [
        "table.orders._dlt_id -> _dlt_parent_id renamed",
        "table.orders._dlt_id -> _dlt_root_id renamed",
        "resource.shop.orders.lines[].sku -> sku copied",
    ]
    assert _into(found, "table.orders__lines__taxes") == [
        "table.orders__lines._dlt_id -> _dlt_parent_id renamed",
        "table.orders._dlt_id -> _dlt_root_id renamed",
        "resource.shop.orders.lines[].taxes[].rate -> rate copied",
    ]


def test_edges_are_sorted_and_come_once() -> None:
    found = _lineage(MODEL, RAW, _asset("model.b", "select amount + amount as id from db.s.a"))
    keys = [
        (edge.child, edge.child_column, edge.parent, edge.parent_column) for edge in found.edges
    ]
    assert keys == sorted(keys)
    assert len(set(found.edges)) == len(found.edges)
