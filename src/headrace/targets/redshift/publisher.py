"""How Redshift publishes: views over versions of the marts, replaced in one transaction.

    published.orders             a late-binding view: readers, grants, comments
       └─ _headrace.v9_orders    a version: a copy of the mart, with its keys and encodings
    _headrace.publications       what was published when
    _headrace.published_tables   which versions that is

As in ``headrace.targets.postgres.publisher``, what changed is copied into new versions that nobody
sees, and one transaction shows them. Redshift has no partitions, so a view reads its version by
name, and is replaced with it; as it is bound late, it keeps no version from being dropped.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headrace.errors import PublishError
from headrace.sql_text import identifier, identifiers, qualified
from headrace.targets.publication import (
    BuiltTable,
    Publication,
    PublishedTable,
    attach_published,
    require_different_names,
)
from headrace.targets.redshift import tables
from headrace.targets.redshift.grants import grants_of
from headrace.targets.redshift.server import (
    OWN_SCHEMA,
    RedshiftServer,
    driver,
    patiently,
    rows_of,
    run,
    text,
    transaction,
)

if TYPE_CHECKING:
    import duckdb
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

_FORMAT = 1
_LONGEST = 127
_WAITS_S = (0.8, 0.8, 1.5, 1.5, 3.0, 3.0, 6.0, 6.0, 12.0, 12.0)
"""That a statement of a publish may wait for readers; below a second none ends as a deadlock."""

_SWEEP_MS = 2000
_PUBLICATIONS, _TABLES = f"{OWN_SCHEMA}.publications", f"{OWN_SCHEMA}.published_tables"
_OWN_TABLES = f"""
create schema if not exists {OWN_SCHEMA};
create table if not exists {_PUBLICATIONS} (
    number bigint not null,
    format int not null,
    run_id varchar(256) not null,
    published_at varchar(64) not null,
    code_version varchar(256) not null
);
create table if not exists {_TABLES} (
    number bigint not null,
    position int not null,
    schema_name varchar(127) not null,
    table_name varchar(127) not null,
    unique_id varchar(1024) not null,
    row_count bigint not null,
    fingerprint varchar(65535) not null,
    version bigint not null
)
"""


@dataclass(frozen=True)
class StoredTable:
    """A published table, and the version that its rows are in."""

    table: PublishedTable
    version: int

    @property
    def name(self) -> str:
        """Of the version, in Headrace's schema; within what the server keeps of a name."""
        return f"v{self.version}_{self.table.name}".encode()[:_LONGEST].decode(errors="ignore")

    @property
    def quoted(self) -> str:
        """The version in SQL."""
        return qualified(OWN_SCHEMA, self.name)


@dataclass(frozen=True)
class _Kept:
    number: int
    publication: Publication
    stored: dict[str, StoredTable]


def create_own_tables(connection: "Connection") -> None:
    """Create what Headrace keeps of publications, where it is not there yet."""
    for statement in _OWN_TABLES.split(";"):
        run(connection, statement)


@dataclass(frozen=True)
class RedshiftPublisher:
    """Publishes in a database.

    Attributes:
        server: where it is.
        schema: that readers read.
    """

    server: RedshiftServer
    schema: str

    @property
    def location(self) -> str:
        """Where readers find the tables."""
        return f"{self.server.location}, schema {self.schema}"

    def fingerprints(
        self, relations: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], tuple[int, str]]:
        """Rows and fingerprint by schema and name; what is not there is left out.

        Raises:
            WarehouseError: they cannot be read.
        """
        there = tables.columns_of(self.server)
        return {
            relation: tables.fingerprint(self.server, *relation, there[relation])
            for relation in relations
            if relation in there
        }

    def current(self) -> Publication | None:
        """What readers have.

        Raises:
            WarehouseError: it cannot be read.
        """
        return next(iter(self.history()), None)

    def history(self) -> list[Publication]:
        """What readers had, newest first; the current one is the first.

        Raises:
            WarehouseError: it cannot be read.
        """
        with self.server.connect() as connection:
            return [kept.publication for kept in self._kept(connection)]

    def publish(
        self,
        publication: Publication,
        changed: Sequence[BuiltTable],
        *,
        keep: int,
        tell: Callable[[BuiltTable, float], None],
    ) -> None:
        """Copy what changed into new versions, and replace the views in one transaction.

        Raises:
            PublishError: it cannot; readers have what they had.
            WarehouseError: the server cannot be reached, or refuses.
        """
        require_different_names(publication.tables, self.schema)
        with self.server.connect() as connection:
            create_own_tables(connection)
            kept = self._kept(connection)
            self._sweep(connection, kept)
            before = kept[0].stored if kept else {}
            version = max((one.version for all_ in kept for one in all_.stored.values()), default=0)
            stored = {
                one.full_name: StoredTable(one, before[one.full_name].version)
                for one in publication.tables
                if one.full_name in before
            }
            views = _views(connection, {table.schema for table in changed})
            for table in changed:
                began = time.monotonic()
                version += 1
                stored[table.full_name] = one = StoredTable(table, version)
                with transaction(connection):
                    self._copy(connection, one, is_view=(table.schema, table.name) in views)
                    _describe(connection, one, table)
                tell(table, time.monotonic() - began)
            texts = {table.full_name: table.description for table in changed}
            self._show(connection, publication, stored, kept, texts)
            self._sweep(connection, self._kept(connection), keep=keep)

    def restore(self, run_id: str) -> Publication:
        """Show readers the versions of an earlier publication.

        Raises:
            PublishError: it is not kept.
            WarehouseError: the server cannot be reached, or refuses.
        """
        with self.server.connect() as connection:
            kept = self._kept(connection)
            wanted = next((one for one in kept if one.publication.run_id == run_id), None)
            if wanted is None:
                raise PublishError(f"what run {run_id} published is not kept in {self.location}")
            old = wanted.publication
            again = Publication(run_id, datetime.now(UTC), old.code_version, old.tables)
            self._show(connection, again, wanted.stored, kept, {})
            return again

    def attach(
        self, connection: "duckdb.DuckDBPyConnection", alias: str, run_id: str | None = None
    ) -> Publication | None:
        """The versions that a publication names: they never change.

        Raises:
            WarehouseError: the server cannot be reached.
        """
        with self.server.connect() as server:
            kept = self._kept(server)
        found = next((one for one in kept if run_id in {None, one.publication.run_id}), None)
        if found is None:
            return None
        there = tables.columns_of(self.server, f"table_schema = {text(OWN_SCHEMA)}")
        sources = {}
        for full_name, one in found.stored.items():
            source = sources[full_name] = f"{alias}.{one.name}"
            columns = there.get((OWN_SCHEMA, one.name), [])
            streamed = tables.streamed(self.server, OWN_SCHEMA, one.name, columns)
            connection.register(source, streamed)
        attach_published(
            connection,
            alias,
            found.publication,
            lambda table: f"select * from temp.main.{identifier(sources[table.full_name])}",
        )
        return found.publication

    def _copy(self, connection: "Connection", stored: StoredTable, *, is_view: bool) -> None:
        """Copy a mart into a new version; nobody sees it yet."""
        table = stored.table
        built = qualified(table.schema, table.name)
        if is_view:
            run(connection, f"create table {stored.quoted} as select * from {built}")
            copied = int(rows_of(connection, f"select count(*) from {stored.quoted}")[0][0])
        else:  # with its keys and encodings
            run(connection, f"create table {stored.quoted} (like {built})")
            copied = run(connection, f"insert into {stored.quoted} select * from {built}")
        if copied != table.rows:
            raise PublishError(
                f"{table.full_name} has {copied:,} rows now, not {table.rows:,}: another program "
                "writes it; nothing was published; run again"
            )

    def _show(
        self,
        connection: "Connection",
        publication: Publication,
        stored: dict[str, StoredTable],
        kept: Sequence[_Kept],
        texts: dict[str, str],
    ) -> None:
        """Show readers a publication, in one transaction.

        Args:
            connection: to the database.
            publication: what readers have afterwards.
            stored: where its tables are, by full name.
            kept: the publications until now, newest first.
            texts: the descriptions of tables that changed.
        """
        before = kept[0].stored if kept else {}
        number = kept[0].number if kept else 0
        there = tables.columns_of(self.server, f"table_schema = {text(OWN_SCHEMA)}")
        shapes = {name: columns for (_, name), columns in there.items()}
        gone = {name: one for name, one in before.items() if name not in stored}
        self._require_own(connection, stored.values(), before)

        def show() -> None:
            with transaction(connection):
                last = rows_of(connection, f"select coalesce(max(number), 0) from {_PUBLICATIONS}")
                if int(last[0][0]) != number:
                    raise PublishError(f"another run published in {self.location}: run again")
                run(connection, f"create schema if not exists {identifier(self.schema)}")
                for one in gone.values():
                    run(connection, f"drop view if exists {self._view(one)}")
                for name, one in stored.items():
                    was = before.get(name)
                    if was is None or was.version != one.version:
                        self._replace(connection, one, was, shapes)
                    if texts.get(name):
                        run(connection, f"comment on view {self._view(one)} is {text(texts[name])}")
                note_table(connection, number + 1, publication, stored)

        patiently(
            connection,
            show,
            waits=_WAITS_S,
            give_up=f"readers have views of {self.location} open: end their transactions "
            "(`select * from stv_sessions`), and run `headrace publish`; they have what they had",
        )

    def _view(self, stored: StoredTable) -> str:
        return qualified(self.schema, stored.table.name)

    def _replace(
        self,
        connection: "Connection",
        stored: StoredTable,
        was: StoredTable | None,
        shapes: "dict[str, list[tables.RedshiftColumn]]",
    ) -> None:
        """Let a view read a version; with other columns it is created again, with its grants."""
        view = self._view(stored)
        columns = shapes[stored.name]
        grants: list[str] = []
        if was is not None and shapes.get(was.name) != columns:
            grants = grants_of(connection, self.schema, stored.table.name)
            run(connection, f"drop view if exists {view}")
        listed = identifiers(one.name for one in columns)
        run(
            connection,
            f"create or replace view {view} as select {listed} from {stored.quoted} "
            "with no schema binding",
        )
        for grant in grants:
            run(connection, grant)

    def _require_own(
        self,
        connection: "Connection",
        wanted: Iterable[StoredTable],
        before: dict[str, StoredTable],
    ) -> None:
        """Refuse to replace what somebody else made.

        Raises:
            PublishError: there is such a thing.
        """
        own = {one.table.name for one in before.values()}
        there = rows_of(
            connection,
            f"select table_name from svv_tables where table_schema = {text(self.schema)}",
        )
        names = {str(name) for (name,) in there}
        for one in wanted:
            if one.table.name in names - own:
                raise PublishError(
                    f"there is a relation {self.schema}.{one.table.name} that Headrace did not "
                    "make: rename it, or set published_schema of the target to another schema"
                )

    def _kept(self, connection: "Connection") -> list[_Kept]:
        """The publications, newest first; none before the first."""
        there = rows_of(
            connection,
            f"select 1 from svv_tables where table_schema = {text(OWN_SCHEMA)} "
            "and table_name = 'published_tables'",
        )
        if not there:
            return []
        stored: dict[int, dict[str, StoredTable]] = {}
        for number, *given, version in rows_of(
            connection,
            "select number, schema_name, table_name, unique_id, row_count, fingerprint, version "
            f"from {_TABLES} order by number, position",
        ):
            table = PublishedTable(*given)
            of = stored.setdefault(int(number), {})
            of[table.full_name] = StoredTable(table, int(version))
        found = []
        for number, format_, run_id, at, code_version in rows_of(
            connection,
            f"select number, format, run_id, published_at, code_version from {_PUBLICATIONS} "
            "order by number desc",
        ):
            if int(format_) > _FORMAT:
                raise PublishError(
                    f"{self.location} was published by a newer Headrace: upgrade this one"
                )
            of = stored.get(int(number), {})
            publication = Publication(
                str(run_id),
                datetime.fromisoformat(at),
                str(code_version),
                tuple(one.table for one in of.values()),
            )
            found.append(_Kept(int(number), publication, of))
        return found

    def _sweep(
        self, connection: "Connection", kept: Sequence[_Kept], *, keep: int | None = None
    ) -> None:
        """Drop what no kept publication needs: old versions, and what killed publishes left.

        A version that a reader has open is left to the next time.

        Args:
            connection: to the database.
            kept: the publications.
            keep: how many earlier ones are kept; by default all.
        """
        if keep is not None and len(kept) > keep + 1:
            oldest = kept[keep].number
            with transaction(connection):
                run(connection, f"delete from {_PUBLICATIONS} where number < {oldest}")
                run(connection, f"delete from {_TABLES} where number < {oldest}")
            kept = kept[: keep + 1]
        used = {one.name for all_ in kept for one in all_.stored.values()}
        there = rows_of(
            connection,
            "select table_name from svv_tables "
            f"where table_schema = {text(OWN_SCHEMA)} and table_name ~ '^v[0-9]+_'",
        )
        run(connection, f"set statement_timeout to {_SWEEP_MS}")
        try:
            for (name,) in there:
                if name not in used:
                    with suppress(driver().extensions.QueryCanceledError):
                        run(connection, f"drop table {qualified(OWN_SCHEMA, str(name))}")
        finally:
            run(connection, "set statement_timeout to 0")


def _describe(connection: "Connection", stored: StoredTable, table: BuiltTable) -> None:
    """Give a version dbt's descriptions; the columns of a late-binding view can have none."""
    if table.description:
        run(connection, f"comment on table {stored.quoted} is {text(table.description)}")
    for column, said in table.columns.items():
        name = f"{stored.quoted}.{identifier(column)}"
        run(connection, f"comment on column {name} is {text(said)}")


def note_table(
    connection: "Connection",
    number: int,
    publication: Publication,
    stored: dict[str, StoredTable],
) -> None:
    """Write down a publication and the versions of its tables; the caller commits."""
    at = publication.published_at.isoformat()
    said = ", ".join(map(text, (publication.run_id, at, publication.code_version)))
    run(connection, f"insert into {_PUBLICATIONS} values ({number}, {_FORMAT}, {said})")
    rows = [
        f"({number}, {position}, {text(one.table.schema)}, {text(one.table.name)}, "
        f"{text(one.table.unique_id)}, {one.table.rows}, {text(one.table.fingerprint)}, "
        f"{one.version})"
        for position, one in enumerate(stored.values())
    ]
    for start in range(0, len(rows), 200):
        run(connection, f"insert into {_TABLES} values {', '.join(rows[start : start + 200])}")


def _views(connection: "Connection", schemas: set[str]) -> set[tuple[str, str]]:
    """What of some schemas is a view."""
    rows: list[tuple[Any, ...]] = []
    if schemas:
        listed = ", ".join(map(text, sorted(schemas)))
        rows = rows_of(
            connection,
            "select table_schema, table_name from svv_tables "
            f"where table_type = 'VIEW' and table_schema in ({listed})",
        )
    return {(str(schema), str(name)) for schema, name in rows}
