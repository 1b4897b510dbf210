"""What a load keeps of awkward values, for every way in: the data of the page and of its tests.

``uv run python tests/integration/what_is_kept.py`` writes the tables of the page anew.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "what-is-kept.md"
WAYS = {
    "csv": "CSV",
    "bulk": "CSV, large",
    "jsonl": "JSON lines",
    "parquet": "Parquet",
    "rest": "REST",
    "sql": "SQL",
}

TYPES = {
    "VARCHAR": "text",
    "BIGINT": "bigint",
    "DOUBLE": "double",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "TIMESTAMP_NS": "timestamp_ns",
    "JSON": "json",
    "BLOB": "bytes",
}


@dataclass(frozen=True)
class Value:
    """A value as each way in writes it.

    Attributes:
        kind: in words.
        text: as CSV has it.
        json: as JSON has it; None: ``text`` as a string.
        parquet: None: ``text`` as a string.
        sql: of PostgreSQL; None: ``text`` as a text.
        kept: way to the type that the column has, and the value where it does not read as
            ``text``: ``double 1.5``.
    """

    kind: str
    text: str
    json: str | None = None
    parquet: pa.Array | None = None
    sql: str | None = None
    kept: Mapping[str, str] = field(default_factory=dict)

    @property
    def column(self) -> str:
        """The column that holds it."""
        return f"v{VALUES.index(self):02d}"

    @property
    def json_text(self) -> str:
        """As JSON has it."""
        if self.json is not None:
            return self.json
        return json.dumps(self.text, ensure_ascii=False)


def _kept(csv: str, json: str, parquet: str, sql: str, **other: str) -> Mapping[str, str]:
    found = {"csv": csv, "bulk": csv, "jsonl": json, "parquet": parquet, "rest": json, "sql": sql}
    return {**found, **other}


def _everywhere(said: str) -> Mapping[str, str]:
    return _kept(said, said, said, said)


_AT = datetime(2024, 2, 29, 10, 30, tzinfo=UTC)
_NS = 1_709_202_600_123_456_789
_WIDE = 123456789012345678901234567890
_45 = "1" * 45
_LINES = "a\nb"
_NS_KEPT = "timestamp_ns 2024-02-29 10:30:00.123456789"
_OBJECT = ('json {"a":1}', 'json {"a":1}', 'json {"a":1}')
_LIST = ("json [1,2]", "json [1,2]", "json [1,2]")

VALUES = (
    Value("a leading zero", "01067", kept=_everywhere("text")),
    Value("a plus sign", "+41791234567", kept=_everywhere("text")),
    Value("an integer", "42", "42", pa.array([42]), "42::int", _everywhere("bigint")),
    Value(
        "17 digits",
        "12345678901234567",
        "12345678901234567",
        pa.array([12345678901234567]),
        "12345678901234567::bigint",
        _everywhere("bigint"),
    ),
    Value(
        "17 digits and a fraction",
        "12345678901234567.89",
        "12345678901234567.89",
        pa.array([Decimal("12345678901234567.89")]),
        "12345678901234567.89::numeric(19,2)",
        _kept("text", "decimal(38,2)", "decimal(19,2)", "decimal(19,2)"),
    ),
    Value(
        "30 digits",
        str(_WIDE),
        str(_WIDE),
        pa.array([Decimal(_WIDE)]),
        f"{_WIDE}::numeric(30,0)",
        _kept("text", "decimal(38,0)", "decimal(30,0)", "decimal(30,0)"),
    ),
    Value(
        "45 digits, beyond 128 bits",
        _45,
        _45,
        pa.array([Decimal(_45)]),
        f"{_45}::numeric(45,0)",
        _kept("text", "text", "refused", "text"),
    ),
    Value(
        "beyond a double",
        "1e400",
        "1e400",
        kept=_kept("text", "text", "text", "text", rest="text 1E+400"),
    ),
    Value(
        "a trailing zero",
        "1.50",
        "1.50",
        pa.array([Decimal("1.50")]),
        "1.50::numeric(5,2)",
        _kept("double 1.5", "double 1.5", "decimal(3,2)", "decimal(5,2)"),
    ),
    Value(
        "an exponent",
        "1E5",
        "1E5",
        pa.array([1e5]),
        "1E5::float8",
        _kept("text", "double 100000.0", "double 100000.0", "double 100000.0"),
    ),
    Value(
        "minus zero",
        "-0",
        "-0",
        pa.array([-0.0]),
        "'-0'::float8",
        _kept("double -0.0", "bigint 0", "double -0.0", "double -0.0"),
    ),
    Value(
        "not a number",
        "NaN",
        None,
        pa.array([float("nan")]),
        "'NaN'::float8",
        _kept("text", "text", "double nan", "double nan"),
    ),
    Value("a decimal comma", "1,5", kept=_everywhere("text")),
    Value("a number after a space", " 5", kept=_everywhere("text")),
    Value("a code like a date", "104500-11-12", kept=_everywhere("text")),
    Value("a date with the day first", "31/01/2024", kept=_everywhere("text")),
    Value(
        "an ISO date",
        "2024-02-29",
        None,
        pa.array([date(2024, 2, 29)]),
        "date '2024-02-29'",
        _kept("date", "date", "date", "date", rest="text"),
    ),
    Value("a date that does not exist", "2023-02-29", kept=_everywhere("text")),
    Value(
        "a time without a date",
        "07:05",
        None,
        pa.array([time(7, 5)]),
        "time '07:05'",
        _kept("text", "text", "time 07:05:00", "time 07:05:00"),
    ),
    Value(
        "a timestamp with an offset",
        "2024-02-29T12:30:00+02:00",
        None,
        pa.array([_AT], pa.timestamp("us", "+02:00")),
        "timestamptz '2024-02-29T12:30:00+02:00'",
        _everywhere("timestamptz 2024-02-29 10:30:00+00"),
    ),
    Value(
        "nanoseconds",
        "2024-02-29T10:30:00.123456789",
        None,
        pa.array([_NS], pa.timestamp("ns")),
        None,
        _kept(_NS_KEPT, _NS_KEPT, _NS_KEPT, "text", rest="text"),
    ),
    Value("a UUID in upper case", "6F9619FF-8B86-D011-B42D-00C04FC964FF", kept=_everywhere("text")),
    Value("true", "true", "true", pa.array([True]), "true", _everywhere("boolean")),
    Value(
        "TRUE",
        "TRUE",
        kept=_kept("boolean true", "text", "text", "text"),
    ),
    Value("yes", "yes", kept=_everywhere("text")),
    Value("one", "1", "1", pa.array([1]), "1::int", _everywhere("bigint")),
    Value("empty text", "", kept=_kept("text null", "text", "text", "text")),
    Value(
        "null",
        "",
        "null",
        pa.array([None], pa.string()),
        "null::text",
        _kept("text null", "text null", "text null", "text null", rest="no column"),
    ),
    Value("spaces around", "  x  ", kept=_everywhere("text")),
    Value("a line break", _LINES, kept=_everywhere("text")),
    Value("quotes and a comma", 'a "b", c', kept=_everywhere("text")),
    Value("other scripts", "Zürich 東京 🚀", kept=_everywhere("text")),
    Value(
        "an object",
        '{"a": 1}',
        '{"a": 1}',
        pa.array([{"a": 1}]),
        "'{\"a\": 1}'::jsonb",
        _kept("text", *_OBJECT, rest="a column for each field"),
    ),
    Value(
        "a list",
        "[1, 2]",
        "[1, 2]",
        pa.array([[1, 2]]),
        "array[1, 2]",
        _kept("text", *_LIST, rest="a child table"),
    ),
)


def cell(value: Value, kind: str | None, found: str | None) -> str:
    """What is kept, in the words of the page: the type, and the value where it reads otherwise.

    Args:
        value: as it was given.
        kind: DuckDB's type of its column.
        found: the value in the warehouse, as text.
    """
    if kind is None:
        return "no column"
    said = TYPES.get(kind, kind.lower())
    if found is None:
        return f"{said} null"
    return said if found == value.text else f"{said} {found}"


@dataclass(frozen=True)
class Later:
    """A value of a later file in a column that is there already.

    Attributes:
        kind: in words.
        column: the value that made the column.
        value: what comes later.
        kept: the value that the column has then; None: the value does not fit.
    """

    kind: str
    column: str
    value: str
    kept: str | None


LATER = (
    Later("text in a number column", "7", "x", None),
    Later("a fraction in an integer column", "7", "6.5", None),
    Later("a whole number with a point in an integer column", "7", "6.0", "6"),
    Later("a leading zero in an integer column", "7", "01067", None),
    Later("a plus sign in an integer column", "7", "+41791234567", None),
    Later("20 digits in an integer column", "7", "12345678901234567890", None),
    Later("an integer in a column of fractions", "1.5", "2", "2.0"),
    Later("17 digits in a column of fractions", "1.5", "12345678901234567.89", None),
    Later("a date with the day first in a date column", "2024-02-29", "01/03/2024", None),
    Later("a timestamp in a date column", "2024-02-29", "2024-03-01 10:00:00", None),
    Later("midnight in a date column", "2024-02-29", "2024-03-01 00:00:00", "2024-03-01"),
    Later("1 in a boolean column", "true", "1", None),
    Later("a number in a text column", "x", "01067", "01067"),
    Later("an empty field in a number column", "7", "", "null"),
)


def _cut_off() -> bytes:
    rows = "".join(f"{number},{number * number % 7919}\n" for number in range(5_000))
    whole = gzip.compress(f"id,v\n{rows}".encode())
    return whole[: len(whole) // 2]


@dataclass(frozen=True)
class Odd:
    """A file with an odd name, row or byte.

    Attributes:
        kind: in words.
        name: of the file.
        content: of it.
        becomes: what becomes of it, in the words of ``test_what_is_kept``.
    """

    kind: str
    name: str
    content: str | bytes
    becomes: str


_GOOD = "".join(f"{number},a\n" for number in range(2, 9))
ODD = (
    Odd("names that differ by case", "t.csv", "id,Name,name\n1,a,b\n", "columns name, name_2"),
    Odd(
        "names that differ by case, in JSON",
        "t.jsonl",
        '{"id": 1, "V": "a", "v": "b"}\n',
        "columns v, v_2",
    ),
    Odd(
        "names that become equal in the warehouse",
        "t.csv",
        "id,Order ID,order-id\n1,a,b\n",
        "columns order_id, order_id_2",
    ),
    Odd("names of other scripts", "t.csv", "id,名前,住所\n1,a,b\n", "columns x, x_2"),
    Odd("a NUL byte", "t.csv", "id,v\n1,a\0b\n", "columns v"),
    Odd("a NUL byte, in JSON", "t.jsonl", '{"id": 1, "v": "a\\u0000b"}\n', "columns v"),
    Odd("a row without a key", "t.csv", f"id,v\n{_GOOD},b\n", "quarantine: null_key"),
    Odd(
        "two rows of one key (the last is kept)",
        "t.csv",
        f"id,v\n{_GOOD}1,a\n1,b\n",
        "quarantine: duplicate_key",
    ),
    Odd(
        "a key of 20 digits that was written as a double",
        "t.csv",
        f"id,v\n{_GOOD}1.2345678901234567e+19,a\n",
        "quarantine: rounded_key",
    ),
    Odd("a row with too few values", "t.csv", f"id,v\n{_GOOD}1\n", "quarantine: malformed"),
    Odd("a row with too many values", "t.csv", f"id,v\n{_GOOD}1,a,b\n", "quarantine: malformed"),
    Odd(
        "a line that is not an object",
        "t.jsonl",
        '{"id": 1, "v": "a"}\n5\n{"id": 2, "v": "b"}\n',
        "quarantine: malformed",
    ),
    Odd("a truncated gzip file", "t.csv.gz", _cut_off(), "the load stops"),
    Odd("a truncated Parquet file", "t.parquet", b"PAR1 and no end", "the load stops"),
)


def tables() -> str:
    """The tables of the page."""
    lines = [
        f"| a value | as text | {' | '.join(WAYS.values())} |",
        f"|---|---|{'---|' * len(WAYS)}",
    ]
    for value in VALUES:
        cells = " | ".join(value.kept[way] for way in WAYS)
        lines.append(f"| {value.kind} | {_code(value.text)} | {cells} |")
    lines += [
        "",
        "| in a later file | the column was made of | the value | kept |",
        "|---|---|---|---|",
    ]
    for later in LATER:
        kept = "quarantine" if later.kept is None else later.kept
        lines.append(f"| {later.kind} | `{later.column}` | {_code(later.value)} | {kept} |")
    lines += ["", "| in a file | result |", "|---|---|"]
    lines += [f"| {odd.kind} | {odd.becomes} |" for odd in ODD]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    shown = text.replace("\n", "⏎")
    return f"`{shown}`" if shown else ""


BEGIN, END = "<!-- of tests/integration/what_is_kept.py -->\n", "<!-- until here -->\n"


def with_tables(page: str) -> str:
    """The page with the tables as they are here."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
