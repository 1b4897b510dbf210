"""What is built in a check, from what, with which SQL, and in which order.

The order is that of the manifest's ``depends_on``, and of the tables that DuckDB's own parser finds
in the compiled SQL; the claimed column lineage has no part in it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headrace.catalog.model import Asset, Catalog
from headrace.errors import LineageError
from headrace.formatting import count, first_few
from headrace.libraries.duckdb import objects_in, parsed
from headrace.lineage.find import NodeRef
from headrace.lineage.trace import reachable, topological_order
from headrace.sql_text import identifier

if TYPE_CHECKING:
    import duckdb
    from sqlglot import exp


Name = tuple[str, str, str]
"""Database, schema and identifier of a relation."""


def tables_in(connection: "duckdb.DuckDBPyConnection", sql: str) -> Iterator[Name]:
    """The tables that a select names, as DuckDB parses it; none when it is no plain select."""
    for node in objects_in(parsed(connection, sql)):
        if node.get("type") == "BASE_TABLE":
            yield node["catalog_name"], node["schema_name"], node["table_name"]


def select_of(asset: Asset) -> str:
    sql = (asset.compiled_code or "").strip().rstrip(";")
    kept = asset.snapshot
    if kept is None:
        return sql
    key = ", ".join(f"({part})::varchar" for part in kept.unique_key) or "''"
    when = kept.updated_at if kept.strategy == "timestamp" and kept.updated_at else "now()"
    ends = f"nullif({when}, {when})"
    values = {
        "dbt_scd_id": f"md5(concat_ws('|', {key}, ({when})::varchar))",
        "dbt_updated_at": when,
        "dbt_valid_from": when,
        "dbt_valid_to": f"coalesce({ends}, {kept.valid_to_current})"
        if kept.valid_to_current
        else ends,
    }
    if kept.marks_deleted:
        values["dbt_is_deleted"] = "'False'"
    meta = ", ".join(
        f"{value} as {identifier(kept.column_names.get(name, name))}"
        for name, value in values.items()
    )
    return f"with __snapshot as (\n{sql}\n)\nselect *, {meta} from __snapshot"


def without_itself(sql: str, name: Name) -> str | None:
    """The SQL of an incremental model as at a full refresh.

    Every condition that reads the model's own table is taken as true, for dbt leaves out
    ``where loaded_at > (select max(loaded_at) from this)`` there.

    Args:
        sql: of DuckDB.
        name: database, schema and identifier of the model's table.

    Returns:
        The new SQL; None when the table is read elsewhere than in a condition.
    """
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(sql, dialect="duckdb")
    except sqlglot.errors.SqlglotError:
        return None
    while (table := _own(tree, name)) is not None:
        condition = _condition(table)
        if condition is None:
            return None
        condition.replace(exp.true())
    return tree.sql(dialect="duckdb")


def in_duckdb(catalog: Catalog, dialect: str) -> Catalog:
    """A catalog whose models' SQL is DuckDB's, which builds them here, whatever the target.

    SQL that sqlglot cannot translate is left out: the check says that it is missing.

    Args:
        catalog: with compiled SQL.
        dialect: sqlglot's name of the SQL.
    """
    import sqlglot

    if dialect == "duckdb":
        return catalog
    assets = dict(catalog.assets)
    for key, asset in assets.items():
        if asset.compiled_code is not None:
            try:
                (sql,) = sqlglot.transpile(
                    asset.compiled_code, read=dialect, write="duckdb", identify=True
                )
            except (sqlglot.errors.SqlglotError, ValueError):
                sql = None
            assets[key] = replace(asset, compiled_code=sql)
    return replace(catalog, assets=assets)


def _own(tree: "exp.Expr", name: Name) -> "exp.Expr | None":
    from sqlglot import exp

    wanted = (name[1].casefold(), name[2].casefold())
    for table in tree.find_all(exp.Table):
        if (table.db.casefold(), table.name.casefold()) == wanted:
            return table
    return None


def _condition(table: "exp.Expr") -> "exp.Expr | None":
    """The smallest term of a conjunction around a table."""
    from sqlglot import exp

    node: exp.Expr | None = table
    while node is not None and node.parent is not None:
        parent = node.parent
        if isinstance(parent, exp.Where | exp.Having | exp.Qualify):
            owner = parent.parent
            inside = owner is not None and _reads(owner, table)
            if not inside:
                return node
        if isinstance(parent, exp.And) and not isinstance(node, exp.Table):
            return node
        node = parent
    return None


def _reads(select: "exp.Expr", table: "exp.Expr") -> bool:
    """Whether a select has the table in its own ``from``: then its conditions do not count."""
    from sqlglot import exp

    return any(
        found is table
        for part in (select.args.get("from_"), *(select.args.get("joins") or ()))
        if isinstance(part, exp.Expr)
        for found in part.find_all(exp.Table)
    )


@dataclass(frozen=True, slots=True)
class UnbuiltRelation:
    """A relation that no model makes.

    Attributes:
        id: of the asset; ``table.<schema>.<name>`` of one that the catalog does not know.
        name: where it stands.
        columns: to perturb; None for all of it, empty for none (a Python model's table).
    """

    id: str
    name: Name
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class BuiltModel:
    """A model or snapshot, which is built as a table.

    Attributes:
        id: of the asset.
        name: where it stands; None of an ephemeral model, which its readers hold in themselves.
        sql: its select.
        parents: ids of what it reads, models and raw tables.
        key: its primary key.
        reads_itself: whether its SQL reads its own table (incremental).
        compared: whether its SQL says all that its table holds, so that it can be verified.
    """

    id: str
    name: Name | None
    sql: str
    parents: frozenset[str]
    key: tuple[str, ...]
    reads_itself: bool = False
    compared: bool = True


@dataclass(frozen=True, slots=True)
class VerifyPlan:
    """All of a check.

    Attributes:
        raws: by id.
        models: parents before children.
        notes: what is not built as dbt would build it.
        made_elsewhere: ids of raw relations that no model and no dlt resource makes.
    """

    raws: Mapping[str, UnbuiltRelation]
    models: tuple[BuiltModel, ...]
    notes: tuple[str, ...] = ()
    made_elsewhere: frozenset[str] = frozenset()

    def without(self, raws: Mapping[str, UnbuiltRelation]) -> "VerifyPlan":
        """What is left where some raw relations are not there; a note says what is not checked."""
        if not raws:
            return self
        lost = downstream(self.models, raws.keys())
        tables = Counter(raw.name[1] for raw in raws.values())
        named = ", ".join(
            f"{schema} ({count(number, 'table')})" for schema, number in sorted(tables.items())
        )
        models = f"{len(lost):,} {'model that needs' if len(lost) == 1 else 'models that need'}"
        note = f"not in the warehouse: {named}; {models} them cannot be checked"
        return VerifyPlan(
            {key: raw for key, raw in self.raws.items() if key not in raws},
            tuple([model for model in self.models if model.id not in lost]),
            (*self.notes, note),
            self.made_elsewhere,
        )


def downstream(models: Sequence[BuiltModel], keys: Iterable[str]) -> set[str]:
    """The models that need any of some raw relations or models; without these."""
    first = set(keys)
    reached = set(first)
    for model in parents_first(models):
        if model.parents & reached:
            reached.add(model.id)
    return reached - first


def parents_first(models: Sequence[BuiltModel]) -> tuple[BuiltModel, ...]:
    """Models in an order in which they can be built.

    Raises:
        LineageError: they read each other in a cycle.
    """
    by_id = {model.id: model for model in sorted(models, key=lambda model: model.id)}
    ordered, in_cycles = topological_order({key: one.parents for key, one in by_id.items()})
    if in_cycles:
        raise LineageError(
            "these models read each other in a cycle and cannot be built: "
            + first_few(in_cycles, 5)
        )
    return tuple([by_id[key] for key in ordered])


def plan(
    catalog: Catalog,
    connection: "duckdb.DuckDBPyConnection",
    *,
    only: Sequence[NodeRef] = (),
) -> VerifyPlan:
    """What a check takes.

    Args:
        catalog: with compiled SQL.
        connection: any; its parser is used.
        only: limit it: raw tables, columns or resources to what is downstream of them, models
            to what is upstream.

    Raises:
        LineageError: nothing in it can be built.
    """
    reading = _Reading(catalog, connection, main_database(catalog))
    models, notes = reading.models()
    raws = dict(reading.raws)
    if only:
        raws, models = _limited(catalog, raws, models, only)
    if not models or all(raw.columns == () for raw in raws.values()):
        raise LineageError(
            "there is no model with compiled SQL over raw tables to check here: run `headrace run` "
            "first, or name another node"
        )
    return VerifyPlan(raws, parents_first(models), tuple(notes), frozenset(reading.made_elsewhere))


class _Reading:
    """From assets to models and raws."""

    def __init__(
        self, catalog: Catalog, connection: "duckdb.DuckDBPyConnection", database: str
    ) -> None:
        self._catalog = catalog
        self._connection = connection
        self._database = database
        self.raws: dict[str, UnbuiltRelation] = {}
        self._by_name: dict[Name, str] = {}
        self.made_elsewhere: set[str] = set()
        self._is_loaded = any(asset.kind == "resource" for asset in catalog.assets.values())
        for key, asset in catalog.assets.items():
            if asset.is_relation and asset.schema and asset.identifier:
                self._by_name[_folded(self._name(asset))] = key

    def models(self) -> tuple[list[BuiltModel], list[str]]:
        assets = [a for a in self._catalog.assets.values() if a.kind in {"model", "snapshot"}]
        found = [self._model(asset) for asset in assets if asset.compiled_code is not None]
        read = {key for model in found for key in model.parents}
        notes, left_out = [], []
        for asset in assets:
            if asset.compiled_code is not None:
                continue
            if asset.id in read:
                notes.append(f"{asset.name} has no compiled SQL: its table was taken as it is")
                self.raws[asset.id] = UnbuiltRelation(asset.id, self._name(asset), ())
            else:
                left_out.append(asset.name)
        if left_out:
            names = first_few(left_out, 5)
            notes.append(f"without compiled SQL, and so not checked: {len(left_out)} ({names})")
        for asset in assets:
            if asset.compiled_code is not None and asset.beyond_sql:
                reasons = "; ".join(asset.beyond_sql)
                notes.append(f"{asset.name} is not verified, it is more than its SQL: {reasons}")
        return found, notes

    def _model(self, asset: Asset) -> BuiltModel:
        names = list(tables_in(self._connection, asset.compiled_code or ""))
        parents = {key for key in self._catalog.parents.get(asset.id, ()) if self._counts(key)}
        reads_itself = False
        for database, schema, table in names:
            if not schema:
                continue
            name = (database or self._database, schema, table)
            key = self._by_name.get(_folded(name))
            if key == asset.id:
                reads_itself = True
                continue
            if key is None:
                key = f"table.{schema}.{table}"
                self.made_elsewhere.add(key)
                self.raws.setdefault(key, UnbuiltRelation(key, name))
            parents.add(key)
        for key in parents:
            parent = self._catalog.assets.get(key)
            if parent is not None and parent.kind in {"table", "seed"}:
                if (
                    parent.kind == "table"
                    and self._is_loaded
                    and not parent.name.startswith("_dlt_")
                    and not self._resource_of(key)
                ):
                    self.made_elsewhere.add(key)
                self.raws.setdefault(key, UnbuiltRelation(key, self._name(parent)))
        return BuiltModel(
            id=asset.id,
            name=None if asset.materialized == "ephemeral" else self._name(asset),
            sql=select_of(asset),
            parents=frozenset(parents),
            key=_key(asset),
            reads_itself=reads_itself,
            compared=not asset.beyond_sql,
        )

    def _resource_of(self, key: str) -> bool:
        """Whether a raw table, or the one that it is nested in, is loaded by a dlt resource."""
        seen: set[str] = set()
        while key not in seen and key in self._catalog.assets:
            seen.add(key)
            parents = self._catalog.parents.get(key, ())
            if any(self._catalog.assets[one].kind == "resource" for one in parents):
                return True
            key = self._catalog.assets[key].parent_table or key
        return False

    def _counts(self, key: str) -> bool:
        return self._catalog.assets[key].is_relation

    def _name(self, asset: Asset) -> Name:
        return (
            asset.database or self._database,
            asset.schema or "main",
            asset.identifier or asset.name,
        )


def _folded(name: Name) -> Name:
    return name[0].casefold(), name[1].casefold(), name[2].casefold()


def main_database(catalog: Catalog) -> str:
    """The database of most models: what their SQL calls the warehouse."""
    found = Counter(
        asset.database
        for asset in catalog.assets.values()
        if asset.kind == "model" and asset.database
    )
    return found.most_common(1)[0][0] if found else "warehouse"


def _key(asset: Asset) -> tuple[str, ...]:
    if asset.primary_key:
        return asset.primary_key
    kept = asset.snapshot
    plain = kept and all(re.fullmatch(r"\w+", part) for part in kept.unique_key)
    return kept.unique_key if kept and plain else ()


def _limited(
    catalog: Catalog,
    raws: Mapping[str, UnbuiltRelation],
    models: Sequence[BuiltModel],
    only: Sequence[NodeRef],
) -> tuple[dict[str, UnbuiltRelation], list[BuiltModel]]:
    """Only what is upstream of the models, and downstream of the raws, that are named.

    What these need besides is built, but its raw columns are not perturbed.

    Raises:
        LineageError: one of them is neither.
    """
    by_id = {model.id: model for model in models}
    parents = {model.id: model.parents for model in models}
    wanted: set[str] = set()
    columns: dict[str, list[str] | None] = {}
    for ref in only:
        if ref.asset in by_id:
            for key in reachable(parents, [ref.asset]):
                if key in by_id:
                    wanted.add(key)
                elif key in raws and raws[key].columns is None:
                    columns[key] = None
            continue
        tables = _raw_of(catalog, raws, ref)
        if not tables:
            asset = catalog.assets[ref.asset]
            raise LineageError(
                f"{asset.kind} {asset.name} is not part of the check: name a model, or a raw table "
                "or column that a model reads"
            )
        for key, column in tables:
            before = columns.get(key, [])
            columns[key] = None if column is None or before is None else [*before, column]
        wanted |= downstream(models, {key for key, _ in tables})
    needed = reachable(parents, wanted)
    kept = {
        key: UnbuiltRelation(
            key, raw.name, raw.columns if raw.columns is not None else _only(columns, key)
        )
        for key, raw in raws.items()
        if key in needed
    }
    return kept, [model for model in models if model.id in needed]


def _only(columns: Mapping[str, list[str] | None], key: str) -> tuple[str, ...] | None:
    named = columns.get(key, [])
    return None if named is None else tuple(named)


def _raw_of(
    catalog: Catalog, raws: Mapping[str, UnbuiltRelation], ref: NodeRef
) -> list[tuple[str, str | None]]:
    """The raw tables and columns that are meant; a resource stands for what it loads."""
    if ref.asset in raws:
        return [(ref.asset, ref.column)]
    if catalog.assets[ref.asset].kind != "resource":
        return []
    if ref.column is None:
        return [(key, None) for key in catalog.children[ref.asset] if key in raws]
    return [
        (edge.child, edge.child_column)
        for edge in catalog.edges_by_parent.get(ref.asset, ())
        if edge.parent_column == ref.column and edge.child in raws
    ]
