"""Patterns of texts such as ``SKU-####-??``: their marks, and how many texts they give."""

import math
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_DIGITS: Final = "0123456789"
_CAPITALS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SIMPLE: Final = {"#": _DIGITS, "?": _CAPITALS}
"""The marks of ``pattern``."""
MARKS: Final = {
    **SIMPLE,
    "&": _CAPITALS.lower(),
    "*": _CAPITALS + _DIGITS,
    "%": _CAPITALS.lower() + _DIGITS,
    "~": _DIGITS + "abcdef",
}
"""The marks of ``patterns``."""


def capacity(text: str, marks: dict[str, str] = SIMPLE) -> int:
    """How many distinct texts a pattern has."""
    return math.prod(len(marks.get(mark, "x")) for mark in text)


def overlap(one: str, other: str) -> bool:
    """Whether two patterns can give the same text."""
    if len(one) != len(other):
        return False
    pairs = zip(one, other, strict=True)
    return all(set(MARKS.get(left, left)) & set(MARKS.get(right, right)) for left, right in pairs)


def fill(text: str, numbers: NDArray[np.int64], marks: dict[str, str] = SIMPLE) -> pa.Array:
    """A pattern filled in by numbers, which are read digit by digit from its right end."""
    pieces = [marks.get(mark) or mark.encode() for mark in text]
    width = sum(1 if isinstance(piece, str) else len(piece) for piece in pieces)
    data = np.empty((len(numbers), width), dtype=np.uint8)
    rest, end = numbers.copy(), width
    for piece in reversed(pieces):
        if isinstance(piece, bytes):
            data[:, end - len(piece) : end] = np.frombuffer(piece, dtype=np.uint8)
            end -= len(piece)
            continue
        end -= 1
        letters = np.frombuffer(piece.encode(), dtype=np.uint8)
        data[:, end] = letters[rest % len(letters)]
        rest //= len(letters)
    return fixed_width(data)


def fixed_width(data: NDArray[np.uint8]) -> pa.Array:
    """Rows of bytes as an Arrow array of strings."""
    count, width = data.shape
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.StringArray.from_buffers(count, buffers[1], buffers[2])
