"""A wide file and long texts are loaded and built with the usual settings.

The header of the wide file alone has more than 64 KiB.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from lab import Lab, Shop, copy_project

from headrace.libraries import dbt_shortcuts
from headrace.pipeline.building.slim_build import Selection
from headrace.pipeline.reports import NodeReport
from headrace.pipeline.run import run

COLUMNS = [
    f"a_name_of_a_column_that_is_as_long_as_those_of_a_survey_{number}" for number in range(1_200)
]
VALUES = ["7", "1.5", "text", "2024-01-31", "007", "true"]
ROWS = 2_000


def test_1200_columns_and_thousands_of_rows(shop: Shop) -> None:
    """DuckDB counts what it reserves, which is more than a load may take of memory."""
    line = ",".join(VALUES[number % 6] for number in range(len(COLUMNS)))
    header = ",".join(COLUMNS)
    assert len(header) > 1 << 16
    shop.write("orders.csv", f"{header}\n" + f"{line}\n" * ROWS)
    lab = replace(shop.lab_with("{orders: {pattern: 'orders*'}}"), observes=True)
    table = lab.load_one()

    assert (table.rows_given, table.rows_new) == (ROWS, ROWS)
    kinds = lab.schema("store_raw.orders")
    assert [kinds[name] for name in COLUMNS[-6:]] == [
        "BIGINT", "DOUBLE", "VARCHAR", "DATE", "VARCHAR", "BOOLEAN",
    ]  # fmt: skip
    assert len(kinds) == 1_201
    last = ", ".join(f"cast({name} as varchar)" for name in COLUMNS[-6:])
    assert lab.query(f"select distinct {last} from store_raw.orders") == [tuple(VALUES)]

    # a table that has rows is loaded row by row
    shop.write("orders.csv", f"{header}\n" + f"{line}\n" * (ROWS + 1))
    assert lab.load_one().rows_given == ROWS + 1
    assert lab.query("select count(*) from store_raw.orders") == [(ROWS + 1,)]


LONG = "select i as id, repeat(md5(i::varchar), {}) as text from range(2100) as r(i)\n"


def test_a_model_that_does_not_fit_into_the_limit_is_run_with_a_larger_one(
    done: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB makes 2,048 values of a column at once, and cannot spill them; two models at once."""
    lab = replace(done, root=copy_project(tmp_path / "own")).set("targets.duckdb.memory_limit=60MB")
    models = lab.root / "dbt_project" / "models" / "marts"
    (models / "longs.sql").write_text(LONG.format(1_200))
    (models / "longer.sql").write_text(LONG.format(1_300))
    (models / "hooked.sql").write_text("{{ config(post_hook='select 1') }}" + LONG.format(1_200))

    def build(*names: str) -> dict[str, NodeReport]:
        build = run(lab.resolved, steps=("build",), selection=Selection(names)).build
        assert build is not None
        return {node.name: node for node in build.nodes}

    with monkeypatch.context() as patch:
        patch.setattr(dbt_shortcuts, "larger_limit", lambda _: None)
        message = build("longs")["longs"].message or ""
        assert message.startswith("DuckDB reached its memory limit")
    assert build("hooked")["hooked"].status == "error", "its hooks may have been run"
    assert {name: node.status for name, node in build("longs", "longer").items()} == {
        "longs": "success",
        "longer": "success",
    }
    assert done.query("select sum(strlen(text)) from marts.longs") == [(2_100 * 38_400,)]
