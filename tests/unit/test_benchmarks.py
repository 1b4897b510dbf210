"""Benchmarks run in small: what they measure is there."""

import argparse
import re
import shutil
from functools import partial
from pathlib import Path

import pytest
from benchmarks import (
    artifacts,
    customer_order,
    diff,
    generate,
    jaffle_shop,
    large_day,
    lineage,
    load_files,
    merge,
    page,
    profile,
    server,
    server_data,
    targets,
)
from benchmarks.__main__ import BENCHMARKS, DOCS, write_tables
from benchmarks.detection import measure
from benchmarks.measure import BenchmarkError
from benchmarks.report import Report

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "tests" / "fixtures" / "artifacts" / "dbt_1_12" / "manifest.json"


@pytest.mark.slow
def test_detection_and_load_are_measured_side_by_side(tmp_path: Path) -> None:
    report = measure(tmp_path, rows=200, runs=1)
    assert [(row.case.partition(", ")[2], row.who) for row in report.rows] == [
        ("commas", "detection"),
        ("commas", "headrace load"),
        ("semicolons", "detection"),
        ("semicolons", "headrace load"),
    ]
    assert all(row.ratio is not None for row in report.rows[::2])
    assert "promise: at most 0.05" in report.markdown()


@pytest.mark.slow
def test_a_profile_is_measured_beside_summarize(tmp_path: Path) -> None:
    report = profile.measure(tmp_path, sizes=[2000], runs=1)
    assert [row.who for row in report.rows[:2]] == ["headrace profile", "SUMMARIZE"]
    assert "promise: at most 3" in report.markdown()


@pytest.mark.slow
def test_a_day_on_the_jaffle_shop_is_measured_for_each_way(tmp_path: Path) -> None:
    others = shutil.ignore_patterns("target", "logs", "shop", "web_analytics", "*_performance.yml")
    shutil.copytree(ROOT / "dbt_project", tmp_path / "dbt_project", ignore=others)
    report = jaffle_shop.measure(
        tmp_path,
        runs=1,
        jobs=(jaffle_shop.FIRST, jaffle_shop.WATCHED),
        dbt_project=tmp_path / "dbt_project",
    )
    ways = ["Headrace", jaffle_shop.BOTH, "dlt alone", "dbt alone"]
    assert [(row.case, row.who) for row in report.rows] == [
        *((jaffle_shop.FIRST, way) for way in ways),
        (jaffle_shop.WATCHED, "Headrace"),
    ]
    assert all((row.ratio is None) == (row.who == "Headrace") for row in report.rows)


@pytest.mark.slow
def test_targets_are_measured_by_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_TARGETS", '{"other": {"threads": 1}}')
    two = ["duckdb", "other"]
    measure = partial(
        targets.measure, tmp_path, targets=two, scale=0.01, runs=1, cases=(targets.TABLE,),
        parts_file=tmp_path / "parts.jsonl",
    )  # fmt: skip
    assert measure(rows=1000, most=1) is None
    report = measure(rows=1000)  # goes on where that ended
    assert report is not None
    assert [(row.case, row.who) for row in report.rows] == [(targets.TABLE, name) for name in two]
    assert [row.ratio is None for row in report.rows] == [True, False]
    assert "load of one table on other: load" in report.markdown()
    again = measure(rows=1000)
    assert again is not None
    assert again.rows == report.rows
    assert not list(tmp_path.glob("0.*"))
    with pytest.raises(BenchmarkError, match=r"'rows': 1000.*name another file by --parts"):
        measure(rows=2000)


@pytest.mark.slow
def test_files_are_loaded_beside_create_table_as(tmp_path: Path) -> None:
    report = load_files.measure(
        tmp_path, sizes=[2000], forms=["csv"], runs=1, memory_limit="256MB", defaults_too=False
    )
    assert [row.who for row in report.rows] == [
        "Headrace",
        load_files.WARM,
        "DuckDB, memory_limit 256MB",
    ]


@pytest.mark.slow
def test_a_manifest_is_read_beside_other_readers(tmp_path: Path) -> None:
    report = artifacts.measure(tmp_path, runs=1, size=1, like=MANIFEST)
    assert report.rows[0].who == "Headrace"
    assert {"json.loads", "pydantic"} < {row.who for row in report.rows}
    assert all((row.ratio is None) == (row.who == "Headrace") for row in report.rows)


@pytest.mark.slow
@pytest.mark.parametrize("kind", merge.OTHERS)
def test_rows_are_merged_beside_duckdb(tmp_path: Path, kind: merge.Kind) -> None:
    report = merge.measure(
        tmp_path,
        sizes=[1000],
        changes=20,
        runs=2,
        kind=kind,
        form="csv" if kind == "again" else "parquet",
    )
    assert [row.who for row in report.rows] == [
        "Headrace",
        "DuckDB, merge into",
        f"DuckDB, {merge.OTHERS[kind][0]}",
    ]


@pytest.mark.slow
def test_a_day_on_a_large_table_is_measured_beside_duckdb(tmp_path: Path) -> None:
    report = large_day.measure(tmp_path, rows=6000, runs=1)
    assert [row.case for row in report.rows if row.who == "Headrace"] == list(large_day.CASES)
    peers = [row.case for row in report.rows if row.who == large_day.PEER]
    assert peers == [case for case in large_day.CASES if case != large_day.NOTHING]


@pytest.mark.slow
def test_tables_are_compared_beside_duckdb(tmp_path: Path) -> None:
    report = diff.measure(tmp_path, sizes=[1000], runs=1)
    assert [row.who for row in report.rows[:2]] == ["Headrace", "DuckDB, except both ways"]


@pytest.mark.slow
def test_generation_is_measured_by_its_rows_its_start_and_a_day(tmp_path: Path) -> None:
    lines = generate.example(tmp_path, runs=1, size=0.0001)
    assert [line.case for line in lines] == ["1,000 rows of Customer", "1,000 rows of Order"]
    lines += [*generate.start(tmp_path, times=2), *generate.delta(tmp_path, runs=1, per_day=10)]
    assert lines[-1].case == "one day (33 rows) of 7,310 orders, 12 columns"
    assert all(value for line in lines for value in line.figures.values())


@pytest.mark.slow
def test_lineage_is_measured_beside_sqlglot(tmp_path: Path) -> None:
    report = lineage.measure(tmp_path, sizes=[5], runs=1, colibri=None, limit=60)
    cold = [row for row in report.rows if row.case == "5 models, cold"]
    assert [row.ratio is None for row in cold] == [True, False]
    true = {name: found for name, found in report.facts.items() if name.startswith("5 models")}
    assert all(re.match(r"(\d+) of \1 true edges, 0 false", found) for found in true.values())


@pytest.mark.slow
def test_the_server_and_its_page_are_measured(tmp_path: Path) -> None:
    size = server_data.Size(assets=30, columns=3, runs=2, published=2)
    found = server.measure(tmp_path / "served", size, clients=2, requests=10)
    assert found.assets == 30
    assert all(line.requests and line.bytes for line in found.lines)
    assert found.lines[-1].route == "all of them, mixed"
    assert page.write_site(tmp_path / "served").pages > 30


@pytest.mark.parametrize(
    ("options", "rows"), [((), [1_000_000]), (("--gigabytes", "0.000109"), [1000])]
)
def test_sizes_are_rows_or_gigabytes(options: tuple[str, ...], rows: list[int]) -> None:
    parser = argparse.ArgumentParser()
    load_files.add_options(parser)
    assert load_files.sizes_of(parser.parse_args(["--rows", "1", *options])) == rows


def test_a_changed_model_has_other_sql_each_time(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.sql").write_text("select 1 as x\n", "utf-8")
    way = jaffle_shop.Contender(tmp_path / "way", project, "a.sql")
    texts = []
    for number in (0, 1):
        way.change(number)
        texts.append(way.model.read_text("utf-8"))
    assert texts == ["select 1 as x\nwhere 0 < 1\n", "select 1 as x\nwhere 0 < 2\n"]


def test_one_row_of_each_file_is_changed_and_one_is_new(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    way = jaffle_shop.Contender(tmp_path / "way", tmp_path / "project", "a.sql")

    def rows() -> dict[str, set[tuple[str, ...]]]:
        return {
            path.name: {tuple(row.values()) for row in jaffle_shop._read(path)}
            for path in way.files.glob("raw_*.csv")
        }

    before = rows()
    way.edit()
    after = rows()
    assert len(before) == 3
    for name, old in before.items():
        new = after[name]
        assert (len(old - new), len(new - old), len(new)) == (1, 2, len(old) + 1), name


def test_tables_of_a_page_are_replaced_by_those_that_were_measured(tmp_path: Path) -> None:
    page, begin, end = (
        tmp_path / "page.md",
        "<!-- table of benchmarks.{} -->",
        "<!-- end of table -->",
    )
    kept = f"{begin.format('other')}\nkept\n{end}\n"
    page.write_text(f"# Page\n{begin.format('one')}\nold\n{end}\n{kept}", "utf-8")
    (tmp_path / "one.md").write_text("### One\n\n| a |\n|---|\n\nMeasured.\n", "utf-8")
    write_tables(page, tmp_path)
    assert page.read_text("utf-8") == (
        f"# Page\n{begin.format('one')}\n| a |\n|---|\n\nMeasured.\n{end}\n{kept}"
    )


def test_the_page_of_the_docs_has_tables_of_benchmarks_that_there_are() -> None:
    named = re.findall(r"<!-- table of benchmarks\.(\w+) -->", DOCS.read_text("utf-8"))
    assert named
    assert set(named) <= set(BENCHMARKS)


def test_a_table_says_when_and_by_which_command_it_was_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["python3", "-m", "benchmarks.merge", "--out", "x.json", "--runs", "1"]
    monkeypatch.setattr("sys.orig_argv", words)
    text = Report("merge", "Merge").markdown()
    assert text.endswith("by `python -m benchmarks.merge --runs 1`.")
    assert re.search(r"Measured on \d{4}-\d\d-\d\d at commit \w+", text)


@pytest.mark.slow
def test_customers_and_orders_reach_both_stand_ins(tmp_path: Path) -> None:
    pytest.importorskip("snowduck", reason="uv sync --extra snowflake")
    pytest.importorskip("pg_mimic", reason="uv sync --extra redshift")
    result = customer_order.measure(tmp_path, scale=0.02, runs=1)
    assert (result.rows, result.errors, result.differences) == (1_200, 0, [])
    assert [len(taken) for taken in result.seconds.values()] == [1] * 5
    assert "Integrity errors: 0 of 2,400 rows" in result.markdown()


def test_the_contract_is_the_one_that_was_promised() -> None:
    shared = Path(__file__).parents[3] / "shared" / "contracts" / "customer_order.yml"
    if shared.exists():
        assert customer_order.CONTRACT.read_bytes() == shared.read_bytes()
    assert "references: Customer.customer_id" in customer_order.CONTRACT.read_text("utf-8")


def test_integrity_errors_are_counted() -> None:
    truth: customer_order.Answers = {"customers": [(10, 10, 10)], "orders": [(50, 50, 50)]}
    good: customer_order.Answers = {**truth, "orphans": [(0,)]}
    assert customer_order.integrity_errors(good, truth) == 0
    faults: dict[str, list[tuple[int, ...]]] = {
        "customers": [(9, 9, 9)],  # one is missing
        "orders": [(50, 47, 48)],  # two have no key, one key comes twice
        "orphans": [(4,)],
    }
    assert customer_order.integrity_errors(dict(faults), truth) == 8
    result = customer_order.Result(rows=60, errors=8)
    for taken in result.seconds.values():
        taken.append(1.0)
    assert not result.is_kept
    result.errors = 0
    assert result.is_kept
    result.seconds["query"][0] = 56.0
    assert not result.is_kept, "the whole took a minute"


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(20, 0, -1)]
    assert customer_order.percentile(values, 95) == 19
    assert customer_order.percentile(values, 50) == 10
    assert customer_order.percentile([3.0], 95) == 3
