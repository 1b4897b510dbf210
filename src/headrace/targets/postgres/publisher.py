"""How PostgreSQL publishes: views over versions of the marts, and one row that says which version.

    published.orders        a view, made once: readers, grants, comments, views that depend on it
       └─ _headrace.p7_orders      partitioned by version; a new one when the columns change
             ├─ _headrace.v7_orders       a version: a copy of the mart, with its indexes
             └─ _headrace.v9_orders
    _headrace.pointers      the version of each table that readers see
    _headrace.publications  what was published when, newest last, and which versions that is

A publish copies what changed into new versions, which nobody sees, and then updates the pointers in
one transaction. No view is touched, so readers wait for nothing and hold nothing up, and what they
see follows from their snapshot alone: a transaction that reads twice sees one publication, even
where one was published between. With views that are replaced it would see an empty table.

Where the columns of a mart change, its view is replaced, for which no reader may have it open at
that instant: see ``headrace.targets.postgres.views``.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headrace.errors import PublishError
from headrace.sql_text import identifier, identifiers, literal, qualified
from headrace.targets.postgres.versions import (
    OWN_SCHEMA,
    VERSION_COLUMN,
    PublicationRow,
    Stored,
    copied,
    create_own_tables,
    note,
    own_tables,
    point,
    publications,
    shape_of,
    tables_of,
)
from headrace.targets.postgres.views import PostgresView, drop_view, make_view, patiently
from headrace.targets.publication import (
    BuiltTable,
    Publication,
    PublishedTable,
    attach_published,
    require_different_names,
)

if TYPE_CHECKING:
    import duckdb
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

_SWEEP_MS = 2000  # that an old version may take to be dropped, before it is left to the next time


@dataclass(frozen=True)
class PostgresPublisher:
    """Publishes in a PostgreSQL database.

    Attributes:
        connect: opens a connection that commits each statement; its errors are WarehouseErrors.
        schema: that readers read.
        place: where the database is, for people.
        read: attaches the database to a DuckDB under a name; False where there is none yet.
    """

    connect: "Callable[[], AbstractContextManager[Connection]]"
    schema: str
    place: str
    read: "Callable[[duckdb.DuckDBPyConnection, str], bool]"

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
        found = {}
        with self.connect() as connection:
            for schema, name in relations:
                shape = shape_of(connection, schema, name)
                if not shape:
                    continue
                row = connection.execute(
                    "select count(*), bit_xor(hash), sum(hash) from (select hashtextextended("
                    "__headrace_row::text, 0) as hash "
                    f"from {qualified(schema, name)} as __headrace_row) as hashes".encode()
                ).fetchone()
                rows, xor, total = row if row is not None else (0, None, None)
                print_ = repr((rows, xor, str(total), shape))
                found[schema, name] = (int(rows), print_)
        return found

    def current(self) -> Publication | None:
        """What readers have.

        Raises:
            WarehouseError: it cannot be read.
        """
        found = self.history(most=1)
        return found[0] if found else None

    def history(self, most: int | None = None) -> list[Publication]:
        """What readers had, newest first; the current one is the first.

        Raises:
            WarehouseError: it cannot be read.
        """
        with self.connect() as connection:
            return [row.publication for row in publications(connection, most)]

    def publish(
        self,
        publication: Publication,
        changed: Sequence[BuiltTable],
        *,
        keep: int,
        tell: Callable[[BuiltTable, float], None],
    ) -> None:
        """Copy what changed into new versions, and point readers to them in one transaction.

        Raises:
            PublishError: it cannot; readers have what they had.
            WarehouseError: the server cannot be reached, or refuses.
        """
        require_different_names(publication.tables, self.schema)
        with self.connect() as connection:
            create_own_tables(connection)
            rows = publications(connection, None)
            before = rows[0].stored if rows else {}
            self._sweep(connection, rows)
            stored = {name: before[name] for name in before if name in _names(publication)}
            for table in changed:
                began = time.monotonic()
                with connection.transaction():
                    stored[table.full_name] = copied(connection, table, before.get(table.full_name))
                tell(table, time.monotonic() - began)
            # what is unchanged may have another id, or be described anew
            stored = {
                one.full_name: Stored(one, there.parent, there.version)
                for one in publication.tables
                for there in (stored[one.full_name],)
            }
            number = rows[0].number if rows else None
            texts = {table.full_name: table for table in changed}
            self._show(connection, publication, stored, before, number, texts)
            self._sweep(connection, publications(connection, None), keep=keep)

    def restore(self, run_id: str) -> Publication:
        """Point readers to the versions of an earlier publication.

        Raises:
            PublishError: it is not kept.
            WarehouseError: the server cannot be reached, or refuses.
        """
        with self.connect() as connection:
            rows = publications(connection, None)
            wanted = next((row for row in rows if row.publication.run_id == run_id), None)
            if wanted is None:
                raise PublishError(f"what run {run_id} published is not kept in {self.place}")
            old = wanted.publication
            again = Publication(run_id, datetime.now(UTC), old.code_version, old.tables)
            self._show(connection, again, wanted.stored, rows[0].stored, rows[0].number, {})
            return again

    def attach(
        self, connection: "duckdb.DuckDBPyConnection", alias: str, run_id: str | None = None
    ) -> Publication | None:
        """The versions that a publication points to: they never change.

        Raises:
            WarehouseError: the server cannot be reached.
        """
        with self.connect() as server:
            rows = publications(server, 1 if run_id is None else None)
        found = next((row for row in rows if run_id in {None, row.publication.run_id}), None)
        source = f"{alias} by version"
        if found is None or not self.read(connection, source):
            return None

        def query_of(table: PublishedTable) -> str:
            version = found.stored[table.full_name].version_name
            return (
                f"select * exclude ({VERSION_COLUMN}) from {qualified(source, OWN_SCHEMA, version)}"
            )

        attach_published(connection, alias, found.publication, query_of)
        return found.publication

    def _show(
        self,
        connection: "Connection",
        publication: Publication,
        stored: dict[str, Stored],
        before: dict[str, Stored],
        number: int | None,
        texts: dict[str, BuiltTable],
    ) -> None:
        """Show readers a publication, in one transaction.

        Args:
            connection: to the database.
            publication: what readers have afterwards.
            stored: where its tables are, by full name.
            before: where those are that readers have now.
            number: of the publication that they have now.
            texts: the descriptions of tables that changed.
        """

        def show() -> None:
            with connection.transaction():
                last = connection.execute(
                    f"select max(number) from {OWN_SCHEMA}.publications".encode()
                ).fetchone()
                if last != (number,):
                    raise PublishError(
                        f"another run published in {self.place} meanwhile: run again"
                    )
                connection.execute(
                    f"create schema if not exists {identifier(self.schema)}".encode()
                )
                for name, one in stored.items():
                    was = before.get(name)
                    view = self._view(connection, one)
                    if was is None or was.parent != one.parent:
                        make_view(connection, view, is_new=was is None)
                    if name in texts:
                        view.describe(connection, texts[name])
                for name, one in before.items():
                    if name not in stored:
                        drop_view(connection, self.schema, one.table.name)
                point(connection, stored)
                note(connection, publication, stored)

        patiently(connection, self.schema, show)

    def _view(self, connection: "Connection", stored: Stored) -> PostgresView:
        columns = [name for name, _ in shape_of(connection, OWN_SCHEMA, stored.parent_name)]
        columns.remove(VERSION_COLUMN)
        name = stored.table.full_name
        pointer = f"from {OWN_SCHEMA}.pointers where table_name = {literal(name)}"
        # an older transaction would see an empty table: the server evaluates this before it reads,
        # and what cannot be cast is an error
        since = f"{name} has other columns since this transaction began: begin a new one "
        guard = (
            f"select case when parent = {stored.parent} then true "
            f"else ({literal(since)} || version)::boolean end {pointer}"
        )
        select = (
            f"select {identifiers(columns)} from {qualified(OWN_SCHEMA, stored.parent_name)} "
            f"where {VERSION_COLUMN} = (select version {pointer}) and ({guard})"
        )
        return PostgresView(self.schema, stored.table.name, select)

    def _sweep(
        self, connection: "Connection", rows: Sequence[PublicationRow], *, keep: int | None = None
    ) -> None:
        """Drop what no kept publication needs: old versions, and what killed publishes left.

        No reader waits for it. A version that a long transaction may still read is left to the next
        time.

        Args:
            connection: to the database.
            rows: the publications.
            keep: how many earlier ones are kept; by default all.
        """
        import psycopg

        if keep is not None and len(rows) > keep + 1:
            connection.execute(
                f"delete from {OWN_SCHEMA}.publications where number < {rows[keep].number}".encode()
            )
            rows = rows[: keep + 1]
        used = {name for row in rows for one in row.stored.values() for name in tables_of(one)}
        connection.execute(f"set statement_timeout = {_SWEEP_MS}".encode())
        try:
            for name, parent, is_pending in own_tables(connection):
                if name in used:
                    continue
                table = qualified(OWN_SCHEMA, name)
                try:
                    if parent is not None:
                        how = "finalize" if is_pending else "concurrently"
                        connection.execute(
                            f"alter table {qualified(OWN_SCHEMA, parent)} "
                            f"detach partition {table} {how}".encode()
                        )
                    connection.execute(f"drop table {table}".encode())
                except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
                    continue
                except (
                    psycopg.errors.ObjectNotInPrerequisiteState,
                    psycopg.errors.DependentObjectsStillExist,
                ):
                    continue  # another partition is being detached, or is left
        finally:
            connection.execute("set statement_timeout = 0")


def _names(publication: Publication) -> set[str]:
    return {table.full_name for table in publication.tables}
