"""Settings: which layer wins, what errors say, and that secrets stay secret."""

import os
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment
from jinja2.nativetypes import NativeEnvironment

from headrace.errors import ProjectError, SettingsError
from headrace.pipeline.dbt import dbt_runner
from headrace.pipeline.where import where
from headrace.settings import Resolved, find_root, resolve

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "dlt_pipelines").mkdir()
    (tmp_path / "config" / "default.yml").write_text(
        "log_level: debug\ndata_dir: from_default\nsources:\n  jaffle_shop: {enabled: true}\n"
    )
    (tmp_path / "config" / "production.yml").write_text("data_dir: from_production\n")
    return tmp_path


def test_each_layer_wins_over_the_one_below(project: Path) -> None:
    def data_dir(environ: dict[str, str], flags: list[str]) -> str:
        return resolve(project, environ=environ, flags=flags).data_dir.name

    assert data_dir({}, []) == "from_default"
    assert data_dir({"HEADRACE_ENV": "production"}, []) == "from_production"
    (project / ".env").write_text("HEADRACE_DATA_DIR=from_dotenv\nHEADRACE_ENV=production\n")
    assert data_dir({}, []) == "from_dotenv"
    assert data_dir({"HEADRACE_DATA_DIR": "from_environment"}, []) == "from_environment"
    assert data_dir({"HEADRACE_DATA_DIR": "from_environment"}, ["data_dir=flag"]) == "flag"


def test_the_origin_of_every_value_is_known(project: Path) -> None:
    resolved = resolve(
        project,
        environ={"HEADRACE_SOURCES__JAFFLE_SHOP__PATH": "/csv"},
        flags=["targets.duckdb.threads=3"],
    )
    assert resolved.origins["log_level"] == "config/default.yml"
    assert resolved.origins["sources.jaffle_shop.path"] == "environment"
    assert resolved.origins["targets.duckdb.threads"] == "flag"
    assert resolved.settings.targets["duckdb"].threads == 3
    assert resolved.settings.sources["jaffle_shop"].options == {"path": "/csv"}
    layers = {row.key: row.layer for row in where(resolved).settings}
    assert layers["targets.duckdb.threads"] == "flag"
    assert layers["publish.schemas"] == "default"


def test_a_list_or_mapping_is_read_as_yaml(project: Path) -> None:
    resolved = resolve(
        project,
        environ={"HEADRACE_PUBLISH__SCHEMAS": "[marts, reports]"},
        flags=["sources.mine={kind: files, tables: {t: {pattern: '*.csv', primary_key: [no]}}}"],
    )
    assert resolved.settings.publish.schemas == ("marts", "reports")
    # YAML 1.2: `no` is a name, not false
    assert resolved.settings.sources["mine"].options["tables"]["t"]["primary_key"] == ["no"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sorces: {}\n",
            r"config/default.yml line 1: unknown key 'sorces'; did you mean 'sources'",
        ),
        (
            "targets:\n  duckdb:\n    threads: many\n",
            r"config/default.yml line 3: targets.duckdb.threads = 'many': .*integer",
        ),
        (
            "sources:\n  shop:\n    schema_contract: loose\n",
            r"line 3: .*schema_contract.* = 'loose'.*'evolve', 'freeze', 'discard_row'",
        ),
        ("a: [1\n", r"config/default.yml line 2: not valid YAML"),
        ("a: 1\na: 2\n", r"config/default.yml line 2: not valid YAML: found duplicate key"),
        ("just text\n", r"config/default.yml: a settings file is a mapping"),
        ("target: odd\n", r"config/default.yml line 1: target 'odd' is not one of \['duckdb'"),
        ("sources: {Shop-1: {}}\n", r"sources.Shop-1"),
        ("log_level: loud\n", r"'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_wrong_file_is_one_clear_line(project: Path, text: str, message: str) -> None:
    (project / "config" / "default.yml").write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        resolve(project, environ={})
    assert "\n" not in str(caught.value)


def test_errors_name_the_layer(project: Path) -> None:
    with pytest.raises(SettingsError, match=r"environment HEADRACE_LOG_LEVEL"):
        resolve(project, environ={"HEADRACE_LOG_LEVEL": "loud"})
    with pytest.raises(SettingsError, match=r"environment HEADRACE_DATADIR: .*mean 'data_dir'"):
        resolve(project, environ={"HEADRACE_DATADIR": "x"})
    with pytest.raises(SettingsError, match=r"--set log_level: "):
        resolve(project, environ={}, flags=["log_level=loud"])
    with pytest.raises(SettingsError, match="KEY=VALUE"):
        resolve(project, environ={}, flags=["log_level"])
    (project / ".env").write_text("HEADRACE_LOG_LEVEL=loud\n")
    with pytest.raises(SettingsError, match=r"\.env HEADRACE_LOG_LEVEL"):
        resolve(project, environ={})


def test_an_environment_without_a_file_names_those_there_are(project: Path) -> None:
    with pytest.raises(SettingsError, match=r"no config/staging.yml.*\['production'\]"):
        resolve(project, env="staging", environ={})
    with pytest.raises(SettingsError, match="no name of an environment"):
        resolve(project, env="../etc/passwd", environ={})


def test_contradicting_variables_are_an_error(project: Path) -> None:
    with pytest.raises(SettingsError, match="contradicts"):
        resolve(project, environ={"HEADRACE_DBT": "x", "HEADRACE_DBT__PROJECT_DIR": "y"})


def test_a_secret_is_masked_everywhere(project: Path) -> None:
    url = "postgresql://me:hunter2@localhost/runs"
    resolved = resolve(project, environ={"HEADRACE_RUN_STORE__URL": url})
    assert resolved.run_store_url == url
    report = where(resolved).model_dump_json()
    assert "hunter2" not in report
    assert "hunter2" not in repr(resolved)
    with pytest.raises(SettingsError) as caught:
        resolve(project, environ={}, flags=["run_store.url=[hunter2]"])
    assert "hunter2" not in str(caught.value)


def test_paths_are_absolute_and_start_at_the_project(project: Path) -> None:
    resolved = resolve(project, environ={}, flags=["publish.path=../shared/marts.duckdb"])
    assert resolved.published == project.parent / "shared" / "marts.duckdb"
    assert resolved.target.location == str(project / "from_default" / "warehouse.duckdb")


def test_the_project_is_found_from_below(project: Path, tmp_path: Path) -> None:
    below = project / "dlt_pipelines" / "x"
    below.mkdir()
    assert find_root(below) == project
    with pytest.raises(ProjectError, match="not inside a Headrace project"):
        find_root(Path(tmp_path.anchor))


SERVER = {
    "HEADRACE_TARGETS__POSTGRES__HOST": "db.example.com",
    "HEADRACE_TARGETS__POSTGRES__PORT": "6432",
    "HEADRACE_TARGETS__POSTGRES__USER": "loader",
    "HEADRACE_TARGETS__POSTGRES__PASSWORD": "hunter: '2'",
    "HEADRACE_TARGETS__POSTGRES__DBNAME": "shop",
    "HEADRACE_TARGETS__POSTGRES__SSLMODE": "verify-full",
    "HEADRACE_TARGETS__POSTGRES__SSLROOTCERT": "/etc/ssl/ca.pem",
    "HEADRACE_TARGETS__POSTGRES__THREADS": "7",
}
CLUSTER = {
    f"HEADRACE_TARGETS__REDSHIFT__{name}": value
    for name, value in {"HOST": "shop.example", "USER": "me", "PASSWORD": "hush"}.items()
}
ACCOUNT = {
    "HEADRACE_TARGETS__SNOWFLAKE__LOCAL": "false",
    "HEADRACE_TARGETS__SNOWFLAKE__ACCOUNT": "myorg-account123",
    "HEADRACE_TARGETS__SNOWFLAKE__USER": "LOADER",
    "HEADRACE_TARGETS__SNOWFLAKE__PASSWORD": "hunter2",
    "HEADRACE_TARGETS__SNOWFLAKE__ROLE": "TRANSFORMER",
    "HEADRACE_TARGETS__SNOWFLAKE__WAREHOUSE": "SMALL",
    "HEADRACE_TARGETS__SNOWFLAKE__DATABASE": "SHOP",
}
BY_HEADRACE_ALONE = {"lake", "spark", "sail"}
"""Types of targets that dbt cannot build in without what `headrace` does around it."""


def bare_outputs(path: str = "dbt_project/profiles.yml") -> Any:
    from ruamel.yaml import YAML

    text = (REPOSITORY / path).read_text(encoding="utf-8")
    return YAML(typ="safe").load(text)["headrace"]["outputs"]


@pytest.mark.parametrize(
    ("target", "environ", "extra"),
    [
        ("duckdb", {}, "duckdb"),
        ("ducklake", {}, "duckdb_extension_ducklake"),
        ("postgres", {}, "psycopg"),
        ("postgres", SERVER, "psycopg"),
        ("snowflake", ACCOUNT, "snowflake.connector"),
        ("redshift", CLUSTER, "psycopg2"),
    ],
)
def test_the_bare_dbt_profile_is_the_one_that_the_settings_give(
    tmp_path: Path, target: str, environ: dict[str, str], extra: str
) -> None:
    """All of it: what only one of the two sets, such as the time zone, makes other marts."""
    pytest.importorskip(extra, reason=f"uv sync --extra {target}")
    jinja = NativeEnvironment()
    jinja.filters["as_number"] = int
    jinja.globals["env_var"] = environ.get

    def rendered(value: Any) -> Any:
        """As dbt does; a path starts at the folder of the dbt project, and is absolute here."""
        if isinstance(value, dict):
            return {key: rendered(each) for key, each in value.items()}
        if isinstance(value, list):
            return [rendered(each) for each in value]
        if not isinstance(value, str):
            return value
        text = jinja.from_string(value).render() if "as_number" in value else dbt_text(value)
        before, found, after = str(text).partition("../data/")
        return f"{before}{Path(os.path.normpath(tmp_path / after))}" if found else text

    def dbt_text(value: str) -> str:
        return str(Environment().from_string(value, globals=jinja.globals).render())  # noqa: S701 - no HTML

    flags = [f"data_dir={tmp_path}", f"target={target}"]
    resolved: Resolved = resolve(REPOSITORY, environ=environ, flags=flags)
    ours = resolved.target.dbt_output()
    bare = {key: value for key, value in rendered(bare_outputs()[target]).items() if value != ""}
    if target == "duckdb":
        del bare["threads"], ours["threads"]  # of as many cores as there are
    assert bare == {key: value for key, value in ours.items() if value != ""}


def test_the_profile_of_dbt_is_its_owners_alone(tmp_path: Path) -> None:
    """It has the passwords of targets."""
    resolved = resolve(REPOSITORY, environ={}, flags=[f"data_dir={tmp_path}"])
    dbt_runner.write_profile(resolved, resolved.target)
    path = tmp_path / "dbt" / "profiles.yml"
    assert resolved.target.name in path.read_text("utf-8")
    assert os.name == "nt" or path.stat().st_mode & 0o777 == 0o600


def test_dbt_by_hand_knows_every_target_that_it_can_build_in() -> None:
    from headrace.targets.registry import OWN_TYPES

    assert set(bare_outputs()) == OWN_TYPES.keys() - BY_HEADRACE_ALONE
    reader = bare_outputs(".devcontainer/dbt/profiles.yml")["published"]
    assert reader["settings"] == bare_outputs()["duckdb"]["settings"]


def test_a_target_of_its_type_needs_no_entry(project: Path) -> None:
    (project / "config" / "default.yml").write_text("targets: {other: {threads: 2}}\n")
    assert resolve(project, environ={}).target.name == "duckdb"
    assert resolve(project, flags=["target=other"], environ={}).target.name == "other"
