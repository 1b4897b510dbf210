"""How the values of one raw column are changed.

Each strategy is a SQL expression over the column, suited to its type and to what pipelines break
on:

- ``rotate``: each row gets the value of the next one, so that types, formats and domains stay as
  they are;
- ``change``: every other row gets a neighbouring value (numbers and digits in text + 1, dates + 1
  day, other text longer, booleans flipped; inside JSON, lists and structs the same);
- ``spread``: the other rows get a value far away (negative numbers, dates + 400 days, text in the
  other case, lists reversed, other strings in JSON);
- ``null``: every third row loses its value;
- ``fill``: every other missing value becomes one.

Rows are identified by their position, so that a strategy does the same each time.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.sql_text import identifier

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType

_INTEGERS = {
    "tinyint", "smallint", "integer", "bigint", "hugeint",
    "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint",
}  # fmt: skip
_NUMBERS = _INTEGERS | {"decimal", "float", "double"}
_TIMESTAMPS = {
    "date", "timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone",
}  # fmt: skip

_Change = Callable[[str, str], str | None]


def expressions(column: str, kind: "DuckDBPyType", table: str) -> dict[str, str]:
    """Strategy to the SQL expression that takes the column's place.

    Args:
        column: quoted.
        kind: its type.
        table: quoted; the table that is read.
    """
    even = "rowid % 2 = 0"
    odd = f"(rowid % 2 = 1 or (select count(*) from {table}) = 1)"
    found = {
        "rotate": f"coalesce(lead({column}, 1) over in_order, "
        f"case when lead(rowid) over in_order is null then first_value({column}) over in_order end)"
    }
    for name, rows, changed in (
        ("change", even, _changed(column, kind, 0)),
        ("spread", odd, _far(column, kind)),
    ):
        if changed is not None:
            found[name] = f"case when {rows} then {changed} else {column} end"
    found["null"] = f"case when rowid % 3 = 0 then null else {column} end"
    value = _constant(kind)
    if value is not None:
        found["fill"] = f"case when {column} is null and {odd} then {value} else {column} end"
    return found


def _changed(value: str, kind: "DuckDBPyType", depth: int) -> str | None:
    name, written = _names(kind)
    if name in _NUMBERS:
        up, down = (f"try_cast(try({value} {sign} 1) as {written})" for sign in "+-")
        return f"coalesce({up}, {down})"
    if name == "boolean":
        return f"not {value}"
    if name in _TIMESTAMPS:
        return f"({value} + interval 1 day)::{written}"
    if name == "time":
        return f"{value} + interval 1 minute"
    if name == "interval":
        return f"{value} + interval 1 day"
    if name == "uuid":
        return f"md5({value}::varchar)::uuid"
    if name == "blob":
        return f"{value} || '\\x01'::blob"
    if written == "JSON":
        return f"{_json_numbers(value)}::json"
    if name == "varchar":
        return _changed_text(value)
    if name == "list":
        item = f"x{depth}"
        changed = _changed(item, _child(kind, 0), depth + 1)
        return changed and f"list_transform({value}, lambda {item}: {changed})"
    if name == "struct":
        return _struct(value, kind, depth)
    return None


def _changed_text(value: str) -> str:
    """Text that holds a number or a date still holds one."""
    day = f"case when substr({value}, 9, 2) = '15' then '16' else '15' end"
    return (
        f"case when try_cast({value} as hugeint) is not null "
        f"then (try_cast({value} as hugeint) + 1)::varchar "
        f"when try_cast({value} as double) is not null "
        f"then (try_cast({value} as double) + 1)::varchar "
        f"when regexp_matches({value}, '^\\d{{4}}-\\d{{2}}-\\d{{2}}') "
        f"then substr({value}, 1, 8) || {day} || substr({value}, 11) "
        f"when regexp_matches({value}, '^\\s*[\\[{{]') then {_json_numbers(value)} "
        f"when {value} like '%@%' then 'x' || {value} "
        f"else {value} || '~' end"
    )


def _far(value: str, kind: "DuckDBPyType") -> str | None:
    name, written = _names(kind)
    if name in _NUMBERS:
        far = (
            f"try_cast(try(-{value} - 7) as {written}), try_cast(try({value} * 3 + 7) as {written})"
        )
        return f"coalesce({far}, 0::{written})"
    if name in _TIMESTAMPS:
        return f"({value} + interval 400 day)::{written}"
    if name == "boolean":
        return f"not {value}"
    if written == "JSON":
        return f"{_json_texts(value)}::json"
    if name == "varchar":
        other_case = (
            f"case when upper({value}) = {value} then lower({value}) else upper({value}) end"
        )
        return (
            f"case when try_cast({value} as double) is not null then '0' "
            f"when regexp_matches({value}, '^\\s*[\\[{{]') then {_json_texts(value)} "
            f"when regexp_matches({value}, '^\\d{{4}}-') "
            f"then (substr({value}, 1, 4)::int + 1)::varchar || substr({value}, 5) "
            f"else {other_case} end"
        )
    if name == "list":
        return f"list_reverse({value})"
    return None


def _json_numbers(value: str) -> str:
    return (
        f"regexp_replace(regexp_replace({value}::varchar, "
        "'([:\\[,]\\s*)(-?)(\\d)', '\\1\\21\\3', 'g'), ':\\s*true\\b', ':false', 'g')"
    )


def _json_texts(value: str) -> str:
    return f"regexp_replace({value}::varchar, '([:\\[]\\s*\")', '\\1~', 'g')"


def _struct(value: str, kind: "DuckDBPyType", depth: int) -> str | None:
    fields = []
    for name, child in kind.children:
        quoted = identifier(str(name))
        old = f"{value}.{quoted}"
        fields.append(f"{quoted} := {_changed(old, child, depth) or old}")  # type: ignore[arg-type]
    return f"case when {value} is not null then struct_pack({', '.join(fields)}) end"


def _constant(kind: "DuckDBPyType") -> str | None:
    name, written = _names(kind)
    if name in _NUMBERS:
        return f"1::{written}"
    if name in _TIMESTAMPS:
        return f"'2024-01-15'::{written}"
    constants = {"boolean": "true", "varchar": "'x'", "time": "'12:00:00'::time"}
    return "'{\"x\": 1}'::json" if written == "JSON" else constants.get(name)


def _names(kind: "DuckDBPyType") -> tuple[str, str]:
    return str(kind.id), str(kind)


def _child(kind: "DuckDBPyType", at: int) -> "DuckDBPyType":
    found: DuckDBPyType = kind.children[at][1]  # type: ignore[assignment]
    return found
