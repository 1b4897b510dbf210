"""Silver and gold: Delta tables of the rows as they are now, and the marts made of them."""

import hashlib
import json
from typing import TYPE_CHECKING, Any

from headrace.errors import WarehouseError
from headrace.simulate import bronze
from headrace.simulate.places import GOLD, SILVER, CloudStack
from headrace.simulate.reports import StageTable
from headrace.sql_text import identifier
from headrace.targets.object_store import Entry

if TYPE_CHECKING:
    import duckdb

_MADE_OF = "headrace.made_of"
"""In the log of a Delta table: which files of bronze it was made of."""


def write(simulation: CloudStack, connection: "duckdb.DuckDBPyConnection") -> list[StageTable]:
    """Write the tables whose files of bronze changed; the others are left as they are.

    Args:
        simulation: the places.
        connection: can reach the bucket.

    Raises:
        WarehouseError: a source is not staged, or the bucket cannot be written.
        duckdb.Error: a file cannot be read.
    """
    found = []
    for source in bronze.needed(simulation):
        folder = f"{SILVER}/{source.staged.raw_schema}"
        for name, table in source.staged.tables.items():
            if name == bronze.LOADS:
                continue
            at = f"{simulation.url}/{folder}/{name}"
            made_of = _digest(source.of(name), table)
            is_new = _is_made_of(simulation, at) != made_of
            if is_new:
                query = bronze.latest(simulation.url, table, source.of(name))
                _write_delta(simulation, connection, at, query, table, made_of)
            files = [
                entry
                for entry in simulation.store.list(f"{folder}/{name}/")
                if "/_delta_log/" not in entry.key
            ]
            found.append(
                StageTable(
                    name=f"{source.staged.raw_schema}.{name}",
                    place=at,
                    files=len(files),
                    bytes=sum(entry.size for entry in files),
                    rows=table.rows,
                    new_files=1 if is_new else 0,
                    new_rows=table.rows if is_new else 0,
                )
            )
        _write_loads(simulation, connection, source, folder)
    return found


def _digest(files: Any, table: bronze.BronzeTable) -> str:
    told = [(entry.key, entry.tag) for entry in files]
    return hashlib.sha256(repr((told, table.keys, table.columns)).encode()).hexdigest()[:32]


def _is_made_of(simulation: CloudStack, at: str) -> str | None:
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        table = DeltaTable(at, storage_options=simulation.access.deltalake_options())
        (last,) = table.history(1)
    except TableNotFoundError:
        return None
    except Exception as error:
        raise simulation.store.explain(error) from error
    return str(last.get(_MADE_OF)) if last.get(_MADE_OF) else None


def _write_delta(
    simulation: CloudStack, connection: "duckdb.DuckDBPyConnection", at: str, query: str,
    table: bronze.BronzeTable, made_of: str,
) -> None:  # fmt: skip
    from deltalake import CommitProperties, write_deltalake

    order = ", ".join(map(identifier, table.keys))
    reader = connection.execute(f"{query}{f' order by {order}' if order else ''}").to_arrow_reader()
    try:
        write_deltalake(
            at,
            reader,
            mode="overwrite",
            schema_mode="overwrite",
            storage_options=simulation.access.deltalake_options(),
            commit_properties=CommitProperties(custom_metadata={_MADE_OF: made_of}),
        )
    except Exception as error:
        raise simulation.store.explain(error) from error


def _write_loads(
    simulation: CloudStack, connection: "duckdb.DuckDBPyConnection", source: bronze.StagedSource,
    folder: str,
) -> None:  # fmt: skip
    """Name the loads that are whole, as dlt does in a lake: a small file for each."""
    table = source.staged.tables[bronze.LOADS]
    there = {entry.key for entry in simulation.store.list(f"{folder}/{bronze.LOADS}/")}
    query = bronze.latest(simulation.url, table, source.of(bronze.LOADS))
    for load_id, schema_name in connection.execute(
        f"select load_id, schema_name from ({query}) where status = 0"
    ).fetchall():
        key = f"{folder}/{bronze.LOADS}/{schema_name}__{load_id}.jsonl"
        if key not in there:
            body = {"load_id": load_id, "schema_name": schema_name, "status": 0}
            simulation.store.put(key, json.dumps(body).encode())


def marts(simulation: CloudStack) -> list[StageTable]:
    """The marts of gold, with their files."""
    from headrace.targets.lake.target import LakeTarget

    target = simulation.lakehouse.target
    if not isinstance(target, LakeTarget):
        raise WarehouseError("the target of gold is no lake")
    found: dict[str, list[Entry]] = {}
    for entry in simulation.store.list(f"{GOLD}/"):
        parts = entry.key.split("/")
        if len(parts) > 3 and "/_delta_log/" not in entry.key:
            found.setdefault(f"{parts[1]}.{parts[2]}", []).append(entry)
    current = target.publisher().current()
    rows = {f"{one.schema}.{one.name}": one.rows for one in current.tables} if current else {}
    return [
        StageTable(
            name=name, place=f"{simulation.url}/{GOLD}/{name.replace('.', '/')}/",
            files=len(files), bytes=sum(entry.size for entry in files), rows=rows.get(name),
        )
        for name, files in sorted(found.items())
    ]  # fmt: skip
