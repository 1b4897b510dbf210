"""Rows that are there again."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.synth.faults.absent import kept
from headrace.synth.faults.block import Block, fault_key, key_text
from headrace.synth.faults.cells import NO_SUCH_ROW, new_key
from headrace.synth.faults.columns import as_text
from headrace.synth.faults.lines import Hits, Lines, Listed
from headrace.synth.faults.overwrite import overwritten
from headrace.synth.hashing import bits, unit
from headrace.synth.plan import TablePlan
from headrace.synth.schema.fault import (
    Duplicates,
    VolumeSpike,
)
from headrace.synth.values import Mask

_MOST_COPIES = 128


def spiked_key(plan: TablePlan) -> str | None:
    """The column of the primary key that is new in a row that a spike adds."""
    fields = plan.table.fields
    names = [name for name in plan.table.key if not fields[name].hidden]
    for kinds in (("serial",), ("uuid",), ("unique", "text"), ("derived", "numerical")):
        for name in names:
            if fields[name].type in kinds:
                return name
    return None


def copied(
    block: Block,
    listed: Listed,
    whole: Mask,
    keep: Mask,
    columns: dict[str, pa.Array],
    base: dict[str, pa.Array],
    hits: list[Hits],
) -> Lines:
    """The lines: every row that is kept, after it its duplicates, and after them a spike's."""
    counts = keep.astype(np.int64)
    spikes: list[tuple[int, VolumeSpike, NDArray[np.int64]]] = []
    for number, fault in listed:
        if isinstance(fault, Duplicates):
            mask = block.chosen(number, fault) & whole
            whole = whole & ~mask
            counts += np.where(mask, fault.copies, 0)
            hits.append(Hits(number, fault, "added", np.repeat(np.flatnonzero(mask), fault.copies)))
        elif isinstance(fault, VolumeSpike):
            more = int(fault.factor) - 1
            drawn = unit(fault_key(block.frame.seed, number, fault), block.rows)
            copies = more + (drawn < fault.factor - int(fault.factor)).astype(np.int64)
            spikes.append((number, fault, np.where(block.chosen(number, fault) & keep, copies, 0)))
    size = len(block)
    position = np.repeat(np.arange(size), counts)
    copy = np.arange(len(position)) - np.repeat(np.cumsum(counts) - counts, counts)
    parts, places, originals = [columns], [position], [copy == 0]
    for number, fault, copies in spikes:
        index = np.repeat(np.arange(size), copies)
        nth = np.arange(len(index)) - np.repeat(np.cumsum(copies) - copies, copies)
        added, keys = _spiked(number, fault, block, base, index, nth)
        parts.append(added)
        places.append(index)
        originals.append(np.zeros(len(index), dtype=bool))
        hits.append(Hits(number, fault, "added", index, keys=keys))
    taken = {name: array.take(pa.array(position)) for name, array in columns.items()}
    every = np.concatenate(places)
    order = np.argsort(every, kind="stable")
    if len(parts) > 1:
        taken = {
            name: pa.concat_arrays([taken[name], *(part[name] for part in parts[1:])]).take(
                pa.array(order)
            )
            for name in taken
        }
    return Lines(block, taken, block.rows[every[order]], np.concatenate(originals)[order], hits)


def _spiked(
    number: int,
    fault: VolumeSpike,
    block: Block,
    base: dict[str, pa.Array],
    index: NDArray[np.int64],
    nth: NDArray[np.int64],
) -> tuple[dict[str, pa.Array], pa.Array]:
    """Copies of rows with new keys, and these as JSON."""
    plan = block.plan
    added = {name: array.take(pa.array(index)) for name, array in base.items()}
    column = spiked_key(plan)
    names = plan.table.key
    if column is None:
        return added, block.keys().take(pa.array(index))
    address = ((2 + number) * NO_SUCH_ROW) + block.rows[index] * _MOST_COPIES + nth
    draws = bits(fault_key(block.frame.seed, number, fault, "key"), address)
    fresh = new_key(plan, column, block.clean[column].type, address, draws)
    clean = {name: block.column(name).take(pa.array(index)) for name in names} | {column: fresh}
    added[column] = fresh if added[column].type == fresh.type else as_text(fresh)
    rows = zip(*(clean[name].to_pylist() for name in names), strict=True)
    return added, pa.array([key_text(names, row) for row in rows], pa.string())


def lines_of(block: Block, listed: Listed) -> Lines:
    """A block's rows under the faults of its table, but for their order and their schema."""
    hits: list[Hits] = []
    keep = kept(block, listed, hits)
    columns, base, sparse = overwritten(block, listed, keep, hits)
    return copied(block, listed, keep & ~sparse, keep, columns, base, hits)
