"""``headrace quarantine replay`` and ``discard``: correct rows, and load them once.

open rows ──> corrected ──> typed as the table is ──> compared with it ──> one transaction
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, TypeAdapter

from headrace.catalog import RunStore
from headrace.errors import SourceError, WarehouseError
from headrace.exceptions import came_of_ctrl_c, first_line
from headrace.formatting import did_you_mean, shortened
from headrace.ingest.cursor import CursorError
from headrace.ingest.merge import kind_of_type, rank_text
from headrace.ingest.model import FileTable
from headrace.ingest.quarantine import HISTORY_TABLE, replayed_from
from headrace.ingest.types import exact_cast
from headrace.ingest.value_formats import written_columns
from headrace.libraries import dlt as libraries_dlt
from headrace.pipeline import lock
from headrace.pipeline.building import reuse
from headrace.pipeline.quarantine.listing import keep, read_rows
from headrace.pipeline.quarantine.rows import (
    PREFIX,
    Chosen,
    QuarantinedRow,
    add_history,
    columns_of,
    opened,
    quarantined_rows,
    require_rows,
)
from headrace.pipeline.reports import LoadReport, Report, TableReport
from headrace.pipeline.run_record import RunRecord, new_run_id
from headrace.pipeline.state.build_state import code_version
from headrace.sql_text import identifier, identifiers, literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from headrace.settings import Resolved

_TEXT = f"{PREFIX}text"


class RowLeft(Report):
    """A row that stays in quarantine."""

    id: str
    where: str = Field(description="file and line, or row")
    reason: str


class ReplayReport(Report):
    """What a replay did: given = new + changed + unchanged + left."""

    run_id: str | None = Field(description="none of a dry run, which changes nothing")
    source: str
    table: str
    rows_given: int
    rows_new: int
    rows_changed: int
    rows_unchanged: int = Field(description="the table has them already")
    left: tuple[RowLeft, ...] = Field(description="rows that stay in quarantine, and why")
    seconds: float


class DiscardReport(Report):
    """Rows that were discarded; their history is kept."""

    run_id: str
    rows: int


def replay(
    resolved: "Resolved",
    chosen: Chosen,
    *,
    corrections: Sequence[str] = (),
    edited: Path | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> ReplayReport:
    """Correct rows of one table that are in quarantine, and load those that fit then.

    Args:
        resolved: the settings.
        chosen: the rows; source and table are set.
        corrections: ``column = SQL`` in order; all columns are text. What could not be read as a
            row is in ``_quarantine_text``; SQL that does not name it leaves such rows alone.
        edited: a file of `listing.write_rows` with corrected values; rows that it lacks are
            not replayed.
        overwrite: whether rows of the table that may be newer are replaced.
        dry_run: whether nothing is to be changed.

    Returns:
        What was loaded, and what stays in quarantine.

    Raises:
        SourceError: no such rows, a correction that is wrong, or a table that has no rows yet.
        WarehouseError: the warehouse cannot be written.
        LockedError: a run is in progress.
    """
    command = "headrace quarantine replay"
    with (
        lock.hold(resolved.target, command),
        _reused_afterwards(resolved) as changed,
        opened(resolved, read_only=dry_run) as connection,
    ):
        rows = quarantined_rows(connection, chosen)
        given = read_rows(edited) if edited is not None else None
        if given is not None:
            rows = [row for row in rows if row.id in given]
        require_rows(rows, chosen)
        one = _Replay(connection, chosen, rows, overwrite=overwrite)
        started = time.monotonic()
        one.correct(corrections, given or {})
        one.compare()
        if dry_run:
            return one.report(None, time.monotonic() - started)
        with _recorded(resolved, command) as run:
            one.write(run.run_id)
            report = one.report(run.run_id, time.monotonic() - started)
            run.loaded = _table_report(connection, report, chosen.schema)
            changed.append(run.loaded)
            keep(resolved, run.store, run.run_id, [str(chosen.source)], connection)
        return report


def discard(resolved: "Resolved", chosen: Chosen) -> DiscardReport:
    """Give rows up: they are no longer listed as open, and do not come back with their file.

    Raises:
        SourceError: no such rows.
        WarehouseError: the warehouse cannot be written.
        LockedError: a run is in progress.
    """
    command = "headrace quarantine discard"
    with (
        lock.hold(resolved.target, command),
        _reused_afterwards(resolved) as changed,
        opened(resolved, read_only=False) as connection,
    ):
        rows = quarantined_rows(connection, chosen)
        require_rows(rows, chosen)
        with _recorded(resolved, command) as run:
            with _transaction(connection):
                events = [(row.id, None) for row in rows]
                add_history(connection, chosen.schema, "discarded", events, run_id=run.run_id)
            changed.append(
                TableReport(
                    source=str(chosen.source),
                    table=HISTORY_TABLE,
                    rows_given=len(rows),
                    rows_new=len(rows),
                    rows_changed=0,
                    rows_total=len(rows),
                )
            )
            keep(resolved, run.store, run.run_id, [str(chosen.source)], connection)
            return DiscardReport(run_id=run.run_id, rows=len(rows))


@dataclass
class _Recorded:
    store: RunStore
    run_id: str
    loaded: TableReport | None = None


@contextmanager
def _recorded(resolved: "Resolved", command: str) -> "Iterator[_Recorded]":
    """Record a run; the caller holds the lock."""
    store = RunStore(resolved.run_store_url)
    run, started, status, text = _Recorded(store, new_run_id()), time.monotonic(), "error", None
    try:
        store.begin_run(
            run.run_id,
            command=command,
            target=resolved.target.name,
            lock=str(resolved.target.lock_path),
            code_version=code_version(resolved.root),
        )
        yield run
        status = "success"
    except BaseException as error:
        status = "interrupted" if came_of_ctrl_c(error) else "error"
        text = first_line(error)
        raise
    finally:
        if run.loaded is not None:
            RunRecord(store, run.run_id).add_loads([run.loaded])
        store.end_run(
            run.run_id,
            status=status,
            seconds=time.monotonic() - started,
            error=text,
            rows_loaded=None
            if run.loaded is None
            else run.loaded.rows_new + run.loaded.rows_changed,
            published_path=None,
        )
        store.close()


@contextmanager
def _reused_afterwards(resolved: "Resolved") -> "Iterator[list[TableReport]]":
    """Later builds run only what reads the tables that are told; the caller holds the lock."""
    changed: list[TableReport] = []
    last = reuse.last_build(resolved, resolved.target)
    yield changed
    if last is not None and changed:
        report = LoadReport(tables=tuple(changed), load_ids=(), seconds=0)
        reuse.after_load(resolved, resolved.target, last, report, whole=False)


@contextmanager
def _transaction(connection: "duckdb.DuckDBPyConnection") -> "Iterator[None]":
    """All or nothing.

    Raises:
        WarehouseError: it could not be written.
    """
    import duckdb

    connection.execute("begin transaction")
    try:
        yield
        connection.execute("commit")
    except BaseException as error:
        connection.rollback()
        if isinstance(error, duckdb.Error):
            raise WarehouseError(
                f"nothing was changed, as it could not be written: {first_line(error)}"
            ) from error
        raise


def _table_report(
    connection: "duckdb.DuckDBPyConnection", report: ReplayReport, schema: str
) -> TableReport:
    table = f"{identifier(schema)}.{identifier(report.table)}"
    (total,) = connection.execute(f"select count(*) from {table}").fetchone() or (0,)
    return TableReport(
        source=report.source,
        table=report.table,
        rows_given=report.rows_given,
        rows_new=report.rows_new,
        rows_changed=report.rows_changed,
        rows_unchanged=report.rows_unchanged,
        rows_quarantined=len(report.left),
        rows_total=total,
    )


@dataclass
class _Replay:
    """One replay; one use.

    ``typed`` has the corrected rows in the types of the table, with ``__id``, ``__file``,
    ``__load``, ``__text`` (the row as JSON), ``__class`` and ``__why`` (it stays in quarantine).
    """

    connection: "duckdb.DuckDBPyConnection"
    chosen: Chosen
    rows: list[QuarantinedRow]
    overwrite: bool
    table: FileTable = field(init=False)
    kinds: dict[str, str] = field(init=False)
    names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        columns = columns_of(self.connection, self._schema, self._name)
        if not columns:
            raise SourceError(
                f"{self.chosen.source}.{self.chosen.table} has no rows yet, so nothing says which "
                "types its columns have: load a file with sound rows first, or correct the file"
            )
        self._own = columns
        self.kinds = {
            name: kind
            for name, kind in columns.items()
            if not name.startswith(("_dlt", "_file_name")) and "__v_" not in name
        }
        self.table = self._settings()
        others = (name for row in self.rows for name in row.values)
        self.names = list(dict.fromkeys([*self.kinds, *others]))

    @property
    def _schema(self) -> str:
        return self.chosen.schema

    @property
    def _name(self) -> str:
        return str(self.chosen.table)

    @property
    def _raw(self) -> str:
        return f"{identifier(self._schema)}.{identifier(self._name)}"

    def _settings(self) -> FileTable:
        """How the table was read when it was loaded last: its key, cursor and types."""
        from dlt.common.normalizers.naming.snake_case import NamingConvention

        schema = identifier(self._schema)
        row = self.connection.execute(
            f"select state from {schema}._dlt_pipeline_state where _dlt_load_id in "
            f"(select load_id from {schema}._dlt_loads where status = 0) "
            "order by version desc limit 1"
        ).fetchone()
        state = libraries_dlt.resource_state(str(row[0]), self._name) if row else {}
        known = FileTable.__dataclass_fields__.keys()
        settings = {key: value for key, value in state.get("settings", {}).items() if key in known}
        table = TypeAdapter(FileTable).validate_python({**settings, "pattern": "*"})
        return table.normalized(NamingConvention().normalize_identifier)

    def correct(
        self, corrections: Sequence[str], edited: Mapping[str, Mapping[str, str | None]]
    ) -> None:
        """Fill ``given``: all columns as text, as they are after the corrections."""
        import duckdb
        import pyarrow as pa

        for row in edited.values():
            for name in row:
                if name not in self.names and not name.startswith(PREFIX):
                    raise SourceError(self._unknown(name))
        values = [{**row.values, **edited.get(row.id, {})} for row in self.rows]
        columns: dict[str, Any] = {
            "__id": [row.id for row in self.rows],
            "__file": [row.file for row in self.rows],
            "__load": [row.load_id for row in self.rows],
            _TEXT: [row.text for row in self.rows],
        }
        columns |= {name: [row.get(name) for row in values] for name in self.names}
        arrays = {name: pa.array(each, pa.string()) for name, each in columns.items()}
        with duckdb.connect() as scratch:
            scratch.register("arrow_rows", pa.table(arrays))
            scratch.execute("create table given as select * from arrow_rows")
            scratch.execute("set TimeZone = 'UTC'; set enable_external_access = false")
            for correction in corrections:
                self._correct_one(scratch, correction)
            found = scratch.execute("select * from given").to_arrow_table()
        self.connection.register("given", found)

    def _unknown(self, name: str) -> str:
        meant = did_you_mean(name, self.names)
        return (
            f"{self.chosen.source}.{self._name} has no column {name!r}"
            f"{f' ({meant})' if meant else ''}: its columns are {', '.join(self.names)}"
        )

    def _correct_one(self, scratch: "duckdb.DuckDBPyConnection", correction: str) -> None:
        import duckdb

        name, sign, sql = (part.strip() for part in correction.partition("="))
        if not sign or not sql:
            raise SourceError(
                f"--correct {correction!r}: write it as COLUMN = SQL, like "
                "\"amount = replace(amount, ',', '.')\""
            )
        name = name.strip('"')
        if name not in self.names:
            raise SourceError(self._unknown(name))
        # half of a row that could not be read is not a row
        where = "" if _TEXT in sql else f" where {_TEXT} is null"
        try:
            scratch.execute(
                f"update given set {identifier(name)} = cast(({sql}) as varchar){where}"
            )
        except duckdb.Error as error:
            raise SourceError(f"--correct {correction!r}: {first_line(error)}") from error

    def compare(self) -> None:
        """Fill ``typed``: see the class."""
        key = self.table.primary_key
        misfits = ", ".join(self._misfit(name, kind) for name, kind in self.kinds.items())
        unknown = ", ".join(
            f"case when text.{identifier(name)} is not null then "
            f"{literal(f'the table has no column {name}: empty it')} end"
            for name in self.names
            if name not in self.kinds
        )
        nulls = " or ".join(f"typed.{identifier(name)} is null" for name in key) or "false"
        empty = " and ".join(f"text.{identifier(name)} is null" for name in self.kinds)
        problems = ", ".join(part for part in (misfits, unknown) if part)
        cursor = self._cursor_sql()
        self.connection.execute(
            f"create or replace temp table typed as select typed.*, text.__text, coalesce("
            f"case when {empty} then 'it has no value: give it some' end, "
            f"list_first(list_filter([{problems}], lambda each: each is not null)), "
            f"case when {nulls} then {literal(', '.join(key) + ' is null')} end) as __why, "
            f"cast('new' as varchar) as __class from ({self._typed()}) as typed "
            f"inner join ({self._texts()}) as text on typed.__id = text.__id"
        )
        if key:
            self._compare_by_key(key, cursor)

    @staticmethod
    def _misfit(name: str, kind: str) -> str:
        """SQL of what is wrong with a value that does not fit its column; null if it fits."""
        column = identifier(name)
        value = f"left(text.{column}, 60)"
        begin, end = literal(f"{name} is '"), literal(f"', which is not a {kind}")
        return (
            f"case when text.{column} is not null and typed.{column} is null "
            f"then {begin} || {value} || {end} end"
        )

    def _written(self) -> str:
        """SQL of the rows, with values written as the settings say in the form of their type."""
        written = written_columns(self.table, dict.fromkeys(self.kinds, "VARCHAR"))
        selected = [
            f"{written.get(name, identifier(name))} as {identifier(name)}" for name in self.kinds
        ]
        return f"select __id, __file, __load, {', '.join(selected)} from given"

    def _typed(self) -> str:
        selected = ", ".join(
            f"{self._cast(name, kind)} as {identifier(name)}" for name, kind in self.kinds.items()
        )
        return f"select __id, __file, __load, {selected} from ({self._written()})"

    def _cast(self, name: str, kind: str) -> str:
        if kind == "JSON":
            column = identifier(name)
            return (
                f"case when json_valid({column}) then cast({column} as json) "
                f"else to_json({column}) end"
            )
        return exact_cast(name, "VARCHAR", kind, utc=name in self.table.columns)

    def _texts(self) -> str:
        """SQL of the texts of a row, and the whole of it as JSON."""
        pairs = ", ".join(f"{literal(name)}, {identifier(name)}" for name in self.names)
        names = identifiers(self.names)
        nulls = ", ".join(map(literal, self.table.null_values))
        if nulls:
            names = ", ".join(
                f"case when {identifier(name)} not in ({nulls}) then {identifier(name)} end "
                f"as {identifier(name)}"
                for name in self.names
            )
        return f"select __id, {names}, cast(json_object({pairs}) as varchar) as __text from given"

    def _cursor_sql(self) -> str | None:
        """SQL of a row's place in the order of versions, of ``{alias}``; None without a cursor."""
        cursor = self.table.cursor
        if cursor is None or cursor not in self.kinds:
            return None
        column = "{alias}." + identifier(cursor)
        if kind_of_type(self.kinds[cursor]) is not None:
            return column
        if self.kinds[cursor] != "VARCHAR":
            return None
        name = identifier(cursor)
        try:
            rank_text(
                self.connection,
                f"select {name} from given union all select {name} from {self._raw}",
                declared_text=cursor in self.table.columns,
            )
        except CursorError:
            return None  # which row is newer is then told by their loads
        return f"(select __rank from cursor_rank where __value = {column})"

    def _compare_by_key(self, key: tuple[str, ...], cursor: str | None) -> None:
        same_key = " and ".join(
            f"typed.{identifier(name)} = raw.{identifier(name)}" for name in key
        )
        self.connection.execute(
            "update typed set __why = 'another row of this replay has the same "
            f"{', '.join(key)}' where __why is null and __id not in (select arg_max(__id, "
            f"__load || __id) from typed where __why is null group by {identifiers(key)})"
        )
        differs = " or ".join(
            f"cast(typed.{identifier(name)} as varchar) is distinct from "
            f"cast(raw.{identifier(name)} as varchar)"
            for name in self.kinds
            if name not in key
        )
        newer = "cast(raw._dlt_load_id as double) >= cast(typed.__load as double)"
        by_load = (
            f"case when {newer} then 'the table has a row of this "
            f"{', '.join(key)} that was loaded with it or later' end"
        )
        why = by_load
        if cursor is not None:
            ours, theirs = cursor.format(alias="typed"), cursor.format(alias="raw")
            why = (
                f"case when {ours} > {theirs} or {theirs} is null then null "
                f"when {ours} is null or {ours} < {theirs} then "
                f"{literal(f'the table has a newer {self.table.cursor} of it')} "
                f"else {by_load} end"
            )
        loads = f"{identifier(self._schema)}._dlt_loads"
        refused = "null" if self.overwrite else f"case when {differs or 'false'} then {why} end"
        self.connection.execute(
            f"update typed set __class = found.class, __why = coalesce(__why, found.why) from ("
            f"select typed.__id as id, case when {differs or 'false'} then 'changed' "
            f"else 'same' end as class, {refused} as why from typed inner join {self._raw} as raw "
            f"on {same_key} where raw._dlt_load_id in "
            f"(select load_id from {loads} where status = 0)) as found where typed.__id = found.id"
        )

    def write(self, run_id: str) -> None:
        """Load the rows that may be loaded and note it, at once.

        Raises:
            WarehouseError: it could not be written; nothing was changed.
        """
        load_id = f"{time.time():.6f}"
        values = {name: identifier(name) for name in self.kinds}
        values |= {
            "_dlt_load_id": literal(load_id),
            self.table.file_column: replayed_from("__file", "__id"),
            "_dlt_id": "left(__id, 14)",
        }
        columns = [name for name in values if name in self._own]
        rows = "from typed where __why is null and __class in ('new', 'changed')"
        with _transaction(self.connection):
            if self.table.primary_key:
                same = " and ".join(
                    f"raw.{identifier(name)} = typed.{identifier(name)}"
                    for name in self.table.primary_key
                )
                self.connection.execute(
                    f"delete from {self._raw} as raw using (select * {rows}) as typed where {same}"
                )
            self.connection.execute(
                f"insert into {self._raw} ({identifiers(columns)}) "
                f"select {', '.join(values[name] for name in columns)} {rows}"
            )
            loads = f"{identifier(self._schema)}._dlt_loads"
            self.connection.execute(
                f"insert into {loads} by name select * replace ({literal(load_id)} as load_id, "
                f"now() as inserted_at) from {loads} where status = 0 "
                "order by inserted_at desc limit 1"
            )
            done = self.connection.execute(
                "select __id, __text from typed where __why is null"
            ).fetchall()
            add_history(self.connection, self._schema, "replayed", done, run_id=run_id)

    def report(self, run_id: str | None, seconds: float) -> ReplayReport:
        """What came of it."""
        counts = dict(
            self.connection.execute(
                "select __class, count(*) from typed where __why is null group by __class"
            ).fetchall()
        )
        whys = dict(
            self.connection.execute(
                "select __id, __why from typed where __why is not null"
            ).fetchall()
        )
        return ReplayReport(
            run_id=run_id,
            source=str(self.chosen.source),
            table=self._name,
            rows_given=len(self.rows),
            rows_new=counts.get("new", 0),
            rows_changed=counts.get("changed", 0),
            rows_unchanged=counts.get("same", 0),
            left=tuple(
                RowLeft(id=row.id, where=row.where, reason=shortened(whys[row.id], 200))
                for row in self.rows
                if row.id in whys
            ),
            seconds=seconds,
        )
