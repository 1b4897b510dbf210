"""What breaks if a column or a node goes, by SQL that really reads it; DuckDB is the judge."""

from collections.abc import Iterator

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
from headrace.catalog.model import TestInfo as Checks
from headrace.lineage.columns import column_lineage
from headrace.lineage.find import NodeRef
from headrace.lineage.impact import impact

MODELS = {
    "stg": ("raw", "select id, amount as total, status, note from db.s.raw"),
    "star": ("stg", "select * from db.s.stg"),
    "after_star": ("star", "select total * 2 as twice from db.s.star"),
    "not_star": ("star", "select id from db.s.star"),
    "less": ("stg", "select * exclude (total) from db.s.stg"),
    "unused": ("stg", "with a as (select id, total from db.s.stg) select id from a"),
    "other": (
        "stg raw",
        "select r.note as remark from db.s.raw as r join db.s.stg as s using (id)",
    ),
    "both": ("star raw_2", "select * from db.s.star union all select * from db.s.raw_2"),
    "chosen": ("stg", "select id from db.s.stg where status <> 'x'"),
}


def _catalog(problems: tuple[ColumnLineageProblem, ...] = ()) -> Catalog:
    raw = ("id", "amount", "status", "note")
    assets = {
        "raw": _relation("raw", "table", raw),
        "raw_2": _relation("raw_2", "table", ("id", "total", "status", "note")),
    }
    parents = {"raw": "", "raw_2": ""}
    columns = {"stg": ("id", "total", "status", "note"), "star": ("id", "total", "status", "note")}
    for name, (reads, sql) in MODELS.items():
        assets[name] = _relation(name, "model", columns.get(name, ()), sql=sql)
        parents[name] = reads
    assets["e"] = Asset(id="e", kind="exposure", name="e", owners=("Finance",))
    parents["e"] = "after_star"
    for key, on, column, sql in (
        ("t_total", "stg", "total", "select total from db.s.stg where total is null"),
        ("t_id", "star", "id", "select id from db.s.star where id is null"),
    ):
        checks = Checks("not_null", on, column, "error")
        assets[key] = Asset(id=key, kind="test", name=key, compiled_code=sql, test=checks)
        parents[key] = on
    assets["u"] = Asset(
        id="u", kind="unit_test", name="u", test=Checks("unit", "after_star", None, "error")
    )
    parents["u"] = "after_star"
    catalog = Catalog(assets, {key: tuple(sorted(text.split())) for key, text in parents.items()})
    found = column_lineage(catalog, dialect="duckdb")
    assert found.problems == ()
    return Catalog(catalog.assets, catalog.parents, found.edges, problems)


def _relation(name: str, kind: str, columns: tuple[str, ...], sql: str | None = None) -> Asset:
    return Asset(
        id=name,
        kind=kind,  # type: ignore[arg-type]
        name=name,
        database="db",
        schema="s",
        identifier=name,
        columns=tuple(Column(column) for column in columns),
        compiled_code=sql,
        owners=("Analytics",) if kind == "model" else (),
    )


@pytest.fixture
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("attach ':memory:' as db; create schema db.s")
        yield connection


def _fails(connection: duckdb.DuckDBPyConnection, gone: str, column: str) -> set[str]:
    """Models that DuckDB cannot build when a relation lost a column; what reads them is skipped."""
    connection.execute(
        "create or replace table db.s.raw as "
        "select 1 as id, 5 as amount, 'a' as status, 'b' as note"
    )
    connection.execute(
        "create or replace table db.s.raw_2 as "
        "select id, amount as total, status, note from db.s.raw"
    )
    failed: set[str] = set()
    skipped: set[str] = set()
    for name, (reads, sql) in {"raw": ("", "from db.s.raw"), **MODELS}.items():
        if set(reads.split()) & (failed | skipped):
            skipped.add(name)
            continue
        try:
            connection.execute(f"create or replace table db.s.{name} as {sql}")
        except duckdb.Error:
            failed.add(name)
        if name == gone:
            connection.execute(f"alter table db.s.{name} drop column {column}")
    return failed


@pytest.mark.parametrize(
    ("gone", "column"),
    [
        *(("raw", column) for column in ("id", "amount", "status", "note")),
        *((name, column) for name in ("stg", "star") for column in ("id", "total", "status")),
    ],
)
def test_each_model_that_duckdb_cannot_build_is_told(
    warehouse: duckdb.DuckDBPyConnection, gone: str, column: str
) -> None:
    failed = _fails(warehouse, gone, column)
    report = impact(_catalog(), NodeRef(gone, column))
    assert failed
    assert failed <= {item.id for item in report.breaks if item.kind == "model"}


def test_a_star_passes_a_column_on_to_who_names_it() -> None:
    report = impact(_catalog(), NodeRef("stg", "total"))
    why = {item.id: item.why for item in report.breaks}
    assert why == {
        "after_star": "its SQL names it",
        "both": "its set operation matches columns by position",
        "less": "its SQL names it, though nothing is made from it",
        "t_total": "it tests it",
        "u": "the model that it tests breaks",
        "unused": "its SQL names it, though nothing is made from it",
    }
    affected = {item.id for item in report.affected}
    assert "star" in affected  # it loses a column, and runs
    assert not {"not_star", "chosen", "other", "t_id"} & affected
    assert [item.id for item in report.exposures] == ["e"]
    assert {owner.owner: owner.assets for owner in report.owners}["Finance"] == ("e",)


def test_what_filters_affects_all_columns_below() -> None:
    report = impact(_catalog(), NodeRef("stg", "status"))
    chosen = next(item for item in report.breaks if item.id == "chosen")
    assert chosen.rows
    assert report.counts["breaks"] == len(report.breaks)


def test_a_node_that_goes_breaks_its_readers_and_reaches_all_below() -> None:
    report = impact(_catalog(), NodeRef("star"))
    assert {item.id for item in report.breaks} == {"after_star", "not_star", "both", "t_id", "u"}
    assert report.affected == ()
    assert report.counts["exposures"] == 1
    everything = impact(_catalog(), NodeRef("raw"))
    assert {item.id for item in everything.breaks} == {"stg", "other"}
    assert {item.distance for item in everything.affected} == {2, 3, 4}


def test_contracts_snapshots_and_unknown_sql_count_as_breaks() -> None:
    columns = (Column("x"),)
    assets = {
        "a": Asset(id="a", kind="model", name="a", columns=columns),
        "c": Asset(id="c", kind="model", name="c", columns=columns, contract=True,
                   compiled_code="select * from a"),
        "s": Asset(id="s", kind="snapshot", name="s", columns=columns,
                   compiled_code="select * from a",
                   snapshot=SnapshotInfo(unique_key=("X",), strategy="check", check_cols="all")),
        "z": Asset(id="z", kind="model", name="z"),
        "p": Asset(id="p", kind="model", name="p", compiled_code="pivot x on a"),
    }  # fmt: skip
    edges = tuple(ColumnEdge("a", "x", key, "x", "copied") for key in ("c", "s"))
    catalog = Catalog(
        assets,
        {key: () if key == "a" else ("a",) for key in assets},
        edges,
        (ColumnLineageProblem("p", "?"),),
    )
    report = impact(catalog, NodeRef("a", "x"))
    assert {item.id: item.why for item in report.breaks} == {
        "c": "its contract names x",
        "p": "its SQL names it",
        "s": "its snapshot settings name it",
        "z": "its SQL is not known",
    }
    assert [problem.asset for problem in report.problems] == ["p"]


def test_a_field_of_a_resource_goes_with_the_columns_it_is_loaded_into() -> None:
    assets = {
        "r": Asset(id="r", kind="resource", name="r", columns=(Column("lines[].x"),)),
        "t": Asset(id="t", kind="table", name="t", columns=(Column("x"),)),
        "m": Asset(id="m", kind="model", name="m", compiled_code="select x from t"),
    }
    edges = (
        ColumnEdge("r", "lines[].x", "t", "x", "renamed"),
        ColumnEdge("t", "x", "m", "x", "copied"),
    )
    catalog = Catalog(assets, {"r": (), "t": ("r",), "m": ("t",)}, edges)
    for place in (NodeRef("r", "lines[].x"), NodeRef("r")):
        report = impact(catalog, place)
        assert [item.id for item in report.breaks] == ["m"]
        assert [item.id for item in report.affected] == ["t"]
