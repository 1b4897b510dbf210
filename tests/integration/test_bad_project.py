"""A warehouse, project, lock or run store that is not in order: one clear line, then recovery."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from lab import Lab, Shop, copy_project, fingerprint, partly_loaded, refused

from headrace.errors import (
    LockedError,
    ProjectError,
    PublishError,
    RunStoreError,
    SettingsError,
    TransformError,
    WarehouseError,
)
from headrace.pipeline import lock
from headrace.pipeline.status import status
from headrace.settings import find_root, resolve


@pytest.fixture
def own(done: Lab, tmp_path: Path) -> Lab:
    """A lab with a project of its own, run once."""
    return replace(done, root=copy_project(tmp_path / "project"))


def test_corrupt_warehouse(done: Lab) -> None:
    before = done.query("select * from marts.orders order by all", path=done.published)
    done.warehouse.write_bytes(b"no database at all" * 1000)
    refused(
        done, kind=WarehouseError, words=[str(done.warehouse), "not a readable DuckDB file", "move"]
    )

    done.warehouse.rename(done.warehouse.with_suffix(".broken"))
    assert done.run().status == "success"
    assert done.query("select * from marts.orders order by all", path=done.published) == before


@pytest.mark.parametrize("where", [slice(4096, 8192), slice(12288, 13000)])
def test_damaged_warehouse(done: Lab, where: slice) -> None:
    content = bytearray(done.warehouse.read_bytes())
    content[where] = bytes(len(content[where]))
    done.warehouse.write_bytes(content)
    refused(done, kind=WarehouseError, words=[str(done.warehouse), "move it away"])


def test_truncated_warehouse(done: Lab) -> None:
    done.warehouse.write_bytes(done.warehouse.read_bytes()[: 1 << 16])
    refused(done, kind=WarehouseError, words=[str(done.warehouse), "move it away"])


def of_version(content: bytes, version: int) -> bytes:
    """A DuckDB file whose main header (a block of 4096 bytes) says another storage version."""
    header = bytearray(content[:4096])
    assert header[8:12] == b"DUCK"
    assert checksum(header[8:]) == int.from_bytes(header[:8], "little")
    header[12:20] = version.to_bytes(8, "little")
    header[:8] = checksum(header[8:]).to_bytes(8, "little")
    return bytes(header) + content[4096:]


def checksum(block: bytes | bytearray) -> int:
    """As in DuckDB's src/common/checksum.cpp."""
    result = 5381
    for at in range(0, len(block), 8):
        word = int.from_bytes(block[at : at + 8], "little")
        result ^= word * 0xBF58476D1CE4E5B9 % 2**64
    return result


def test_warehouse_of_a_newer_duckdb(done: Lab) -> None:
    good = done.warehouse.read_bytes()
    done.warehouse.write_bytes(of_version(good, 9999))
    refused(
        done,
        kind=WarehouseError,
        words=[str(done.warehouse), "another version of DuckDB", "upgrade", "move the file away"],
    )

    done.warehouse.write_bytes(good)
    assert done.load().rows_loaded == 0


def test_warehouse_that_is_a_directory(lab: Lab) -> None:
    lab.warehouse.mkdir(parents=True)
    refused(lab, kind=WarehouseError, words=[str(lab.warehouse)])


def test_warehouse_that_another_program_has_open(done: Lab) -> None:
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(done.warehouse)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        refused(
            done,
            kind=WarehouseError,
            words=[str(done.warehouse), f"process {other.pid}", "close it", "published"],
        )
        other.communicate("\n")
    assert done.load().rows_loaded == 0


def test_dbt_model_with_a_syntax_error(own: Lab) -> None:
    model = own.root / "dbt_project/models/marts/orders.sql"
    good = model.read_text()
    model.write_text(good.replace("{{ ref('stg_jaffle_shop__orders') }}", "{{ ref('stg_jaffle }}"))
    refused(own, kind=TransformError, words=["models/marts/orders.sql", "correct it"])

    model.write_text(good)
    assert own.run().status == "success"


def test_dbt_model_with_wrong_sql_fails_the_run(own: Lab) -> None:
    model = own.root / "dbt_project/models/marts/orders.sql"
    good = model.read_text()
    model.write_text(good.replace("final as (", "final as (selekt"))
    before = fingerprint(own.published)
    report = own.run()

    assert report.status == "failed"
    assert report.build is not None
    messages = [node.message or "" for node in report.build.nodes if node.status == "error"]
    assert messages
    assert all("selekt" in message and "\n" not in message for message in messages)
    lines = model.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, start=1) if "selekt" in text)
    found = next(node for node in report.build.nodes if node.status == "error")
    assert found.detail is not None
    assert (found.detail.file, found.detail.line) == ("dbt_project/models/marts/orders.sql", line)
    assert "final as (selekt" in found.detail.excerpt
    kept = status(own.resolved, limit=1).runs[0].failures
    assert found.detail in [failure.detail for failure in kept]
    assert fingerprint(own.published) == before

    model.write_text(good)
    assert own.run().status == "success"


def test_broken_contract_fails_the_run(own: Lab) -> None:
    path = own.root / "dbt_project/models/marts/customers.sql"
    path.write_text(
        path.read_text().replace("customers.first_name,", "customers.first_name, 1 as extra,")
    )
    before = fingerprint(own.published)

    report = own.run()
    assert report.status == "failed"
    assert fingerprint(own.published) == before
    assert report.build is not None
    found = next(node for node in report.build.nodes if node.name == "customers")
    assert found.detail is not None
    assert [(one.column, one.reason) for one in found.detail.mismatches] == [
        ("extra", "missing in contract")
    ]


def test_missing_dbt_project(done: Lab) -> None:
    refused(
        done.set("dbt.project_dir=/nowhere"),
        kind=ProjectError,
        words=["/nowhere holds no dbt_project.yml", "dbt.project_dir"],
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("log_level: [", ["config/default.yml line", "not valid YAML"]),
        ("a: b: c", ["config/default.yml line 1", "not valid YAML"]),
        ("log_level: info\nlog_level: debug\n", ["config/default.yml line 2", "log_level"]),
        ("\tlog_level: info\n", ["config/default.yml line 1", "not valid YAML"]),
        ("- data_dir\n", ["config/default.yml", "mapping of keys to values"]),
        ("just words\n", ["config/default.yml", "mapping of keys to values"]),
        ("log_level: \x01\n", ["config/default.yml", "not valid YAML"]),
        (
            "\n\nlog_levle: info\n",
            ["config/default.yml line 3", "unknown key 'log_levle'", "log_level", "data_dir"],
        ),
        (
            "targets:\n  duckdb:\n    memory: 1GB\n",
            ["config/default.yml line 3", "'targets.duckdb.memory'", "memory_limit, path, threads"],
        ),
        ("log_level: loud\n", ["config/default.yml line 1", "'loud'", "'warning' or 'error'"]),
        ("sources:\n  Jaffle Shop: {}\n", ["config/default.yml line 2", "Jaffle Shop"]),
        ("sources: jaffle_shop\n", ["config/default.yml line 1", "sources"]),
    ],
)  # fmt: skip
def test_settings_file_that_is_wrong(tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "dlt_pipelines").mkdir()
    (tmp_path / "config/default.yml").write_text(text)
    with pytest.raises(SettingsError) as error:
        resolve(find_root(tmp_path), environ={})
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)
    assert "\n" not in str(error.value)


def test_settings_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/default.yml").write_bytes("log_level: info".encode("utf-16"))
    with pytest.raises(SettingsError, match=r"config/default\.yml cannot be read"):
        resolve(tmp_path, environ={})


def test_source_without_a_folder(lab: Lab) -> None:
    words = ["source store", "dlt_pipelines/store/__init__.py", "files, jaffle_shop", "kind"]
    others = partly_loaded(lab.set("sources.store.enabled=true"), words=words)
    assert {table.source for table in others.tables} == {"jaffle_shop"}
    alone = lab.set("sources.store.enabled=true", "sources.jaffle_shop.enabled=false")
    refused(alone, kind=ProjectError, words=words)


def test_run_store_of_a_newer_version(done: Lab) -> None:
    store = done.data_dir / "headrace.sqlite"
    with sqlite3.connect(store) as connection:
        connection.execute("update meta set value = '99' where key = 'schema_version'")
    connection.close()
    refused(done, kind=RunStoreError, words=["version 99", "upgrade Headrace", "run_store.url"])

    store.unlink()
    assert done.load().rows_loaded == 0


def test_run_store_that_is_no_database(done: Lab) -> None:
    store = done.data_dir / "headrace.sqlite"
    store.write_bytes(b"no database at all" * 1000)
    refused(done, kind=RunStoreError, words=[str(store), "run_store.url"])
    store.unlink()
    assert done.load().rows_loaded == 0


def test_url_of_the_run_store_that_is_none(lab: Lab) -> None:
    message = refused(
        lab.set("run_store.url=postgresql//me:secret@host"),
        "load",
        kind=RunStoreError,
        words=["run_store.url is not a SQLAlchemy URL"],
    )
    assert "secret" not in message


@contextmanager
def held(path: Path) -> Iterator[None]:
    """The lock is held by a run in another thread."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock.hold_file(path, "headrace run"):
            taken.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(10)
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_second_run_says_who_holds_the_warehouse(done: Lab) -> None:
    path = done.resolved.target.lock_path
    with held(path):
        message = refused(
            done,
            kind=LockedError,
            words=["`headrace run`", f"process {os.getpid()}", " UTC (0 min)", "wait"],
        )
        assert f"since {datetime.now(UTC):%Y-%m-%d}" in message
    assert done.load().rows_loaded == 0


def test_lock_of_a_dead_process_is_taken_over(done: Lab) -> None:
    path = done.resolved.target.lock_path
    holder = {"pid": 4_000_000, "host": "here", "command": "headrace build",
              "since": "2024-02-29T10:00:00+00:00"}  # fmt: skip
    path.write_text("")
    path.with_name(path.name + ".json").write_text(json.dumps(holder))
    report = done.run("load")

    assert report.status == "success"
    assert any("4000000" in note and "headrace build" in note for note in report.notes)
    assert done.run("load").notes == ()


def test_runs_in_different_warehouses_do_not_lock_each_other(done: Lab, tmp_path: Path) -> None:
    shutil.copytree(done.data_dir, tmp_path / "other")
    with held(done.resolved.target.lock_path):
        assert Lab(tmp_path / "other").load().rows_loaded == 0


def test_publish_needs_a_build_and_a_warehouse(lab: Lab) -> None:
    report = lab.run("publish")
    assert report.status == "failed"
    assert report.audit is not None
    assert "headrace build" in report.audit.problems[0]
    assert not lab.published.exists()


def test_published_path_that_is_a_directory(done: Lab) -> None:
    done.published.unlink()
    done.published.mkdir()
    with pytest.raises(PublishError, match=r"published\.duckdb"):
        done.run()


def test_published_file_that_is_broken_is_written_anew(done: Lab) -> None:
    done.published.write_bytes(b"no database at all" * 1000)
    assert done.run().status == "success"
    with duckdb.connect(str(done.published), read_only=True) as connection:
        assert connection.execute("select count(*) from marts.orders").fetchall() == [(99,)]


def test_own_source_of_rows(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = copy_project(tmp_path / "project")
    (root / "dlt_pipelines/api").mkdir()
    (root / "dlt_pipelines/api/__init__.py").write_text(
        "import dlt\n\n\n"
        "@dlt.source(name='api')\n"
        "def build_source(count: int = 2):\n"
        "    rows = [{'id': n, 'tags': [{'name': 'a'}]} for n in range(count)]\n"
        "    return dlt.resource(rows, name='things', primary_key='id',\n"
        "                        write_disposition='merge')\n"
    )
    monkeypatch.syspath_prepend(str(root))
    for name in [name for name in sys.modules if name.startswith("dlt_pipelines")]:
        monkeypatch.delitem(sys.modules, name)
    lab = replace(shop.lab, root=root).set("sources.api.enabled=true")
    things = {table.table: table for table in lab.load("api").tables}["things"]
    assert (things.rows_new, things.rows_total) == (2, 2)
    again = {table.table: table for table in lab.set("sources.api.count=3").load("api").tables}
    assert (again["things"].rows_new, again["things"].rows_total) == (1, 3)
    for name in [name for name in sys.modules if name.startswith("dlt_pipelines")]:
        monkeypatch.delitem(sys.modules, name)
