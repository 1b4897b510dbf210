"""How Snowflake publishes: a schema of clones that changes places with the one that readers read.

    PUBLISHED              what readers read: clones of the marts, and the record of the publication
    _HEADRACE_NEXT         what they read next; a swap exchanges the two in one step
    _HEADRACE_<run>        what they read before, for as many publications as are kept

A clone copies no rows, so a publication costs as much as its tables are many. The record is a table
in the schema, so that it is swapped with what it tells of. Snowflake commits each change of a view
or table by itself: there is no other statement that changes several of them at once.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headrace.errors import PublishError
from headrace.sql_text import literal, qualified
from headrace.targets.publication import (
    BuiltTable,
    Publication,
    PublishedTable,
    attach_published,
    require_different_names,
)
from headrace.targets.snowflake import tables
from headrace.targets.snowflake.server import OWN_SCHEMA, SnowflakeServer, quoted

if TYPE_CHECKING:
    import duckdb
    from snowflake.connector.cursor import SnowflakeCursor

_RECORD = "_HEADRACE_PUBLICATION"
_NEXT = f"{OWN_SCHEMA}_NEXT"
_FORMAT = 1


@dataclass(frozen=True)
class SnowflakePublisher:
    """Publishes in a database.

    Attributes:
        server: the account and the database.
        schema: that readers read, as it is written in SQL.
    """

    server: SnowflakeServer
    schema: str

    @property
    def location(self) -> str:
        """Where readers find the tables."""
        return f"{self.server.location}, schema {self.schema.upper()}"

    def _name(self, *parts: str) -> str:
        return quoted(self.server.database, *parts)

    def fingerprints(
        self, relations: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], tuple[int, str]]:
        """Rows and fingerprint by schema and name; what is not there is left out.

        Raises:
            WarehouseError: they cannot be read.
        """
        rows = self.server.ask(
            "select table_schema, table_name, column_name, data_type, numeric_precision, "
            f"numeric_scale from {quoted(self.server.database)}.information_schema.columns "
            "order by table_schema, table_name, ordinal_position"
        )
        shapes: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
        for schema, name, *column in rows:
            shapes.setdefault((str(schema), str(name)), []).append(tuple(column))
        found = {}
        for schema, name in relations:
            shape = shapes.get((schema.upper(), name.upper()))
            if shape is None:
                continue
            ((count, content),) = self.server.ask(
                f"select count(*), hash_agg(*) from {self._name(schema, name)}"
            )
            found[schema, name] = (int(count), repr((str(content), shape)))
        return found

    def current(self) -> Publication | None:
        """What readers have.

        Raises:
            WarehouseError: it cannot be read.
        """
        return self._read(self.schema) if self.server.has_database() else None

    def history(self) -> list[Publication]:
        """What readers had, newest first; the current one is the first.

        Raises:
            WarehouseError: it cannot be read.
        """
        now = self.current()
        if now is None:
            return []
        found = [publication for _, publication in self._kept()]
        earlier = [one for one in found if one.run_id != now.run_id]
        return [now, *earlier]

    def publish(
        self,
        publication: Publication,
        changed: Sequence[BuiltTable],
        *,
        keep: int,
        tell: Callable[[BuiltTable, float], None],
    ) -> None:
        """Clone what is published, replace what changed, and swap the schemas.

        Raises:
            PublishError: it cannot; readers have what they had.
            WarehouseError: the server cannot be reached, or refuses.
        """
        require_different_names(publication.tables, self.schema)
        with self.server.connect() as connection, connection.cursor() as cursor:
            before = self.current()
            following = self._name(_NEXT)
            if before is None:
                if self._exists(self.schema) and self._tables(self.schema):
                    raise PublishError(
                        f"there is a schema {self.schema.upper()} that Headrace did not make: "
                        "rename it, or set published_schema of the target to another one"
                    )
                cursor.execute(f"create schema if not exists {self._name(self.schema)}")
                cursor.execute(f"create or replace schema {following}")
            else:
                cursor.execute(
                    f"create or replace schema {following} clone {self._name(self.schema)}"
                )
                self._grant(cursor, following)
            wanted = {table.name.upper() for table in publication.tables}
            for name in self._tables(_NEXT) - wanted - {_RECORD}:
                cursor.execute(f"drop table {self._name(_NEXT, name)}")
            views = self._views({table.schema for table in changed})
            for table in changed:
                began = time.monotonic()
                self._clone(cursor, table, is_view=table.full_name.upper() in views)
                tell(table, time.monotonic() - began)
            self._write(cursor, publication)
            cursor.execute(f"alter schema {self._name(self.schema)} swap with {following}")
            self._keep(cursor, before, publication, keep)

    def restore(self, run_id: str) -> Publication:
        """Swap a clone of an earlier publication in.

        Raises:
            PublishError: it is not kept.
            WarehouseError: the server cannot be reached, or refuses.
        """
        kept = {publication.run_id: schema for schema, publication in self._kept()}
        if run_id not in kept:
            raise PublishError(f"what run {run_id} published is not kept in {self.server.location}")
        old = self._read(kept[run_id])
        assert old is not None
        again = Publication(run_id, datetime.now(UTC), old.code_version, old.tables)
        before = self.current()
        with self.server.connect() as connection, connection.cursor() as cursor:
            following = self._name(_NEXT)
            cursor.execute(f"create or replace schema {following} clone {self._name(kept[run_id])}")
            self._grant(cursor, following)
            self._write(cursor, again)
            cursor.execute(f"alter schema {self._name(self.schema)} swap with {following}")
            self._keep(cursor, before, again, len(kept) + 1)
        return again

    def attach(
        self, connection: "duckdb.DuckDBPyConnection", alias: str, run_id: str | None = None
    ) -> Publication | None:
        """The schema that readers read, or one that they read before.

        Raises:
            WarehouseError: the account cannot be reached.
        """
        found, schema = self.current(), self.schema.upper()
        if found is not None and run_id not in {None, found.run_id}:
            kept = [one for one in self._kept() if one[1].run_id == run_id]
            schema, found = kept[0] if kept else ("", None)
        source = f"{alias} on the server"
        if found is None or not tables.attach(self.server, connection, source, schema_name=schema):
            return None
        attach_published(
            connection,
            alias,
            found,
            lambda table: f"select * from {qualified(source, tables.lower(schema), table.name)}",
        )
        return found

    def _clone(self, cursor: "SnowflakeCursor", table: BuiltTable, *, is_view: bool) -> None:
        """Make the next version of a table, with descriptions, and the grants of the one before."""
        name, built = self._name(_NEXT, table.name), self._name(table.schema, table.name)
        there = f"create or replace transient table {name}"
        if is_view:
            cursor.execute(f"{there} copy grants as select * from {built}")
        else:
            cursor.execute(f"{there} clone {built} copy grants")
        if table.description:
            cursor.execute(f"comment on table {name} is {_text(table.description)}")
        for column, text in table.columns.items():
            cursor.execute(f"comment on column {name}.{quoted(column)} is {_text(text)}")

    def _grant(self, cursor: "SnowflakeCursor", following: str) -> None:
        """Give the next schema the grants of the one that readers read: a clone has none."""
        cursor.execute(f"show grants on schema {self._name(self.schema)}")
        columns = [str(one[0]).lower() for one in cursor.description]
        for row in cursor.fetchall():
            grant = dict(zip(columns, row, strict=True))
            if grant["privilege"] != "OWNERSHIP" and grant["granted_to"] == "ROLE":
                cursor.execute(
                    f"grant {grant['privilege']} on schema {following} to role "
                    f"{quoted(str(grant['grantee_name']))}"
                )

    def _write(self, cursor: "SnowflakeCursor", publication: Publication) -> None:
        content = {
            "format": _FORMAT,
            "run_id": publication.run_id,
            "published_at": publication.published_at.isoformat(),
            "code_version": publication.code_version,
            "tables": [
                {key: asdict(table)[key] for key in
                 ("schema", "name", "unique_id", "rows", "fingerprint")}
                for table in publication.tables
            ],
        }  # fmt: skip
        cursor.execute(
            f"create or replace transient table {self._name(_NEXT, _RECORD)} as select "
            f"{_text(json.dumps(content))} as content"
        )

    def _read(self, schema: str) -> Publication | None:
        """The record of a schema; None where there is none."""
        if _RECORD not in self._tables(schema):
            return None
        ((text,),) = self.server.ask(f"select content from {self._name(schema, _RECORD)}")
        content = json.loads(str(text))
        if int(content["format"]) > _FORMAT:
            raise PublishError(
                f"{self.location} was published by a newer Headrace: upgrade this one"
            )
        return Publication(
            content["run_id"],
            datetime.fromisoformat(content["published_at"]),
            content["code_version"],
            tuple(PublishedTable(**table) for table in content["tables"]),
        )

    def _keep(
        self,
        cursor: "SnowflakeCursor",
        before: Publication | None,
        now: Publication,
        keep: int,
    ) -> None:
        """Keep what readers had; drop what is older than is kept, and what a killed run left."""
        if before is not None and before.run_id != now.run_id:
            old = f"{OWN_SCHEMA}_{_word(before.run_id)}"
            cursor.execute(f"drop schema if exists {self._name(old)}")
            cursor.execute(f"alter schema {self._name(_NEXT)} rename to {self._name(old)}")
        else:
            cursor.execute(f"drop schema if exists {self._name(_NEXT)}")
        earlier = [one for one in self._kept() if one[1].run_id != now.run_id]
        for schema, _ in earlier[keep:]:
            cursor.execute(f"drop schema if exists {self._name(schema)}")

    def _kept(self) -> list[tuple[str, Publication]]:
        """Schemas of earlier publications, newest first."""
        rows = self.server.ask(
            f"select schema_name from {quoted(self.server.database)}.information_schema.schemata "
            f"where startswith(schema_name, {literal(OWN_SCHEMA + '_')})"
        )
        found = []
        for (schema,) in rows:
            publication = self._read(str(schema)) if schema != _NEXT else None
            if publication is not None:
                found.append((str(schema), publication))
        return sorted(found, key=lambda one: one[1].published_at, reverse=True)

    def _exists(self, schema: str) -> bool:
        return bool(
            self.server.ask(
                f"select 1 from {quoted(self.server.database)}.information_schema.schemata "
                f"where schema_name = {literal(schema.upper())}"
            )
        )

    def _tables(self, schema: str) -> set[str]:
        rows = self.server.ask(
            f"select table_name from {quoted(self.server.database)}.information_schema.tables "
            f"where table_schema = {literal(schema.upper())}"
        )
        return {str(name) for (name,) in rows}

    def _views(self, schemas: set[str]) -> set[str]:
        """What of some schemas is a view, as ``SCHEMA.NAME``: a view cannot be cloned."""
        rows = self.server.ask(
            "select table_schema, table_name from "
            f"{quoted(self.server.database)}.information_schema.tables where table_type = 'VIEW'"
        )
        wanted = {schema.upper() for schema in schemas}
        return {f"{schema}.{name}" for schema, name in rows if schema in wanted}


def _text(value: str) -> str:
    """A literal; Snowflake reads a backslash in one as the beginning of an escape."""
    return literal(value.replace("\\", "\\\\"))


def _word(text: str) -> str:
    return "".join(one if one.isalnum() else "_" for one in text).upper()
