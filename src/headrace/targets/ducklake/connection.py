"""Connections to a DuckLake: what DuckDB needs to attach one, and why it cannot."""

import math
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace import portable
from headrace.errors import WarehouseError
from headrace.exceptions import first_line
from headrace.libraries.duckdb import connect, create_secret, extension_folder
from headrace.secrets import hide
from headrace.sql_text import identifier, literal
from headrace.system_errors import system_fault
from headrace.targets.ducklake.catalog import DuckLakeCatalog, version_problem
from headrace.targets.object_store import S3Store
from headrace.targets.s3_access import S3Access
from headrace.targets.s3_errors import problem

if TYPE_CHECKING:
    import duckdb

EXTRA = "ducklake"
DATABASE = "lake"
"""What the lake is called in SQL, dbt's and dlt's too."""
SESSION = {"TimeZone": "UTC"}
"""Of every connection, dlt's and dbt's too: what a cast gives must not follow from the machine."""


_IDLE_S = 30.0
"""A server may close a connection that nobody uses for some minutes, and a token may expire."""


@dataclass
class _Shared:
    connection: "duckdb.DuckDBPyConnection | None" = None
    attached: set[str] = field(default_factory=set)
    readers: int = 0
    used_at: float = -math.inf
    lock: threading.Lock = field(default_factory=threading.Lock)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = None
        self.attached.clear()


_shared: dict[tuple[str, str], _Shared] = {}
"""By catalog and storage: see ``LakeConnections.read_by_one``."""


@dataclass(frozen=True)
class LakeConnections:
    """Opens connections to a lake.

    Attributes:
        name: of the target in the settings.
        catalog: what says which files its tables are.
        storage: where the files are: an absolute path, or ``s3://bucket/prefix``.
        access: how the bucket is reached; None for a folder.
        folder: where Headrace writes on this machine.
        memory_limit: DuckDB's.
        threads: DuckDB's; None for all cores.
    """

    name: str
    catalog: DuckLakeCatalog
    storage: str
    access: S3Access | None
    folder: Path
    memory_limit: str
    threads: int | None

    def require_readable(self, version: str | None, *, migrates: bool = False) -> None:
        """See that this DuckLake can use a catalog of some version; None for none yet.

        Raises:
            WarehouseError: it cannot, or would have to migrate it.
        """
        if version is None:
            return
        said = version_problem(version, self.catalog.location)
        if said is not None and not (migrates and "older" in said):
            raise WarehouseError(said)

    def prepare_storage(self, *, makes: bool = True) -> None:
        """See that the folder or the bucket is there.

        Raises:
            WarehouseError: it is not, or cannot be written.
        """
        if self.access is not None:
            try:
                next(iter(S3Store(self.access).list(".headrace")), None)
            except WarehouseError as error:
                raise WarehouseError(self._of_storage(str(error))) from error
            return
        folder = Path(self.storage)
        try:
            if makes:
                folder.mkdir(parents=True, exist_ok=True)
            if folder.is_dir():
                probe = portable.temporary_beside(folder / "probe")
                probe.touch()
                probe.unlink(missing_ok=True)
        except OSError as error:
            fault = system_fault(error, place=folder)
            why = fault.message if fault else str(error.strerror or error)
            raise WarehouseError(f"the files of the lake at {folder}: {why}") from error

    def extensions(self) -> Path:
        """The folder that DuckDB loads extensions from.

        Raises:
            WarehouseError: a package is missing.
        """
        names = ["ducklake", self.catalog.extension, *(["httpfs"] if self.access else [])]
        try:
            return extension_folder(self.folder / "extensions", names, extra=EXTRA)
        except OSError as error:
            raise self.explain(error) from error

    @property
    def config(self) -> dict[str, str]:
        """DuckDB's settings for every connection."""
        config = {
            "memory_limit": self.memory_limit,
            "temp_directory": str(self.folder / "spill"),
            "extension_directory": str(self.extensions()),
            "autoinstall_known_extensions": "false",
        }
        if self.threads is not None:
            config["threads"] = str(self.threads)
        return config

    def secrets(self) -> list[dict[str, str]]:
        """DuckDB's secrets, by their parameters.

        Raises:
            WarehouseError: there are no credentials for S3.
        """
        found = [self.catalog.secret()] if self.catalog.secret() else []
        if self.access is not None:
            found.append(self.access.duckdb_secret("headrace_files"))
        return found

    def options(self) -> dict[str, Any]:
        """Of ``attach``, for a connection that writes.

        A folder may be moved together with its project; a bucket that another lake has is refused.
        """
        moves = {} if self.access else {"override_data_path": True}
        return {**self.catalog.options(), "data_path": self.storage, **moves}

    @contextmanager
    def unattached(self) -> "Iterator[duckdb.DuckDBPyConnection]":
        """A DuckDB in memory that nothing is attached to."""
        with connect(self.config) as connection:
            self._begin(connection)
            yield connection

    def _begin(self, connection: "duckdb.DuckDBPyConnection") -> None:
        for key, value in SESSION.items():
            connection.execute(f"set {key} = {literal(value)}")

    def attach_with(
        self, connection: "duckdb.DuckDBPyConnection", alias: str, more: Mapping[str, Any]
    ) -> None:
        connection.execute(f"set extension_directory = {literal(str(self.extensions()))}")
        for secret in self.secrets():
            connection.execute(create_secret(secret))
        options = {**self.options(), **more}
        given = ", ".join(
            key if value is True else f"{key} {literal(value) if isinstance(value, str) else value}"
            for key, value in options.items()
        )
        address = literal(self.catalog.address())
        connection.execute(f"attach {address} as {identifier(alias)} ({given})")

    def attach(
        self,
        connection: "duckdb.DuckDBPyConnection",
        alias: str,
        *,
        snapshot: int | None = None,
        writes: bool = False,
    ) -> bool:
        """Attach the lake; False where there is none yet.

        Args:
            connection: gets the extensions and the secrets.
            alias: the name.
            snapshot: as of which; by default always the newest.
            writes: whether it is written; else it is attached read-only.

        Raises:
            WarehouseError: it cannot be read.
        """
        import duckdb

        how: dict[str, Any] = {"create_if_not_exists": False} if writes else {"read_only": True}
        if snapshot is not None:
            how["snapshot_version"] = snapshot
        try:
            self.attach_with(connection, alias, how)
        except duckdb.Error as error:
            version = self.catalog.version()  # takes as long as all the rest: asked only now
            if version is None:
                return False
            self.require_readable(version)
            raise self.explain(error) from None  # DuckDB may show the statement
        return True

    @property
    def _key(self) -> tuple[str, str]:
        return self.catalog.location, self.storage

    @contextmanager
    def read_by_one(self) -> Iterator[None]:
        """Let all that ``read`` gives in this block be of one DuckDB.

        A DuckDB that is opened, to which the lake is attached, and which has found out what its
        tables are, has taken 0.1 s of CPU time. What is read is the newest snapshot all the same.
        """
        if self._key in _shared:  # by whoever called this
            yield
            return
        shared = _shared[self._key] = _Shared()
        try:
            yield
        finally:
            del _shared[self._key]
            shared.close()

    @contextmanager
    def read(
        self, snapshot: int | None = None, alias: str = DATABASE
    ) -> "Iterator[duckdb.DuckDBPyConnection | None]":
        """A connection that reads it under a name; None where there is no lake yet.

        Raises:
            WarehouseError: it cannot be read.
        """
        import duckdb

        shared = _shared.get(self._key) if snapshot is None else None
        with self._cursor(shared) if shared else self.unattached() as connection:
            try:
                if shared is None:
                    is_there = self.attach(connection, alias, snapshot=snapshot)
                else:
                    with shared.lock:
                        is_there = alias in shared.attached or self.attach(connection, alias)
                        shared.attached |= {alias} if is_there else set()
                yield connection if is_there else None
            except duckdb.Error as error:
                raise self.explain(error) from error

    @contextmanager
    def _cursor(self, shared: _Shared) -> "Iterator[duckdb.DuckDBPyConnection]":
        with shared.lock:
            if not shared.readers and time.monotonic() - shared.used_at >= _IDLE_S:
                shared.close()
            if shared.connection is None:
                shared.connection = connect(self.config)
            connection = shared.connection.cursor()
            shared.readers += 1
        used_at = -math.inf  # after an error, whoever is next opens another one
        try:
            self._begin(connection)
            yield connection
            used_at = time.monotonic()
        finally:
            connection.close()
            with shared.lock:
                shared.readers -= 1
                shared.used_at = used_at

    @contextmanager
    def write(self) -> "Iterator[duckdb.DuckDBPyConnection]":
        """A connection that writes it as ``DATABASE``; the caller holds the lock.

        Raises:
            WarehouseError: it cannot be reached, read or written.
        """
        import duckdb

        with self.unattached() as connection:
            try:
                self.attach_with(connection, DATABASE, {})
                yield connection
            except duckdb.Error as error:
                raise self.explain(error) from error

    def explain(self, error: Exception) -> WarehouseError:
        """An error of the catalog, the files or DuckDB as one sentence; never a secret."""
        text = str(error)
        if said := re.search(r"catalog version is ([^,\s]+),", text):
            problem_ = version_problem(said[1], self.catalog.location)
            if problem_ is not None:
                return WarehouseError(problem_)
        if "does not match existing data path" in text:
            found = re.search(r'existing data path in the catalog "([^"]*)"', text)
            there = found[1] if found else "another place"
            return WarehouseError(
                f"the files of {self.catalog.location} are in {there}, "
                f"and targets.{self.name}.storage says {self.storage}: correct it, or name "
                "another catalog for another lake"
            )
        said_of_catalog = self.catalog.explained(error)
        if said_of_catalog is not None:
            return WarehouseError(hide(said_of_catalog))
        if self.access is not None:
            access = self.access
            why = problem(
                error,
                bucket=access.bucket,
                url=self.storage,
                setting=access.setting,
                endpoint=access.endpoint,
            )
            return WarehouseError(f"{self.storage}: {self._of_storage(why)}")
        fault = system_fault(error, place=Path(self.storage))
        if fault is not None:
            return WarehouseError(f"the files of the lake at {self.storage}: {fault.message}")
        return WarehouseError(f"the lake {self.catalog.location}: {hide(first_line(error))}")

    def _of_storage(self, message: str) -> str:
        """A message about a bucket, with the setting that this type of target has for it."""
        return message.replace(f"targets.{self.name}.url", f"targets.{self.name}.storage")
