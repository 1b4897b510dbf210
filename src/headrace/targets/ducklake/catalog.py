"""The catalog of a DuckLake: a SQLite file, or a schema of a PostgreSQL database."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from pydantic import SecretStr

from headrace.errors import WarehouseError
from headrace.exceptions import first_line
from headrace.libraries.duckdb import connect, is_locked, load_extension
from headrace.secrets import hide
from headrace.sql_text import identifier, literal
from headrace.system_errors import system_fault

if TYPE_CHECKING:
    from headrace.targets.postgres.server import PostgresServer
    from headrace.targets.postgres.target import PostgresTarget

VERSION = "1.0"
"""Of the format that DuckLake 1.5 writes; an older catalog is migrated by the next run."""
_WAIT_MS = 30_000
_SERVER = "headrace_catalog"


class DuckLakeCatalog(Protocol):
    """Where a lake keeps what its tables are."""

    @property
    def location(self) -> str:
        """Where it is, for people; never a secret."""

    @property
    def takes_several_writers(self) -> bool:
        """Whether dbt may write it with more than one thread."""

    @property
    def extension(self) -> str:
        """DuckDB's extension that reads it."""

    @property
    def lock_path(self) -> Path:
        """The file whose lock stands for "one run at a time" on this machine."""

    def version(self) -> str | None:
        """DuckLake's version of it; None where there is no lake yet.

        Raises:
            WarehouseError: it cannot be read.
        """

    def prepare(self) -> None:
        """Make what a new catalog needs.

        Raises:
            WarehouseError: it cannot be made.
        """

    def address(self) -> str:
        """What DuckDB attaches; not a secret."""

    def options(self) -> dict[str, Any]:
        """Of ``attach``."""

    def secret(self) -> dict[str, str]:
        """DuckDB's secret of the server, with its ``name``; empty where there is none."""

    def dlt_url(self) -> str:
        """dlt's address of it, with the password."""

    def lock(self, command: str) -> AbstractContextManager[None]:
        """The lock that other machines see."""

    def remove(self) -> None:
        """Remove it from the server that it is on.

        Raises:
            WarehouseError: the server cannot be reached.
        """

    def explained(self, error: Exception) -> str | None:
        """What is wrong with it, and what to change; None of an error that is not about it."""


@dataclass(frozen=True)
class FileCatalog:
    """A SQLite file.

    Attributes:
        path: absolute.
        setting: where in the settings it is, for messages: ``targets.ducklake``.
    """

    path: Path
    setting: str
    takes_several_writers: bool = False
    extension: str = "sqlite_scanner"

    @property
    def location(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def lock_path(self) -> Path:
        """Beside the file, so that it is the same for all projects that write it."""
        return self.path.with_name(f"{self.path.name}.lock")

    def version(self) -> str | None:
        """See ``DuckLakeCatalog``; a file that was stopped at its birth is none."""
        if not self.path.exists():
            return None
        import duckdb

        # by DuckDB's own SQLite: another one that closes the file would take away the locks that
        # this process holds on it (POSIX), and a commit that runs then fails
        try:
            with connect() as connection:
                load_extension(connection, self.extension, extra="ducklake")
                address = literal(str(self.path))
                connection.execute(f"attach {address} as catalog (type sqlite, read_only)")
                row = connection.execute(
                    "select value from catalog.ducklake_metadata where key = 'version'"
                ).fetchone()
        except duckdb.CatalogException:
            return None
        except duckdb.Error as error:
            raise WarehouseError(self.explained(error) or first_line(error)) from error
        return _version(row)

    def prepare(self) -> None:
        """Make its folder."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(self.explained(error) or str(error)) from error

    def address(self) -> str:
        """See ``DuckLakeCatalog``."""
        return f"ducklake:sqlite:{self.path}"

    def options(self) -> dict[str, Any]:
        """Readers go on while one writes (WAL), and two that write wait for one another."""
        return {"meta_journal_mode": "WAL", "meta_busy_timeout": _WAIT_MS}

    def secret(self) -> dict[str, str]:
        """There is none."""
        return {}

    def dlt_url(self) -> str:
        """See ``DuckLakeCatalog``."""
        return f"sqlite:///{self.path}"

    def lock(self, command: str) -> AbstractContextManager[None]:
        """None: a SQLite file is of one machine."""
        del command
        return nullcontext()

    def remove(self) -> None:
        """Nothing: it is on no server."""

    def explained(self, error: Exception) -> str | None:
        """See ``DuckLakeCatalog``."""
        text = str(error)
        if "file is not a database" in text or "malformed" in text:
            return (
                f"{self.path} is no SQLite database, or a damaged one: restore it from a backup, "
                f"or point {self.setting}.catalog to another file"
            )
        if "database is locked" in text or is_locked(text):
            return (
                f"{self.path} was locked by another program for {_WAIT_MS // 1000} seconds: close "
                "it there, and run again"
            )
        fault = system_fault(error, place=self.path.parent)
        if fault is not None:
            return f"the catalog {self.path}: {fault.message}"
        if "unable to open database" in text:
            return (
                f"the catalog {self.path} cannot be opened: make its folder writable, or point "
                f"{self.setting}.catalog to another file"
            )
        return None


@dataclass(frozen=True, repr=False)
class ServerCatalog:
    """A schema of a PostgreSQL database.

    Attributes:
        url: with the password.
        schema: of the lake's own tables.
        folder: where Headrace writes on this machine.
        name: of the target in the settings.
    """

    url: str
    schema: str
    folder: Path
    name: str
    takes_several_writers: bool = True
    extension: str = "postgres_scanner"

    @cached_property
    def _target(self) -> "PostgresTarget":
        """The database, as the target of the type ``postgres`` knows it.

        Raises:
            WarehouseError: the driver is not installed, or the URL cannot be read.
        """
        from headrace.targets.postgres.target import PostgresSettings

        settings = PostgresSettings(type="postgres", url=SecretStr(self.url))
        return settings.target(self.name, data_dir=self.folder, path_of=lambda path: path)

    @property
    def _server(self) -> "PostgresServer":
        return self._target.server

    @property
    def location(self) -> str:
        """Server, database and schema."""
        return f"{self._server.location}, schema {self.schema}"

    @property
    def lock_path(self) -> Path:
        """In the target's folder; other machines see ``lock``."""
        return self.folder / f"{self.name}.lock"

    def version(self) -> str | None:
        """See ``DuckLakeCatalog``."""
        table = f"{identifier(self.schema)}.ducklake_metadata"
        with self._server.connect() as connection:
            row = connection.execute("select to_regclass(%s) is not null", [table]).fetchone()
            if row != (True,):
                return None
            sql = f"select value from {table} where key = 'version'"
            return _version(connection.execute(sql.encode()).fetchone())

    def prepare(self) -> None:
        """See that the server and the role will do."""
        self._target.check()

    def address(self) -> str:
        """The server is in the secret."""
        return "ducklake:postgres:"

    def options(self) -> dict[str, Any]:
        """See ``DuckLakeCatalog``."""
        return {"meta_secret": _SERVER, "metadata_schema": self.schema}

    def secret(self) -> dict[str, str]:
        """See ``DuckLakeCatalog``."""
        names = {"host": "host", "port": "port", "user": "user", "password": "password"}
        names["dbname"] = "database"
        parts = {names[key]: value for key, value in self._server.parts.items() if key in names}
        return {"name": _SERVER, "type": "postgres", **parts}

    def dlt_url(self) -> str:
        """See ``DuckLakeCatalog``; a socket's folder and all others are parameters."""
        parts = dict(self._server.parts)
        who = quote(parts.pop("user"), safe="")
        if password := parts.pop("password", ""):
            who += f":{quote(password, safe='')}"
        port, dbname = parts.pop("port"), quote(parts.pop("dbname"), safe="")
        host = parts["host"]
        if not host.startswith(("/", "@")):
            del parts["host"]
            where = f"{host}:{port}"
        else:
            where, parts["port"] = "", port
        query = "&".join(f"{key}={quote(value, safe='')}" for key, value in parts.items())
        return f"postgresql://{who}@{where}/{dbname}" + (f"?{query}" if query else "")

    def lock(self, command: str) -> AbstractContextManager[None]:
        """An advisory lock of the database."""
        return self._server.lock(command)

    def remove(self) -> None:
        """See ``DuckLakeCatalog``."""
        with self._server.connect() as connection:
            connection.execute(f"drop schema if exists {identifier(self.schema)} cascade".encode())

    def explained(self, error: Exception) -> str | None:
        """See ``DuckLakeCatalog``."""
        if "ostgres" not in str(error) and "libpq" not in str(error):
            return None
        return str(self._server.explain(error))


def _version(row: tuple[Any, ...] | None) -> str:
    return str(row[0]) if row else "unknown"


def version_problem(version: str, location: str) -> str | None:
    """Why a catalog of some version cannot be used by this DuckLake; None if it can."""
    if version == VERSION:
        return None
    try:
        is_older = tuple(map(int, version.split("-", maxsplit=1)[0].split("."))) < (1, 0)
    except ValueError:
        is_older = False
    if is_older:
        return (
            f"the catalog {location} was written by an older DuckLake ({version}, this one writes "
            f"{VERSION}): `headrace run` migrates it, after which older ones cannot read it"
        )
    return hide(
        f"the catalog {location} was written by a newer DuckLake ({version}, this one knows "
        f"{VERSION}): upgrade duckdb and its extension ducklake"
    )
