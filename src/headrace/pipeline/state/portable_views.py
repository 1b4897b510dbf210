"""Views of a database, rewritten so that they can be read under any name of it.

dbt's views name it (``warehouse.staging.orders``), so that in a copy that is attached under another
name they would read the original, or nothing. DuckDB looks up a name without a database in the
view's own; so the names lose theirs. DuckDB itself parses and writes the SQL.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.libraries.duckdb import objects_in, parsed
from headrace.sql_text import identifier, literal

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Views:
    """The views of a database after the rewrite.

    Attributes:
        rewritten: views whose names lost their database.
        tables: views that are tables now, since they could not be rewritten.
    """

    rewritten: tuple[str, ...]
    tables: tuple[str, ...]


def make_portable(connection: "duckdb.DuckDBPyConnection", database: str) -> Views:
    """Rewrite the views of the database that a connection uses.

    Args:
        connection: that uses it, under the name that the views know it by.
        database: that name.
    """
    import duckdb

    found = connection.execute(
        "select schema_name, view_name, sql from duckdb_views() "
        "where not internal and database_name = current_database() order by all"
    ).fetchall()
    rewritten, tables = [], []
    for schema, name, sql in found:
        relation = f"{identifier(schema)}.{identifier(name)}"
        body = without_database(connection, _body(str(sql)), database)
        if body is None:
            tables.append((schema, name, relation))
            continue
        comment = _comment(connection, schema, name)
        try:
            names = _names(str(sql))
            connection.execute(f"create or replace view {relation}{names} as {body}")
        except duckdb.Error:
            tables.append((schema, name, relation))
            continue
        if comment is not None:
            connection.execute(f"comment on view {relation} is {literal(comment)}")
        rewritten.append(f"{schema}.{name}")
    for _, name, relation in tables:
        passing = identifier(f"__{name}")
        connection.execute(f"create temp table {passing} as from {relation}")
        connection.execute(f"drop view {relation}")
        connection.execute(f"create table {relation} as from temp.{passing}")
        connection.execute(f"drop table temp.{passing}")
    return Views(tuple(rewritten), tuple(f"{schema}.{name}" for schema, name, _ in tables))


def without_database(
    connection: "duckdb.DuckDBPyConnection", select: str, database: str
) -> str | None:
    """A select without the name of a database; None if DuckDB cannot serialize it."""
    import duckdb

    try:
        tree = parsed(connection, select)
        if tree is None:
            return None
        _strip(tree, database.casefold())
        row = connection.execute(
            "select json_deserialize_sql(?::json)", [json.dumps(tree)]
        ).fetchone()
    except (duckdb.Error, ValueError):
        return None
    return str(row[0]) if row else None


def _strip(tree: Any, database: str) -> None:
    for node in objects_in(tree):
        catalog = node.get("catalog_name")
        if isinstance(catalog, str) and catalog.casefold() == database:
            node["catalog_name"] = ""
        names = node.get("column_names")
        if isinstance(names, list) and len(names) == 4 and str(names[0]).casefold() == database:
            node["column_names"] = names[1:]


def _body(view: str) -> str:
    """The select of ``CREATE VIEW name (columns) AS select;``."""
    _, _, body = view.partition(" AS ")
    return body.strip().rstrip(";")


def _names(view: str) -> str:
    """The list of column names of ``CREATE VIEW name (columns) AS select;``, or nothing."""
    head, _, _ = view.partition(" AS ")
    _, opened, names = head.partition("(")
    return f" ({names}" if opened else ""


def _comment(connection: "duckdb.DuckDBPyConnection", schema: str, name: str) -> str | None:
    row = connection.execute(
        "select comment from duckdb_views() where schema_name = ? and view_name = ? "
        "and database_name = current_database()",
        [schema, name],
    ).fetchone()
    return str(row[0]) if row and row[0] is not None else None
