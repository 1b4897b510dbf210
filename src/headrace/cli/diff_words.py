"""What the terminal and the comment on a pull request both say of a comparison."""

from collections.abc import Iterator, Sequence

from headrace.quality.diff.report import ColumnChange, TableDiff

_MOST_READERS = 8


def numbers(table: TableDiff) -> tuple[str, str, str, str, str]:
    """Rows before and after, added, removed and changed, as text."""

    def text(value: int | None) -> str:
        return "-" if value is None else f"{value:,}"

    if table.status in {"added", "removed", "not built", "not compared"}:
        return text(table.rows_before), text(table.rows_after), "-", "-", "-"
    return (
        text(table.rows_before),
        text(table.rows_after),
        text(table.rows_added),
        text(table.rows_removed),
        text(table.rows_changed),
    )


def share(rows: int, of: int | None) -> str:
    """``1.0%``; empty where it is not known of how many."""
    if not of:
        return ""
    percent = 100 * rows / of
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.1f}%"


def moves(change: ColumnChange) -> Iterator[tuple[str, str, str]]:
    """What moved in a column: ``("mean", "4.5", "4.7")``; first nulls, then the values."""
    one, other = change.before, change.after
    if one is None or other is None:
        return
    if one.nulls != other.nulls:
        yield "nulls", f"{one.nulls:,}", f"{other.nulls:,}"
    for what, old, new in (
        ("min", one.minimum, other.minimum),
        ("mean", _number(one.mean), _number(other.mean)),
        ("max", one.maximum, other.maximum),
    ):
        if old != new:
            yield what, _shown(old), _shown(new)


def readers(table: TableDiff) -> Sequence[str]:
    """Who reads a table, the first few by name."""
    names = table.readers
    if len(names) <= _MOST_READERS:
        return names
    return (*names[:_MOST_READERS], f"{len(names) - _MOST_READERS} more")


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:,.6g}"


def _shown(value: str | None) -> str:
    return "null" if value is None else value
