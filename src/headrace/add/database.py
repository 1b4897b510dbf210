"""The database of a new source: its tables, their keys and cursors."""

from typing import TYPE_CHECKING, Any

from headrace.errors import AddError
from headrace.pipeline.loading.source_errors import database_problem
from headrace.secrets import is_secret

if TYPE_CHECKING:
    from sqlalchemy import URL, Inspector

_CURSORS = frozenset({
    "changed_at", "date_modified", "last_modified", "last_modified_at", "last_update",
    "last_updated", "last_updated_at", "modified", "modified_at", "updated", "updated_at",
    "updated_on",
})  # fmt: skip
"""Names by which a table says when a row last changed."""
_DELETED = frozenset({"deleted", "deleted_at", "deleted_on", "is_deleted", "removed_at"})
"""Names by which a table marks a row as deleted."""
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
_TIMEOUT_SECONDS = "10"


def parse_url(url: str) -> "URL":
    """A URL with the driver that Headrace includes, and with a timeout.

    Raises:
        AddError: it is none.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        found = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise AddError(
            "--url is not a SQLAlchemy URL: write it like postgresql://reader@localhost:5432/crm"
        ) from error
    if secret := next((key for key in found.query if is_secret(key)), ""):
        raise AddError(
            f"--url must not hold {secret} after the question mark, for it is written to a file: "
            "write the password before the @, where it is taken out, or leave it out"
        )
    found = found.set(drivername=_DRIVERS.get(found.drivername, found.drivername))
    if found.get_backend_name() == "postgresql" and "connect_timeout" not in found.query:
        found = found.update_query_dict({"connect_timeout": _TIMEOUT_SECONDS})
    if found.get_backend_name() == "sqlite" and not found.database:
        raise AddError("--url names no SQLite file: write it like sqlite:////data/crm.sqlite")
    return found


def without_password(url: "URL") -> str:
    """The URL as it may be written to a file."""
    return url._replace(password=None).render_as_string(hide_password=False)


def inspect_tables(
    url: "URL",
    schema: str | None,
    tables: tuple[str, ...],
    cursor: str | None,
    deleted: str | None = None,
) -> tuple[list[dict[str, Any]], list[str], str]:
    """The tables to load, and how.

    Args:
        url: with the password.
        schema: the database's schema; None is its default one.
        tables: those asked for; none are all.
        cursor: the column asked for.
        deleted: the column asked for that marks a deleted row.

    Returns:
        Name, cursor and column of deleted rows of each table; what was decided, in sentences; and
        why the database could not be looked at, or nothing. Then the tables are taken as they were
        asked for.

    Raises:
        AddError: it has no such table or column.
    """
    from sqlalchemy import NullPool, create_engine, inspect
    from sqlalchemy.exc import SQLAlchemyError

    _check_file(url)
    try:
        engine = create_engine(url, poolclass=NullPool)
        inspector = inspect(engine)
        there = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
        names = tables or tuple(sorted(inspector.get_table_names(schema)))
        _check_tables(names, there, schema)
        found = [_inspect_table(inspector, name, schema, cursor, deleted) for name in names]
    except (SQLAlchemyError, ImportError) as error:
        marks = {"cursor": cursor or "", "deleted": deleted or ""}
        asked = [{"name": name, **marks} for name in tables]
        return asked, [], database_problem(error)
    if cursor and not any(table["cursor"] for table, _ in found):
        raise AddError(f"--cursor {cursor}: none of {', '.join(names)} has such a column and a key")
    if deleted and not any(table["deleted"] for table, _ in found):
        raise AddError(
            f"--deleted {deleted}: none of {', '.join(names)} has such a column, a key and a cursor"
        )
    return [table for table, _ in found], [choice for _, choice in found], ""


def _check_file(url: "URL") -> None:
    """SQLite would make a file that is not there."""
    from pathlib import Path

    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
        raise AddError(f"there is no SQLite file {url.database}: correct --url")


def _check_tables(names: tuple[str, ...], there: list[str], schema: str | None) -> None:
    where = f"schema {schema}" if schema else "the database"
    known = ", ".join(sorted(there)[:20]) or "no table at all"
    for name in names:
        if name not in there:
            raise AddError(f"--table {name}: {where} has no such table or view; it has {known}")
    if not names:
        raise AddError(f"{where} has no table that this user may see: name another by --schema")


def _inspect_table(
    inspector: "Inspector",
    name: str,
    schema: str | None,
    cursor: str | None,
    deleted: str | None,
) -> tuple[dict[str, Any], str]:
    from sqlalchemy import Date, DateTime

    columns = {column["name"]: column["type"] for column in inspector.get_columns(name, schema)}
    key = inspector.get_pk_constraint(name, schema)["constrained_columns"]
    if cursor is not None:
        candidates = [cursor] if cursor in columns else []
    else:
        candidates = [
            column
            for column, kind in columns.items()
            if column.lower() in _CURSORS and isinstance(kind, Date | DateTime)
        ]
    if key and len(candidates) == 1:
        choice = f"{name}: what changed by {candidates[0]}, merged on {', '.join(key)}"
        mark = deleted if deleted in columns else ""
        if mark:
            choice += f"; rows that {mark} marks go"
        elif soft := next((column for column in columns if column.lower() in _DELETED), ""):
            choice += f"; rows that {soft} marks stay, unless `deleted: {soft}` is set"
        return {"name": name, "cursor": candidates[0], "deleted": mark}, choice
    if not key:
        reason = "it has no primary key"
    elif cursor is not None:
        reason = f"it has no column {cursor}"
    elif candidates:
        reason = f"{', '.join(candidates)} could be its cursor: say which"
    else:
        reason = "no column says when a row changed"
    return {
        "name": name,
        "cursor": "",
        "deleted": "",
    }, f"{name}: read as a whole each time ({reason})"
