"""Column lineage of a whole catalog: every asset's columns, and what they are made from.

compiled SQL ─► summaries (cached by text) ─► resolved, parents first ─┬─► edges, columns,
                                     dlt's raw tables (``dlt_edges``) ─┘   problems
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

from msgspec import structs

from headrace.catalog.model import Asset, Catalog, ColumnEdge, ColumnLineageProblem
from headrace.lineage.edges_without_sql import columns_of_test, dlt_edges, says_it_all, with_history
from headrace.lineage.sql import tree
from headrace.lineage.sql.dependencies import FILTERED, Deps, add, fold, names
from headrace.lineage.sql.parse import SummaryCache, keys, summarize_all
from headrace.lineage.sql.relations import Relation, Rest, asset_relation
from headrace.lineage.sql.statement import read
from headrace.lineage.sql.tree import Names
from headrace.lineage.trace import topological_order
from headrace.process import gc_paused

EPHEMERAL = "__dbt__cte__"
"""How dbt names the CTE of an ephemeral model in the SQL of those that read it."""


ITSELF = "itself"
"""The label of columns of an incremental model's own table."""


Unique = tuple[frozenset[str], ...]

_AS_WRITTEN = frozenset({"table", "view", "ephemeral"})  # not `incremental`: it holds older rows


class AssetRelations:
    """The assets of a catalog by the names that SQL has for them."""

    def __init__(self, catalog: Catalog) -> None:
        """Index the catalog's relations."""
        self._catalog = catalog
        self._by_name: dict[Names, list[str]] = {}
        self._ephemeral: dict[str, list[str]] = {}
        self._yields: dict[str, tuple[tuple[str, ...], bool]] = {}
        self._unique: dict[str, Unique] = {}
        self._relations: dict[str, Relation] = {}
        for key, asset in catalog.assets.items():
            if asset.is_relation:
                self._index(key, asset)

    def _index(self, key: str, asset: Asset) -> None:
        if asset.materialized == "ephemeral":
            for called in {fold(asset.name), fold(asset.identifier or asset.name)}:
                self._ephemeral.setdefault(called, []).append(key)
            return
        identifier = fold(asset.identifier or asset.name)
        names: list[Names] = [(identifier,)]
        if asset.schema:
            names.append((fold(asset.schema), identifier))
            if asset.database:
                names.append((fold(asset.database), fold(asset.schema), identifier))
        for name in names:
            self._by_name.setdefault(name, []).append(key)

    def find(self, parts: Names, child: str) -> str | None:
        """The asset that a name in the SQL of ``child`` means: first of those that it reads."""
        name = parts[-1]
        if len(parts) == 1 and name.startswith(EPHEMERAL):
            found = self._ephemeral.get(name[len(EPHEMERAL) :], [])
        else:
            found = self._by_name.get(parts, [])
            if not found and len(parts) == 3:
                # an asset without a database, or the name of an attached file
                found = self._by_name.get(parts[1:], [])
        if len(found) > 1:
            parents = self._catalog.parents.get(child, ())
            found = [key for key in found if key in parents or key == child] or found
        if not found or (len(parts) == 1 and len(found) > 1):
            return None
        return found[0]

    def relation(self, key: str) -> Relation:
        """An asset as SQL reads it: by what its own SQL yields, or by its columns on record."""
        found = self._relations.get(key)
        if found is None:
            found = self._relations[key] = self._made(key)
        return found

    def _made(self, key: str) -> Relation:
        asset = self._catalog.assets[key]
        names, complete = self._yields.get(key, ((), False))
        if complete:
            found = asset_relation(key, names, None)
            found.unique = self._unique.get(key, ())
            return found
        known = {fold(name) for name in names}
        names += tuple(one.name for one in asset.columns if fold(one.name) not in known)
        kind = "partial" if names else "open"
        return asset_relation(key, names, Rest(kind, f'"{asset.name}"', key))  # type: ignore[arg-type]

    def itself(self, key: str) -> Relation:
        """An incremental model's own table: its columns come from nowhere but itself."""
        columns = self._catalog.assets[key].columns
        return Relation([(one.name, {}) for one in columns], rest=(Rest("fixed", ITSELF),))

    def yields(
        self, key: str, names: Iterable[str], *, complete: bool, unique: Unique = ()
    ) -> None:
        """Note which columns an asset's own SQL yields, and which of them tell rows apart."""
        if self._catalog.assets[key].materialized in _AS_WRITTEN:
            self._unique[key] = unique
        self._yields[key] = (tuple(names), complete)
        self._relations.pop(key, None)


_SQL_KINDS = frozenset({"model", "snapshot", "test"})


@dataclass(frozen=True)
class ColumnLineage:
    """What was found.

    Attributes:
        edges: sorted by child.
        columns: asset id to the columns that its SQL yields, where that could be read.
        problems: what could not be determined.
        lookups: asset id to those of its parents whose rows decide none of its rows.
        read: statements that were parsed.
        reused: statements that the cache knew.
    """

    edges: tuple[ColumnEdge, ...]
    columns: Mapping[str, tuple[str, ...]]
    problems: tuple[ColumnLineageProblem, ...]
    lookups: Mapping[str, tuple[str, ...]]
    read: int
    reused: int


def column_lineage(
    catalog: Catalog, *, dialect: str, cache: Path | None = None, workers: int | None = None
) -> ColumnLineage:
    """Which columns each column of the catalog is made from, and how.

    Models, snapshots and tests by their compiled SQL; raw tables by what dlt says of them.
    Exposures have no edges of columns: they read every column of their parents.

    Args:
        catalog: its column edges are not looked at.
        dialect: sqlglot's name of the SQL: ``duckdb``, ``postgres``, ``snowflake``, ...
        cache: a directory that keeps what was read, so that a second run reads only statements
            that changed; it is made if need be.
        workers: processes that read SQL; None: as many as pay.
    """
    project = _ProjectSql(catalog)
    read, reused = project.summarize(dialect, cache=cache, workers=workers)
    project.resolve()
    edges = [*project.edges, *dlt_edges(catalog)]
    edges.sort(key=attrgetter("child", "child_column", "parent", "parent_column", "kind"))
    return ColumnLineage(
        tuple(edges),
        project.columns,
        tuple(project.problems),
        project.lookups,
        read=read,
        reused=reused,
    )


class _ProjectSql:
    """The SQL of a catalog's assets.

    Attributes:
        edges: what was found.
        columns: asset id to the columns that its SQL yields.
        problems: what could not be determined.
        lookups: asset id to those of its parents whose rows decide none of its rows.
    """

    def __init__(self, catalog: Catalog) -> None:
        """Start."""
        self.edges: list[ColumnEdge] = []
        self.columns: dict[str, tuple[str, ...]] = {}
        self.problems: list[ColumnLineageProblem] = []
        self.lookups: dict[str, tuple[str, ...]] = {}
        self._catalog = catalog
        self._relations = AssetRelations(catalog)
        self._summaries: dict[str, tree.Summary] = {}

    def summarize(
        self, dialect: str, *, cache: Path | None, workers: int | None
    ) -> tuple[int, int]:
        """Read all statements that the cache does not know; how many, and how many it knew."""
        with gc_paused():
            return self._summarize(dialect, cache, workers)

    def _summarize(self, dialect: str, cache: Path | None, workers: int | None) -> tuple[int, int]:
        sql = dict(self._statements())
        known = SummaryCache(cache)
        by_key: dict[bytes, tree.Summary | None] = {}
        keyed = dict(zip(sql, keys((text, dialect) for text in sql.values()), strict=True))
        unknown: dict[bytes, str] = {}
        for asset, key in keyed.items():
            if key not in by_key:
                by_key[key] = known.get(key)
                if by_key[key] is None:
                    unknown[key] = sql[asset]
        statements = [(text, dialect) for text in unknown.values()]
        new = dict(zip(unknown, summarize_all(statements, workers=workers), strict=True))
        known.add(new)
        known.save()
        by_key.update(new)
        for asset, key in keyed.items():
            summary = by_key[key]
            assert summary is not None
            self._summaries[asset] = summary
        return len(new), known.reused

    def _statements(self) -> Iterator[tuple[str, str]]:
        """Ids and SQL of the assets whose SQL must be read."""
        for key, asset in self._catalog.assets.items():
            if asset.kind not in _SQL_KINDS or says_it_all(asset):
                continue
            if asset.compiled_code and not _is_python(asset):
                yield key, asset.compiled_code
            elif not (asset.is_test and asset.test and asset.test.column):
                self._problem(key, _no_sql(asset))

    def _problem(self, asset: str, message: str) -> None:
        self.problems.append(ColumnLineageProblem(asset, message))

    def resolve(self) -> None:
        """Work out all edges, parents first."""
        reads = {
            key: [
                found
                for parts in summary.tables
                if (found := self._relations.find(parts, key)) is not None
            ]
            for key, summary in self._summaries.items()
        }
        for key, asset in self._catalog.assets.items():
            if asset.test is not None and asset.test.attached_to is not None:
                reads.setdefault(key, []).append(asset.test.attached_to)
        with gc_paused():
            for key in self._parents_first(reads):
                summary = self._summaries.get(key)
                asset = self._catalog.assets[key]
                if asset.is_test:
                    self._test(key, asset, summary)
                elif summary is not None:
                    self._relation(key, asset, summary)

    def _parents_first(self, reads: dict[str, list[str]]) -> list[str]:
        """All assets, each after those that it reads; those in a cycle last."""
        parents = {
            key: {*self._catalog.parents.get(key, ()), *reads.get(key, ())}
            for key in self._catalog.assets
        }
        ordered, in_cycles = topological_order(parents)
        return ordered + in_cycles

    def _tables(self, child: str, parts: tree.Names) -> Relation | None:
        found = self._relations.find(parts, child)
        if found is None:
            return None
        return self._relations.itself(child) if found == child else self._relations.relation(found)

    def _relation(self, key: str, asset: Asset, summary: tree.Summary) -> None:
        """A model or snapshot: the edges of each of its columns, and of its rows."""
        reading = read(summary, lambda parts: self._tables(key, parts))
        for message in reading.problems:
            self._problem(key, message)
        if summary.query is None:
            return
        found = reading.relation
        if asset.snapshot is not None:
            found = with_history(found, asset.snapshot)
        columns, complete = self._named(key, asset, found)
        for name, deps in columns:
            self._add(key, name, deps)
        self._add(key, "", found.rows)
        if not reading.problems:
            decide = {parent for parent, column in found.rows if not column}
            others = [one for one in self._catalog.parents.get(key, ()) if one not in decide]
            if others:
                self.lookups[key] = tuple(others)
        self.columns[key] = tuple(name for name, _ in columns)
        self._relations.yields(key, self.columns[key], complete=complete, unique=found.unique)

    def _named(
        self, key: str, asset: Asset, found: Relation
    ) -> tuple[list[tuple[str, Deps]], bool]:
        """The columns under the names that the catalog has for them, and whether these are all."""
        recorded = [one.name for one in asset.columns]
        found = _spread(found, recorded)
        spelled = {fold(name): name for name in recorded}
        given = {fold(name) for name, _ in found.columns}
        by_place = not found.rest and len(recorded) == len(found.columns)
        columns: list[tuple[str, Deps]] = []
        for number, (name, deps) in enumerate(found.columns):
            known = spelled.get(fold(name))
            # the engine makes up the name of an expression without one: `count_star()`
            made_up = known is None and not name.isidentifier()
            if made_up and by_place and fold(recorded[number]) not in given:
                known = recorded[number]
            columns.append((known or name, deps))
        more, complete = self._rest(key, recorded, given, found.rest)
        columns += more
        if not found.rest:
            yielded = {fold(name) for name, _ in columns}
            for name in recorded:
                if fold(name) not in yielded:
                    self._problem(key, f'its SQL does not say where column "{name}" comes from')
        return columns, complete

    def _rest(
        self, key: str, recorded: list[str], given: set[str], rests: tuple[Rest, ...]
    ) -> tuple[list[tuple[str, Deps]], bool]:
        """Columns on record that the SQL does not name, where there is one place they can be from.

        A `*` over columns that are not known is a problem even so: there may be more of them.
        """
        found: list[tuple[str, Deps]] = []
        complete = True
        # a table has hardly more columns than are known, where another place can have any
        likely = [rest for rest in rests if rest.kind != "partial"] or rests
        for rest in rests:
            if rest.label == ITSELF:
                continue
            for name in recorded if len(likely) == 1 and rest is likely[0] else ():
                deps = rest.get(fold(name)) if fold(name) not in given else None
                if deps is not None:
                    found.append((name, deps))
            complete = complete and rest.kind == "fixed" and bool(recorded)
            if rest.kind != "partial" and not (rest.kind == "fixed" and recorded):
                self._problem(key, _unnamed(rest))
        return found, complete

    def _add(self, child: str, column: str, deps: Deps) -> None:
        edges = self.edges
        folded = fold(column)
        for (parent, parent_column), ways in deps.items():
            if not ways or not (column or parent_column):
                continue
            same = fold(parent_column) == folded
            for kind in names(ways, same_name=same):
                edges.append(ColumnEdge(parent, parent_column, child, column, kind))

    def _test(self, key: str, asset: Asset, summary: tree.Summary | None) -> None:
        """A test: all columns that it reads decide its result."""
        found: Deps = {}
        if summary is None:
            found = columns_of_test(self._catalog, key, asset, self.columns)
        else:
            reading = read(_explicit(summary), lambda parts: self._tables(key, parts))
            for message in reading.problems:
                self._problem(key, message)
            for deps in (reading.relation.everything(), reading.relation.rows):
                add(found, deps, FILTERED)
        for parent, column in sorted(found):
            if column:
                self.edges.append(ColumnEdge(parent, column, key, "", "filtered"))


def _explicit(summary: tree.Summary) -> tree.Summary:
    """Without a last `*`: a test counts rows, and shows the other columns only."""
    query = summary.query
    if isinstance(query, tree.AllColumns):
        query = tree.Select(query.ctes, (query.source,), ())
    elif isinstance(query, tree.Select) and not query.distinct:
        items = tuple(item for item in query.items if item.star is None or item.reads)
        query = structs.replace(query, items=items)
    return structs.replace(summary, query=query)


def _unnamed(rest: Rest) -> str:
    return f"a `*` stands for the columns of {rest.label}, which are not known"


def _is_python(asset: Asset) -> bool:
    return bool(asset.path and asset.path.endswith(".py"))


def _spread(found: Relation, recorded: list[str]) -> Relation:
    """A relation with its ``unnest`` as the recorded columns show it: of a list or of a struct.

    A struct's fields are columns of their own, and the one that stands for them is not on record.
    Where nothing is on record it is taken for a list's, which is one column.
    """
    known = {fold(name) for name in recorded}
    gone: set[str] = set()
    rests: list[Rest] = []
    for rest in found.rest:
        if rest.kind != "spread":
            rests.append(rest)
        elif known and fold(rest.label) not in known:
            gone.add(rest.label)
            rests.append(replace(rest, kind="fixed", label=f"`{rest.label}`"))
    columns = [pair for pair in found.columns if pair[0] not in gone]
    return Relation(columns, found.rows, tuple(rests), found.order)


def _no_sql(asset: Asset) -> str:
    if _is_python(asset):
        return "it is written in Python, which is not read"
    return "it has no compiled SQL: run dbt compile, or headrace run"
