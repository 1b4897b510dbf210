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

from headrace.errors import LockedError, SettingsError, WarehouseError
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


class FailedLoad(BaseModel):
    """What could not be loaded; it is tried again at the next look."""

    model_config = ConfigDict(frozen=True)

    at: datetime = Field(description="UTC")
    warehouse: str | None = Field(description="null: the bucket of bronze")
    table: str | None = Field(description="the landing table; null: the warehouse itself")
    error: str = Field(description="what is wrong, and what to do")


def watch(
    simulation: CloudStack,
    into: Sequence[str] = (),
    *,
    once: bool = False,
    on_loaded: Callable[[LoadedFiles], None] = lambda loaded: None,
    on_failed: Callable[[FailedLoad], None] = lambda failed: None,
) -> bool:
    """Load new files until Ctrl-C.

    A table that cannot be loaded keeps no other one back: it is told once, and tried again at each
    look until it can.

    Args:
        simulation: the places.
        into: warehouses: ``snowflake``, ``redshift``; by default both.
        once: look once, and end.
        on_loaded: is told of each table that got files.
        on_failed: is told of each table, or warehouse, that fails in another way than before.

    Returns:
        Whether there were new files.

    Raises:
        SettingsError: there is no such warehouse.
        WarehouseError: with ``once``: a file cannot be loaded, or a warehouse cannot be reached;
            what can be loaded is.
        LockedError: with ``once``: another loader is at work.
    """
    for name in into:
        if name not in WAREHOUSES:
            raise SettingsError(f"--into {name}: name {' or '.join(WAREHOUSES)}")
    seen: Mapping[str, str] = {}
    told: set[str] = set()
    loaded: list[LoadedFiles] = []

    def tell(files: LoadedFiles) -> None:
        loaded.append(files)
        on_loaded(files)

    if once:
        failed, _ = _look(simulation, into, tell, waits_for_lock=False, only_staged=False)
        for one in failed[1:]:
            on_failed(one)
        if failed:
            raise WarehouseError(failed[0].error)
        return bool(loaded)
    while True:
        try:
            newest: Mapping[str, str] = _newest(simulation)
            failed, is_done = [], True
            if newest != seen:
                failed, is_done = _look(simulation, into, tell)
        except WarehouseError as error:  # of the bucket
            newest, failed, is_done = {}, [_failed(None, None, error)], False
        for one in failed:
            if one.error not in told:
                on_failed(one)
        told = {one.error for one in failed}
        seen = newest if is_done and not failed else {}
        time.sleep(simulation.project.settings.simulate.poll_seconds)


def _look(
    simulation: CloudStack,
    into: Sequence[str],
    on_loaded: Callable[[LoadedFiles], None],
    *,
    waits_for_lock: bool = True,
    only_staged: bool = True,
) -> tuple[list[FailedLoad], bool]:
    """Load once; gives what failed, and whether no other loader was at work."""
    failed: list[FailedLoad] = []
    is_done = True
    for name in into or WAREHOUSES:

        def fail(table: str | None, error: WarehouseError, name: str = name) -> None:
            failed.append(_failed(name, table, error))

        try:
            load(
                simulation,
                WAREHOUSES[name](simulation),
                on_loaded=partial(_tell, on_loaded, name),
                on_failed=fail,
                only_staged=only_staged,
            )
        except LockedError:
            if not waits_for_lock:
                raise
            is_done = False
        except WarehouseError as error:
            fail(None, error)
    return failed, is_done


def _newest(simulation: CloudStack) -> dict[str, str]:
    """The last load of each source that is staged."""
    found = {}
    for name in simulation.sources:
        source = bronze.read(simulation, name)
        if source is not None:
            found[name] = source.staged.load_id
    return found


def _failed(warehouse: str | None, table: str | None, error: WarehouseError) -> FailedLoad:
    return FailedLoad(at=datetime.now(UTC), warehouse=warehouse, table=table, error=str(error))


def _tell(
    on_loaded: Callable[[LoadedFiles], None], warehouse: str, table: str, copied: Copied
) -> None:
    on_loaded(
        LoadedFiles(
            at=datetime.now(UTC), warehouse=warehouse, table=table, files=copied.files,
            rows=copied.rows, note=copied.note,
        )
    )  # fmt: skip
