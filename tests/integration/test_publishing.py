"""What is published, when it is not, and what readers see."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from lab import Lab, fingerprint

from headrace.catalog import RunStore
from headrace.pipeline.reports import RunReport
from headrace.pipeline.status import status


def raw(lab: Lab, name: str) -> Path:
    return lab.data_dir / "jaffle_shop" / f"raw_{name}.csv"


def append(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line + "\n")


def changed(report: RunReport) -> set[str]:
    assert report.publish is not None
    return {table.name for table in report.publish.tables if table.changed}


@pytest.mark.parametrize(
    ("file", "line", "node"),
    [
        ("orders", "100,999,2024-01-01,placed", "customer"),  # an order of nobody
        ("payments", "500,1,barter,100", "payment_method"),  # a method that nobody knows
    ],
)
def test_failed_test_blocks_the_publish(done: Lab, file: str, line: str, node: str) -> None:
    done = replace(done, observes=True)
    path, before = raw(done, file), fingerprint(done.published)
    good = path.read_text()
    append(path, line)
    report = done.run()

    assert report.status == "failed"
    assert report.publish is None
    assert report.audit is not None
    assert not report.audit.passed
    assert any(node in problem for problem in report.audit.problems)
    assert report.build is not None
    failed = [found for found in report.build.nodes if found.status == "fail"]
    assert any(node in found.name and found.failures == 1 for found in failed)
    assert fingerprint(done.published) == before

    with closing(sqlite3.connect(done.data_dir / "headrace.sqlite")) as store:
        stored = store.execute(
            "select nodes.name, runs.status from nodes join runs using (run_id) "
            "where nodes.status = 'fail' order by nodes.name"
        ).fetchall()
        steps = store.execute(
            "select step, status, message from steps where run_id = ? order by id", [report.run_id]
        ).fetchall()
    assert stored == sorted((found.name, "failed") for found in failed)
    assert [step[:2] for step in steps] == [
        ("load", "success"), ("build", "failed"), ("audit", "failed"), ("catalog", "success"),
        ("monitors", "success"), ("quality", "success"),
    ]  # fmt: skip
    assert all(node in step[2] for step in steps[1:3])

    verdicts = {one.name: one for one in status(done.resolved, limit=1).tables}
    mart = verdicts["marts.orders"]
    assert mart.status in {"skipped", "behind"}
    assert f"readers have the data of {mart.readers_have:%Y-%m-%d %H:%M} UTC" in mart.text
    assert {"failing", "healthy"} <= {one.status for one in verdicts.values()}
    skipped = [one for one in verdicts.values() if one.status == "skipped"]
    assert all(node in (one.reasons[0].asset or "") for one in skipped)

    alone = done.run("publish")
    assert (alone.status, alone.publish) == ("failed", None)
    assert fingerprint(done.published) == before

    path.write_text(good)
    path.write_text(good + line.replace("999", "1").replace("barter", "coupon") + "\n")
    corrected = done.run()
    assert corrected.status == "success"
    assert changed(corrected) >= {"marts.orders"}
    assert {one.status for one in status(done.resolved, limit=1).tables} == {"healthy"}
    runs = RunStore(done.resolved.run_store_url)
    newest, *earlier = runs.rows_of_model("model.headrace.orders", 10)
    runs.close()
    assert newest.run_id == corrected.run_id
    assert newest.rows_total == earlier[0].rows_total + (newest.rows_new or 0)


def test_only_marts_that_changed_are_written(done: Lab) -> None:
    path = raw(done, "payments")
    lines = path.read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if '"credit_card"' in line)
    lines[at] = lines[at].replace("credit_card", "bank_transfer")
    path.write_text("\n".join(lines) + "\n")
    total = "select sum(amount) from marts.orders"
    before = done.query(total, path=done.published)
    report = done.run()

    assert report.status == "success"
    assert changed(report) == {"marts.orders"}
    assert done.query(total, path=done.published) == before
    assert changed(done.run()) == set()


def test_reader_keeps_its_snapshot_while_a_new_one_is_published(done: Lab) -> None:
    total = "select count(*), sum(amount) from marts.orders"
    with duckdb.connect(str(done.published), read_only=True) as reader:
        before = reader.execute(total).fetchall()
        append(raw(done, "orders"), "100,1,2024-01-01,placed")
        append(raw(done, "payments"), "500,100,coupon,250")
        assert done.run().status == "success"
        assert reader.execute(total).fetchall() == before
    # DuckDB keeps one instance of a file in a process, so a new reader opens it anew
    ((count, amount),) = before
    assert done.query(total, path=done.published) == [(count + 1, amount + Decimal("2.50"))]


def test_published_file_tells_what_it_is(done: Lab) -> None:
    append(raw(done, "customers"), "101,Ada,L.")
    report = done.run()
    assert done.query("select run_id from _headrace.publication", path=done.published) == [
        (report.run_id,)
    ]
    comments = done.query(
        "select table_name, comment from duckdb_tables() where schema_name = 'marts'",
        path=done.published,
    )
    assert {name for name, comment in comments if comment} == {"customers", "orders"}
    schemas = done.query(
        "select distinct schema_name from duckdb_tables() where not internal", path=done.published
    )
    assert {name for (name,) in schemas} == {"marts", "_headrace"}


def test_no_publish_and_publish_later(done: Lab) -> None:
    before = fingerprint(done.published)
    append(raw(done, "customers"), "101,Ada,L.")
    assert done.run("load", "build").status == "success"
    assert fingerprint(done.published) == before
    assert changed(done.run("publish")) == {"marts.customers"}


def test_load_after_the_build_must_be_built_before_it_is_published(done: Lab) -> None:
    append(raw(done, "customers"), "101,Ada,L.")
    done.run("load")
    report = done.run("publish")

    assert report.status == "failed"
    assert report.audit is not None
    assert "headrace build" in report.audit.problems[0]
    assert done.run("build").status == "success"
    assert done.run("publish").status == "success"
