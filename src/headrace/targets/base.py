"""What a target is: a dlt destination, a dbt profile, a SQL dialect, and how to reach it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from headrace.errors import WarehouseError


class Target(Protocol):
    """A place where raw data is loaded and marts are built.

    The packages above (pipeline, cli) know a target by this protocol only.
    """

    @property
    def name(self) -> str:
        """The name it has in the settings, for example ``duckdb``."""

    @property
    def dialect(self) -> str:
        """sqlglot's name of its SQL dialect."""

    @property
    def location(self) -> str:
        """Where it is, for people; never a secret."""

    @property
    def database(self) -> str:
        """The name of the database in SQL and in exports."""

    @property
    def database_file(self) -> Path | None:
        """The DuckDB file that it is, which can be copied and attached; None if it is none."""

    @property
    def reads_local_files(self) -> bool:
        """Whether it runs a ``SELECT`` over files of this machine itself."""

    @property
    def lock_path(self) -> Path:
        """The file whose lock stands for "one run at a time"."""

    @property
    def load_memory_limit(self) -> str:
        """What DuckDB may take while files are read on this machine, for example ``512MB``."""

    def exists(self) -> bool:
        """Whether there is a database yet."""

    def prepare(self) -> str | None:
        """Create it where there is none yet; the caller holds its lock.

        Returns:
            A note if a stopped run had begun to create it.

        Raises:
            WarehouseError: it cannot be created.
        """

    def check(self) -> None:
        """Open it and close it again.

        Raises:
            WarehouseError: it is corrupt, of a newer version, or held by another program.
        """

    def dlt_destination(self) -> Any:
        """A dlt destination object that loads into it."""

    def dbt_output(self) -> dict[str, Any]:
        """Its entry under ``outputs`` in a dbt ``profiles.yml``."""

    def release(self) -> None:
        """Close what dbt left open in this process, so that others can open the target."""

    def attach_sql(self, alias: str) -> str | None:
        """SQL that lets a local DuckDB read it as ``alias``; None where that is not possible."""

    def row_counts(self, schema: str) -> dict[str, int]:
        """Rows per table of a schema; empty when there is no such schema."""

    def count_rows(self, schema: str, name: str) -> int | None:
        """Rows of a table or view; None when there is none of that name."""

    def signature(self) -> str | None:
        """Changes whenever anything in the target changed; None where that cannot be known."""


def require_file(target: Target) -> Path:
    """The DuckDB file of a target, for what works on a file alone.

    Raises:
        WarehouseError: the target is not a file.
    """
    if target.database_file is None:
        raise WarehouseError(
            f"the target {target.name} is not a DuckDB file, which this needs: name another one "
            "with --target"
        )
    return target.database_file


class TargetSettings(BaseModel):
    """Settings of a target (``targets.<name>``); each type of target adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field(
        "duckdb", description="`duckdb`, or a type of target that an installed package adds"
    )

    def target(self, name: str, *, data_dir: Path, path_of: Callable[[Path], Path]) -> Target:
        """The target.

        Args:
            name: its name in the settings.
            data_dir: where Headrace writes.
            path_of: makes a path of the settings absolute.
        """
        raise NotImplementedError
