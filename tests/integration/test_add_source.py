"""``headrace add source``, each kind: what is written runs, and passes every check of a project."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import api_lab
import pytest
from api_lab import Api
from lab import ROOT, Lab
from ruamel.yaml import YAML
from typer.testing import CliRunner
from warm_process import PYTEST_HERE, run_module

from headrace.add import AddRequest
from headrace.add.request import PAGINATORS
from headrace.cli.main import app

TOKEN = "s3cret-t0ken-of-the-test"  # noqa: S105 - of a server on this machine


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with api_lab.serve() as server:
        orders = [api_lab.customer(n, n, lines=[{"sku": "a", "number": n}]) for n in (1, 2, 3, 4)]
        server.answers.tables = {"/v1/customers": api_lab.customers(7), "/v1/v2/orders": orders}
        server.answers.tables["/v1/refunds"] = []
        server.answers.token = TOKEN
        yield server


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A project as a user has it, with its own tests, before anything is added."""
    lab = api_lab.project(tmp_path_factory.mktemp("add"))
    shutil.copy(ROOT / "pyproject.toml", lab.root)
    shutil.copy(ROOT / ".env.example", lab.root)
    shutil.copy(ROOT / ".sqlfluff", lab.root)
    shutil.rmtree(lab.root / "tests", ignore_errors=True)
    return replace(lab, environ={"HEADRACE_SOURCES__CRM__TOKEN": TOKEN})


@pytest.fixture(scope="module")
def added(before: Lab, api: Api) -> dict[str, dict[str, object]]:
    """Every kind, each by the real command; what it reports by the source's name."""
    folder = before.data_dir.parent
    with closing(sqlite3.connect(folder / "erp.sqlite")) as connection, connection:
        connection.executescript(
            "create table parts (id integer primary key, price decimal(8, 2), "
            "updated_at timestamp);"
            "insert into parts values (1, 2.25, '2026-01-01 00:00:00.000000');"
            "create table tags (tag text); insert into tags values ('new');"
            "create table later (id integer primary key);"
        )
    (folder / "exports").mkdir()
    (folder / "exports" / "orders_1.csv").write_text(
        "order_id,amount,changed_on\n1,2.5,2026-01-01\n2,3.5,2026-01-02\n"
    )
    api_options = ["--url", api.url, "--resource", "customers", "--resource", "orders=v2/orders"]
    api_options += ["--resource", "refunds"]
    key = ["--primary-key", "id", "--cursor", "updated_at"]
    files = ["--path", str(folder / "exports"), "--pattern", "orders=orders*.csv"]
    kinds = {
        "crm": ["rest_api", *api_options, *key],
        "erp": ["sql_database", "--url", f"sqlite:///{folder / 'erp.sqlite'}"],
        "sales": ["files", *files, "--primary-key", "order_id", "--cursor", "changed_on"],
        "bikes": ["synth"],
    }
    reports = {}
    for name, (kind, *options) in kinds.items():
        result = before.command("add", "source", name, "--kind", kind, *options, "--json")
        assert result.returncode == 0, result.stderr
        reports[name] = json.loads(result.stdout)
    return reports


@pytest.mark.slow
def test_each_kind_is_loaded_and_scaffolded(
    before: Lab, added: dict[str, dict[str, object]]
) -> None:
    models = before.root / "dbt_project" / "models" / "staging"
    expected = {
        "crm": ["customers", "orders", "orders__lines"],
        "erp": ["later", "parts", "tags"],
        "sales": ["orders"],
        "bikes": ["customer", "order"],
    }
    for name, tables in expected.items():
        report = added[name]
        assert (report["not_loaded"], report["commands"]) == (None, [])
        assert sorted(path.stem for path in (models / name).glob("*.sql")) == [
            f"stg_{name}__{table}" for table in tables
        ]
    assert added["erp"]["choices"] == [
        "later: read as a whole each time (no column says when a row changed)",
        "parts: what changed by updated_at, merged on id",
        "tags: read as a whole each time (it has no primary key)",
        "rows deleted there stay where there is a cursor, until `load --full-refresh`",
    ]
    paths = [file["path"] for file in added["sales"]["files"]]  # type: ignore[attr-defined]
    assert paths == ["tests/project/test_sales.py", "config/ci.yml", "config/default.yml"]
    checks = YAML(typ="safe").load(before.root / "config" / "ci.yml")
    assert checks == {"sources": {name: {"enabled": False} for name in ("crm", "erp", "sales")}}
    assert added["crm"]["choices"] == [
        "later loads ask for ?since=<the last updated_at>",
        (
            "refunds: there is no row yet, and so no table; once there are some, "
            "`headrace scaffold crm` writes its model"
        ),
        *(
            f"{table}: {note}"
            for table in ("customers", "orders")
            for note in (
                "its pages were found by trying: paginator: {type: json_link, next_url_path: next}",
                "the cursor updated_at is a timestamp",
            )
        ),
    ]


@pytest.mark.slow
def test_the_settings_keep_every_line(before: Lab, added: dict[str, dict[str, object]]) -> None:
    assert len(added) == 4
    for name in ("config/default.yml", ".env.example"):
        old = (ROOT / name).read_text(encoding="utf-8")
        assert (before.root / name).read_text(encoding="utf-8").startswith(old)


@pytest.mark.slow
def test_a_run_builds_and_publishes_with_them(
    before: Lab, added: dict[str, dict[str, object]]
) -> None:
    result = before.command("run", "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads(result.stdout)
    assert report["status"] == "success"
    built = {node["name"] for node in report["build"]["nodes"] if node["status"] == "success"}
    assert {"stg_crm__orders__lines", "stg_erp__parts", "stg_sales__orders"} <= built
    assert {"stg_bikes__customer", "stg_bikes__order"} <= built
    assert len(added) == 4


RUN_ONCE = "not test_bbb and not test_ccc and not test_api_auto and (not busy or test_crm)"
"""Of generated tests that differ in their names alone, one is run; all are linted and typed.

The paginator of `crm` is `auto`; keys and a cursor like those of `api_auto` have the others.
"""


@pytest.mark.slow
def test_what_was_written_passes_the_checks_of_the_project(
    before: Lab, added: dict[str, dict[str, object]]
) -> None:
    assert len(added) == 4
    for paginator in PAGINATORS:
        request = AddRequest(
            f"api_{paginator}", "rest_api", resource=("customers",), primary_key=("a", "b"),
            cursor="changedAt=changed_since", paginator=paginator,
        )  # fmt: skip
        api_lab.added(before, request)
    long = ("a" * 30, f"{'b' * 60}={'c/' * 45}d")
    api_lab.added(before, AddRequest("a" * 30, "rest_api", resource=long))
    api_lab.added(before, AddRequest("b" * 30, "sql_database"))
    api_lab.added(before, AddRequest("c" * 30, "synth"), load=False)
    settings = before.root / "config" / "default.yml"
    advised = (  # what errors advise: it says how the real files are written, not the test's
        'cursor: changed_on, delimiter: ";", encoding: latin-1, header: false, skip: 1, '
        'names: [order_id, amount, changed_on], decimal: ",", null_values: ["-"], bad_rows: fail'
    )
    text = settings.read_text(encoding="utf-8")
    assert text.count("cursor: changed_on") == 1
    settings.write_text(text.replace("cursor: changed_on", advised), encoding="utf-8")
    mine = [
        str(path.relative_to(before.root))
        for path in (*before.root.glob("dlt_pipelines/*"), before.root / "tests")
        if not (ROOT / "dlt_pipelines" / path.name).exists() or path.name == "tests"
    ]
    first_party = ["--config", 'lint.isort.known-first-party=["headrace"]']
    tools = [
        ("ruff", "check", *first_party, *mine),
        ("ruff", "format", "--check", *mine),
        ("mypy", "--cache-dir", str(before.data_dir / "mypy"), *mine),
        ("sqlfluff", "lint", *(f"dbt_project/models/staging/{name}" for name in added)),
    ]
    if (ROOT / ".mypy_cache").is_dir():  # what .ci/run found out about the libraries
        shutil.copytree(ROOT / ".mypy_cache", before.data_dir / "mypy")
    plain = {key: text for key, text in os.environ.items() if not key.startswith("HEADRACE_")}
    for tool in tools:
        result = subprocess.run(
            [sys.executable, "-m", *tool],
            cwd=before.root,
            env=plain | {"MYPYPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert result.returncode == 0, f"{tool}:\n{result.stdout}\n{result.stderr}"
    its_tests = ["-q", "-p", "no:cacheprovider", "-k", RUN_ONCE, "tests/project"]
    result = run_module("pytest", its_tests, cwd=before.root, env=plain | PYTEST_HERE)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "passed" in result.stdout


def test_what_cannot_be_loaded_says_what_to_do(api: Api, tmp_path: Path) -> None:
    lab = api_lab.project(tmp_path)
    options = ("--kind", "rest_api", "--url", api.url, "--resource", "customers")
    result = lab.command("add", "source", "crm", *options)
    assert result.returncode == 0, result.stderr
    words = " ".join(result.stdout.split())
    assert "not loaded: source crm: GET http://127.0.0.1:" in words
    assert "401 Unauthorized: set HEADRACE_SOURCES__CRM__TOKEN in .env" in words
    assert "then run `headrace load --source crm` and `headrace scaffold crm`" in words
    assert (lab.root / "dlt_pipelines" / "crm" / "__init__.py").is_file()
    (lab.root / ".env").write_text(f"HEADRACE_SOURCES__CRM__TOKEN={TOKEN}\n")
    assert lab.command("load", "--source", "crm").returncode == 0
    assert lab.command("scaffold", "crm").returncode == 0
    staging = lab.root / "dbt_project" / "models" / "staging" / "crm"
    assert (staging / "stg_crm__customers.sql").is_file()


def test_the_example_of_the_how_to(api: Api, tmp_path: Path) -> None:
    lab = api_lab.project(tmp_path)
    shutil.copy(ROOT / ".env.example", lab.root)
    (lab.root / ".env").write_text(f"HEADRACE_SOURCES__CRM__TOKEN={TOKEN}\n")
    words, output = api_lab.example("add-a-rest-api.md")
    result = lab.command(*(api.url if word.startswith("https:") else word for word in words))
    assert sorted(result.stdout.splitlines()) == sorted(output), result.stderr


def test_a_table_that_may_be_one_page_of_many_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = api_lab.project(tmp_path)
    api_lab.use_pipelines(monkeypatch, lab)
    with api_lab.serve() as api:
        few, many = api_lab.customers(9), api_lab.customers(10)
        api.answers.tables = {"/v1/many": many, "/v1/paged": api_lab.customers(12)}
        request = AddRequest("crm", "rest_api", url=api.url, resource=("paged",))
        *_, found = api_lab.added(lab, request).choices
        assert found.endswith("paginator: {type: json_link, next_url_path: next}")
        api.answers.extra = lambda: json.dumps(many).encode()
        *_, doubt = api_lab.added(lab, replace(request, name="erp", resource=("many",))).choices
        assert doubt.startswith("many: the API names no page after the first; if there are more")
        api.answers.extra = lambda: json.dumps(few).encode()
        assert len(api_lab.added(lab, replace(request, name="web", resource=("few",))).choices) == 1


def test_a_dry_run_and_no_load(tmp_path: Path) -> None:
    lab = api_lab.project(tmp_path)
    settings = lab.root / "config" / "default.yml"
    text = settings.read_bytes()
    dry = lab.command("add", "source", "bikes", "--kind", "synth", "--dry-run")
    assert dry.returncode == 0
    assert "+++ b/dlt_pipelines/bikes/__init__.py" in dry.stdout
    assert dry.stdout.rstrip().endswith("nothing was written (--dry-run)")
    assert settings.read_bytes() == text
    assert not (lab.root / "dlt_pipelines" / "bikes").exists()
    assert not lab.data_dir.exists()
    only = lab.command("add", "source", "bikes", "--kind", "synth", "--no-load")
    assert only.returncode == 0
    assert "`headrace load --source bikes`" in only.stdout
    assert (lab.root / "data" / "schemas" / "bikes.yml").is_file()
    assert not lab.warehouse.exists()


def test_bad_input_ends_in_one_line(tmp_path: Path) -> None:
    lab = api_lab.project(tmp_path)
    for words in (("class", "--kind", "synth"), ("shop", "--kind", "synth")):
        result = lab.command("add", "source", *words)
        assert (result.returncode, result.stdout) == (2, "")
        assert len(result.stderr.strip().splitlines()) == 1
    assert lab.command("add", "source", "crm", "--kind", "magic").returncode == 2


def test_a_schema_file_of_ones_own(tmp_path: Path) -> None:
    lab = api_lab.project(tmp_path)
    inside = lab.root / "data" / "schemas" / "mine.yml"
    inside.write_text(
        "schema:\n  a:\n    count: 3\n    fields:\n      id: {type: serial, primary_key: true}\n"
    )
    api_lab.added(lab, AddRequest("one", "synth", schema=str(inside)), load=False)
    module = lab.root / "dlt_pipelines" / "one" / "__init__.py"
    assert '"data/schemas/mine.yml"' in module.read_text()
    assert not (inside.parent / "one.yml").exists()
    outside = inside.rename(tmp_path / "theirs.yml")
    api_lab.added(lab, AddRequest("two", "synth", schema=str(outside)), load=False)
    assert (inside.parent / "two.yml").read_text() == outside.read_text()


def test_on_a_terminal_it_asks_before_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = api_lab.project(tmp_path)
    monkeypatch.chdir(lab.root)
    (tmp_path / "in").mkdir()
    for day in ("01", "02"):
        text = f"order_id,state\n1,open\n2,{'new' if day == '01' else 'open'}\n"
        (tmp_path / "in" / f"orders_2024-01-{day}.csv").write_text(text)
    words = ["add", "source", "sales", "--kind", "files", "--path", str(tmp_path / "in")]
    words += ["--no-load"]
    settings = lab.root / "config" / "default.yml"
    before = settings.read_text()

    monkeypatch.setattr("headrace.cli.terminal.is_interactive", lambda: True)
    for answer in ("n\n", "\n"):
        said = CliRunner().invoke(app, words, input=answer)
        assert said.exit_code == 0, said.output
        assert 'write: "snapshot"' in said.output
        assert "- orders: orders_2024-01-02.csv has 100% of the values of order_id" in said.output
        assert "Add this source? [y/N]" in said.output
        assert said.output.splitlines()[-1] == "nothing was written"
        assert settings.read_text() == before
    assert not (lab.root / "tests" / "project" / "test_sales.py").exists()

    monkeypatch.setattr("typer.confirm", lambda *_: pytest.fail("it asked"))
    assert (
        "nothing was written (--dry-run)" in CliRunner().invoke(app, [*words, "--dry-run"]).output
    )
    assert CliRunner().invoke(app, [*words, "--yes"]).exit_code == 0
    assert 'write: "snapshot"' in settings.read_text()
    monkeypatch.setattr("headrace.cli.terminal.is_interactive", lambda: False)
    assert CliRunner().invoke(app, words).exit_code == 0  # a script is not asked
