"""A side of a comparison: the file, what is known of it, its tables; and the options."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.errors import DiffError
from headrace.sql_text import identifier, literal, qualified, scalar
from headrace.targets.duckdb import explain_duckdb_error

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Side:
    """One of the two databases.

    Attributes:
        path: a DuckDB file; None where none exists, because nothing had to be built.
        label: what to call it in messages.
        attach: attaches what is no file under a name; its errors are HeadraceErrors.
        keys: ``schema.table`` to the columns of its key.
        harmless: ``schema.table`` to the columns whose values may be shown; None for nothing known.
        declared: ``schema.table`` of everything that the project would build; None where that is
            not known. A declared table that does not exist was not built.
        readers: ``schema.table`` to the labels of the models and exposures downstream of it.
    """

    path: Path | None
    label: str
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    harmless: Mapping[str, Collection[str]] | None = None
    declared: Collection[str] | None = None
    readers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    attach: "Callable[[duckdb.DuckDBPyConnection, str], object] | None" = None


@dataclass(frozen=True)
class DiffOptions:
    """How to compare.

    Attributes:
        schemas: the schemas to compare.
        tables: ``schema.table``: compare these alone; None for all.
        keys: ``schema.table``, or ``table``, to the columns of a key that the user named.
        ignored: names of columns that are not compared, in any table.
        limit: sample rows per kind and table; 0 for none.
        personal: also show values of columns that hold personal data, or may do so.
        tolerance: relative difference up to which floating-point numbers are equal; a sum depends
            on the order of its terms.
        memory_limit: DuckDB's.
        spill: the folder that DuckDB spills to; by default in the working directory.
        stop: when it is set, by another thread, the comparison ends with an error.
    """

    schemas: tuple[str, ...] = ("marts",)
    tables: Collection[str] | None = None
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    limit: int = 5
    personal: bool = False
    tolerance: float = 1e-9
    memory_limit: str = "2GB"
    spill: Path | None = None
    stop: threading.Event | None = None


@dataclass(frozen=True)
class AttachedTable:
    """A table or view of an attached file: its quoted name, its columns (name to type), and why it
    cannot be read."""

    quoted: str
    columns: Mapping[str, str]
    unread: str | None = None

    def count(self, connection: "duckdb.DuckDBPyConnection") -> int:
        """The number of its rows."""
        return scalar(connection, f"select count(*) from {self.quoted}")


def attached(
    connection: "duckdb.DuckDBPyConnection", side: Side, alias: str, schemas: Sequence[str]
) -> dict[str, AttachedTable]:
    """Attach a file, and list the tables and views of ``schemas``, by ``schema.table``.

    Raises:
        DiffError: it does not exist, or cannot be opened.
    """
    import duckdb

    if side.attach is not None:
        if not side.attach(connection, alias):
            raise DiffError(f"{side.label} does not exist yet: run `headrace run` first")
    elif side.path is None:
        return {}
    elif not side.path.is_file():
        raise DiffError(f"there is no file {side.path}: name a DuckDB file or a state folder")
    else:
        try:
            connection.execute(f"attach {literal(str(side.path))} as {alias} (read_only)")
        except duckdb.Error as error:
            raise DiffError(explain_duckdb_error(side.path, str(error), rebuilt=False)) from error
    # written out: with a parameter, DuckDB imports pandas, which takes half a second
    listed = ", ".join(literal(schema) for schema in schemas)
    rows = connection.execute(
        "select schema_name, table_name, column_name, data_type from duckdb_columns() "
        f"where database_name = {literal(alias)} and schema_name in ({listed}) "
        "order by schema_name, table_name, column_index"
    ).fetchall()
    columns: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, column, kind in rows:
        columns.setdefault((str(schema), str(table)), {})[str(column)] = str(kind)
    # what is attached otherwise reads what it names
    views = _views_that_name_their_file(connection, side.path, alias) if side.path else set()
    return {
        f"{schema}.{table}": AttachedTable(
            qualified(alias, schema, table),
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
    """Views that name their own database, and would read another file here, or fail."""
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
