"""What is built in a check, from what, and in which order.

The order is that of the manifest's ``depends_on``, and of the tables that DuckDB's own parser finds
in the compiled SQL; the claimed column lineage has no part in it.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from headrace.catalog.model import Asset, Catalog
from headrace.errors import LineageError
from headrace.lineage.find import Place
from headrace.lineage.verify.limit import limited
from headrace.lineage.verify.parts import Model, Name, Plan, Raw, ordered
from headrace.sql_text import qualified

if TYPE_CHECKING:
    import duckdb


def plan(
    catalog: Catalog,
    connection: "duckdb.DuckDBPyConnection",
    *,
    places: Sequence[Place] = (),
) -> Plan:
    """What a check takes.

    Args:
        catalog: with compiled SQL.
        connection: any; its parser is used.
        places: limits it: raw tables, columns or resources to what is downstream of them, models
            to what is upstream.

    Raises:
        LineageError: nothing in it can be built.
    """
    reading = _Reading(catalog, connection, main_database(catalog))
    models, notes = reading.models()
    raws = dict(reading.raws)
    if places:
        raws, models = limited(catalog, raws, models, places)
    if not models or all(raw.columns == () for raw in raws.values()):
        raise LineageError(
            "there is no model with compiled SQL over raw tables to check here: run `headrace run` "
            "first, or name another node"
        )
    return Plan(raws, ordered(models), tuple(notes), frozenset(reading.made_elsewhere))


class _Reading:
    """From assets to models and raws."""

    def __init__(
        self, catalog: Catalog, connection: "duckdb.DuckDBPyConnection", database: str
    ) -> None:
        self._catalog = catalog
        self._connection = connection
        self._database = database
        self.raws: dict[str, Raw] = {}
        self._by_name: dict[Name, str] = {}
        self.made_elsewhere: set[str] = set()
        self._is_loaded = any(asset.kind == "resource" for asset in catalog.assets.values())
        for key, asset in catalog.assets.items():
            if asset.is_relation and asset.schema and asset.identifier:
                self._by_name[_folded(self._name(asset))] = key

    def models(self) -> tuple[list[Model], list[str]]:
        assets = [a for a in self._catalog.assets.values() if a.kind in {"model", "snapshot"}]
        found = [self._model(asset) for asset in assets if asset.compiled_code is not None]
        read = {key for model in found for key in model.parents}
        notes, left_out = [], []
        for asset in assets:
            if asset.compiled_code is not None:
                continue
            if asset.id in read:
                notes.append(f"{asset.name} has no compiled SQL: its table was taken as it is")
                self.raws[asset.id] = Raw(asset.id, self._name(asset), ())
            else:
                left_out.append(asset.name)
        if left_out:
            names = ", ".join(left_out[:5]) + (", ..." if len(left_out) > 5 else "")
            notes.append(f"without compiled SQL, and so not checked: {len(left_out)} ({names})")
        for asset in assets:
            if asset.compiled_code is not None and asset.beyond_sql:
                reasons = "; ".join(asset.beyond_sql)
                notes.append(f"{asset.name} is not verified, it is more than its SQL: {reasons}")
        return found, notes

    def _model(self, asset: Asset) -> Model:
        names = list(_tables(self._connection, asset.compiled_code or ""))
        parents = {key for key in self._catalog.parents.get(asset.id, ()) if self._counts(key)}
        reads_itself = False
        for database, schema, identifier in names:
            if not schema:
                continue
            name = (database or self._database, schema, identifier)
            key = self._by_name.get(_folded(name))
            if key == asset.id:
                reads_itself = True
                continue
            if key is None:
                key = f"table.{schema}.{identifier}"
                self.made_elsewhere.add(key)
                self.raws.setdefault(key, Raw(key, name))
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
                self.raws.setdefault(key, Raw(key, self._name(parent)))
        return Model(
            id=asset.id,
            name=None if asset.materialized == "ephemeral" else self._name(asset),
            sql=_select(asset),
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


def _tables(connection: "duckdb.DuckDBPyConnection", sql: str) -> Iterator[Name]:
    """The tables that a select names, as DuckDB parses it; none when it is no plain select."""
    row = connection.execute("select json_serialize_sql(?)", [sql.strip().rstrip(";")]).fetchone()
    todo = [json.loads(row[0])] if row else []
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            if node.get("type") == "BASE_TABLE":
                yield node["catalog_name"], node["schema_name"], node["table_name"]
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)


def _select(asset: Asset) -> str:
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
        f"{value} as {qualified(kept.column_names.get(name, name))}"
        for name, value in values.items()
    )
    return f"with __snapshot as (\n{sql}\n)\nselect *, {meta} from __snapshot"


def _key(asset: Asset) -> tuple[str, ...]:
    if asset.primary_key:
        return asset.primary_key
    kept = asset.snapshot
    plain = kept and all(re.fullmatch(r"\w+", part) for part in kept.unique_key)
    return kept.unique_key if kept and plain else ()
