"""Columns that hold the year, the month and the day of one date, and timestamps beside them."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from headrace.synth.learn.dependencies import Numbers, Rule
from headrace.synth.learn.lattice import days_of

_DAY_US: Final = 86_400_000_000
_HOUR_US: Final = 3_600_000_000
_MOST_OFFSETS: Final = 12


@dataclass(frozen=True, slots=True)
class Calendar:
    """A date that several columns are parts of.

    Attributes:
        value: what the hidden date is called.
        days: since 1970, of each row.
        rules: of the columns that are its parts, and of timestamps that follow from them.
    """

    value: str
    days: NDArray[np.int64]
    rules: tuple[Rule, ...]

    def as_numbers(self) -> Numbers:
        """The hidden date as a column."""
        return Numbers(self.value, self.value, self.days.astype(np.float64) * _DAY_US, "date", 0)


def find_calendars(
    columns: Sequence[Numbers], free: Collection[str], fresh: Callable[[str], str]
) -> list[Calendar]:
    """The dates of which a month and a day are there, and perhaps a year.

    Args:
        columns: of the table.
        free: the names of those without rules so far.
        fresh: makes a name for a hidden field.
    """
    known = {each.name.lower(): each for each in columns if each.valid.all()}
    result = []
    for name, month in known.items():
        found = re.fullmatch(r"(.*?)(month|mon|mm)", name)
        if found is None or month.kind != "integer" or month.name not in free:
            continue
        before = found[1]
        day = next((known[before + x] for x in ("day", "dd", "mday", "day_of_month")
                    if before + x in known), None)  # fmt: skip
        year = next(
            (known[before + x] for x in ("year", "yr", "yyyy") if before + x in known), None
        )
        if day is None or not {day.name, year.name if year else day.name} <= set(free):
            continue
        if {day.kind, year.kind if year else "integer"} != {"integer"}:
            continue
        numbers = [each.data.astype(np.int64) for each in (month, day)]
        years = year.data.astype(np.int64) if year else np.full(len(numbers[0]), 2000)
        days = days_of(years, *numbers)
        if days is None:
            continue
        value = fresh(f"{before}date_drawn")
        rules = [
            Rule(part.name, f"{function}({value})", (value,), f"is the {function} of a date")
            for part, function in ((year, "year"), (month, "month"), (day, "day"))
            if part is not None
        ]
        hour = known.get(before + "hour")
        if year is not None:
            rules += _timestamps([x for x in columns if x.name in free], value, days, hour)
        result.append(Calendar(value, days, tuple(rules)))
    return result


def _timestamps(
    columns: Sequence[Numbers], value: str, days: NDArray[np.int64], hour: Numbers | None
) -> list[Rule]:
    """Timestamps that are the date and the hour, in another time zone."""
    rules = []
    for target in columns:
        if target.kind != "timestamp" or not target.valid.all() or hour is None:
            continue
        local = days * _DAY_US + hour.data.astype(np.int64) * _HOUR_US
        offset = target.data.astype(np.int64) - local
        if len(np.unique(offset)) > 3 or np.abs(offset).max() > 15 * _HOUR_US:
            continue
        order = np.argsort(local, kind="stable")
        changes = np.flatnonzero(np.diff(offset[order]))
        if len(changes) > _MOST_OFFSETS:
            continue
        clock = f"{value} + hours({hour.value})"
        last = order[-1]
        text = str(int(offset[last]) // 1_000_000)
        for change in reversed(changes):
            limit = int(local[order[change + 1]])
            seconds = int(offset[order[change]]) // 1_000_000
            text = f"({seconds} if micros({clock}) < {limit} else {text})"
        rules.append(
            Rule(
                target.name,
                f"{clock} + seconds({text})",
                (value, hour.name),
                "is the date and the hour, in another time zone",
            )
        )
    return rules
