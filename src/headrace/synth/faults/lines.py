"""What is written of a block, and what faults did to it."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.synth.faults.block import Block
from headrace.synth.faults.columns import as_text
from headrace.synth.faults.manifest import SCHEMA
from headrace.synth.schema.fault import (
    AnyFault,
    Base,
)
from headrace.synth.values import ALWAYS, NEVER, Mask

Listed = list[tuple[int, AnyFault]]


@dataclass(frozen=True, slots=True)
class Hits:
    """What a fault did to rows of a block."""

    number: int
    fault: Base
    effect: str
    positions: NDArray[np.int64]
    column: str | None = None
    clean: pa.Array | None = None
    faulty: pa.Array | None = None
    keys: pa.Array | None = None
    times: NDArray[np.int64] | None = None


@dataclass
class Lines:
    """What is written of a block, before its schema changes.

    Attributes:
        block: the rows without faults.
        columns: what is written, by column.
        rows: the address of each line, rising.
        original: the lines that are no copies.
        hits: what faults did.
    """

    block: Block
    columns: dict[str, pa.Array]
    rows: NDArray[np.int64]
    original: Mask
    hits: list[Hits] = field(default_factory=list)

    def table(self) -> pa.Table:
        """The lines as Arrow."""
        return pa.table(self.columns)

    def manifest(self) -> pa.RecordBatch:
        """The hits by row, then by number of fault."""
        block = self.block
        keys = block.keys() if any(hits.keys is None for hits in self.hits) else None
        parts = [_recorded(block, hits, keys) for hits in self.hits if len(hits.positions)]
        if not parts:
            return pa.RecordBatch.from_pylist([], schema=SCHEMA)
        table = pa.Table.from_batches(parts)
        order = pc.sort_indices(
            table,
            sort_keys=[(name, "ascending") for name in ("row", "fault", "column", "key")],
        )
        return table.take(order).combine_chunks().to_batches()[0]


def _recorded(block: Block, hits: Hits, keys: pa.Array | None) -> pa.RecordBatch:
    size = len(hits.positions)
    place = pa.array(hits.positions)
    times = block.times[hits.positions] if hits.times is None else hits.times
    known = (times != NEVER) & (times != ALWAYS)
    moments = pa.array(np.where(known, times, 0), mask=~known).cast(SCHEMA.field("time").type)
    nothing = pa.nulls(size, pa.string())
    if hits.keys is not None:
        own = hits.keys
    else:
        assert keys is not None
        own = keys.take(place)
    return pa.RecordBatch.from_arrays(
        [
            pa.repeat(pa.scalar(hits.number, pa.int32()), size),
            pa.repeat(pa.scalar(getattr(hits.fault, "kind", ""), pa.string()), size),
            pa.repeat(pa.scalar(hits.fault.table, pa.string()), size),
            pa.repeat(pa.scalar(hits.column, pa.string()), size),
            own,
            pa.array(block.rows[hits.positions]),
            pa.repeat(pa.scalar(hits.effect, pa.string()), size),
            nothing if hits.clean is None else as_text(hits.clean.take(place)),
            nothing if hits.faulty is None else as_text(hits.faulty.take(place)),
            moments,
        ],
        schema=SCHEMA,
    )
