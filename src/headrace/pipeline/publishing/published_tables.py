"""What readers have, on any target: the published file, or what the target itself has published.

Beside a remote target the published file is a copy on this machine. Where there is none, for
`publish.local_copy` is ``never`` or it would be too large, the target is asked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headrace.errors import WarehouseError
from headrace.libraries.duckdb import connect
from headrace.pipeline.publishing import published_file
from headrace.sql_text import identifier, literal
from headrace.targets.duckdb import explain_duckdb_error

if TYPE_CHECKING:
    import duckdb

    from headrace.settings import Resolved
    from headrace.targets.publication import Publication, Publisher

ALIAS = "published"
"""Of what is published, in a DuckDB that reads it."""


def remote(resolved: "Resolved") -> "Publisher | None":
    """What is asked for want of a published file; None where there is a file, or could be."""
    return None if resolved.published.exists() else resolved.target.publisher()


def location(resolved: "Resolved") -> str:
    """Where what is published is read, for people; never a secret."""
    publisher = remote(resolved)
    return publisher.location if publisher is not None else str(resolved.published)


def current(resolved: "Resolved") -> "Publication | None":
    """What readers have; None before the first publication, and of a file that cannot be read.

    Raises:
        WarehouseError: the target cannot be asked.
    """
    publisher = remote(resolved)
    if publisher is not None:
        return publisher.current()
    return published_file.publication(resolved.published)


def attach(resolved: "Resolved", connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
    """Let a DuckDB in memory read what readers have: ``alias.schema.table``.

    Returns:
        Whether something is published; if not, nothing was attached.

    Raises:
        WarehouseError: it cannot be read.
    """
    import duckdb

    publisher = remote(resolved)
    if publisher is not None:
        return publisher.attach(connection, alias) is not None
    path = resolved.published
    if not path.exists():
        return False
    try:
        connection.execute(f"attach {literal(str(path))} as {identifier(alias)} (read_only)")
    except duckdb.Error as error:
        raise WarehouseError(explain_duckdb_error(path, str(error))) from error
    return True


@contextmanager
def reading(resolved: "Resolved") -> "Iterator[duckdb.DuckDBPyConnection]":
    """A DuckDB in memory in which ``schema.table`` is what readers have; UTC.

    Raises:
        WarehouseError: nothing is published, or it cannot be read.
    """
    with connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        if not attach(resolved, connection, ALIAS):
            raise WarehouseError(
                f"nothing is published at {location(resolved)}: run `headrace run` first"
            )
        connection.execute(f"use {ALIAS}")
        yield connection
