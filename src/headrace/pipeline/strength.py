"""How many faults a project's tests find: it is built in a copy of the warehouse, and measured."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from headrace import portable
from headrace.artifacts.dbt_results import FAILED
from headrace.errors import TransformError, WarehouseError
from headrace.formatting import count, first_few
from headrace.pipeline import lock
from headrace.pipeline.building.build import require_project
from headrace.pipeline.dbt import dbt_runner
from headrace.pipeline.state.duckdb_copy import copy_file, copy_target, in_copy
from headrace.quality.strength.measure import Progress, StrengthOptions, measure
from headrace.quality.strength.project import (
    DataTest,
    EnforcedContract,
    ModelUnderTest,
    ModelUnitTest,
    Name,
    ProjectUnderTest,
    Raw,
)
from headrace.quality.strength.report import StrengthReport
from headrace.settings import Resolved
from headrace.sql_text import identifier
from headrace.targets import Target

_FOLDER = "strength-"
_COMMAND = "headrace test-strength"


def measure_strength(
    resolved: Resolved,
    target: Target,
    *,
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
    options: StrengthOptions,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda done, of, survived: None,
) -> StrengthReport:
    """Build the project in a copy of the warehouse, and try its tests on mutants.

    The warehouse and the last build stay as they are.

    Args:
        resolved: the settings.
        target: what has raw tables; of any but a DuckDB file these are copied alone, and the models
            are built from them in DuckDB.
        select: dbt's selectors of the models and sources to put faults into; all without any.
        exclude: dbt's selectors of those to leave out.
        options: how; ``selected`` is set from the selectors.
        say: is told what is being done.
        progress: is told how far it is.

    Raises:
        TransformError: the project cannot be built, or the selectors match nothing.
        WarehouseError: the target holds nothing yet, or cannot be read.
    """
    require_project(resolved)
    if target.database_file is None and resolved.settings.dbt.profile is not None:
        raise TransformError(
            "the trial builds the models in a DuckDB file, for which the project's own profile of "
            "another engine does not fit: name a DuckDB target with --target"
        )
    if not target.exists():
        raise WarehouseError(
            f"there is no data yet to put faults into, {target.location} is not there: run "
            "`headrace run` first"
        )
    with portable.stopping_like_ctrl_c(), _folder(resolved.data_dir / "spill") as folder:
        say("copying the warehouse")
        copy = folder / (target.database_file or Path("warehouse.duckdb")).name
        with lock.hold(target, _COMMAND):
            if not copy_file(target, copy):
                copy_target(target, copy, memory_limit=target.load_memory_limit, only_raw=True)
        say("building the project in the copy")
        built = _Built.of(resolved, in_copy(resolved, copy), folder / "dbt", copy, select, exclude)
        project = built.project(resolved)
        chosen = options
        if built.selected is not None:
            chosen = replace(options, selected=frozenset(built.selected))
        say("measuring what each model gives")
        return measure(project, copy, folder / "spill", chosen, progress)


@contextmanager
def _folder(place: Path) -> Iterator[Path]:
    """A folder for the copy, gone at the end; those that killed processes left go first."""
    for old in place.glob(f"{_FOLDER}*") if place.is_dir() else ():
        pid = old.name.removeprefix(_FOLDER)
        if not (pid.isdigit() and portable.is_running(int(pid))):
            shutil.rmtree(old, ignore_errors=True)
    folder = place / f"{_FOLDER}{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Built:
    """The project as dbt built it in the copy."""

    def __init__(
        self, graph: Any, results: Mapping[str, Any], database: str, selected: set[str] | None
    ) -> None:
        self._graph = graph
        self._results = results
        self._database = database
        self._notes: list[str] = []
        self.selected = selected

    @classmethod
    def of(
        cls,
        resolved: Resolved,
        target: Target,
        home: Path,
        copy: Path,
        select: Sequence[str],
        exclude: Sequence[str],
    ) -> "_Built":
        """Build all of it, as a full refresh, with dbt's files in a folder of their own."""
        with dbt_runner.environment(working_dir=resolved.dbt_working_dir):
            dbt_runner.write_profile(resolved, target, home, path=str(copy))
            try:
                parsed = dbt_runner.parse(resolved, home)
                selected = _selected(resolved, home, parsed, select, exclude)
                missing = dbt_runner.sources_not_loaded(parsed.graph, target, writes=False)
                words = [
                    *dbt_runner.arguments(resolved, home),
                    *dbt_runner.exclude_sources(missing),
                    *(dbt_runner.default_selector(parsed) if missing else []),
                ]
                result = parsed.runner.invoke(["build", "--full-refresh", *words])
            finally:
                target.release()
        if result.exception is not None or result.result is None:
            raise dbt_runner.transform_error(result, parsed.places) from result.exception
        items = {item.node.unique_id: item for item in cast("Any", result.result).results}
        return cls(parsed.graph, items, target.database, selected)

    def project(self, resolved: Resolved) -> ProjectUnderTest:
        """What is measured of it."""
        schemas = set(resolved.settings.publish.schemas)
        models = [
            self._model(item.node, schemas)
            for item in self._results.values()
            if str(item.node.resource_type) in {"model", "snapshot"} and self._is_good(item)
        ]
        known = {model.id for model in models}
        ephemeral = [
            node
            for node in self._graph.nodes.values()
            if str(node.resource_type) == "model" and node.get_materialization() == "ephemeral"
        ]
        models += [self._model(node, schemas) for node in ephemeral]
        if ephemeral:
            self._notes.append(
                "ephemeral, so no faults were put into them: "
                + first_few(sorted(node.name for node in ephemeral))
            )
        if not known:
            raise TransformError(
                "no model could be built, so there is nothing to measure: run `headrace run` first"
            )
        raws = self._raws({parent for model in models for parent in model.parents})
        known |= raws.keys() | {node.unique_id for node in ephemeral}
        data_tests, unit_tests = self._tests(known)
        return ProjectUnderTest(
            database=self._database,
            models=tuple(_parents_first(models)),
            raws=raws,
            data_tests=data_tests,
            unit_tests=unit_tests,
            notes=tuple(self._notes),
        )

    def _is_good(self, item: Any) -> bool:
        return str(item.status) not in FAILED | {"skipped"}

    def _model(self, node: Any, schemas: set[str]) -> ModelUnderTest:
        kind = node.get_materialization()
        is_sql = str(node.language) == "sql" and kind in {"table", "view", "incremental"}
        if not is_sql and kind != "ephemeral":
            self._notes.append(f"{node.name} is a {kind if kind != 'table' else 'Python'} model: "
                               "its table is taken as it is")  # fmt: skip
        return ModelUnderTest(
            id=node.unique_id,
            label=node.name,
            path=str(node.original_file_path),
            name=None if kind == "ephemeral" else self._name(node),
            sql=str(node.compiled_code) if is_sql else None,
            is_view=kind == "view",
            parents=frozenset(
                key for key in node.depends_on.nodes if not key.startswith(("macro.", "test."))
            ),
            contract=_contract(node) if node.config.contract.enforced else None,
            is_published=node.schema in schemas,
        )

    def _name(self, node: Any) -> Name:
        return node.database or self._database, node.schema, getattr(node, "alias", node.name)

    def _raws(self, read: set[str]) -> dict[str, Raw]:
        found = {}
        for node in (*self._graph.sources.values(), *self._graph.nodes.values()):
            is_source = str(node.resource_type) == "source"
            if node.unique_id not in read or not (is_source or str(node.resource_type) == "seed"):
                continue
            if is_source and node.identifier.startswith("_dlt_"):
                continue
            database = node.database or self._database
            if database.casefold() != self._database.casefold():
                continue
            label = f"{node.source_name}.{node.name}" if is_source else node.name
            identified = node.identifier if is_source else node.alias
            found[node.unique_id] = Raw(
                node.unique_id, label, (self._database, node.schema, identified)
            )
        return found

    def _tests(self, known: set[str]) -> tuple[tuple[DataTest, ...], tuple[ModelUnitTest, ...]]:
        data, units, failing, warning = [], [], [], 0
        for item in self._results.values():
            node, kind = item.node, str(item.node.resource_type)
            if kind not in {"test", "unit_test"}:
                continue
            if str(item.status) != "pass":
                failing.append(node.name)
                continue
            if kind == "unit_test":
                tested = self._graph.unit_tests[node.unique_id].depends_on.nodes[0]
                unit = _unit_test(node, tested)
                if unit is not None:
                    units.append(unit)
            elif str(node.config.severity).lower() == "warn":
                warning += 1
            else:
                parents = frozenset(node.depends_on.nodes) & known
                data.append(DataTest(node.unique_id, node.name, _test_sql(node), parents))
        if failing:
            self._notes.append(
                f"{count(len(failing), 'test')} that did not pass before any fault "
                f"({first_few(sorted(failing), 3)}): they find nothing here"
            )
        if warning:
            self._notes.append(
                f"{count(warning, 'test')} of severity warn: they stop no publish, so they find "
                "nothing here"
            )
        return tuple(data), tuple(units)


def _selected(
    resolved: Resolved,
    home: Path,
    parsed: dbt_runner.ParsedProject,
    select: Sequence[str],
    exclude: Sequence[str],
) -> set[str] | None:
    """The models that the selectors match, and the raw tables that they match or are read there."""
    if not select and not exclude:
        return None
    words = [word for one in select for word in ("--select", one)]
    words += [word for one in exclude for word in ("--exclude", one)]
    result = parsed.runner.invoke(
        ["ls", *dbt_runner.arguments(resolved, home), *words, "--output", "json",
         "--output-keys", "unique_id"]
    )  # fmt: skip
    if result.exception is not None:
        raise dbt_runner.transform_error(result, parsed.places) from result.exception
    import json

    found = {json.loads(line)["unique_id"] for line in cast("list[str]", result.result or [])}
    found = {key for key in found if key.split(".")[0] in {"model", "source", "seed"}}
    if not found:
        raise TransformError(
            f"--select {' '.join(select)} matches no model and no source: name one, like "
            "`--select customers+`"
        )
    nodes = parsed.graph.nodes
    for key in tuple(found):
        if key in nodes and key.startswith("model."):
            found |= {one for one in nodes[key].depends_on.nodes if not one.startswith("model.")}
    return found


def _contract(node: Any) -> EnforcedContract:
    checks: dict[str, str] = {}
    keys: list[tuple[str, ...]] = []
    named: list[tuple[Any, tuple[str, ...]]] = [
        (column.constraints, (column.name,)) for column in node.columns.values()
    ]
    named.append((getattr(node, "constraints", None) or [], ()))
    for constraints, own in named:
        for constraint in constraints:
            columns = tuple(getattr(constraint, "columns", ()) or own)
            kind = str(getattr(constraint.type, "value", constraint.type))
            if kind in {"not_null", "primary_key"}:
                for name in columns:
                    checks[f"{name}: not null"] = f"{identifier(name)} is not null"
            if kind in {"unique", "primary_key"}:
                keys.append(columns)
            if kind == "check" and constraint.expression:
                words = f"check: {constraint.expression}"
                checks[words] = f"coalesce(({constraint.expression}), true)"
    return EnforcedContract(
        tuple(column.name for column in node.columns.values()), checks, tuple(keys)
    )


def _test_sql(node: Any) -> str:
    """What dbt runs for a data test (the macro ``get_test_sql``)."""
    config = node.config
    limit = f"limit {config.limit}" if config.limit else ""
    return (
        f"select {config.fail_calc} as failures, {config.fail_calc} {config.error_if} as "
        f"should_error from (\n{node.compiled_code}\n{limit}) as dbt_internal_test"
    )


def _unit_test(node: Any, model: str) -> ModelUnitTest | None:
    """A unit test with the query that dbt ran for it; None where dbt left none."""
    path = Path(str(node.build_path)) if getattr(node, "build_path", None) else None
    sql = str(getattr(node, "compiled_code", None) or "")
    if path is None or not path.is_file() or not sql:
        return None
    compared = path.read_text("utf-8")
    if sql not in compared:
        sql = sql.strip()
    if sql not in compared:
        return None
    return ModelUnitTest(node.unique_id, node.name, model, sql, compared)


def _parents_first(models: Sequence[ModelUnderTest]) -> list[ModelUnderTest]:
    """dbt allows no cycles, so each model comes after what it reads."""
    by_id = {model.id: model for model in sorted(models, key=lambda one: one.id)}
    ordered: dict[str, ModelUnderTest] = {}

    for start in by_id.values():
        todo = [start]
        while todo:
            model = todo[-1]
            waiting = [by_id[key] for key in sorted(model.parents)
                       if key in by_id and key not in ordered]  # fmt: skip
            if waiting:
                todo += waiting
            else:
                ordered[todo.pop().id] = model
    return list(ordered.values())
