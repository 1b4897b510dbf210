"""What targets with a server have in common: its name, its lock, and how its errors are told."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from headrace.errors import WarehouseError
from headrace.extras import how_to_install
from headrace.targets.base import RemoteTarget


class DatabaseServer(Protocol):
    """A database on a server, or its stand-in on this machine."""

    @property
    def location(self) -> str:
        """Where it is, without what is secret."""
        ...

    @property
    def database(self) -> str:
        """The database's name."""
        ...

    def lock(self, command: str) -> AbstractContextManager[None]:
        """Hold a lock that other machines see.

        Raises:
            LockedError: another machine holds it.
            WarehouseError: the server cannot be reached.
        """
        ...

    def explain(self, error: Exception) -> WarehouseError:
        """An error of the driver, or of DuckDB's, as one sentence that says what to do."""
        ...


class ServerTarget(RemoteTarget):
    """A target whose data, lock and errors are a server's.

    Attributes:
        server: where the database is.
        folder: where Headrace writes on this machine.
    """

    server: DatabaseServer
    folder: Path

    @property
    def location(self) -> str:
        """Where the server is, and the database."""
        return self.server.location

    @property
    def database(self) -> str:
        """The database's name."""
        return self.server.database

    @property
    def lock_path(self) -> Path:
        """In the target's folder on this machine; other machines see ``lock``."""
        return self.folder / f"{self.name}.lock"

    def explain(self, error: Exception) -> WarehouseError:
        """An error of the driver, or of DuckDB's, as one sentence that says what to do."""
        return self.server.explain(error)

    def lock(self, command: str) -> AbstractContextManager[None]:
        """The server's lock, which other machines see.

        Raises:
            LockedError: another machine holds it.
            WarehouseError: the server cannot be reached.
        """
        return self.server.lock(command)

    def release(self) -> None:
        """Nothing: dbt closes its connections at the end of each command."""

    def require(self, modules: Sequence[str], extra: str) -> None:
        """Look whether the packages of an extra are installed.

        Raises:
            WarehouseError: one is missing; says how to install it.
        """
        for module in modules:
            try:
                found = find_spec(module)
            except ModuleNotFoundError:
                found = None
            if found is None:
                raise WarehouseError(
                    f"the target {self.name} needs more packages: run `{how_to_install(extra)}`"
                )
