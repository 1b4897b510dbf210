"""The rows of a COPY: what is in its files, checked against the columns of the table."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.errors import WarehouseError
from headrace.exceptions import first_line
from headrace.sql_text import identifier, literal
from headrace.targets.redshift_mock.commands import Copy, RefusedError
from headrace.targets.s3_access import botocore

if TYPE_CHECKING:
    import duckdb

_FAMILIES = {
    # of DuckDB's types: those of PostgreSQL that a column of Parquet may be loaded into
    "INTEGER": r"smallint|integer|bigint|numeric",
    "DECIMAL": r"numeric",
    "FLOAT": r"real|double",
    "BOOLEAN": r"boolean",
    "DATE": r"date",
    "TIMESTAMP": r"timestamp",
    "TIME": r"time without|time with ",
    "VARCHAR": r"character|text|.*super",
    "BLOB": r"bytea",
    "NESTED": r".*super",
}


@dataclass(frozen=True)
class LoadError:
    """A row of ``stl_load_errors``.

    Attributes:
        file: URL.
        line: counted from 1.
        column: that is at fault; empty for the whole line.
        kind: of the column.
        value: as it is in the file.
        line_text: of the line, where that is known.
        reason: in Redshift's words.
    """

    file: str
    line: int
    column: str
    kind: str
    value: str
    line_text: str
    reason: str


@dataclass(frozen=True)
class Rows:
    """Rows of files as texts that PostgreSQL reads, by the columns of a table."""

    connection: "duckdb.DuckDBPyConnection"
    copy: Copy
    columns: list[tuple[str, str]]

    def parquet(self, files: list[str]) -> str:
        """By position, as Redshift reads Parquet; each file's columns are checked first."""
        for file in files:
            try:
                found = self.connection.execute(
                    f"describe select * from read_parquet({literal(file)}, {_AS_IT_IS})"
                ).fetchall()
            except Exception as error:
                raise RefusedError(
                    f"{file} is not a Parquet file, or only a part of one: {first_line(error)}",
                    "XX000",
                ) from error
            self._check(file, [(str(row[0]), str(row[1])) for row in found])
        listed = ", ".join(literal(file) for file in files)
        names = [f"c{at}" for at in range(len(self.columns))]
        source = f"read_parquet([{listed}], {_AS_IT_IS}) as f({', '.join(names)})"
        chosen = ", ".join(
            f"{_written(name, kind)} as {name}"
            for name, (_, kind) in zip(names, self.columns, strict=True)
        )
        return f"select {chosen} from {source}"

    def _check(self, file: str, found: list[tuple[str, str]]) -> None:
        if len(found) != len(self.columns):
            raise RefusedError(
                f"{file} has {len(found)} columns, {self.copy.name} has {len(self.columns)}: "
                f"{_difference(found, self.columns)}",
                "XX000",
                "name the columns in COPY, or add them to the table",
            )
        for (name, kind), (column, wanted) in zip(found, self.columns, strict=True):
            family = _family(kind)
            fits = re.match(_FAMILIES[family], wanted) is not None
            if family in {"NESTED", "VARCHAR"} and "super" in wanted:
                fits = "serializetojson" in self.copy.options
            if not fits:
                raise RefusedError(
                    f"{file} has an incompatible Parquet schema for column '{column}' of "
                    f"{self.copy.name}: {name} is {kind}, the column {wanted}",
                    "XX000",
                    "SERIALIZETOJSON loads nested columns and JSON into SUPER"
                    if "super" in wanted
                    else "",
                )

    def csv(self, files: list[str]) -> tuple[str, list[LoadError]]:
        """Rows of CSV or delimited text, with what is wrong in them."""
        options = self.copy.options
        is_csv = self.copy.format == "csv"
        delimiter = options.get("delimiter", "," if is_csv else "|")
        quote = options.get("quote", '"') if is_csv or "removequotes" in options else ""
        names = {name: "VARCHAR" for name, _ in self.columns}
        typed = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
        compression = options.get("compression", "none")
        listed = ", ".join(literal(file) for file in files)
        with said(f"COPY {self.copy.name}"):
            self.connection.execute(
                "create temp table given as select *, row_number() over (partition by filename) "
                f"+ {int(options.get('ignoreheader', 0))} as __line "
                f"from read_csv([{listed}], columns = {{{typed}}}, auto_detect = false, "
                f"{_AS_IT_IS}, header = false, skip = {int(options.get('ignoreheader', 0))}, "
                f"delim = {literal(delimiter)}, quote = {literal(quote)}, "
                f"escape = {literal(quote)}, compression = {literal(compression)}, "
                f"nullstr = {literal(options.get('null', _NO_NULL))}, filename = true, "
                f"null_padding = {str('fillrecord' in options).lower()}, "
                "store_rejects = true, strict_mode = true)"
            )
            rejected = self.connection.execute(
                "select s.file_path, e.line, coalesce(e.column_name, ''), "
                "coalesce(e.csv_line, ''), e.error_type, e.error_message from reject_errors as e "
                "join reject_scans as s using (scan_id, file_id) order by all"
            ).fetchall()
        errors = [
            LoadError(
                str(file), int(line), str(column), "", "", str(text),
                _REASONS.get(str(kind), first_line(Exception(said))),
            )
            for file, line, column, text, kind, said in rejected
        ]  # fmt: skip
        return self._typed(errors)

    def json(self, files: list[str]) -> tuple[str, list[LoadError]]:
        """Rows of JSON, one object a line, by the names of the columns."""
        paths = self.copy.options.get("json", "auto")
        if paths not in {"auto", "auto ignorecase"}:
            raise RefusedError("COPY … JSON with a JSONPaths file is not supported: use 'auto'")
        listed = ", ".join(literal(file) for file in files)
        compression = self.copy.options.get("compression", "none")
        with said(f"COPY {self.copy.name}"):
            self.connection.execute(
                "create temp table lines as select line, filename, "
                "row_number() over (partition by filename) as __line from read_csv("
                f"[{listed}], columns = {{'line': 'VARCHAR'}}, auto_detect = false, {_AS_IT_IS}, "
                "header = false, delim = '\\x1e', quote = '', escape = '', filename = true, "
                f"compression = {literal(compression)}, max_line_size = 16777216)"
            )
            bad = self.connection.execute(
                "select filename, __line, line from lines where trim(line) <> '' and "
                "(not json_valid(line) or json_type(line) <> 'OBJECT') order by 1, 2"
            ).fetchall()
            key = "lower(k)" if paths.endswith("case") else "k"
            chosen = ", ".join(
                f"{_value_of(name, 'super' in kind, key)} as {identifier(name)}"
                for name, kind in self.columns
            )
            self.connection.execute(
                f"create temp table given as select {chosen}, filename, __line from lines "
                "where trim(line) <> '' and json_valid(line) and json_type(line) = 'OBJECT'"
            )
        errors = [
            LoadError(
                str(f), int(at), "", "", "", str(line)[:1024], "Invalid JSON: one object a line"
            )
            for f, at, line in bad
        ]
        return self._typed(errors)

    def _typed(self, errors: list[LoadError]) -> tuple[str, list[LoadError]]:
        """The good rows of ``given`` as a query, and the bad ones."""
        checks = []
        options = self.copy.options
        for name, kind in self.columns:
            column = identifier(name)
            if _is_text(kind):
                if "emptyasnull" in options or "blanksasnull" in options:
                    blank = "trim" if "blanksasnull" in options else ""
                    self.connection.execute(
                        f"update given set {column} = null where {blank}({column}) = ''"
                    )
                size = re.search(r"\((\d+)\)", kind)
                if size and "truncatecolumns" in options:
                    self.connection.execute(
                        f"update given set {column} = left({column}, {size[1]})"
                    )
                if size:
                    checks.append((name, kind, f"strlen({column}) > {size[1]}", _REASONS["LENGTH"]))
            else:
                self.connection.execute(f"update given set {column} = null where {column} = ''")
                bad = f"{column} is not null and {_cast(column, kind, 'try_cast')} is null"
                checks.append((name, kind, bad, _reason(kind)))
        bad_rows: dict[tuple[str, int], LoadError] = {}
        for name, kind, bad, reason in checks:
            for file, line, value in self.connection.execute(
                f"select filename, __line, {identifier(name)} from given where {bad}"
            ).fetchall():
                bad_rows.setdefault(
                    (file, line), LoadError(file, line, name, kind, str(value)[:1024], "", reason)
                )
        conditions = (
            " and ".join(f"not coalesce({bad}, false)" for _, _, bad, _ in checks) or "true"
        )
        chosen = ", ".join(
            f"{_cast(identifier(name), kind, 'cast')} as {identifier(name)}"
            for name, kind in self.columns
        )
        ordered = sorted([*errors, *bad_rows.values()], key=lambda one: (one.file, one.line))
        return f"select {chosen} from given where {conditions}", ordered


_AS_IT_IS = "hive_partitioning = false"  # a folder `day=…` is no column to Redshift
_NO_NULL = "\\N"
_REASONS = {
    "MISSING COLUMNS": "Delimiter not found",
    "TOO MANY COLUMNS": "Extra column(s) found",
    "UNQUOTED VALUE": "Delimited value missing end quote",
    "LINE SIZE OVER MAXIMUM": "The line is too long",
    "INVALID ENCODING": "String contains invalid or unsupported UTF8 codepoints",
    "INVALID UNICODE": "String contains invalid or unsupported UTF8 codepoints",
    "LENGTH": "String length exceeds DDL length",
}


def _reason(kind: str) -> str:
    if kind.startswith("numeric"):
        return "Invalid digit, or numeric data overflow (result precision)"
    if kind.startswith(("timestamp", "date", "time")):
        return (
            "Invalid timestamp format or value" if kind.startswith("t") else "Invalid Date Format"
        )
    if "super" in kind:
        return "Invalid JSON"
    return f"Invalid value for {kind}"


def _is_text(kind: str) -> bool:
    return kind.startswith(("character", "text"))


def _family(kind: str) -> str:
    if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "LIST")):
        return "NESTED"
    base = kind.partition("(")[0]
    if base in {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"} or base.startswith("U"):
        return "VARCHAR" if base == "UUID" else "INTEGER"
    known = {"DOUBLE": "FLOAT", "FLOAT": "FLOAT", "DECIMAL": "DECIMAL", "BLOB": "BLOB"}
    for name in ("TIMESTAMP", "TIME", "DATE", "BOOLEAN", "VARCHAR"):
        if base.startswith(name):
            return name
    return known.get(base, "VARCHAR")


def _written(column: str, kind: str) -> str:
    """A value of a column of Parquet as PostgreSQL reads it."""
    if kind == "bytea":
        return f"'\\x' || lower(hex({column}))"
    if "super" in kind:  # a text that is JSON is loaded as JSON, as with SERIALIZETOJSON
        as_text = f"cast({column} as varchar)"
        return (
            f"case when typeof({column}) in ('VARCHAR', 'JSON') and json_valid({as_text}) "
            f"then {as_text} else cast(to_json({column}) as varchar) end"
        )
    return f"cast({column} as varchar)"


def _cast(column: str, kind: str, how: str) -> str:
    """A text as PostgreSQL reads it, or null or an error where it cannot be."""
    if _is_text(kind):
        return column
    if "super" in kind:
        return f"case when json_valid({column}) then {column} end"
    if kind == "bytea":
        return f"'\\x' || {column}"
    target = kind.replace("without time zone", "").replace("character varying", "varchar").strip()
    if target == "boolean":
        target = "boolean"
    return f"cast({how}({column} as {target}) as varchar)"


def _value_of(name: str, is_super: bool, key: str) -> str:
    """A value of a line of JSON: as JSON for SUPER, else as text."""
    arrow = "->" if is_super else "->>"
    pointer = literal("/" + name.replace("~", "~0").replace("/", "~1"))
    if key == "k":
        value = f"line {arrow} {pointer}"
    else:
        found = f"list_filter(json_keys(line), lambda k: lower(k) = {literal(name)})[1]"
        value = f"line {arrow} ('/' || {found})"
    return (
        f"cast({value} as varchar)" if not is_super else f"nullif(cast({value} as varchar), 'null')"
    )


def _difference(found: list[tuple[str, str]], wanted: list[tuple[str, str]]) -> str:
    names, columns = [one for one, _ in found], [one for one, _ in wanted]
    more = [one for one in names if one.lower() not in columns]
    less = [one for one in columns if one not in [name.lower() for name in names]]
    parts = [f"{', '.join(more)} is in the file alone"] if more else []
    parts += [f"{', '.join(less)} is in the table alone"] if less else []
    return "; ".join(parts) or "their order differs"


@contextmanager
def said(what: str) -> Iterator[None]:
    """Errors of DuckDB and of the bucket as refusals in one line."""
    import duckdb

    botocore()
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        raise RefusedError(
            f"{what}: S3ServiceException: {said.get('Code')}: {said.get('Message')}", "XX000"
        ) from error
    except (duckdb.Error, BotoCoreError, Boto3Error, WarehouseError, OSError) as error:
        raise RefusedError(f"{what}: {first_line(error)}", "XX000") from error
