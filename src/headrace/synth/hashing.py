"""The hash that every value comes from: keyed, 64 bits, the same on every machine.

Row *i* of a column is a pure function of (seed, table, column, *i*). The key of a column is the
BLAKE2b digest of its path; the row's address is mixed with it by two multiply-xorshift rounds
(the finaliser of SplitMix64, Steele, Lea and Flood 2014, with a second key word between them).
All arithmetic is on unsigned 64-bit integers modulo 2**64, so nothing depends on the platform.

``VERSION`` is part of every key. Any change to what this module returns is a new version, and
the golden values of the tests change with it.
"""

from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

VERSION: Final = 1

Rows = NDArray[np.int64]
"""Addresses of rows, from 0."""
Bits = NDArray[np.uint64]
Key = tuple[np.uint64, np.uint64]

_PHI: Final = np.uint64(0x9E3779B97F4A7C15)
_M1: Final = np.uint64(0xBF58476D1CE4E5B9)
_M2: Final = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
_S11, _S32 = np.uint64(11), np.uint64(32)
_UNIT: Final = 2.0**-53


def key(seed: int, *path: str) -> Key:
    """The key of a column, or of one purpose within it.

    Args:
        seed: any integer.
        path: table, column and purpose, such as ``("order", "status", "delay")``.
    """
    digest = blake2b(digest_size=16, person=b"headrace.synth")
    digest.update(f"{VERSION}\x1f{seed}".encode())
    for step in path:
        digest.update(b"\x1f" + step.encode())
    words = digest.digest()
    return (
        np.uint64(int.from_bytes(words[:8], "little")),
        np.uint64(int.from_bytes(words[8:], "little")),
    )


def bits(key_: Key, rows: NDArray[Any]) -> Bits:
    """64 random bits for each row."""
    mixed = rows.astype(np.uint64)
    mixed *= _PHI
    mixed += key_[0]
    shifted = mixed >> _S30
    mixed ^= shifted
    mixed *= _M1
    mixed ^= key_[1]
    mixed ^= np.right_shift(mixed, _S27, out=shifted)
    mixed *= _M2
    mixed ^= np.right_shift(mixed, _S31, out=shifted)
    return mixed


def unit(key_: Key, rows: NDArray[Any]) -> NDArray[np.float64]:
    """A number in [0, 1) for each row, a multiple of 2**-53."""
    return to_unit(bits(key_, rows))


def to_unit(random: Bits) -> NDArray[np.float64]:
    """Bits as a number in [0, 1)."""
    result: NDArray[np.float64] = (random >> _S11).astype(np.float64)
    result *= _UNIT
    return result


def below(random: Bits, limit: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """An integer in [0, limit) for each row; ``limit`` is at most 2**32.

    By multiplication (Lemire 2019), whose bias is below limit / 2**32 and so of no weight here.
    """
    high = random >> _S32
    high *= np.asarray(limit).astype(np.uint64)
    high >>= _S32
    return high.view(np.int64)


class Permutation:
    """A keyed bijection of [0, size): a Feistel network of four rounds with cycle walking.

    Black and Rogaway, "Ciphers with arbitrary finite domains", 2002.
    """

    def __init__(self, seed: int, *path: str, size: int) -> None:
        if size < 1:
            raise ValueError("a permutation needs at least one element")
        self.size = size
        half = max(1, ((size - 1).bit_length() + 1) // 2)
        self._half = np.uint64(half)
        self._mask = np.uint64((1 << half) - 1)
        self._keys = [key(seed, *path, f"round {number}") for number in range(4)]

    def __call__(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """Where each row goes; ``rows`` are in [0, size)."""
        moved = self._once(rows.astype(np.uint64))
        outside = np.flatnonzero(moved >= np.uint64(self.size))
        while outside.size:
            again = self._once(moved[outside])
            moved[outside] = again
            outside = outside[again >= np.uint64(self.size)]
        return moved.astype(np.int64)

    def _once(self, number: Bits) -> Bits:
        left, right = number >> self._half, number & self._mask
        for round_key in self._keys:
            left, right = right, left ^ (bits(round_key, right) & self._mask)
        return (left << self._half) | right
