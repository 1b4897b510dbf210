"""dlt's filesystem destination, with merges that leave what they leave in a database.

dlt merges a Delta or Iceberg table by itself, row by row on its key. What it lacks there is what
its SQL destinations do: tables without a key that are replaced file by file (``merge_key``), rows
that come twice, deleted rows in a first load, and rows of nested lists that are gone. So a table
and its nested tables are merged together here, the parent first.

A load that is stopped between two tables leaves rows of an incomplete load, as anywhere; the next
load of the same rows removes them, and nested rows whose parent row is gone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.exceptions import (
    DestinationTerminalException,
)
from dlt.common.schema.utils import (
    get_columns_names_with_prop,
    get_dedup_sort_tuple,
    get_first_column_name_with_prop,
    get_root_table,
    is_nested_table,
)
from dlt.common.storages.load_package import ParsedLoadJobFileName
from dlt.destinations import filesystem
from dlt.destinations.impl.filesystem.filesystem import (
    FilesystemClient,
    ReferenceFollowupJob,
    TableFormatLoadFilesystemJob,
)

from headrace.libraries.open_tables import DeltaTable, IcebergTable
from headrace.sql_text import identifier, identifiers, literal

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

PreparedTable = Any
"""dlt's schema of a table, with what the destination adds."""
_OPEN = frozenset({"delta", "iceberg"})  # formats whose tables can be merged and tidied


@dataclass(frozen=True)
class LakeOptions:
    """How raw tables are stored.

    Attributes:
        table_format: ``delta``, ``iceberg`` or ``parquet``.
        setting: the target in the settings, for messages: ``targets.lake``.
        partitions: columns by ``schema.table``.
        compact_after: files of a table beyond which small ones are put together; 0 for never.
        retention: how long files that a table no longer names are kept.
        memory_limit: of the DuckDB that prepares a merge.
        nested_as_json: whether lists and structs become JSON, as they are in a database.
    """

    table_format: str
    setting: str
    partitions: Mapping[str, Sequence[str]]
    compact_after: int
    retention: timedelta
    memory_limit: str
    nested_as_json: bool = False


class ChainJob(TableFormatLoadFilesystemJob):
    """Loads the files of a table and of its nested tables, as its write disposition says."""

    _job_client: "LakeClient"

    def run(self) -> None:
        """Write them; the parent first."""
        import duckdb

        client = self._job_client
        files: dict[str, list[str]] = {}
        for path in self.file_paths:
            files.setdefault(ParsedLoadJobFileName.parse(path).table_name, []).append(path)
        # dlt names the job after any of the files
        named: Any = self._load_table["name"]
        root: Any = get_root_table(client.schema.tables, named)
        chain = client.chain_of(root["name"])
        client.written.update(str(table["name"]) for table in chain)
        config: Any = {"memory_limit": client.options.memory_limit, "threads": "2"}
        with duckdb.connect(config=config) as connection:
            connection.execute("set TimeZone = 'UTC'")
            for name, paths in files.items():
                listed = ", ".join(map(literal, paths))
                rows = f"from read_parquet([{listed}], union_by_name = true)"
                columns = _with_json(connection, rows) if client.options.nested_as_json else "*"
                connection.execute(f"create view {identifier(name)} as select {columns} {rows}")
            NestedChain(connection, client, chain, frozenset(files)).write()


def _with_json(connection: "duckdb.DuckDBPyConnection", rows: str) -> str:
    """The columns of a select: all of them, nested ones as JSON."""
    described = connection.execute(f"describe {rows}").fetchall()
    nested = [
        f"cast(to_json({identifier(name)}) as varchar) as {identifier(name)}"
        for name, kind, *_ in described
        if kind.endswith("]") or kind.startswith(("STRUCT(", "MAP("))
    ]
    return f"* replace ({', '.join(nested)})" if nested else "*"


@dataclass
class NestedChain:
    """Files of a table and of those that are nested in it, written to a lake as dlt merges them."""

    connection: "duckdb.DuckDBPyConnection"
    client: "LakeClient"
    tables: Sequence[PreparedTable]
    files: frozenset[str]

    def write(self) -> None:
        root, *nested = [self.client.open_table(table) for table in self.tables]
        if root.table["write_disposition"] == "merge":
            self._merge(root, nested)
            return
        replace = root.table["write_disposition"] == "replace"
        for each in (root, *nested):
            if each.name in self.files:
                each.write(self._rows(f"select * from {identifier(each.name)}"), replace=replace)
            elif replace and each.exists:
                each.empty()

    def _merge(self, root: Any, nested: Sequence[Any]) -> None:
        key = get_columns_names_with_prop(root.table, "primary_key")
        merge_key = get_columns_names_with_prop(root.table, "merge_key")
        deleted = _deleted(root.table)
        if root.name in self.files:
            fresh = self._deduplicated(root, key, nested)
            kept = f"{fresh} where not ({deleted})" if deleted else fresh
            if not root.exists:
                root.write(self._rows(kept), replace=False)
            else:
                if merge_key:
                    columns = identifiers(merge_key)
                    keys = self._rows(f"select distinct {columns} from {identifier(root.name)}")
                    root.delete(keys.read_all())
                if key:
                    only_new = root.table.get("x-merge-strategy") == "insert-only"
                    # a column that no row has any more becomes null
                    self.connection.register("shape", root.columns.empty_table())
                    rows = f"{fresh} union all by name from shape"
                    root.upsert(self._rows(rows), key, deleted, only_new=only_new)
                    self.connection.unregister("shape")
                else:
                    root.write(self._rows(kept), replace=False)
        for each in nested:
            self.merge_nested(root, each)
            if each.name in self.files:
                rows = f"select * from {identifier(each.name)}"
                root_id = _root_id(each.table)
                if root.name in self.files and root_id:
                    rows += f" where {identifier(root_id)} in (from kept_ids)"
                each.write(self._rows(rows), replace=False)

    def merge_nested(self, root: Any, each: Any) -> None:
        """Delete the nested rows of rows that are written again, or are gone."""
        root_id, row_id = _root_id(each.table), _row_id(root.table)
        if not (each.exists and root_id and row_id):
            return
        reopened = self.client.open_table(root.table)
        self.connection.register("parents", reopened.read(row_id))
        self.connection.execute("create or replace temp table parent_ids as from parents")
        self.connection.unregister("parents")
        self.connection.register("nested", each.read(root_id))
        again = (
            f"union select {identifier(row_id)} from {identifier(root.name)}"
            if root.name in self.files
            else ""
        )
        gone = self._rows(
            f"select distinct {identifier(root_id)} from nested where {identifier(root_id)} "
            f"not in (from parent_ids) {again}"
        ).read_all()
        self.connection.unregister("nested")
        if gone.num_rows:
            each.delete(gone.rename_columns([root_id]))

    def _deduplicated(self, root: Any, key: list[str], nested: Sequence[Any]) -> str:
        """A query for the root's rows, of each key one; the ids of those that stay are kept."""
        source = identifier(root.name)
        if key:
            sort = get_dedup_sort_tuple(root.table)
            order = f"{identifier(sort[0])} {sort[1]}" if sort else "1"
            source = (
                f"(select * from {source} qualify row_number() over "
                f"(partition by {identifiers(key)} order by {order}) = 1)"
            )
        row_id = _row_id(root.table)
        if nested and row_id:
            deleted = _deleted(root.table)
            where = f"where not ({deleted})" if deleted else ""
            self.connection.execute(
                f"create or replace temp table kept_ids as select {identifier(row_id)} "
                f"from {source} as source {where}"
            )
        elif nested:
            self.connection.execute("create or replace temp table kept_ids (id varchar)")
        return f"select * from {source} as source"

    def _rows(self, sql: str) -> "pa.RecordBatchReader":
        return self.connection.execute(sql).to_arrow_reader(100_000)


def _deleted(table: PreparedTable) -> str | None:
    """A condition for rows that are marked as deleted; None where no column marks them."""
    column = get_first_column_name_with_prop(table, "hard_delete")
    if column is None:
        return None
    is_flag = table["columns"][column].get("data_type") == "bool"
    condition = f"source.{identifier(column)}"
    return f"coalesce({condition}, false)" if is_flag else f"{condition} is not null"


def _row_id(table: PreparedTable) -> str | None:
    return get_first_column_name_with_prop(table, "row_key")


def _root_id(table: PreparedTable) -> str | None:
    return get_first_column_name_with_prop(table, "root_key")


class LakeClient(FilesystemClient):
    """dlt's client, of which each table is loaded together with its nested tables.

    Attributes:
        options: how tables are stored.
        written: the tables of the load so far: dlt completes it by another client of this class.
    """

    options: ClassVar[LakeOptions]
    written: ClassVar[set[str]]
    batch_table_chain: ClassVar[bool] = True

    @staticmethod
    def get_reference_followup_job_class(
        table: PreparedTable,
    ) -> type[ReferenceFollowupJob] | None:
        """The job that loads a table's files."""
        return ChainJob if table.get("table_format") in _OPEN else None

    def open_table(self, table: PreparedTable) -> Any:
        """The table, or what makes it."""
        is_delta = table.get("table_format") == "delta"
        return (DeltaTable if is_delta else IcebergTable)(self, table)

    def chain_of(self, root: str) -> list[PreparedTable]:
        """A table and the nested tables that have had rows, the parents first."""
        from dlt.common.schema.utils import get_nested_tables

        return [
            self.prepare_load_table(str(table["name"]))
            for table in get_nested_tables(self.schema.tables, root)
        ]

    def verify_schema_table_format(self, load_tables: Sequence[PreparedTable]) -> list[Exception]:
        """What dlt refuses of Delta and Iceberg works here; a merge into plain files does not."""
        return [
            DestinationTerminalException(_no_merge(self.options.setting, table["name"]))
            for table in load_tables
            if table["write_disposition"] == "merge"
            and not is_nested_table(table)
            and table.get("table_format") not in _OPEN
            and not self.is_dlt_table(table["name"])
        ]

    def prepare_load_table(self, table_name: str) -> PreparedTable:
        """The table as it is loaded; dlt would append what it cannot merge."""
        asked = self.schema.tables.get(table_name, {}).get("write_disposition")
        table = super().prepare_load_table(table_name)
        if asked == "merge" and table["write_disposition"] == "append":
            raise DestinationTerminalException(_no_merge(self.options.setting, table_name))
        return table

    def complete_load(self, load_id: str) -> None:
        """Note that a load is complete; then tidy the tables that it wrote."""
        super().complete_load(load_id)
        while self.written:
            found = self.open_table(self.prepare_load_table(self.written.pop()))
            if found.exists:
                found.tidy()


def _no_merge(setting: str, table: str) -> str:
    return (
        f"the table {table} is merged on its key, which plain Parquet files cannot be: set "
        f"{setting}.table_format to delta or iceberg"
    )


def destination(options: LakeOptions, *, url: str, credentials: Any) -> Any:
    """A dlt destination.

    Args:
        options: how tables are stored.
        url: of the folder of the raw tables.
        credentials: dlt's, of S3; None for a local folder.
    """

    class Client(LakeClient):
        pass

    Client.options, Client.written = options, set()

    class Lake(filesystem):
        @property
        def client_class(self) -> type[FilesystemClient]:
            return Client

        def _raw_capabilities(self) -> DestinationCapabilitiesContext:
            caps = super()._raw_capabilities()
            caps.preferred_loader_file_format = "parquet"
            if options.table_format != "parquet":
                caps.preferred_table_format = cast("Any", options.table_format)
            caps.supported_merge_strategies = ["upsert", "delete-insert", "insert-only"]
            caps.merge_strategies_selector = _strategies
            return caps

    return Lake(bucket_url=url, credentials=credentials, destination_name="lake")


def _strategies(supported: Sequence[Any], /, *, table_schema: Any) -> Sequence[Any]:
    """The ways to merge a table, the default one first: ids of rows follow from a key."""
    if table_schema.get("table_format") not in _OPEN:
        return []
    if get_columns_names_with_prop(table_schema, "primary_key", include_incomplete=True):
        return supported
    return ["delete-insert", *(each for each in supported if each != "delete-insert")]
