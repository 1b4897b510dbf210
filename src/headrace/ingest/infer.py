"""The types of a file's columns: those declared in the settings, and those seen in the values."""

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, cast

from headrace.errors import SourceError
from headrace.ingest.model import FileTable
from headrace.ingest.scan import FileScan
from headrace.ingest.sql import identifier
from headrace.ingest.types import stored_type

if TYPE_CHECKING:
    import duckdb

SAMPLE_ROWS = 20_480
_TYPE = re.compile(r"[A-Za-z_ ]+(\(\d+(, *\d+)?\))?")


def _braced(pattern: str) -> str:
    """A pattern for use inside ``str.format``."""
    return pattern.replace("{", "{{").replace("}", "}}")


OFFSET = "(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
_NUMBER = "[+-]?(0|[1-9][0-9]*)?([.][0-9]+)?([eE][+-]?[0-9]+)?"
_TIMESTAMP_TESTS = (
    (
        "TIMESTAMP WITH TIME ZONE",
        (
            f"regexp_matches({{0}}, '[0-9]{_braced(OFFSET)}') and length({{0}}) > 16 "
            "and try_cast({0} as timestamptz) is not null"
        ),
    ),
    (
        "TIMESTAMP",
        (
            f"length({{0}}) > 10 and not regexp_matches({{0}}, ':.*{_braced(OFFSET)}') "
            "and try_cast({0} as timestamp) is not null"
        ),
    ),
)
_JSON_TEXT_TESTS = _TIMESTAMP_TESTS
_TEXT_TESTS = (
    (
        "BIGINT",
        "regexp_full_match({0}, '[+-]?(0|[1-9][0-9]*)') and try_cast({0} as bigint) is not null",
    ),
    (
        "DOUBLE",
        (
            f"regexp_full_match({{0}}, '{_NUMBER}') and isfinite(try_cast({{0}} as double)) and "
            # 17 digits tell every double from the next; an integer is exact up to 15
            "(length({0}) <= 15 or length(regexp_replace({0}, "
            "'^[+-]?0*[.]?0*|[eE].*|[^0-9]', '', 'g')) "
            "<= case when regexp_matches({0}, '[.eE]') then 17 else 15 end)"
        ),
    ),
    ("BOOLEAN", "lower({0}) in ('true', 'false')"),
    ("DATE", "length({0}) = 10 and try_cast({0} as date) is not null"),
    *_TIMESTAMP_TESTS,
)


def infer_types(
    connection: "duckdb.DuckDBPyConnection",
    scan: FileScan,
    *,
    sample: bool,
    known: Collection[str] = (),
) -> dict[str, str]:
    """The stored type of each raw column of a file, by looking at its values.

    Text becomes an integer, double, boolean, date or timestamp when every value can be read so
    without loss: digits with a leading zero stay text, and so do those that a double cannot hold.
    Only ISO 8601 dates count, because ``01/02/2024`` means two things. JSON says itself what is a
    number; of its text, only timestamps are told.

    Args:
        connection: a local DuckDB.
        scan: the file.
        sample: look at the first 20,480 rows of a CSV file only.
        known: raw columns whose type is settled; they are not looked at.
    """
    types = {name: stored_type(kind) for name, kind in scan.types.items()}
    if scan.file.format == "parquet":
        return types
    is_csv = scan.file.format == "csv"
    tests = dict(_TEXT_TESTS if is_csv else _JSON_TEXT_TESTS)
    open_kinds = {
        name: list(tests)
        for name, raw in scan.columns.items()
        if types[raw] in {"VARCHAR", "JSON"} and raw not in known
    }
    if not open_kinds:
        return types
    if is_csv:
        # what the first rows rule out need not be asked of all
        first = f"(select * from {scan.sql} limit {SAMPLE_ROWS})"
        open_kinds, filled = _still_open(connection, first, open_kinds, tests)
    if not (is_csv and sample):
        open_kinds, filled = _still_open(connection, scan.sql, open_kinds, tests)
    for name, kinds in open_kinds.items():
        column = scan.columns[name]
        if name not in filled:
            types[column] = "VARCHAR"  # nothing but nulls
        elif types[column] == "VARCHAR":
            types[column] = kinds[0] if kinds else "VARCHAR"
    return types


def _still_open(
    connection: "duckdb.DuckDBPyConnection",
    rows: str,
    kinds: Mapping[str, list[str]],
    tests: Mapping[str, str],
) -> tuple[dict[str, list[str]], set[str]]:
    """Which kinds all values of each column pass, and which columns have a value at all."""
    conditions = [
        condition.format(f"cast({identifier(name)} as varchar)")
        for name, asked in kinds.items()
        for condition in ("{0} is not null", *(tests[kind] for kind in asked))
    ]
    counted = ", ".join(f"count(*) filter (where {condition})" for condition in conditions)
    counts = iter(
        cast("tuple[int, ...]", connection.execute(f"select {counted} from {rows}").fetchone())
    )
    passed: dict[str, list[str]] = {}
    filled: set[str] = set()
    for name, asked in kinds.items():
        total = next(counts)
        passed[name] = [kind for kind in asked if next(counts) == total]
        if total:
            filled.add(name)
    return passed, filled


def declared_types(connection: "duckdb.DuckDBPyConnection", table: FileTable) -> dict[str, str]:
    """The declared column types as they are stored: ``int`` becomes ``BIGINT``.

    Raises:
        SourceError: one of them is no type of DuckDB.
    """
    import duckdb

    types = {}
    for column, declared in table.columns.items():
        if not _TYPE.fullmatch(declared):
            raise SourceError(f"columns.{column}: {declared!r} is no type, like bigint or text")
        try:
            row = connection.execute(f"describe select cast(null as {declared}) as x").fetchone()
        except duckdb.Error as error:
            raise SourceError(
                f"columns.{column}: DuckDB has no type {declared!r}; use one like bigint, text, "
                "double, decimal(12,2), boolean, date or timestamp"
            ) from error
        types[column] = stored_type(str(row[1]) if row else "VARCHAR")
    return types
