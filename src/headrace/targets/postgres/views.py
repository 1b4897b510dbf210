"""The views that readers of PostgreSQL have: made once, and replaced when columns change.

`create or replace view` keeps grants, comments and the views that depend on it, and can only add
columns at the end. For any other change the view is dropped and made again, with its grants, and
the views of others that depend on it around that, all in one transaction.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.errors import PublishError
from headrace.exceptions import first_line
from headrace.sql_text import identifier, literal, qualified
from headrace.targets.publication import BuiltTable

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

_WAIT_MS = 100  # that readers of a view may have to wait, if another reader has it open
PATIENCE_S = 60.0
_PAUSE_S = 0.5


@dataclass(frozen=True)
class PostgresView:
    """A view.

    Attributes:
        schema: where it is.
        name: its name.
        select: what it selects.
    """

    schema: str
    name: str
    select: str

    @property
    def full_name(self) -> str:
        """``schema.name``."""
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        """The name in SQL."""
        return qualified(self.schema, self.name)

    def describe(self, connection: "Connection", table: BuiltTable) -> None:
        """Give it dbt's descriptions as comments; a comment that somebody else wrote stays."""
        if table.description:
            connection.execute(
                f"comment on view {self.quoted} is {literal(table.description)}".encode()
            )
        there = connection.execute(
            "select attname from pg_attribute where attrelid = to_regclass(%s) and attnum > 0",
            [self.quoted],
        ).fetchall()
        for (column,) in there:
            text = table.columns.get(column)
            if text:
                connection.execute(
                    f"comment on column {self.quoted}.{identifier(column)} "
                    f"is {literal(text)}".encode()
                )


def patiently(connection: "Connection", schema: str, do: Callable[[], None]) -> None:
    """Do a transaction that may replace views, as soon as no reader is in its way.

    To replace a view takes a lock on it, and who waits for one holds up those who come later. So it
    is waited for a fraction of a second, again and again.

    Raises:
        PublishError: a reader had a view open for a minute; it names the reader.
    """
    import psycopg

    deadline = time.monotonic() + PATIENCE_S
    connection.execute(f"set lock_timeout = {_WAIT_MS}".encode())
    try:
        while True:
            try:
                do()
            except psycopg.errors.LockNotAvailable:
                if time.monotonic() > deadline:
                    raise PublishError(_in_the_way(connection, schema)) from None
                time.sleep(_PAUSE_S)
            else:
                return
    finally:
        with suppress(psycopg.Error):
            connection.execute("set lock_timeout = 0")


def _in_the_way(connection: "Connection", schema: str) -> str:
    row = connection.execute(
        "select c.relname, a.pid, coalesce(nullif(a.application_name, ''), a.usename), "
        "coalesce(a.state, ''), a.xact_start at time zone 'UTC' "
        "from pg_locks as l inner join pg_class as c on c.oid = l.relation "
        "inner join pg_namespace as n on n.oid = c.relnamespace "
        "inner join pg_stat_activity as a on a.pid = l.pid "
        "where l.granted and n.nspname = %s and l.pid <> pg_backend_pid() "
        "order by a.xact_start limit 1",
        [schema],
    ).fetchone()
    why = f"a view of the schema {schema} gets other columns, and a reader has it open"
    if row is not None:
        name, pid, who, state, since = row
        began = f", since {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""
        why = (
            f"{schema}.{name} gets other columns, and `{who}` has it open ({state}{began}): end it "
            f"(select pg_terminate_backend({pid}))"
        )
    return f"{why}; then run `headrace publish`; readers have what they had"


def make_view(connection: "Connection", view: PostgresView, *, is_new: bool) -> None:
    """Make a view, or replace it so that grants, comments and dependent views stay.

    Args:
        connection: within a transaction.
        view: what it is to be.
        is_new: whether Headrace has not made it yet.

    Raises:
        PublishError: there is something else of that name, or a view that depends on it cannot be
            made on the new columns.
    """
    import psycopg

    kind = _kind(connection, view.schema, view.name)
    if kind is not None and (is_new or kind != "v"):
        raise PublishError(
            f"there is a relation {view.full_name} that Headrace did not make: rename it, or set "
            "published_schema of the target to another schema"
        )
    try:
        with connection.transaction():
            connection.execute(f"create or replace view {view.quoted} as {view.select}".encode())
    except psycopg.errors.InvalidTableDefinition:  # not just columns at the end
        _make_again(connection, view)


def drop_view(connection: "Connection", schema: str, name: str) -> None:
    """Drop a view of a mart that is gone.

    Raises:
        PublishError: another view depends on it.
    """
    import psycopg

    try:
        with connection.transaction():
            connection.execute(f"drop view if exists {qualified(schema, name)}".encode())
    except psycopg.errors.DependentObjectsStillExist as error:
        raise PublishError(
            f"the mart of {schema}.{name} is gone, and other objects depend on that view "
            f"({_detail(error)}): drop them, or bring the mart back; readers have what they had"
        ) from error


def _kind(connection: "Connection", schema: str, name: str) -> str | None:
    row = connection.execute(
        "select relkind::text from pg_class where oid = to_regclass(%s)",
        [qualified(schema, name)],
    ).fetchone()
    return str(row[0]) if row else None


def _detail(error: "psycopg.Error") -> str:
    return first_line(error.diag.message_detail or error.diag.message_primary or error)


def _make_again(connection: "Connection", view: PostgresView) -> None:
    """Drop a view and make it with other columns; likewise the views that depend on it."""
    import psycopg

    row = connection.execute("select to_regclass(%s)::oid", [view.quoted]).fetchone()
    assert row is not None
    others = dependents_of(connection, int(row[0]))
    for _, name, kind, *_ in others:
        if kind != "v":
            raise PublishError(
                f"{view.full_name} gets other columns, and {name}, which depends on it, is no view "
                "that could be made again: drop it, run `headrace publish`, and create it again"
            )
    kept = [statements_of(connection, int(oid)) for oid, *_ in others]
    own = statements_of(connection, int(row[0]))
    try:
        for _, name, *_ in reversed(others):
            connection.execute(f"drop view {name}".encode())
        connection.execute(f"drop view {view.quoted}".encode())
    except psycopg.errors.DependentObjectsStillExist as error:
        raise PublishError(
            f"{view.full_name} gets other columns, and other objects depend on it "
            f"({_detail(error)}): drop them, run `headrace publish`, and create them again"
        ) from error
    connection.execute(f"create view {view.quoted} as {view.select}".encode())
    _run(connection, own)
    for (_, name, _, definition, options), statements in zip(others, kept, strict=True):
        given = f" with ({options})" if options else ""
        try:
            connection.execute(f"create view {name}{given} as {definition}".encode())
            _run(connection, statements)
        except psycopg.Error as error:
            said = first_line(error.diag.message_primary or error)
            raise PublishError(
                f"{view.full_name} has other columns now, and the view {name}, which reads it, "
                f"cannot be made on them ({said}): change or drop it, then run `headrace publish`; "
                "readers have what they had"
            ) from error


_DEPENDENTS = """
with recursive found (oid, depth) as (
    select %s::oid, 0
    union
    select rules.ev_class, found.depth + 1
    from found
    inner join pg_depend as d
        on d.refobjid = found.oid
        and d.refclassid = 'pg_class'::regclass
        and d.classid = 'pg_rewrite'::regclass
    inner join pg_rewrite as rules on rules.oid = d.objid
    where rules.ev_class <> found.oid
)
select
    c.oid, c.oid::regclass::text, c.relkind::text, rtrim(pg_get_viewdef(c.oid), ';'),
    array_to_string(c.reloptions, ', ')
from (select oid, max(depth) as depth from found where depth > 0 group by oid) as deepest
inner join pg_class as c on c.oid = deepest.oid
order by deepest.depth, c.oid
"""
_STATEMENTS = """
with v as (select oid, oid::regclass::text as name, relowner, relacl from pg_class where oid = %s)
select 'grant ' || privilege_type || ' on ' || v.name || ' to '
    || case grantee when 0 then 'public' else grantee::regrole::text end
    || case when is_grantable then ' with grant option' else '' end, null::text
from v cross join aclexplode(v.relacl)
where grantee <> v.relowner
union all
select 'grant ' || privilege_type || ' (' || quote_ident(attname) || ') on ' || v.name || ' to '
    || case grantee when 0 then 'public' else grantee::regrole::text end
    || case when is_grantable then ' with grant option' else '' end, attname::text
from v inner join pg_attribute on attrelid = v.oid cross join aclexplode(attacl)
union all
select 'comment on view ' || v.name || ' is '
    || quote_literal(obj_description(v.oid, 'pg_class')), null
from v where obj_description(v.oid, 'pg_class') is not null
union all
select 'comment on column ' || v.name || '.' || quote_ident(attname) || ' is '
    || quote_literal(col_description(v.oid, attnum)), attname::text
from v inner join pg_attribute on attrelid = v.oid
where attnum > 0 and col_description(v.oid, attnum) is not null
"""


def dependents_of(connection: "Connection", oid: int) -> list[tuple[Any, ...]]:
    """Views and materialized views on a relation, and those on them, in the order to make them.

    Returns:
        oid, quoted name, ``relkind``, what it selects, and its options, of each.
    """
    return connection.execute(_DEPENDENTS, [oid]).fetchall()


def statements_of(connection: "Connection", oid: int) -> list[tuple[str, str | None]]:
    """Statements that give a view its grants and comments again, each with the column it is of."""
    return [(str(sql), column) for sql, column in connection.execute(_STATEMENTS, [oid]).fetchall()]


def _run(connection: "Connection", statements: list[tuple[str, str | None]]) -> None:
    """Run them; what is of a column that is gone, is gone with it."""
    import psycopg

    for sql, column in statements:
        try:
            with connection.transaction():
                connection.execute(sql.encode())
        except psycopg.errors.UndefinedColumn:
            if column is None:
                raise
