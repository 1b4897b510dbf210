"""Which macros dbt may call when it runs a node, so that a change of one runs everything."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from headrace.libraries import dbt
from headrace.pipeline.building import reuse


def macro(name: str, *, package: str = "shop", calls: Iterable[str] = ()) -> tuple[str, Any]:
    found = SimpleNamespace(
        name=name, package_name=package, depends_on=SimpleNamespace(macros=list(calls))
    )
    return f"macro.{package}.{name}", found


def test_what_dbt_calls_is_told_from_what_is_compiled(monkeypatch: Any) -> None:
    monkeypatch.setattr(dbt, "own_packages", lambda _: ["dbt_duckdb", "dbt"])
    of_dbt = dict(
        [
            macro("create_table_as", package="dbt", calls=["macro.dbt.default__create_table_as"]),
            macro("default__create_table_as", package="dbt"),
            macro("duckdb__dateadd", package="dbt_duckdb"),
            macro("dateadd", package="dbt"),
        ]
    )
    called = dict(
        [
            macro("create_table_as", calls=["macro.shop.helped", "macro.gone.away"]),
            macro("duckdb__dateadd"),
            macro("spark__create_table_as", package="tools"),
            macro("helped", calls=["macro.shop.further"]),
            macro("further"),
            macro("materialization_table_duckdb"),
            macro("get_incremental_mine_sql"),
            macro("default__get_incremental_mine_sql"),
            macro("snapshot_mine_strategy"),
        ]
    )
    compiled = dict(
        [
            macro("cents", calls=["macro.dbt.dateadd", "macro.shop.helped"]),
            macro("default__cents"),
            macro("test_accepted_range", package="tools"),
            macro("my_snapshot_of"),
        ]
    )
    graph = SimpleNamespace(macros=of_dbt | called | compiled)
    assert reuse._called_by_dbt(graph) == set(of_dbt | called)
