"""The rows that failed tests stored, and which of their columns are shown."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from step_lab import project, stand_in

from headrace.catalog import Catalog
from headrace.catalog.model import Asset, Column
from headrace.errors import CatalogError
from headrace.pipeline.failing_rows import with_failing_rows
from headrace.pipeline.reports import NodeReport
from headrace.settings import Resolved

ORDERS = Asset(
    id="model.p.orders",
    kind="model",
    name="orders",
    schema="marts",
    identifier="orders",
    columns=(Column("id"), Column("status"), Column("email", pii="email")),
)
CATALOG = Catalog({ORDERS.id: ORDERS}, {ORDERS.id: ()})


@pytest.fixture
def resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resolved:
    found = project(tmp_path)
    path = Path(found.target.location)
    path.parent.mkdir(parents=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema audit")
        connection.execute(
            "create table audit.t as select range as id, 'a\nb' as status, 'x@y' as email, "
            "repeat('z', 99) as made from range(9)"
        )
        connection.execute("create table audit.u as select 'x@y' as unique_field, 2 as n_records")
    stand_in(monkeypatch, "failing_rows.current", lambda _: CATALOG)
    return found


def failed(id_: str) -> NodeReport:
    return NodeReport(
        unique_id=id_, name="t", label="t", resource_type="test", status="fail", failures=9
    )


def stored(alias: str, column_name: str | None = None, *, schema: str = "audit") -> Any:
    return SimpleNamespace(
        relation_name="is stored", database="warehouse", schema=schema, alias=alias,
        column_name=column_name, depends_on=SimpleNamespace(nodes=["model.p.orders"]),
    )  # fmt: skip


def rows(resolved: Resolved, test: Any) -> tuple[dict[str, str | None], ...] | None:
    graph = SimpleNamespace(nodes={"test.p.t": test})
    (found,) = with_failing_rows(resolved, resolved.target, graph, [failed("test.p.t")])
    return found.detail.rows if found.detail else None


def test_columns_without_personal_data_are_shown(resolved: Resolved) -> None:
    found = rows(resolved, stored("t"))
    assert found is not None
    assert len(found) == 5
    assert found[1] == {"id": "1", "status": "a\nb", "email": "***", "made": "***"}


@pytest.mark.parametrize(("tested", "shown"), [("email", "***"), ("status", "x@y")])
def test_column_that_a_test_renames(resolved: Resolved, tested: str, shown: str) -> None:
    assert rows(resolved, stored("u", tested)) == ({"unique_field": shown, "n_records": "2"},)


def test_before_the_first_catalog_all_is_masked(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: Resolved) -> Catalog:
        raise CatalogError("there is none")

    stand_in(monkeypatch, "failing_rows.current", none)
    found = rows(resolved, stored("t"))
    assert found is not None
    assert set(found[0].values()) == {"***"}


def test_what_is_not_stored_has_no_rows(resolved: Resolved) -> None:
    test = stored("t")
    test.relation_name = None
    assert rows(resolved, test) is None
    assert rows(resolved, stored("gone")) is None  # it is logged


def test_rows_are_shown_in_columns(resolved: Resolved) -> None:
    graph = SimpleNamespace(nodes={"test.p.t": stored("t")})
    (found,) = with_failing_rows(resolved, resolved.target, graph, [failed("test.p.t")])
    assert found.detail is not None
    assert found.detail.text.splitlines()[:3] == [
        "the rows are in audit.t of the warehouse",
        "id  status  email  made",
        "0   a b     ***    ***",
    ]
