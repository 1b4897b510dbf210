"""Views on raw tables, through a full refresh, which drops the tables: kept, and made again.

As in ``headrace.targets.postgres.dropped_views``: ordinary views go with the tables that they read,
so their definitions are written down in ``_headrace.dropped_views`` before anything is dropped, and
each is made again after the load, with its owner, grants and comment. Views that are bound late
stay where they are.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.exceptions import first_line
from headrace.sql_text import identifier, qualified
from headrace.targets.redshift.grants import grants_of
from headrace.targets.redshift.server import OWN_SCHEMA, driver, rows_of, run, text, transaction
from headrace.targets.server_target import not_made_again, refused_refresh

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

_DROPPED = f"{OWN_SCHEMA}.dropped_views"
_TABLE = f"""
create table if not exists {_DROPPED} (
    number bigint not null,
    raw_schema varchar(127) not null,
    view_schema varchar(127) not null,
    view_name varchar(127) not null,
    definition varchar(65535) not null,
    statements varchar(65535) not null
)
"""


@dataclass(frozen=True)
class _View:
    oid: int
    schema: str
    name: str
    definition: str
    owner: str
    comment: str | None

    @property
    def quoted(self) -> str:
        return qualified(self.schema, self.name)


def keep_views(connection: "Connection", schema: str, names: Sequence[str]) -> None:
    """Write down the views that depend on tables which are about to be dropped.

    Args:
        connection: commits each statement.
        schema: of the tables.
        names: theirs; those that are not there are left out.

    Raises:
        WarehouseError: one could not be made again.
    """
    listed = ", ".join(map(text, names))
    tables = rows_of(
        connection,
        "select c.oid::bigint from pg_class as c "
        "inner join pg_namespace as n on n.oid = c.relnamespace "
        f"where n.nspname = {text(schema)} and c.relname in ({listed})",
    )
    views = _dependents(connection, [int(oid) for (oid,) in tables])
    if not views:
        return
    ((user,),) = rows_of(connection, "select current_user")
    is_super = rows_of(
        connection, "select 1 from pg_user where usename = current_user and usesuper"
    )
    lost = [
        f"{view.schema}.{view.name}" + ("" if view.owner == user else f" (of {view.owner})")
        for view in views
        if (view.owner != user and not is_super)
        or re.match(r"\s*create\s+materialized", view.definition, re.IGNORECASE)
    ]
    if lost:
        raise refused_refresh(schema, lost)
    run(connection, _TABLE)
    with transaction(connection):
        ((number,),) = rows_of(connection, f"select coalesce(max(number), 0) from {_DROPPED}")
        for place, view in enumerate(views, int(number) + 1):
            statements = grants_of(connection, view.schema, view.name)
            if view.comment:
                statements.append(f"comment on view {view.quoted} is {text(view.comment)}")
            if view.owner != user:
                statements.append(f"alter table {view.quoted} owner to {identifier(view.owner)}")
            _forget(connection, view.schema, view.name)
            values = (schema, view.schema, view.name, view.definition, json.dumps(statements))
            run(
                connection,
                f"insert into {_DROPPED} values ({place}, {', '.join(map(text, values))})",
            )


def _dependents(connection: "Connection", tables: Sequence[int]) -> list[_View]:
    """Views on tables, and those on them, in the order to make them."""
    found: dict[int, _View] = {}
    above = list(tables)
    while above:
        rows = rows_of(
            connection,
            "select distinct c.oid::bigint, n.nspname, c.relname, pg_get_viewdef(c.oid), "
            "pg_get_userbyid(c.relowner), obj_description(c.oid, 'pg_class') "
            "from pg_depend as d inner join pg_rewrite as r on r.oid = d.objid "
            "inner join pg_class as c on c.oid = r.ev_class "
            "inner join pg_namespace as n on n.oid = c.relnamespace "
            f"where c.relkind = 'v' and d.refobjid in ({', '.join(map(str, above))}) "
            "and c.oid <> d.refobjid",
        )
        views = [_View(int(oid), *rest) for oid, *rest in rows]
        for view in views:  # what is on another of them comes after it
            found.pop(view.oid, None)
            found[view.oid] = view
        above = [view.oid for view in views]
    return list(found.values())


def make_views_again(connection: "Connection", schema: str) -> list[str]:
    """Make the views again that a full refresh of a raw schema has dropped.

    Args:
        connection: commits each statement.
        schema: of the raw tables.

    Returns:
        A line about each that cannot be made, as a column is gone; its definition stays.
    """
    there = rows_of(
        connection,
        f"select 1 from svv_tables where table_schema = {text(OWN_SCHEMA)} "
        "and table_name = 'dropped_views'",
    )
    kept = there and rows_of(
        connection,
        f"select view_schema, view_name, definition, statements from {_DROPPED} "
        f"where raw_schema = {text(schema)} order by number",
    )
    notes = []
    for view_schema, name, definition, statements in kept:
        is_there = rows_of(
            connection,
            f"select 1 from svv_tables where table_schema = {text(view_schema)} "
            f"and table_name = {text(name)}",
        )
        try:
            with transaction(connection):
                if not is_there:  # or made again by hand, or never dropped
                    body = str(definition).rstrip().rstrip(";")
                    run(connection, f"create view {qualified(view_schema, name)} as {body}")
                    for sql in json.loads(statements):
                        run(connection, sql)
                _forget(connection, view_schema, name)
        except driver().Error as error:
            notes.append(not_made_again(f"{view_schema}.{name}", first_line(error), _DROPPED))
    return notes


def _forget(connection: "Connection", schema: str, name: str) -> None:
    run(
        connection,
        f"delete from {_DROPPED} where view_schema = {text(schema)} and view_name = {text(name)}",
    )
