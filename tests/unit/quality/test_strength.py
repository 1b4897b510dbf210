"""Faults in a tiny warehouse: what its tests find, what they miss, what is proposed, and stops."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from headrace.quality.strength.measure import StrengthOptions, measure
from headrace.quality.strength.project import (
    DataTest,
    EnforcedContract,
    ModelUnderTest,
    ModelUnitTest,
    ProjectUnderTest,
    Raw,
)
from headrace.quality.strength.report import MutantResult, StrengthReport

pytestmark = pytest.mark.slow

CUSTOMER, ORDER = "source.p.raw.customers", "source.p.raw.orders"
STAGED, MART = "model.p.stg_orders", "model.p.orders"
STAGED_SQL = 'select * from "w"."raw"."orders" where amount > 0'
MART_SQL = (
    "select o.order_id, coalesce(c.name, 'nobody') as name, o.amount, o.state, o.at "
    'from "w"."staging"."stg_orders" as o left join "w"."raw"."customers" as c '
    "on o.customer_id = c.customer_id"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A warehouse as dbt leaves it: 40 orders of 10 customers, one of no customer."""
    path = tmp_path / "w.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"""
            create schema raw; create schema staging; create schema marts;
            create table raw.customers as
            select i as customer_id, 'c' || i as name from range(1, 11) as r(i);
            create table raw.orders as
            select i as order_id, 1 + i % 10 as customer_id, (10 + i)::decimal(9, 2) as amount,
                case when i % 4 = 0 then 'open' else 'paid' end as state,
                timestamp '2024-01-01' + i * interval 1 day as at
            from range(1, 41) as r(i);
            insert into raw.orders values
                (41, null, 5, 'paid', '2024-03-01'), (42, 1, -5, 'paid', '2024-03-02');
            create view staging.stg_orders as {STAGED_SQL};
            create table marts.orders as {MART_SQL};
        """)
    return path


def project(
    *tests: DataTest, units: tuple[ModelUnitTest, ...] = (), **mart: Any
) -> ProjectUnderTest:
    parents = frozenset({STAGED, CUSTOMER})
    return ProjectUnderTest(
        database="w",
        models=(
            ModelUnderTest(STAGED, "stg_orders", "models/stg_orders.sql",
                  ("w", "staging", "stg_orders"), STAGED_SQL, True, frozenset({ORDER})),
            ModelUnderTest(MART, "orders", "models/orders.sql", ("w", "marts", "orders"), MART_SQL,
                  False, parents, is_published=True, **mart),
        ),
        raws={
            CUSTOMER: Raw(CUSTOMER, "raw.customers", ("w", "raw", "customers")),
            ORDER: Raw(ORDER, "raw.orders", ("w", "raw", "orders")),
        },
        data_tests=tests,
        unit_tests=units,
    )  # fmt: skip


def data_test(name: str, sql: str, *parents: str) -> DataTest:
    wrapped = f"select count(*) as failures, count(*) != 0 as should_error from ({sql}) as t"
    return DataTest(f"test.p.{name}", name, wrapped, frozenset(parents or {MART}))


def measured(
    what: ProjectUnderTest, file: Path, progress: Callable[[int, int, int], None] | None = None,
    **options: Any,
) -> StrengthReport:  # fmt: skip
    options = {"workers": 1, **options}
    return measure(
        what,
        file,
        file.parent / "spill",
        StrengthOptions(**options),
        progress or (lambda done, of, survived: None),
    )


def one(report: StrengthReport, asset: str, change: str) -> MutantResult:
    (found,) = [x for x in report.mutants if x.asset == asset and change in x.change]
    return found


NOT_NULL = data_test("not_null_name", 'select 1 from "w"."marts"."orders" where amount is null')
UNIQUE = data_test(
    "unique_order", 'select order_id from "w"."marts"."orders" group by 1 having count(*) > 1'
)


def test_without_a_test_everything_that_readers_see_survives(file: Path) -> None:
    report = measured(project(), file)
    assert (report.score, report.killed) == (0.0, 0)
    assert report.survived > 10
    assert {found.kind for found in report.mutants if found.of == "data"} == {
        "nulls", "repeated_keys", "orphans", "units", "time_zone", "truncated",
        "swapped_categories",
    }  # fmt: skip
    assert report.notes == ()


def test_a_test_finds_its_fault_and_no_other(file: Path) -> None:
    report = measured(project(NOT_NULL, UNIQUE), file)
    nulls = one(report, "raw.orders", "one value in 10 of amount is null")
    # staging leaves out what is not above zero, and a null is not
    assert nulls.status == "survived"
    twice = one(report, "raw.orders", "comes twice")
    assert (twice.status, twice.killed_by, twice.test) == ("killed", "data test", "unique_order")
    assert twice.message == "failures: 4"
    assert one(report, "raw.customers", "comes twice").status == "killed"


def test_a_survivor_comes_with_tests_that_pass_now_and_fail_then(file: Path) -> None:
    report = measured(project(), file)
    proposals = {
        change: [proposal.name for proposal in one(report, asset, change).proposals]
        for asset, change in (
            ("raw.orders", "comes twice"),
            ("raw.orders", "amount is 100 times"),
            ("orders", "`coalesce` left out"),
            ("stg_orders", "`where` left out"),
        )
    }
    assert proposals["comes twice"][0] == "unique"
    assert proposals["amount is 100 times"] == ["expect_column_values_to_be_between"] * 2
    assert proposals["`coalesce` left out"] == ["not_null"]
    assert "expect_column_values_to_be_between" in proposals["`where` left out"]
    proposal = one(report, "stg_orders", "`where` left out").proposals[0]
    assert (proposal.table, proposal.column) == ("stg_orders", "amount")
    assert proposal.yaml.splitlines() == [
        "- expect_column_values_to_be_between:", "    arguments:", "      min_value: 0",
]  # fmt: skip


def test_a_survivor_that_no_generic_test_finds_comes_with_a_unit_test(file: Path) -> None:
    with duckdb.connect(str(file)) as connection:  # the open orders are no longer known by a test
        connection.execute("delete from raw.orders where order_id > 40")
        connection.execute(f"create or replace table marts.orders as {MART_SQL}")
    found = measured(project(), file, faults="sql")
    names = {x.change: x.proposals[0].name for x in found.mutants if x.status == "survived"}
    assert "= made <>" not in names  # it joins
    unit = [x for x in found.mutants if x.proposals and x.proposals[0].name == "unit_test"]
    for mutant in unit:
        assert "input: ref('stg_orders')" in mutant.proposals[0].yaml


def test_a_mutant_with_the_same_content_is_not_counted(file: Path) -> None:
    with duckdb.connect(str(file)) as connection:
        connection.execute("delete from raw.orders where order_id > 40")
        connection.execute(f"create or replace table marts.orders as {MART_SQL}")
    report = measured(project(), file)
    assert one(report, "orders", "left join made an inner join").status == "equivalent"
    assert one(report, "stg_orders", "`where` left out").status == "equivalent"


def test_a_fault_that_no_reader_sees_is_not_counted(file: Path) -> None:
    what = project()
    hidden = ProjectUnderTest(
        what.database, (what.models[0],), {ORDER: what.raws[ORDER]}, (), (), ()
    )  # its one model is read by nobody else, and so it is what readers see
    assert measured(hidden, file, faults="data").survived > 0
    unseen = measured(project(), file, faults="data")
    assert one(unseen, "raw.customers", "customer_id is null").status == "survived"


def test_a_unit_test_runs_the_same_mutant_on_its_own_rows(file: Path) -> None:
    sql = (
        "with __dbt__cte__stg_orders as (select 1 as order_id, 7 as customer_id, "
        "1.5::decimal(9, 2) as amount, 'paid' as state, timestamp '2024-01-01' as at), "
        "__dbt__cte__customers as (select 8 as customer_id, 'Ada' as name) "
        + MART_SQL.replace('"w"."staging"."stg_orders"', "__dbt__cte__stg_orders").replace(
            '"w"."raw"."customers"', "__dbt__cte__customers"
        )
    )
    compared = (
        f"select order_id, name, 'actual' as actual_or_expected from ({sql}) "
        "union all select 1, 'nobody', 'expected'"
    )
    unit = ModelUnitTest("unit_test.p.orders.unknown", "unknown_customer", MART, sql, compared)
    report = measured(project(units=(unit,)), file, faults="sql")
    for change in ("left join made an inner join", "`coalesce` left out"):
        found = one(report, "orders", change)
        assert (found.status, found.killed_by, found.test) == (
            "killed", "unit test", "unknown_customer",
        )  # fmt: skip


def test_contracts_and_the_audit_find_faults(file: Path) -> None:
    contract = EnforcedContract(
        ("order_id", "name", "amount", "state", "at"),
        {"name: not null": '"name" is not null', "check: amount < 99": "amount < 99"},
        (("order_id",),),
    )
    report = measured(project(contract=contract), file)
    by = {
        change: one(report, asset, change).message
        for asset, change in (
            ("orders", "`coalesce` left out"),
            ("raw.orders", "amount is 100 times"),
            ("raw.orders", "comes twice"),
        )
    }
    assert by == {
        "`coalesce` left out": "name: not null",
        "amount is 100 times": "check: amount < 99",
        "comes twice": "order_id: unique",
    }
    assert report.killed_by["contract"] >= 3
    emptied = one(report, "stg_orders", "> made >=")
    assert emptied.status == "equivalent"


def test_what_differs_from_build_to_build_is_left_out_and_said(file: Path) -> None:
    what = project()
    by_chance = MART_SQL.replace("o.at ", "o.at, random() as chance ")
    mart = ModelUnderTest(MART, "orders", "", ("w", "marts", "orders"), by_chance, False,
                 what.models[1].parents, is_published=True)  # fmt: skip
    broken = ModelUnderTest("model.p.b", "broken", "", ("w", "marts", "b"), "select nothing", False,
                   frozenset({STAGED}))  # fmt: skip
    with duckdb.connect(str(file)) as connection:
        connection.execute(f"create or replace table marts.orders as {by_chance}")
        connection.execute("create table marts.b as select 1 as x")
    changed = ProjectUnderTest("w", (what.models[0], mart, broken), what.raws, (), (), ())
    report = measured(changed, file, faults="sql")
    assert report.notes[0] == "orders: chance are other values in each build"
    assert report.notes[1].startswith("broken is not measured: Binder Error")
    assert one(report, "stg_orders", "> made >=").status == "equivalent"


def test_ctrl_c_keeps_what_was_found_so_far(file: Path) -> None:
    def stop(done: int, of: int, survived: int) -> None:
        del of, survived
        if done == 3:
            raise KeyboardInterrupt

    before = threading.active_count()
    report = measured(project(), file, stop)
    assert report.stopped
    assert 3 <= len(report.mutants) < report.planned
    assert threading.active_count() == before


def test_a_mutant_that_takes_far_too_long_is_found_and_the_next_is_tried(file: Path) -> None:
    slow = data_test(
        "slow", 'select 1 from "w"."marts"."orders" as o, range(40000000000) as r(i) where i < 0'
    )
    report = measured(project(slow), file, faults="sql", seconds=0.2)
    assert report.killed_by["time"] >= 1
    assert report.planned == len(report.mutants)


def test_two_workers_find_what_one_finds(file: Path) -> None:
    what = project(NOT_NULL, UNIQUE)
    first, second = measured(what, file), measured(what, file, workers=2)
    assert first.mutants == second.mutants


def test_the_selected_alone_and_a_score_that_is_too_low(file: Path) -> None:
    chosen = frozenset({MART})
    report = measured(project(UNIQUE), file, selected=chosen, fail_under=0.9)
    assert {x.asset for x in report.mutants} == {"orders"}
    assert not report.ok
    assert measured(project(UNIQUE), file, selected=frozenset(), fail_under=0.9).score is None
