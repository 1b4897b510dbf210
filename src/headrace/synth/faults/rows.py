"""Faults of whole rows: missing, late, repeated, or in another place.

A block's rows under the faults of its table:

    kept_rows -> overwritten (cells) -> with_copies -> swapped
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.synth.faults.block import (
    Block,
    Effect,
    NumberedFaults,
    WrittenRows,
    as_text,
    fault_key,
    key_text,
    picked,
    within,
)
from headrace.synth.faults.cells import NO_SUCH_ROW, new_key, overwritten
from headrace.synth.frame import Frame
from headrace.synth.hashing import bits, unit
from headrace.synth.plan import TablePlan
from headrace.synth.population import to_us
from headrace.synth.schema.base import as_datetime, duration_us
from headrace.synth.schema.fault import (
    Duplicates,
    LateRows,
    MissingDay,
    OutOfOrder,
    StaleFeed,
    VolumeDrop,
    VolumeSpike,
)
from headrace.synth.values import ALWAYS, NEVER, Mask
from headrace.synth.view import View

_MOST_COPIES: Final = 128
OtherBlocks = Callable[[TablePlan, NDArray[np.int64], NDArray[np.int64]], WrittenRows]
"""Takes a table, addresses of its rows, and those of the topmost rows they come from."""


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


def kept_rows(block: Block, listed: NumberedFaults, effects: list[Effect]) -> Mask:
    """The rows that are there."""
    view = block.view
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
                gone = (delay > 0) & (times > view.as_of)
            case StaleFeed():
                gone = _unknown(fault, block)
            case _:
                continue
        gone &= keep
        keep &= ~gone
        place = np.flatnonzero(gone)
        times = None if times is None else times[place]
        effects.append(Effect(number, fault, "absent", place, times=times))
    if view.since is not None:
        _arrived(block, listed, keep, effects)
    return keep


def _arrived(block: Block, listed: NumberedFaults, keep: Mask, effects: list[Effect]) -> None:
    """Late rows that a delta has for no other reason than that they come now."""
    since = block.view.since
    assert since is not None
    fresh = keep & (block.frame.changed() <= since)
    for number, fault in listed:
        if isinstance(fault, LateRows):
            delay = late_by(number, fault, block.frame, block.times)
            times = block.frame.arrival() + delay
            comes = fresh & (delay > 0) & (times > since)
            fresh &= ~comes
            place = np.flatnonzero(comes)
            effects.append(Effect(number, fault, "arrived", place, times=times[place]))


def _unknown(fault: StaleFeed, block: Block) -> Mask:
    """Rows that a feed does not have because it ended before they came."""
    timestamp, since = to_us(as_datetime(fault.from_)), block.view.since
    gone: Mask = block.frame.arrival() > timestamp
    if since is not None:
        before = Frame(block.as_of(timestamp), block.plan, block.rows)
        gone |= before.changed() <= since
    return gone


def spiked_key(plan: TablePlan) -> str | None:
    """The column of the primary key that is new in a row that a spike adds."""
    fields = plan.table.fields
    names = [name for name in plan.table.key if not fields[name].hidden]
    for kinds in (("serial",), ("uuid",), ("unique", "text"), ("derived", "numerical")):
        for name in names:
            if fields[name].type in kinds:
                return name
    return None


def with_copies(
    block: Block,
    listed: NumberedFaults,
    whole: Mask,
    keep: Mask,
    columns: dict[str, pa.Array],
    base: dict[str, pa.Array],
    effects: list[Effect],
) -> WrittenRows:
    """The lines: every row that is kept, after it its duplicates, and after them a spike's."""
    counts = keep.astype(np.int64)
    spikes: list[tuple[int, VolumeSpike, NDArray[np.int64]]] = []
    for number, fault in listed:
        if isinstance(fault, Duplicates):
            mask = block.chosen(number, fault) & whole
            whole = whole & ~mask
            counts += np.where(mask, fault.copies, 0)
            effects.append(
                Effect(number, fault, "added", np.repeat(np.flatnonzero(mask), fault.copies))
            )
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
        effects.append(Effect(number, fault, "added", index, keys=keys))
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
    return WrittenRows(
        block, taken, block.rows[every[order]], np.concatenate(originals)[order], effects
    )


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


def written_rows(block: Block, listed: NumberedFaults) -> WrittenRows:
    """A block's rows under the faults of its table, but for their order and their schema."""
    effects: list[Effect] = []
    keep = kept_rows(block, listed, effects)
    columns, base, sparse = overwritten(block, listed, keep, effects)
    return with_copies(block, listed, keep & ~sparse, keep, columns, base, effects)


def swapped(
    number: int, fault: OutOfOrder, lines: WrittenRows, elsewhere: OtherBlocks
) -> WrittenRows:
    """Swap rows a distance apart, across the borders of blocks too.

    Which rows are a pair is told by their addresses alone, and a pair is swapped where both of
    its rows are there. So a row at a border is swapped with one that is computed for it.
    """
    block, plan = lines.block, lines.block.plan
    originals = np.flatnonzero(lines.original)
    if not len(originals):
        return lines
    rows = lines.rows[originals]
    size = plan.root_stride
    step = fault.distance * size
    is_first = (rows // step) % 2 == 0
    partner = np.where(is_first, rows + step, rows - step)
    outside = (partner < rows[0]) | (partner > rows[-1])
    total = block.view.root_total(plan)
    roots = np.unique(partner[outside] // size)
    others = elsewhere(plan, partner[outside], roots[(roots >= 0) & (roots < total)])
    known_rows = np.concatenate([rows, others.rows[others.original]])
    places = np.concatenate([originals, len(lines.rows) + np.flatnonzero(others.original)])
    times = np.concatenate([_times_of_originals(lines), _times_of_originals(others)])
    order = np.argsort(known_rows)
    found = np.minimum(np.searchsorted(known_rows[order], partner), len(order) - 1)
    there = known_rows[order][found] == partner
    swap = order[found]
    first = np.where(is_first, rows, partner)
    first_time = np.where(is_first, times[: len(rows)], times[swap])
    chosen = picked(block.frame.seed, number, fault, first)
    if fault.rows is not None:
        chosen |= np.isin(np.where(is_first, partner, rows), fault.rows)
    moves = there & chosen & within(fault, first_time)
    index = np.arange(len(lines.rows))
    index[originals[moves]] = places[swap[moves]]
    columns = {
        name: pa.concat_arrays([array, others.columns[name]]).take(pa.array(index))
        for name, array in lines.columns.items()
    }
    positions = np.searchsorted(block.rows, rows[moves])
    effects = [*lines.effects, Effect(number, fault, "moved", positions)]
    return WrittenRows(block, columns, lines.rows, lines.original, effects)


def _times_of_originals(lines: WrittenRows) -> NDArray[np.int64]:
    """When each original came into being."""
    place = np.searchsorted(lines.block.rows, lines.rows[lines.original])
    return lines.block.times[place]
