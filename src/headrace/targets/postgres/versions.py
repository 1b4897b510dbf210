"""What PostgreSQL keeps of publications: versions of the marts as tables, and the rows about them.

See ``headrace.targets.postgres.publisher`` for how readers come to them.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from headrace.errors import PublishError
from headrace.sql_text import identifier, identifiers, qualified
from headrace.targets.publication import BuiltTable, Publication, PublishedTable

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

OWN_SCHEMA = "_headrace"
"""Of the database: what was published, by version, and Headrace's own tables."""

FORMAT = 1
"""Of what is in that schema; the schema's comment says it."""

VERSION_COLUMN = "_headrace_version"
_LONGEST = 63
_OWN_TABLES = f"""
create schema if not exists {OWN_SCHEMA};
comment on schema {OWN_SCHEMA} is 'Headrace, format {FORMAT}: what was published, by version';
create sequence if not exists {OWN_SCHEMA}.versions;
create table if not exists {OWN_SCHEMA}.publications (
    number bigint generated always as identity primary key,
    run_id text not null,
    published_at timestamptz not null,
    code_version text not null,
    tables jsonb not null
);
create table if not exists {OWN_SCHEMA}.pointers (
    table_name text primary key,
    parent bigint not null,
    version bigint not null
);
"""


def create_own_tables(connection: "Connection") -> None:
    """Create what Headrace keeps of publications, where it is not there yet."""
    there = connection.execute(
        "select to_regclass(%s) is not null", [f"{OWN_SCHEMA}.pointers"]
    ).fetchone()
    if there == (True,):
        return
    with connection.transaction():
        connection.execute(_OWN_TABLES.encode())


@dataclass(frozen=True)
class Stored:
    """A published table and where its rows are.

    Attributes:
        table: the table.
        parent: the number of the partitioned table.
        version: of the rows.
    """

    table: PublishedTable
    parent: int
    version: int

    @property
    def parent_name(self) -> str:
        """Of the partitioned table, in Headrace's schema."""
        return _named("p", self.parent, self.table.name)

    @property
    def version_name(self) -> str:
        """Of the partition, in Headrace's schema."""
        return _named("v", self.version, self.table.name)


@dataclass(frozen=True)
class PublicationRow:
    """A row of ``publications``."""

    number: int
    publication: Publication
    stored: dict[str, Stored]


def _named(kind: str, number: int, name: str) -> str:
    """A name that says what it is of, within what the server keeps of a name."""
    return f"{kind}{number}_{name}".encode()[:_LONGEST].decode(errors="ignore")


def tables_of(stored: Stored) -> tuple[str, str]:
    return stored.parent_name, stored.version_name


def shape_of(connection: "Connection", schema: str, name: str) -> list[tuple[str, str]]:
    """Columns and their types; empty where there is no such relation."""
    rows = connection.execute(
        "select a.attname, format_type(a.atttypid, a.atttypmod) || coalesce(' ' || "
        "(select collname from pg_collation where oid = a.attcollation and collname <> 'default'), "
        "'') from pg_attribute as a where a.attrelid = to_regclass(%s) and a.attnum > 0 "
        "and not a.attisdropped order by a.attnum",
        [qualified(schema, name)],
    ).fetchall()
    return [(str(column), str(kind)) for column, kind in rows]


def publications(connection: "Connection", most: int | None) -> list[PublicationRow]:
    """The publications, newest first; none before the first."""
    there = connection.execute(
        "select to_regclass(%s) is not null", [f"{OWN_SCHEMA}.publications"]
    ).fetchone()
    if there != (True,):
        return []
    limit = "" if most is None else f" limit {most}"
    rows = connection.execute(
        "select number, run_id, published_at, code_version, tables "
        f"from {OWN_SCHEMA}.publications order by number desc{limit}".encode()
    ).fetchall()
    found = []
    for number, run_id, at, code_version, tables in rows:
        stored = {}
        for fields in tables:
            parent, version = int(fields.pop("parent")), int(fields.pop("version"))
            table = PublishedTable(**fields)
            stored[table.full_name] = Stored(table, parent, version)
        of = tuple(one.table for one in stored.values())
        publication = Publication(run_id, at.astimezone(UTC), code_version, of)
        found.append(PublicationRow(int(number), publication, stored))
    return found


def copied(connection: "Connection", table: BuiltTable, before: Stored | None) -> Stored:
    """Copy a mart into a new version; nobody sees it yet."""
    row = connection.execute(f"select nextval('{OWN_SCHEMA}.versions')".encode()).fetchone()
    assert row is not None
    version = int(row[0])
    source = qualified(table.schema, table.name)
    shape = shape_of(connection, table.schema, table.name)
    wanted = [*shape, (VERSION_COLUMN, "bigint")]
    parent = None
    if before is not None and shape_of(connection, OWN_SCHEMA, before.parent_name) == wanted:
        parent = before.parent
    stored = Stored(table, parent or version, version)
    above = qualified(OWN_SCHEMA, stored.parent_name)
    name = qualified(OWN_SCHEMA, stored.version_name)
    if parent is None:
        connection.execute(
            f"create table {above} (like {source}, {VERSION_COLUMN} bigint not null) "
            f"partition by list ({VERSION_COLUMN})".encode()
        )
        for column, _ in shape:  # a later version may have nulls
            connection.execute(
                f"alter table {above} alter column {identifier(column)} drop not null".encode()
            )
    connection.execute(
        f"create table {name} (like {source} including indexes including storage "
        f"including compression, {VERSION_COLUMN} bigint not null default {version} "
        f"check ({VERSION_COLUMN} = {version}))".encode()
    )
    columns = identifiers(column for column, _ in shape)
    copied = connection.execute(
        f"insert into {name} ({columns}) select {columns} from {source}".encode()
    ).rowcount
    if copied != table.rows:
        raise PublishError(
            f"{table.full_name} has {copied:,} rows now, not {table.rows:,}: another program "
            "writes it; nothing was published; run again"
        )
    connection.execute(f"analyze {name}".encode())
    connection.execute(
        f"alter table {above} attach partition {name} for values in ({version})".encode()
    )
    return stored


def point(connection: "Connection", stored: dict[str, Stored]) -> None:
    pointers = [(name, one.parent, one.version) for name, one in stored.items()]
    with connection.cursor() as cursor:
        cursor.execute(
            f"delete from {OWN_SCHEMA}.pointers where table_name <> all(%s)".encode(),
            [list(stored)],
        )
        cursor.executemany(
            f"insert into {OWN_SCHEMA}.pointers as p values (%s, %s, %s) on conflict (table_name) "
            "do update set parent = excluded.parent, version = excluded.version "
            "where (p.parent, p.version) <> (excluded.parent, excluded.version)".encode(),
            pointers,
        )


def note(connection: "Connection", publication: Publication, stored: dict[str, Stored]) -> None:
    plain = ("schema", "name", "unique_id", "rows", "fingerprint")
    tables = [
        {key: value for key, value in asdict(one.table).items() if key in plain}
        | {"parent": one.parent, "version": one.version}
        for one in stored.values()
    ]
    connection.execute(
        f"insert into {OWN_SCHEMA}.publications (run_id, published_at, code_version, tables) "
        "values (%s, %s, %s, %s)".encode(),
        [
            publication.run_id,
            publication.published_at,
            publication.code_version,
            json.dumps(tables),
        ],
    )


def own_tables(connection: "Connection") -> list[tuple[str, str | None, bool]]:
    """Versions, then partitioned tables: name, the table that it is a partition of, and whether
    it is being taken out of it."""
    return [
        (str(name), parent, bool(is_pending))
        for name, parent, is_pending in connection.execute(
            "select c.relname, p.relname, coalesce(i.inhdetachpending, false) from pg_class as c "
            "left join pg_inherits as i on i.inhrelid = c.oid "
            "left join pg_class as p on p.oid = i.inhparent "
            "where c.relnamespace = (select oid from pg_namespace where nspname = %s) "
            "and c.relkind in ('r', 'p') and c.relname ~ '^[vp][0-9]+_' "
            "order by not coalesce(i.inhdetachpending, false), c.relkind = 'p', c.oid",
            [OWN_SCHEMA],
        ).fetchall()
    ]
