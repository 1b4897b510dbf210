"""Rows that faults keep away, for a while or for good."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.synth.faults.block import Block, fault_key, picked, within
from headrace.synth.faults.lines import Hits, Listed
from headrace.synth.frame import Frame
from headrace.synth.hashing import unit
from headrace.synth.plan import TablePlan
from headrace.synth.population import to_us
from headrace.synth.schema.fault import (
    LateRows,
    MissingDay,
    StaleFeed,
    VolumeDrop,
)
from headrace.synth.schema.model import as_datetime, duration_us
from headrace.synth.values import ALWAYS, NEVER, Mask
from headrace.synth.world import View


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


def kept(block: Block, listed: Listed, hits: list[Hits]) -> Mask:
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
