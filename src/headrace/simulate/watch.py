"""``headrace simulate watch``: load new files of bronze into the warehouses as they come.

As Snowpipe does: each file once. Who remembers which files are loaded is the warehouse, in the same
transaction as their rows; so a loader that is killed neither loses a file nor loads one twice, and
two of them may run.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from pydantic import BaseModel, ConfigDict, Field

from headrace.errors import LockedError, SettingsError
from headrace.simulate import bronze
from headrace.simulate.places import CloudStack
from headrace.simulate.stages import WAREHOUSES
from headrace.simulate.warehouse import Copied, load


class LoadedFiles(BaseModel):
    """Files that were loaded into a table."""

    model_config = ConfigDict(frozen=True)

    at: datetime = Field(description="UTC")
    warehouse: str
    table: str = Field(description="the landing table")
    files: tuple[str, ...] = Field(description="their keys in the bucket")
    rows: int
    note: str | None = Field(None, description="what was left out")


def watch(
    simulation: CloudStack,
    into: Sequence[str] = (),
    *,
    once: bool = False,
    on_loaded: Callable[[LoadedFiles], None] = lambda loaded: None,
) -> bool:
    """Load new files until Ctrl-C.

    Args:
        simulation: the places.
        into: warehouses: ``snowflake``, ``redshift``; by default both.
        once: look once, and end.
        on_loaded: is told of each table that got files.

    Returns:
        Whether there were new files.

    Raises:
        SettingsError: there is no such warehouse.
        WarehouseError: a file cannot be loaded, or a warehouse cannot be reached.
        LockedError: with ``once``: another loader is at work.
    """
    for name in into:
        if name not in WAREHOUSES:
            raise SettingsError(f"--into {name}: name {' or '.join(WAREHOUSES)}")
    seen: Mapping[str, str] = {}
    loaded: list[LoadedFiles] = []

    def tell(files: LoadedFiles) -> None:
        loaded.append(files)
        on_loaded(files)

    while True:
        now = _newest(simulation)
        if now != seen or once:
            for name in into or WAREHOUSES:
                try:
                    load(
                        simulation,
                        WAREHOUSES[name](simulation),
                        on_loaded=partial(_tell, tell, name),
                        only_staged=not once,
                    )
                except LockedError:
                    if once:
                        raise
                    now = {}  # another one loads: look again
            seen = now
        if once:
            return bool(loaded)
        time.sleep(simulation.project.settings.simulate.poll_seconds)


def _newest(simulation: CloudStack) -> dict[str, str]:
    """The last load of each source that is staged."""
    found = {}
    for name in simulation.sources:
        source = bronze.read(simulation, name)
        if source is not None:
            found[name] = source.staged.load_id
    return found


def _tell(
    on_loaded: Callable[[LoadedFiles], None], warehouse: str, table: str, copied: Copied
) -> None:
    on_loaded(
        LoadedFiles(
            at=datetime.now(UTC), warehouse=warehouse, table=table, files=copied.files,
            rows=copied.rows, note=copied.note,
        )
    )  # fmt: skip
