"""dbt and dbt-duckdb: how they are told to behave, and what of their insides Headrace relies on."""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from headrace import process
from headrace.libraries import mashumaro

_ENVIRONMENT = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DBT_ENGINE_HINTS_ENABLED": "false",  # dbt notes in the home folder that it showed one
    "DO_NOT_TRACK": "1",
}


@contextmanager
def environment() -> Iterator[None]:
    """dbt without telemetry and hints; its imports without pauses for the garbage collector."""
    with process.environment(_ENVIRONMENT):
        with process.gc_paused(), mashumaro.when_called():
            import dbt.cli.main
        del dbt
        yield


def import_all() -> None:
    """Import what a build takes beyond dbt's command line."""
    with process.gc_paused(), mashumaro.when_called():
        import dbt.adapters.duckdb
        import dbt.task.build
        import dbt.task.docs.generate
        import dbt.task.freshness
    del dbt


@contextmanager
def compile_all() -> Iterator[None]:
    """`dbt compile` ends at the first node that it cannot compile; here it continues."""
    from dbt.task.compile import CompileTask

    kept = CompileTask.raise_on_first_error
    CompileTask.raise_on_first_error = lambda self: False  # type: ignore[method-assign]
    try:
        yield
    finally:
        CompileTask.raise_on_first_error = kept  # type: ignore[method-assign]


def compiled_sql(manifest: Any) -> dict[str, str]:
    """Compiled SQL by unique id, of the nodes of dbt's own manifest that have it."""
    nodes = manifest.nodes.items()
    return {key: node.compiled_code for key, node in nodes if getattr(node, "compiled", False)}


def set_compiled_sql(manifest: Any, compiled: dict[str, str]) -> None:
    """Fill compiled SQL in, where a node of dbt's own manifest has none."""
    for key, sql in compiled.items():
        node = manifest.nodes.get(key)
        if node is not None and not node.compiled:
            node.compiled, node.compiled_code = True, sql


def read_sources_from(manifest: Any, sources: Collection[str], database: str) -> None:
    """Have dbt read some sources from another database, as it does not defer `source()`."""
    for source in manifest.sources.values():
        if source.source_name in sources:
            source.database = database
            source.relation_name = f'"{database}"."{source.schema}"."{source.identifier}"'


def configure(manifest: Any, config_of: Callable[[str], Mapping[str, Any]]) -> None:
    """Configure the nodes that dbt writes, as an engine needs it.

    Args:
        manifest: dbt's own.
        config_of: the config of nodes of a schema; ``view_as`` is how a view is materialized, and
            ``first_sql`` what is run before a model; without ``constraints`` those that contracts
            have are left to tests.
    """
    from dbt.artifacts.resources.v1.config import Hook

    for node in manifest.nodes.values():
        if str(node.resource_type) not in {"model", "seed", "snapshot", "test"}:
            continue
        config = dict(config_of(node.schema))
        view_as = config.pop("view_as", None)
        if view_as and node.config.materialized == "view":
            node.config.materialized = view_as
        first_sql = config.pop("first_sql", None)
        if first_sql and str(node.resource_type) == "model":
            node.config.pre_hook = [Hook(first_sql), *node.config.pre_hook]
        if not config.pop("constraints", True) and hasattr(node, "constraints"):
            node.constraints = []
            for column in node.columns.values():
                column.constraints = []
        for key, value in config.items():
            node.config[key] = value


def translate_fixtures(manifest: Any, types: Mapping[str, str]) -> None:
    """Name the types of contracts, and in the SQL of unit tests' fixtures, as an engine does.

    Args:
        manifest: dbt's own.
        types: the engine's names by those that may be written.
    """
    for node in manifest.nodes.values():
        for column in node.columns.values():
            kind = (column.data_type or "").lower()
            column.data_type = types.get(kind, column.data_type)
    named = "|".join(types)
    word = re.compile(
        rf"(?P<cast>\bas\s+)({named})(?=\s*\))|(?P<colons>::)({named})\b", re.IGNORECASE
    )
    for test in manifest.unit_tests.values():
        for fixture in (*test.given, test.expect):
            if isinstance(fixture.rows, str):
                fixture.rows = word.sub(
                    lambda found: (
                        f"{found['cast'] or found['colons']}{types[(found[2] or found[4]).lower()]}"
                    ),
                    fixture.rows,
                )


def needing(manifest: Any, *, snapshots: bool, incremental: bool) -> dict[str, list[str]]:
    """The names of snapshots and of incremental models, of the kinds that are asked for."""
    found: dict[str, list[str]] = {}
    for node in manifest.nodes.values():
        kind = str(node.resource_type)
        if snapshots and kind == "snapshot":
            found.setdefault("snapshot", []).append(node.name)
        if incremental and kind == "model" and node.config.materialized == "incremental":
            found.setdefault("incremental model", []).append(node.name)
    return found


def longer_names(manifest: Any, most: int) -> list[str]:
    """Models, snapshots, seeds and their documented columns whose names have more bytes."""
    found = []
    for node in manifest.nodes.values():
        if str(node.resource_type) not in {"model", "seed", "snapshot"}:
            continue
        names = {node.alias: f"{node.schema}.{node.alias}"}
        names |= {name: f"the column {name} of {node.name}" for name in node.columns}
        found += [said for name, said in names.items() if len(name.encode()) > most]
    return sorted(found)


_READS_FILES = re.compile(
    r"\bread_(csv|parquet|json|ndjson|text|blob|xlsx)\w*\s*\(|\b(from|join)\s+'", re.IGNORECASE
)


def is_external(source: Any) -> bool:
    """Whether dbt-duckdb reads a source from files, or by a plugin, and not from a table."""
    meta = {**(source.source_meta or {}), **(source.meta or {})}
    meta |= dict(source.config.meta or {}) | dict(source.config.extra or {})
    return not meta.keys().isdisjoint({"external_location", "plugin"})


def reads_files(manifest: Any) -> bool:
    """Whether a source or model of dbt's own manifest is made from files, as far as can be seen."""
    return any(map(is_external, manifest.sources.values())) or any(
        _READS_FILES.search(getattr(node, "raw_code", None) or "")
        for node in manifest.nodes.values()
    )


def own_packages(manifest: Any) -> list[str]:
    """The packages whose macros dbt and its adapter bring."""
    from dbt.adapters.factory import get_adapter_package_names

    return get_adapter_package_names(manifest.metadata.adapter_type)


def rendered(value: str) -> str:
    """A text of a ``profiles.yml`` with its ``env_var()`` filled in.

    Raises:
        ValueError: a variable is not set, or it is no Jinja.
    """
    from dbt.config.renderer import ProfileRenderer
    from dbt_common.context import set_invocation_context
    from dbt_common.exceptions import DbtBaseException

    set_invocation_context(os.environ)  # where `env_var()` looks
    try:
        return str(ProfileRenderer({}).render_value(value))
    except DbtBaseException as error:
        raise ValueError(" ".join(str(error).split())) from error


def modified(before: Any, after: Any) -> list[str]:
    """What ``state:modified`` selects: nodes that are new, or differ in content, config or macros.

    dbt compares with a manifest that it reads from a file; both of these are in memory.

    Args:
        before: dbt's own manifest of the earlier parse.
        after: that of the later one.

    Returns:
        ids of nodes and unit tests of ``after``, sorted.
    """
    macros = _modified_macros(before, after)
    found = []
    for kind in ("nodes", "unit_tests"):
        old: Any = getattr(before, kind)
        for key, node in getattr(after, kind).items():
            calls = macros.intersection(getattr(node.depends_on, "macros", ()))
            if calls or key not in old or not _is_same(old[key], node, after.metadata.adapter_type):
                found.append(key)
    return sorted(found)


def _is_same(before: Any, after: Any, adapter: str | None) -> bool:
    from dbt_common.exceptions import DbtRuntimeError

    try:
        if str(after.resource_type) == "unit_test":
            return bool(after.same_contents(before))
        return bool(after.same_contents(before, adapter))
    except DbtRuntimeError:  # how dbt tells of a contract that its readers may not bear
        return False


def _modified_macros(before: Any, after: Any) -> set[str]:
    """Macros that changed, and those that call one of them."""
    old = {key: macro.macro_sql for key, macro in before.macros.items()}
    new = {key: macro.macro_sql for key, macro in after.macros.items()}
    found = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    step = found
    while step:
        step = {
            key for key, macro in after.macros.items() if step.intersection(macro.depends_on.macros)
        } - found
        found |= step
    return found


def unmatched_selector(event: Any) -> str | None:
    """The selector that an event of dbt's tells to match nothing; None of another event."""
    is_it = event.info.name == "NoNodesForSelectionCriteria"
    return str(event.data.spec_raw) if is_it else None


def number_of_nodes(event: Any) -> int | None:
    """How many nodes a command is about to run, if an event of dbt's tells it."""
    return int(event.data.node_count) if event.info.name == "ConcurrencyLine" else None


def close_duckdb() -> None:
    """Close the connection that dbt-duckdb keeps for the next invocation."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    manager: Any = DuckDBConnectionManager
    environment = manager._ENV  # noqa: SLF001 - there is no public way to close it
    if environment is not None:
        environment.close()
    manager.close_all_connections()
