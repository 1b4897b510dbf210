"""The tables of a warehouse folder that Spark or Sail builds in, as they are on disk.

bronze/<schema>/<table>/…                  raw tables: Delta, as dlt writes them
silver/<schema>/<build>/<table>/…          built tables that are no marts: Parquet or Delta
gold/<schema>/<build>/<table>/…            marts, likewise
_headrace/…                                the documents of a lake, see ``lake_files``

Each build writes into folders of its own, so that nothing that is published or read ever changes,
and a build that was stopped leaves no half table: the newest complete folder is the table.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from headrace import portable
from headrace.sql_text import literal, qualified
from headrace.targets.lake.files import HOME, LakeFiles
from headrace.targets.lake.tables import LOADS, LakeTables, make_views

if TYPE_CHECKING:
    import duckdb

_LOG = "_delta_log"
_LOADS_TYPES = {
    "load_id": "string", "schema_name": "string", "status": "long", "inserted_at": "timestamp",
    "schema_version_hash": "string",
}  # fmt: skip
_LOADS_SHAPE = json.dumps(
    {
        "type": "struct",
        "fields": [
            {"name": name, "type": kind, "nullable": True, "metadata": {}}
            for name, kind in _LOADS_TYPES.items()
        ],
    }
)


@dataclass(frozen=True)
class DiskTable:
    """A table on disk.

    Attributes:
        schema: for example ``marts``.
        name: of the table.
        folder: of its files.
        is_delta: whether it is a Delta table; else all Parquet files of the folder are.
        version: changes with its content.
        shape: the columns, as Delta's and Spark's JSON; none where the files tell.
    """

    schema: str
    name: str
    folder: Path
    is_delta: bool
    version: str
    shape: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Schema and name."""
        return self.schema, self.name

    @property
    def spark_name(self) -> str:
        """Schema and name in Spark's SQL."""
        return f"`{self.schema}`.`{self.name}`"

    @property
    def spark_path(self) -> str:
        """The folder as a text of Spark's SQL."""
        return "'" + self.folder.as_posix().replace("\\", "\\\\").replace("'", "\\'") + "'"

    def columns(self) -> str:
        """Names and types, as Delta's and Spark's JSON."""
        if self.shape is not None:
            return self.shape
        from deltalake import DeltaTable

        return DeltaTable(self.folder).schema().to_json()

    @property
    def sql(self) -> str:
        """DuckDB's query for its rows."""
        if self.is_delta:
            return f"select * from delta_scan({literal(self.folder.as_posix())})"
        files = literal((self.folder / "**" / "*.parquet").as_posix())
        return f"select * from read_parquet({files})"

    def files(self) -> list[Path]:
        """Its Parquet files; they never change."""
        if self.is_delta:
            from deltalake import DeltaTable

            uris = DeltaTable(self.folder).file_uris()
            return sorted(Path(uri.removeprefix("file://")) for uri in uris)
        return sorted(self.folder.rglob("*.parquet"))


@dataclass(frozen=True)
class DiskTables:
    """All tables of a warehouse folder.

    Attributes:
        root: the folder.
        files: its built tables, as a lake has them.
    """

    root: Path
    files: LakeFiles

    def location_root(self, schema: str, build: str) -> Path:
        """Where a build writes the tables of a schema."""
        layer = self.files.gold if schema in self.files.gold_schemas else self.files.silver
        return self.root / layer / schema / build

    @staticmethod
    def new_build() -> str:
        """The name of a build: they sort by time."""
        return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:6]}"

    def built(self) -> dict[tuple[str, str], DiskTable]:
        """The newest complete folder of each built table."""
        found: dict[tuple[str, str], DiskTable] = {}
        for layer in (self.files.silver, self.files.gold):
            for build in sorted(_folders(self.root / layer, 2), key=lambda path: path.name):
                for folder in _folders(build, 1):
                    table = _complete(build.parent.name, folder)
                    if table is not None:
                        found[table.key] = table
        return found

    def folders(self) -> Iterator[Path]:
        """The folders of all built tables, older ones and unfinished ones among them."""
        for layer in (self.files.silver, self.files.gold):
            yield from _folders(self.root / layer, 3)

    def raw(self) -> list[DiskTable]:
        """The raw tables; files that a table no longer has are removed, for Spark reads folders."""
        from deltalake import DeltaTable

        found = []
        for folder in _folders(self.root / "bronze", 2):
            if not any((folder / _LOG).glob("*.json")):
                continue  # no table, or one of which a full refresh left the folder alone
            table = DeltaTable(folder)
            named = {Path(path).name for path in table.file_uris()}
            if {path.name for path in folder.rglob("*.parquet") if _LOG not in path.parts} - named:
                table.vacuum(
                    retention_hours=0, dry_run=False, enforce_retention_duration=False, full=True
                )
            shape = table.schema().to_json()
            version = f"{table.version()} {hash(shape)}"
            found.append(DiskTable(folder.parent.name, folder.name, folder, True, version, shape))
        return found

    def loads(self, raw: LakeTables) -> list[DiskTable]:
        """dlt's record of completed loads, written as Parquet for engines that read no listing."""
        import duckdb

        found = []
        with duckdb.connect() as connection:
            connection.execute("set TimeZone = 'UTC'")
            raw.write_loads(connection, "memory")
            for schema in raw.schemas():
                loads = sorted(
                    path.name for path in (self.root / "bronze" / schema / LOADS).glob("*")
                )
                folder = self.root / HOME / "loads" / schema / LOADS
                path = folder / "loads.parquet"
                folder.mkdir(parents=True, exist_ok=True)
                temporary = portable.temporary_beside(path)
                columns, table = ", ".join(_LOADS_TYPES), qualified("memory", schema, LOADS)
                connection.execute(
                    f"copy (select {columns} from {table}) to {literal(str(temporary))} "
                    "(format parquet)"
                )
                portable.replace(temporary, path)
                found.append(
                    DiskTable(schema, LOADS, folder, False, str(hash(tuple(loads))), _LOADS_SHAPE)
                )
        return found

    def attach(self, connection: "duckdb.DuckDBPyConnection", alias: str, raw: LakeTables) -> None:
        """Make views over all of them in a database in memory.

        Args:
            connection: can read Delta.
            alias: of the database.
            raw: its raw tables.
        """
        connection.execute(f"attach ':memory:' as {qualified(alias)}")
        raw.write_loads(connection, alias)
        queries = {(one.schema, one.name): one.sql for one in raw.tables()}
        queries |= {key: table.sql for key, table in self.built().items()}
        make_views(connection, alias, queries)


def _folders(start: Path, depth: int) -> list[Path]:
    """The folders at a depth below another one, sorted; none where it is not there."""
    found = [start]
    for _ in range(depth):
        found = [
            folder
            for each in found
            if each.is_dir()
            for folder in sorted(each.iterdir())
            if folder.is_dir()
        ]
    return found


def _complete(schema: str, folder: Path) -> DiskTable | None:
    """The table of a folder; None where its writer has not finished."""
    versions = sorted((folder / _LOG).glob("*.json"))
    if versions:
        return DiskTable(schema, folder.name, folder, True, f"{folder} {versions[-1].stem}")
    if (folder / "_SUCCESS").is_file():
        return DiskTable(schema, folder.name, folder, False, str(folder))
    return None
