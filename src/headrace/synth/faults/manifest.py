"""The manifest of faults: one row for each row or cell that a fault affected.

It is spooled to a temporary file while tables are written.
"""

import json
import tempfile
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.synth.files import atomic_file

SCHEMA: Final = pa.schema(
    [
        ("fault", pa.int32()),  # its number, from 0
        ("kind", pa.string()),
        ("table", pa.string()),
        ("column", pa.string()),  # as the clean table names it; null for whole rows
        ("key", pa.string()),  # the primary key as JSON, as it is in the clean table
        ("row", pa.int64()),  # the row's address
        ("effect", pa.string()),  # changed, absent, added, moved, arrived, schema
        ("clean", pa.string()),
        ("faulty", pa.string()),
        ("time", pa.timestamp("us", tz="UTC")),
    ]
)
_GROUP_ROWS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Counted:
    """A fault, and how much of it there is.

    Attributes:
        fault: its number, from 0.
        kind: of the fault.
        table: that it is in.
        column: as the clean table names it; None for whole rows.
        times: from and to, or the day, UTC, in ISO 8601, as far as it has them.
        count: rows of the manifest.
    """

    fault: int
    kind: str
    table: str
    column: str | None
    times: tuple[str, ...]
    count: int


class Recorder:
    """Takes the effects of blocks, in any order and from any thread; keeps them on disk.

    A block that is recorded again replaces itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this
        weakref.finalize(self, self._file.close)
        self._places: dict[tuple[str, int], tuple[int, int]] = {}
        self._counts: dict[tuple[str, int], Counter[int]] = {}

    def add(self, table: str, first: int, effects: pa.RecordBatch) -> None:
        """The effects of the block of a table that begins with this address."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, SCHEMA) as writer:
            writer.write_batch(effects)
        data = sink.getvalue()
        with self._lock:
            place = self._file.seek(0, 2)
            self._file.write(data)
            self._places[table, first] = (place, data.size)
            self._counts[table, first] = Counter(effects.column("fault").to_pylist())

    def batches(self, table: str) -> Iterator[pa.RecordBatch]:
        """The effects of a table, in the order of its rows."""
        for name in sorted(name for name in self._places if name[0] == table):
            place, size = self._places[name]
            with self._lock:
                self._file.seek(place)
                data = self._file.read(size)
            yield from pa.ipc.open_stream(data)

    def counts(self) -> Counter[int]:
        """Hits by number of fault."""
        with self._lock:
            return sum(self._counts.values(), Counter())


class FaultManifest:
    """What each fault did.

    Attributes:
        faults: every fault with its count, also those without an effect.
    """

    def __init__(
        self, faults: list[Counted], tables: list[str], changes: pa.RecordBatch, recorder: Recorder
    ) -> None:
        self.faults = faults
        self._tables = tables
        self._changes = changes
        self._recorder = recorder

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Changes of the schema, and then effects by table, address and fault; none is large."""
        waiting, count = [self._changes], len(self._changes)
        for table in self._tables:
            for batch in self._recorder.batches(table):
                waiting.append(batch)
                count += len(batch)
                if count >= _GROUP_ROWS:
                    merged = pa.Table.from_batches(waiting, SCHEMA).combine_chunks()
                    full = count - count % _GROUP_ROWS
                    yield from merged.slice(0, full).to_batches(max_chunksize=_GROUP_ROWS)
                    waiting, count = merged.slice(full).to_batches(), count - full
        if count:
            yield from pa.Table.from_batches(waiting, SCHEMA).combine_chunks().to_batches()

    def table(self) -> pa.Table:
        """All of it, for tests and small ones."""
        return pa.Table.from_batches(list(self.batches()), SCHEMA)

    def write(self, path: Path) -> None:
        """Write it: JSON lines to a ``.jsonl``, else Parquet, with ``faults`` as metadata.

        Raises:
            OutputError: it cannot be written.
        """
        with atomic_file(path) as temporary:
            if path.suffix == ".jsonl":
                self._write_lines(temporary)
            else:
                self._write_parquet(temporary)

    def _write_parquet(self, path: Path) -> None:
        listed = json.dumps([asdict(fault) for fault in self.faults])
        schema = SCHEMA.with_metadata({"faults": listed})
        with pq.ParquetWriter(path, schema) as writer:
            for batch in self.batches():
                writer.write_batch(batch.replace_schema_metadata(schema.metadata))

    def _write_lines(self, path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            for batch in self.batches():
                for row in batch.to_pylist():
                    file.write(json.dumps(_plain(row), ensure_ascii=False) + "\n")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    time = row["time"]
    key = row["key"]
    return row | {
        "time": None if time is None else time.isoformat(),
        "key": None if key is None else json.loads(key),
    }
