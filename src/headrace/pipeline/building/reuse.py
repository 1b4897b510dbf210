"""Which nodes of a build keep their last result, as nothing that they depend on has changed.

A node's digest covers its compiled SQL, its config and the digests of its parents, down to the
raw tables, which have a new one after each load that changed them. A node whose digest is that of
its last good result is not run. Where the SQL does not show all that a result depends on, it is
run: volatile functions, tables that are no parents, files, hooks.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import xxhash

from headrace.libraries import dbt as libraries_dbt
from headrace.libraries import dbt_shortcuts
from headrace.lineage.trace import reachable
from headrace.pipeline.building.deterministic_sql import VOLATILE, DeterministicSql, Relation
from headrace.pipeline.dbt import dbt_runner
from headrace.pipeline.reports import LoadReport, NodeReport
from headrace.pipeline.state import build_state
from headrace.pipeline.state.build_state import BuildState
from headrace.settings import Resolved
from headrace.targets import Target

_KINDS = {"model", "seed", "snapshot", "test", "unit_test"}
_SOUGHT = re.compile(r"(\w+__)?(materialization|get_incremental|snapshot)_")
"""Names of macros that dbt looks for by one that a config gives."""
_MATERIALIZED = {"table", "view", "incremental", "snapshot", "seed", "test", "unit"}
"""What dbt makes and leaves in the database; it would write a file of ``external`` again."""


class Reuse:
    """The digests of nodes, while dbt compiles them one by one.

    Attributes:
        digests: of the nodes that were looked at and whose results can be kept, by id.
        reused: ids of those that need not be run.
        generation: see ``BuildState``.
        sources: see ``BuildState``.
    """

    def __init__(
        self,
        resolved: Resolved,
        target: Target,
        graph: Any,
        last: BuildState | None,
        *,
        is_part: bool = False,
    ) -> None:
        """Keep what the digests are compared with.

        Args:
            resolved: the settings.
            target: what is built in.
            graph: dbt's manifest.
            last: of ``last_build``; without it, nothing is reused.
            is_part: whether a part of the project is built: all of it is run, and what it reads of
                the other nodes is as the last build left it.
        """
        self.digests: dict[str, str] = {}
        self.reused: set[str] = set()
        self.generation = last.generation if last else uuid4().hex
        self.sources = last.sources if last else {}
        self._before = last.digests if last else {}
        self._is_part = is_part
        self._graph, self._target = graph, target
        macros = {key: macro.macro_sql for key, macro in sorted(graph.macros.items())}
        of_dbt = {key: macros[key] for key in sorted(_called_by_dbt(graph))}
        project = (resolved.dbt_project / "dbt_project.yml").read_bytes()
        around = (build_state.surroundings(resolved, target), build_state.today(), project)
        self._macros = repr(macros)
        self._common = _digest(self.generation, repr(around), repr(of_dbt))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have dbt not run what is known."""
        with (
            DeterministicSql.opened(self._target.database) as self._sql,
            dbt_shortcuts.not_run(self._is_known),
        ):
            yield

    def marked(self, nodes: Sequence[NodeReport]) -> tuple[NodeReport, ...]:
        """The same nodes; of those that were not run it is said."""
        return tuple(
            node.model_copy(update={"reused": True}) if node.unique_id in self.reused else node
            for node in nodes
        )

    def _is_known(self, node: Any) -> bool:
        """Whether a compiled node keeps its last result; called in dbt's threads."""
        found = self._of_node(node)
        if found is None:
            return False
        self.digests[node.unique_id] = found
        if self._is_part or self._before.get(node.unique_id) != found:
            return False
        self.reused.add(node.unique_id)
        return True

    def kept(self, nodes: Sequence[NodeReport]) -> dict[str, str]:
        """The digests of nodes whose results are good."""
        good = {node.unique_id for node in nodes if node.status in {"success", "pass"}}
        return {key: found for key, found in self.digests.items() if key in good}

    def with_readers(self, keys: Iterable[str]) -> set[str]:
        """Nodes, and all that is downstream of them."""
        readers: dict[str, list[str]] = {}
        for key, node in {**self._graph.nodes, **self._graph.unit_tests}.items():
            for parent in node.depends_on_nodes:
                readers.setdefault(parent, []).append(key)
        return set(reachable(readers, keys))

    def _of_node(self, node: Any) -> str | None:
        """None where what it holds or finds cannot be told."""
        kind = str(node.resource_type)
        if kind == "unit_test":
            return self._of_unit_test(node)
        config = node.config
        if (
            kind not in _KINDS  # hooks, exposures
            or config.materialized not in _MATERIALIZED
            or config.get("incremental_strategy") == "microbatch"
            or getattr(config, "pre_hook", None)
            or getattr(config, "post_hook", None)
            or getattr(node, "language", "sql") != "sql"
            or not dbt_runner.is_in(node, self._target)
        ):
            return None
        if kind == "seed":
            try:
                content = Path(node.root_path or "", node.original_file_path).read_bytes()
            except OSError:
                return None
            sql = xxhash.xxh3_128_hexdigest(content)
        else:
            sql = (node.compiled_code or "").strip()
        filters = {
            key
            for key, loads in self._loads(node)
            if self._sql.leaves_out_incomplete(sql, _table(loads))
        }
        found = self._joined(
            kind, node.relation_name, sql, _settings(node), above=node, but=filters
        )
        if found is None or kind == "seed" or self._before.get(node.unique_id) == found:
            return found  # the same SQL was looked at before
        relations = {_relation(node), *self._parents(node)}
        return found if self._sql.depends_only_on(sql, relations) else None

    def _of_unit_test(self, test: Any) -> str | None:
        """It is run before its model, of which it takes the SQL, and the columns of all parents."""
        model = self._graph.nodes.get(next(iter(test.depends_on_nodes), ""))
        if model is None or VOLATILE.search(model.raw_code):
            return None
        given = [one.to_dict() for one in (*test.given, test.expect)]
        overrides = test.overrides.to_dict() if test.overrides else None
        parts = (model.raw_code, self._macros, _text([given, overrides]), _settings(model))
        of_dlt = {key for key, _ in self._loads(model)}  # whose columns are always the same
        return self._joined("unit_test", *parts, above=model, but=of_dlt)

    def _loads(self, node: Any) -> Iterator[tuple[str, Any]]:
        """Tables of dlt's loads that a node reads."""
        for key in node.depends_on_nodes:
            source = self._graph.sources.get(key)
            if source is not None and source.identifier.lower() == "_dlt_loads":
                yield key, source

    def _joined(self, *parts: str | None, above: Any, but: Collection[str] = ()) -> str | None:
        """A digest of texts and of what a node reads; None where that is not known."""
        read = [self._of(key) for key in sorted(set(above.depends_on_nodes) - set(but))]
        return None if None in read else _digest(self._common, *map(str, (*parts, *read)))

    def _of(self, key: str) -> str | None:
        if (found := self.digests.get(key)) is not None:
            return found
        if (source := self._graph.sources.get(key)) is not None:
            if libraries_dbt.is_external(source) or not dbt_runner.is_in(source, self._target):
                return None
            return f"{source.relation_name} {_content(self.sources, '.'.join(_table(source)))}"
        node = self._graph.nodes.get(key)
        if node is not None and node.is_ephemeral_model:  # its SQL is in that of its readers
            return self._joined(key, above=node)
        return self._before.get(key) if self._is_part else None

    def _parents(self, node: Any) -> Iterator[Relation]:
        for key in node.depends_on_nodes:
            if (source := self._graph.sources.get(key)) is not None:
                yield _table(source)
            elif (parent := self._graph.nodes.get(key)) is not None:
                yield _relation(parent)
                if parent.is_ephemeral_model:
                    yield from self._parents(parent)


def is_on(resolved: Resolved, target: Target) -> bool:
    """Whether results are reused at all."""
    return resolved.settings.dbt.reuse_results and target.capabilities.reuses_results


def last_build(resolved: Resolved, target: Target) -> BuildState | None:
    """The last build's state, if the target is as that build, and what came since, left it."""
    last = build_state.read(resolved) if is_on(resolved, target) else None
    if last is None or not last.generation:
        return None
    signature = target.signature()
    is_as_left = signature is not None and signature == (last.loaded or last.signature)
    return last if is_as_left else None


def after_load(
    resolved: Resolved, target: Target, last: BuildState, report: LoadReport, *, whole: bool
) -> None:
    """Write down which raw tables a load changed.

    Args:
        resolved: the settings.
        target: was loaded into.
        last: of ``last_build``, before it.
        report: of the load.
        whole: whether all sources of it count as changed, whatever is said of their rows.
    """
    failed = {failure.source for failure in report.failures}
    changed = failed | {table.source for table in report.tables if whole or table.is_changed}
    loaded = target.signature()
    if not changed and loaded == (last.loaded or last.signature):
        return
    load = uuid4().hex
    sources = dict(last.sources)
    for name in changed:
        schema = resolved.raw_schema(name).lower()
        if whole or name in failed:  # any of its tables
            sources = {key: each for key, each in sources.items() if _schema(key) != schema}
        else:
            for table in (one for one in report.tables if one.source == name):
                key = f"{schema}.{table.table}".lower()
                sources[key] = load if table.is_changed else _content(sources, key)
        sources[schema] = load
    update = {"loaded": loaded, "sources": sources}
    build_state.write(resolved, last.model_copy(update=update))


def after_part(
    resolved: Resolved, target: Target, last: BuildState, known: Reuse, nodes: Sequence[NodeReport]
) -> None:
    """Write down what a build of a part of the project left.

    Args:
        resolved: the settings.
        target: was built in.
        last: of ``last_build``, before it.
        known: of that build.
        nodes: what it ran.
    """
    outdated = known.with_readers(node.unique_id for node in nodes)
    others = {key: found for key, found in last.digests.items() if key not in outdated}
    update = {"loaded": target.signature(), "digests": others | known.kept(nodes)}
    build_state.write(resolved, last.model_copy(update=update))


def _called_by_dbt(graph: Any) -> set[str]:
    """The ids of macros that dbt may call when it runs a node; what others do is compiled into it.

    These are dbt's own, those of the project in place of one of them, those that dbt looks for
    by the name of a materialization or strategy, and all that these call.
    """
    packages = libraries_dbt.own_packages(graph)
    own = {macro.name for macro in graph.macros.values() if macro.package_name in packages}
    called = [
        key
        for key, macro in graph.macros.items()
        if macro.package_name in packages
        or not own.isdisjoint({macro.name, macro.name.partition("__")[2]})
        or _SOUGHT.match(macro.name)
    ]
    calls = {key: macro.depends_on.macros for key, macro in graph.macros.items()}
    return set(reachable(calls, called)).intersection(graph.macros)


def _content(sources: Mapping[str, str], table: str) -> str:
    """An id of what a raw table (``schema.table``, lower case) holds; empty before any load.

    A table that no load tells of, as the nested ones and dlt's own, has that of its schema.
    """
    return sources.get(table, sources.get(_schema(table), ""))


def _schema(table: str) -> str:
    return table.partition(".")[0]


def _settings(node: Any) -> str:
    """The config of a node, its contract, and descriptions that dbt writes into the database."""
    config = node.config.to_dict()
    columns = [
        (column.name, column.data_type, [one.to_dict() for one in column.constraints])
        for column in node.columns.values()
    ]
    constraints = [one.to_dict() for one in getattr(node, "constraints", ())]
    said = [node.description, *(each.description for each in node.columns.values())]
    return _text([config, columns, constraints, said if config.get("persist_docs") else None])


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _digest(*parts: str) -> str:
    return xxhash.xxh3_128_hexdigest(repr(parts).encode())


def _relation(node: Any) -> Relation:
    return node.schema.lower(), node.alias.lower()


def _table(source: Any) -> Relation:
    return source.schema.lower(), source.identifier.lower()
