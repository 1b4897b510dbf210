"""The compiled models of a real project, against sqlglot's own lineage."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlglot import exp, parse_one
from sqlglot.lineage import lineage
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope
from sqlglot.schema import MappingSchema

from headrace.catalog import Asset, Catalog, Column
from headrace.lineage.columns import ColumnLineage, column_lineage

_FIXTURE = Path(__file__).parents[3] / "fixtures" / "lineage" / "project.json"

Flow = tuple[str, str, str, str]


@pytest.fixture(scope="module")
def project() -> list[dict[str, Any]]:
    """The assets of the project."""
    found: list[dict[str, Any]] = json.loads(_FIXTURE.read_text("utf-8"))["assets"]
    return found


def _catalog(project: list[dict[str, Any]], *, columns: bool = True) -> Catalog:
    assets = {}
    for one in project:
        known = one["columns"] if columns or not one["sql"] else []
        assets[one["id"]] = Asset(
            one["id"],
            one["kind"],
            one["name"],
            database="db",
            schema=one["schema"],
            identifier=one["identifier"],
            columns=tuple(Column(*line.split(" ", 1)) for line in known),
            compiled_code=one["sql"] or None,
        )
    return Catalog(assets, {one["id"]: tuple(one["parents"]) for one in project})


@pytest.fixture(scope="module")
def ours(project: list[dict[str, Any]]) -> ColumnLineage:
    """What Headrace says."""
    return column_lineage(_catalog(project), dialect="duckdb")


@pytest.fixture(scope="module")
def theirs(project: list[dict[str, Any]]) -> set[Flow]:
    """What sqlglot says: all columns that stand in what a column is made from."""
    tables: dict[str, Any] = {"db": {}}
    ids = {}
    for one in project:
        columns = dict(line.split(" ", 1) for line in one["columns"])
        tables["db"].setdefault(one["schema"], {})[one["identifier"]] = columns
        ids[one["schema"], one["identifier"]] = one["id"]
    schema = MappingSchema(tables, dialect="duckdb")
    found: set[Flow] = set()
    for one in project:
        if one["sql"]:
            tree = qualify(
                parse_one(one["sql"], dialect="duckdb"),
                schema=schema,
                dialect="duckdb",
                validate_qualify_columns=False,
            )
            roots = lineage(
                None, tree, schema=schema, scope=build_scope(tree), trim_selects=False, copy=False
            )
            found |= {
                (ids[step.expression.db, step.expression.name], _last(step.name), one["id"], column)
                for column, root in roots.items()
                for step in root.walk()
                if isinstance(step.expression, exp.Table)
            }
    return found


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1].strip('"')


def test_every_model_is_read_without_a_problem(
    ours: ColumnLineage, project: list[dict[str, Any]]
) -> None:
    assert ours.problems == ()
    assert ours.read == sum(bool(one["sql"]) for one in project) > 40


def test_the_columns_are_those_that_the_warehouse_has(
    project: list[dict[str, Any]], ours: ColumnLineage
) -> None:
    recorded = {
        one["id"]: tuple(line.split(" ", 1)[0] for line in one["columns"])
        for one in project
        if one["sql"]
    }
    assert ours.columns == recorded
    blind = column_lineage(_catalog(project, columns=False), dialect="duckdb")
    assert blind.columns == recorded
    assert blind.edges == ours.edges


def test_all_that_sqlglot_finds_is_claimed_for_the_same_column(
    ours: ColumnLineage, theirs: set[Flow]
) -> None:
    claimed = {
        (edge.parent, edge.parent_column, edge.child, edge.child_column) for edge in ours.edges
    }
    assert len(theirs) > 400
    assert theirs - claimed == set()


def test_no_value_flows_that_sqlglot_does_not_see(ours: ColumnLineage, theirs: set[Flow]) -> None:
    flows = {
        (edge.parent, edge.parent_column, edge.child, edge.child_column)
        for edge in ours.edges
        if edge.is_direct and edge.parent_column
    }
    assert flows - theirs == set()
