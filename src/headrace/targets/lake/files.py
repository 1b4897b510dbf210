"""What a lake holds beside raw tables: versions of built tables, the state, and what is published.

bronze/<schema>/<table>/…                raw tables, as dlt writes them
silver/<schema>/<table>/<version>/…      built tables that are no marts; a version never changes
gold/<schema>/<table>/<version>/…        marts, likewise
_headrace/lake.json                      the form of all this
_headrace/state.json                     the versions that the last build left, for the next one
_headrace/published.json                 the versions that readers see: replaced in one step
_headrace/publications/<id>.json         the same of earlier publications
"""

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.errors import WarehouseError
from headrace.sql_text import identifier, identifiers, literal, parquet_type
from headrace.targets.object_store import ObjectStore
from headrace.targets.publication import Publication, PublishedTable, content_of

if TYPE_CHECKING:
    import duckdb

    T = TypeVar("T", bound="_Document")

FORMAT = 1
"""Of the documents; a lake of a higher one was written by a newer Headrace."""
HOME = "_headrace"
LAKE, STATE, PUBLISHED = (f"{HOME}/{name}.json" for name in ("lake", "state", "published"))
PUBLICATIONS = f"{HOME}/publications/"
_FILE_BYTES = 256_000_000
_PLAIN = (
    # what Parquet would refuse, as what keeps every digit
    (re.compile(r"\bBIGNUM\b|\bVARINT\b|\bBIT\b|\bTIME WITH TIME ZONE\b"), "VARCHAR"),
    (re.compile(r"\bINTERVAL\b"), "VARCHAR"),
    (re.compile(r"^ENUM\(.*\)$", re.DOTALL), "VARCHAR"),
)
_DELTA = (
    *_PLAIN,
    (re.compile(r"\bUTINYINT\b"), "SMALLINT"),
    (re.compile(r"\bUSMALLINT\b"), "INTEGER"),
    (re.compile(r"\bUINTEGER\b"), "BIGINT"),
    (re.compile(r"\bUBIGINT\b"), "DECIMAL(20,0)"),
    (re.compile(r"\bTIME\b(?! ZONE)|\bUUID\b|\bJSON\b"), "VARCHAR"),
    (re.compile(r"\bTIMESTAMP_(S|MS|NS)\b"), "TIMESTAMP"),
)


class _Document(BaseModel):
    """A JSON document of a lake; keys that a later Headrace adds are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class LakeColumn(_Document):
    """A column of a built table.

    Attributes:
        name: of it.
        type: DuckDB's, as it was built.
        description: dbt's.
    """

    name: str
    type: str
    description: str = ""


class TableVersion(_Document):
    """A version of a built table: files that never change.

    Attributes:
        schema_name: dbt's schema; ``schema`` in the document.
        name: of the table.
        rows: how many.
        content: changes with any value, column or type.
        columns: in order.
        files: Parquet files, below the root of the lake.
        bytes: of them all.
    """

    schema_name: str = Field(alias="schema")
    name: str
    rows: int
    content: str
    columns: tuple[LakeColumn, ...]
    files: tuple[str, ...]
    bytes: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """Schema and name."""
        return self.schema_name, self.name


class ViewText(_Document):
    """A view that dbt built.

    Attributes:
        schema_name: dbt's schema; ``schema`` in the document.
        name: of the view.
        columns: in order.
        sql: its query.
    """

    schema_name: str = Field(alias="schema")
    name: str
    columns: tuple[str, ...]
    sql: str


class LakeState(_Document):
    """What the last build left: with it, the next one goes on, on any machine.

    Attributes:
        format: of this document.
        id: of this state.
        tables: all tables that dbt built, incremental models and snapshots among them.
        views: all views.
    """

    format: int = FORMAT
    id: str
    tables: tuple[TableVersion, ...] = ()
    views: tuple[ViewText, ...] = ()


class PublishedVersion(TableVersion):
    """A published table.

    Attributes:
        unique_id: dbt's.
        fingerprint: the content and the descriptions.
        description: dbt's.
    """

    unique_id: str
    fingerprint: str
    description: str = ""


class LakeManifest(_Document):
    """What readers see.

    Attributes:
        format: of this document.
        run_id: of the run that published it.
        published_at: UTC.
        code_version: of the project.
        tables: all of them.
    """

    format: int = FORMAT
    run_id: str
    published_at: datetime
    code_version: str
    tables: tuple[PublishedVersion, ...]

    @property
    def key(self) -> str:
        """Where it is kept once another one takes its place."""
        return f"{PUBLICATIONS}{self.published_at:%Y%m%dT%H%M%S%fZ}-{self.run_id}.json"

    def publication(self) -> Publication:
        """The same, as the pipeline knows it."""
        return Publication(
            self.run_id,
            self.published_at,
            self.code_version,
            tuple(
                PublishedTable(one.schema_name, one.name, one.unique_id, one.rows, one.fingerprint)
                for one in self.tables
            ),
        )


@dataclass(frozen=True)
class LakeFiles:
    """Built tables of a lake, and the documents that name them.

    Attributes:
        store: the root of the lake.
        silver: the folder of built tables that are no marts.
        gold: the folder of marts.
        gold_schemas: dbt's schemas of marts.
        partitions: columns by ``schema.table``.
        for_delta: whether types are those that Delta knows.
        retention: how long files are kept that no document names any more.
    """

    store: ObjectStore
    silver: str
    gold: str
    gold_schemas: tuple[str, ...]
    partitions: Mapping[str, Sequence[str]]
    for_delta: bool
    retention: timedelta

    def read(self, key: str, kind: "type[T]") -> "tuple[T | None, str]":
        """A document and its tag; None and ``ABSENT`` where there is none.

        Raises:
            WarehouseError: it cannot be read, or was written by a newer Headrace.
        """
        found = self.store.get(key)
        if found is None:
            return None, ""
        try:
            return kind.model_validate_json(found.body), found.tag
        except ValidationError as error:
            raise WarehouseError(
                f"{self.store.url}/{key} was written by a newer Headrace or changed by hand: "
                "update Headrace, or restore the file from a backup"
            ) from error

    def folder(self, schema: str, name: str) -> str:
        """Where the versions of a table are."""
        layer = self.gold if schema in self.gold_schemas else self.silver
        return f"{layer}/{schema}/{name}"

    def address(self, key: str) -> str:
        """What DuckDB reads."""
        return f"{self.store.url}/{key}"

    def write(
        self, connection: "duckdb.DuckDBPyConnection", relation: str, schema: str, name: str,
        described: tuple[int, str, tuple[LakeColumn, ...]],
    ) -> TableVersion:  # fmt: skip
        """Write a version of a table.

        Args:
            connection: has the relation, and may write to the lake.
            relation: what to read from, quoted.
            schema: dbt's.
            name: of the table.
            described: of ``describe``.

        Raises:
            WarehouseError: not all rows arrived.
            duckdb.Error: it cannot be written.
        """
        rows, content, columns = described
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        folder = f"{self.folder(schema, name)}/{stamp}-{uuid.uuid4().hex[:8]}"
        by = [
            one.name
            for wanted in self.partitions.get(f"{schema}.{name}", ())
            for one in columns
            if one.name.casefold() == wanted.casefold()
        ]
        parts = f", partition_by ({identifiers(by)}), write_partition_columns true"
        size = f", file_size_bytes {_FILE_BYTES}"
        selected = ", ".join(self._stored(column) for column in columns)
        self.store.make_folder(folder)  # DuckDB makes the last one alone
        written = connection.execute(
            f"copy (select {selected} from {relation}) to {literal(self.address(folder))} "
            "(format parquet, compression zstd, return_stats true"
            f"{parts if by and rows else size}, overwrite_or_ignore true)"
        ).fetchall()
        if sum(int(row[1]) for row in written) != rows:
            raise WarehouseError(
                f"{schema}.{name} has {rows:,} rows, and "
                f"{sum(int(row[1]) for row in written):,} were written to {self.store.url}: "
                "run the same command again"
            )
        start = len(self.address(""))
        files = sorted(str(row[0])[start:].replace("\\", "/") for row in written)
        return TableVersion(
            schema_name=schema, name=name, rows=rows, content=content, columns=columns,
            files=tuple(files), bytes=sum(int(row[2]) for row in written),
        )  # fmt: skip

    def _stored(self, column: LakeColumn) -> str:
        quoted, kind = identifier(column.name), self.stored_type(column.type)
        return quoted if kind == column.type else f"{quoted}::{kind} as {quoted}"

    def stored_type(self, kind: str) -> str:
        """The type of a column in the files."""
        kind = parquet_type(kind)
        for words, other in _DELTA if self.for_delta else _PLAIN:
            kind = words.sub(other, kind)
        return kind

    def select(self, table: TableVersion) -> str:
        """A query for a version, with the types that it was built with."""
        files = ", ".join(literal(self.address(file)) for file in table.files)
        columns = ", ".join(
            f"{identifier(one.name)}::{one.type} as {identifier(one.name)}" for one in table.columns
        )
        return f"select {columns} from read_parquet([{files}], hive_partitioning = false)"

    def stay_readable(self, connection: "duckdb.DuckDBPyConnection") -> None:
        """Exempt the files of the lake from a later ban on files, such as that of a query."""
        connection.execute(f"set allowed_directories = [{literal(f'{self.store.url}/')}]")

    def manifests(self) -> list[LakeManifest]:
        """The publications that are kept, newest first.

        Raises:
            WarehouseError: one cannot be read.
        """
        keys = sorted((entry.key for entry in self.store.list(PUBLICATIONS)), reverse=True)
        found = [self.read(key, LakeManifest)[0] for key in keys]
        return [one for one in found if one is not None]

    def collect_garbage(self, kept: Iterable[TableVersion]) -> int:
        """Delete the files of versions that nothing names, once they are old enough.

        Younger ones may still be read, or are being written.

        Returns:
            How many.
        """
        named = {file for one in kept for file in one.files}
        least = self.retention.total_seconds()
        found = [
            entry.key
            for layer in (self.silver, self.gold)
            for entry in self.store.list(f"{layer}/")
            if entry.key not in named and entry.age >= least and "/_delta_log/" not in entry.key
        ]
        self.store.delete(found)
        return len(found)


def described(
    connection: "duckdb.DuckDBPyConnection", relation: str
) -> tuple[int, str, tuple[LakeColumn, ...]]:
    """Rows, content and columns of a relation, whatever the order of its rows.

    Args:
        connection: has it.
        relation: its name, quoted.
    """
    shape = connection.execute(f"describe {relation}").fetchall()
    columns = tuple(LakeColumn(name=str(row[0]), type=str(row[1])) for row in shape)
    return *content_of(connection, relation), columns
