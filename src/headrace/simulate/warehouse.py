"""COPY: the files of bronze into a warehouse, each once, and raw tables of what is there.

A landing table gets the rows of all files, as they are; the raw table, which dbt reads, has the
newest of each key. A loader that is killed leaves the landing table as it was, or with whole files
that the warehouse remembers; the next one loads the rest, and makes each raw table again that is
older than its landing table.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from headrace.errors import SettingsError, WarehouseError
from headrace.simulate import bronze
from headrace.simulate.bronze import LOAD, OP, BronzeColumn, BronzeTable
from headrace.simulate.places import BRONZE, CloudStack
from headrace.simulate.reports import StageTable
from headrace.sql_text import literal
from headrace.targets import Target
from headrace.targets.object_store import Entry

LANDING = "landing"
"""The end of the name of the schema of landing tables: `shop_landing`."""

STATE = "simulated_tables"
"""In Headrace's own schema: which landing table each raw table was made of."""

OWN_SCHEMA = "_headrace"


@dataclass(frozen=True)
class Copied:
    """What a COPY loaded of a table.

    Attributes:
        files: that it loaded.
        rows: of them.
        note: what it left out, in a sentence.
    """

    files: tuple[str, ...] = ()
    rows: int = 0
    note: str | None = None


class Warehouse(Protocol):
    """What is different from one warehouse to the other."""

    def connected(self) -> "AbstractContextManager[Warehouse]":
        """A connection, closed at the end.

        Raises:
            WarehouseError: it cannot be made, or a statement in the block failed.
        """

    def lock(self) -> AbstractContextManager[None]:
        """What keeps other machines from loading into it at once.

        Raises:
            LockedError: another one does.
        """

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Run a statement; the rows that it gives."""

    def name(self, *parts: str) -> str:
        """A quoted name."""

    def type(self, kind: str) -> str:
        """The type of a column, of DuckDB's."""

    def parsed(self, column: str) -> str:
        """SQL of a text column that holds JSON."""

    def columns(self, schema: str, table: str) -> list[str]:
        """The columns of a table in lower case; none where there is no table."""

    @property
    def json_type(self) -> str:
        """The type of a column of JSON."""

    def replace_table(
        self, schema: str, table: str, columns: Mapping[str, str], query: str
    ) -> None:
        """Make a table of a query, in place of the one that is there.

        Args:
            schema: of the table.
            table: its name.
            columns: with their types.
            query: gives them, in order.
        """

    def copy(
        self, schema: str, table: str, columns: Sequence[str], source: str, files: Sequence[Entry]
    ) -> Copied:
        """Load those files of a folder of bronze that the table does not have yet, in one step.

        Args:
            schema: of the landing table.
            table: its name.
            columns: that it has.
            source: the folder, ``bronze/shop/order``.
            files: in it.
        """


def load(
    simulation: CloudStack,
    warehouse: Warehouse,
    *,
    on_loaded: Callable[[str, Copied], None] = lambda name, copied: None,
    on_failed: Callable[[str, WarehouseError], None] | None = None,
    only_staged: bool = False,
) -> list[StageTable]:
    """Load what a warehouse does not have yet of the sources that are staged.

    Args:
        simulation: the places.
        warehouse: to load into.
        on_loaded: is told of each table that got files.
        on_failed: is told of each table that cannot be loaded, and the others are; else the first
            such table ends it.
        only_staged: leave out sources that are not staged yet.

    Raises:
        WarehouseError: a source is not staged, the warehouse cannot be reached, or a statement
            failed.
        LockedError: another loader is at work.
    """
    if only_staged:
        every = (bronze.read(simulation, name) for name in simulation.sources)
        staged = [one for one in every if one is not None]
    else:
        staged = bronze.needed(simulation)
    found: list[StageTable] = []
    waiting = [(source, name) for source in staged for name in source.staged.tables]
    with warehouse.lock():
        while waiting:
            is_connected = False
            try:
                with warehouse.connected() as connection:
                    state = _make_state(connection)
                    is_connected = True
                    while waiting:
                        found.append(_load_table(connection, state, *waiting[0], on_loaded))
                        del waiting[0]
            except WarehouseError as error:
                if on_failed is None or not is_connected:
                    raise
                source, name = waiting.pop(0)
                on_failed(f"{source.name}_{LANDING}.{name}", error)
    return found


def _make_state(warehouse: Warehouse) -> str:
    warehouse.ask(f"create schema if not exists {warehouse.name(OWN_SCHEMA)}")
    state = warehouse.name(OWN_SCHEMA, STATE)
    text = warehouse.type("VARCHAR")
    warehouse.ask(
        f"create table if not exists {state} (schema_name {text}, name {text}, made_of {text})"
    )
    return state


def _load_table(
    warehouse: Warehouse,
    state: str,
    source: bronze.StagedSource,
    name: str,
    on_loaded: Callable[[str, Copied], None],
) -> StageTable:
    table = source.staged.tables[name]
    raw, landing = source.staged.raw_schema, f"{source.name}_{LANDING}"
    for schema in (raw, landing):
        warehouse.ask(f"create schema if not exists {warehouse.name(schema)}")
    made = warehouse.ask(f"select made_of from {state} where {_is_of(raw, name)}")
    copied = _land(warehouse, landing, name, table, source)
    if copied.files:
        on_loaded(f"{landing}.{name}", copied)
    _make_raw(warehouse, raw, landing, name, table, str(made[0][0]) if made else None, state)
    files = source.of(name)
    return StageTable(
        name=f"{raw}.{name}",
        place=warehouse.name(raw, name),
        files=len(files),
        bytes=sum(entry.size for entry in files if entry.key in set(copied.files)),
        rows=table.rows,
        new_files=len(copied.files),
        new_rows=copied.rows,
        note=copied.note,
    )


def _is_of(raw: str, name: str) -> str:
    return f"schema_name = {literal(raw)} and name = {literal(name)}"


def _land(
    warehouse: Warehouse,
    landing: str,
    name: str,
    table: BronzeTable,
    source: bronze.StagedSource,
) -> Copied:
    """Make the landing table as wide as the files, and load those that it lacks."""
    text = warehouse.type("VARCHAR")
    wanted = {OP: text, LOAD: text} | {one.name: warehouse.type(one.type) for one in table.columns}
    there = warehouse.columns(landing, name)
    relation = warehouse.name(landing, name)
    if not there:
        columns = ", ".join(f"{warehouse.name(one)} {kind}" for one, kind in wanted.items())
        warehouse.ask(f"create table if not exists {relation} ({columns})")
    else:
        for one, kind in wanted.items():
            if one.lower() not in there:
                warehouse.ask(f"alter table {relation} add column {warehouse.name(one)} {kind}")
    files = source.of(name)
    if not files:
        return Copied()
    return warehouse.copy(landing, name, list(wanted), f"{BRONZE}/{source.name}/{name}", files)


def _make_raw(
    warehouse: Warehouse, raw: str, landing: str, name: str, table: BronzeTable,
    made_of: str | None, state: str,
) -> None:  # fmt: skip
    """Make the raw table again, unless it is of the landing table as it is now."""
    origin = warehouse.name(landing, name)
    ((count, newest),) = warehouse.ask(
        f"select count(*), max({warehouse.name(LOAD)}) from {origin}"
    )
    now = f"{count} {newest} {len(table.columns)}"
    if now == made_of and warehouse.columns(raw, name):
        return
    chosen = ", ".join(_column(warehouse, one) for one in table.columns)
    keys = ", ".join(warehouse.name(one) for one in table.keys)
    order = warehouse.name(LOAD)
    ranked, first = f"{origin} where {order} = {literal(str(newest))}", ""
    if keys:
        first = " and _rank = 1"
        ranked = (
            f"(select *, row_number() over (partition by {keys} order by {order} desc) as _rank "
            f"from {origin}) as ranked where 1 = 1"
        )
    query = f"select {chosen} from {ranked} and {warehouse.name(OP)} <> 'D'{first}"
    columns = {
        one.name: warehouse.json_type if one.is_json else warehouse.type(one.type)
        for one in table.columns
    }
    warehouse.replace_table(raw, name, columns, query)
    warehouse.ask(f"delete from {state} where {_is_of(raw, name)}")
    warehouse.ask(f"insert into {state} values ({literal(raw)}, {literal(name)}, {literal(now)})")


def _column(warehouse: Warehouse, column: BronzeColumn) -> str:
    quoted = warehouse.name(column.name)
    return f"{warehouse.parsed(quoted)} as {quoted}" if column.is_json else quoted


def target_of(simulation: CloudStack, name: str, kind: str) -> Target:
    """A target of a type.

    Raises:
        SettingsError: it is of another type.
    """
    resolved = simulation.resolved(name)
    found = resolved.settings.targets[name].type
    if found != kind:
        raise SettingsError(
            f"simulate.{kind} names the target {name}, which is of the type {found}: name one of "
            f"the type {kind}"
        )
    return resolved.target
