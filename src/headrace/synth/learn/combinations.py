"""Categories that come together: which combinations there are, and what follows from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FEWEST_ROWS: Final = 3
"""A combination that fewer rows hold is not written: it may be about one person."""
MOST_COMBINATIONS: Final = 3_000
_COVERED: Final = 0.99
"""Categories are drawn together where so many rows have a combination that is not too rare."""
_COVERED_ALONE: Final = 0.9
"""What follows from one category is found where so many rows have a value that is not too rare."""
_TIED: Final = 0.15
"""Categories with so high a Cramér's V are drawn together."""
HELD: Final = 0.999
_MOST_ROWS: Final = 50_000
_REPEATED: Final = 5
"""A column follows from a combination where each has so many rows, on average."""


@dataclass(frozen=True, slots=True)
class Categories:
    """A column of categories: the code of each row, and the value of each code.

    Null is a category, too.
    """

    name: str
    codes: NDArray[np.int64]
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Combination:
    """Columns that are drawn together.

    Attributes:
        columns: their names.
        codes: the combination of each row, -1 where it is one of few rows.
        labels: of each combination, the values of the columns.
        counts: how many rows have it.
    """

    columns: tuple[str, ...]
    codes: NDArray[np.int64]
    labels: tuple[tuple[Any, ...], ...]
    counts: tuple[int, ...]


def combine(categories: Sequence[Categories], followers: Sequence[Categories]) -> list[Combination]:
    """The columns that are drawn together; those that stand alone are in none.

    Args:
        categories: that may be drawn together, where they say something about each other.
        followers: columns that join a combination where they follow from it exactly.
    """
    groups = [[each] for each in categories]
    joined = {each.name: _Joined.of([each]) for each in categories}
    pairs = sorted(
        (
            (_cramers_v(one, other), one.name, other.name)
            for place, one in enumerate(categories)
            for other in categories[place + 1 :]
        ),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    for tied, one, other in pairs:
        left = next(group for group in groups if any(each.name == one for each in group))
        right = next(group for group in groups if any(each.name == other for each in group))
        if tied < _TIED or left is right:
            continue
        both = _Joined.of([*left, *right])
        if both.size <= MOST_COMBINATIONS and both.covered >= _COVERED:
            groups = [group for group in groups if group is not left and group is not right]
            groups.append([*left, *right])
            for each in (*left, *right):
                joined[each.name] = both
    result = []
    taken: set[str] = set()
    for group in sorted(groups, key=lambda group: joined[group[0].name].size):
        base = joined[group[0].name]
        more = [each for each in followers if each.name not in taken and base.decides(each)
                and each.name not in {member.name for member in group}]  # fmt: skip
        if len(group) + len(more) > 1 and base.covered >= _COVERED_ALONE:
            taken |= {each.name for each in more}
            result.append(base.with_followers(group, more))
    return result


def alone(category: Categories) -> Combination:
    """A column that is drawn by itself."""
    return _Joined.of([category]).with_followers([category], [])


@dataclass(frozen=True, slots=True)
class _Joined:
    codes: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, group: Sequence[Categories]) -> "_Joined":
        codes = np.zeros(len(group[0].codes), dtype=np.int64)
        for each in group:
            codes = codes * len(each.values) + each.codes
            codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
        return cls(codes, np.bincount(codes))

    @property
    def size(self) -> int:
        return int((self.counts >= FEWEST_ROWS).sum())

    @property
    def covered(self) -> float:
        """The share of rows whose combination is not too rare."""
        return float(self.counts[self.counts >= FEWEST_ROWS].sum() / max(1, len(self.codes)))

    def decides(self, other: Categories) -> bool:
        """Whether another column follows from the combination, in nearly all rows."""
        if len(other.values) < 2 or len(other.values) > len(self.counts):
            return False
        if len(self.codes) < _REPEATED * len(self.counts):
            return False
        _, often = self.modes(other)
        return bool(often.sum() >= HELD * len(self.codes))

    def modes(self, other: Categories) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each combination another column's most frequent value, and how often it comes."""
        pairs, counts = np.unique(self.codes * len(other.values) + other.codes, return_counts=True)
        order = np.lexsort((-counts, pairs // len(other.values)))
        groups = pairs[order] // len(other.values)
        first = np.flatnonzero(np.concatenate(([True], np.diff(groups) > 0)))
        return pairs[order][first] % len(other.values), counts[order][first]

    def with_followers(
        self, group: Sequence[Categories], more: Sequence[Categories]
    ) -> Combination:
        columns = [*group, *more]
        kept = np.flatnonzero(self.counts >= FEWEST_ROWS)
        number = np.full(len(self.counts), -1, dtype=np.int64)
        number[kept] = np.arange(len(kept))
        modes = [self.modes(each)[0] for each in columns]
        labels = tuple(
            tuple(each.values[mode[place]] for each, mode in zip(columns, modes, strict=True))
            for place in kept
        )
        return Combination(
            tuple(each.name for each in columns),
            number[self.codes],
            labels,
            tuple(int(count) for count in self.counts[kept]),
        )


def _cramers_v(one: Categories, other: Categories) -> float:
    """Cramér's V, without its bias (Bergsma, "A bias-correction for Cramér's V", 2013)."""
    step = max(1, len(one.codes) // _MOST_ROWS)
    left = np.unique(one.codes[::step], return_inverse=True)[1]
    right = np.unique(other.codes[::step], return_inverse=True)[1]
    rows, columns = int(left.max()) + 1, int(right.max()) + 1
    size = len(left)
    if min(rows, columns) < 2 or size < 10:
        return 0.0
    seen = np.bincount(left * columns + right, minlength=rows * columns).reshape(rows, columns)
    expected = np.outer(seen.sum(axis=1), seen.sum(axis=0)) / size
    square = float(((seen - expected) ** 2 / expected).sum()) / size
    square = max(0.0, square - (rows - 1) * (columns - 1) / (size - 1))
    least = min(
        rows - (rows - 1) ** 2 / (size - 1), columns - (columns - 1) ** 2 / (size - 1)
    ) - 1  # fmt: skip
    return float(np.sqrt(square / least)) if least > 0 else 0.0


def null_patterns(masks: Mapping[str, NDArray[np.bool_]]) -> list[Combination]:
    """Columns that are null together, by which of them are in a row; others are in none.

    Args:
        masks: by column, where it is null; only columns that are null in some rows.
    """
    names = list(masks)
    home = {name: name for name in names}
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            if _alike(masks[one], masks[other]):
                old, new = home[other], home[one]
                home = {name: new if where == old else where for name, where in home.items()}
    result = []
    for where in dict.fromkeys(home.values()):
        group = [name for name in names if home[name] == where]
        if len(group) < 2:
            continue
        columns = [Categories(name, masks[name].astype(np.int64), (0, 1)) for name in group]
        joined = _Joined.of(columns)
        if joined.size and joined.covered >= 0.9:
            result.append(joined.with_followers(columns, []))
    return result


def _alike(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    """Whether null in one says something of the other: a correlation above 0.1."""
    if one.std() == 0 or other.std() == 0:
        return False
    correlation = float(np.corrcoef(one, other)[0, 1])
    return bool(abs(correlation) > max(0.1, 4 / np.sqrt(len(one))))


def explained_by(data: NDArray[np.float64], classes: NDArray[np.int64], most: int) -> float:
    """The share of a number's variance that classes explain, beyond chance; 0 of too many classes.

    Args:
        data: NaN for null.
        classes: -1 for none.
        most: how many classes there are at most; each has ten rows, or all that matter.
    """
    known = ~np.isnan(data) & (classes >= 0)
    values, codes = data[known], np.unique(classes[known], return_inverse=True)[1]
    size, groups = len(values), int(codes.max(initial=-1)) + 1
    if (
        groups < 2
        or groups > most
        or size < (10 if groups <= 20 else 50) * groups
        or values.std() == 0
    ):
        return 0.0
    counts = np.bincount(codes)
    means = np.bincount(codes, weights=values) / counts
    within = float(((values - means[codes]) ** 2).sum() / ((values - values.mean()) ** 2).sum())
    return 1 - within * (size - 1) / (size - groups)


def moments_of(
    data: NDArray[np.float64], classes: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean and the standard deviation in each class; NaN where it has too few rows."""
    known = ~np.isnan(data) & (classes >= 0)
    values, codes = data[known], classes[known]
    counts = np.bincount(codes, minlength=size).astype(np.float64)
    counts[counts < FEWEST_ROWS] = np.nan
    means = np.bincount(codes, weights=values, minlength=size) / counts
    squares = np.bincount(codes, weights=(values - means[codes]) ** 2, minlength=size) / counts
    return means, np.sqrt(squares)
