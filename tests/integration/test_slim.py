"""State folders, builds of a part of the project that defer to them, and what the two differ in."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from lab import ROOT, Lab, copy_project

from headrace.catalog import RunStore
from headrace.errors import LockedError, SettingsError, StateError, TransformError
from headrace.pipeline import lock
from headrace.pipeline.building.slim_build import Selection, parse_selection
from headrace.pipeline.diff import compare
from headrace.pipeline.reports import RunReport
from headrace.pipeline.run import run
from headrace.pipeline.state.folder import read_state, write_state
from headrace.quality.diff import DiffOptions
from headrace.sql_text import literal

MODIFIED = ("state:modified+",)
CUSTOMERS = "staging/jaffle_shop/stg_jaffle_shop__customers.sql"
NO_UNIT_TESTS = ("resource_type:unit_test",)


def own_project(folder: Path) -> Path:
    """A project to edit, with the schema files of its simulated sources."""
    shutil.copytree(ROOT / "data" / "schemas", folder / "data" / "schemas")
    return copy_project(folder)


@pytest.fixture(scope="module")
def _published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project and the state of its first run, to copy: `project`, `state`."""
    home = tmp_path_factory.mktemp("published")
    lab = Lab(home / "data", own_project(home / "project"))
    assert lab.run().status == "success"
    write_state(lab.resolved, home / "state")
    return home


@pytest.fixture
def state(_published: Path, tmp_path: Path) -> Path:
    """A state folder, at a path that is not easy."""
    return Path(shutil.copytree(_published / "state", tmp_path / "it's a state"))


@pytest.fixture
def fresh(_published: Path, tmp_path: Path) -> Lab:
    """A project like that of the state, as CI checks it out: with no data."""
    return Lab(
        tmp_path / "data", Path(shutil.copytree(_published / "project", tmp_path / "project"))
    )


def build(lab: Lab, selection: Selection, *steps: str) -> RunReport:
    return run(lab.resolved, steps=steps or ("load", "build", "publish"), selection=selection)  # type: ignore[arg-type]


def built(report: RunReport) -> set[str]:
    assert report.build is not None
    return {node.name for node in report.build.nodes if node.resource_type == "model"}


def relations(path: Path) -> set[str]:
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables() union all "
            "select schema_name || '.' || view_name from duckdb_views() where not internal"
        ).fetchall()
    return {str(row[0]) for row in rows}


def edit(lab: Lab, path: str, change: Callable[[str], str]) -> None:
    file = lab.root / "dbt_project" / "models" / path
    text = file.read_text("utf-8")
    changed = change(text)
    assert changed != text
    file.write_text(changed, encoding="utf-8")


def edit_names(lab: Lab) -> None:
    """A change of values that all tests of data let pass."""
    edit(
        lab,
        CUSTOMERS,
        lambda sql: sql.replace("last_name", "lower(last_name) as last_name", 1),
    )


# ── the state ───────────────────────────────────────────────────────────────


def test_a_state_is_whole_and_can_be_read_under_any_name(state: Path) -> None:
    assert {path.name for path in state.iterdir()} == {
        "manifest.json",
        "state.json",
        "warehouse.duckdb",
    }
    info = read_state(state).info
    assert info.project == "headrace"
    assert info.keys["marts.orders"] == ("order_id",)
    assert "customer_id" in info.harmless["marts.customers"]
    assert list(info.sources) == ["jaffle_shop"]
    with duckdb.connect() as connection:
        path = literal(str(state / "warehouse.duckdb"))
        connection.execute(f"attach {path} as other (read_only)")
        assert connection.execute(
            "select count(*) from other.staging.stg_jaffle_shop__orders"
        ).fetchone() == (99,)


def test_a_state_is_written_after_a_publish_only(done: Lab, tmp_path: Path) -> None:
    lab, empty = done, replace(done, data_dir=tmp_path / "empty")
    with pytest.raises(StateError, match="nothing is published yet: run `headrace run` first"):
        write_state(empty.resolved, tmp_path / "state")
    lab.run()
    write_state(lab.resolved, tmp_path / "state")
    old = (tmp_path / "state" / "state.json").read_bytes()
    with duckdb.connect(str(lab.warehouse)) as connection:
        connection.execute("create table jaffle_shop_raw.more as select 1 as x")
    with pytest.raises(StateError, match="the warehouse changed since the last publish"):
        write_state(lab.resolved, tmp_path / "state")
    assert (tmp_path / "state" / "state.json").read_bytes() == old
    assert not list(tmp_path.glob(".state*"))
    lab.run()
    report = write_state(lab.resolved, tmp_path / "state")
    assert (tmp_path / "state" / "state.json").read_bytes() != old
    assert report.bytes > 0
    assert "jaffle_shop_raw.more" in relations(tmp_path / "state" / "warehouse.duckdb")

    with lock.hold(lab.resolved.target, "headrace run"), pytest.raises(LockedError):
        write_state(lab.resolved, tmp_path / "state")
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(StateError, match="holds other files"):
        write_state(lab.resolved, other)
    with pytest.raises(StateError, match="the project's own data"):
        write_state(lab.resolved, lab.data_dir)
    with pytest.raises(StateError, match="is not a folder"):
        write_state(lab.resolved, other / "mine.txt")


def test_views_that_cannot_be_rewritten_become_tables(done: Lab, tmp_path: Path) -> None:
    with duckdb.connect(str(done.warehouse)) as connection:
        connection.execute(
            "create view staging.pivoted as pivot warehouse.jaffle_shop_raw.raw_orders "
            "on status in ('placed', 'shipped') using count(*)"
        )
    done.run()
    report = write_state(done.resolved, tmp_path / "state")
    shutil.rmtree(done.data_dir)
    with duckdb.connect() as connection:
        connection.execute(f"attach '{tmp_path / 'state' / 'warehouse.duckdb'}' as s (read_only)")
        row = connection.execute("select count(*) from s.staging.pivoted").fetchone()
    assert row is not None
    assert row[0] > 0
    assert report.views >= 3


# ── slim builds ─────────────────────────────────────────────────────────────


def test_only_what_changed_is_built_and_the_rest_is_read_from_the_state(
    fresh: Lab, state: Path
) -> None:
    edit(fresh, "marts/customers.sql", lambda sql: f"{sql}-- a remark\n")
    before = (state / "warehouse.duckdb").read_bytes()

    report = build(fresh, Selection(MODIFIED, state=state, defer=True))

    assert report.status == "success"
    assert built(report) == {"customers"}
    assert report.publish is None
    assert report.load is None
    assert any("nothing is published" in note for note in report.notes)
    assert any("loaded by what the state's was: jaffle_shop" in note for note in report.notes)
    assert (state / "warehouse.duckdb").read_bytes() == before
    assert not fresh.published.exists()
    assert not {name for name in relations(fresh.warehouse) if "headrace_state" in name}


def test_nothing_modified_builds_nothing(fresh: Lab, state: Path) -> None:
    report = build(fresh, Selection(MODIFIED, state=state, defer=True))
    assert report.status == "success"
    assert report.build is not None
    assert report.build.nodes == ()
    assert report.build.selection is not None
    assert report.build.selection.unmatched == ()
    diff = compare(state, fresh.warehouse, DiffOptions(), fresh.resolved)
    assert {table.status for table in diff.tables} == {"not built"}


def test_children_are_built_on_the_changed_model_and_the_diff_counts_it(
    fresh: Lab, state: Path
) -> None:
    edit_names(fresh)

    report = build(fresh, Selection(MODIFIED, NO_UNIT_TESTS, state, defer=True), "build")

    assert report.audit is not None
    assert report.audit.problems == ()
    assert built(report) == {"stg_jaffle_shop__customers", "customers"}
    diff = compare(state, fresh.warehouse, DiffOptions(), fresh.resolved)
    tables = {table.name: table for table in diff.tables}
    customers = tables["marts.customers"]
    expected = fresh.query(
        "select count(*) from marts.customers where last_name is not null and "
        "last_name = lower(last_name) and last_name <> upper(last_name)"
    )[0][0]
    assert expected > 0
    assert customers.key == ("customer_id",)
    assert (customers.rows_added, customers.rows_removed, customers.rows_changed) == (
        0,
        0,
        expected,
    )
    assert {c.name: c.rows for c in customers.columns_changed} == {"last_name": expected}
    assert tables["marts.orders"].status == "not built"
    # a view that was built on tables of the state cannot be read without it
    views = compare(state, fresh.warehouse, DiffOptions(schemas=("staging",)), fresh.resolved)
    (view,) = views.with_status("not compared")
    assert view.name == "staging.stg_jaffle_shop__customers"
    assert "headrace_state" in view.notes[0]
    # and the next whole run makes it anew (without the edit, which a unit test does not let pass)
    edit(fresh, CUSTOMERS, lambda sql: sql.replace("lower(last_name) as last_name", "last_name"))
    assert fresh.run("load", "build").status == "success"
    assert fresh.query("select count(*) from staging.stg_jaffle_shop__customers")[0][0] == 100


def test_a_new_and_a_removed_model_are_told_apart(fresh: Lab, state: Path) -> None:
    marts = fresh.root / "dbt_project" / "models" / "marts"
    for name in ("orders.sql", "orders.yml"):
        (marts / name).unlink()
    exposures = fresh.root / "dbt_project" / "models" / "exposures"
    shutil.rmtree(exposures)
    for test in (fresh.root / "dbt_project").rglob("*.yml"):
        text = test.read_text("utf-8")
        if "ref('orders')" in text:
            test.write_text(
                text.replace("ref('orders')", "ref('stg_jaffle_shop__orders')"), encoding="utf-8"
            )
    customers = marts / "customers.sql"
    customers.write_text(
        customers.read_text("utf-8").replace("ref('orders')", "ref('stg_jaffle_shop__orders')"),
        encoding="utf-8",
    )
    (marts / "days.sql").write_text(
        "{{ config(contract={'enforced': false}) }}"
        "select order_date, count(*) as n from {{ ref('stg_jaffle_shop__orders') }} group by 1",
        encoding="utf-8",
    )
    report = build(fresh, Selection(("days",), state=state, defer=True), "build")
    assert report.audit is not None
    assert report.audit.problems == ()
    assert built(report) == {"days"}
    tables = {
        t.name: t.status
        for t in compare(state, fresh.warehouse, DiffOptions(), fresh.resolved).tables
    }
    assert tables == {
        "marts.days": "added",
        "marts.orders": "removed",
        "marts.customers": "not built",
    }


def test_a_source_that_is_loaded_otherwise_is_loaded_and_counts_as_modified(
    fresh: Lab, state: Path
) -> None:
    folder = fresh.root / "dlt_pipelines" / "jaffle_shop"
    (folder / "notes.py").write_text("# a change\n", encoding="utf-8")

    report = build(fresh, Selection(MODIFIED, state=state, defer=True))

    assert report.load is not None
    assert {table.source for table in report.load.tables} == {"jaffle_shop"}
    assert built(report) >= {"stg_jaffle_shop__orders", "orders", "customers"}
    assert report.build is not None
    assert report.build.selection is not None
    assert report.build.selection.sources_of_state == ()
    diff = compare(state, fresh.warehouse, DiffOptions(), fresh.resolved)
    assert not diff.is_different


def test_without_defer_nothing_is_read_from_the_state(fresh: Lab, state: Path) -> None:
    edit_names(fresh)
    report = build(fresh, Selection(MODIFIED, NO_UNIT_TESTS, state))
    assert report.load is not None  # its sources are needed here
    assert report.build is not None
    assert report.build.selection is not None
    assert report.build.selection.sources_of_state == ()
    assert built(report) == {"stg_jaffle_shop__customers", "customers"}
    assert report.status == "failed"  # `orders`, which `customers` reads, is not here


# ── selections without a state ──────────────────────────────────────────────


def test_a_selection_is_built_and_never_published(done: Lab) -> None:
    published = done.published.read_bytes()
    versions = catalog_version(done)
    manifest = (done.resolved.artifacts / "manifest.json").read_bytes()

    report = build(done, Selection(("stg_jaffle_shop__orders+",), exclude=("customers",)))

    assert report.status == "success"
    assert built(report) == {"stg_jaffle_shop__orders", "orders"}
    assert report.publish is None
    assert done.published.read_bytes() == published
    # what is known of the whole stays: the artifacts, and with them the catalog
    assert (done.resolved.artifacts / "manifest.json").read_bytes() == manifest
    assert catalog_version(done) == versions
    # and a part does not pass for the whole
    refused = done.run("publish")
    assert refused.status == "failed"
    assert refused.audit is not None
    assert "the warehouse changed after the last build" in refused.audit.problems[0]
    whole = done.run()
    assert whole.status == "success"
    assert whole.build is not None
    assert not whole.build.reused


def catalog_version(lab: Lab) -> int | None:
    store = RunStore(lab.resolved.run_store_url)
    try:
        return store.catalog_version()
    finally:
        store.close()


def test_a_selector_that_matches_nothing_is_said(done: Lab) -> None:
    report = build(done, Selection(("no_such_model+", "orders")), "build")
    assert built(report) == {"orders"}
    assert report.build is not None
    assert report.build.selection is not None
    assert report.build.selection.unmatched == ("no_such_model+",)


def test_a_selection_that_selects_nothing_is_an_error(done: Lab) -> None:
    with pytest.raises(TransformError) as caught:
        build(done, Selection(("ordres+", "tag:nightly")), "build")
    assert str(caught.value) == (
        "--select ordres+ (did you mean 'orders'?), tag:nightly matches nothing in this project, "
        "so nothing was built: correct it, or run `headrace build` without it"
    )


def test_a_failing_test_fails_a_partial_build(done: Lab) -> None:
    lab = replace(done, root=own_project(done.data_dir.parent / "own"))
    edit(
        lab,
        "marts/orders.sql",
        lambda sql: sql.replace("orders.order_id,", "1::bigint as order_id,"),
    )
    report = build(lab, Selection(("orders",), NO_UNIT_TESTS), "build")
    assert report.status == "failed"
    assert report.audit is not None
    assert "unique(order_id)" in "; ".join(report.audit.problems)


# ── bad input ───────────────────────────────────────────────────────────────


def test_flags_that_do_not_go_together() -> None:
    for select, exclude, defer, words in (
        (("state:modified+",), (), None, "compares with a state"),
        (("orders",), ("state:new",), None, "compares with a state"),
        (("orders",), (), True, "--defer reads from a state"),
        ((" ",), (), None, "--select is empty"),
        ((), ("",), None, "--exclude is empty"),
    ):
        with pytest.raises(SettingsError, match=words):
            parse_selection(select, exclude, None, defer=defer)
    assert parse_selection((), (), None, defer=None).is_whole
    state = Path("state")
    assert parse_selection((), (), state, defer=None) == Selection(MODIFIED, (), state, defer=True)
    assert parse_selection(("a",), (), state, defer=False) == Selection(
        ("a",), (), state, defer=False
    )


def change_info(state: Path, **values: object) -> None:
    path = state / "state.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | values), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (shutil.rmtree, "there is no state folder at"),
        (
            lambda state: (state / "manifest.json").unlink(),
            "not a complete state folder, manifest.json",
        ),
        (lambda state: (state / "warehouse.duckdb").unlink(), "warehouse.duckdb is missing"),
        (lambda state: (state / "state.json").write_text("{"), "state.json cannot be read"),
        (lambda state: (state / "state.json").write_text("[]"), "state.json cannot be read"),
        (lambda state: change_info(state, format=99), "was written by a newer Headrace"),
        (lambda state: change_info(state, project="other"), "is of the dbt project 'other'"),
        (lambda state: change_info(state, dbt_schema="v99"), "another version of dbt"),
        (lambda state: (state / "manifest.json").write_text("{}"), "is not a dbt manifest"),
        (lambda state: (state / "warehouse.duckdb").write_bytes(b"x" * 4096), "cannot be opened"),
    ],
)
def test_a_state_that_cannot_be_used(
    fresh: Lab, state: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(state)
    with pytest.raises(StateError) as caught:
        build(fresh, Selection(MODIFIED, state=state, defer=True), "build")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_state_that_somebody_writes(fresh: Lab, state: Path) -> None:
    path = str(state / "warehouse.duckdb")
    writer = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", writer, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with pytest.raises(StateError, match="is open for writing in another program"):
            read_state(state)
        process.communicate("\n")


def test_a_wrong_selector_is_one_line(done: Lab) -> None:
    with pytest.raises(TransformError, match="'foo' is not a valid method name") as caught:
        build(done, Selection(("foo:bar",)), "build")
    assert "\n" not in str(caught.value)


# ── the commands ────────────────────────────────────────────────────────────


def test_the_commands_from_end_to_end(done: Lab, tmp_path: Path) -> None:
    assert done.command("run").returncode == 0
    wrote = done.command("state", "--out", str(tmp_path / "state"), "--json")
    assert json.loads(wrote.stdout)["path"] == str(tmp_path / "state")
    slim = done.command("run", "--state", str(tmp_path / "state"))
    assert slim.returncode == 0, slim.stderr
    assert "nothing changed since the state (state:modified+)" in " ".join(slim.stdout.split())
    pair = (str(tmp_path / "state"), str(done.published))
    same = done.command("diff", *pair, "--fail-on-change")
    assert same.returncode == 0, same.stderr
    assert "no table differs" in same.stdout
    with duckdb.connect(str(done.published)) as connection:
        connection.execute("update marts.orders set status = 'lost' where order_id <= 3")
    changed = done.command("diff", *pair, "--fail-on-change", "--json")
    assert changed.returncode == 1
    tables = {table["name"]: table for table in json.loads(changed.stdout)["tables"]}
    assert tables["marts.orders"]["rows_changed"] == 3
    (column,) = tables["marts.orders"]["columns_changed"]
    assert (column["name"], column["rows"]) == ("status", 3)
    assert "model customers" in tables["marts.orders"]["readers"]
    assert done.command("diff", *pair).returncode == 0
    wrong = done.command("diff", pair[0], str(tmp_path / "nothing"))
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: there is no file")
    assert done.command("diff", *pair, "--key", "orders").returncode == 2
    assert done.command("build", "--select", "state:modified").returncode == 2
