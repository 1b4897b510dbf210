"""The comparison of two files: which tables there are, and what became of each."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.errors import DiffError
from headrace.ingest.sql import identifier, literal
from headrace.quality.diff.columns import Columns, side_by_side
from headrace.quality.diff.compare import Pair
from headrace.quality.diff.report import DiffReport, TableDiff

if TYPE_CHECKING:
    import duckdb

_PREFIX = "headrace_diff_"


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        path: a DuckDB file; None for one that is not there since nothing had to be built.
        label: what it is, for people.
        keys: ``schema.table`` to the columns of its key.
        harmless: ``schema.table`` to the columns whose values may be shown; None for nothing known.
        declared: ``schema.table`` of all that the project would build; None where that is not
            known. What is declared and not there was not built.
    """

    path: Path | None
    label: str
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    harmless: Mapping[str, Collection[str]] | None = None
    declared: Collection[str] | None = None


@dataclass(frozen=True)
class Options:
    """How to compare.

    Attributes:
        schemas: the schemas to compare.
        keys: ``schema.table``, or ``table``, to the columns of a key that somebody named.
        limit: sample rows of each kind and table; 0 for none.
        personal: show values of columns with personal data, or of which nothing is known.
        tolerance: relative, within which floating point numbers are equal; a sum depends on the
            order of its terms.
        memory_limit: DuckDB's.
        spill: the folder that DuckDB spills to; by default beside the working directory.
    """

    schemas: tuple[str, ...] = ("marts",)
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    limit: int = 5
    personal: bool = False
    tolerance: float = 1e-9
    memory_limit: str = "2GB"
    spill: Path | None = None


@dataclass(frozen=True)
class _Relation:
    """A table or view of a file: its quoted name, its columns, and why it cannot be read."""

    quoted: str
    columns: Mapping[str, str]
    unread: str | None = None


def diff(before: Side, after: Side, options: Options = Options()) -> DiffReport:
    """Compare two files.

    Args:
        before: the first.
        after: the second.
        options: how.

    Raises:
        DiffError: a file cannot be opened, a schema is in neither, or a key names no table.
    """
    import duckdb

    started = time.monotonic()
    with _connected(options) as connection:
        first = _relations(connection, before, f"{_PREFIX}a", options.schemas)
        second = _relations(connection, after, f"{_PREFIX}b", options.schemas)
        names = sorted({*first, *second})
        keys = _keys(options, names)
        if not names:
            raise DiffError(
                f"neither {before.label} nor {after.label} has a table in "
                f"{', '.join(options.schemas)}: name another schema by --schema"
            )
        try:
            tables = tuple(
                _compare_readable(
                    connection, name, first.get(name), second.get(name),
                    before=before, after=after, options=options, key=keys.get(name),
                )
                for name in names
            )  # fmt: skip
        except duckdb.Error as error:
            first_line = str(error).strip().splitlines()[0]
            raise DiffError(f"{before.label} and {after.label}: {first_line}") from error
    return DiffReport(
        before=before.label,
        after=after.label,
        schemas=options.schemas,
        tables=tables,
        seconds=time.monotonic() - started,
    )


def _compare_readable(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    first: _Relation | None,
    second: _Relation | None,
    **more: Any,
) -> TableDiff:
    """Compare a table; a view whose tables are elsewhere is said to be unreadable."""
    import duckdb

    try:
        return _compare(connection, name, first, second, **more)
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        why = str(error).strip().splitlines()[0]
        return TableDiff(name=name, status="not compared", notes=(f"cannot be read: {why}",))


def _compare(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    first: _Relation | None,
    second: _Relation | None,
    *,
    before: Side,
    after: Side,
    options: Options,
    key: tuple[str, ...] | None,
) -> TableDiff:
    for relation in (first, second):
        if relation is not None and relation.unread is not None:
            return TableDiff(name=name, status="not compared", notes=(relation.unread,))
    if first is None or second is None:
        return _one_sided(connection, name, first, second, after)
    columns = side_by_side(first.columns, second.columns)
    shown = None if options.personal else _shown(name, columns, before, after)
    pair = Pair(
        connection, first.quoted, second.quoted, columns,
        options.tolerance, options.limit, shown,
    )  # fmt: skip
    asked = key or after.keys.get(name) or before.keys.get(name) or ()
    found = columns.key(asked)
    if key and found is None:
        raise DiffError(
            f"--key {name}={','.join(key)}: it has no such column in both; it has "
            f"{', '.join(one.after for one in columns.common)}"
        )
    rows = pair.rows(found or ())
    rows_before, rows_after = pair.count()
    different = columns.differ or rows.differ
    hidden = () if shown is None else tuple(
        one.after for one in columns.common if one.after.casefold() not in shown
    )  # fmt: skip
    return TableDiff(
        name=name,
        status="changed" if different else "same",
        rows_before=rows_before,
        rows_after=rows_after,
        columns_added=columns.added,
        columns_removed=columns.removed,
        columns_retyped=columns.retyped,
        method=rows.method,
        key=tuple(one.after for one in found or ()),
        rows_added=rows.added,
        rows_removed=rows.removed,
        rows_changed=rows.changed,
        columns_changed=rows.columns,
        samples=rows.samples,
        hidden=hidden if rows.samples else (),
        notes=rows.notes,
    )


def _one_sided(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    first: _Relation | None,
    second: _Relation | None,
    after: Side,
) -> TableDiff:
    if second is not None:
        return TableDiff(name=name, status="added", rows_after=_count(connection, second))
    assert first is not None  # it is in one of the two
    is_declared = after.declared is not None and name in after.declared
    return TableDiff(
        name=name,
        status="not built" if is_declared else "removed",
        rows_before=_count(connection, first),
    )


def _count(connection: "duckdb.DuckDBPyConnection", relation: _Relation) -> int:
    row = connection.execute(f"select count(*) from {relation.quoted}").fetchone()
    return int(row[0]) if row else 0


def _shown(name: str, columns: Columns, before: Side, after: Side) -> set[str]:
    """Folded names of the columns that are harmless on each side that knows of the table."""
    every = {one.after.casefold() for one in columns.common}
    known = [
        {column.casefold() for column in side.harmless[name]}
        for side in (before, after)
        if side.harmless is not None and name in side.harmless
    ]
    return every.intersection(*known) if known else set()


def _keys(options: Options, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found = {}
    for asked, columns in options.keys.items():
        fits = [name for name in names if asked in {name, name.partition(".")[2]}]
        if not fits:
            raise DiffError(
                f"--key {asked}={','.join(columns)}: there is no table {asked}; there are "
                f"{', '.join(names) or 'none'}"
            )
        found.update(dict.fromkeys(fits, columns))
    return found


@contextmanager
def _connected(options: Options) -> "Iterator[duckdb.DuckDBPyConnection]":
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {"memory_limit": options.memory_limit}
    if options.spill is not None:
        config["temp_directory"] = str(options.spill)
    with duckdb.connect(config=config) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set preserve_insertion_order = false")
        yield connection


def _relations(
    connection: "duckdb.DuckDBPyConnection", side: Side, alias: str, schemas: Sequence[str]
) -> dict[str, _Relation]:
    """The tables and views of a file's schemas, by ``schema.table``."""
    import duckdb

    if side.path is None:
        return {}
    if not side.path.is_file():
        raise DiffError(f"there is no file {side.path}: name a DuckDB file or a state folder")
    try:
        connection.execute(f"attach {literal(str(side.path))} as {alias} (read_only)")
    except duckdb.Error as error:
        raise DiffError(_explain(side.path, str(error))) from error
    rows = connection.execute(
        "select schema_name, table_name, column_name, data_type from duckdb_columns() "
        "where database_name = ? and list_contains(?, schema_name) "
        "order by schema_name, table_name, column_index",
        [alias, list(schemas)],
    ).fetchall()
    columns: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, column, kind in rows:
        columns.setdefault((str(schema), str(table)), {})[str(column)] = str(kind)
    views = _views_that_name_their_file(connection, side.path, alias)
    return {
        f"{schema}.{table}": _Relation(
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
        "where database_name = ? and not internal",
        [alias],
    ).fetchall()
    own = (f"{path.stem}.", f"{identifier(path.stem)}.")
    return {
        (str(schema), str(name))
        for schema, name, sql in found
        if any(word.casefold() in str(sql).casefold() for word in own)
    }


def _explain(path: Path, message: str) -> str:
    first = message.strip().splitlines()[0] if message.strip() else "unknown error"
    if "Could not set lock" in message or "being used by another process" in message:
        return (
            f"{path} is open for writing in another program: wait until it has ended, or compare "
            "the published copy"
        )
    return f"{path} cannot be opened as a DuckDB file: {first}"
