"""Publishing in a DuckLake: one snapshot, which is all that readers get at once.

The marts that changed are copied into the schema that readers read, in one transaction. What was
published is in the snapshot itself (its author, message and extra info), so that neither is there
without the other, and DuckLake's time travel leads to what readers had before.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from headrace.errors import PublishError, WarehouseError
from headrace.sql_text import identifier, literal, qualified
from headrace.targets.ducklake.connection import DATABASE
from headrace.targets.publication import (
    BuiltTable,
    Publication,
    PublishedTable,
    attach_published,
    content_of,
    require_different_names,
)

if TYPE_CHECKING:
    import duckdb

    Connection = duckdb.DuckDBPyConnection

FORMAT = 1
"""Of what a snapshot says of its publication."""
AUTHOR = "headrace"
"""Of the snapshots that are publications."""
OWN_SCHEMA = "_headrace"
"""Its table of the name of the published schema says which publication readers have."""
_SNAPSHOTS = f"ducklake_snapshots({literal(DATABASE)})"

_EXACT = 2**53
"""Up to here a floating-point number of 64 bits is exact."""


@dataclass(frozen=True)
class _Snapshot:
    """A snapshot that is a publication."""

    number: int
    publication: Publication


@dataclass(frozen=True)
class DuckLakePublisher:
    """Publishes in a DuckLake.

    Attributes:
        connect: opens a connection that writes the lake; its errors are WarehouseErrors.
        read: opens one that reads it, as ``DATABASE``, as of a snapshot or now; None where there is
            no lake yet.
        attached: attaches the lake to a DuckDB under a name; False where there is none yet.
        schema: that readers read.
        place: where the lake is, for people.
        retention: how long snapshots are kept that are no publications, and files that no snapshot
            has any more.
    """

    connect: "Callable[[], AbstractContextManager[Connection]]"
    read: "Callable[[int | None], AbstractContextManager[Connection | None]]"
    attached: "Callable[[Connection, str], bool]"
    schema: str
    place: str
    retention: timedelta

    @property
    def location(self) -> str:
        """Where readers find the tables."""
        return f"{self.place}, schema {self.schema}"

    def fingerprints(
        self, relations: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], tuple[int, str]]:
        """Rows and fingerprint by schema and name; what is not there is left out.

        Raises:
            WarehouseError: they cannot be read.
        """
        with self.read(None) as connection:
            if connection is None:
                return {}
            there = set(
                connection.execute(
                    "select distinct schema_name, table_name from duckdb_columns() "
                    f"where database_name = {literal(DATABASE)}"
                ).fetchall()
            )
            return {
                (schema, name): content_of(connection, qualified(DATABASE, schema, name))
                for schema, name in relations
                if (schema, name) in there
            }

    def current(self) -> Publication | None:
        """What readers have.

        Raises:
            WarehouseError: it cannot be read.
        """
        found = self.history()
        return found[0] if found else None

    def history(self) -> list[Publication]:
        """What readers had, newest first; the current one is the first.

        Raises:
            WarehouseError: it cannot be read.
        """
        with self.read(None) as connection:
            if connection is None:
                return []
            return [one.publication for one in self._publications(connection)]

    def publish(
        self,
        publication: Publication,
        changed: Sequence[BuiltTable],
        *,
        keep: int,
        tell: Callable[[BuiltTable, float], None],
    ) -> None:
        """Copy what changed, in one transaction.

        Raises:
            PublishError: two tables would have one name, or numbers were rounded.
            WarehouseError: the lake cannot be reached or written; readers have what they had.
        """
        require_different_names(publication.tables, self.schema)
        with self.connect() as connection:
            self._require_exact(connection)
            wanted = {table.name for table in publication.tables}
            with _transaction(connection):
                self._make_schema(connection, self.schema)
                for table in changed:
                    began = time.monotonic()
                    self._copy(connection, table)
                    tell(table, time.monotonic() - began)
                for name in sorted(self._tables(connection) - wanted):
                    connection.execute(f"drop table {self._name(name)}")
                self._note(connection, publication)
            self.clean(connection, keep=keep)

    def restore(self, run_id: str) -> Publication:
        """Give readers again what they had in an earlier snapshot.

        Raises:
            PublishError: it is not kept.
            WarehouseError: the lake cannot be reached or written.
        """
        with self.connect() as connection:
            found = self._publications(connection)
            wanted = next((one for one in found if one.publication.run_id == run_id), None)
            if wanted is None:
                raise PublishError(f"what run {run_id} published is not kept in {self.place}")
            now = {table.name: table for table in found[0].publication.tables}
            old = wanted.publication
            again = Publication(run_id, datetime.now(UTC), old.code_version, old.tables)
            there = self._tables(connection)
            changed = [
                table.name
                for table in old.tables
                if now.get(table.name) != table or table.name not in there
            ]
            comments = self._comments(wanted.number, changed)
            with _transaction(connection):
                for name in changed:
                    table = self._name(name)
                    was = f"{table} at (version => {wanted.number})"
                    connection.execute(f"create or replace table {table} as from {was}")
                for sql in comments:
                    connection.execute(sql)
                for name in sorted(there - {table.name for table in old.tables}):
                    connection.execute(f"drop table {self._name(name)}")
                self._note(connection, again)
            return again

    def attach(
        self, connection: "Connection", alias: str, run_id: str | None = None
    ) -> Publication | None:
        """The lake as of the snapshot of a publication.

        Raises:
            WarehouseError: the lake cannot be read.
        """
        with self.read(None) as reader:
            found = self._publications(reader) if reader is not None else []
        wanted = [one for one in found if run_id in {None, one.publication.run_id}][:1]
        source = f"{alias} in the lake"
        if not wanted or not self.attached(connection, source):
            return None
        (one,) = wanted

        def query_of(table: PublishedTable) -> str:
            name = qualified(source, self.schema, table.name)
            return f"select * from {name} at (version => {one.number})"

        attach_published(connection, alias, one.publication, query_of)
        return one.publication

    def clean(self, connection: "Connection", *, keep: int) -> None:
        """Expire snapshots, and delete the files that nothing has any more.

        Kept are the publications that can be gone back to, and whatever is younger than
        ``retention``: a query that began before still reads it, and another writer may be about to
        commit it.

        Args:
            connection: that writes the lake.
            keep: how many earlier publications are kept.
        """
        published = [one.number for one in self._publications(connection)]
        before = datetime.now(UTC) - self.retention
        rows = connection.execute(
            f"select snapshot_id, snapshot_time < ? from {_SNAPSHOTS} order by snapshot_id desc",
            [before],
        ).fetchall()
        kept = {*published[: keep + 1], *(row[0] for row in rows[:1])}
        beyond = set(published[keep + 1 :])
        expired = [
            number for number, is_old in rows if number not in kept and (is_old or number in beyond)
        ]
        if expired:
            connection.execute(
                f"call ducklake_expire_snapshots({literal(DATABASE)}, versions => {expired})"
            )
        for function in ("ducklake_cleanup_old_files", "ducklake_delete_orphaned_files"):
            connection.execute(
                f"call {function}({literal(DATABASE)}, "
                f"older_than => {literal(before.isoformat())}::timestamptz)"
            )

    def _require_exact(self, connection: "Connection") -> None:
        """Check that no whole number was rounded: Parquet has none of 128 bits.

        Raises:
            PublishError: one was.
        """
        columns = connection.execute(
            "select schema_name, table_name, column_name from duckdb_columns() "
            f"where database_name = {literal(DATABASE)} and schema_name <> {literal(self.schema)} "
            "and data_type in ('HUGEINT', 'UHUGEINT')"
        ).fetchall()
        for schema, table, column in columns:
            row = connection.execute(
                f"select max(abs({identifier(column)}::double)) "
                f"from {qualified(DATABASE, schema, table)}"
            ).fetchone()
            if row is not None and row[0] is not None and row[0] >= _EXACT:
                raise PublishError(
                    f"{schema}.{table}.{column} has whole numbers beyond 2^53 of the type HUGEINT "
                    "(of sum(), above all), which the files of a lake keep as rounded "
                    "floating-point numbers: cast it to bigint or decimal(38, 0) in its model"
                )

    def _publications(self, connection: "Connection") -> list[_Snapshot]:
        rows = connection.execute(
            f"select snapshot_id, commit_extra_info from {_SNAPSHOTS} "
            f"where author = {literal(AUTHOR)} and commit_extra_info is not null "
            "order by snapshot_id desc"
        ).fetchall()
        found = []
        for number, text in rows:
            content = _content(text)
            if content is None or content["schema"] != self.schema:
                continue  # of another target in the same lake
            publication = Publication(
                run_id=content["run_id"],
                published_at=datetime.fromisoformat(content["published_at"]),
                code_version=content["code_version"],
                tables=tuple(PublishedTable(**table) for table in content["tables"]),
            )
            found.append(_Snapshot(int(number), publication))
        return found

    def _note(self, connection: "Connection", publication: Publication) -> None:
        """Say in the snapshot of the open transaction what it is.

        A table says it, too, for readers; and a transaction that changed nothing makes no snapshot.
        """
        self._make_schema(connection, OWN_SCHEMA)
        connection.execute(
            f"create or replace table {qualified(DATABASE, OWN_SCHEMA, self.schema)} as "
            "select $1::varchar as run_id, $2::timestamptz as published_at, "
            "$3::varchar as code_version",
            [publication.run_id, publication.published_at, publication.code_version],
        )
        content = {
            "format": FORMAT,
            "schema": self.schema,
            "built": built(connection),
            "run_id": publication.run_id,
            "published_at": publication.published_at.isoformat(),
            "code_version": publication.code_version,
            "tables": [
                asdict(PublishedTable(t.schema, t.name, t.unique_id, t.rows, t.fingerprint))
                for t in publication.tables
            ],
        }
        message = f"published by run {publication.run_id}"
        connection.execute(
            f"call ducklake_set_commit_message({literal(DATABASE)}, {literal(AUTHOR)}, "
            f"{literal(message)}, extra_info => {literal(json.dumps(content))})"
        )

    def _make_schema(self, connection: "Connection", schema: str) -> None:
        there = connection.execute(
            "select count(*) from information_schema.schemata "
            f"where catalog_name = {literal(DATABASE)} and schema_name = {literal(schema)}"
        ).fetchone()
        if there == (0,):
            connection.execute(f"create schema {qualified(DATABASE, schema)}")

    def _tables(self, connection: "Connection") -> set[str]:
        rows = connection.execute(
            "select distinct table_name from duckdb_columns() "
            f"where database_name = {literal(DATABASE)} and schema_name = {literal(self.schema)}"
        ).fetchall()
        return {str(name) for (name,) in rows}

    def _copy(self, connection: "Connection", table: BuiltTable) -> None:
        name, built = self._name(table.name), qualified(DATABASE, table.schema, table.name)
        connection.execute(f"create or replace table {name} as from {built}")
        if table.description:
            connection.execute(f"comment on table {name} is {literal(table.description)}")
        described = connection.execute(f"describe {name}").fetchall()
        columns = {str(row[0]).casefold(): str(row[0]) for row in described}
        for given, text in table.columns.items():
            if column := columns.get(given.casefold()):
                connection.execute(
                    f"comment on column {name}.{identifier(column)} is {literal(text)}"
                )

    def _comments(self, snapshot: int, names: Sequence[str]) -> list[str]:
        """SQL that describes tables as they were described in a snapshot."""
        with self.read(snapshot) as connection:
            if connection is None:
                return []
            where = f"database_name = {literal(DATABASE)} and schema_name = {literal(self.schema)}"
            tables = connection.execute(
                f"select table_name, comment from duckdb_tables() where {where}"
            ).fetchall()
            columns = connection.execute(
                f"select table_name, column_name, comment from duckdb_columns() where {where}"
            ).fetchall()
        return [
            *(
                f"comment on table {self._name(table)} is {literal(text)}"
                for table, text in tables
                if text and table in names
            ),
            *(
                f"comment on column {self._name(table)}.{identifier(column)} is {literal(text)}"
                for table, column, text in columns
                if text and table in names
            ),
        ]

    def _name(self, table: str) -> str:
        return qualified(DATABASE, self.schema, table)


def built(connection: "Connection") -> str | None:
    """Number and time of the last snapshot that is no publication: what is loaded and built.

    A publication says which it was, so that the snapshot itself may expire.

    Args:
        connection: has the lake as ``DATABASE``.
    """
    row = connection.execute(
        "select snapshot_id, epoch_us(snapshot_time), author, commit_extra_info "
        f"from {_SNAPSHOTS} order by snapshot_id desc limit 1"
    ).fetchone()
    if row is None:
        return None
    number, at, author, text = row
    content = _content(text) if author == AUTHOR else None
    if content is not None:
        return None if content["built"] is None else str(content["built"])
    return f"{number}/{at}"


def _content(text: str | None) -> dict[str, Any] | None:
    """What the extra info of a snapshot says; None if it is no publication of Headrace's.

    Raises:
        WarehouseError: a newer Headrace wrote it.
    """
    try:
        content = json.loads(text or "")
        written = int(content["format"])
    except (ValueError, TypeError, KeyError):
        return None
    if written > FORMAT:
        raise WarehouseError(
            f"the lake was published by a newer Headrace (format {written}, this one knows "
            f"{FORMAT}): upgrade Headrace"
        )
    found: dict[str, Any] = content
    return found


class _transaction:  # noqa: N801
    """Commits at the end of the block; what failed is rolled back."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("begin transaction")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        import duckdb

        if kind is None:
            self._connection.execute("commit")
            return
        with suppress(duckdb.Error):
            self._connection.execute("rollback")
