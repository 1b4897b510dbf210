"""What a failed generic test found, in words: ``the mean of amount is 135, expected at most 100``.

The tests of ``dbt_project/tests/generic`` give what they measured and what was expected in columns
of known names; the first row is told. Values that are masked there are masked here.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from headrace.formatting import count, first_few

_AGGREGATE = re.compile(r"expect_column_(max|min|mean|median|sum|stdev|quantile)_")
_AGGREGATES = {
    "max": "the greatest value",
    "min": "the smallest value",
    "mean": "the mean",
    "median": "the median",
    "sum": "the total",
    "stdev": "the standard deviation",
}
_MEASURED = {
    "number_of_rows": "the number of rows",
    "number_of_columns": "the number of columns",
    "distinct_values": "the number of different values",
    "filled_values": "the number of values",
    "proportion": "the proportion",
    "divergence": "the divergence",
    "cramers_phi": "Cramér's V",
    "value": "the value",
}
"""What a test has measured, by the name of its column."""
_EXPECTED = {"number_of_rows": "expected_rows", "value": "expected_value"}
_NEWEST = ("recency", "_recent_data")
Row = Mapping[str, str | None]


def of(metadata: Any, column: str | None, rows: Sequence[Row]) -> str:
    """What the test found, without a full stop; empty of a test that finds rows of the table.

    Args:
        metadata: dbt's, of a generic test; None of any other.
        column: that the test is at.
        rows: the first ones that it found, masked.
    """
    if metadata is None or not rows:
        return ""
    row, name = rows[0], str(metadata.name)
    if "problem" in row:
        key = "column_name" if "column_name" in row else "value_field"
        return first_few([f"{one.get(key)}: {one['problem']}" for one in rows])
    if "period_before" in row:
        return f"no data between {row['period_before']} and {row.get('next_period')}"
    measured = next((one for one in _MEASURED if one in row), None)
    if measured is None:
        return ""
    if "deviations" in row and "period" in row:
        moved = f"is {_number(row['deviations'] or '')} deviations off its usual movement"
        subject = _subject(name, measured, column, row)
        return f"{subject} of {row['period']} ({row[measured]}) {moved}"
    expected = _expected(row, measured)
    if not expected:
        return ""
    groups = [
        f"{key} {value}"
        for key, value in row.items()
        if key not in {measured, "at_least", "at_most", _EXPECTED.get(measured), "quantile"}
    ]
    where = f"of {', '.join(groups)} " if groups else ""
    return f"{_subject(name, measured, column, row)} {where}{_is(row[measured])}, {expected}"


def _subject(name: str, measured: str, column: str | None, row: Row) -> str:
    found = _AGGREGATE.match(name)
    words = _MEASURED[measured]
    if found is not None:
        words = _AGGREGATES.get(found[1], f"the quantile {row.get('quantile') or ''}".rstrip())
    elif measured == "value" and (name == _NEWEST[0] or name.endswith(_NEWEST[1])):
        words = "the newest value"
    return f"{words} of {column}" if column else words


def _is(value: str | None) -> str:
    return "is missing" if value is None else f"is {_number(value)}"


def _expected(row: Row, measured: str) -> str:
    """What was expected, in words; empty where the row does not tell."""
    other = _EXPECTED.get(measured)
    if other is not None and other in row:
        value = row[other]
        if measured == "number_of_rows" and value is not None and value.isdigit():
            return f"the other table has {count(int(value), 'row')}"
        return f"of the other table it {_is(value)}"
    least, most = row.get("at_least"), row.get("at_most")
    if least is not None and most is not None:
        if least == most:
            return f"expected {_number(least)}"
        return f"expected {_number(least)} to {_number(most)}"
    if least is not None:
        return f"expected at least {_number(least)}"
    return f"expected at most {_number(most)}" if most is not None else ""


def _number(text: str) -> str:
    """A number to four decimals; anything else as it is."""
    return re.sub(r"^(-?\d+\.\d{4})\d+$", r"\1", text)
