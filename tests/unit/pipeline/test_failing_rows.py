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
from headrace.pipeline.building.failing_rows import with_failing_rows
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
    stand_in(monkeypatch, "building.failing_rows.current", lambda _: CATALOG)
    return found


def failed(id_: str) -> NodeReport:
    return NodeReport(
        unique_id=id_, name="t", label="t", resource_type="test", status="fail", failures=9
    )


def stored(alias: str, column_name: str | None = None, *, schema: str = "audit") -> Any:
    return SimpleNamespace(
        name=alias, relation_name="is stored", database="warehouse", schema=schema, alias=alias,
        column_name=column_name, depends_on=SimpleNamespace(nodes=["model.p.orders"]),
    )  # fmt: skip


def rows(resolved: Resolved, test: Any) -> tuple[dict[str, str | None], ...] | None:
    graph = SimpleNamespace(nodes={"test.p.t": test})
    (found,) = with_failing_rows(resolved, resolved.target, graph, [failed("test.p.t")])
    return found.detail.rows if found.detail else None


def test_columns_without_personal_data_are_shown(resolved: Resolved) -> None:
    found = rows(resolved, stored("t"))
    assert found is not None
    assert len(found) == 9
    assert found[1] == {"id": "1", "status": "a\nb", "email": "***", "made": "***"}


@pytest.mark.parametrize(("tested", "shown"), [("email", "***"), ("status", "x@y")])
def test_column_that_a_test_renames(resolved: Resolved, tested: str, shown: str) -> None:
    assert rows(resolved, stored("u", tested)) == ({"unique_field": shown, "n_records": "2"},)


def of_dbt(
    resolved: Resolved, name: str, column: str | None, compiled: str, **more: Any
) -> NodeReport:
    """What is told of one of dbt's own tests of the orders, whose key is the id."""
    path = str(resolved.target.location)
    with duckdb.connect(path) as connection:
        connection.execute("create schema if not exists marts")
        connection.execute(
            "create or replace table marts.orders as select range as id, "
            "case when range < 4 then 'lost' when range < 9 then 'odd' when range < 12 then null "
            "else 'good' end as status, range || '@y' as email, 7 as of_no_interest from range(99)"
        )
    model = SimpleNamespace(
        unique_id="model.p.orders", database="warehouse", schema="marts", alias="orders",
        primary_key=["id"],
    )  # fmt: skip
    test = SimpleNamespace(
        name="t", relation_name=None, compiled_code=compiled, column_name=column,
        test_metadata=SimpleNamespace(name=name, namespace=None), attached_node="model.p.orders",
        depends_on=SimpleNamespace(nodes=["model.p.orders"]), config=SimpleNamespace(**more),
    )  # fmt: skip
    graph = SimpleNamespace(nodes={"test.p.t": test, "model.p.orders": model})
    node = failed("test.p.t").model_copy(
        update={"failures": 2, "message": "broken by 2 rows; the query that finds them: q.sql"}
    )
    (found,) = with_failing_rows(resolved, resolved.target, graph, [node])
    return found


ACCEPTED = (
    "select status as value_field, count(*) as n_records from warehouse.marts.orders "
    "where status not in ('good') group by status;"
)


def test_rows_are_counted_not_values_and_have_their_key(resolved: Resolved) -> None:
    found = of_dbt(resolved, "accepted_values", "status", ACCEPTED)
    assert found.failures == 9
    assert found.message == "broken by 9 rows with 2 values; the query that finds them: q.sql"
    detail = found.detail
    assert detail is not None
    assert detail.rows_total == 9
    assert detail.rows[0] == {"id": "0", "status": "lost"}
    assert detail.rows[-1] == {"id": "8", "status": "odd"}
    with duckdb.connect(str(resolved.target.location)) as connection:
        connection.execute("attach ':memory:' as other")
        query = detail.query.replace('"warehouse".', "").replace("warehouse.", "")
        assert len(connection.execute(query).fetchall()) == 9
    assert detail.text.splitlines()[-1] == "and 4 more"


def test_rows_of_a_part_of_the_table(resolved: Resolved) -> None:
    found = of_dbt(resolved, "not_null", "status", "select status from x", where="id > 9")
    assert found.detail is not None
    assert [row["id"] for row in found.detail.rows] == ["10", "11"]
    assert found.message == "broken by 2 rows; the query that finds them: q.sql"


def test_personal_column_that_is_tested_is_masked_and_the_key_is_not(resolved: Resolved) -> None:
    compiled = "select '3@y' as unique_field, 2 as n_records"
    found = of_dbt(resolved, "unique", "email", compiled)
    assert found.detail is not None
    assert found.detail.rows == ({"id": "3", "email": "***"},)


@pytest.mark.parametrize("compiled", ["select * from nowhere", "", "select ;; x"])
def test_rows_that_cannot_be_read_leave_the_result_as_it_is(
    resolved: Resolved, compiled: str
) -> None:
    found = of_dbt(resolved, "of_my_own", "status", compiled)
    assert found.detail is None
    assert found.failures == 2


def test_before_the_first_catalog_all_is_masked(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: Resolved) -> Catalog:
        raise CatalogError("there is none")

    stand_in(monkeypatch, "building.failing_rows.current", none)
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


ORDERS_TABLE = "warehouse.marts.orders"


@pytest.mark.parametrize(
    ("name", "column", "sql", "said"),
    [
        ("expect_column_mean_to_be_between", "id",
         f"select avg(id) as value, null::int as at_least, 40 as at_most from {ORDERS_TABLE}",
         "the mean of id is 49.0, expected at most 40"),
        ("expect_column_max_to_be_between", "email",
         f"select max(email) as value, 'm' as at_least, 'z' as at_most from {ORDERS_TABLE}",
         "the greatest value of email is ***, expected m to z"),
        ("expect_table_row_count_to_equal", None,
         "select 'lost' as status, 4 as number_of_rows, 9 as at_least, 9 as at_most",
         "the number of rows of status lost is 4, expected 9"),
        ("equal_rowcount", None, "select 12 as number_of_rows, 1 as expected_rows",
         "the number of rows is 12, the other table has 1 row"),
        ("expect_column_to_exist", "gone",
         "select 'gone' as column_name, 'missing' as problem", "gone: missing"),
        ("expect_row_values_to_have_data_for_every_n_datepart", None,
         "select '2024-01-02' as period_before, '2024-01-05' as next_period",
         "no data between *** and ***"),
        ("expect_column_values_to_be_within_n_moving_stdevs", None,
         "select 'd' as period, 9 as number_of_rows, 4.5 as deviations",
         "the number of rows of *** (9) is 4.5 deviations off its usual movement"),
        ("not_null_proportion", "status", "select null::double as proportion, 0.5 as at_least",
         "the proportion of status is missing, expected at least 0.5"),
    ],
)  # fmt: skip
def test_what_was_measured_is_told_in_words(
    resolved: Resolved, name: str, column: str | None, sql: str, said: str
) -> None:
    found = of_dbt(resolved, name, column, sql)
    assert found.message == f"{said}; the query that finds them: q.sql".replace(
        ";", " (1 more);" if found.detail and len(found.detail.rows) > 1 else ";"
    )


def test_rows_of_a_generic_test_begin_with_the_key_and_what_it_is_about(
    resolved: Resolved,
) -> None:
    sql = f"select of_no_interest, email, status, id from {ORDERS_TABLE} where id < 2"
    found = of_dbt(resolved, "expect_column_values_to_be_in_set", "status", sql)
    assert found.detail is not None
    assert tuple(found.detail.rows[0].items()) == (
        ("id", "0"), ("status", "lost"), ("of_no_interest", "***"), ("email", "***"),
    )  # fmt: skip


def test_column_of_the_table_is_not_taken_for_what_a_test_computes(resolved: Resolved) -> None:
    """What is called like a computed column, and is in the table, is judged as its column."""
    found = of_dbt(resolved, "t", "email", "select 'a@b' as value, 3 as deviations")
    assert found.detail is not None
    assert found.detail.rows == ({"value": "***", "deviations": "3"},)
