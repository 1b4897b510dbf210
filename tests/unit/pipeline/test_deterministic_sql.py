"""What DuckDB's parser tells of a query's result, and where it is not known."""

from collections.abc import Iterator

import pytest

from headrace.pipeline.building.deterministic_sql import DeterministicSql


@pytest.fixture(scope="module")
def sql() -> Iterator[DeterministicSql]:
    with DeterministicSql.opened("Warehouse") as found:
        yield found


@pytest.mark.parametrize(
    "query",
    [
        'select * from "warehouse"."marts"."orders"',
        "select * from MARTS.Orders;",
        "with orders as (select * from marts.orders) select count(*) from orders",
        "select sum(a) over (order by b), coalesce(a, 0), if(a, 1, 2), a || 'x' from marts.orders",
        "select * from marts.orders where d < current_date and i in (select i from marts.other)",
        "select list_sum([x for x in xs]), unnest(ys), regexp_matches(a, 'b') from marts.orders",
        "select * from range(3), generate_series(1, 2) as series (number), unnest([1])",
        "with recursive n as (select 1 as i union all select i + 1 from n where i < 9) from n",
        "select a.now, a.random from marts.orders as a",
        "values (1), (2)",
        "select " + " + ".join(["1"] * 300),
    ],
)
def test_what_is_known(sql: DeterministicSql, query: str) -> None:
    assert sql.depends_only_on(query, {("marts", "orders"), ("marts", "other")})


@pytest.mark.parametrize(
    "query",
    [
        "select now()",
        "select current_timestamp from marts.orders",
        "select localtime",
        "select ago(interval 1 day)",
        "select age(timestamp '2020-01-01')",
        "select random() from marts.orders",
        "select uuid()",
        "select nextval('s')",
        "select getvariable('x')",
        "select current_setting('TimeZone')",
        "select * from marts.orders tablesample 10%",
        "select * from marts.orders using sample 10 rows",
        "select * from marts.others",
        "select * from orders",
        "select * from elsewhere.marts.orders",
        "select * from information_schema.tables",
        "select * from 'orders.parquet'",
        "select * from read_csv('orders.csv')",
        "select * from query_table('marts.orders')",
        "select own_function(id) from marts.orders",
        "select (select max(now()) from marts.orders)",
        "select * from (show tables)",
        "pivot marts.orders on a using sum(b)",
        "create table x as select 1",
        "select {{ jinja }}",
        "",
        "select " + "abs(" * 900 + "random()" + ")" * 900,
    ],
)
def test_what_is_not_known(sql: DeterministicSql, query: str) -> None:
    assert not sql.depends_only_on(query, {("marts", "orders")})


COMPLETE = "select load_id from warehouse.raw._dlt_loads where status = 0"
UPPER = COMPLETE.replace("raw", "RAW")


@pytest.mark.parametrize(
    "query",
    [
        f"select * from raw.orders where _dlt_load_id in ({COMPLETE})",
        (
            f"with done as ({COMPLETE}) select * from raw.orders as o "
            "where o._dlt_load_id in (select done.load_id from Done)"
        ),
        (
            f"with a as (with done as ({UPPER}) select * from raw.orders where "
            "_dlt_load_id in (select load_id from done)) select * from a join a as b using (id)"
        ),
        (
            f"with done as ({COMPLETE}) select * from raw.a where _dlt_load_id in "
            "(select load_id from done) union all select * from raw.b where _dlt_load_id in "
            f"(select load_id from done) and _dlt_load_id in ({COMPLETE})"
        ),
        "select * from raw.orders",
    ],
)
def test_incomplete_loads_are_left_out(sql: DeterministicSql, query: str) -> None:
    assert sql.leaves_out_incomplete(query, ("raw", "_dlt_loads"))


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from raw._dlt_loads",
        f"select * from raw.orders where id in ({COMPLETE})",
        f"select * from raw.orders where _dlt_load_id > any ({COMPLETE})",
        f"select * from raw.orders where _dlt_load_id = ({COMPLETE} limit 1)",
        f"select * from raw.orders where _dlt_load_id in ({COMPLETE} limit 1)",
        f"select * from raw.orders where _dlt_load_id in ({COMPLETE.replace('0', '1')})",
        (
            f"select * from raw.orders where _dlt_load_id in ({COMPLETE}) "
            "and at > (select max(inserted_at) from raw._dlt_loads)"
        ),
        (
            f"with done as ({COMPLETE}) select *, (select count(*) from done) from raw.orders "
            "where _dlt_load_id in (select load_id from done)"
        ),
        f"with done as ({COMPLETE}) select * from raw.orders join done on true",
        (
            f"with done as ({COMPLETE}), other as (with done as (select 1 as load_id) select * "
            "from raw.orders where _dlt_load_id in (select load_id from done)) select * from other"
        ),
        (
            "with done as (select load_id from raw._dlt_loads) select * from raw.orders "
            "where _dlt_load_id in (select load_id from done)"
        ),
        "select * from raw.orders where",
    ],
)
def test_other_uses_of_loads_are_told(sql: DeterministicSql, query: str) -> None:
    assert not sql.leaves_out_incomplete(query, ("raw", "_dlt_loads"))
