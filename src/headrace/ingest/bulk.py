"""Hand large files over as they are, as a ``SELECT`` that the warehouse runs itself.

They are the first of their table, or have keys that it does not have. They are only read to see
which types hold all their values, and whether their keys are sound; where the table has some of the
keys, once more to compare them with it. Where a row has to be looked at by itself, the careful way
is taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from headrace.ingest.infer import (
    Question,
    declared_types,
    fixed_question,
    infer_types,
    questions_of,
    sample_rows,
)
from headrace.ingest.merge import NONE_BAD, Existing, Merge, Picked, kind_of_type
from headrace.ingest.model import FILE_COLUMN, FileChanges, FileTable, Staged
from headrace.ingest.scan import FileScan, folder_columns
from headrace.ingest.types import RawColumn, exact_cast, is_rounded_id
from headrace.sql_text import identifier, identifiers, is_there, literal, scalar

if TYPE_CHECKING:
    import duckdb

_COMPACT_KEY_FACTOR = 8
_MAX_KEY_RANGE = 1_000_000_000
_KEY_BITS = 1 << 28  # 32 MiB for each thread
_SAMPLED_FILES = 8
# what DuckDB's CSV reader reads as try_cast does, and faster, when all values are known to fit
_READ_DIRECTLY = {"BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP"}


class OtherFilesNeededError(Exception):
    """What is to be loaded can only be told together with the files that did not change."""


def stage_whole(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    table: FileTable,
    scans: list[FileScan],
    existing: Existing,
    changes: FileChanges,
    scratch: Path,
) -> Staged | None:
    """The files as they are, or None where their rows have to be looked at one by one.

    Args:
        connection: the local DuckDB.
        name: the raw table's name.
        table: their table, with the raw names of its columns.
        scans: the files, those of ``changes.read`` or all.
        existing: the raw table.
        changes: the files, and which of them changed.
        scratch: where rows are written that are only a part of the files.

    Raises:
        OtherFilesNeededError: these files do not tell it.
    """
    read = dict(scans[0].types)
    if any(scan.types != read or scan.file.format != scans[0].file.format for scan in scans):
        return None
    is_added = changes.is_added and len(scans) == len(changes.read)
    if existing.has_rows and not (is_added or table.primary_key):
        return None
    if existing.has_rows and not _is_alike(connection, table, read, scans, existing, changes):
        return None
    fixed = folder_columns(scans) | declared_types(connection, table)
    fixed |= existing.columns if existing.has_rows else {}
    questions = [
        fixed_question(name, kind, fixed[name], is_declared=name in table.columns)
        if name in fixed
        else questions_of({(scans[0].file.format, kind)}, name, kind)
        for name, kind in read.items()
    ]
    seen = _look(connection, table, scans, questions)
    if seen.misfits or (seen.files < len(scans) and not table.allow_empty):
        return None
    types = {name: seen.types[name] for name in read}
    notes = []
    if table.cursor and table.primary_key:
        kind = kind_of_type(types[table.cursor])
        if kind is None:
            return None
        notes.append(f"the cursor {table.cursor} is a {kind}")
    if any(is_rounded_id(RawColumn(name, types[name]), "") for name in table.primary_key):
        return None
    rows = " union all ".join(_typed(scan, types, table) for scan in scans)
    has_key = seen.keys == seen.rows and types[table.primary_key[0]] == "BIGINT"
    count = seen.rows if has_key else _sound_keys(connection, table.primary_key, rows)
    if not count:
        return None
    columns = [RawColumn(name, kind) for name, kind in types.items()]
    notes = [*table.absent_columns(read), *notes]
    if existing.has_rows and not (
        is_added and not _has_some(connection, table, scans, rows, existing)
    ):
        if not table.primary_key:
            return None
        picked = _pick(connection, table, scans, existing, changes, columns, rows, count)
        if picked is None:
            return None
        return Staged(
            picked.written(connection, scratch, name),
            picked.columns,
            rows_given=count,
            rows_new=picked.rows_new,
            rows_changed=picked.rows_changed,
            rows_unchanged=count - picked.rows_new - picked.rows_changed,
            rows_deleted=picked.rows_deleted,
            rows_selected=picked.rows,
            is_first=False,
            files_read=len(scans),
            notes=(*notes, *picked.notes),
        )
    columns.append(RawColumn(table.file_column, "VARCHAR"))
    # as a text, since dlt reads and writes each expression of a statement several times
    select = f"select {identifiers(column.name for column in columns)} from query({literal(rows)})"
    return Staged(
        select,
        tuple(columns),
        rows_given=count,
        rows_new=count,
        rows_changed=0,
        is_first=not existing.has_rows,
        is_added=existing.has_rows,
        files_read=len(scans),
        rows_selected=count,
        notes=tuple(notes),
    )


def _pick(
    connection: "duckdb.DuckDBPyConnection",
    table: FileTable,
    scans: list[FileScan],
    existing: Existing,
    changes: FileChanges,
    columns: list[RawColumn],
    rows: str,
    count: int,
) -> Picked | None:
    """What is new or changed in files whose rows all fit; None where some belong in quarantine.

    Args:
        connection: the local DuckDB; its table ``picked`` is filled.
        table: their table.
        scans: the files.
        existing: the raw table.
        changes: all files, and which of them changed.
        columns: those of the files.
        rows: SQL of their rows, each of which has a key of its own.
        count: the number of them.

    Raises:
        OtherFilesNeededError: see ``stage_whole``.
    """
    names = identifiers(column.name for column in columns)
    cursor = identifier(table.cursor) if table.cursor else "0"
    connection.execute(
        f"create or replace temp view typed as select 0 as __file, 0 as __row, {names}, "
        f"{table.file_column} as {FILE_COLUMN}, {cursor} as __cursor from ({rows})"
    )
    connection.execute(NONE_BAD)
    merge = Merge(
        connection,
        table,
        existing,
        columns,
        files=[file.name for file in changes.files],
        read={scan.file.name for scan in scans},
        renamed=tuple(changes.renamed),
        raw_cursor=cursor,
        repeats=False,
        between=changes.between,
    )
    merge.good = count
    picked = merge.pick()
    if picked is None:
        raise OtherFilesNeededError
    return None if is_there(connection, "from bad") else picked


def _is_alike(
    connection: "duckdb.DuckDBPyConnection",
    table: FileTable,
    read: Mapping[str, str],
    scans: list[FileScan],
    existing: Existing,
    changes: FileChanges,
) -> bool:
    """Whether files have the columns of the raw table, and no row of theirs is in quarantine.

    Nor a row of a file that they replace.
    """
    if existing.columns.keys() - {FILE_COLUMN} != read.keys():
        return False
    if FILE_COLUMN not in existing.columns and not existing.knows_files:
        return False
    files = (*(scan.file.name for scan in scans), *changes.replaced(table))
    names = ", ".join(map(literal, files))
    return not existing.quarantine or not is_there(
        connection,
        f"from {existing.quarantine} where superseded_at is null and file_name in ({names})",
    )


def _has_some(
    connection: "duckdb.DuckDBPyConnection",
    table: FileTable,
    scans: list[FileScan],
    rows: str,
    existing: Existing,
) -> bool:
    """Whether the raw table has a row of a key, or without a key of a file, that is given.

    Also those of loads that did not end count, which a merge would delete.
    """
    if not table.primary_key:
        names = ", ".join(literal(scan.file.name) for scan in scans)
        of_files = f"{FILE_COLUMN} in ({names})"
        return is_there(connection, f"from {existing.all_rows} where {of_files}")
    return is_there(
        connection,
        f"from ({rows}) semi join {existing.all_rows} using ({identifiers(table.primary_key)})",
    )


@dataclass(frozen=True)
class _Seen:
    """What one look at all rows tells.

    Attributes:
        types: the types of the columns.
        misfits: columns with a value that does not fit the declared type.
        files: the number of files that have rows.
        rows: the number of rows.
        keys: a number of keys that are known to be distinct; not counted if the key is no integer.
    """

    types: Mapping[str, str]
    misfits: list[str]
    files: int
    rows: int
    keys: int | None


def _look(
    connection: "duckdb.DuckDBPyConnection",
    table: FileTable,
    scans: list[FileScan],
    questions: list[Question],
) -> _Seen:
    """Look at all rows once, if the first of them are like the rest.

    A bit for each key modulo some number tells that no two keys are the same, if no two rows share
    a bit.
    """
    names = [question.name for question in questions]
    raw = [_raw(scan, number, names) for number, scan in enumerate(scans)]
    most = sample_rows(len(names))
    parts = [f"(select * from ({part}) limit {most})" for part in raw[:_SAMPLED_FILES]]
    further = ["count(*)", f"bit_count(bitstring_agg(__file, 0, {len(scans) - 1}))"]
    if len(table.primary_key) == 1 and scans[0].file.format == "csv":
        size = sum(scan.file.size for scan in scans) // len(names)
        bits = min(max(size, 1024), _KEY_BITS)
        key = f"try_cast({identifier(table.primary_key[0])} as bigint)"
        further.append(
            f"bit_count(bitstring_agg(({key} % {bits} + {bits}) % {bits}, 0, {bits - 1}))"
        )
    answers = infer_types(
        connection,
        f"({' union all '.join(raw)})",
        f"({' union all '.join(parts)})",
        questions,
        further,
    )
    rows, files, *keys = answers.further
    return _Seen(answers.types, answers.misfits, files or 0, rows, keys[0] if keys else None)


def _raw(scan: FileScan, number: int, names: list[str]) -> str:
    """SQL of a file's rows as the reader gives them, under the names of the raw table."""
    own = {raw: name for name, raw in scan.columns.items()}
    selected = ", ".join(f"{identifier(own[raw])} as {identifier(raw)}" for raw in names)
    return f"select {number} as __file, {selected} from {scan.sql}"


def _typed(scan: FileScan, types: Mapping[str, str], table: FileTable) -> str:
    """SQL of a file's rows in the types of the raw table, which all of them are known to fit."""
    own = {raw: name for name, raw in scan.columns.items()}
    directly = {
        raw
        for raw, kind in types.items()
        if scan.file.format == "csv" and kind in _READ_DIRECTLY and raw not in table.columns
    }
    selected = [
        (
            identifier(own[raw])
            if raw in directly
            else exact_cast(own[raw], scan.types[raw], kind, utc=raw in table.columns)
        )
        + f" as {identifier(raw)}"
        for raw, kind in types.items()
    ]
    selected.append(f"{literal(scan.file.name)} as {table.file_column}")
    read = {raw: kind if raw in directly else "VARCHAR" for raw, kind in types.items()}
    return f"select {', '.join(selected)} from {scan.typed_sql(read)}"


def _sound_keys(
    connection: "duckdb.DuckDBPyConnection", key: tuple[str, ...], rows: str
) -> int | None:
    """The number of rows, if no key is null and none comes twice; None otherwise."""
    if not key:
        return scalar(connection, f"select count(*) from ({rows})")
    quoted = identifiers(key)
    if len(key) == 1:
        kind = connection.execute(f"select typeof({quoted}) from ({rows}) limit 1").fetchone()
        if kind is not None and kind[0] == "BIGINT":
            counted = connection.execute(
                f"select count(*), count({quoted}), min({quoted}), max({quoted}) from ({rows})"
            ).fetchone()
            total, filled, low, high = cast("tuple[int, int, int, int]", counted)
            if filled != total:
                return None
            # a bit per possible key is far cheaper than a hash table of all keys
            if high - low < _COMPACT_KEY_FACTOR * total and high - low < _MAX_KEY_RANGE:
                distinct = scalar(
                    connection,
                    f"select bit_count(bitstring_agg({quoted}, {low}, {high})) from ({rows})",
                )
                return total if distinct == total else None
    nulls = " or ".join(f"{identifier(column)} is null" for column in key)
    bad = scalar(
        connection,
        f"select count(*) from (select 1 from ({rows}) group by {quoted} "
        f"having count(*) > 1 or bool_or({nulls}))",
    )
    return None if bad else scalar(connection, f"select count(*) from ({rows})")
