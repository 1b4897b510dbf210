"""Rows that stand where others should."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.synth.faults.block import picked, strides, within
from headrace.synth.faults.lines import Hits, Lines
from headrace.synth.plan import TablePlan
from headrace.synth.schema.fault import OutOfOrder

Elsewhere = Callable[[TablePlan, NDArray[np.int64], NDArray[np.int64]], Lines]
"""Takes a table, addresses of its rows, and those of the topmost rows they come from."""


def in_other_order(number: int, fault: OutOfOrder, lines: Lines, elsewhere: Elsewhere) -> Lines:
    """Swap rows a distance apart, across the borders of blocks too.

    Which rows are a pair is told by their addresses alone, and a pair is swapped where both of
    its rows are there. So a row at a border is swapped with one that is computed for it.
    """
    block, plan = lines.block, lines.block.plan
    originals = np.flatnonzero(lines.original)
    if not len(originals):
        return lines
    rows = lines.rows[originals]
    size = strides(plan)
    step = fault.distance * size
    is_first = (rows // step) % 2 == 0
    partner = np.where(is_first, rows + step, rows - step)
    outside = (partner < rows[0]) | (partner > rows[-1])
    total = block.frame.view.root_total(plan)
    roots = np.unique(partner[outside] // size)
    others = elsewhere(plan, partner[outside], roots[(roots >= 0) & (roots < total)])
    known_rows = np.concatenate([rows, others.rows[others.original]])
    places = np.concatenate([originals, len(lines.rows) + np.flatnonzero(others.original)])
    times = np.concatenate([_times(lines), _times(others)])
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
    hits = [*lines.hits, Hits(number, fault, "moved", positions)]
    return Lines(block, columns, lines.rows, lines.original, hits)


def _times(lines: Lines) -> NDArray[np.int64]:
    """When each original came into being."""
    place = np.searchsorted(lines.block.rows, lines.rows[lines.original])
    return lines.block.times[place]
