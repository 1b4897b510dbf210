"""Raw tables of a lake, as dlt left them: which there are, and how DuckDB reads each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from headrace.sql_text import literal, qualified
from headrace.targets.object_store import Entry, ObjectStore

if TYPE_CHECKING:
    import duckdb

LOADS = "_dlt_loads"
_LOADS_SHAPE = (
    "(load_id varchar, schema_name varchar, status bigint, inserted_at timestamptz, "
    "schema_version_hash varchar)"
)
_BATCH = 500


@dataclass(frozen=True)
class LakeTable:
    """A raw table.

    Attributes:
        schema: ``<source>_raw``.
        name: of the table.
        sql: a query for its rows, as they are now.
    """

    schema: str
    name: str
    sql: str


@dataclass(frozen=True)
class LakeTables:
    """The raw tables of a lake, by one listing.

    Attributes:
        url: of the root of the lake.
        bronze: the folder of raw tables.
        entries: all objects below it.
        listed_at: when, UTC.
    """

    url: str
    bronze: str
    entries: Sequence[Entry]
    listed_at: datetime

    @classmethod
    def of(cls, store: ObjectStore, bronze: str, schema: str | None = None) -> "LakeTables":
        """List them.

        Args:
            store: the root of the lake.
            bronze: the folder of raw tables.
            schema: only of this one.

        Raises:
            WarehouseError: the store cannot be read.
        """
        prefix = f"{bronze}/{schema}/" if schema else f"{bronze}/"
        return cls(store.url, bronze, tuple(store.list(prefix)), datetime.now(UTC))

    def schemas(self) -> list[str]:
        """Those that dlt has completed a load into, or begun to."""
        return sorted({parts[0] for parts in self._parts()})

    def tables(self) -> Iterator[LakeTable]:
        """All that hold rows, dlt's own left out."""
        files: dict[tuple[str, str], list[str]] = {}
        for entry in self.entries:
            schema, _, rest = entry.key[len(self.bronze) + 1 :].partition("/")
            name, _, file = rest.partition("/")
            if file and not name.startswith("_dlt"):
                files.setdefault((schema, name), []).append(file)
        for (schema, name), found in sorted(files.items()):
            sql = self._select(f"{self.url}/{self.bronze}/{schema}/{name}", found)
            if sql is not None:
                yield LakeTable(schema, name, sql)

    @staticmethod
    def _select(address: str, files: Sequence[str]) -> str | None:
        if any(file.startswith("_delta_log/") for file in files):
            return f"select * from delta_scan({literal(address)})"
        metadata = [file for file in files if file.endswith(".metadata.json")]
        if metadata:
            newest = max(metadata)
            return f"select * from iceberg_scan({literal(f'{address}/{newest}')})"
        rows = [f"{address}/{file}" for file in files if file.endswith(".parquet")]
        if not rows:
            return None
        listed = ", ".join(map(literal, rows))
        return f"select * from read_parquet([{listed}], union_by_name = true)"

    def write_loads(self, connection: "duckdb.DuckDBPyConnection", database: str) -> None:
        """Write ``_dlt_loads`` of each schema as a table.

        dlt writes a file for each load and names it after the load, so the listing tells all:
        thousands of small files are not read with each query. dlt writes the file once the load is
        complete, so its time is that of its end.
        """
        loads: dict[str, list[str]] = {schema: [] for schema in self.schemas()}
        for entry in self.entries:
            parts = entry.key[len(self.bronze) + 1 :].split("/")
            if len(parts) != 3 or parts[1] != LOADS:
                continue
            schema_name, _, load_id = parts[2].removesuffix(".jsonl").rpartition("__")
            ended = self.listed_at - timedelta(seconds=entry.age)
            loads[parts[0]].append(
                f"({literal(load_id)}, {literal(schema_name)}, 0, "
                f"{literal(ended.isoformat())}, null)"
            )
        for schema, rows in loads.items():
            table = qualified(database, schema, LOADS)
            connection.execute(f"create schema if not exists {qualified(database, schema)}")
            connection.execute(f"create or replace table {table} {_LOADS_SHAPE}")
            for at in range(0, len(rows), _BATCH):
                connection.execute(
                    f"insert into {table} values {', '.join(rows[at : at + _BATCH])}"
                )

    def _parts(self) -> Iterator[tuple[str, str]]:
        for entry in self.entries:
            schema, _, rest = entry.key[len(self.bronze) + 1 :].partition("/")
            if rest:
                yield schema, rest


def make_views(
    connection: "duckdb.DuckDBPyConnection", database: str, queries: Mapping[tuple[str, str], str]
) -> list[str]:
    """Make views, each after those that it reads.

    Args:
        connection: has what they read.
        database: where they are made.
        queries: by schema and name.

    Returns:
        The names of those that cannot be made, for what they read is not there.
    """
    import duckdb

    left = dict(queries)
    for schema in sorted({schema for schema, _ in left}):
        connection.execute(f"create schema if not exists {qualified(database, schema)}")
    while left:
        made = []
        for (schema, name), sql in left.items():
            try:
                connection.execute(
                    f"create or replace view {qualified(database, schema, name)} as {sql}"
                )
            except (duckdb.CatalogException, duckdb.BinderException):
                continue
            made.append((schema, name))
        if not made:
            break
        left = {key: sql for key, sql in left.items() if key not in made}
    return [f"{schema}.{name}" for schema, name in left]
