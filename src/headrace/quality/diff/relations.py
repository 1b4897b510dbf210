"""The tables and views of a DuckDB file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.errors import DiffError
from headrace.quality.diff.side import Side
from headrace.sql_text import identifier, literal, scalar
from headrace.targets.duckdb_errors import explain_duckdb_error

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Relation:
    """A table or view of a file: its quoted name, its columns, and why it cannot be read."""

    quoted: str
    columns: Mapping[str, str]
    unread: str | None = None

    def count(self, connection: "duckdb.DuckDBPyConnection") -> int:
        """Its rows."""
        return scalar(connection, f"select count(*) from {self.quoted}")


def attached(
    connection: "duckdb.DuckDBPyConnection", side: Side, alias: str, schemas: Sequence[str]
) -> dict[str, Relation]:
    """Attach a file, and list the tables and views of its schemas, by ``schema.table``.

    Raises:
        DiffError: it is not there, or cannot be opened.
    """
    import duckdb

    if side.path is None:
        return {}
    if not side.path.is_file():
        raise DiffError(f"there is no file {side.path}: name a DuckDB file or a state folder")
    try:
        connection.execute(f"attach {literal(str(side.path))} as {alias} (read_only)")
    except duckdb.Error as error:
        raise DiffError(explain_duckdb_error(side.path, str(error), rebuilt=False)) from error
    # written out, for a parameter has DuckDB import pandas: half a second
    listed = ", ".join(literal(schema) for schema in schemas)
    rows = connection.execute(
        "select schema_name, table_name, column_name, data_type from duckdb_columns() "
        f"where database_name = {literal(alias)} and schema_name in ({listed}) "
        "order by schema_name, table_name, column_index"
    ).fetchall()
    columns: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, column, kind in rows:
        columns.setdefault((str(schema), str(table)), {})[str(column)] = str(kind)
    views = _views_that_name_their_file(connection, side.path, alias)
    return {
        f"{schema}.{table}": Relation(
            ".".join(identifier(part) for part in (alias, schema, table)),
            found,
            "a view, which names its own database: compare published copies or state folders"
            if (schema, table) in views
            else None,
        )
        for (schema, table), found in columns.items()
    }


def _views_that_name_their_file(
    connection: "duckdb.DuckDBPyConnection", path: Path, alias: str
) -> set[tuple[str, str]]:
    """Views that would read another file here, or nothing."""
    found = connection.execute(
        "select schema_name, view_name, sql from duckdb_views() "
        f"where database_name = {literal(alias)} and not internal"
    ).fetchall()
    own = (f"{path.stem}.", f"{identifier(path.stem)}.")
    return {
        (str(schema), str(name))
        for schema, name, sql in found
        if any(word.casefold() in str(sql).casefold() for word in own)
    }
