"""Arrow arrays straight from memory.

``pyarrow.array`` looks whether it was given something of pandas or of ``numpy.ma``, and imports
both to do so: 0.05 to 1 second at the first call. These know what they are given.
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_TYPES: Final = {
    "b1": pa.bool_(),
    "i4": pa.int32(),
    "i8": pa.int64(),
    "f8": pa.float64(),
}


def from_numpy(data: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> pa.Array:
    """An array of booleans, 32 or 64-bit integers, or floats; null where the mask is true."""
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
