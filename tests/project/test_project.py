"""What this project promises: its settings hold, its sources can be built, a run comes through.

Nothing outside is asked: sources that need an address or files of yours are left out of the run.
Keep what fits your project, and write your own beside it.
"""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.pipeline.reports import RunReport
from headrace.pipeline.run import run
from headrace.process import import_from
from headrace.settings import Resolved, SourceSettings, resolve

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = sorted(p.stem for p in (ROOT / "config").glob("*.yml") if p.stem != "default")
FOLDERS = sorted(p.parent.name for p in (ROOT / "dlt_pipelines").glob("*/__init__.py"))
SMALL = {"scale": 0.02, "as_of": "2024-06-30"}
"""How much of a simulated source is loaded, and up to when: a second run meets nothing new."""


def factory(folder: str) -> Callable[..., Any]:
    """What builds the source of a folder in dlt_pipelines."""
    found = import_from(ROOT, f"dlt_pipelines.{folder}").build_source
    assert callable(found)
    return found  # type: ignore[no-any-return]


def parameters(name: str, source: SourceSettings) -> dict[str, inspect.Parameter]:
    """The options that a source takes."""
    found = inspect.signature(factory(source.kind or name)).parameters
    return {key: parameter for key, parameter in found.items() if key != "context"}


def needs_nothing(name: str, source: SourceSettings) -> bool:
    """Whether a source can be loaded on any machine: it makes its data."""
    options = parameters(name, source).values()
    return "path" not in source.options and all(o.default is not o.empty for o in options)


def settings_in(folder: Path) -> Resolved:
    """The project's settings, with all that a run writes below a folder."""
    files = {
        "data_dir": folder,
        "publish.path": folder / "published.duckdb",
        "targets.duckdb.path": folder / "warehouse.duckdb",
        "run_store.url": f"sqlite:///{(folder / 'headrace.sqlite').as_posix()}",
    }
    flags = [f"{key}={path}" for key, path in files.items()]
    flags += ["target=duckdb", "openlineage.enabled=false"]
    for name, source in resolve(ROOT, environ={}).settings.sources.items():
        if source.enabled and not needs_nothing(name, source):
            flags.append(f"sources.{name}.enabled=false")
        taken = SMALL.keys() & parameters(name, source).keys()
        flags += [f"sources.{name}.{key}={SMALL[key]}" for key in sorted(taken)]
    return resolve(ROOT, flags=flags, environ={})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Resolved:
    return settings_in(tmp_path_factory.mktemp("project") / "data")


@pytest.fixture(scope="module")
def first_run(settings: Resolved) -> RunReport:
    return run(settings)


@pytest.fixture(scope="module")
def models(settings: Resolved, first_run: RunReport) -> list[dict[str, Any]]:
    """The project's models, as dbt read them; each with the names of its tests below ``tests``."""
    assert first_run.status == "success"
    text = (settings.artifacts / "manifest.json").read_text(encoding="utf-8")
    nodes: list[dict[str, Any]] = list(json.loads(text)["nodes"].values())
    tests = [(node["attached_node"], node["test_metadata"]) for node in nodes if is_test(node)]
    return [
        node | {"tests": [test["name"] for to, test in tests if to == node["unique_id"]]}
        for node in nodes
        if node["resource_type"] == "model"
    ]


def is_test(node: dict[str, Any]) -> bool:
    return bool(node["resource_type"] == "test" and node.get("test_metadata"))


# ── settings and sources ────────────────────────────────────────────────────


@pytest.mark.parametrize("env", [None, *ENVIRONMENTS])
def test_settings_hold(env: str | None) -> None:
    assert resolve(ROOT, env=env, environ={}).dbt_project.is_dir()


@pytest.mark.parametrize("folder", FOLDERS)
def test_source_folder_can_build_a_source(folder: str) -> None:
    kinds = {parameter.kind for parameter in inspect.signature(factory(folder)).parameters.values()}
    assert kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


def test_sources_take_the_options_that_the_settings_give() -> None:
    for name, source in resolve(ROOT, environ={}).settings.sources.items():
        takes = parameters(name, source)
        assert source.options.keys() <= takes.keys(), name
        missing = {key for key, parameter in takes.items() if parameter.default is parameter.empty}
        assert not source.enabled or missing <= source.options.keys(), name


# ── runs ────────────────────────────────────────────────────────────────────


def test_a_run_loads_builds_and_publishes(settings: Resolved, first_run: RunReport) -> None:
    assert first_run.status == "success"
    tables = first_run.load.tables if first_run.load else ()
    for name, source in settings.settings.sources.items():
        rows = sum(table.rows_new for table in tables if table.source == name)
        assert rows > 0 or not source.enabled, name
    assert first_run.publish is not None or not tables


def test_a_second_run_brings_nothing_new(settings: Resolved, first_run: RunReport) -> None:
    if first_run.load and first_run.load.tables:
        loaded = run(settings, steps=("load",)).load
        assert loaded is not None
        assert [(t.source, t.table) for t in loaded.tables if t.rows_new] == []
        if any(table.rows_changed for table in loaded.tables):
            return  # a source with a lag reads its last days again; all would be built again
    second = run(settings)
    assert second.status == "success"
    if first_run.publish and second.publish:
        assert [t.name for t in second.publish.tables] == [t.name for t in first_run.publish.tables]
        assert not any(table.changed for table in second.publish.tables)


# ── the models ──────────────────────────────────────────────────────────────


def test_every_model_is_described(models: list[dict[str, Any]]) -> None:
    assert [model["name"] for model in models if not model["description"].strip()] == []


def test_every_column_of_a_mart_is_described(models: list[dict[str, Any]]) -> None:
    marts = [model for model in models if model["schema"] == "marts"]
    columns = [(mart["name"], *each) for mart in marts for each in mart["columns"].items()]
    assert [f"{m}.{c}" for m, c, about in columns if not about["description"].strip()] == []


def test_every_mart_has_a_tested_key(models: list[dict[str, Any]]) -> None:
    keys = {"unique", "unique_combination_of_columns"}
    marts = [model for model in models if model["schema"] == "marts"]
    assert [mart["name"] for mart in marts if not keys & set(mart["tests"])] == []
