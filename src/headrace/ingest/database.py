"""Tables of a SQL database by dlt's ``sql_database``: cursors, and values of another type."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.exceptions import DltException
from dlt.sources.sql_database import TableLoader
from dlt.sources.sql_database.arrow_helpers import row_tuples_to_arrow
from sqlalchemy import Table, types
from sqlalchemy.exc import DataError

from headrace.errors import SourceError
from headrace.exceptions import first_line

_MISFITS = (pa.ArrowException, DltException, ValueError, TypeError, OverflowError)


def database_cursor(column: str, *, lag: float | None = None) -> Any:
    """dlt's incremental on a column.

    Rows whose cursor equals that of the last load are read again and merged on the key: one of
    them may have changed since. Rows without a value are read each time.

    Args:
        column: the cursor.
        lag: how far before the last value a load begins, for rows that come late: seconds for
            timestamps, days for dates, the number itself for numbers.
    """
    return dlt.sources.incremental(
        column, on_cursor_value_missing="include", primary_key=(), lag=lag
    )


def check_cursor(source: str, table: Table, cursor: str, cursor_type: str | None = None) -> None:
    """Refuse a cursor that the database orders otherwise than by what it means.

    Raises:
        SourceError: it is text, and the settings do not say that its characters are its order.
    """
    kind = table.columns[cursor].type
    if isinstance(kind, types.String) and cursor_type != "text":
        raise SourceError(
            f"source {source}: the cursor {cursor} of table {table.name} is text, which has 9 "
            f"after 10: take a column of timestamps or numbers, or, where its characters are its "
            f"order, set cursor_type: text at {table.name} in config/default.yml"
        )


class DatabaseLoader(TableLoader):
    """Arrow tables; a table without rows makes a raw table all the same: models read it."""

    def load_rows(self, backend_kwargs: dict[str, Any] | None = None) -> Iterator[Any]:
        """Arrow tables; of one without rows, and loaded for the first time, an empty one.

        Raises:
            SourceError: a value is not of its column's type (SQLite takes any).
        """
        is_empty = True
        name = self.table.name
        try:
            for rows in super().load_rows(backend_kwargs or {}):
                is_empty = False
                yield rows
        except DataError as error:  # of a cast, or the driver has no such value: infinity
            words = first_line(error.orig or error)
            raise SourceError(
                f"table {name}: a value cannot be read ({words}): correct it in the database, or "
                "load a view that casts it"
            ) from error
        except (ValueError, TypeError, OverflowError) as error:  # before there is a row
            words = " ".join(str(error).split())[:120]
            raise SourceError(
                f"table {name}: a value is not of its column's type ({words}): correct it in the "
                "database, or load a view that casts it"
            ) from error
        if is_empty and self.last_value is None:
            yield row_tuples_to_arrow([], columns=self.columns, tz="UTC")

    def _convert_result(self, result: Any, backend_kwargs: dict[str, Any]) -> Iterator[Any]:
        columns: Any = {name: self.columns[name] for name in result.keys()}  # noqa: SIM118
        zone = backend_kwargs.get("tz", "UTC")
        for partition in result.partitions(size=self.chunk_size):
            rows = [tuple(row) for row in partition]
            try:
                if self.engine.dialect.name == "sqlite":  # which puts any value into any column
                    _check_numbers(rows, columns)
                table = row_tuples_to_arrow(rows, columns=columns, tz=zone)
            except _MISFITS as error:
                raise self._misfit(rows, columns, zone) or error from error
            yield table

    def _misfit(self, rows: Sequence[Any], columns: Any, zone: str) -> SourceError | None:
        """The first value that is not of its column's type."""
        for place, name in enumerate(columns):
            for row in rows:
                try:
                    only = {name: columns[name]}
                    _check_numbers([(row[place],)], only)
                    row_tuples_to_arrow([(row[place],)], columns=only, tz=zone)
                except _MISFITS:
                    key = ", ".join(
                        f"{column.name} {row[list(columns).index(column.name)]}"
                        for column in self.table.primary_key.columns
                        if column.name in columns
                    )
                    return SourceError(
                        f"{self.table.name}.{name} is {columns[name]['data_type']}, and a row has "
                        f"{row[place]!r:.60} there{f' ({key})' if key else ''}: correct it in the "
                        "database, or load a view that casts it"
                    )
        return None


def _check_numbers(rows: Sequence[Any], columns: Any) -> None:
    """Arrow would cut 3.5 to 3 in a column of whole numbers, and wrap 1e30 in a narrower decimal.

    Raises:
        ValueError: such a column has a value that is no whole number, or too large.
    """
    for place, hints in enumerate(columns.values()):
        kind = hints["data_type"]
        whole = (hints.get("precision") or 38) - (hints.get("scale") or 0)
        for row in rows:
            value = row[place]
            if value is None:
                continue
            if kind == "bigint" and not isinstance(value, int):
                raise ValueError
            if kind == "decimal" and value and Decimal(value).adjusted() >= whole:
                raise ValueError
