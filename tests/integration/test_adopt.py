"""``headrace adopt`` on repositories of six shapes: what is found, what is added, and a run."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import adopt_lab
import duckdb
import pytest
from adopt_lab import SHAPES, texts, write
from api_lab import use_pipelines
from lab import Lab
from typer.testing import CliRunner
from warm_process import PYTEST_HERE, run_module

from headrace.adopt.service import AdoptReport, adopt
from headrace.cli.main import app
from headrace.errors import AdoptError, UserError
from headrace.pipeline.reports import RunReport
from headrace.pipeline.run import run
from headrace.scaffold import scaffold
from headrace.settings import Resolved, resolve

pytestmark = pytest.mark.slow
OURS = (".headrace/", "config/", "dlt_pipelines/", "dbt_project/")


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, AdoptReport]]:
    """All six, adopted once."""
    base = tmp_path_factory.mktemp("repositories")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINANCE_DB", "fin.duckdb")
        patch.delenv("DBT_PROFILES_DIR", raising=False)
        reports = {}
        for name, files in SHAPES.items():
            write(base / name, files)
            reports[name] = adopt(base / name)
        yield reports


def root_of(report: AdoptReport) -> Path:
    return Path(report.project)


def settings_of(report: AdoptReport) -> Resolved:
    return resolve(root_of(report), environ={})


def run_in(report: AdoptReport, monkeypatch: pytest.MonkeyPatch) -> RunReport:
    """``headrace run`` as if typed in the repository."""
    root = root_of(report)
    monkeypatch.chdir(root)
    use_pipelines(monkeypatch, Lab(root / ".headrace", root))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("DLT_DATA_DIR", str(root / ".headrace" / "home"))
    return run(settings_of(report))


def published(report: AdoptReport, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(settings_of(report).published), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("shape", SHAPES)
def test_no_file_of_the_repository_is_changed(shape: str, adopted: dict[str, AdoptReport]) -> None:
    report = adopted[shape]
    now = texts(root_of(report))
    written = {file.path for file in report.files}
    assert {name: text for name, text in now.items() if name in SHAPES[shape]} == SHAPES[shape]
    assert written == {name for name in now if name.startswith(OURS)} | (written - set(now))
    assert all(name.startswith(OURS) for name in written)
    settings_of(report)  # the settings hold


def test_what_is_said_and_set(adopted: dict[str, AdoptReport]) -> None:
    """Each shape by what is particular of it."""
    shop = adopted["seeded_shop"]
    assert "dbt project coffee in the root: 3 models, 2 tests" in shop.found
    assert settings_of(shop).published_relations == (("main",), ("beans",))
    assert settings_of(shop).target.location.endswith("seeded_shop/coffee.duckdb")

    both = adopted["dlt_and_dbt"]
    assert "dlt pipeline weather in readings.py, into weather_data" in both.found
    assert settings_of(both).raw_schema("weather") == "weather_data"
    assert settings_of(both).published_relations == (("main_gold",), ())
    wrapper = (root_of(both) / "dlt_pipelines/weather/__init__.py").read_text()
    assert 'source_of("weather", script.weather(script.STATIONS, days=3))' in wrapper

    alone = "\n".join(adopted["dlt_only"].notes)
    assert "local_pipeline.py calls pipeline.run when it is imported" in alone
    assert "loans_pipeline.py loads into bigquery" in alone
    assert any(step.startswith('pip install "headrace') for step in adopted["dlt_only"].next_steps)

    sql = adopted["sql_only"]
    assert "sql/setup.sql is left out: it has more than one statement" in sql.notes
    order = (root_of(sql) / "dbt_project/models/order.yml").read_text()
    assert "{{ ref('clean_sales') }}" in order

    package = adopted["src_layout"]
    assert settings_of(package).settings.sources["meters_of_street"].enabled is False
    assert any(step.startswith("uv add ") for step in package.next_steps)

    own = adopted["own_schemas"]
    assert "profile finance (laptop)" in "\n".join(own.found)
    assert settings_of(own).published_relations == (("dw_core",), ())


def test_dlt_and_dbt_run_and_publish(
    adopted: dict[str, AdoptReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views over files by relative paths; what is loaded again is unchanged."""
    report = adopted["dlt_and_dbt"]
    first = run_in(report, monkeypatch)
    assert first.status == "success"
    assert first.load is not None
    assert [(t.source, t.table, t.rows_new) for t in first.load.tables] == [
        ("weather", "readings", 6)
    ]
    assert published(report, "from main_gold.stations order by 1") == [
        ("north", 400, 4.5),
        ("south", 120, 4.5),
    ]
    (root_of(report) / "places" / "stations.csv").write_text("station,altitude\nnorth,401\n")
    second = run_in(report, monkeypatch)
    assert second.load is not None
    assert second.load.tables[0].rows_new == 0
    assert published(report, "from main_gold.stations") == [("north", 401, 4.5)]


def test_a_shop_with_seeds_runs_at_once(
    adopted: dict[str, AdoptReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sources are its seeds; its warehouse lies among its models, and is no input."""
    report = adopted["seeded_shop"]
    assert run_in(report, monkeypatch).status == "success"
    assert published(report, "from main.beans order by 1") == [
        (1, "Arabica", 9.0),
        (2, "Robusta", 0.0),
        (3, "Arabica", 61.0),
    ]
    again = run_in(report, monkeypatch)
    assert again.build is not None
    assert again.build.reused


def test_the_own_profile_holds(
    adopted: dict[str, AdoptReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its target's name, its settings, its schema macro; marts are views."""
    report = adopted["own_schemas"]
    assert run_in(report, monkeypatch).status == "success"
    assert published(report, "select distinct made_by from dw_core.invoices") == [("laptop",)]
    with duckdb.connect(settings_of(report).target.location, read_only=True) as warehouse:
        schemas = warehouse.execute("select schema_name from duckdb_views() where not internal")
        assert {row[0] for row in schemas.fetchall()} == {"fin", "dw_core"}


def test_sql_runs_in_the_order_that_it_needs(
    adopted: dict[str, AdoptReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = adopted["sql_only"]
    assert run_in(report, monkeypatch).status == "success"
    assert published(report, "select month::date::text, amount from monthly order by 1") == [
        ("2024-01-01", 12),
        ("2024-02-01", 2),
    ]


def test_dlt_alone_loads_and_is_scaffolded(
    adopted: dict[str, AdoptReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = adopted["dlt_only"]
    loaded = run_in(report, monkeypatch)
    assert loaded.load is not None
    assert {(t.source, t.table, t.rows_new) for t in loaded.load.tables} == {
        ("books", "books", 2),
        ("loans", "loans", 3),
    }
    scaffold(settings_of(report), "books")
    folder = root_of(report) / "dbt_project" / "models" / "staging" / "books"
    assert "schema: library\n" in (folder / "_books__sources.yml").read_text()


def test_the_sources_of_a_package_are_built(
    adopted: dict[str, AdoptReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = root_of(adopted["src_layout"])
    use_pipelines(monkeypatch, Lab(root / ".headrace", root))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("SOURCES__METERS__API_KEY", "x")
    from dlt_pipelines import meters, meters_of_street  # type: ignore[attr-defined]

    assert [row["meter"] for row in meters.build_source().resources["values"]] == [1, 2]
    streets = meters_of_street.build_source(street="Main").resources["streets"]
    assert list(streets) == [{"street": "Main"}]


def test_dry_run_shows_the_diff_and_writes_nothing(tmp_path: Path) -> None:
    root = write(tmp_path / "shop", adopt_lab.DLT_ONLY)
    before = texts(root)
    shown = CliRunner().invoke(app, ["adopt", str(root), "--dry-run", "--with", "tests,workflows"])
    assert shown.exit_code == 0, shown.output
    assert "would be added" in shown.stdout
    assert "--- /dev/null\n+++ b/config/default.yml\n" in shown.stdout
    assert "+++ b/.github/workflows/headrace.yml" in shown.stdout
    assert "+++ b/tests/test_headrace.py" in shown.stdout
    assert texts(root) == before
    as_json = CliRunner().invoke(app, ["adopt", str(root), "--dry-run", "--json"])
    assert json.loads(as_json.stdout)["dry_run"] is True
    assert texts(root) == before


def test_the_tests_that_are_added_pass(tmp_path: Path) -> None:
    root = write(tmp_path / "shop", adopt_lab.DLT_ONLY)
    adopt(root, extras=("tests",))
    words = ["-q", "-p", "no:cacheprovider", "tests"]
    done = run_module("pytest", words, cwd=root, env=os.environ | PYTEST_HERE)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_a_second_time_and_files_that_are_in_the_way(tmp_path: Path) -> None:
    root = write(tmp_path / "shop", {**adopt_lab.DLT_ONLY, "config/default.yml": "mine: true\n"})
    with pytest.raises(AdoptError, match=r"config/default\.yml is there already.*nothing was writ"):
        adopt(root)
    assert texts(root) == {**adopt_lab.DLT_ONLY, "config/default.yml": "mine: true\n"}
    (root / "config" / "default.yml").unlink()
    first = adopt(root)
    with pytest.raises(AdoptError, match="is a Headrace project already: `headrace add source`"):
        adopt(root)
    # one that was killed before it wrote the settings is finished by the same command
    (root / "config" / "default.yml").unlink()
    second = adopt(root)
    assert {file.path for file in second.files if file.status == "added"} == {"config/default.yml"}
    assert {file.path for file in second.files} == {file.path for file in first.files}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds no dbt project, no dlt script and no folder of SQL: `headrace new` makes"),
        ({"x.sql": "select 1"}, r"\(x\.sql: it is not in a folder"),
        ({"sql/x.sql": "create table a (b int)"}, "not a query but a create statement"),
        (
            {"a/dbt_project.yml": "name: a\n", "b/dbt_project.yml": "name: b\n"},
            "several dbt projects, a, b: name one with --dbt-project",
        ),
        ({"dbt_project.yml": "name: [\n"}, r"dbt_project\.yml cannot be read"),
        ({"dbt_project.yml": "- a\n"}, "is no dbt project"),
        ({"dbt_project.yml": "version: 1\n"}, "names no project: give it a `name`"),
        (
            {
                "dbt_project.yml": "name: a\nprofile: a\n",
                "profiles.yml": "a: {target: x, outputs: {x: {type: snowflake}}}\n",
            },
            "is of type snowflake, and Headrace runs dbt on DuckDB.*serve --artifacts",
        ),
        (
            {
                "dbt_project.yml": "name: a\nprofile: a\n",
                "profiles.yml": "a: {target: x, outputs: {x: {type: duckdb, path: 'md:shop'}}}\n",
            },
            "md:shop is not a DuckDB file of this machine",
        ),
        (
            {
                "dbt_project.yml": "name: a\nprofile: a\n",
                "profiles.yml": "a:\n  target: \"{{ env_var('NOT_SET_HERE') }}\"\n"
                "  outputs: {x: {}}\n",
            },
            "NOT_SET_HERE.*set it, and run this again",
        ),
        ({"dbt_project.yml": "name: a\nprofile: a\n", "profiles.yml": "[\n"}, "not valid YAML"),
    ],
)
def test_what_is_refused(
    files: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    root = write(tmp_path / "repository", {"README.md": "", **files})
    with pytest.raises(UserError, match=said) as caught:
        adopt(root)
    assert "\n" not in str(caught.value)
    assert texts(root) == {"README.md": "", **files}


def test_a_project_that_dbt_cannot_parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    files = {"dbt_project.yml": "name: a\nprofile: a\n", "models/x.sql": "{{ ref('gone') }}"}
    root = write(tmp_path / "repository", files)
    with pytest.raises(AdoptError, match=r"dbt cannot parse .*gone"):
        adopt(root)
    with pytest.raises(AdoptError, match="is not a folder"):
        adopt(tmp_path / "nowhere")
    refused = CliRunner().invoke(app, ["adopt", str(root), "--with", "toys"])
    assert "choose from tests, workflows" in str(refused.exception)
    assert texts(root) == files
