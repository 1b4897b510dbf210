"""Hand large first files over as they are, as a ``SELECT`` that the warehouse runs itself.

Only what would lose something is looked at before: keys, and values of CSV that DuckDB would
round or cut while it reads them (``1.5`` as an integer, a time of day as a date).
"""

from typing import TYPE_CHECKING, cast

from headrace.ingest.casts import exact_cast
from headrace.ingest.infer import SAMPLE_ROWS, declared_types, infer_types
from headrace.ingest.model import FILE_COLUMN, FileTable, Staged
from headrace.ingest.scan import FileScan
from headrace.ingest.sql import identifier, identifiers, literal, scalar
from headrace.ingest.types import Column

if TYPE_CHECKING:
    import duckdb

_COMPACT_KEY_FACTOR = 8
_MAX_KEY_RANGE = 1_000_000_000
_KEY_BITS = 1 << 28  # 32 MiB for each thread
_WHOLE_DOUBLES = 1 << 53  # above, a double cannot tell an integer from a fraction


def stage_whole(
    connection: "duckdb.DuckDBPyConnection", table: FileTable, scans: list[FileScan]
) -> Staged | None:
    """The files as they are, or None where their rows have to be looked at one by one."""
    import duckdb

    types = _types(connection, table, scans)
    if types is None:
        return None
    columns = [Column(name, kind) for name, kind in types.items()]
    parts = []
    for scan in scans:
        names = {raw: name for name, raw in scan.columns.items()}
        selected = [
            f"{_value(scan, names[name], name, kind)} as {identifier(name)}"
            for name, kind in types.items()
        ]
        if not table.primary_key:
            selected.append(f"{literal(scan.file.name)} as {FILE_COLUMN}")
        parts.append(f"select {', '.join(selected)} from {scan.typed_sql(types)}")
    union = " union all ".join(parts)
    try:
        if scans[0].file.format == "csv":
            count = _sound_csv(connection, table, scans, types, union)
        else:
            count = _sound_keys(connection, table.primary_key, union)
    except duckdb.ConversionException:
        return None
    if not count:
        return None
    if not table.primary_key:
        columns.append(Column(FILE_COLUMN, "VARCHAR"))
    select = f"select {identifiers(column.name for column in columns)} from ({union}) as files"
    return Staged(
        select, tuple(columns), rows_given=count, rows_new=count, rows_changed=0, is_first=True
    )


def _types(
    connection: "duckdb.DuckDBPyConnection", table: FileTable, scans: list[FileScan]
) -> dict[str, str] | None:
    """The types of the columns; None where the files do not agree, or not with the settings."""
    types: dict[str, str] = {}
    declared = declared_types(connection, table)
    for scan in scans:
        for name, seen in infer_types(connection, scan, sample=True).items():
            kind = declared.get(name, seen)
            if types.setdefault(name, kind) != kind:
                return None
            if name in declared and scan.file.format != "csv" and scan.types[name] != kind:
                return None
    if any(set(scan.types) != set(types) for scan in scans):
        return None
    return types if len({scan.file.format for scan in scans}) == 1 else None


def _value(scan: FileScan, name: str, raw: str, kind: str) -> str:
    """SQL of a column's value in the type that it is stored with."""
    read = scan.types[raw]
    if scan.file.format == "csv" or read == kind:
        return identifier(name)
    if read == "VARCHAR":
        return f"cast({identifier(name)} as {kind})"  # a time in JSON, seen to fit
    return exact_cast(name, read, kind)


def _sound_csv(
    connection: "duckdb.DuckDBPyConnection",
    table: FileTable,
    scans: list[FileScan],
    types: dict[str, str],
    rows: str,
) -> int | None:
    """The number of rows of CSV files, if their keys are sound and no value would lose anything.

    All is seen in one pass where the key is an integer: a bit for each key modulo some number
    tells that no two keys are the same, if no two rows share a bit.

    Raises:
        duckdb.ConversionException: a value does not fit its type at all.
    """
    probes = " union all ".join(_probe(connection, table, scan, types) for scan in scans)
    # counted, so that each value is converted
    counts = ["count(*)", "count(*) filter (where lossy)"] + [
        f"count({identifier(name)})" for name, kind in types.items() if kind != "VARCHAR"
    ]
    key = table.primary_key
    one_pass = len(key) == 1 and types[key[0]] == "BIGINT"
    if one_pass:
        column = identifier(key[0])
        size = sum(scan.file.size for scan in scans) // len(types)
        bits = min(max(size, 1024), _KEY_BITS)
        counts.append(
            f"bit_count(bitstring_agg((cast({column} as bigint) % {bits} + {bits}) % {bits}, "
            f"0, {bits - 1}))"
        )
    row = connection.execute(f"select {', '.join(counts)} from ({probes})").fetchone()
    total, lossy, *others = cast("tuple[int, ...]", row)
    if lossy:
        return None
    if one_pass and others[-1] == total:
        return total
    return _sound_keys(connection, key, rows)


def _probe(
    connection: "duckdb.DuckDBPyConnection",
    table: FileTable,
    scan: FileScan,
    types: dict[str, str],
) -> str:
    """SQL of a CSV file's values in types that lose nothing, and whether their own types would.

    An integer is read as a double, a date as a timestamp, and a code as the text that it is.
    """
    codes = _codes(connection, table, scan, types)
    probes, losses = dict(types), ["false"]
    for name, raw in scan.columns.items():
        column, kind = identifier(name), types[raw]
        if raw in codes:
            probes[raw] = "VARCHAR"
            whole = f"cast(try_cast({column} as bigint) as varchar)"
            losses.append(f"{whole} is distinct from {column}")
        elif kind == "BIGINT":
            probes[raw] = "DOUBLE"
            losses.append(f"{column} <> trunc({column}) or abs({column}) >= {_WHOLE_DOUBLES}")
        elif kind.startswith("DECIMAL"):
            probes[raw] = "DOUBLE"
            scale = kind.rpartition(",")[2].rstrip(")")
            losses.append(f"{column} <> round({column}, {scale})")
        elif kind == "DATE":
            probes[raw] = "TIMESTAMP"
            losses.append(f"cast(cast({column} as date) as timestamp) <> {column}")
        elif kind == "TIMESTAMP":
            probes[raw] = "VARCHAR"
            losses.append(
                f"contains({column}, 'Z') or contains({column}, '+') "
                f"or {column} like '__________%-%' "  # after the date, so of an offset
                f"or try_cast({column} as timestamp) is null and {column} is not null"
            )
    names = {raw: name for name, raw in scan.columns.items()}
    selected = [
        f"{identifier(names[raw])} as {identifier(raw)}"
        for raw, kind in types.items()
        if kind != "VARCHAR"
    ]
    lossy = " or ".join(f"({loss})" for loss in losses)
    return f"select {', '.join([*selected, f'{lossy} as lossy'])} from {scan.typed_sql(probes)}"


def _codes(
    connection: "duckdb.DuckDBPyConnection",
    table: FileTable,
    scan: FileScan,
    types: dict[str, str],
) -> set[str]:
    """Columns of digits to be read as text: those too long for a double, and those that may be
    codes. A code is as long in every row, so one further down may begin with a zero.
    """
    names = [
        name
        for name, raw in scan.columns.items()
        if types[raw] == "BIGINT" and raw not in table.columns
    ]
    if not names:
        return set()
    same = ", ".join(
        f"max(length({identifier(name)})) > 15 or (max(length({identifier(name)})) > 1 "
        f"and min(length({identifier(name)})) = max(length({identifier(name)})))"
        for name in names
    )
    row = connection.execute(
        f"select {same} from (select * from {scan.sql} limit {SAMPLE_ROWS})"
    ).fetchone()
    found = cast("tuple[bool | None, ...]", row)
    return {scan.columns[name] for name, is_code in zip(names, found, strict=True) if is_code}


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
