"""DuckDB: what its messages say, as it has no codes for these, its extensions, its progress."""

import dis
import importlib.util
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from headrace import portable
from headrace.errors import WarehouseError
from headrace.extras import how_to_install
from headrace.sql_text import literal

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    import duckdb

_STEP_S = 0.25
_PASS_PARAMETERS = ("headrace.", "dlt.destinations.", "dbt.adapters.duckdb.")
"""Packages that call DuckDB with parameters which are no pandas objects."""
_AS_PANDAS = frozenset({"df", "fetchdf", "fetch_df", "fetch_df_chunk", "to_df", "to_pandas"})
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


class _PandasOnRequest(MetaPathFinder):
    """DuckDB imports pandas with the first parameter of a statement, to know its types.

    That takes a third of a second and 40 MB, and where pandas is not loaded, no value is of it.
    DuckDB goes on without, and tries again the next time. Whoever asks for pandas gets it.
    """

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> "ModuleSpec | None":
        """None, so that others look for it; or as if it were not installed."""
        del path, target
        if fullname == "pandas" and _is_called_in_c():
            raise ModuleNotFoundError("no value is of pandas here", name=fullname)
        return None


def _is_called_in_c() -> bool:
    """Whether what imports is a call from one of the packages that asks for no data frame.

    An import statement in one of them is no such call.
    """
    frame = sys._getframe(2)  # noqa: SLF001 - `inspect` reads the source of each frame
    while frame.f_globals.get("__name__") in {"importlib._bootstrap", __name__}:
        if frame.f_back is None:
            return False
        frame = frame.f_back
    name = str(frame.f_globals.get("__name__"))
    statement = dis.opname[frame.f_code.co_code[frame.f_lasti]]
    is_asked = not _AS_PANDAS.isdisjoint(frame.f_code.co_names)
    return name.startswith(_PASS_PARAMETERS) and statement.startswith("CALL") and not is_asked


@contextmanager
def pandas_on_request() -> Iterator[None]:
    """DuckDB does not import pandas for the parameters of Headrace, dlt and dbt."""
    finder = _PandasOnRequest()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
