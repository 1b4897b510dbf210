"""Open tables of a lake, as dlt's load writes them: Delta by deltalake, Iceberg by pyiceberg.

Both can be read column by column, written, emptied, and rid of rows by their keys; a merge is one
commit. They take dlt's own ways to name, reach and evolve a table.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema.utils import get_columns_names_with_prop

from headrace.sql_text import identifier, identifiers

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_IN_FILTER = 10_000  # keys of one Iceberg filter
_SMALL_BYTES = 64_000_000  # an Iceberg file that is put together with others
_MOST_COMPACTED_BYTES = 256_000_000  # of Parquet, after one load: it is in memory


class OpenTable:
    """An open table, or one that is still to be made."""

    def __init__(self, client: Any, table: Any) -> None:
        self.client, self.table, self.name = client, table, table["name"]

    @property
    def partitions(self) -> list[str]:
        full_name = f"{self.client.dataset_name}.{self.name}"
        given = self.client.options.partitions.get(full_name, ())
        return list(given) or get_columns_names_with_prop(self.table, "partition")


class DeltaTable(OpenTable):
    """A Delta table, through deltalake."""

    def __init__(self, client: Any, table: Any) -> None:
        super().__init__(client, table)
        from dlt.common.libs.deltalake import deltalake_storage_options

        self.storage = deltalake_storage_options(
            client.config.credentials, client.config.deltalake_storage_options
        )
        import deltalake
        from deltalake.exceptions import TableNotFoundError

        try:
            # dlt asks is_deltatable, which stops all threads of this process until it has an answer
            url = client.get_open_table_location("delta", self.name)
            self.open: Any = deltalake.DeltaTable(url, storage_options=self.storage)
        except TableNotFoundError:
            self.open = None

    @property
    def exists(self) -> bool:
        return self.open is not None

    @property
    def columns(self) -> "pa.Schema":
        import pyarrow as pa

        return pa.schema(self.open.schema().to_arrow())

    def read(self, column: str) -> Any:
        return self.open.to_pyarrow_dataset().scanner(columns=[column]).to_reader()

    def write(self, rows: "pa.RecordBatchReader", *, replace: bool) -> None:
        from dlt.common.libs.deltalake import write_delta_table

        write_delta_table(
            table_or_uri=self.open or self.client.get_open_table_location("delta", self.name),
            data=rows,
            write_disposition="replace" if replace else "append",
            partition_by=self.partitions or None,
            storage_options=None if self.open else self.storage,
            configuration=self.client.config.deltalake_configuration,
        )

    def empty(self) -> None:
        self.open.delete()

    def delete(self, keys: "pa.Table") -> None:
        """Delete the rows that have one of these keys."""
        columns = keys.column_names
        self.open.merge(
            source=keys,
            predicate=_equal(columns),
            source_alias="source",
            target_alias="target",
            streamed_exec=False,
        ).when_matched_delete().execute()

    def upsert(
        self, rows: "pa.RecordBatchReader", key: list[str], deleted: str | None, *, only_new: bool
    ) -> None:
        """Merge rows on a key, in one commit; rows that ``deleted`` selects are deleted."""
        from dlt.common.libs.deltalake import (
            ensure_delta_compatible_arrow_data,
            evolve_delta_table_schema,
        )

        self.open = evolve_delta_table_schema(self.open, rows.schema)
        merge = self.open.merge(
            source=ensure_delta_compatible_arrow_data(rows, self.partitions),
            predicate=_equal(key),
            source_alias="source",
            target_alias="target",
            streamed_exec=self.client.config.deltalake_streamed_exec,
        )
        kept = None
        if deleted:
            merge = merge.when_matched_delete(predicate=f"({deleted})")
            kept = f"not ({deleted})"
        if not only_new:
            merge = merge.when_matched_update_all()
        merge.when_not_matched_insert_all(predicate=kept).execute()

    def tidy(self) -> None:
        """Put small files together, and delete those that no version within the retention has."""
        options = self.client.options
        if options.compact_after and len(self.open.file_uris()) > options.compact_after:
            self.open.optimize.compact()
        self.open.vacuum(
            retention_hours=int(options.retention.total_seconds() // 3600),
            dry_run=False,
            enforce_retention_duration=False,
        )


class IcebergTable(OpenTable):
    """An Iceberg table, through pyiceberg; a delete rewrites the files that it concerns."""

    def __init__(self, client: Any, table: Any) -> None:
        super().__init__(client, table)
        try:
            self.open: Any = client.load_open_table("iceberg", self.name)
        except DestinationUndefinedEntity:
            self.open = None

    @property
    def exists(self) -> bool:
        return self.open is not None

    @property
    def columns(self) -> "pa.Schema":
        from pyiceberg.io.pyarrow import schema_to_pyarrow

        return schema_to_pyarrow(self.open.schema(), include_field_ids=False)

    def read(self, column: str) -> Any:
        return self.open.scan(selected_fields=(column,)).to_arrow_batch_reader()

    def write(self, rows: "pa.RecordBatchReader", *, replace: bool) -> None:
        from dlt.common.libs.pyiceberg import ensure_iceberg_compatible_arrow_data

        data = ensure_iceberg_compatible_arrow_data(rows.read_all())
        self._fit(data.schema)
        if replace:
            with _nothing_to_delete():
                self.open.overwrite(data)
        else:
            self.open.append(data)

    def empty(self) -> None:
        from pyiceberg.expressions import AlwaysTrue

        with _nothing_to_delete():
            self.open.delete(AlwaysTrue())

    def delete(self, keys: "pa.Table") -> None:
        """Delete the rows that have one of these keys."""
        with _nothing_to_delete():
            for at in range(0, keys.num_rows, _MOST_IN_FILTER):
                self.open.delete(_filter(keys.slice(at, _MOST_IN_FILTER)))

    def upsert(
        self, rows: "pa.RecordBatchReader", key: list[str], deleted: str | None, *, only_new: bool
    ) -> None:
        """Merge rows on a key, in one commit; rows that ``deleted`` selects are deleted."""
        import duckdb
        from dlt.common.libs.pyiceberg import ensure_iceberg_compatible_arrow_data

        data = ensure_iceberg_compatible_arrow_data(rows.read_all())
        self._fit(data.schema)
        with duckdb.connect() as connection:
            connection.execute("set TimeZone = 'UTC'")
            connection.register("source", data)
            where = f"where not ({deleted})" if deleted else ""
            if only_new:
                connection.register("known", self.open.scan(selected_fields=tuple(key)).to_arrow())
                known = f"({identifiers(key)}) not in (select ({identifiers(key)}) from known)"
                where += f" {'and' if where else 'where'} {known}"
            kept = connection.execute(f"select * from source {where}").to_arrow_table()
        kept = ensure_iceberg_compatible_arrow_data(kept).cast(data.schema)
        with _nothing_to_delete(), self.open.transaction() as transaction:
            if not only_new:
                keys = data.select(key)
                for at in range(0, keys.num_rows, _MOST_IN_FILTER):
                    transaction.delete(_filter(keys.slice(at, _MOST_IN_FILTER)))
            if kept.num_rows:
                transaction.append(kept)

    def tidy(self) -> None:
        """Put small files together, and delete those that no version within the retention has.

        pyiceberg has no command for either: small files are read and written again as one commit,
        and files are deleted that no snapshot names any more.
        """
        options = self.client.options
        files = list(self.open.scan().plan_files())
        if options.compact_after and len(files) > options.compact_after:
            self._compact([one for one in files if one.file.file_size_in_bytes < _SMALL_BYTES])
        before = datetime.now(UTC) - options.retention
        if any(one.timestamp_ms < before.timestamp() * 1000 for one in self.open.snapshots()[:-1]):
            self.open.maintenance.expire_snapshots().older_than(before).commit()
        self._delete_unnamed(before)

    def _compact(self, small: Sequence[Any]) -> None:
        """Write the rows of small files into few, as many as memory takes; the rest next time."""
        from pyiceberg.expressions import AlwaysTrue
        from pyiceberg.io.pyarrow import ArrowScan, _dataframe_to_data_files

        chosen, size = [], 0
        for task in sorted(small, key=lambda one: int(one.file.file_size_in_bytes)):
            size += task.file.file_size_in_bytes
            if size > _MOST_COMPACTED_BYTES:
                break
            chosen.append(task)
        if len(chosen) < 2:
            return
        table = self.open
        scan = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue())
        rows = scan.to_table(chosen)
        with table.transaction() as transaction:
            written = _dataframe_to_data_files(transaction.table_metadata, rows, table.io)
            with transaction.update_snapshot().overwrite() as snapshot:
                for task in chosen:
                    snapshot.delete_data_file(task.file)
                for file in written:
                    snapshot.append_data_file(file)

    def _delete_unnamed(self, before: datetime) -> None:
        """Delete the files that were written before a time and that nothing names any more."""
        from dlt.common.storages.fsspec_filesystem import MTIME_DISPATCH

        table, storage = self.open, self.client.fs_client
        named = {table.metadata_location, *(one.manifest_list for one in table.snapshots())}
        seen: set[str] = set()
        for snapshot in table.snapshots():
            for manifest in snapshot.manifests(table.io):
                if manifest.manifest_path not in seen:
                    seen.add(manifest.manifest_path)
                    entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
                    named |= {entry.data_file.file_path for entry in entries}
        plain = storage._strip_protocol  # noqa: SLF001 - its listing has no protocol
        kept = {plain(path) for path in named | seen}
        modified = MTIME_DISPATCH[self.client.config.protocol]
        storage.invalidate_cache()
        found = storage.find(plain(table.location()), detail=True)
        for path, info in found.items():
            at = modified(info)
            if path not in kept and at is not None and at < before:
                storage.rm_file(path)

    def _fit(self, schema: "pa.Schema") -> None:
        """Make the table, or add the columns that it lacks."""
        if self.open is not None:
            with self.open.update_schema() as update:
                update.union_by_name(schema)
            return
        from dlt.common.libs.pyiceberg import create_table
        from dlt.destinations.impl.filesystem.iceberg_adapter import create_identity_specs
        from dlt.destinations.impl.filesystem.iceberg_partition_spec import (
            build_iceberg_partition_spec,
        )
        from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC

        spec, shape = UNPARTITIONED_PARTITION_SPEC, schema
        if self.partitions:
            spec, shape = build_iceberg_partition_spec(
                schema, create_identity_specs(self.partitions)
            )
        catalog = self.client.get_open_table_catalog("iceberg")
        create_table(
            catalog,
            f"{self.client.dataset_name}.{self.name}",
            table_location=self.client.get_open_table_location("iceberg", self.name),
            schema=shape,
            partition_spec=spec,
        )
        self.open = self.client.load_open_table("iceberg", self.name)


@contextmanager
def _nothing_to_delete() -> Iterator[None]:
    """pyiceberg warns where no row has one of the keys, as with every new row."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Delete operation did not match any records")
        yield


def _equal(columns: Sequence[str]) -> str:
    """What DataFusion merges on."""
    return " and ".join(
        f"target.{identifier(name)} = source.{identifier(name)}" for name in columns
    )


def _filter(keys: "pa.Table") -> Any:
    """An Iceberg filter for rows that have one of these keys."""
    import pyiceberg.expressions

    # its stubs know another constructor than its docs
    make: Any = pyiceberg.expressions
    names = keys.column_names
    if len(names) == 1:
        return make.In(names[0], set(keys.column(0).to_pylist()))
    rows = [
        make.And(*(make.EqualTo(name, row[name]) for name in names)) for row in keys.to_pylist()
    ]
    return rows[0] if len(rows) == 1 else make.Or(*rows)
