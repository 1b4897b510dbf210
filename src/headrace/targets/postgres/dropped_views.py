"""Views on raw tables, through a full refresh, which drops the tables: kept, and made again.

dbt makes its own views again in the next build; those that people have made on raw tables are gone
with them, as PostgreSQL drops a table with what depends on it or not at all. So their definitions
are written down in ``_headrace.dropped_views`` before anything is dropped, and each is made again
after the load, with its grants, comments and owner. A run that is killed in between loses none: the
next load of that source makes them.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headrace.exceptions import first_line
from headrace.sql_text import identifier, qualified
from headrace.targets.postgres.versions import OWN_SCHEMA
from headrace.targets.postgres.views import dependents_of, statements_of
from headrace.targets.server_target import not_made_again, refused_refresh

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

_TABLE = f"""
create table if not exists {OWN_SCHEMA}.dropped_views (
    number bigint generated always as identity primary key,
    raw_schema text not null,
    name text not null unique,
    definition text not null,
    options text,
    statements jsonb not null,
    dropped_at timestamptz not null default now()
)
"""
_IN_THE_WAY = """
select conrelid::regclass::text || ' (foreign key ' || conname || ')'
from pg_constraint
where contype = 'f' and confrelid = any(%(tables)s::oid[]) and conrelid <> all(%(tables)s::oid[])
order by 1
"""


def keep_views(connection: "Connection", schema: str, tables: Sequence[str]) -> None:
    """Write down the views that depend on tables which are about to be dropped.

    Args:
        connection: commits each statement.
        schema: of the tables.
        tables: their names; those that are not there are left out.

    Raises:
        WarehouseError: something depends on them that could not be made again.
    """
    found = connection.execute(
        "select oid from pg_class where relnamespace = to_regnamespace(%s) and relname = any(%s)",
        [identifier(schema), list(tables)],
    ).fetchall()
    oids = [int(oid) for (oid,) in found]
    views = {oid: rest for table in oids for oid, *rest in dependents_of(connection, table)}
    lost = [str(name) for name, kind, *_ in views.values() if kind != "v"]
    lost += [str(name) for (name,) in connection.execute(_IN_THE_WAY, {"tables": oids}).fetchall()]
    rows = connection.execute(
        "select oid::regclass::text || ' (of the role ' || relowner::regrole::text || ')' "
        "from pg_class where oid = any(%s) and not pg_has_role(relowner, 'usage')",
        [list(views)],
    ).fetchall()
    lost += [str(name) for (name,) in rows]
    if lost:
        raise refused_refresh(schema, lost)
    if not views:
        return
    with connection.transaction():
        connection.execute(_TABLE.encode())
        for oid, (name, _, definition, options) in views.items():
            owner = connection.execute(
                "select 'alter view ' || oid::regclass || ' owner to ' || relowner::regrole "
                "from pg_class where oid = %s",
                [oid],
            ).fetchone()
            assert owner is not None
            statements = [*statements_of(connection, oid), (str(owner[0]), None)]
            connection.execute(
                f"insert into {OWN_SCHEMA}.dropped_views "
                "(raw_schema, name, definition, options, statements) values (%s, %s, %s, %s, %s) "
                "on conflict (name) do update set definition = excluded.definition, "
                "options = excluded.options, statements = excluded.statements".encode(),
                [schema, name, definition, options or None, json.dumps(statements)],
            )


def make_views_again(connection: "Connection", schema: str) -> list[str]:
    """Make the views again that a full refresh of a raw schema has dropped.

    Args:
        connection: commits each statement.
        schema: of the raw tables.

    Returns:
        A line about each that cannot be made, as a column is gone; its definition stays.
    """
    import psycopg

    there = connection.execute(
        "select to_regclass(%s) is not null", [f"{OWN_SCHEMA}.dropped_views"]
    ).fetchone()
    if there != (True,):
        return []
    kept = connection.execute(
        f"select number, name, definition, options, statements from {OWN_SCHEMA}.dropped_views "
        "where raw_schema = %s order by number".encode(),
        [schema],
    ).fetchall()
    notes = []
    for number, name, definition, options, statements in kept:
        try:
            with connection.transaction():
                is_there = connection.execute("select to_regclass(%s) is not null", [name])
                if is_there.fetchone() != (True,):  # or made again by hand, or never dropped
                    given = f" with ({options})" if options else ""
                    connection.execute(f"create view {name}{given} as {definition}".encode())
                    for sql, _ in statements:
                        connection.execute(str(sql).encode())
                table = qualified(OWN_SCHEMA, "dropped_views")
                connection.execute(f"delete from {table} where number = %s".encode(), [number])
        except psycopg.Error as error:
            said = first_line(error.diag.message_primary or error)
            notes.append(not_made_again(name, said, f"{OWN_SCHEMA}.dropped_views"))
    return notes
