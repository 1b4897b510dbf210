"""Columns that follow nearly from others: a line, a length of time, and a rest that is drawn."""

from collections.abc import Callable, Collection, Sequence
from typing import Final

import numpy as np

from headrace.synth.learn.dependencies import (
    DAY_US,
    FEWEST_ROWS,
    KNOWN,
    DependencyRule,
    Floats,
    Numbers,
    Rules,
    explained,
    fit_of,
    is_in,
    line_of,
    made_of,
    moving_of,
    rank_correlation,
    some,
)

_EXPLAINED: Final = 0.75
"""A line that explains so much of the variance is a rule, and what it leaves is drawn."""
_EXPLAINED_TAILS: Final = 0.15
"""The same where large values come together more than the ranks tell."""
_CONCENTRATED: Final = 0.6
"""How close together the times between two clock times are: 1 where they are all the same."""
_TAILS: Final = 0.04


def find_near(rules: Rules, fixed: Collection[str]) -> None:
    """Add the rules that hold but for a rest, which is drawn.

    Args:
        rules: with the exact ones.
        fixed: columns that need no rule, because they follow from categories.
    """
    moving = moving_of(rules)
    _durations(rules, moving, fixed)
    _nearly(rules, moving, fixed)


def _durations(rules: Rules, moving: Sequence[Numbers], fixed: Collection[str]) -> None:
    """A timestamp that never comes before another is that one and a length of time."""
    times = [each for each in moving if each.is_time]
    for target in [each for each in rules.free() if is_in(each, times)]:
        if target.name in fixed:
            continue
        best: tuple[float, Numbers, Floats] | None = None
        for source in times:
            both = source.valid & target.valid
            if source.name == target.name or rules.leads(source.name, target.name):
                continue
            if both.sum() < FEWEST_ROWS or (target.valid & ~source.valid).any():
                continue
            if source.kind == "timestamp" and target.kind == "date":
                continue
            gap = (target.data - source.data) / (DAY_US if target.kind == "date" else 1_000_000)
            spread = float(np.std(gap[both])) / max(float(np.std(source.data[both])), 1e-9)
            later = float(np.min(gap[both])) >= 0
            share = spread * (DAY_US if target.kind == "date" else 1_000_000)
            if share < (0.5 if later else 0.2) and (best is None or share < best[0]):
                best = (share, source, gap)
        if best is not None:
            _, source, gap = best
            unit = "days" if target.kind == "date" else "seconds"
            text = f"{source.value} + {unit}({{rest}})"
            rules.add(
                DependencyRule(target.name, text, (source.name,), f"comes after {source.name}", gap)
            )


def find_clocks(rules: Rules, fresh: Callable[[str], str]) -> list[Numbers]:
    """Add the rules of clock times that are another one and a time that varies little.

    Args:
        rules: with the exact ones.
        fresh: makes a name for a hidden field.

    Returns:
        These times, as columns that may follow from others in turn.
    """
    clocks = [each for each in moving_of(rules) if each.day]
    result = []
    for target in [each for each in rules.free() if is_in(each, clocks)]:
        best: tuple[float, Numbers, Floats] | None = None
        for source in clocks:
            if source.day != target.day or rules.leads(source.name, target.name):
                continue
            if (target.valid & ~source.valid).mean() > 1 - KNOWN:
                continue
            gap = target.data - source.data
            turn = complex(np.nanmean(np.exp(2j * np.pi * gap / target.day)))
            middle = np.angle(turn) / (2 * np.pi) * target.day
            gap = np.mod(gap - middle + target.day / 2, target.day) + middle - target.day / 2
            if abs(turn) > _CONCENTRATED and (best is None or abs(turn) > best[0]):
                best = (abs(turn), source, np.rint(gap))
        if best is not None:
            _, source, gap = best
            length = fresh(f"{target.name}_after")
            text = f"({source.value} + {length} - {target.first}) % {target.day} + {target.first}"
            words = f"is {source.name} and a time after it"
            if rules.add(DependencyRule(target.name, text, (source.name, length), words)):
                result.append(Numbers(length, length, gap, "integer", 0))
                rules.columns[length] = result[-1]
    return result


def _nearly(rules: Rules, moving: Sequence[Numbers], fixed: Collection[str]) -> None:
    """Lines with a rest that is drawn, those that leave the least first."""
    options = []
    for target in rules.free():
        if target.is_time or target.day or target.name in fixed or not is_in(target, moving):
            continue
        if np.unique(target.data[target.valid]).size > 20 and is_regular(target):
            fit = fit_of(rules, target, moving)
            if fit is not None:
                options.append((explained(target, fit[2]), target))
    for _, target in sorted(options, key=lambda option: -option[0]):
        fit = fit_of(rules, target, moving)
        if fit is None:
            continue
        chosen, slopes, rest = fit
        share = explained(target, rest)
        if share < _EXPLAINED and not (share >= _EXPLAINED_TAILS and _has_tails(target, chosen[0])):
            continue
        nice = [float(f"{slope:.6g}") for slope in slopes]
        made = made_of(chosen, nice)
        rest = target.data - made
        if (target.valid & np.isnan(rest)).mean() <= 1 - KNOWN and resembles(target, made, chosen):
            rest = np.round(rest, 12 if target.decimals is None else target.decimals + 2)
            words = f"is nearly {line_of(chosen, nice, words=True)}, and a rest that is drawn"
            text = f"{line_of(chosen, nice)} + {{rest}}"
            rules.add(
                DependencyRule(target.name, text, tuple(each.name for each in chosen), words, rest)
            )


def is_regular(column: Numbers) -> bool:
    """Whether rounding to its decimals gives none but values that the column could have."""
    values = np.unique(column.data[column.valid])
    if column.decimals is None:
        return len(values) > 500 or len(values) > int(column.valid.sum()) / 20
    low, high = np.quantile(column.data[column.valid], [0.05, 0.95])
    places = (high - low) * 10.0**column.decimals + 1
    inside = int(((values >= low) & (values <= high)).sum())
    return bool(inside >= 0.75 * places or len(values) > int(column.valid.sum()) / 20)


def _has_tails(target: Numbers, other: Numbers) -> bool:
    """Whether the correlation is another than that of normal scores tied as the ranks are."""
    both = target.valid & other.valid
    rows = np.flatnonzero(both)[some(int(both.sum()))]
    one, two = target.data[rows], other.data[rows]
    seen = float(np.corrcoef(one, two)[0, 1])
    tied = 2 * np.sin(np.pi / 6 * rank_correlation(one, two))
    random = np.random.default_rng(0)
    normal = random.normal(size=(2, len(rows)))
    normal[1] = tied * normal[0] + np.sqrt(max(0.0, 1 - tied * tied)) * normal[1]
    places = np.argsort(np.argsort(normal, axis=1), axis=1)
    made = float(np.corrcoef(np.sort(one)[places[0]], np.sort(two)[places[1]])[0, 1])
    return abs(made - seen) > _TAILS


def resembles(
    target: Numbers,
    made: Floats,
    chosen: Sequence[Numbers],
    *,
    rest: Floats | None = None,
    spread: Floats | None = None,
) -> bool:
    """Whether a column, with another rest drawn, still has its distribution and its ranks.

    Args:
        target: the column.
        made: what is known of each row, NaN for null.
        chosen: the columns that it follows from.
        rest: what is drawn; the difference without it.
        spread: what the rest is multiplied by in each row; 1 without it.
    """
    left = target.data - made if rest is None else rest
    known = target.valid & ~np.isnan(made) & ~np.isnan(left)
    if int(known.sum()) < FEWEST_ROWS:
        return False
    rows = np.flatnonzero(known)[some(int(known.sum()))]
    seen = target.data[rows]
    drawn = np.random.default_rng(0).permutation(left[rows])
    drawn = made[rows] + drawn * (1 if spread is None else spread[rows])
    drawn = np.clip(drawn, seen.min(), seen.max())
    if target.decimals is not None:
        drawn = np.round(drawn, target.decimals)
    places = np.sort(seen)[:: max(1, len(seen) // 200)]
    shares = [np.searchsorted(np.sort(each), places, side="right") for each in (seen, drawn)]
    apart = float(np.abs(shares[0] - shares[1]).max()) / len(seen)
    wide = float(drawn.std() / seen.std())
    # by chance, the shares of few rows are apart
    if apart > 0.04 + 1 / np.sqrt(len(seen)) or not 0.95 < wide < 1.05:
        return False
    return all(
        abs(rank_correlation(seen, each.data[rows]) - rank_correlation(drawn, each.data[rows]))
        < 0.03 + 1 / np.sqrt(len(seen))
        for each in chosen
    )
