"""The main job: from files to published marts, and what a second run does."""

import csv
import json
import shutil
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from lab import Lab, fingerprint

from headrace.pipeline.reports import LoadReport, RunReport, TableReport
from headrace.pipeline.state import build_state

TOTALS = """
    select
        (select count(*) from marts.customers),
        (select count(*) from marts.orders),
        (select sum(amount) from marts.orders),
        (select sum(customer_lifetime_value) from marts.customers),
        (select sum(credit_card_amount) from marts.orders)
"""
REAL_TOTALS = [(100, 99, Decimal("1672.00"), Decimal("1672.00"), Decimal("871.00"))]


ALL_NEW = {"customers": (100, 0, 100), "orders": (99, 0, 99), "payments": (113, 0, 113)}
UNCHANGED = {"customers": (0, 0, 100), "orders": (0, 0, 99), "payments": (0, 0, 113)}


def tables(load: LoadReport | None) -> dict[str, TableReport]:
    assert load is not None
    return {table.table: table for table in load.tables}


def counts(load: LoadReport | None) -> dict[str, tuple[int, int, int]]:
    """Rows new, changed and in total, by raw table."""
    return {
        name.removeprefix("raw_"): (table.rows_new, table.rows_changed, table.rows_total)
        for name, table in tables(load).items()
    }


def append(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line + "\n")


def replace_line(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old + "\n") == 1
    path.write_text(text.replace(old + "\n", new + "\n"))


def test_real_files_by_flag(lab: Lab, real_files: Path) -> None:
    report = lab.set(f"sources.jaffle_shop.path={real_files}").run()

    assert report.status == "success"
    assert counts(report.load) == ALL_NEW
    assert lab.query(TOTALS, path=lab.published) == REAL_TOTALS


@pytest.mark.slow
def test_real_files_by_environment_variable(lab: Lab, real_files: Path) -> None:
    lab = replace(lab, environ={"HEADRACE_SOURCES__JAFFLE_SHOP__PATH": str(real_files)})
    done = lab.command("run", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    report = RunReport.model_validate_json(done.stdout)
    assert report.status == "success"
    assert report.published_path == str(lab.published)
    assert lab.query(TOTALS, path=lab.published) == REAL_TOTALS


def test_sample_is_written_and_loaded_where_there_is_no_data(done: Lab) -> None:
    names = ("customers", "orders", "payments")
    folder = done.data_dir / "jaffle_shop"
    assert sorted(path.name for path in folder.iterdir()) == [f"raw_{name}.csv" for name in names]
    raw = done.resolved.target.row_counts("jaffle_shop_raw")
    assert raw == {"raw_customers": 100, "raw_orders": 99, "raw_payments": 113}
    with (folder / "raw_payments.csv").open(newline="") as stream:
        cents = sum(int(row["amount"]) for row in csv.DictReader(stream))
    ((customers, orders, total, lifetime, _),) = done.query(TOTALS, path=done.published)
    assert (customers, orders) == (100, 99)
    assert total == lifetime == Decimal(cents) / 100


def test_second_run_does_nothing(done: Lab) -> None:
    published, warehouse = fingerprint(done.published), fingerprint(done.warehouse)
    report = done.run()

    assert counts(report.load) == UNCHANGED
    assert [
        (table.files_read, table.files_unchanged) for table in tables(report.load).values()
    ] == [(0, 1)] * 3
    assert report.build is not None
    assert report.build.reused
    assert report.publish is not None
    assert not report.publish.written
    assert fingerprint(done.published) == published
    assert fingerprint(done.warehouse) == warehouse


def test_the_next_day_what_was_built_may_be_published_and_a_build_is_made_anew(
    done: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    tomorrow = build_state.today() + timedelta(days=1)
    monkeypatch.setattr(build_state, "today", lambda: tomorrow)
    published = done.run("publish")
    assert published.audit is not None
    assert published.audit.problems == ()
    assert published.status == "success"

    build = done.run("build").build
    assert build is not None
    assert not build.reused


def test_changed_and_new_rows_are_merged(done: Lab) -> None:
    orders = done.data_dir / "jaffle_shop" / "raw_orders.csv"
    first = orders.read_text().splitlines()[1]
    number, user, day, _ = first.split(",")
    replace_line(orders, first, f"{number},{user},{day},return_pending")
    append(orders, "100,7,2024-02-29,placed")
    report = done.run()

    assert counts(report.load)["orders"] == (1, 1, 100)
    assert counts(report.load)["customers"] == (0, 0, 100)
    assert done.query(
        "select status, count(*) from marts.orders where order_id in (1, 100) group by all "
        "order by all",
        path=done.published,
    ) == [("placed", 1), ("return_pending", 1)]
    assert counts(done.load())["orders"] == (0, 0, 100)


def test_a_run_does_not_import_pandas_where_it_is_installed(done: Lab, tmp_path: Path) -> None:
    """DuckDB does for the first parameter of a statement, which takes a third of a second."""
    noted = tmp_path / "noted.txt"
    (tmp_path / "pandas.py").write_text(
        "import traceback\n"
        f"with open({str(noted)!r}, 'a', encoding='utf-8') as file:\n"
        "    traceback.print_stack(file=file)\n"
        "raise ImportError('not wanted here')\n"
    )
    append(done.data_dir / "jaffle_shop" / "raw_customers.csv", "101,Ada,O'B.")
    started = replace(done, environ={"PYTHONPATH": str(tmp_path)}, observes=True).command("run")
    assert started.returncode == 0, started.stderr
    assert not noted.exists(), noted.read_text()
    names = "select first_name, last_name from marts.customers where customer_id = 101"
    assert done.query(names, path=done.published) == [("Ada", "O'B.")]


def test_touched_file_has_no_changed_rows(done: Lab) -> None:
    orders = done.data_dir / "jaffle_shop" / "raw_orders.csv"
    header, *rows = orders.read_text().splitlines()
    orders.write_text("\n".join([header, *reversed(rows)]) + "\n")
    (table,) = (t for t in done.load().tables if t.table == "raw_orders")

    assert (table.files_read, table.rows_new, table.rows_changed) == (1, 0, 0)


def test_new_column_evolves_the_raw_table_and_is_named(done: Lab) -> None:
    path = done.data_dir / "jaffle_shop" / "raw_customers.csv"
    header, *rows = path.read_text().splitlines()
    lines = [f"{header},e-mail", *(f"{row},{n}@example.org" for n, row in enumerate(rows))]
    path.write_text("\n".join(lines) + "\n")
    load = done.load()

    assert tables(load)["raw_customers"].new_columns == ("e_mail",)
    assert counts(load)["customers"] == (0, 100, 100)
    assert done.query("select count(e_mail) from jaffle_shop_raw.raw_customers") == [(100,)]
    assert tables(done.load())["raw_customers"].new_columns == ()


def test_own_files_replace_the_sample(done: Lab, real_files: Path) -> None:
    own = done.set(f"sources.jaffle_shop.path={real_files}")
    report = own.run()

    assert counts(report.load) == ALL_NEW
    assert any("sample data" in note for note in tables(report.load)["raw_orders"].notes)
    assert own.query(TOTALS, path=own.published) == REAL_TOTALS
    again = own.load()
    assert counts(again) == UNCHANGED
    assert tables(again)["raw_orders"].notes == ()


def test_fewer_own_files_than_sample_rows_leave_no_sample_row(done: Lab, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "raw_customers.csv").write_text("id,first_name,last_name\n1,Ada,L.\n")
    (own / "raw_orders.csv").write_text("id,user_id,order_date,status\n500,1,2024-01-01,placed\n")
    (own / "raw_payments.csv").write_text(
        "id,order_id,payment_method,amount\n9000,500,coupon,250\n"
    )
    load = done.set(f"sources.jaffle_shop.path={own}").load()

    assert counts(load) == dict.fromkeys(("customers", "orders", "payments"), (1, 0, 1))


def test_state_of_dlt_is_restored_from_the_warehouse(done: Lab) -> None:
    shutil.rmtree(done.data_dir / "dlt")
    load = done.load()

    assert counts(load) == UNCHANGED
    assert {table.files_read for table in tables(load).values()} == {0}


def test_lost_warehouse_is_loaded_anew(done: Lab) -> None:
    before = done.query("select * from marts.orders order by all", path=done.published)
    done.warehouse.unlink()
    report = done.run()

    assert counts(report.load) == ALL_NEW
    assert done.query("select * from marts.orders order by all", path=done.published) == before


def test_full_refresh_loads_everything_anew(done: Lab) -> None:
    report = done.run(full_refresh=True)

    assert counts(report.load) == ALL_NEW
    assert counts(done.load()) == UNCHANGED


@pytest.mark.slow
def test_command_ends_with_1_when_a_check_failed(done: Lab) -> None:
    append(done.data_dir / "jaffle_shop/raw_orders.csv", "100,1,2024-01-01,lost")
    failed = done.command("run", "--json")
    assert failed.returncode == 1
    assert RunReport.model_validate_json(failed.stdout).status == "failed"

    status = done.command("status", "--json")
    assert status.returncode == 0
    assert [run["status"] for run in json.loads(status.stdout)["runs"]] == ["failed", "success"]
