"""Parquet files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.errors import SourceError
from headrace.ingest.discover import SourceFile
from headrace.ingest.reader import RejectedRow, vanished
from headrace.ingest.sql import file_literal, identifier

if TYPE_CHECKING:
    import duckdb


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
        SourceError: it is not Parquet, or cut short.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file.compression:
        raise SourceError(
            f"{file.name} is a Parquet file that was compressed as a whole: unpack it, as its "
            "pages are compressed already"
        )
    try:
        header = tuple(pq.read_schema(file.path).names)
    except FileNotFoundError as error:
        raise vanished(file) from error
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise SourceError(
            f"{file.name} cannot be read as Parquet, it may be cut short: copy or export it "
            f"again ({reason})"
        ) from error
    rows = connection.execute(f"describe select * from {_rows(file)}").fetchall()
    return ParquetReader(
        file, header, tuple(str(row[0]) for row in rows), tuple(str(row[1]) for row in rows)
    )


def _rows(file: SourceFile) -> str:
    return f"read_parquet({file_literal(file.path)}, hive_partitioning = false)"
