"""A field of a schema file that is learned, and the column that it is learned from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

QUANTILES: Final = 101
MOST_CATEGORIES: Final = 500
"""Of a text column, the most frequent values that are written."""
FEWEST_ROWS: Final = 3
"""A text that fewer rows hold is never written: it may be about one person."""
FEW_NUMBERS: Final = 1_500
"""Numbers of so few different values, of which each is in many rows, keep exactly these."""
FEW_INTEGERS: Final = 20
"""Of so few different values, each is in a few rows at least."""
ROOM: Final = 10_000
"""Unique patterns have values for so many times the rows of the sample."""
UUID: Final = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"


@dataclass(frozen=True, slots=True)
class LearnedField:
    """A field as it will be written.

    Attributes:
        name: the column's.
        settings: the YAML mapping.
        comment: what somebody should know about it.
        classes: the class of each row in the engine's order, -1 for null; None if the column
            takes no part in the correlation.
        numbers: the value of each class, of numbers.
        apart: fields that this one is not correlated with, whatever the sample says.
        labels: the categories in the order of the classes, where that order is free to choose.
    """

    name: str
    settings: Mapping[str, Any]
    comment: str = ""
    classes: NDArray[np.int64] | None = None
    labels: tuple[tuple[Any, float], ...] | None = field(default=None)
    numbers: NDArray[np.float64] | None = None
    apart: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SampleColumn:
    """A column of a sample, its table's name, and the names of all columns beside it."""

    table: str
    name: str
    data: pa.ChunkedArray
    beside: tuple[str, ...]

    @property
    def values(self) -> pa.ChunkedArray:
        """Without null."""
        return self.data.drop_null()

    @property
    def nulls(self) -> dict[str, float]:
        """The share of rows that are null, if any are."""
        share = self.data.null_count / len(self.data)
        return {"null_rate": short(share)} if share else {}

    @property
    def is_unique(self) -> bool:
        """Whether no value comes twice, in enough rows to tell."""
        values = self.values
        return len(values) >= 20 and pc.count_distinct(values).as_py() == len(values)


def ranks(numbers: pa.ChunkedArray, original: pa.ChunkedArray) -> NDArray[np.int64]:
    """Classes of numbers: the place of each among the different ones."""
    valid = pc.is_valid(original).to_numpy()
    filled = pc.fill_null(numbers, 0).to_numpy()
    result = np.full(len(filled), -1, dtype=np.int64)
    result[valid] = np.unique(filled[valid], return_inverse=True)[1]
    return result


def gapless(classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Classes numbered without gaps, -1 aside."""
    result = np.full(len(classes), -1, dtype=np.int64)
    known = classes >= 0
    result[known] = np.unique(classes[known], return_inverse=True)[1]
    return result


def all_match(values: pa.ChunkedArray, pattern: str) -> bool:
    return len(values) > 0 and bool(pc.all(pc.match_substring_regex(values, pattern)).as_py())


def short(share: float) -> float:
    """A share with six digits that count."""
    return float(f"{share:.6g}")


def number_of(value: Any, decimals: int | None) -> int | float:
    """A number without needless digits; an integer where it is one."""
    if isinstance(value, int | np.integer):
        return int(value)
    number = round(float(value), decimals) if decimals is not None else float(value)
    if decimals is None and abs(number) < 1e9:
        number = float(f"{number:.12g}")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def zipf_exponent(counts: NDArray[np.int64], parents: int) -> float | None:
    """How unevenly parents are chosen; None if it may as well be evenly.

    The chance that two rows have one parent, ``sum(n (n - 1)) / (N (N - 1))`` (Simpson, 1949),
    has no bias from ranking by luck; the exponent makes it the same in the engine's law.
    """
    total = int(counts.sum())
    if total < 50 or parents < 2:
        return None
    together = float(np.sum(counts * (counts - 1.0))) / (total * (total - 1.0))
    # the count of pairs is about Poisson where parents are chosen evenly
    pairs = total * (total - 1.0) / 2
    if together < 1 / parents + 4 * np.sqrt(1 / parents / pairs):
        return None
    low, high = 0.01, 5.0
    for _ in range(40):
        middle = (low + high) / 2
        if _together(middle, parents) < together:
            low = middle
        else:
            high = middle
    return round(low, 3) if low >= 0.05 else None


def _together(exponent: float, parents: int) -> float:
    edges = np.arange(1, parents + 2, dtype=np.float64)
    if abs(exponent - 1) < 1e-9:
        places = np.log(edges)
    else:
        places = (edges ** (1 - exponent) - 1) / (1 - exponent)
    shares = np.diff(places) / places[-1]
    return float(np.sum(shares * shares))
