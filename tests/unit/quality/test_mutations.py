"""Mutants of a select: which there are, that they are valid, and that no fixture is mutated."""

import duckdb
import pytest

from headrace.quality.strength.mutations import Mutant, mutants, rewritten


def changes(sql: str) -> dict[str, Mutant]:
    return {one.change: one for one in mutants(sql)}


@pytest.mark.parametrize(
    ("sql", "change", "part"),
    [
        (
            "select * from a left join b on a.x = b.x",
            "left join made an inner join",
            "INNER JOIN b",
        ),
        ("select * from a join b on a.x = b.x", "inner join made a left join", "LEFT JOIN b"),
        ("select * from a full join b using (x)", "full join made a left join", "LEFT JOIN b"),
        ("select * from a where x = 1", "`where` left out", "SELECT * FROM a"),
        ("select * from a where x and y", "right side of `and` left out", "WHERE x"),
        ("select * from a where x or y", "left side of `or` left out", "WHERE y"),
        ("select * from a where x <= 1", "<= made <", "x < 1"),
        ("select * from a where x <= 1", "1 made 1 + 1", "x <= 2"),
        ("select * from a where x between 1 and 2", "upper bound left out", "x >= 1"),
        ("select * from a where x in (1, 2)", "last value of the list left out", "x IN (1)"),
        ("select x from a where x is null", "`is` made `is not`", "NOT x IS NULL"),
        ("select x + y from a", "+ made -", "x - y"),
        ("select -(x + y) from a", "minus left out", "SELECT (x + y)"),
        ("select distinct x from a", "`distinct` left out", "SELECT x"),
        ("select count(distinct x) from a", "`distinct` of an aggregate left out", "COUNT(x)"),
        ("select x, y, sum(z) from a group by x, y", "grouped without y", 'ANY_VALUE(y) AS "y"'),
        ("select x, y, sum(z) from a group by 1, 2", "grouped without 2", "ANY_VALUE(y) AS y"),
        ("select sum(x) from a", "sum made max", "MAX(x)"),
        (
            "select count(*) filter (where x) from a",
            "`filter` of an aggregate left out",
            "COUNT(*) ",
        ),
        ("select coalesce(x, 0) from a", "`coalesce` left out", "SELECT x"),
        ("select case when x then 1 else 2 end from a", "`else` left out", "THEN 1 END"),
        ("select case when x then 1 else 2 end from a", "branch 1 left out", "SELECT 2"),
        ("select x from a union all select x from b", "`union all` made `union`", "UNION SELECT"),
        (
            "select x from a union select x from b",
            "last part of a union left out",
            "SELECT x FROM a",
        ),
        (
            "select x from a except select x from b",
            "sides of `except` exchanged",
            "FROM b EXCEPT SELECT x FROM a",
        ),
        (
            "select row_number() over (partition by x order by y) from a",
            "partitioned without x",
            "OVER (ORDER BY",
        ),
        (
            "select row_number() over (partition by x order by y) from a",
            "order of y reversed",
            "y DESC",
        ),
        ("select x from a order by y limit 1", "order of y reversed", "y DESC"),
        ("select min_by(x, y) from a", "min_by made max_by", "MAX("),
    ],
)
def test_each_kind_of_mutant(sql: str, change: str, part: str) -> None:
    mutant = changes(sql)[change]
    assert part in f"{mutant.sql} "
    assert mutant.diff


def test_an_equality_that_joins_is_not_turned_round() -> None:
    """Its opposite would give nearly all pairs of rows, for which nobody has the time."""
    found = changes("select * from a join b on a.x = b.x where a.y = 1")
    assert [name for name in found if name == "= made <>"] == ["= made <>"]
    assert "a.y <> 1" in found["= made <>"].sql


def test_mutants_of_one_query_are_the_same_with_other_tables_and_fixtures() -> None:
    """So a unit test, which runs the model on rows of its own, can run the same mutant."""
    model = "with orders as (select * from w.raw.orders) select sum(x) from orders where y > 1"
    unit = (
        "with __dbt__cte__orders as (select 1 as x where 1 > 0 union all select 2), "
        "orders as (select * from __dbt__cte__orders) select sum(x) from orders where y > 1"
    )
    assert [one.change for one in mutants(model)] == [one.change for one in mutants(unit)]


def test_what_the_optimizer_shows_to_be_the_same_is_equivalent() -> None:
    found = changes("select * from a where true and x = 1")
    assert found["left side of `and` left out"].is_equivalent
    assert not found["right side of `and` left out"].is_equivalent


def test_every_mutant_of_a_query_with_everything_can_be_run() -> None:
    sql = (
        "with t as (select i, i % 3 as g, case when i > 2 then i else 0 end as v "
        "from range(10) as r(i)), u as (select g, max(v) as m from t group by g having max(v) > 1) "
        "select t.i, coalesce(u.m, 0) - 1 as m, lag(t.v) over (partition by t.g order by t.i) as p "
        "from t left join u on t.g = u.g where t.i between 1 and 8 or t.g in (0, 1) "
        "union all select 0, 0, 0 order by 1 limit 5"
    )
    found = mutants(sql)
    assert len(found) > 15
    with duckdb.connect() as connection:
        for mutant in found:
            connection.execute(mutant.sql)


@pytest.mark.parametrize("sql", ["", "selec 1", "create table a (x int)", "select 1; select 2"])
def test_what_is_no_select_has_no_mutants(sql: str) -> None:
    assert mutants(sql) == []
    assert rewritten(sql) is None
