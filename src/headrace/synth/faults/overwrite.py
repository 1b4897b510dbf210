"""Values that faults put in the place of others."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.synth.faults.block import Block
from headrace.synth.faults.cells import cell, differs
from headrace.synth.faults.columns import as_text
from headrace.synth.faults.lines import Hits, Listed
from headrace.synth.frame import Frame
from headrace.synth.population import to_us
from headrace.synth.schema.fault import (
    Base,
    Drift,
    Nulls,
    OrphanKeys,
    OutOfRange,
    StaleFeed,
    TypeFlip,
)
from headrace.synth.schema.model import as_datetime
from headrace.synth.values import Mask


def overwritten(
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
