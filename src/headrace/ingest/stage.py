"""Stage a table's changed files: check them, keep bad rows aside, find what is new or changed.

Two ways lead to the same rows. Large files that come first, or have new keys alone, are only
checked and then handed over as they are, as a ``SELECT`` that the warehouse runs itself. All others
are read into a local DuckDB, where every value is checked, the rows that break a rule are
quarantined, and the rest is compared with the raw table, so that only what is new or changed is
loaded.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headrace import portable
from headrace.errors import SourceError
from headrace.exceptions import first_line
from headrace.formatting import shortened
from headrace.ingest.bulk import OtherFilesNeededError, stage_whole
from headrace.ingest.csv_reader import CsvReader, without_bad_rows
from headrace.ingest.cursor import CursorError
from headrace.ingest.discover import SourceFile
from headrace.ingest.infer import (
    declared_types,
    fixed_question,
    infer_types,
    questions_of,
    sample_rows,
)
from headrace.ingest.json_reader import JsonReader, with_all_digits
from headrace.ingest.merge import (
    IS_GOOD,
    NONE_BAD,
    Existing,
    Merge,
    kind_of_type,
    rank_text,
)
from headrace.ingest.model import (
    FILE_COLUMN,
    FROM_FILE,
    FileChanges,
    FileTable,
    IngestContext,
    Staged,
)
from headrace.ingest.names import NamedColumns
from headrace.ingest.quarantine import (
    HISTORY_TABLE,
    QUARANTINE_TABLE,
    check_bad_rows,
    collect_quarantine,
    known_quarantine,
)
from headrace.ingest.reader import vanished
from headrace.ingest.scan import FileScan, folder_columns, name_scans, scan_file
from headrace.ingest.types import RawColumn, common_read, exact_cast, is_rounded_id
from headrace.libraries.duckdb import is_missing_file, make_room
from headrace.sql_text import batches, identifier, identifiers, is_there, literal, scalar
from headrace.system_errors import system_fault

if TYPE_CHECKING:
    import duckdb

BULK_BYTES = 8 * 1024 * 1024
_MANY_MISFITS = 10  # values of a file that show that its column has another type now


def stage(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    table: FileTable,
    changes: FileChanges,
    context: IngestContext,
    normalize: Callable[[str], str],
    given: Mapping[str, str] | None = None,
) -> Staged:
    """Stage the changed files of one table.

    Args:
        connection: an in-memory DuckDB for this table alone.
        name: the raw table's name.
        table: its files and key.
        changes: the files, and which of them changed; at least one.
        context: what the load runs in.
        normalize: dlt's naming convention.
        given: names of columns that earlier loads found, to their raw names.

    Raises:
        SourceError: a file breaks a rule that stops the load; nothing was handed over.
    """
    import duckdb

    files = changes.read
    try:
        # a time without an offset counts as UTC, on every machine
        connection.execute("set TimeZone = 'UTC'")
        existing = _existing(connection, name, context)
        _check_declared(declared_types(connection, table), existing, name, context)
        staged = None
        for files in (changes.read, changes.files):
            scans, names = _scans(connection, table, files, context, normalize, given or {})
            notes = [*names.notes, *(note for scan in scans for note in scan.notes)]
            make_room(connection, max(len(scan.names) for scan in scans))
            if _is_bulk(scans, existing, context):
                with suppress(duckdb.InvalidInputException):  # which line, is found below
                    try:
                        staged = stage_whole(
                            connection, name, table, scans, existing, changes, context.scratch_dir
                        )
                    except OtherFilesNeededError:
                        continue
            if staged is None:
                staged = _stage_by_row(connection, name, table, scans, existing, context, changes)
            if staged is not None:
                break
        assert staged is not None  # once all files are read, none is missing
        if files is not changes.read:
            notes.append(
                "unchanged files were read as well, because they may contain keys that other files "
                "no longer have"
            )
        dialects = {
            scan.file.name: scan.reader.dialect
            for scan in scans
            if isinstance(scan.reader, CsvReader) and scan.file.format == "csv"
        }
        return replace(staged, notes=(*notes, *staged.notes), names=names.given, dialects=dialects)
    except duckdb.Error as error:
        raise explain(error, files) from error


def _scans(
    connection: "duckdb.DuckDBPyConnection",
    table: FileTable,
    files: list[SourceFile],
    context: IngestContext,
    normalize: Callable[[str], str],
    given: Mapping[str, str],
) -> tuple[list[FileScan], NamedColumns]:
    scans = [
        replace(scan, reader=with_all_digits(connection, scan.reader, context.scratch_dir))
        if isinstance(scan.reader, JsonReader)
        else scan
        for scan in (
            scan_file(connection, file, table, normalize, context.scratch_dir) for file in files
        )
    ]
    return name_scans(scans, table, normalize, given)


def _is_bulk(scans: list[FileScan], existing: Existing, context: IngestContext) -> bool:
    return (
        context.accepts_sql
        and not context.thorough
        and (existing.has_rows or not existing.quarantine)
        and sum(scan.file.size for scan in scans) >= BULK_BYTES
        and not any(scan.rejected for scan in scans)
    )


def _stage_by_row(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    table: FileTable,
    scans: list[FileScan],
    existing: Existing,
    context: IngestContext,
    changes: FileChanges,
) -> Staged | None:
    """The thorough way, with a second try without the lines that DuckDB cannot read."""
    import duckdb

    try:
        return _Stager(connection, name, table, scans, existing, context, changes).run()
    except duckdb.InvalidInputException:
        readable = [
            replace(scan, reader=without_bad_rows(connection, scan.reader, context.scratch_dir))
            if isinstance(scan.reader, CsvReader)
            else scan
            for scan in scans
        ]
        if readable == scans:
            raise
    return _Stager(connection, name, table, readable, existing, context, changes).run()


def explain(error: Exception, files: list[SourceFile]) -> SourceError:
    """DuckDB's error while it read source files, as one line for the user."""
    message = str(error)
    names = ", ".join(file.name for file in files[:3])
    paths = {path: file for file in files for path in _ways_to_write(file)}
    hit = next((file for path, file in paths.items() if path in message), None)
    where = hit.name if hit else names
    fault = system_fault(error)
    if fault is not None:
        return SourceError(f"{where} cannot be read: {fault.message}")
    if is_missing_file(message):
        return vanished(next((file for file in files if not file.path.exists()), hit or files[0]))
    return SourceError(f"{where} cannot be read: {first_line(error)}")


def _ways_to_write(file: SourceFile) -> set[str]:
    """A file's path as DuckDB's messages may have it."""
    return {str(file.path), file.path.as_posix(), portable.duckdb_path(file.path) or str(file.path)}


def _existing(
    connection: "duckdb.DuckDBPyConnection", name: str, context: IngestContext
) -> Existing:
    if context.full_refresh or not context.attach_warehouse(connection, "warehouse"):
        return Existing()
    schema = f"warehouse.{identifier(context.dataset)}"
    kept = _columns(connection, context.dataset, QUARANTINE_TABLE)
    has_history = bool(_columns(connection, context.dataset, HISTORY_TABLE))
    quarantine = known_quarantine(kept, schema, name, has_history=has_history) if kept else ""
    columns = _columns(connection, context.dataset, name)
    if not columns:
        return Existing(quarantine=quarantine)
    all_rows = f"{schema}.{identifier(name)}"
    relation = (
        f"(select * from {all_rows} where _dlt_load_id in "
        f"(select load_id from {schema}._dlt_loads where status = 0))"
    )
    has_rows = is_there(connection, f"from {relation}")
    own = {column: kind for column, kind in columns.items() if not column.startswith("_dlt")}
    return Existing(own, all_rows, relation, has_rows, FROM_FILE in columns, quarantine)


def _columns(connection: "duckdb.DuckDBPyConnection", dataset: str, name: str) -> dict[str, str]:
    """The columns of a table of the attached warehouse and their types; empty if it has none."""
    rows = connection.execute(
        "select column_name, data_type from duckdb_columns() where database_name = 'warehouse' "
        f"and schema_name = {literal(dataset)} and table_name = {literal(name)}"
    ).fetchall()
    return {str(column): str(kind) for column, kind in rows}


def _check_declared(
    declared: Mapping[str, str], existing: Existing, name: str, context: IngestContext
) -> None:
    """Stop where the settings declare another type than the one that the table was loaded with."""
    for column, kind in declared.items():
        loaded = existing.columns.get(column, kind)
        if loaded != kind:
            raise SourceError(
                f"sources.{context.source}.tables.{name}.columns: {column} is declared as {kind}, "
                f"and was loaded as {loaded}: to load the table again with the new type, run "
                f"`headrace load --full-refresh --source {context.source}`"
            )


@dataclass
class _Stager:
    """The thorough way; one use each."""

    connection: "duckdb.DuckDBPyConnection"
    name: str
    table: FileTable
    scans: list[FileScan]
    existing: Existing
    context: IngestContext
    changes: FileChanges
    notes: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    new_columns: list[str] = field(default_factory=list)
    read_types: dict[str, str] = field(default_factory=dict)
    misfits: list[str] = field(default_factory=list)
    misfit_notes: list[str] = field(default_factory=list)

    def run(self) -> Staged | None:
        """The rows to load; None when it takes the files that were not read to tell."""
        self._read_kinds()
        self._check_contract(self.read_types)
        self._read()
        types = self._column_types()
        kept = {name: kind for name, kind in types.items() if name not in self.dropped}
        columns = [RawColumn(name, kind) for name, kind in kept.items()]
        columns += self._check_values(columns)
        raw_cursor = self._type_view(columns)
        repeats = self._check_keys(columns)
        read = {scan.file.name for scan in self.scans}
        merge = Merge(
            self.connection,
            self.table,
            self.existing,
            columns,
            files=[file.name for file in self.changes.files],
            read=read,
            renamed=tuple(self.changes.renamed),
            raw_cursor=raw_cursor,
            repeats=repeats,
            between=self.changes.between,
        )
        picked = merge.pick()
        if picked is None:
            return None
        rejected = sum(len(scan.rejected) for scan in self.scans)
        given = scalar(self.connection, "select count(*) from incoming") + rejected
        quarantine = collect_quarantine(
            self.connection,
            self.name,
            self.scans,
            self.read_types,
            self.existing.quarantine,
            replaced=self.changes.replaced(self.table),
        )
        limit = 0.0 if self.table.bad_rows == "fail" else self.table.bad_rows_limit
        if quarantine is not None and limit < 1:
            check_bad_rows(self.connection, self.scans, limit)
        picked = merge.remove_withdrawn(picked)
        settled = scalar(self.connection, "select count(*) from settled")
        return Staged(
            picked.written(self.connection, self.context.scratch_dir, self.name),
            picked.columns,
            rows_given=given,
            rows_new=picked.rows_new,
            rows_changed=picked.rows_changed,
            rows_unchanged=merge.good + settled - picked.rows_new - picked.rows_changed,
            rows_quarantined=given - merge.good - settled,
            rows_deleted=picked.rows_deleted,
            rows_selected=picked.rows,
            is_first=not self.existing.has_rows,
            files_read=len(self.scans),
            new_columns=tuple(self.new_columns),
            quarantine=quarantine,
            notes=(
                *self.notes,
                *(self.misfit_notes if given > merge.good + settled else ()),
                *picked.notes,
            ),
        )

    def _read_kinds(self) -> None:
        """The type in which each column is read: text, where the files differ."""
        kinds: dict[str, set[str]] = {}
        for scan in self.scans:
            for column, kind in scan.types.items():
                kinds.setdefault(column, set()).add(kind)
        for column, read in kinds.items():
            self.read_types[column] = common_read(read)
        self.notes += self.table.absent_columns(kinds)

    def _column_types(self) -> dict[str, str]:
        """Every raw column's stored type: the table's, the declared, or what all values fit."""
        declared = declared_types(self.connection, self.table)
        fixed = folder_columns(self.scans) | declared | dict(self.existing.columns)
        mixed = self._mixed_kinds(self.read_types.keys() - fixed.keys())
        answers = infer_types(
            self.connection,
            "incoming",
            f"(select * from incoming limit {sample_rows(len(self.read_types))})",
            (
                fixed_question(
                    column, read, fixed[column], is_declared=column in self.table.columns
                )
                if column in fixed
                else questions_of(mixed[column], column, read)
                for column, read in self.read_types.items()
            ),
        )
        self.misfits = answers.misfits
        return {column: answers.types[column] for column in self.read_types}

    def _mixed_kinds(self, columns: Collection[str]) -> dict[str, set[tuple[str, str]]]:
        """The format and type of each column in each file that has a value of it."""
        kinds = {
            column: {
                number: (scan.file.format, scan.types[column])
                for number, scan in enumerate(self.scans)
                if column in scan.types
            }
            for column in columns
        }
        differing = [column for column, found in kinds.items() if len(set(found.values())) > 1]
        for batch in batches(differing):
            counts = ", ".join(f"count({identifier(column)})" for column in batch)
            for number, *filled in self.connection.execute(
                f"select __file, {counts} from incoming group by __file"
            ).fetchall():
                for column, count in zip(batch, filled, strict=True):
                    if not count:
                        kinds[column].pop(number, None)
        return {column: set(found.values()) for column, found in kinds.items()}

    def _check_contract(self, types: Mapping[str, str]) -> None:
        if not self.existing.columns:
            return
        self.new_columns = [column for column in types if column not in self.existing.columns]
        mode = self.context.contract.columns
        if self.new_columns and mode == "freeze":
            raise SourceError(
                f"{self.scans[-1].file.name}: the column {self.new_columns[0]!r} is not in "
                f"{self.name}, and the schema contract of {self.context.source} freezes columns: "
                f"remove the column, or set sources.{self.context.source}.schema_contract.columns "
                "to evolve (add it), discard_value (leave it out) or discard_row (quarantine)"
            )
        if self.new_columns and mode in {"discard_value", "discard_row"}:
            self.dropped = self.new_columns
            self.new_columns = []
            if mode == "discard_value":
                self.notes.append(f"left out by the schema contract: {', '.join(self.dropped)}")
        for column in self.existing.columns:
            if column not in types and column != FILE_COLUMN and "__v_" not in column:
                self.notes.append(
                    f"column {column} is no longer in the files: null in what was read"
                )

    def _read(self) -> None:
        """Read the files into ``incoming``, one row each, numbered in the order of the file."""
        for number, scan in enumerate(self.scans):
            names = {raw: name for name, raw in scan.columns.items()}
            selected = ", ".join(
                (
                    exact_cast(names[column], scan.types[column], kind)
                    if column in names
                    else f"cast(null as {kind})"
                )
                + f" as {identifier(column)}"
                for column, kind in self.read_types.items()
            )
            select = (
                f"select {number} as __file, {scan.row_number} as __row, "
                f"{literal(scan.file.name)} as {FILE_COLUMN}, {selected} from {scan.sql}"
            )
            into = (
                "create or replace temp table incoming as"
                if number == 0
                else "insert into incoming"
            )
            self.connection.execute(f"{into} {select}")
            empty = scalar(
                self.connection, f"select count(*) = 0 from incoming where __file = {number}"
            )
            if empty and not scan.rejected and not self.table.allow_empty:
                raise SourceError(
                    f"{scan.file.name} has a header and no rows: write rows to it or remove it "
                    "(for a table of the files source, `allow_empty: true` lets it pass)"
                )
        self.connection.execute(NONE_BAD)

    def _check_values(self, columns: list[RawColumn]) -> list[RawColumn]:
        """Find values that do not fit their column; gives the variant columns to add."""
        variants: list[RawColumn] = []
        mode = self.context.contract.data_type
        if self.context.contract.columns == "discard_row" and self.dropped:
            filled = " or ".join(f"{identifier(name)} is not null" for name in self.dropped)
            self._mark(filled, "schema_contract", f"unknown columns: {', '.join(self.dropped)}")
        for column in [column for column in columns if column.name in self.misfits]:
            misfit = f"{identifier(column.name)} is not null and ({self._cast(column)}) is null"
            self._explain_misfits(column, misfit)
            row_kept = mode not in {None, "discard_row"}
            self._mark(
                misfit,
                "data_type",
                f"{column.name} is not a {column.duckdb_type}",
                row_kept=row_kept,
            )
            if mode == "evolve":
                variants.append(self._variant(column, misfit))
        return variants

    def _explain_misfits(self, column: RawColumn, misfit: str) -> None:
        """Say which values do not fit and how to load them; or stop, if the contract says so.

        Without a contract, a column of which most values in a file do not fit has another type
        now, which one row after the other in quarantine would hide.
        """
        mode = self.context.contract.data_type
        text = self._text(column)
        as_utc = self._cast(column, utc=True)
        first = self.connection.execute(
            f"select {FILE_COLUMN}, __row, {text}, ({as_utc}) is not null from incoming "
            f"where {misfit} order by __file, __row limit 1"
        ).fetchone()
        assert first is not None
        name, kind = column.name, column.duckdb_type
        zoned = "timestamptz" if kind.endswith("ZONE") else "timestamp"
        other = zoned if first[3] else "text"
        declare = f"declare the column (`columns: {{{name}: {other}}}`) and load with"
        setting = f"sources.{self.context.source}.schema_contract.data_type"
        value = f"{first[0]} row {first[1]}: {name} is {shortened(repr(first[2]), 80)}"
        if mode == "freeze":
            raise SourceError(
                f"{value}, which a {kind} does not give back as it is written: correct it, "
                f"{declare} --full-refresh, or set {setting} to discard_row (quarantine), "
                "discard_value or evolve"
            )
        if mode is None:
            row = self.connection.execute(
                f"select {FILE_COLUMN}, count({identifier(name)}), count_if({misfit}) as bad "
                f"from incoming group by __file, {FILE_COLUMN} "
                f"having bad >= {_MANY_MISFITS} and bad * 2 > count({identifier(name)}) "
                "order by __file limit 1"
            ).fetchone()
            if row is not None:
                raise SourceError(
                    f"{value}, and {row[2]:,} of {row[1]:,} values of {name} in {row[0]} are no "
                    f"{kind}, which the column was until now: {declare} --full-refresh, correct "
                    f"the file, or set {setting} to discard_row to quarantine the rows"
                )
        if mode in {None, "discard_row"}:
            self.misfit_notes.append(
                f"in quarantine: {value}, which is not a {kind}; to load such values, "
                f"{declare} --full-refresh"
            )

    def _text(self, column: RawColumn) -> str:
        return exact_cast(column.name, self.read_types[column.name], "VARCHAR")

    def _variant(self, column: RawColumn, misfit: str) -> RawColumn:
        """Move the values that do not fit into a column of their own."""
        variant = RawColumn(f"{column.name}__v_text", "VARCHAR")
        name = identifier(variant.name)
        self.connection.execute(f"alter table incoming add column {name} varchar")
        self.connection.execute(f"update incoming set {name} = {self._text(column)} where {misfit}")
        self.read_types[variant.name] = "VARCHAR"
        if variant.name not in self.existing.columns:
            self.new_columns.append(variant.name)
        return variant

    def _cast(self, column: RawColumn, *, utc: bool = False) -> str:
        """The typed value; a time without an offset is UTC where the settings declare the type."""
        return exact_cast(
            column.name,
            self.read_types[column.name],
            column.duckdb_type,
            utc=utc or column.name in self.table.columns,
        )

    def _mark(self, where: str, reason: str, message: str, *, row_kept: bool = False) -> None:
        kept = f"{reason}_value" if row_kept else reason
        self.connection.execute(
            f"insert into bad select __file, __row, {literal(kept)}, {literal(message)} "
            f"from incoming where {where}"
        )

    def _type_view(self, columns: list[RawColumn]) -> str:
        """Make ``typed``, the rows in the types of the raw table; SQL of a raw row's cursor."""
        casts = ", ".join(
            f"{self._cast(column)} as {identifier(column.name)}" for column in columns
        )
        select = f"select __file, __row, {FILE_COLUMN}, {casts} from incoming"
        cursor, raw_cursor = self._order(columns, select)
        self.connection.execute(
            f"create or replace temp view typed as select *, {cursor} as __cursor from ({select})"
        )
        return raw_cursor

    def _order(self, columns: list[RawColumn], typed: str) -> tuple[str, str]:
        """SQL of what orders a row of the files, and a raw row: the cursor, as what it means."""
        cursor = self.table.cursor
        if cursor is None or not self.table.primary_key:
            return "0", "0"
        stored = next(column.duckdb_type for column in columns if column.name == cursor)
        name, kind = identifier(cursor), kind_of_type(stored)
        if kind is not None:
            self.notes.append(f"the cursor {cursor} is a {kind}")
            return name, name if cursor in self.existing.columns else f"cast(null as {stored})"
        if stored != "VARCHAR":
            raise SourceError(
                f"table {self.name}: the cursor {cursor} is a {stored}, which has no order; name "
                "another column as `cursor`, or none"
            )
        values = f"select {name} from ({typed})"
        if self.existing.has_rows and cursor in self.existing.columns:
            values += f" union all select {name} from {self.existing.relation}"
        declared = cursor in self.table.columns
        try:
            kind = rank_text(self.connection, values, declared_text=declared)
        except CursorError as error:
            raise self._explain_cursor(error) from error
        if kind is not None:
            self.notes.append(
                f"the cursor {cursor} is a {kind}"
                if kind != "text"
                else f"the cursor {cursor} is compared as text"
            )
        rank = f"(select __rank from cursor_rank where __value = {name})"
        return rank, rank if cursor in self.existing.columns else "cast(null as bigint)"

    def _explain_cursor(self, error: CursorError) -> SourceError:
        cursor = str(self.table.cursor)
        row = self.connection.execute(
            f"select {FILE_COLUMN}, __row from incoming "
            f"where cast({identifier(cursor)} as varchar) = ? order by __file, __row limit 1",
            [str(error.value)],
        ).fetchone()
        where = f"{row[0]} row {row[1]}" if row else f"table {self.name}"
        return SourceError(
            f"{where}: the cursor {cursor} of {self.name} cannot be ordered: {error}; correct it, "
            f"set `columns: {{{cursor}: timestamp}}` (date, bigint, ...) for its type, `columns: "
            f"{{{cursor}: text}}` for codes that are in order as text, or take out `cursor`"
        )

    def _check_keys(self, columns: list[RawColumn]) -> bool:
        """Quarantine rows with a null or rounded key, and all but the newest of a file's of one.

        Returns:
            Whether several files may have the same key.
        """
        key = self.table.primary_key
        if not key:
            return False
        nulls = " or ".join(f"{identifier(column)} is null" for column in key)
        words = ", ".join(key)
        self.connection.execute(
            f"insert into bad select __file, __row, 'null_key', {literal(f'{words} is null')} "
            f"from typed where ({nulls}) and {IS_GOOD}"
        )
        for column in columns:
            rounded = is_rounded_id(column, self.read_types.get(column.name, ""))
            if column.name in key and rounded is not None:
                told = literal(
                    f"{column.name} is a floating-point number that stands for several integers: "
                    "have it exported as text or decimal(38, 0)"
                )
                self.connection.execute(
                    f"insert into bad select __file, __row, 'rounded_key', {told} from typed "
                    f"where {rounded} and {IS_GOOD}"
                )
        is_one = len(self.scans) == 1
        repeated = f"from typed where {IS_GOOD} group by {identifiers(key)} having count(*) > 1"
        if not is_one and not is_there(self.connection, repeated):
            return False
        self.connection.execute(
            "insert into bad select __file, __row, 'duplicate_key', "
            f"{literal(f'a later row of the file has the same {words}')} "
            f"from typed where {IS_GOOD} qualify row_number() over "
            f"(partition by __file, {identifiers(key)} "
            "order by __cursor desc nulls last, __row desc) > 1"
        )
        return not is_one
