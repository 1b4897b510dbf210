"""What of a staged file goes into which column, as DuckDB's SQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.sql_text import identifier, literal
from headrace.targets.snowflake_standin.file_formats import escaped
from headrace.targets.snowflake_standin.problems import problem

LONGEST_TEXT = 16_777_216


@dataclass(frozen=True)
class StagedColumn:
    """A column of a table, with DuckDB's type and the length that was declared."""

    name: str
    type: str
    length: int | None
    is_nullable: bool


def source_of(path: str, form: Mapping[str, Any], *, line_by_line: bool = False) -> str:
    """DuckDB's SQL of a file: columns of text for CSV, one of JSON, or those of Parquet.

    Args:
        path: of the file.
        form: its format.
        line_by_line: of JSON: a line that is none is null, and no error of the file.
    """
    file = escaped(path)
    if form["TYPE"] == "PARQUET":
        # a path with `load_date=…` brings no column in Snowflake
        return f"read_parquet({file}, hive_partitioning = false)"
    if form["TYPE"] == "JSON":
        if line_by_line:
            lines = f"read_json_objects({file}, format = 'newline_delimited', ignore_errors = true)"
            return f"(select json as v from {lines})"
        is_array = str(form["STRIP_OUTER_ARRAY"]).upper() == "TRUE"
        shape = (
            "array"
            if is_array
            else "newline_delimited"
            if path.endswith((".jsonl", ".ndjson", ".jsonl.gz"))
            else "unstructured"
        )
        return f"(select json as v from read_json_objects({file}, format = '{shape}'))"
    quote = str(form["FIELD_OPTIONALLY_ENCLOSED_BY"])
    quote = "" if quote.upper() == "NONE" else quote
    has_header = str(form["PARSE_HEADER"]).upper() == "TRUE"
    strict = str(form["ERROR_ON_COLUMN_COUNT_MISMATCH"]).upper() == "TRUE"
    names = ""
    if strict or not has_header:
        names = f", header = {str(has_header).lower()}"
    return (
        f"read_csv({file}, all_varchar = true, auto_detect = true, sample_size = 100, "
        f"delim = {literal(str(form['FIELD_DELIMITER']))}, quote = {literal(quote)}, "
        f"escape = {literal(quote)}, skip = {int(form['SKIP_HEADER'])}, nullstr = '__none__', "
        f"null_padding = {str(not strict).lower()}{names}, store_rejects = true)"
    )


@dataclass(frozen=True)
class Cast:
    """DuckDB's SQL of a value: as it is in the file, as it is loaded, whether it cannot be."""

    column: StagedColumn
    given: str
    value: str
    bad: str


def casts_of(
    expressions: list[tuple[StagedColumn, str]], form: Mapping[str, Any], options: Mapping[str, Any]
) -> list[Cast]:
    """How the value of each column is cast."""
    is_parquet = form["TYPE"] == "PARQUET"
    truncates = (
        str(options.get("TRUNCATECOLUMNS", "FALSE")).upper() == "TRUE"
        or str(options.get("ENFORCE_LENGTH", "TRUE")).upper() == "FALSE"
    )
    found = []
    for column, given in expressions:
        value = f"try_cast({given} as {column.type})"
        if column.type == "JSON":
            value = f"to_json({given})" if is_parquet else f"try_cast({given} as json)"
        elif column.type == "BLOB" and not is_parquet:
            value = f"try(unhex(cast({given} as varchar)))"
        bad = f"({value}) is null" + (f" and ({given}) is not null" if column.is_nullable else "")
        if column.length and column.length < LONGEST_TEXT:
            if truncates:
                value = f"left({value}, {column.length})"
            else:
                bad = f"{bad} or length({value}) > {column.length}"
        found.append(Cast(column, given, value, bad))
    return found


def values_of(
    columns: list[StagedColumn], there: list[str], form: Mapping[str, Any], by: str, file: str
) -> list[tuple[StagedColumn, str]]:
    """What of a file goes into which column."""
    kind = form["TYPE"]
    if by == "NONE" and kind != "CSV":
        if len(columns) != 1:
            raise problem(
                2019, "0A000",
                f"{kind} files are one VARIANT column: write MATCH_BY_COLUMN_NAME, or a query",
            )  # fmt: skip
        names = ", ".join(f"{literal(name)}, {identifier(name)}" for name in there)
        whole = "v" if kind == "JSON" else f"json_object({names})"
        return [(columns[0], whole)]
    if kind == "JSON":
        return [
            (column, f"{_json_key(column.name, by)}")
            if column.type == "JSON"
            else (column, f"({_json_key(column.name, by)}) ->> '$'")
            for column in columns
        ]
    if by == "NONE":
        if (
            len(there) != len(columns)
            and str(form["ERROR_ON_COLUMN_COUNT_MISMATCH"]).upper() == "TRUE"
        ):
            raise problem(
                100080, "22000",
                f"Number of columns in file ({len(there)}) does not match that of the "
                f"corresponding table ({len(columns)}). File '{file}'",
            )  # fmt: skip
        pairs = list(zip(columns, there, strict=False))
    else:
        exact = by == "CASE_SENSITIVE"
        key = {name if exact else name.upper(): name for name in there}
        pairs = [
            (column, key[column.name if exact else column.name.upper()])
            for column in columns
            if (column.name if exact else column.name.upper()) in key
        ]
    if kind == "PARQUET":
        return [(column, identifier(name)) for column, name in pairs]
    return [(column, csv_value(name, form)) for column, name in pairs]


def csv_value(name: str, form: Mapping[str, Any]) -> str:
    """A value of a CSV file: trimmed, or null, as the format says."""
    value = identifier(name)
    if str(form["TRIM_SPACE"]).upper() == "TRUE":
        value = f"trim({value})"
    nulls = list(form["NULL_IF"])
    if str(form["EMPTY_FIELD_AS_NULL"]).upper() == "TRUE":
        nulls.append("")
    for null in nulls:
        value = f"nullif({value}, {literal(str(null))})"
    return value


def _json_key(name: str, by: str) -> str:
    """The value of a key, whatever its case unless that matters."""
    exact = f"json_extract(v, {literal(f'$.{identifier(name)}')})"
    if by == "CASE_SENSITIVE":
        return exact
    lower = f"json_extract(v, {literal(f'$.{identifier(name.lower())}')})"
    other = (
        "json_extract(v, '$.\"' || list_extract(list_filter(json_keys(v), lambda k: "
        f"upper(k) = {literal(name.upper())}), 1) || '\"')"
    )
    return f"coalesce({lower}, {exact}, {other})"
