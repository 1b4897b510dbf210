"""Columns that follow from others, exactly or nearly: sums, parts of dates, lines with a rest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEWEST_ROWS: Final = 50
"""From fewer rows than these no rule is learned: it could hold by chance."""
HELD: Final = 0.999
"""An exact rule holds in so many of the rows: a few may be entered wrongly."""
KNOWN: Final = 0.99
"""In so many of the rows that have a value, what it follows from is known; the others get null."""
_MOST_ROWS: Final = 20_000
DAY_US: Final = 86_400_000_000
_SAMPLED: Final = 24


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column as numbers.

    Attributes:
        name: the column's.
        value: what expressions call the number: the column, or the hidden one beneath it.
        data: of each row, NaN for null; dates and timestamps in microseconds since 1970.
        kind: what it is written as.
        decimals: that give all values back; None where none do.
        day: how many numbers a day has, of a clock time; 0 of other numbers.
        first: the first of a day.
    """

    name: str
    value: str
    data: Floats
    kind: Literal["integer", "number", "decimal", "date", "timestamp"]
    decimals: int | None
    day: int = 0
    first: int = 0

    @property
    def valid(self) -> NDArray[np.bool_]:
        """The rows that are not null."""
        return ~np.isnan(self.data)

    @property
    def is_time(self) -> bool:
        """Whether it is a date or a timestamp."""
        return self.kind in {"date", "timestamp"}


@dataclass(frozen=True, slots=True)
class DependencyRule:
    """How a column follows from others.

    Attributes:
        target: the column.
        expression: of the schema file; of the value beneath the column, if there is one.
        needs: the columns in it.
        comment: the rule in words.
        rest: what is drawn and stands in the expression as ``{rest}``; None of an exact rule.
    """

    target: str
    expression: str
    needs: tuple[str, ...]
    comment: str
    rest: Floats | None = None


class Rules:
    """The rules of a table: none needs its own target, by whatever way."""

    def __init__(self, columns: Sequence[Numbers]) -> None:
        self.columns = {each.name: each for each in columns}
        self.found: dict[str, DependencyRule] = {}

    def add(self, rule: DependencyRule) -> bool:
        """Whether the rule was taken: its target is free, and nothing goes round."""
        if rule.target in self.found or any(self.leads(need, rule.target) for need in rule.needs):
            return False
        self.found[rule.target] = rule
        return True

    def leads(self, column: str, goal: str) -> bool:
        """Whether a column is, or needs, another."""
        stack, seen = [column], set()
        while stack:
            here = stack.pop()
            if here == goal:
                return True
            if here not in seen and here in self.found:
                stack += self.found[here].needs
            seen.add(here)
        return False

    def free(self) -> list[Numbers]:
        """The columns without a rule, the last one first."""
        return [each for each in reversed(self.columns.values()) if each.name not in self.found]


def holds(target: Numbers, made: Floats, tolerance: float = 1e-6) -> bool:
    """Whether what a rule makes is the column, wherever it makes something."""
    known = ~np.isnan(made)
    both = known & target.valid
    # a row of which the rule knows nothing cannot have a value
    if int(both.sum()) < FEWEST_ROWS or (target.valid & ~known).mean() > 1 - KNOWN:
        return False
    close = np.abs(target.data[both] - made[both]) <= tolerance
    return bool(close.mean() >= HELD)


def find_exact(rules: Rules) -> None:
    """Add the rules that hold exactly between numbers, dates and timestamps."""
    _copies(rules)
    moving = moving_of(rules)
    _parts_of_dates(rules, moving)
    _digits(rules, moving)
    _sums(rules, moving)
    _lines(rules, moving)


def moving_of(rules: Rules) -> list[Numbers]:
    """The columns that are not the same in all rows, and known in enough of them."""
    return [
        each
        for each in rules.columns.values()
        if int(each.valid.sum()) >= FEWEST_ROWS and np.nanstd(each.data) > 0
    ]


# exactly


def _copies(rules: Rules) -> None:
    columns = list(rules.columns.values())
    for place, target in enumerate(columns):
        for source in columns[:place]:
            same_null = np.array_equal(target.valid, source.valid)
            if target.kind == source.kind and same_null and np.nanstd(source.data) > 0 and (
                np.array_equal(target.data, source.data, equal_nan=True)
            ):  # fmt: skip
                rules.add(
                    DependencyRule(
                        target.name, source.value, (source.name,), f"equals {source.name}"
                    )
                )
                break


def _parts_of_dates(rules: Rules, moving: Sequence[Numbers]) -> None:
    for source in (each for each in moving if each.is_time):
        days = np.floor(source.data / DAY_US)
        known = np.where(source.valid, days, 0).astype(np.int64).astype("datetime64[D]")
        months = known.astype("datetime64[M]").astype(np.int64)
        year = months // 12 + 1970.0
        month = months % 12 + 1.0
        day = (known - known.astype("datetime64[M]")).astype(np.int64) + 1.0
        weekday = np.mod(days + 3, 7)
        name = source.value
        parts = {
            f"year({name})": year,
            f"month({name})": month,
            f"day({name})": day,
            f"(month({name}) + 2) // 3": (month + 2) // 3,
            f"hour({name})": np.mod(source.data, DAY_US) // 3_600_000_000,
            f"weekday({name})": weekday,
            f"weekday({name}) + 1": weekday + 1,
            f"(weekday({name}) + 1) % 7": np.mod(weekday + 1, 7),
            f"year({name}) * 100 + month({name})": year * 100 + month,
            f"date({name})": days * DAY_US,
        }
        for target in moving:
            if target.name == source.name or target.day:
                continue
            for expression, made in parts.items():
                wants_date = expression.startswith("date(")
                if (target.kind == "date") != wants_date or target.kind in {"timestamp", "number"}:
                    continue
                if holds(target, np.where(source.valid, made, np.nan)) and rules.add(
                    DependencyRule(target.name, expression, (source.name,), f"is {expression}")
                ):
                    break


def _digits(rules: Rules, moving: Sequence[Numbers]) -> None:
    """Such as the hour of a clock time, hhmm."""
    for target in rules.free():
        if target.kind != "integer" or not is_in(target, moving):
            continue
        for source in moving:
            if source.kind != "integer" or source.name == target.name:
                continue
            raw = source.data
            if source.day:
                per = source.day // 24
                raw = raw // per * (100 if per == 60 else 10_000) + raw % per
            if np.nanmax(raw) < 100:
                continue
            for power, sign in ((p, s) for p in (10, 100, 1000, 10_000) for s in ("//", "%")):
                apply = np.floor_divide if sign == "//" else np.mod
                few = np.abs(target.data[:_MOST_ROWS:20] - apply(raw[:_MOST_ROWS:20], power))
                if not np.nanmean(few < 0.5) < 1 - 10 * (1 - HELD):
                    made = apply(raw, power)
                    if np.nanstd(made) == 0 or np.array_equal(made, raw, equal_nan=True):
                        continue
                    text = f"{source.name} {sign} {power}"
                    if holds(target, made):
                        rules.add(DependencyRule(target.name, text, (source.name,), f"is {text}"))


def _sums(rules: Rules, moving: Sequence[Numbers]) -> None:
    """a + b, a - b and a * b, and of clock times around midnight."""
    operations: tuple[tuple[str, Callable[[Floats, Floats], Floats]], ...] = (
        ("+", np.add),
        ("-", np.subtract),
        ("*", np.multiply),
    )
    numbers = [each for each in moving if not each.is_time and np.unique(each.data).size > 3]
    if len(numbers) < 3:
        return
    table = np.array([each.data for each in numbers])
    # rows in which much is known tell the most
    rows = np.argsort(np.isnan(table).sum(axis=0), kind="stable")
    rows = rows[:: max(1, len(rows) // (4 * _SAMPLED))][:_SAMPLED]
    few = table[:, rows]
    for sign, apply in operations:
        for target in [each for each in rules.free() if is_in(each, numbers)]:
            wanted = target.data[rows]
            for place, one in enumerate(numbers):
                made = apply(few[place][None, :], few)
                gap = np.abs(made - wanted[None, :])
                if target.day:
                    gap = np.minimum(np.mod(gap, target.day), target.day - np.mod(gap, target.day))
                fits = np.all((gap <= _tolerance(target)) | np.isnan(gap), axis=1)
                for other in np.flatnonzero(fits & (~np.isnan(gap)).any(axis=1)):
                    _try_sum(rules, target, one, numbers[int(other)], sign, apply)


def _tolerance(target: Numbers) -> float:
    if target.decimals is not None:
        return 0.5000001 * 10.0**-target.decimals
    return 1e-9 * float(np.nanmax(np.abs(target.data)))


def _try_sum(
    rules: Rules,
    target: Numbers,
    one: Numbers,
    other: Numbers,
    sign: str,
    apply: Callable[[Floats, Floats], Floats],
) -> None:
    if len({target.name, one.name, other.name}) < 3 or other.day:
        return
    if one.day != target.day or (target.day and sign == "*"):
        return
    made = apply(one.data, other.data)
    text = f"{one.value} {sign} {other.value}"
    words = f"is {one.name} {sign} {other.name}"
    if target.day:
        made = np.mod(made - target.first, target.day) + target.first
        text = f"({text} - {target.first}) % {target.day} + {target.first}" if target.first else (
            f"({text}) % {target.day}"
        )  # fmt: skip
        words += ", around midnight"
    if holds(target, made, _tolerance(target)):
        rules.add(DependencyRule(target.name, text, (one.name, other.name), words))


def _lines(rules: Rules, moving: Sequence[Numbers]) -> None:
    """Sums of several columns, and what is another column times a number."""
    for target in rules.free():
        if target.is_time or target.day or target.decimals is None:
            continue
        if not is_in(target, moving):
            continue
        if np.unique(target.data[target.valid]).size <= 20:
            continue
        fit = fit_of(rules, target, moving, most=6, gain=1e-6)
        if fit is None:
            continue
        chosen, slopes, _ = fit
        nice = [float(f"{slope:.6g}") for slope in slopes]
        made = made_of(chosen, nice)
        start = float(np.round(np.nanmedian(target.data - made), (target.decimals or 0) + 2))
        spread = float(np.nanstd(target.data))
        if spread > 5 * 10.0**-target.decimals and holds(target, made + start, _tolerance(target)):
            text = line_of(chosen, nice) + (f" + {start:g}" if start else "")
            needs = tuple(each.name for each in chosen)
            rules.add(
                DependencyRule(target.name, text, needs, f"is {line_of(chosen, nice, words=True)}")
            )


def some(size: int) -> NDArray[np.int64]:
    if size <= _MOST_ROWS:
        return np.arange(size)
    return np.sort(np.random.default_rng(0).choice(size, _MOST_ROWS, replace=False))


def fit_of(
    rules: Rules, target: Numbers, moving: Sequence[Numbers], *, most: int = 3, gain: float = 0.01
) -> tuple[list[Numbers], list[float], Floats] | None:
    """The line by the columns that say the most: they, their slopes, and what it leaves."""
    rows = some(len(target.data))
    wanted = target.data[rows]
    options = []
    for each in moving:
        if each.is_time or each.day or rules.leads(each.name, target.name):
            continue
        values = each.data[rows]
        both = ~np.isnan(values) & ~np.isnan(wanted)
        # where it is null, the line says nothing
        if both.sum() < max(FEWEST_ROWS, KNOWN * (~np.isnan(wanted)).sum()):
            continue
        if np.ptp(values[both]) > 0 and np.ptp(wanted[both]) > 0:
            options.append(each)
    chosen: list[Numbers] = []
    left: Floats = wanted - np.nanmean(wanted)
    total = float(np.nanvar(wanted))
    slopes: Floats = np.zeros(0)
    while len(chosen) < most and options and total > 0:
        strength = _strengths(np.array([each.data[rows] for each in options]), left)
        best = int(np.argmax(strength))
        if strength[best] < (0.1 if gain > 1e-3 else 1e-4):
            break
        trial = [*chosen, options.pop(best)]
        design = np.array([each.data[rows] for each in trial])
        known = ~np.isnan(design).any(axis=0) & ~np.isnan(wanted)
        centred = design[:, known] - design[:, known].mean(axis=1, keepdims=True)
        found, _, rank, _ = np.linalg.lstsq(centred.T, wanted[known] - wanted[known].mean(), None)
        if rank < len(trial):
            continue
        rest = wanted - found @ design
        rest -= np.nanmean(rest)
        if float(np.nanvar(left)) - float(np.nanvar(rest)) < gain * total:
            break
        chosen, slopes, left = trial, found, rest
        if float(np.nanvar(left)) < 1e-12 * total:
            break
    return (chosen, [float(slope) for slope in slopes], left) if chosen else None


def _strengths(table: Floats, left: Floats) -> Floats:
    """How much each row of a table is correlated with another column, whatever the sign."""
    known = ~np.isnan(left)
    table, other = table[:, known], left[known]
    valid = ~np.isnan(table)
    count = np.maximum(valid.sum(axis=1), 1)
    middle = np.where(valid, table, 0).sum(axis=1) / count
    table = np.where(valid, table - middle[:, None], 0)
    beside = np.where(valid, other, 0)
    beside = np.where(valid, beside - (beside.sum(axis=1) / count)[:, None], 0)
    spread = np.sqrt((table**2).sum(axis=1) * (beside**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.abs((table * beside).sum(axis=1)) / spread
    return np.where(spread > 1e-12, result, 0.0)


def explained(target: Numbers, rest: Floats) -> float:
    total = float(np.nanvar(target.data))
    return 1 - float(np.nanvar(rest)) / total if total else 0.0


def rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's correlation of two columns without null; 0 where one never changes."""
    places = []
    for values in (one, other):
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        places.append((np.cumsum(counts) - counts / 2)[inverse])
    if min(place.std() for place in places) == 0:
        return 0.0
    return float(np.corrcoef(places[0], places[1])[0, 1])


def made_of(chosen: Sequence[Numbers], slopes: Sequence[float]) -> Floats:
    result: Floats = np.zeros(len(chosen[0].data))
    for each, slope in zip(chosen, slopes, strict=True):
        result += slope * each.data
    return result


def is_in(column: Numbers, columns: Sequence[Numbers]) -> bool:
    return any(column is each for each in columns)


def line_of(chosen: Sequence[Numbers], slopes: Sequence[float], *, words: bool = False) -> str:
    parts = []
    for each, slope in zip(chosen, slopes, strict=True):
        name = each.name if words else each.value
        if abs(slope) == 1:
            parts.append(("- " if slope < 0 else "+ ") + name)
        else:
            parts.append(f"{'-' if slope < 0 else '+'} {abs(slope):.10g} * {name}")
    text = " ".join(parts)
    return text[2:] if text.startswith("+ ") else f"0 {text}"
