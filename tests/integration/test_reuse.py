"""Nodes whose SQL, config and inputs are what they were keep their results; all others are run."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from lab import Lab, copy_project

from headrace.catalog import RunStore
from headrace.pipeline.building import reuse
from headrace.pipeline.building.slim_build import Selection
from headrace.pipeline.quarantine.replay import discard, replay
from headrace.pipeline.quarantine.rows import Chosen
from headrace.pipeline.reports import BuildReport, LoadFailure, LoadReport, TableReport
from headrace.pipeline.run import run
from headrace.pipeline.state import build_state

pytestmark = pytest.mark.slow

SOURCE = """\
sources:
  - name: {name}
    schema: {name}_raw
    tables: [{{name: items}}, {{name: kinds}}, {{name: _dlt_loads}}]
"""
STAGING = """\
with loads as ({{{{ completed_loads('{name}') }}}})
select * exclude (_dlt_load_id, _dlt_file_name) from {{{{ source('{name}', '{table}') }}}}
where _dlt_load_id in (select loads.load_id from loads)
"""
MARTS = {
    "a_items": "select * from {{ ref('stg_a') }}",
    "a_kinds": "select * from {{ ref('stg_a_kinds') }}",
    "a_loads": "select count(*) > 0 as is_loaded from {{ source('a', '_dlt_loads') }}",
    "a_total": "select sum(amount) as total from {{ ref('a_items') }}",
    "b_items": "select * from {{ ref('stg_b') }}",
    "both": "select a.id, a.amount + b.amount as amount from {{ ref('a_items') }} as a "
    "join {{ ref('eph') }} as b using (id)",
    "weights": "select * from {{ ref('weight') }}",
    "kept": "{{ config(materialized='incremental') }} select * from {{ ref('stg_a') }}\n"
    "{% if is_incremental() %} where id > (select max(id) from {{ this }}) {% endif %}",
}
EPHEMERAL = """\
{{ config(materialized='ephemeral', access='protected') }} select * from {{ ref('b_items') }}"""
YML = """\
models:
  - name: a_items
    columns: [{name: id, data_tests: [unique, not_null]}]
  - name: b_items
    columns: [{name: id, data_tests: [unique]}]
unit_tests:
  - name: totals_add_up
    model: a_total
    given: [{input: ref('a_items'), rows: [{amount: 1}, {amount: 2}]}]
    expect: {rows: [{total: 3}]}
"""
SNAPSHOT = """\
{% snapshot over_time %}
{{ config(target_schema='snapshots', unique_key='id', strategy='check', check_cols='all') }}
select id, amount from {{ ref('stg_b') }}
{% endsnapshot %}
"""
A = {"stg_a", "a_items", "a_total", "both", "kept", "a_loads"}
B = {"stg_b", "b_items", "both", "over_time"}


class Project:
    """Two sources, and what is made of them."""

    def __init__(self, folder: Path) -> None:
        self.root = copy_project(folder / "project")
        self.dbt = self.root / "dbt_project"
        self.models = self.dbt / "models" / "marts"
        for path in (self.dbt / "models").iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        self.models.mkdir()
        config = "sources:\n  jaffle_shop: {enabled: false}\n"
        for name in "ab":
            (self.root / name).mkdir()
            self.write_items(name, "1,10\n2,20\n")
            place = self.dbt / "models" / "staging" / name
            place.mkdir(parents=True)
            (place / f"_{name}.yml").write_text(SOURCE.format(name=name))
            (place / f"stg_{name}.sql").write_text(STAGING.format(name=name, table="items"))
            config += (
                f"  {name}: {{kind: files, path: {name}, tables: "
                "{items: {pattern: 'i*', primary_key: [id]}, "
                "kinds: {pattern: 'k*', primary_key: [id]}}}\n"
            )
        self.write_kinds("1,odd\n2,even\n")
        kinds = STAGING.format(name="a", table="kinds")
        (self.dbt / "models" / "staging" / "a" / "stg_a_kinds.sql").write_text(kinds)
        (self.root / "config" / "default.yml").write_text(config)
        for name, sql in MARTS.items():
            self.write(name, sql)
        self.write("eph", EPHEMERAL)
        (self.models / "ab.yml").write_text(YML)
        for path in (self.dbt / "seeds", self.dbt / "snapshots"):
            path.mkdir(exist_ok=True)
        self.seed("1,2\n")
        (self.dbt / "snapshots" / "over_time.sql").write_text(SNAPSHOT)
        self.lab = Lab(self.root / "data", self.root)

    def write(self, model: str, sql: str) -> None:
        (self.models / f"{model}.sql").write_text(f"{sql}\n")

    def write_items(self, source: str, rows: str) -> None:
        (self.root / source / "items.csv").write_text(f"id,amount\n{rows}")

    def write_kinds(self, rows: str) -> None:
        for source in "ab":
            (self.root / source / "kinds.csv").write_text(f"id,kind\n{rows}")

    def seed(self, rows: str) -> None:
        (self.dbt / "seeds" / "weight.csv").write_text(f"id,weight\n{rows}")

    def run(self) -> set[str]:
        """What a run made or tested, by name; tests under the name of their first model."""
        report = self.lab.run()
        problems = report.audit.problems if report.audit else report.error
        assert report.status == "success", problems
        assert report.build is not None
        self.build = report.build
        self.run_id = report.run_id
        return ran(report.build)

    def content(self) -> dict[str, list[tuple[object, ...]]]:
        """All that was built, but for a snapshot's own columns."""
        names = self.lab.query(
            "select table_schema || '.' || table_name from information_schema.tables "
            "where table_schema in ('marts', 'staging', 'main')"
        )
        found = {name: self.lab.query(f"select * from {name} order by all") for (name,) in names}
        found["over_time"] = self.lab.query(
            "select id, amount, dbt_valid_to is null from snapshots.over_time order by all"
        )
        return found


def ran(build: BuildReport) -> set[str]:
    return {
        node.name
        for node in build.nodes
        if not node.reused and node.resource_type in {"model", "seed", "snapshot"}
    }


def checked(build: BuildReport) -> set[str]:
    return {node.name for node in build.nodes if not node.reused} - ran(build)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """After two runs, the second with another content of one source; all on one day."""
    today = build_state.today()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_state, "today", lambda: today)
        project = Project(tmp_path_factory.mktemp("reuse"))
        assert project.run() >= A | B | {"weight", "weights"}
        project.write_items("a", "1,10\n2,25\n3,30\n")
        assert project.run() == A
        yield project


def test_what_reads_a_changed_source_is_run_and_nothing_else(built: Project) -> None:
    built.write_items("b", "1,10\n2,20\n3,1\n")
    assert built.run() == B
    assert checked(built.build) == {"unique_b_items_id"}
    results = json.loads((built.lab.data_dir / "dbt/target/run_results.json").read_bytes())
    assert len(results["results"]) == len(built.build.nodes)
    assert {one["status"] for one in results["results"]} == {"success", "pass"}
    store = RunStore(built.lab.resolved.run_store_url)
    run = store.run(built.run_id)
    assert run is not None
    kept = {node.name: node.status for node in run.nodes}
    assert (kept["a_items"], kept["b_items"]) == ("reused", "success")
    built.write_items("a", "1,10\n2,25\n3,31\n")
    assert built.run() == A
    assert checked(built.build) == {"unique_a_items_id", "not_null_a_items_id", "totals_add_up"}
    assert built.lab.query("select * from marts.a_total") == [(66,)]
    assert built.lab.query("select * from marts.both order by id")[-1] == (3, 32)


def test_what_reads_another_table_of_a_changed_source_is_not_run(built: Project) -> None:
    built.write_kinds("1,odd\n2,even\n3,odd\n")
    assert built.run() == {"stg_a_kinds", "a_kinds", "a_loads"}
    assert built.lab.query("select count(*) from marts.a_kinds") == [(3,)]


def test_what_a_change_of_the_project_reaches_is_run(built: Project) -> None:
    yml = built.models / "ab.yml"
    # what it compiles to counts, not how it is written; so do tags, which macros may read
    built.write("b_items", "{{ config(tags=['x']) }} select * from {{ ref('stg_' ~ 'b') }}")
    built.write("a_items", "select id, amount + 0 as amount from {{ ref('stg_a') }}")
    built.seed("1,2\n2,3\n")
    assert built.run() == {"a_items", "a_total", "both", "b_items", "weight", "weights"}
    tests_of_a = {"unique_a_items_id", "not_null_a_items_id", "totals_add_up"}
    assert checked(built.build) == tests_of_a | {"unique_b_items_id"}
    assert built.lab.query("select count(*) from marts.weights") == [(2,)]
    built.write("eph", f"{EPHEMERAL} where id > 1")
    built.write("a_items", "select id, amount + 0 as amount from {{ ref('stg_' ~ 'a') }}")
    yml.write_text(YML.replace("[unique,", "["))
    assert built.run() == {"both"}
    assert checked(built.build) == set()
    described = "name: a_items\n    description: In words.\n"
    yml.write_text(YML.replace("name: a_items\n", described))
    assert built.run() == {"a_items", "a_total", "both"}  # dbt_project.yml has `persist_docs`
    assert checked(built.build) == tests_of_a
    yml.write_text(YML.replace("rows: [{total: 3}]", "rows: [{total: 4}]"))
    report = built.lab.run()
    assert report.build is not None
    assert checked(report.build) == tests_of_a
    assert report.status == "failed"
    yml.write_text(YML)
    # it failed, so its model was skipped
    assert built.run() == {"a_total"}
    assert checked(built.build) == {"totals_add_up"}


def test_a_changed_macro_runs_what_it_is_compiled_into(built: Project) -> None:
    macros = built.dbt / "macros"
    amount = "{%% macro amount() %%}%s{%% endmacro %%}\n"
    (macros / "amount.sql").write_text(amount % "amount + 0")
    built.write("b_items", "select id, {{ amount() }} as amount from {{ ref('stg_b') }}")
    assert built.run() == {"b_items", "both"}
    assert checked(built.build) == {"unique_b_items_id", "totals_add_up"}
    (macros / "amount.sql").write_text(amount % "amount - 0")
    assert built.run() == {"b_items", "both"}
    # a unit test calls its model's macros when it is run
    assert checked(built.build) == {"unique_b_items_id", "totals_add_up"}
    (macros / "amount.sql").unlink()
    built.write("b_items", "select * from {{ ref('stg_b') }}")
    assert built.run() == {"b_items", "both"}


def test_after_a_change_of_a_macro_that_dbt_calls_everything_is_run(built: Project) -> None:
    instead = built.dbt / "macros" / "instead.sql"
    instead.write_text("{% macro persist_docs(relation, model) %}{{ helped() }}{% endmacro %}")
    (built.dbt / "macros" / "helped.sql").write_text("{% macro helped() %}{% endmacro %}")
    assert built.run() >= A | B | {"weight", "weights"}
    (built.dbt / "macros" / "helped.sql").write_text("{% macro helped() %} {% endmacro %}")
    assert built.run() >= A | B | {"weight", "weights"}
    instead.unlink()


def test_after_a_failed_test_only_what_was_not_good_is_run(built: Project) -> None:
    built.write_items("b", "1,10\n2,20\n3,2\n")
    (built.dbt / "tests" / "no_two.sql").write_text(
        "select * from {{ ref('b_items') }} where amount = 2"
    )
    report = built.lab.run()
    assert report.status == "failed"
    assert report.build is not None
    assert "no_two" in checked(report.build)
    assert built.lab.run().status == "failed"  # a result that is not good does not stand
    (built.dbt / "tests" / "no_two.sql").unlink()
    found = built.run()
    assert found <= {"both"}
    assert built.lab.query("select * from marts.both order by id")[-1] == (3, 33)


def test_nothing_is_reused_after_somebody_else_wrote_or_on_another_day(
    built: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with duckdb.connect(str(built.lab.warehouse)) as connection:
        connection.execute("update marts.a_items set amount = 0")
    assert built.run() >= A | B | {"weight", "weights"}
    assert built.lab.query("select sum(amount) from marts.a_items") != [(0,)]
    built.write_items("a", "1,11\n")  # the same, between the load and the build
    built.lab.load()
    with duckdb.connect(str(built.lab.warehouse)) as connection:
        connection.execute("update marts.b_items set amount = 0")
    report = built.lab.run("build")
    assert report.build is not None
    assert ran(report.build) >= A | B
    built.write_items("a", "1,12\n")  # a load alone, and later the build
    built.lab.load()
    built.lab.load()
    report = built.lab.run("build")
    assert report.build is not None
    assert ran(report.build) == A
    with_var = built.lab.set("dbt.vars.something=1").run("build").build
    assert with_var is not None
    assert ran(with_var) >= A | B | {"weight", "weights"}
    tomorrow = build_state.today().replace(year=build_state.today().year + 1, day=1)
    monkeypatch.setattr(build_state, "today", lambda: tomorrow)
    assert built.run() >= A | B | {"weight", "weights"}
    built.write_items("a", "1,13\n")
    report = built.lab.set("dbt.reuse_results=false").run()
    assert report.build is not None
    assert ran(report.build) >= A | B | {"weight", "weights"}


def test_what_a_part_built_is_reused_and_what_reads_it_is_not(built: Project) -> None:
    built.run()
    built.write("a_items", "select id, amount + 1 as amount from {{ ref('stg_a') }}")
    built.seed("1,2\n2,3\n3,4\n")
    part = run(built.lab.resolved, steps=("build",), selection=Selection(("a_items", "weight+")))
    assert part.status == "success"
    assert built.run() == {"a_total", "both"}
    assert checked(built.build) == {"totals_add_up"}


UNKNOWN = {
    "volatile": "select now() as at from {{ ref('b_items') }}",
    "no_parent": "select * from a_raw.items",
    "with_hook": "{{ config(post_hook='select 1') }} select * from {{ ref('b_items') }}",
    "child": "select * from {{ ref('volatile') }}",
}


def test_what_its_sql_does_not_show_is_run_each_time(built: Project) -> None:
    for name, sql in UNKNOWN.items():
        built.write(name, sql)
    assert built.run() == set(UNKNOWN)
    assert built.run() == set()
    assert built.build.reused  # as a whole, as nothing at all changed
    built.write_items("a", "1,10\n2,26\n")
    assert built.run() == A | set(UNKNOWN)
    for name in UNKNOWN:
        (built.models / f"{name}.sql").unlink()
        with duckdb.connect(str(built.lab.warehouse)) as connection:
            connection.execute(f"drop table marts.{name}")


def test_a_row_of_builds_leaves_what_one_build_makes(built: Project, tmp_path: Path) -> None:
    """All that the tests before did to the project, against a project that is built once."""
    built.write_items("a", "1,13\n2,25\n3,32\n")
    built.run()
    other = Project(tmp_path)
    for folder in ("a", "b", "dbt_project"):
        shutil.rmtree(other.root / folder)
        shutil.copytree(built.root / folder, other.root / folder)
    other.run()
    found, expected = built.content(), other.content()
    del found["marts.kept"], expected["marts.kept"]  # it keeps the rows that it has
    found["over_time"] = [row for row in found["over_time"] if row[2]]
    assert found == expected


def test_rows_that_left_quarantine_run_what_reads_their_table(built: Project) -> None:
    built.write_items("b", "1,10\n2,20\n,7\n3,1\n")
    assert built.run() == B
    items = Chosen(source="b", table="items")
    assert replay(built.lab.resolved, items, corrections=["id = '4'"], dry_run=True).rows_new == 1
    assert replay(built.lab.resolved, items, corrections=["id = '4'"]).rows_new == 1
    assert built.run() == B
    assert built.lab.query("select amount from marts.b_items where id = 4") == [(7,)]


def test_rows_that_are_given_up_run_nothing_again(built: Project) -> None:
    built.write_items("b", "1,10\n2,20\n,7\n3,1\n,9\n")
    assert built.run() == B
    discarded = discard(built.lab.resolved, Chosen(source="b", table="items"))
    assert discarded.rows >= 1
    assert built.run() == set()


TABLE = TableReport(
    source="a", table="items", rows_given=3, rows_new=0, rows_changed=0, rows_unchanged=3,
    rows_total=3,
)  # fmt: skip


@pytest.mark.parametrize(
    ("update", "is_changed"),
    [
        ({}, False),
        ({"rows_given": 0, "rows_unchanged": 0, "files_unchanged": 1}, False),
        ({"rows_unchanged": 2, "rows_new": 1}, True),
        ({"rows_unchanged": 2, "rows_changed": 1}, True),
        ({"rows_unchanged": 2, "rows_quarantined": 1}, True),
        ({"rows_deleted": 1}, True),
        ({"new_columns": ("x",)}, True),
        ({"changes": ("amount is a text now",)}, True),
    ],
)
def test_what_counts_as_a_change_of_a_table(
    built: Project, update: dict[str, object], is_changed: bool
) -> None:
    resolved = built.lab.resolved
    last = build_state.BuildState(
        passed=True, inputs="", signature="", nodes=(), generation="x",
        finished_at=datetime.now(UTC), sources={"a_raw": "1", "b_raw": "1", "b_raw.items": "0"},
    )  # fmt: skip
    tables = (TABLE.model_copy(update=update), TABLE.model_copy(update={"table": "Kinds"}))
    report = LoadReport(tables=tables, load_ids=(), seconds=0)

    def after(report: LoadReport, *, whole: bool = False) -> dict[str, str]:
        reuse.after_load(resolved, resolved.target, last, report, whole=whole)
        state = build_state.read(resolved)
        assert state is not None
        new = {name for name, found in state.sources.items() if found not in {"0", "1"}}
        return state.sources | dict.fromkeys(new, "new")

    others = {"b_raw": "1", "b_raw.items": "0"}
    assert tables[0].is_changed == is_changed
    assert after(report) == others | (
        {"a_raw": "new", "a_raw.items": "new", "a_raw.kinds": "1"} if is_changed else {"a_raw": "1"}
    )
    failed = report.model_copy(update={"failures": (LoadFailure(source="b", error="no"),)})
    assert after(failed).items() >= {"b_raw": "new"}.items()
    assert "b_raw.items" not in after(failed)
    assert after(report, whole=True) == others | {"a_raw": "new"}
