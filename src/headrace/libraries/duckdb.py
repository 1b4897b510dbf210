"""DuckDB: what its messages say, as it has no codes for these, its extensions, its progress."""

import importlib.util
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from headrace import portable
from headrace.errors import WarehouseError
from headrace.extras import how_to_install
from headrace.sql_text import literal, scalar

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")
UNCHECKED = {"allow_unsigned_extensions": "true"}
"""DuckDB's setting that ``connect`` explains; it cannot be changed later."""
_STEP_S = 0.25
_WIDE = 500  # columns
_COLUMN_BYTES = 1_500_000
_LOCKED = ("Could not set lock", "being used by another process")
_DAMAGED = ("not a valid DuckDB database", "orrupt", "checksum", "Could not read enough bytes")
_OTHER_VERSION = ("newer version", "version number")
_NO_FILE = ("No files found", "Cannot open file")


def is_locked(message: str) -> bool:
    """Whether another process has the database open."""
    return any(words in message for words in _LOCKED)


def lock_holder(message: str) -> tuple[str, str] | None:
    """The program and process id that have it open; DuckDB does not tell them on Windows."""
    found = re.search(r"held in (.+?) \(PID (\d+)\)", message)
    return (found[1], found[2]) if found else None


def is_of_other_version(message: str) -> bool:
    """Whether another version of DuckDB wrote the database."""
    return any(words in message for words in _OTHER_VERSION)


def is_damaged(message: str) -> bool:
    """Whether the file is no database, or a damaged one."""
    return any(words in message for words in _DAMAGED)


def is_missing_file(message: str) -> bool:
    """Whether a file that is read by ``read_csv`` and the like is not there."""
    return any(words in message for words in _NO_FILE)


def connect(config: Mapping[str, Any] | None = None) -> "duckdb.DuckDBPyConnection":
    """A DuckDB in memory that loads the extensions of targets at once.

    To check the signature of one takes 0.2 seconds of CPU time, longer than most of what is asked;
    they are from packages, which were checked when they were installed.
    """
    import duckdb

    return duckdb.connect(config={**(config or {}), **UNCHECKED})


_kept_open: "dict[str, duckdb.DuckDBPyConnection]" = {}


@contextmanager
def opened_once(path: Path, config: Mapping[str, Any]) -> Iterator[None]:
    """Keep a database file open between one connection to it and the next, until ``let_go``.

    DuckDB takes 20 ms of CPU time to open a file, and 0.1 ms where it is open in this process. dlt
    does it for each step of a load and for each table, Headrace to count. All connections in this
    block have the same settings, as DuckDB wants of one file.

    Args:
        path: of the file; connections by another path are left alone.
        config: DuckDB's settings. What whoever connects wants instead is not looked at: the
            directory for what does not fit in memory cannot be set again once it was used.
    """
    import duckdb

    module, original = cast("Any", duckdb), duckdb.connect
    key, settings = str(path), dict(config)

    def connect(
        database: str | Path = ":memory:", read_only: bool = False, config: Any = None
    ) -> "duckdb.DuckDBPyConnection":
        if str(database) != key:
            return original(database, read_only, config or {})
        if key not in _kept_open:
            _kept_open[key] = original(key, config=settings)
        return original(key, config=settings)

    module.connect = connect
    try:
        yield
    finally:
        module.connect = original
        let_go(path)


def let_go(path: Path | None) -> None:
    """Close a file that ``opened_once`` keeps open: for whoever waits for it, or attaches it."""
    connection = _kept_open.pop(str(path), None)
    if connection is not None:
        connection.close()


def make_room(connection: "duckdb.DuckDBPyConnection", columns: int) -> None:
    """Let a DuckDB work on a wide table, whatever its memory limit is; nothing for a narrow one.

    It reserves 32 KiB a column in each step and 256 KiB a column of a table in each thread, and
    counts what is reserved, whether it is used or not: 2,000 columns and 8,000 rows, 48 MB as CSV,
    do not fit into 2 GB for two threads, and take half a GB in truth. It compares each expression
    with all others, to compute what is the same once: 10 s of 3,000.

    Args:
        connection: of which all connections to the same database have the settings.
        columns: of its widest table.
    """
    if columns <= _WIDE:
        return
    connection.execute("set threads = 1")
    connection.execute("set disabled_optimizers = 'common_subexpressions'")
    wanted = columns * _COLUMN_BYTES
    now = "parse_formatted_bytes(current_setting('memory_limit'))"
    if scalar(connection, f"select {now} < {wanted}"):
        connection.execute(f"set memory_limit = '{wanted // 1_000_000}MB'")


def larger_limit(limit: str) -> str | None:
    """Four times a memory limit, for what did not fit; None beyond DuckDB's own.

    Some work cannot be spilled: the values of a row group, one of many megabytes. DuckDB's
    own limit is four fifths of what the machine, or the container, has.

    Args:
        limit: for example ``512MB``.
    """
    with connect() as connection:
        ((now, most),) = connection.execute(
            f"select parse_formatted_bytes({literal(limit)}), "
            "parse_formatted_bytes(current_setting('memory_limit'))"
        ).fetchall()
    # a limit is told in three digits: 18.7 GiB for one that is a little more
    return f"{min(4 * now, most)}B" if now < 0.98 * most else None


def with_room(connection: "duckdb.DuckDBPyConnection", do: Callable[[], T]) -> T:
    """Do what asks a connection; where it reaches its memory limit, again with a larger one.

    Raises:
        duckdb.Error: of what is done.
    """
    import duckdb

    while True:
        try:
            return do()
        except duckdb.OutOfMemoryException:
            ((now,),) = connection.execute("select current_setting('memory_limit')").fetchall()
            if (limit := larger_limit(now)) is None:
                raise
            connection.execute(f"set memory_limit = {literal(limit)}")


def parsed(connection: "duckdb.DuckDBPyConnection", sql: str) -> dict[str, Any] | None:
    """DuckDB's parse of a select, as ``json_serialize_sql`` gives it; no relation is looked up.

    Returns:
        None where there is none: no single ``select``, not SQL of DuckDB, or nested so deep
        (some 480 calls or operators in Python 3.11) that Python cannot read the JSON.
    """
    text = literal(sql.strip().rstrip(";"))
    row = connection.execute(f"select json_serialize_sql({text})").fetchone()
    try:
        tree: dict[str, Any] = json.loads(row[0]) if row else {}
    except RecursionError:
        return None
    return tree if len(tree.get("statements", ())) == 1 else None


def objects_in(tree: Any) -> Iterator[dict[str, Any]]:
    """All objects of a tree of JSON, however deep; they may be changed."""
    left = [tree]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield value
            left += value.values()
        elif isinstance(value, list):
            left += value


def load_extension(connection: "duckdb.DuckDBPyConnection", name: str, *, extra: str) -> None:
    """Load an extension from its package (``duckdb-extension-…``): nothing is downloaded.

    Args:
        connection: gets it.
        name: DuckDB's, for example ``postgres_scanner``.
        extra: the extra of Headrace that brings the package.

    Raises:
        WarehouseError: the package is missing, or of another version of DuckDB.
    """
    path = extension_path(name)
    if path is None:
        raise WarehouseError(_not_installed(name, extra))
    connection.execute(f"load {literal(str(path))}")


def extension_path(name: str) -> Path | None:
    """The file of an extension that came as a package for this version of DuckDB."""
    import duckdb

    found = importlib.util.find_spec(f"duckdb_extension_{name}")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "extensions" / f"v{duckdb.__version__}"
    path = folder / f"{name}.duckdb_extension"
    return path if path.is_file() else None


def create_secret(secret: Mapping[str, str]) -> str:
    """SQL that makes a secret of a connection.

    Args:
        secret: its parameters, with ``name`` and ``type``.
    """
    parts = [
        f"{key} {value if key in {'type', 'use_ssl'} else literal(value)}"
        for key, value in secret.items()
        if key != "name"
    ]
    return f"create or replace temporary secret {secret['name']} ({', '.join(parts)})"


@cache
def _platform() -> str:
    """What DuckDB calls this system, for example ``linux_amd64``."""
    import duckdb

    with duckdb.connect() as connection:
        row = connection.execute("pragma platform").fetchone()
    return str(row[0]) if row else ""


def extension_folder(folder: Path, names: Iterable[str], *, extra: str) -> Path:
    """A folder for DuckDB's setting ``extension_directory``, with extensions from their packages.

    With it whatever opens a connection, dlt and dbt too, loads them by their names, and nothing is
    downloaded.

    Args:
        folder: is made.
        names: DuckDB's, for example ``ducklake``.
        extra: the extra of Headrace that brings the packages.

    Raises:
        WarehouseError: a package is missing, or of another version of DuckDB.
        OSError: the folder cannot be written.
    """
    import duckdb

    inner = folder / f"v{duckdb.__version__}" / _platform()
    for name in names:
        path = extension_path(name)
        if path is None:
            raise WarehouseError(_not_installed(name, extra))
        link = inner / f"{name}.duckdb_extension"
        if link.exists() and link.resolve() == path.resolve():
            continue
        inner.mkdir(parents=True, exist_ok=True)
        temporary = portable.temporary_beside(link)
        try:
            temporary.symlink_to(path.resolve())
        except OSError:  # Windows, where links are for administrators
            if link.exists() and link.stat().st_size == path.stat().st_size:
                continue
            portable.copy_file(path, temporary)
        portable.replace(temporary, link)
    return folder


def _not_installed(name: str, extra: str) -> str:
    return f"DuckDB's extension {name} is not installed: run `{how_to_install(extra)}`"


@contextmanager
def progress_of(
    connection: "duckdb.DuckDBPyConnection", tell: Callable[[float], None]
) -> Iterator[None]:
    """Tell four times a second how much of a connection's statement is done, from 0 to 1.

    Statements of which DuckDB does not know are not told of.

    Args:
        connection: is used by other threads meanwhile.
        tell: is called by a thread of its own.
    """
    # first of all, or the bar of the next of these would be printed
    connection.execute("set enable_progress_bar_print = false")
    connection.execute("set enable_progress_bar = true")
    connection.execute("set progress_bar_time = 1")
    over = threading.Event()

    def follow() -> None:
        while not over.wait(_STEP_S):
            share = connection.query_progress() / 100
            if 0 <= share <= 1:
                tell(share)

    follower = threading.Thread(target=follow, name="progress", daemon=True)
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join()
