"""COPY INTO: files of a stage into a table, each of them once, and a query into files.

Each value is cast as the column is; one that cannot be is an error of its row, and ON_ERROR says
what becomes of the row, the file, the statement.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from headrace.exceptions import first_line
from headrace.sql_text import identifier, literal
from headrace.targets.snowflake_standin import stages
from headrace.targets.snowflake_standin.engine import HIDDEN
from headrace.targets.snowflake_standin.file_formats import format_of, options_of
from headrace.targets.snowflake_standin.file_values import (
    Cast,
    StagedColumn,
    casts_of,
    csv_value,
    source_of,
    values_of,
)
from headrace.targets.snowflake_standin.names import NAME, names_of, resolved
from headrace.targets.snowflake_standin.problems import problem, unsupported
from headrace.targets.snowflake_standin.results import DML, Result, rows

if TYPE_CHECKING:
    from headrace.targets.snowflake_standin.session import StandInSession

_PLACE = r"('(?:@|s3://)[^']*'|@[^\s;()]+)"
_LOAD = re.compile(
    rf"copy\s+into\s+((?:{NAME}\.)*{NAME})\s*(\([^()]*\))?\s*from\s+"
    rf"(?:{_PLACE}|\((\s*select\b.*?)\)(?=\s*(?:$|\w+\s*=)))(.*)$",
    re.IGNORECASE | re.DOTALL,
)
_UNLOAD = re.compile(
    rf"copy\s+into\s+{_PLACE}\s+from\s+(\(.*?\)(?=\s*(?:$|\w+\s*=))|[^\s;]+)(.*)$",
    re.IGNORECASE | re.DOTALL,
)
_STAGED = re.compile(rf"{_PLACE}\s*(\((?:[^()']|'[^']*')*=>(?:[^()']|'[^']*')*\))?", re.IGNORECASE)
_LOAD_OPTIONS = {
    "FILE_FORMAT", "ON_ERROR", "MATCH_BY_COLUMN_NAME", "FILES", "PATTERN", "FORCE", "PURGE",
    "CREDENTIALS", "TRUNCATECOLUMNS", "ENFORCE_LENGTH", "SIZE_LIMIT", "RETURN_FAILED_ONLY",
    "LOAD_UNCERTAIN_FILES", "STORAGE_INTEGRATION",
}  # fmt: skip
_UNLOAD_OPTIONS = {
    "FILE_FORMAT", "SINGLE", "HEADER", "OVERWRITE", "MAX_FILE_SIZE", "CREDENTIALS",
    "DETAILED_OUTPUT", "STORAGE_INTEGRATION",
}  # fmt: skip
_COLUMNS = [
    "file", "status", "rows_parsed", "rows_loaded", "error_limit", "errors_seen", "first_error",
    "first_error_line", "first_error_column_name",
]  # fmt: skip


@dataclass
class _Outcome:
    file: str
    parsed: int = 0
    loaded: int = 0
    errors: int = 0
    first: str | None = None
    line: int | None = None
    column: str | None = None
    status: str = "LOADED"

    def row(self, limit: int) -> tuple[Any, ...]:
        return (
            self.file, self.status, self.parsed, self.loaded, limit, self.errors, self.first,
            self.line, self.column,
        )  # fmt: skip


def load(session: "StandInSession", sql: str) -> Result:
    """``COPY INTO table``; or into a stage, see ``unload``.

    Raises:
        ProgrammingError: a file cannot be loaded, and ON_ERROR says that this ends it.
    """
    if _UNLOAD.match(sql):
        return unload(session, sql)
    match = _LOAD.match(sql)
    if match is None:
        raise problem(1003, "42000", f"COPY INTO: cannot read {sql[:100]!r}")
    table, listed, place_text, query_text, rest = match.groups()
    options = _load_options(rest)
    on_error = str(options["ON_ERROR"]).upper()
    database, schema, name = resolved(session, table)
    columns = _columns(session, database, schema, name)
    chosen = [names_of(one)[0] for one in (listed or "")[1:-1].split(",") if one.strip()]
    inner = _STAGED.search(query_text) if query_text else None
    if query_text and (inner is None or on_error != "ABORT_STATEMENT"):
        raise unsupported(
            "a COPY of a query without a stage, or with ON_ERROR", "leave ON_ERROR out there"
        )
    place = stages.location(
        session, inner[1] if inner else place_text, {"CREDENTIALS": options.get("CREDENTIALS")}
    )
    form = format_of(session, options.get("FILE_FORMAT"), place.options.get("FILE_FORMAT"))
    home = f"{identifier(database)}.{HIDDEN}.headrace_loaded"
    before = {
        (str(file), str(tag))
        for file, tag in session.ask(
            f"select file, tag from {home} where schema_name = ? and name = ?", [schema, name]
        )
    }
    force = str(options.get("FORCE", "FALSE")).upper() == "TRUE"
    named = options.get("FILES", [])
    found = stages.files_of(
        place, [named] if isinstance(named, str) else named, options.get("PATTERN")
    )
    by = str(options.get("MATCH_BY_COLUMN_NAME", "NONE")).upper()
    target = ".".join(identifier(part) for part in (database, schema, name))
    outcomes = []
    for file, path, _, tag in found:
        identity = f"{place.folder}/{file}"
        if (identity, tag) in before and not force:
            continue
        with stages.readable(place, file, path) as here:
            if query_text and inner is not None:
                outcome = _load_query(session, target, chosen, query_text, inner, file, here, form)
            else:
                wanted = [one for one in columns if not chosen or one.name in chosen]
                outcome = _load_file(
                    session, target, wanted, file, here, form, by, on_error, options
                )
        outcomes.append(outcome)
        if outcome.status != "LOAD_FAILED":
            session.ask(
                f"insert into {home} values (?, ?, ?, ?, now(), ?)",
                [schema, name, identity, tag, outcome.loaded],
            )
            if str(options.get("PURGE", "FALSE")).upper() == "TRUE" and not place.is_remote:
                Path(path).unlink()
    if not outcomes:
        return Result(rows(["status"], [("Copy executed with 0 files processed.",)]).table, DML)
    return Result(rows(_COLUMNS, [one.row(1) for one in outcomes]).table, DML)


def _load_options(text: str) -> dict[str, Any]:
    options = options_of(text, "COPY INTO")
    for key in options:
        if key == "VALIDATION_MODE":
            raise unsupported("VALIDATION_MODE", "load into an empty clone of the table")
        if key not in _LOAD_OPTIONS:
            raise unsupported(f"COPY INTO with {key}", "leave it out")
    on_error = str(options.setdefault("ON_ERROR", "ABORT_STATEMENT")).upper()
    if not re.fullmatch(r"ABORT_STATEMENT|CONTINUE|SKIP_FILE(_\d+%?)?", on_error):
        raise problem(1003, "42000", f"ON_ERROR = {on_error}: ABORT_STATEMENT, CONTINUE, SKIP_FILE")
    return options


def _columns(
    session: "StandInSession", database: str, schema: str, name: str
) -> list[StagedColumn]:
    found = session.ask(
        "select column_name, data_type, is_nullable from duckdb_columns() where database_name = ? "
        "and schema_name = ? and table_name = ? order by column_index",
        [database, schema, name],
    )
    if not found:
        raise problem(2003, "42S02", f"Table '{database}.{schema}.{name}' does not exist")
    lengths = {
        str(one["name"]): one["character_maximum_length"]
        for one in session.connection._info_schema_manager.get_table_columns(  # noqa: SLF001
            database=database, schema=schema, table=name
        )
    }
    return [
        StagedColumn(str(column), str(kind), lengths.get(str(column)), bool(is_nullable))
        for column, kind, is_nullable in found
    ]


def _load_file(
    session: "StandInSession", target: str, columns: list[StagedColumn], file: str, path: str,
    form: Mapping[str, Any], by: str, on_error: str, options: Mapping[str, Any],
) -> _Outcome:  # fmt: skip
    outcome = _Outcome(file)
    source = source_of(path, form)
    try:
        try:
            _probe(session, source)
        except duckdb.Error:
            if on_error == "ABORT_STATEMENT" or form["TYPE"] != "JSON":
                raise
            source = source_of(path, form, line_by_line=True)
            _probe(session, source)
    except duckdb.Error as error:
        outcome.errors, outcome.status = 1, "LOAD_FAILED"
        outcome.first = f"{form['TYPE'].title()} file cannot be read: {first_line(error)}"
        if on_error == "ABORT_STATEMENT":
            raise problem(100069, "22000", f"{outcome.first} File '{file}'") from error
        return outcome
    for name in ("reject_errors", "reject_scans"):
        session.ask(f"drop table if exists temp.main.{name}")
    session.ask(
        "create or replace temp table headrace_file as select row_number() over () as "
        f"headrace_row, * from {source}"
    )
    there = [str(row[0]) for row in session.ask("describe temp.main.headrace_file")[1:]]
    casts = casts_of(values_of(columns, there, form, by, file), form, options)
    wrong = " or ".join(f"({one.bad})" for one in casts) or "false"
    if form["TYPE"] == "JSON":
        wrong = f"v is null or {wrong}"
    _look_for_errors(session, outcome, casts, wrong, is_csv=form["TYPE"] == "CSV")
    if outcome.errors and on_error == "ABORT_STATEMENT":
        where = f"File '{file}', line {outcome.line}, column {outcome.column}"
        raise problem(100038, "22018", f"{outcome.first} {where}")
    if outcome.errors and _skips(on_error, outcome):
        outcome.status = "LOAD_FAILED"
        return outcome
    if casts:
        names = ", ".join(identifier(one.column.name) for one in casts)
        (outcome.loaded,) = session.ask(
            f"insert into {target} ({names}) select {', '.join(one.value for one in casts)} "
            f"from temp.main.headrace_file where not coalesce({wrong}, false) "
            "order by headrace_row"
        )[0]
    outcome.status = "PARTIALLY_LOADED" if outcome.errors else "LOADED"
    return outcome


def _probe(session: "StandInSession", source: str) -> None:
    """Read a file apart from the session: an error would end its transaction."""
    with session.engine.root.cursor() as probe:
        probe.execute(f"select count(*) from (from {source})")


def _look_for_errors(
    session: "StandInSession", outcome: _Outcome, casts: list[Cast], wrong: str, *, is_csv: bool
) -> None:
    """Count the rows of ``headrace_file``, and those that cannot be loaded; the first is told."""
    table = "temp.main.headrace_file"
    ((total, errors),) = session.ask(
        f"select count(*), count(*) filter (where {wrong}) from {table}"
    )
    rejected: tuple[Any, ...] = (0, None, None)
    if is_csv:  # lines with too many or too few values
        (rejected,) = session.ask(
            "select count(distinct line), min(line), first(error_message order by line) "
            "from temp.main.reject_errors"
        )
    outcome.parsed, outcome.errors = int(total + rejected[0]), int(errors + rejected[0])
    if rejected[0]:
        outcome.first, outcome.line = first_line(rejected[2]), int(rejected[1])
    elif errors:
        names = " ".join(f"when {one.bad} then {literal(one.column.name)}" for one in casts)
        values = " ".join(f"when {one.bad} then cast({one.given} as varchar)" for one in casts)
        ((line, name, value),) = session.ask(
            f"select headrace_row, case {names} end, case {values} end from {table} "
            f"where {wrong} order by headrace_row limit 1"
        )
        outcome.first, outcome.line = "Error parsing JSON", int(line)
        for one in casts:
            if one.column.name == name:
                outcome.first, outcome.column = _said(one.column, value), str(name)


def _skips(on_error: str, outcome: _Outcome) -> bool:
    """Whether so many errors skip the file."""
    found = re.fullmatch(r"SKIP_FILE(?:_(\d+)(%?))?", on_error)
    if found is None:
        return False
    if found[1] is None:
        return True
    seen = 100 * outcome.errors / max(outcome.parsed, 1) if found[2] else outcome.errors
    return seen >= int(found[1])


def _said(column: StagedColumn, value: Any) -> str:
    if value is None:
        return f"NULL result in a non-nullable column '{column.name}'."
    if column.length and len(str(value)) > column.length:
        return f"User character length limit ({column.length}) exceeded by string '{value}'."
    kind = "Numeric" if re.match("DECIMAL|BIGINT|INT|DOUBLE|FLOAT", column.type) else column.type
    return f"{kind.title()} value '{value}' is not recognized."


def _staged(session: "StandInSession", path: str, file: str, form: Mapping[str, Any]) -> int:
    """A temporary table ``HEADRACE_STAGED`` of a file: ``C1`` and so on.

    Returns:
        How many rows it has.
    """
    source = source_of(path, form)
    if form["TYPE"] == "CSV":
        described = session.ask(f"describe select * from {source}")
        columns = ", ".join(
            f"{csv_value(str(row[0]), form)} as C{number}"
            for number, row in enumerate(described, 1)
        )
    elif form["TYPE"] == "JSON":
        columns = "v as C1"
    else:
        described = session.ask(f"describe select * from {source}")
        pairs = ", ".join(f"{literal(str(row[0]))}, {identifier(str(row[0]))}" for row in described)
        columns = f"json_object({pairs}) as C1"
    session.ask(
        f"create or replace temp table HEADRACE_STAGED as select {columns}, {literal(file)} as "
        f"METADATA_FILENAME, row_number() over () as METADATA_FILE_ROW_NUMBER from {source}"
    )
    return int(session.ask("select count(*) from temp.main.HEADRACE_STAGED")[0][0])


def _over_staged(text: str, inner: re.Match[str]) -> str:
    """A query over a stage as one over ``HEADRACE_STAGED``."""
    text = text.replace(inner[0], "TEMP.MAIN.HEADRACE_STAGED")
    text = re.sub(r"metadata\$(\w+)", r"METADATA_\1", text, flags=re.IGNORECASE)
    return re.sub(r"\$(\d+)", r"C\1", text)


def _load_query(
    session: "StandInSession", target: str, chosen: list[str], query_text: str,
    inner: re.Match[str], file: str, path: str, form: Mapping[str, Any],
) -> _Outcome:  # fmt: skip
    try:
        parsed = _staged(session, path, file, form)
    except duckdb.Error as error:
        said = f"{form['TYPE'].title()} file cannot be read: {first_line(error)} File '{file}'"
        raise problem(100069, "22000", said) from error
    names = f" ({', '.join(identifier(one) for one in chosen)})" if chosen else ""
    done = session.run(f"insert into {target}{names} {_over_staged(query_text, inner)}")
    return _Outcome(file, parsed, int(done.table.column(0)[0].as_py()))


def query(session: "StandInSession", sql: str) -> Result:
    """A query over the files of a stage: ``select $1 from @stage (file_format => 'name')``.

    Raises:
        ProgrammingError: there are no files, or one cannot be read.
    """
    inner = _STAGED.search(sql)
    if inner is None:
        raise problem(1003, "42000", f"cannot read {sql[:100]!r}")
    given = options_of((inner[2] or "()")[1:-1].replace("=>", "="), "the stage")
    place = stages.location(session, inner[1], {})
    form = format_of(session, given.get("FILE_FORMAT"), place.options.get("FILE_FORMAT"))
    found = stages.files_of(place, pattern=given.get("PATTERN"))
    if len(found) != 1:
        raise unsupported(
            f"a query over {len(found)} files of a stage", "name one file, or COPY INTO a table"
        )
    with stages.readable(place, found[0][0], found[0][1]) as here:
        _staged(session, here, found[0][0], form)
    return session.run(_over_staged(sql, inner))


def unload(session: "StandInSession", sql: str) -> Result:
    """``COPY INTO @stage FROM table``: files of CSV or Parquet.

    Raises:
        ProgrammingError: there are files already, or the place is in S3.
    """
    match = _UNLOAD.match(sql)
    assert match is not None
    place = stages.location(session, match[1], {})
    if place.is_remote:
        raise unsupported("COPY INTO s3://", "unload into a stage of its own, and GET the files")
    options = options_of(match[3], "COPY INTO")
    for key in options:
        if key not in _UNLOAD_OPTIONS:
            raise unsupported(f"COPY INTO a stage with {key}", "leave it out")
    form = format_of(session, options.get("FILE_FORMAT"), place.options.get("FILE_FORMAT"))
    if form["TYPE"] == "JSON":
        raise unsupported("COPY INTO files of JSON", "use CSV or Parquet")
    source = match[2][1:-1] if match[2].startswith("(") else f"select * from {match[2]}"
    table = session.run(source).table
    single = str(options.get("SINGLE", "FALSE")).upper() == "TRUE"
    ending = "parquet" if form["TYPE"] == "PARQUET" else "csv"
    name = place.path if single and place.path else f"{place.path or 'data'}_0_0_0.{ending}"
    if place.path.endswith("/"):
        name = f"{place.path}data_0_0_0.{ending}"
    path = Path(place.folder) / name
    if path.exists() and str(options.get("OVERWRITE", "FALSE")).upper() != "TRUE":
        raise problem(1, "22000", f"Files already existing at the unload destination: {name}. "
                      "Use overwrite option to force unloading.")  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    how = "format parquet"
    if form["TYPE"] == "CSV":
        has_header = str(options.get("HEADER", "FALSE")).lower()
        how = (
            f"format csv, header {has_header}, delim {literal(str(form['FIELD_DELIMITER']))}, "
            "nullstr '\\N'"
        )
    session.duck.register("headrace_unload", table)
    try:
        session.ask(f"copy (select * from headrace_unload) to {literal(str(path))} ({how})")
    finally:
        session.duck.unregister("headrace_unload")
    size = path.stat().st_size
    done = rows(["rows_unloaded", "input_bytes", "output_bytes"], [(table.num_rows, size, size)])
    return Result(done.table, DML)
