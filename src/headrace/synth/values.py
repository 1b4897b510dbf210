"""What a column holds in a block of rows, and the Arrow array that it becomes."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_TYPES: Final = {
    "b1": pa.bool_(),
    "i4": pa.int32(),
    "i8": pa.int64(),
    "f8": pa.float64(),
}


def from_numpy(data: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> pa.Array:
    """An array of booleans, 32 or 64-bit integers, or floats; null where the mask is true.

    ``pyarrow.array`` would look whether it was given something of pandas or of ``numpy.ma``, and
    import both to do so: 0.05 to 1 second at the first call.
    """
    kind = _TYPES[data.dtype.str[1:]]
    valid = None if mask is None else _bits(~mask)
    content = _bits(data) if data.dtype == bool else pa.py_buffer(np.ascontiguousarray(data))
    return pa.Array.from_buffers(kind, len(data), [valid, content])


def _bits(data: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(data, bitorder="little"))


def from_strings(values: Iterable[str | None]) -> pa.Array:
    """An array of strings, or nulls."""
    given = list(values)
    encoded = [b"" if value is None else value.encode() for value in given]
    sizes = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
    present = np.fromiter((value is not None for value in given), dtype=bool, count=len(given))
    valid = None if bool(present.all()) else _bits(present)
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(given), buffers)


# even pyarrow.scalar looks for pandas
NOTHING: Final = from_strings([""])[0]
SPACE: Final = from_strings([" "])[0]
FALSE: Final = from_numpy(np.zeros(1, dtype=bool))[0]
ZERO: Final = from_numpy(np.zeros(1, dtype=np.int64))[0]


def null(kind: pa.DataType) -> pa.Scalar:
    """Null of a type."""
    return pa.nulls(1, kind)[0]


DAY_US: Final = 86_400_000_000
NEVER: Final = np.iinfo(np.int64).max
"""The time of what does not happen."""
ALWAYS: Final = np.iinfo(np.int64).min
"""The time of what has been there from the beginning."""

Mask = NDArray[np.bool_]


class Kind(Enum):
    """What the data of a ``Values`` is."""

    INTEGER = "integer"  # int64
    NUMBER = "number"  # float64
    BOOLEAN = "boolean"  # bool
    TIMESTAMP = "timestamp"  # int64, microseconds since 1970 in UTC
    DATE = "date"  # int64, microseconds at midnight
    POOLED = "pooled"  # int32 codes into a pool
    TEXT = "text"  # an Arrow array of strings


class Pool:
    """Distinct values that codes point into: strings, other scalars, or lists of scalars."""

    def __init__(self, values: tuple[Any, ...]) -> None:
        self.values = values
        self._arrow: pa.Array | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def arrow(self) -> pa.Array:
        """The values as an Arrow array, made once."""
        if self._arrow is None:
            self._arrow = from_strings(self.values) if self.is_text else pa.array(list(self.values))
        return self._arrow

    @property
    def is_text(self) -> bool:
        """Whether all values are strings or null."""
        return all(value is None or isinstance(value, str) for value in self.values)


@dataclass(frozen=True, slots=True)
class Values:
    """A column in a block of rows; ``valid`` is None where no row is null."""

    kind: Kind
    data: Any
    valid: Mask | None = None
    pool: Pool | None = None

    def __len__(self) -> int:
        return len(self.data)

    def take(self, index: NDArray[Any]) -> "Values":
        """The rows at these positions."""
        data = self.data.take(from_numpy(index)) if self.kind is Kind.TEXT else self.data[index]
        valid = None if self.valid is None else self.valid[index]
        return Values(self.kind, data, valid, self.pool)

    def masked(self, valid: Mask | None) -> "Values":
        """Null, too, where the mask is false."""
        if valid is None:
            return self
        return Values(self.kind, self.data, both(self.valid, valid), self.pool)

    def is_valid(self) -> Mask:
        """True where the row is not null."""
        if self.valid is None:
            return np.ones(len(self), dtype=bool)
        return self.valid

    def as_text(self) -> pa.Array:
        """As an Arrow array of strings."""
        if self.kind is Kind.TEXT:
            array = self.data
        elif self.kind is Kind.POOLED:
            assert self.pool is not None
            texts = from_strings(
                None if value is None else str(value) for value in self.pool.values
            )
            array = texts.take(from_numpy(self.data))
        elif self.kind is Kind.TIMESTAMP:
            array = pc.cast(from_numpy(self.data).cast(pa.timestamp("us")), pa.string())
        elif self.kind is Kind.DATE:
            array = days(self.data).cast(pa.string())
        else:
            array = pc.cast(from_numpy(self.data), pa.string())
        return nulled(array, self.valid)


def days(timestamps: NDArray[np.int64]) -> pa.Array:
    """Microseconds as Arrow dates."""
    return from_numpy((timestamps // DAY_US).astype(np.int32)).view(pa.date32())


def both(left: Mask | None, right: Mask | None) -> Mask | None:
    """Where both are valid."""
    if left is None:
        return right
    return left if right is None else left & right


def nulled(array: pa.Array, valid: Mask | None) -> pa.Array:
    """The array with null where the mask is false."""
    if valid is None or bool(valid.all()):
        return array
    return pc.if_else(from_numpy(valid), array, null(array.type))


def constant(value: Any, size: int) -> Values:
    """One value in every row."""
    if value is None:
        return Values(Kind.POOLED, np.zeros(size, np.int32), np.zeros(size, bool), Pool((None,)))
    if isinstance(value, bool):
        return Values(Kind.BOOLEAN, np.full(size, value))
    if isinstance(value, int):
        return Values(Kind.INTEGER, np.full(size, value, np.int64))
    if isinstance(value, float):
        return Values(Kind.NUMBER, np.full(size, value))
    return Values(Kind.POOLED, np.zeros(size, np.int32), None, Pool((value,)))


def decimal(number: NDArray[np.float64], scale: int) -> pa.Array:
    """Numbers, rounded, as Arrow decimals of 18 digits; built without a detour through text."""
    whole = np.rint(number * 10.0**scale).astype(np.int64)
    words = np.empty((len(whole), 2), dtype=np.int64)
    words[:, 0] = whole
    words[:, 1] = whole >> 63
    return pa.Array.from_buffers(pa.decimal128(18, scale), len(whole), [None, pa.py_buffer(words)])


def to_arrow(
    values: Values, *, written_as: str | None = None, scale: int | None = None
) -> pa.Array:
    """The Arrow array that is written.

    Args:
        values: the column.
        written_as: number, integer, decimal, text, datetime, date or boolean; by kind without it.
        scale: decimals of decimal and text.
    """
    valid = values.valid
    if written_as is not None and values.kind is Kind.POOLED and values.pool is not None:
        values = unpooled(values)
        valid = values.valid
    if written_as == "decimal" or (
        written_as == "text" and scale is not None and values.kind in {Kind.NUMBER, Kind.INTEGER}
    ):
        number = np.where(values.is_valid(), values.data, 0).astype(np.float64)
        array = decimal(number, scale or 0)
        return nulled(array.cast(pa.string()) if written_as == "text" else array, valid)
    if written_as == "text":
        return values.as_text()
    if written_as == "integer":
        data = np.where(values.is_valid(), values.data, 0)
        data = np.rint(data) if data.dtype.kind == "f" else data
        return nulled(from_numpy(data.astype(np.int64)), valid)
    if written_as == "number":
        return nulled(from_numpy(values.data.astype(np.float64)), valid)
    if written_as == "boolean":
        return nulled(from_numpy(values.data.astype(bool)), valid)
    if written_as == "date" or (written_as is None and values.kind is Kind.DATE):
        return nulled(days(np.where(values.is_valid(), values.data, 0)), valid)
    if written_as == "datetime" or values.kind is Kind.TIMESTAMP:
        data = np.where(values.is_valid(), values.data, 0)
        return nulled(from_numpy(data).cast(pa.timestamp("us", tz="UTC")), valid)
    if values.kind is Kind.TEXT:
        return nulled(values.data, valid)
    if values.kind is Kind.POOLED:
        assert values.pool is not None
        if values.pool.is_text and len(values.pool) > 0:
            names = values.pool.arrow.cast(pa.string())
            if names.null_count:  # Parquet takes no null inside a dictionary
                valid = both(valid, names.is_valid().to_numpy(zero_copy_only=False)[values.data])
                names = names.fill_null(NOTHING)
            codes = from_numpy(values.data, None if valid is None else ~valid)
            return pa.DictionaryArray.from_arrays(codes, names)
        return nulled(values.pool.arrow.take(from_numpy(values.data)), valid)
    return nulled(from_numpy(values.data), valid)


def unpooled(values: Values) -> Values:
    """Values that point into a pool of numbers, as numbers; others as they are."""
    if values.pool is None:
        return values
    pool = values.pool.values
    present = np.array([value is not None for value in pool], dtype=bool)
    valid = values.valid if bool(present.all()) else both(values.valid, present[values.data])
    known = [value for value in pool if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        data = np.array([bool(value) for value in pool])[values.data]
        return Values(Kind.BOOLEAN, data, valid)
    if known and all(isinstance(value, int) and not isinstance(value, bool) for value in known):
        data = np.array([value or 0 for value in pool], dtype=np.int64)[values.data]
        return Values(Kind.INTEGER, data, valid)
    if known and all(isinstance(value, int | float) for value in known):
        data = np.array([value or 0 for value in pool], dtype=np.float64)[values.data]
        return Values(Kind.NUMBER, data, valid)
    return Values(values.kind, values.data, valid, values.pool)


def choose(test: Mask, then: Values, otherwise: Values) -> Values:
    """One value where the test holds, the other where it does not."""
    valid = np.where(test, then.is_valid(), otherwise.is_valid())
    kept = None if bool(valid.all()) else valid
    if _is_null(then):
        then = Values(otherwise.kind, otherwise.data, then.valid, otherwise.pool)
    if _is_null(otherwise):
        otherwise = Values(then.kind, then.data, otherwise.valid, then.pool)
    if then.kind is Kind.POOLED and otherwise.kind is Kind.POOLED:
        return _choose_pooled(test, then, otherwise, kept)
    then, otherwise = unpooled(then), unpooled(otherwise)
    texts = {Kind.TEXT, Kind.POOLED}
    if then.kind in texts or otherwise.kind in texts:
        array = pc.if_else(from_numpy(test), then.as_text(), otherwise.as_text())
        return Values(Kind.TEXT, pc.fill_null(array, NOTHING), kept)
    data = np.where(test, then.data, otherwise.data)
    if then.kind is otherwise.kind:
        return Values(then.kind, data, kept)
    kind = Kind.NUMBER if data.dtype.kind == "f" else Kind.INTEGER
    return Values(
        Kind.TIMESTAMP if Kind.TIMESTAMP in {then.kind, otherwise.kind} else kind, data, kept
    )


def _is_null(values: Values) -> bool:
    return values.pool is not None and values.pool.values == (None,)


def _choose_pooled(test: Mask, then: Values, otherwise: Values, valid: Mask | None) -> Values:
    assert then.pool is not None
    assert otherwise.pool is not None
    if then.pool is otherwise.pool:
        return Values(Kind.POOLED, np.where(test, then.data, otherwise.data), valid, then.pool)
    merged = {_hashable(value): number for number, value in enumerate(then.pool.values)}
    values = list(then.pool.values)
    codes = np.empty(len(otherwise.pool), dtype=np.int32)
    for number, value in enumerate(otherwise.pool.values):
        name = _hashable(value)
        if name not in merged:
            merged[name] = len(values)
            values.append(value)
        codes[number] = merged[name]
    data = np.where(test, then.data, codes[otherwise.data]).astype(np.int32)
    return Values(Kind.POOLED, data, valid, Pool(tuple(values)))


def _hashable(value: Any) -> Any:
    return (type(value), tuple(value) if isinstance(value, list) else value)
