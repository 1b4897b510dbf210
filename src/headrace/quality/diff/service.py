"""The comparison of two DuckDB files.

two files ─► side: their tables, by name ─► table: columns, and rows ─► report
                                                       │
                                      rows: hashes, key, or whole rows
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from headrace.errors import DiffError
from headrace.exceptions import first_line
from headrace.libraries.duckdb import connect
from headrace.quality.diff.report import DIFFERENT, DiffReport, TableDiff
from headrace.quality.diff.side import AttachedTable, DiffOptions, Side, attached
from headrace.quality.diff.table import compare_table

if TYPE_CHECKING:
    import duckdb

_PREFIX = "headrace_diff_"
_STOP_SECONDS = 0.05
_DEFAULTS = DiffOptions()


def diff(before: Side, after: Side, options: DiffOptions = _DEFAULTS) -> DiffReport:
    """Compare two files.

    Args:
        before: the first file.
        after: the second file.
        options: how to compare them.

    Raises:
        DiffError: a file cannot be opened, a schema is in neither, or an option names no
            table or column.
    """
    import duckdb

    started = time.monotonic()
    try:
        with _connected(options) as connection:
            tables = _compared(connection, before, after, options)
    except duckdb.Error as error:
        message = f"{before.label} and {after.label}: {first_line(error)}"
        raise DiffError(message) from error
    return DiffReport(
        before=before.label,
        after=after.label,
        schemas=options.schemas,
        tables=tables,
        seconds=time.monotonic() - started,
    )


def _compared(
    connection: "duckdb.DuckDBPyConnection", before: Side, after: Side, options: DiffOptions
) -> tuple[TableDiff, ...]:
    first = attached(connection, before, f"{_PREFIX}a", options.schemas)
    second = attached(connection, after, f"{_PREFIX}b", options.schemas)
    names = sorted({*first, *second})
    if options.tables is not None:
        names = [name for name in names if name in options.tables]
    keys = _keys(options, names)
    _check_ignored(options, [*first.values(), *second.values()])
    if not names:
        raise DiffError(
            f"neither {before.label} nor {after.label} has a table in "
            f"{', '.join(options.schemas)}: name another schema by --schema"
        )
    return tuple(
        _with_readers(
            _compare_readable(
                connection, name, first.get(name), second.get(name),
                before=before, after=after, options=options, key=keys.get(name),
            ),
            before, after,
        )
        for name in names
    )  # fmt: skip


def _compare_readable(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    first: AttachedTable | None,
    second: AttachedTable | None,
    **more: Any,
) -> TableDiff:
    """Compare a table; a view whose tables are in another file is reported as unreadable."""
    import duckdb

    try:
        return compare_table(connection, name, first, second, **more)
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        note = f"cannot be read: {first_line(error)}"
        return TableDiff(name=name, status="not compared", notes=(note,))


def _with_readers(table: TableDiff, before: Side, after: Side) -> TableDiff:
    """A table that differs, with its downstream assets as the second knows them, or the first."""
    if table.status not in DIFFERENT:
        return table
    known = next((side for side in (after, before) if side.readers), after)
    return table.model_copy(update={"readers": tuple(known.readers.get(table.name, ()))})


def _keys(options: DiffOptions, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
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


def _check_ignored(options: DiffOptions, relations: Sequence[AttachedTable]) -> None:
    there = {column.casefold() for relation in relations for column in relation.columns}
    for name in options.ignored:
        if relations and name.casefold() not in there:
            raise DiffError(f"--ignore {name}: no table has a column of that name")


@contextmanager
def _connected(options: DiffOptions) -> "Iterator[duckdb.DuckDBPyConnection]":

    config: dict[str, str | bool | int | float | list[str]] = {"memory_limit": options.memory_limit}
    if options.spill is not None:
        config["temp_directory"] = str(options.spill)
    with connect(config=config) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set preserve_insertion_order = false")
        with _stoppable(connection, options.stop):
            yield connection


@contextmanager
def _stoppable(
    connection: "duckdb.DuckDBPyConnection", stop: threading.Event | None
) -> Iterator[None]:
    """Interrupt what the connection does, and whatever it begins next, once ``stop`` is set."""
    if stop is None:
        yield
        return
    is_done = threading.Event()

    def watch() -> None:
        while not is_done.wait(_STOP_SECONDS):
            if stop.is_set():
                connection.interrupt()

    watcher = threading.Thread(target=watch, name="stop", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_done.set()
        watcher.join()
