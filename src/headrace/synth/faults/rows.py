"""Faults of whole rows, and the lines of a block that come of all faults."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.synth.faults.block import Block, fault_key, key_text, picked, within
from headrace.synth.faults.cells import NO_SUCH_ROW, cell, differs, new_key
from headrace.synth.faults.columns import as_text
from headrace.synth.faults.manifest import SCHEMA
from headrace.synth.frame import Frame
from headrace.synth.hashing import bits, unit
from headrace.synth.plan import TablePlan
from headrace.synth.population import to_us
from headrace.synth.schema.fault import (
    AnyFault,
    Base,
    Drift,
    Duplicates,
    LateRows,
    MissingDay,
    Nulls,
    OrphanKeys,
    OutOfRange,
    StaleFeed,
    TypeFlip,
    VolumeDrop,
    VolumeSpike,
)
from headrace.synth.schema.model import as_datetime, duration_us
from headrace.synth.values import ALWAYS, NEVER, Mask
from headrace.synth.world import View

Listed = list[tuple[int, AnyFault]]
_MOST_COPIES = 128


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


def lines_of(block: Block, listed: Listed) -> Lines:
    """A block's rows under the faults of its table, but for their order and their schema."""
    hits: list[Hits] = []
    keep = _kept(block, listed, hits)
    columns, base, sparse = _changed(block, listed, keep, hits)
    return _copied(block, listed, keep & ~sparse, keep, columns, base, hits)


# rows that are not there


def late_by(number: int, fault: LateRows, frame: Frame, times: NDArray[np.int64]) -> Any:
    """How much later each row arrives, in microseconds; 0 for those that are on time."""
    arrival = frame.arrival()
    mask = picked(frame.seed, number, fault, frame.rows) & within(fault, times)
    mask &= (arrival != NEVER) & (arrival != ALWAYS)
    place = unit(fault_key(frame.seed, number, fault, "by"), frame.rows)
    delay = 1 + (place * (duration_us(fault.max) - 1)).astype(np.int64)
    return np.where(mask, delay, 0)


def hold_back(view: View, plan: TablePlan, listed: list[tuple[int, LateRows]]) -> None:
    """Have a view's deltas give the rows of a table that come late."""

    def until(frame: Frame) -> NDArray[np.int64]:
        delays = [late_by(number, fault, frame, frame.at()) for number, fault in listed]
        longest = np.maximum.reduce(delays)
        result: NDArray[np.int64] = frame.arrival() + longest
        return np.where(longest > 0, result, ALWAYS)

    view.delay(plan, max(duration_us(fault.max) for _, fault in listed), until)


def _kept(block: Block, listed: Listed, hits: list[Hits]) -> Mask:
    """The rows that are there."""
    view = block.frame.view
    keep = np.ones(len(block), dtype=bool)
    for number, fault in listed:
        times: NDArray[np.int64] | None = None
        match fault:
            case MissingDay():
                gone = block.chosen(number, fault)
            case VolumeDrop():
                drawn = unit(fault_key(block.frame.seed, number, fault), block.rows)
                gone = block.chosen(number, fault) & (drawn >= fault.factor)
            case LateRows():
                delay = late_by(number, fault, block.frame, block.times)
                times = block.frame.arrival() + delay
                gone = (delay > 0) & (times > view.moment)
            case StaleFeed():
                gone = _unknown(fault, block)
            case _:
                continue
        gone &= keep
        keep &= ~gone
        place = np.flatnonzero(gone)
        times = None if times is None else times[place]
        hits.append(Hits(number, fault, "absent", place, times=times))
    if view.since is not None:
        _arrived(block, listed, keep, hits)
    return keep


def _arrived(block: Block, listed: Listed, keep: Mask, hits: list[Hits]) -> None:
    """Late rows that a delta has for no other reason than that they come now."""
    since = block.frame.view.since
    assert since is not None
    fresh = keep & (block.frame.changed() <= since)
    for number, fault in listed:
        if isinstance(fault, LateRows):
            delay = late_by(number, fault, block.frame, block.times)
            times = block.frame.arrival() + delay
            comes = fresh & (delay > 0) & (times > since)
            fresh &= ~comes
            place = np.flatnonzero(comes)
            hits.append(Hits(number, fault, "arrived", place, times=times[place]))


def _unknown(fault: StaleFeed, block: Block) -> Mask:
    """Rows that a feed does not have that ended at a moment."""
    moment, since = to_us(as_datetime(fault.from_)), block.frame.view.since
    gone: Mask = block.frame.arrival() > moment
    if since is not None:
        before = Frame(block.as_of(moment), block.plan, block.rows)
        gone |= before.changed() <= since
    return gone


# values


def _changed(
    block: Block, listed: Listed, keep: Mask, hits: list[Hits]
) -> tuple[dict[str, pa.Array], dict[str, pa.Array], Mask]:
    """Columns with faulty values; what copies with new keys hold; rows hit one by one.

    A cell has one fault at most: the first of those that hit single rows, else the first of
    those that hit all rows from a moment on.
    """
    columns, base = dict(block.clean), dict(block.clean)
    taken: dict[str, Mask] = {}
    moved: dict[str, Mask] = {}
    flips: dict[str, tuple[Mask, pa.Array]] = {}
    sparse = np.zeros(len(block), dtype=bool)
    none = np.zeros(len(block), dtype=bool)

    def hit(number: int, fault: Base, column: str, mask: Mask, made: pa.Array) -> Mask:
        mask = mask & keep & ~taken.get(column, none)
        taken[column] = taken.get(column, none) | mask
        place = np.flatnonzero(mask)
        hits.append(Hits(number, fault, "changed", place, column, block.clean[column], made))
        return mask

    for number, fault in listed:
        if isinstance(fault, Nulls | OrphanKeys | OutOfRange | TypeFlip):
            mask, made = cell(number, fault, block)
            mask = hit(number, fault, fault.column, mask, made)
            sparse |= mask
            if isinstance(fault, TypeFlip):
                before = flips.get(fault.column)
                texts = made if before is None else _where(mask, made, before[1])
                flips[fault.column] = (mask if before is None else mask | before[0], texts)
            else:
                columns[fault.column] = _where(mask, made, columns[fault.column])
    for number, fault in listed:
        changes: list[tuple[str, Mask, pa.Array]] = []
        if isinstance(fault, Drift):
            changes = [(fault.column, *cell(number, fault, block))]
        elif isinstance(fault, StaleFeed):
            changes = _before(fault, block, keep)
        for column, changed, made in changes:
            first = changed & ~moved.get(column, none)
            moved[column] = moved.get(column, none) | first
            base[column] = _where(first, made, base[column])
            mask = hit(number, fault, column, first, made)
            columns[column] = _where(mask, made, columns[column])
    for column, (mask, texts) in flips.items():
        columns[column] = _where(mask, texts, as_text(columns[column]))
        base[column] = as_text(base[column])
    return columns, base, sparse


def _where(mask: Mask, made: pa.Array, array: pa.Array) -> pa.Array:
    if not bool(mask.any()):
        return array
    if pa.types.is_nested(array.type):
        both = pa.concat_arrays([array, made.cast(array.type)])
        place = np.arange(len(array))
        return both.take(pa.array(np.where(mask, place + len(array), place)))
    return pc.if_else(pa.array(mask), made, array)


def _before(fault: StaleFeed, block: Block, keep: Mask) -> list[tuple[str, Mask, pa.Array]]:
    """What rows held that changed since a feed ended."""
    moment = to_us(as_datetime(fault.from_))
    if moment >= block.frame.view.moment:
        return []
    place = np.flatnonzero(keep & (block.frame.changed() > moment))
    if not len(place):
        return []
    frame = Frame(block.as_of(moment), block.plan, block.rows[place])
    old = Block(frame, frame.arrow())
    index = np.zeros(len(block), dtype=np.int64)
    index[place] = np.arange(len(place))
    changes = []
    for name, array in old.clean.items():
        made = array.cast(block.clean[name].type).take(pa.array(index))
        mask = np.zeros(len(block), dtype=bool)
        mask[place] = True
        changes.append((name, mask & differs(block.clean[name], made), made))
    return changes


# rows that are there again


def spiked_key(plan: TablePlan) -> str | None:
    """The column of the primary key that is new in a row that a spike adds."""
    fields = plan.table.fields
    names = [name for name in plan.table.key if not fields[name].hidden]
    for kinds in (("serial",), ("uuid",), ("unique", "text"), ("derived", "numerical")):
        for name in names:
            if fields[name].type in kinds:
                return name
    return None


def _copied(
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


__all__ = ["Hits", "Lines", "hold_back", "lines_of", "spiked_key"]
