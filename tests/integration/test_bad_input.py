"""Input that cannot be loaded: one clear line, nothing published, and the next run succeeds."""

import gzip
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, Shop, fingerprint, partly_loaded, refused

from headrace.errors import SettingsError, SourceError, WarehouseError
from headrace.ingest import stage
from headrace.ingest.model import Staged
from headrace.ingest.scan import FileScan, scan_file
from headrace.pipeline.status import status
from headrace.settings import resolve

CUSTOMERS = "id,first_name,last_name\n1,Ada,L.\n"


def test_bad_files(done: Lab) -> None:
    folder = done.data_dir / "jaffle_shop"
    good = {path.stem: path.read_bytes() for path in folder.glob("*.csv")}
    for cases in (
        {
            "raw_customers": (b"", ["raw_customers.csv is empty", "remove it"]),
            "raw_orders": (b"id,user_id,order_date,status\n", ["raw_orders.csv", "no rows"]),
        },
        {
            "raw_customers": (
                b"id,first_name\n1,Ada\n",
                ["raw_customers.csv lacks the column 'last_name'"],
            ),
            "raw_payments": (
                b"number,order_id,payment_method,amount\n1,1,coupon,1\n",
                ["raw_payments.csv lacks the key column 'id'", "'number'"],
            ),
        },
        {"raw_orders": (b"\n\n\n", ["raw_orders.csv has no header line"])},
    ):
        for name, (content, _) in cases.items():
            (folder / f"{name}.csv").write_bytes(content)
        (first, (_, said)), *_ = cases.items()
        failures = partly_loaded(done, words=[first, *said]).failures
        errors = {failure.table: failure.error for failure in failures}
        assert errors.keys() == cases.keys()
        for name, (_, words) in cases.items():
            assert [word for word in words if word not in errors[name]] == [], errors[name]
            assert "\n" not in errors[name]
            (folder / f"{name}.csv").write_bytes(good[name])

    rows = {
        "raw_customers": b"101,Ada,L.\n",
        "raw_orders": b"100,1,2018-04-10,placed\n",
        "raw_payments": b"114,1,coupon,100\n",
    }
    for name, row in rows.items():
        (folder / f"{name}.csv").write_bytes(good[name] + row)
    after = done.load()
    assert [(table.rows_new, table.rows_changed) for table in after.tables] == [(1, 0)] * 3


@pytest.mark.slow
def test_next_run_publishes_what_was_corrected(done: Lab) -> None:
    path = done.data_dir / "jaffle_shop" / "raw_customers.csv"
    good = path.read_bytes()
    path.write_bytes(b"")
    partly_loaded(done, words=["raw_customers.csv is empty"])
    path.write_bytes(good + b"101,Ada,L.\n")

    assert done.run().status == "success"
    count = done.query("select count(*) from marts.customers", path=done.published)
    assert count == [(101,)]


@pytest.mark.slow
def test_marts_that_do_not_depend_on_a_bad_file_are_published_if_so_set(done: Lab) -> None:
    folder = done.data_dir / "jaffle_shop"
    customers, payments = folder / "raw_customers.csv", folder / "raw_payments.csv"
    good = customers.read_bytes()
    customers.write_bytes(b"")
    payments.write_bytes(payments.read_bytes() + b"9001,1,coupon,100\n")
    before = done.query("select * from marts.customers order by all", path=done.published)
    own = done.set("publish.on_failed_load=unaffected")
    report = own.run()
    assert (report.status, report.error) == (
        "failed",
        (
            "jaffle_shop.raw_customers: raw_customers.csv is empty: write a header and rows to it, "
            "or remove it"
        ),
    )
    assert report.publish is not None
    changed = [table.name for table in report.publish.tables if table.changed]
    assert (changed, report.publish.left) == (["marts.orders"], ("marts.customers",))
    after = done.query("select * from marts.customers order by all", path=done.published)
    assert after == before
    verdicts = {one.name: one for one in status(own.resolved, limit=1).tables}
    assert verdicts["jaffle_shop_raw.raw_customers"].text.startswith("failing: the load failed")
    assert "raw_customers could not be loaded" in verdicts["marts.customers"].text
    assert verdicts["marts.orders"].status == "healthy"

    customers.write_bytes(good)
    report = own.run()
    found = status(own.resolved, limit=1).tables
    assert {one.status for one in found} == {"healthy"}, found[-1]
    assert (report.status, report.publish and report.publish.left) == ("success", ())
    after = done.query("select * from marts.customers order by all", path=done.published)
    assert after != before


def test_first_run_that_fails_publishes_nothing(lab: Lab, real_files: Path) -> None:
    (real_files / "raw_payments.csv").write_bytes(b"")
    own = lab.set(f"sources.jaffle_shop.path={real_files}")
    partly_loaded(own, words=["raw_payments.csv is empty"])
    assert not own.published.exists()


def test_missing_file_and_missing_folder(done: Lab, real_files: Path) -> None:
    own = done.set(f"sources.jaffle_shop.path={real_files}")
    (real_files / "raw_orders.csv").unlink()
    report = partly_loaded(own, words=["raw_orders.csv", "raw_orders", "jaffle_shop.path"])
    assert [table.table for table in report.tables if table.rows_total] == [
        "raw_customers",
        "raw_orders",
        "raw_payments",
    ]
    refused(
        done.set(f"sources.jaffle_shop.path={real_files}/nowhere"),
        kind=SourceError,
        words=[f"{real_files}/nowhere is not a directory", "path"],
    )


def test_no_data_and_no_place_to_write_the_sample(lab: Lab) -> None:
    lab.data_dir.mkdir()
    (lab.data_dir / "jaffle_shop").write_text("in the way")
    refused(lab, kind=SourceError, words=[str(lab.data_dir / "jaffle_shop"), "jaffle_shop.path"])

    (lab.data_dir / "jaffle_shop").unlink()
    assert lab.load().rows_loaded == 312


def test_data_dir_that_cannot_be_made(lab: Lab) -> None:
    lab.data_dir.write_text("in the way")
    refused(lab, kind=WarehouseError, words=[str(lab.data_dir), "data_dir"])


def test_bad_file_of_another_format(shop: Shop) -> None:
    cases: tuple[tuple[str, bytes, list[str]], ...] = (
        ("t0.jsonl", b'{"id": 1}\n{"id": \n{\n', ["t0.jsonl line 2"]),
        ("t1.jsonl", b'{"id": 1}\nhello\n!\n', ["t1.jsonl line 2"]),
        ("t2.jsonl", b'[{"id": 1}, {"id": 2}]', ["t2.jsonl", "JSON array"]),
        ("t3.jsonl", b"1\n2\n", ["t3.jsonl", "one object on each line"]),
        ("t4.jsonl", b'{"number": 1}\n', ["t4.jsonl lacks the key column 'id'"]),
        ("t5.jsonl", b"", ["t5.jsonl is empty"]),
        ("t6.parquet", b"PAR1 and no more", ["t6.parquet cannot be read"]),
        ("t7.csv.gz", b"no gzip", ["t7.csv.gz cannot be read"]),
        ("t8.csv.gz", gzip.compress(b"id\n" + b"1\n" * 9999, mtime=0)[:-20], ["t8.csv.gz"]),
    )
    shop.write("good.csv", "id\n1\n")
    names = ["good", *(name.partition(".")[0] for name, *_ in cases)]
    tables = (f"{name}: {{pattern: '{name}.*', primary_key: [id]}}" for name in names)
    lab = shop.lab_with(f"{{{', '.join(tables)}}}")
    paths = [shop.write(name, content) for name, content, _ in cases]
    errors = {
        one.table: one.error for one in partly_loaded(lab, "load", words=["store.t0"]).failures
    }
    assert set(errors) == set(names[1:])
    for name, (*_, words) in zip(names[1:], cases, strict=True):
        assert [word for word in words if word not in errors[name]] == [], errors[name]
        assert "\n" not in errors[name]

    for name, path in zip(names[1:], paths, strict=True):
        path.unlink()
        shop.write(f"{name}.csv", "id\n1\n")
    assert [table.rows_new for table in lab.load().tables] == [0, *[1] * len(cases)]


def test_a_file_that_is_written_in_another_way_is_loaded_and_said(shop: Shop) -> None:
    text = "id,name\n1,Zoë\n2,Bob\n"
    deep = "id,name\n" + "1,Ada\n" * 20_000 + "2,Zoë\n"
    cases = {
        "delimiter": (b"id;name\n1;Ada\n2;Bob\n", "is separated by ';'"),
        "utf_16": (text.encode("utf-16"), "UTF-16"),
        "cp1252": (text.encode("cp1252"), "cp1252"),
        "deep": (deep.encode("latin-1"), "cp1252"),
    }
    for name, (content, _) in cases.items():
        shop.write(f"{name}.csv", content)
    tables = (f"{name}: {{pattern: {name}.csv, primary_key: [id]}}" for name in cases)
    found = {one.table: one for one in shop.lab_with(f"{{{', '.join(tables)}}}").load().tables}
    for name, (_, note) in cases.items():
        assert found[name].rows_total == 2
        assert any(note in each for each in found[name].notes), found[name]


def test_one_bad_table_does_not_stop_the_others(shop: Shop) -> None:
    for name in ("a", "b", "c"):
        shop.write(f"{name}.csv", "id\n1\n")
    tables = "{a: {pattern: 'a*', primary_key: [id]}, b: {pattern: 'b*'}, c: {pattern: 'c*'}}"
    lab = shop.lab_with(tables)
    lab.load()
    shop.write("b.csv", "")
    for name in ("a", "c"):
        shop.write(f"{name}.csv", "id\n1\n2\n")
    partly_loaded(lab, "load", "build", words=["store.b: b.csv is empty"])
    counts = "select (select count(*) from store_raw.{}) as n"
    assert [lab.query(counts.format(name)) for name in "abc"] == [[(2,)], [(1,)], [(2,)]]

    # a full refresh would drop what is there of it
    with pytest.raises(SourceError, match=r"b\.csv is empty"):
        lab.load(full_refresh=True)
    assert lab.query(counts.format("b")) == [(1,)]
    shop.write("b.csv", "id\n2\n3\n")
    assert [table.rows_total for table in lab.load().tables] == [2, 2, 2]


def test_header_only_may_be_allowed(shop: Shop) -> None:
    shop.write("orders.csv", "id,amount\n")
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id], allow_empty: true}}")
    assert lab.load_one().rows_total == 0
    shop.write("orders.csv", "id,amount\n1,10\n")
    assert lab.load_one().rows_new == 1


@pytest.fixture(params=["after it was hashed", "after it was staged"])
def vanishing(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Path], None]]:
    """Makes a file vanish at one of two moments of a load."""
    victims: list[Path] = []

    def vanish() -> None:
        for path in victims:
            path.unlink(missing_ok=True)

    def scan_after(*arguments: Any) -> FileScan:
        vanish()
        return scan_file(*arguments)

    def stage_before(*arguments: Any) -> Staged:
        staged = stage.stage(*arguments)
        vanish()
        return staged

    if request.param == "after it was hashed":
        monkeypatch.setattr("headrace.ingest.stage.scan_file", scan_after)
    else:
        # handed over as it is, so that the warehouse is the one to miss it
        monkeypatch.setattr(stage, "BULK_BYTES", 0)
        monkeypatch.setattr("headrace.ingest.resource.stage", stage_before)
    yield victims.append
    monkeypatch.undo()


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_file_that_vanishes(shop: Shop, vanishing: Callable[[Path], None], form: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = shop.folder / f"orders.{form}"
    if form == "parquet":
        pq.write_table(pa.table({"id": [1, 2]}), path)
    else:
        path.write_text("id\n1\n2\n" if form == "csv" else '{"id": 1}\n{"id": 2}\n')
    content = path.read_bytes()
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id]}}")
    vanishing(path)
    refused(lab, "load", kind=SourceError, words=["orders", "put"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", lambda self, **_: None)
        path.write_bytes(content)
        assert lab.load_one().rows_new == 2


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ("{orders: {patern: '*'}}", ["flag: sources.store.tables", "patern"]),
        ("{orders: {pattern: '*', primry_key: [id]}}", ["primry_key", "primary_key", "cursor"]),
        ("{orders: {}}", ["sources.store.tables", "pattern"]),
        ("{orders: '*.csv'}", ["sources.store.tables"]),
        ("{orders: {pattern: '*', encoding: ebcdic}}", ["encoding", "ebcdic", "utf-16"]),
        ("[orders]", ["sources.store.tables"]),
    ],
)
def test_wrong_settings_of_a_table(shop: Shop, tables: str, words: list[str]) -> None:
    refused(shop.lab_with(tables), "load", kind=SettingsError, words=words)


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ("{Web Orders: {pattern: '*'}}", ["'Web Orders'", "web_orders"]),
        ("{_dlt_loads: {pattern: '*'}}", ["'_dlt_loads'"]),
        ("{orders: {pattern: '/etc/*'}}", ["'/etc/*'", "relative"]),
        ("{orders: {pattern: '../*'}}", ["'../*'", "relative"]),
        ("{orders: {pattern: ''}}", ["''", "relative"]),
        ("{orders: {pattern: '*.xls'}}", ["'*.xls'", "orders"]),
        ("{orders: {pattern: '*', columns: {id: nummer}}}", ["columns.id", "'nummer'", "bigint"]),
        ("{orders: {pattern: '*', columns: {id: 'int; drop'}}}", ["columns.id", "is not a type"]),
        ("{orders: {pattern: '*', cursor: at}}", ["orders.csv lacks the column 'at'"]),
    ],
)  # fmt: skip
def test_settings_of_a_table_that_do_not_fit(shop: Shop, tables: str, words: list[str]) -> None:
    shop.write("orders.csv", "id\n1\n")
    refused(shop.lab_with(tables), "load", kind=SourceError, words=words)


def test_source_without_its_options(lab: Lab) -> None:
    refused(
        lab.set("sources.store.kind=files", "sources.jaffle_shop.enabled=false"),
        "load",
        kind=SettingsError,
        words=["sources.store.path is not set"],
    )
    refused(
        lab.set("sources.jaffle_shop.pfad=/tmp"),
        "load",
        kind=SettingsError,
        words=["flag: sources.jaffle_shop.pfad", "unknown key", "path"],
    )


def test_unknown_source(lab: Lab) -> None:
    with pytest.raises(SettingsError, match=r"--source nobody: .*known: jaffle_shop"):
        lab.run("load", sources=("nobody",))
    with pytest.raises(SettingsError, match="no source is enabled"):
        lab.set("sources.jaffle_shop.enabled=false").run("load")


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("dta_dir=/tmp", ["--set dta_dir", "unknown key 'dta_dir'", "data_dir", "Allowed"]),
        ("log_level=loud", ["--set log_level", "'loud'", "'debug', 'info', 'warning' or 'error'"]),
        ("target=mars", ["--set target", "'mars'", "duckdb"]),
        ("sources.jaffle_shop.schema_contract=melt", ["schema_contract", "'melt'", "'freeze'"]),
        ("sources.jaffle_shop.enabled=perhaps", ["--set sources.jaffle_shop.enabled", "perhaps"]),
        ("targets.duckdb.threads=0", ["--set targets.duckdb.threads", "greater than"]),
        ("publish.schemas=[]", ["--set publish.schemas"]),
        ("log_level", ["--set log_level", "KEY=VALUE"]),
    ],
)
def test_wrong_flag(lab: Lab, flag: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as error:
        assert lab.set(flag).resolved
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)


def test_wrong_environment_variable(lab: Lab) -> None:
    with pytest.raises(SettingsError, match="environment HEADRACE_LOG_LEVEL: log_level = 'loud'"):
        resolve(lab.root, environ={"HEADRACE_LOG_LEVEL": "loud"})


def test_empty_fifo_and_folder_are_no_files(shop: Shop) -> None:
    (shop.folder / "orders.csv").mkdir()
    refused(
        shop.lab_with("{orders: {pattern: '*'}}"),
        "load",
        kind=SourceError,
        words=["no file in", "orders"],
    )


@pytest.mark.slow
def test_command_ends_with_1_and_names_what_was_not_loaded(done: Lab) -> None:
    before = fingerprint(done.published)
    (done.data_dir / "jaffle_shop" / "raw_orders.csv").write_bytes(b"")
    ended: subprocess.CompletedProcess[str] = done.command("run", "--json")

    assert (ended.returncode, ended.stderr) == (1, "")
    report = json.loads(ended.stdout)
    assert (report["status"], report["build"], report["publish"]) == ("failed", None, None)
    why = "raw_orders.csv is empty: write a header and rows to it, or remove it"
    assert report["load"]["failures"] == [
        {"source": "jaffle_shop", "table": "raw_orders", "error": why, "detail": None}
    ]
    assert report["error"] == f"jaffle_shop.raw_orders: {why}"
    assert fingerprint(done.published) == before
