"""How rows climb the ladder of a status: which comes next, and when."""

import numpy as np
from numpy.typing import NDArray

from headrace.synth.hashing import key, unit
from headrace.synth.schema.model import Status, duration_us
from headrace.synth.values import NEVER

Level = tuple[NDArray[np.int32], NDArray[np.int64]]
"""The status of each row, as its number among the statuses, and when it came into it."""


def climb(
    item: Status, seed: int, path: tuple[str, ...], rows: NDArray[np.int64], at: NDArray[np.int64]
) -> list[Level]:
    """Every level of the ladder, the first status first; ``NEVER`` where a row stays below.

    Args:
        item: the field.
        seed: of the world.
        path: table and column.
        rows: addresses.
        at: when each row came into being; ``NEVER`` for rows there are not.
    """
    statuses = item.statuses
    codes = np.zeros(len(rows), dtype=np.int32)
    times = at.copy()
    levels = [(codes, times)]
    active = times != NEVER
    while bool(active.any()) or len(levels) == 1:
        level = str(len(levels))
        share = unit(key(seed, *path, "next", level), rows)
        place = unit(key(seed, *path, "delay", level), rows)
        next_codes, next_times = codes.copy(), np.full(len(rows), NEVER, dtype=np.int64)
        moved = np.zeros(len(rows), dtype=bool)
        for code, status in enumerate(statuses):
            step = item.ladder.get(status)
            if step is None:
                continue
            here = np.flatnonzero(active & (codes == code))
            if not here.size:
                continue
            low, high = duration_us(step.delay.min), duration_us(step.delay.max)
            running = 0.0
            rest = here
            for to, probability in step.to.items():
                running += probability
                goes = share[rest] < running
                going = rest[goes]
                next_codes[going] = statuses.index(to)
                delay = low + (place[going] * (high - low)).astype(np.int64)
                delay -= delay % 1_000_000
                next_times[going] = times[going] + np.maximum(delay, 1_000_000)
                moved[going] = True
                rest = rest[~goes]
        if not bool(moved.any()):
            break
        levels.append((next_codes, next_times))
        codes, times, active = next_codes, next_times, moved
    return levels
