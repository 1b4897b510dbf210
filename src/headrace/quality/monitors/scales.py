"""The scales on which values of a series are compared, and the least that a change must be.

    values ─► logarithm, root, arc sine, or as they are ─► bands ─► values

Shares of what hardly ever happens have a rule of their own: see `Scale.rare`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.quality.monitors.model import Floats, MonitorOptions

_LARGE = 100  # counts from which on changes are relative
_SMALL = 0.0025  # the least deviation of logarithms and of arc sines: changes under 1% are no alarm
_RARE = 1.0  # rows of a typical period: what is expected less often is rare
_MOST_RARE = 64  # rows of what is rare: more are an alarm in any case
_USUAL_SHARE = 0.98  # of the periods: more rows than in all but the farthest fiftieth


@dataclass(frozen=True)
class Scale:
    """The scales of series, on which a change is as likely high up as low down.

    Large counts are compared by their logarithm, small ones by their root, shares by the arc sine
    of their root (Anscombe, "The transformation of Poisson, binomial and negative-binomial data",
    Biometrika 35, 1948), other numbers as they are.

    Attributes:
        kinds: of each series: ``count``, ``small``, ``share`` or ``number``.
    """

    kinds: NDArray[np.str_]

    @classmethod
    def of(cls, values: Floats, options: Sequence[MonitorOptions]) -> "Scale":
        """The scales that fit the values, periods x series."""
        kinds = np.array([one.kind for one in options])
        is_small = (kinds == "count") & (np.nan_to_num(median(values)) < _LARGE)
        return cls(np.where(is_small, "small", kinds))

    def to(self, values: Floats) -> Floats:
        """Values on the scale; NaN where they cannot be."""
        found = np.where(np.isfinite(values), values, np.nan)
        for kind, columns in self._by_kind():
            part = found[:, columns]
            if kind == "count":
                found[:, columns] = np.log1p(np.maximum(part, 0))
            elif kind == "small":
                found[:, columns] = np.sqrt(np.maximum(part, 0) + 0.375)
            elif kind == "share":
                found[:, columns] = np.arcsin(np.sqrt(np.clip(part, 0, 1)))
        return found

    def back(self, values: Floats) -> Floats:
        """From the scale to values; what lies beyond the ends of it is its end."""
        found = values.copy()
        for kind, columns in self._by_kind():
            part = found[:, columns]
            if kind == "count":
                with np.errstate(over="ignore"):
                    found[:, columns] = np.maximum(np.expm1(part), 0)
            elif kind == "small":
                found[:, columns] = np.maximum(np.maximum(part, 0) ** 2 - 0.375, 0)
            elif kind == "share":
                found[:, columns] = np.sin(np.clip(part, 0, np.pi / 2)) ** 2
        return found

    def errors(self, values: Floats, errors: Floats) -> Floats:
        """The least deviation of each value: its sampling error, and what is too small to matter.

        Args:
            values: of the series.
            errors: of counts and numbers their standard error, of shares the number of rows that
                they are shares of; NaN where unknown.
        """
        known = np.where(np.isfinite(errors), errors, 0.0)
        least = np.full(values.shape, _SMALL)
        for kind, columns in self._by_kind():
            error = known[:, columns]
            size = abs(np.nan_to_num(median(values[:, columns])))
            if kind == "count":
                # of events that come on their own: the variance of a count is the count
                found = np.maximum(1 / np.sqrt(size + 1), error / (1 + size))
            elif kind == "small":
                found = np.maximum(0.5, error / (2 * np.sqrt(size + 0.375)))
            elif kind == "share":
                with np.errstate(divide="ignore"):
                    # of few rows the arc sine is not normal yet
                    found = np.where(error > 0, 0.5 / np.sqrt(error) * (1 + 10 / error), 0.0)
            else:
                found = np.maximum(error, np.maximum(_SMALL * size, 1e-12))
                least[:, columns] = found
                continue
            least[:, columns] = np.maximum(_SMALL, found)
        return least

    def _by_kind(self) -> list[tuple[str, NDArray[np.int64]]]:
        names = ("count", "small", "share", "number")
        return [(kind, np.flatnonzero(self.kinds == kind)) for kind in names]

    def rare(
        self, values: Floats, rows: Floats, width: Floats, *, history: int
    ) -> tuple[NDArray[np.bool_], Floats]:
        """Shares of what hardly ever happens, and how far their bands must reach.

        The arc sine is no use there: of sixty rows it lets five be null in a column that never
        had a null in a year. How many rows can be chance is known from all rows of the history
        together: of a rate that was seen in ``c`` of ``R`` rows, the number in ``n`` rows has a
        negative binomial distribution (Jeffreys' prior; Gelman et al., "Bayesian Data Analysis",
        section 2.6). What is nearly always the case (a share of 1) is rare the other way round.

        Args:
            values: shares, periods x series.
            rows: that they are shares of.
            width: of the bands, in deviations: as improbable must a number be.
            history: periods from which the rates are known.

        Returns:
            Which series are rare, and for each period the half width of its band, on the scale.
        """
        is_share = self.kinds == "share"
        there = np.isfinite(values) & is_share
        past, of = values[:history], np.where(there, np.nan_to_num(rows), 0.0)
        seen = of[:history]
        total = seen.sum(axis=0)
        counts = np.nan_to_num(past) * seen
        is_high = counts.sum(axis=0) > total / 2
        counts = np.where(is_high, seen - counts, counts)
        typical = np.nan_to_num(median(np.where(seen > 0, seen, np.nan)))
        count = counts.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = np.where(total > 0, count / total, 1.0) * typical
        is_rare = is_share & (typical > 0) & (expected < _RARE)
        usual = np.nan_to_num(np.quantile(counts, _USUAL_SHARE, axis=0)) if history else count
        most = np.maximum(_most(count + 0.5, total, of, width), np.round(usual))
        part = np.clip((most + 0.5) / np.maximum(of, 1), 0, 1)
        return is_rare, np.arcsin(np.sqrt(part))


def _most(shape: Floats, total: Floats, rows: Floats, width: Floats) -> Floats:
    """The largest number that is not yet as improbable as a normal value beyond the band."""
    tail = np.array([math.erfc(one / math.sqrt(2)) / 2 for one in width])
    part = rows / np.maximum(total + rows, 1)
    chance = (1 - part) ** shape  # of none
    left = 1 - chance
    most = np.zeros_like(rows)
    for number in range(1, _MOST_RARE):
        is_open = left > tail
        if not is_open.any():
            break
        most[is_open] = number
        chance = chance * (shape + number - 1) / number * part
        left = left - chance
    return most


def median(values: Floats) -> Floats:
    """The median of each column, without NaN; NaN where there is nothing."""
    order = np.sort(values, axis=0)  # NaN last
    count = np.isfinite(values).sum(axis=0)
    columns = np.arange(values.shape[1])
    last = max(len(values) - 1, 0)
    if not len(values):
        return np.full(values.shape[1], np.nan)
    low, high = (
        order[np.clip((count - 1) // 2, 0, last), columns],
        order[np.clip(count // 2, 0, last), columns],
    )
    return np.where(count > 0, (low + high) / 2, np.nan)
