"""What targets with a server have in common: its name, its lock, and how its errors are told."""

import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from pydantic import ConfigDict, Field

from headrace.errors import WarehouseError
from headrace.extras import how_to_install
from headrace.formatting import first_few
from headrace.secrets import hide
from headrace.targets.base import RemoteTarget, TargetSettings


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


def by_schema(rows: Iterable[Sequence[Any]]) -> dict[str, list[str]]:
    """Names of tables by their schema, from rows of schema and table."""
    found: dict[str, list[str]] = {}
    for schema, name in rows:
        found.setdefault(str(schema), []).append(str(name))
    return found


class ServerTargetSettings(TargetSettings):
    """Settings that all targets with a server have."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    threads: int = Field(4, ge=1, le=64, description="connections that dbt builds with")
    load_memory_limit: str = Field(
        "512MB",
        description="DuckDB's memory limit while files are read, before they are loaded",
        pattern=r"^\d+ ?[KMG]i?B$",
    )


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


def advised(
    causes: Sequence[tuple[str, str]], text: str, *, place: str, said: str, **known: str
) -> WarehouseError:
    """An error of a server as one sentence that says what to do, without what is secret.

    Args:
        causes: a pattern of what servers say, and a sentence about it, the first that fits.
        text: all that the server said.
        place: where it is.
        said: what is worth repeating of it.
        known: what else the sentences name.
    """
    for pattern, sentence in causes:
        if re.search(pattern, text, re.IGNORECASE):
            return WarehouseError(hide(sentence.format(place=place, said=said, **known)))
    return WarehouseError(hide(f"{place}: {said}"))


def refused_refresh(schema: str, lost: Sequence[str]) -> WarehouseError:
    """The error of a full refresh that would drop what could not be made again.

    Args:
        schema: of the raw tables.
        lost: views on them, and what else depends on them.
    """
    return WarehouseError(
        f"a full refresh drops the tables of {schema}, and with them {first_few(lost)}, which "
        "could not be made again: drop it, run the refresh, and create it again"
    )


def not_made_again(view: str, why: str, kept_in: str) -> str:
    """A line about a view that a full refresh has dropped, and that cannot be made again.

    Args:
        view: its name.
        why: what the server said.
        kept_in: the table that has its definition.
    """
    return (
        f"the full refresh dropped the view {view}, which cannot be made again ({why}): "
        f"its definition is in {kept_in}; the build makes dbt's own"
    )
