"""A copy of a target in a DuckDB file: of a DuckDB file its bytes, of any other target its tables.

What works in DuckDB alone works on it, whatever engine holds the data: state folders, and the trial
of tests on faults. Views of another engine are in its SQL, so they become tables.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headrace import portable
from headrace.errors import WarehouseError
from headrace.exceptions import first_line
from headrace.libraries.duckdb import connect, with_room
from headrace.pipeline.state.portable_views import Views, make_portable
from headrace.settings import Resolved
from headrace.sql_text import identifier, literal, qualified
from headrace.targets import Target, TargetSettings
from headrace.targets.registry import settings_of_type

if TYPE_CHECKING:
    import duckdb

_OWN = ("_headrace", "information_schema", "pg_catalog")


def copy_file(target: Target, copy: Path) -> bool:
    """Copy the DuckDB file that a target is, with what is in its log; the caller holds its lock.

    Returns:
        Whether it is one; if not, nothing was copied.

    Raises:
        OSError: it cannot be copied.
    """
    file = target.database_file
    if file is None:
        return False
    portable.copy_file(file, copy)
    log = Path(f"{file}.wal")
    if log.exists():
        portable.copy_file(log, Path(f"{copy}.wal"))
    return True


def copy_target(target: Target, copy: Path, *, memory_limit: str, only_raw: bool = False) -> Views:
    """Write all tables and views of a target to a DuckDB file; the caller holds its lock.

    Args:
        target: what is copied.
        copy: the file; there is none yet.
        memory_limit: of DuckDB, for example ``512MB``; it spills beside the file, and a table that
            does not fit is copied with a larger one.
        only_raw: leave out what dbt builds, of a target that is no DuckDB file.

    Returns:
        The views of the copy, and which are tables there.

    Raises:
        WarehouseError: there is nothing to copy, or it cannot be read or written.
        OSError: it cannot be copied.
    """
    import duckdb

    database = target.database
    try:
        with _connected(copy, memory_limit) as connection:
            # as long as it is attached, nobody can write it
            if not target.attach(connection, "original"):
                raise WarehouseError(
                    f"there is no warehouse at {target.location}: run `headrace run` first"
                )
            is_file = copy_file(target, copy)
            if not is_file:
                connection.execute(f"attach {literal(str(copy))} as __headrace_copy")
                tables = _copy_tables(connection, only_raw=only_raw)
                return Views((), tables)
        with _connected(copy, memory_limit) as connection:
            connection.execute(f"attach {literal(str(copy))} as {identifier(database)}")
            connection.execute(f"use {identifier(database)}")
            views = make_portable(connection, database)
            connection.execute("checkpoint")
            return views
    except duckdb.Error as error:
        raise WarehouseError(f"{target.location} cannot be copied: {first_line(error)}") from error


def in_copy(resolved: Resolved, copy: Path) -> Target:
    """A target that is the copy, for what is built in it.

    Args:
        resolved: the settings; those of a DuckDB target hold where the target is one.
        copy: the file.
    """
    target = resolved.target
    settings: TargetSettings | None = resolved.settings.targets.get(target.name)
    if target.database_file is None or settings is None:
        settings = settings_of_type("duckdb").model_validate({})
    here = settings.model_copy(update={"path": copy})
    return here.target(target.name, data_dir=copy.parent, path_of=lambda path: path)


@contextmanager
def _connected(copy: Path, memory_limit: str) -> "Iterator[duckdb.DuckDBPyConnection]":

    config = {"temp_directory": str(copy.parent / "spill"), "memory_limit": memory_limit}
    with connect(config=dict(config)) as connection:
        connection.execute("set TimeZone = 'UTC'")
        yield connection


def _copy_tables(connection: "duckdb.DuckDBPyConnection", *, only_raw: bool) -> tuple[str, ...]:
    """Copy what the attached ``original`` has; gives the names of its views."""
    owned = ", ".join(map(literal, _OWN))
    found = connection.execute(
        "select table_schema, table_name, table_type from information_schema.tables "
        f"where table_catalog = 'original' and table_schema not in ({owned}) order by all"
    ).fetchall()
    loaded = {schema for schema, name, _ in found if name == "_dlt_loads"}
    views = []
    for schema, name, kind in found:
        if only_raw and schema not in loaded:
            continue
        copied = qualified("__headrace_copy", schema)
        connection.execute(f"create schema if not exists {copied}")
        sql = (
            f"create table {copied}.{identifier(name)} as "
            f"select * from {qualified('original', schema, name)}"
        )
        with_room(connection, partial(connection.execute, sql))
        if kind == "VIEW":
            views.append(f"{schema}.{name}")
    connection.execute("checkpoint __headrace_copy")
    return tuple(views)
