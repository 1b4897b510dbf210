"""dlt resources of a schema file: simulated tables that are loaded incrementally.


@dlt.source(name="shop")
def shop(simulation: Simulation) -> Any:
    return simulated_resources(simulation, group="relational")

shop(Simulation(path, seed=0, scale=1.0, as_of=None))
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.synth.errors import SynthError
from headrace.synth.plan import TablePlan
from headrace.synth.population import from_us
from headrace.synth.record_batch import to_batch
from headrace.synth.schema.base import as_datetime
from headrace.synth.schema.fields import Datetime
from headrace.synth.view import View
from headrace.synth.world import World

if TYPE_CHECKING:
    import pyarrow as pa
    from dlt.extract import DltResource

    from headrace.synth.faults import Overlay

_BATCH_ROWS: Final = 1 << 18


@dataclass(frozen=True)
class Simulation:
    """A schema file as a system that can be asked what is new.

    Attributes:
        schema: the schema file.
        seed: without it, the schema file's.
        scale: multiplies its counts and rates.
        as_of: the timestamp up to which things have happened, UTC; without it, now.
        faults: what is wrong with its rows, as ``headrace generate --faults`` takes it.
    """

    schema: Path
    seed: int | None = None
    scale: float = 1.0
    as_of: datetime | None = None
    faults: str | None = None
    _views: dict[datetime | None, "tuple[View, Overlay | None]"] = field(
        default_factory=dict, compare=False, repr=False
    )

    @cached_property
    def world(self) -> World:
        """The tables; read when the first of them is asked for."""
        return World.from_file(self.schema, seed=self.seed, scale=self.scale)

    @cached_property
    def until(self) -> datetime:
        """What as_of comes to, UTC without a time zone, to the second."""
        timestamp = self.as_of or datetime.now(UTC)
        return as_datetime(timestamp).replace(microsecond=0)

    def view(self, since: datetime | None) -> "tuple[View, Overlay | None]":
        """What there is, or what changed after a timestamp; and the faults that lie over it."""
        if since not in self._views:
            whole = View.of(self.world, self.until)
            view = whole if since is None else whole.delta(since)
            self._views[since] = view, self._overlay(view)
        return self._views[since]

    def _overlay(self, view: View) -> "Overlay | None":
        if self.faults is None:
            return None
        from headrace.synth.faults import Overlay, parse_spec

        return Overlay(view, parse_spec(self.faults, view))

    def faults_of(self, table: str) -> list[str]:
        """The faults of a table that hit its rows, as text, whatever their order."""
        _, overlay = self.view(None)
        return [] if overlay is None else overlay.of_rows(table)


def simulated_resources(
    simulation: Simulation,
    *,
    group: str | None = None,
    tables: Iterable[str] | None = None,
    cursors: Mapping[str, str] | None = None,
    lag: timedelta | None = None,
    keys: Mapping[str, tuple[str, ...]] | None = None,
) -> "list[DltResource]":
    """One dlt resource for each table: Arrow, merged on its key, incremental on its cursor.

    The first load replaces what is there, every later one merges what changed since the largest
    value of the cursor that was loaded. A table whose rows have other faults than before is loaded
    whole again; a column that changes shows in the rows that are loaded from then on. The cursor
    of a table is its datetime with
    ``distribution: updated``; a table without any, and without a rate, is loaded once.

    Args:
        simulation: what to read from.
        group: only tables of this group of the schema file.
        tables: only these tables.
        cursors: another cursor by table: a timestamp, or an integer of microseconds since 1970.
        lag: read again what is this much older than the cursor, for rows that arrive late while
            the cursor is the time of the event.
        keys: the key of a table, where it is not the schema file's primary key.

    Raises:
        SynthError: the schema file is wrong, or holds no such table.
    """
    world = simulation.world
    names = None if tables is None else set(tables)
    plans = [
        plan
        for plan in world.tables
        if (group is None or plan.table.group == group) and (names is None or plan.name in names)
    ]
    if not plans:
        raise SynthError(f"{simulation.schema} has no table of that name or group to load")
    return [
        _resource(
            simulation,
            plan,
            cursor=(cursors or {}).get(plan.name) or _cursor(plan),
            key=(keys or {}).get(plan.name) or plan.table.key,
            lag=lag,
        )
        for plan in plans
    ]


def _cursor(plan: TablePlan) -> str | None:
    for name in plan.columns:
        item = plan.table.fields[name]
        if isinstance(item, Datetime) and item.distribution == "updated":
            return name
    return None


def _resource(
    simulation: Simulation,
    plan: TablePlan,
    *,
    cursor: str | None,
    key: tuple[str, ...],
    lag: timedelta | None,
) -> "DltResource":
    import dlt

    if not key:
        raise SynthError(f"{plan.name} has no primary key to merge on; give the schema file one")
    columns: dict[str, Any] = {}
    if plan.table.deletions is not None:
        columns[plan.table.deletions.column] = {"hard_delete": True}

    def everything() -> Iterator[Any]:
        """A table without a cursor: loaded again when the simulation is another one."""
        state = dlt.current.resource_state()
        mark = [simulation.world.seed, simulation.scale, str(simulation.schema.stat().st_mtime_ns)]
        mark += simulation.faults_of(plan.name)
        if state.get("simulation") == mark and not plan.evolves:
            return
        is_first = state.get("simulation", mark)[3:] != mark[3:] or "simulation" not in state
        yield from _batches(*simulation.view(None), plan, key, is_first=is_first)
        state["simulation"] = mark

    def changes(after: Any) -> Iterator[Any]:
        last = after.last_value
        since = None if last is None else _timestamp(last)
        state = dlt.current.resource_state()
        seed, scale = simulation.world.seed, simulation.scale
        loaded = state.get("simulation", [seed, scale])
        if since is not None and loaded != [seed, scale]:
            raise SynthError(
                f"{plan.name} was loaded with seed {loaded[0]} and scale {loaded[1]:g}, and now "
                f"they are {seed} and {scale:g}: set them back, or load again with --full-refresh"
            )
        faults = simulation.faults_of(plan.name)
        if state.get("faults", []) != faults:
            since = after.start_value = None  # else dlt drops rows that are older than the last
        state["simulation"], state["faults"] = [seed, scale], faults
        if since is not None and since >= simulation.until:
            return
        yield from _batches(*simulation.view(since), plan, key, is_first=since is None)

    hints: dict[str, Any] = {
        "name": plan.name,
        "primary_key": list(key),
        "write_disposition": "merge",
        "columns": columns,
    }
    if cursor is None:
        return dlt.resource(everything, **hints)
    step: dict[str, Any] = {}
    if lag is not None:
        is_number = plan.table.fields[cursor].type == "derived"
        seconds = lag.total_seconds()
        step["lag"] = int(seconds * 1_000_000) if is_number else seconds

    def incremental(after: Any = dlt.sources.incremental(cursor, **step)) -> Iterator[Any]:  # noqa: B008
        yield from changes(after)

    return dlt.resource(incremental, **hints)


def _timestamp(value: Any) -> datetime:
    if isinstance(value, int):
        return from_us(value).replace(tzinfo=None)
    return as_datetime(value)


def _batches(
    view: View, overlay: "Overlay | None", plan: TablePlan, key: tuple[str, ...], *, is_first: bool
) -> Iterator[Any]:
    """Arrow tables of some size, the first with the hints of all."""
    import dlt

    tables = gathered(view, plan, _BATCH_ROWS, overlay)
    if is_first:
        # a table that has no row yet is made all the same: models read it
        first = next(tables, _schema(view, plan, overlay).empty_table())
        hints = dlt.mark.make_hints(write_disposition="replace", primary_key=list(key))
        yield dlt.mark.with_hints(first, hints)
    yield from tables


def gathered(
    view: View, plan: TablePlan, rows: int, overlay: "Overlay | None" = None
) -> Iterator["pa.Table"]:
    """The rows of a table as Arrow tables of about so many rows, strings not as dictionaries."""
    import pyarrow as pa

    schema = _schema(view, plan, overlay)
    waiting: list[Any] = []
    count = 0
    for frame in view.released(plan):
        batch = to_batch(frame)
        for one in [batch] if overlay is None else overlay.apply(plan, frame, batch):
            waiting.append(pa.Table.from_batches([one]).cast(schema))
            count += len(one)
        if count >= rows:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting, count = [], 0
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _schema(view: View, plan: TablePlan, overlay: "Overlay | None") -> "pa.Schema":
    plain = view.arrow_schema(plan)
    return plain if overlay is None else overlay.schema(plan, plain)
