"""Parquet files."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.errors import SourceError
from headrace.exceptions import first_line
from headrace.ingest.discover import SourceFile
from headrace.ingest.reader import RejectedRow, file_literal, vanished
from headrace.sql_text import identifier

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_DIGITS = 38


@dataclass(frozen=True)
class ParquetReader:
    """Reads one Parquet file.

    Attributes:
        file: the file.
        header: the names as the file has them.
        inner: the names that DuckDB gives them: ``Name`` beside ``name`` is ``Name_1``.
        kinds: their types in DuckDB's words.
    """

    file: SourceFile
    header: tuple[str, ...]
    inner: tuple[str, ...]
    kinds: tuple[str, ...]
    numbered = False
    rejected: tuple[RejectedRow, ...] = ()

    def lines(self, rows: Collection[int]) -> dict[int, int]:
        """None: Parquet has no lines."""
        del rows
        return {}

    def sql(self, names: Sequence[str], kinds: Sequence[str]) -> str:
        """The rows, with the given names; the types are the file's."""
        del kinds
        selected = ", ".join(
            f"{identifier(inner)} as {identifier(name)}"
            for inner, name in zip(self.inner, names, strict=True)
        )
        return f"(select {selected} from {_rows(self.file)})"


def parquet_reader(connection: "duckdb.DuckDBPyConnection", file: SourceFile) -> ParquetReader:
    """Look at a Parquet file's columns.

    Raises:
        SourceError: it is not Parquet, or cut short, or has decimals that DuckDB reads wrongly.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file.compression:
        raise SourceError(
            f"{file.name} is a Parquet file that was compressed as a whole: unpack it, as its "
            "pages are compressed already"
        )
    try:
        schema = pq.read_schema(file.path)
    except FileNotFoundError as error:
        raise vanished(file) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(
            f"{file.name} cannot be read as Parquet, it may be cut short: copy or export it "
            f"again ({first_line(error)})"
        ) from error
    header = tuple(schema.names)
    for field in schema:
        wide = _too_wide(field.type)
        if wide is not None:
            raise SourceError(
                f"{file.name}: column {field.name} has the type {wide}, and numbers of more than "
                f"{_DIGITS} digits cannot be read: write it as decimal({_DIGITS}, s) or as text"
            )
    rows = connection.execute(f"describe select * from {_rows(file)}").fetchall()
    return ParquetReader(
        file, header, tuple(str(row[0]) for row in rows), tuple(str(row[1]) for row in rows)
    )


def _too_wide(kind: "pa.DataType") -> str | None:
    """A decimal in a type, however nested, that DuckDB takes for other numbers.

    Of more than 38 digits it reads a wrong double, without a word.
    """
    import pyarrow as pa

    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision}, {kind.scale})" if kind.precision > _DIGITS else None
    inner = [kind.field(at).type for at in range(kind.num_fields)]
    return next((found for one in inner if (found := _too_wide(one)) is not None), None)


def _rows(file: SourceFile) -> str:
    return f"read_parquet({file_literal(file.path)}, hive_partitioning = false)"
