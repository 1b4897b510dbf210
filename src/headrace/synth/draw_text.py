"""Text in each row: patterns, UUIDs, words, and what no two rows share."""

import math
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.synth import pools
from headrace.synth.draw import zipf
from headrace.synth.hashing import Key, Permutation, below, bits, key, unit
from headrace.synth.patterns import MARKS, capacity, fill, fixed_width
from headrace.synth.schema.fields import Categorical, Text, Unique
from headrace.synth.values import NOTHING, SPACE, Kind, Pool, Values, from_numpy, from_strings

Rows = NDArray[np.int64]

MAIL_DOMAINS: Final = ("example.com", "example.net", "example.org")
"""Reserved by RFC 2606: no mail goes to anybody."""
EMAILS: Final = frozenset({
    "email", "safe_email", "free_email", "company_email", "ascii_email", "ascii_safe_email",
    "ascii_free_email", "ascii_company_email",
})  # fmt: skip
PATTERNS: Final = {
    "phone_number": "+1-###-555-####",
    "ssn": "###-##-####",
    "license_plate": "???-####",
    "msisdn": "1##########",
    "ean13": "#############",
    "ean8": "########",
    "bban": "????##############",
}
"""Unique generators that are filled in rather than drawn from a pool."""
BUILT: Final = frozenset({*EMAILS, "user_name", "uuid4", "domain_name", "url"})
"""Unique generators that are built up, and never run out."""


def pattern(text: str, random: NDArray[np.uint64]) -> Values:
    """A pattern filled in: # by a digit, ? by a capital letter."""
    places = [10 if mark == "#" else 26 for mark in text if mark in "#?"]
    total = math.prod(places)
    if total <= 2**32:
        return Values(Kind.TEXT, fill(text, below(random, total)))
    return Values(Kind.TEXT, fill(text, (random % np.uint64(min(total, 2**62))).astype(np.int64)))


_HEX: Final = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def uuids(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> Values:
    """Version 4 UUIDs (RFC 9562) of 122 bits."""
    words = np.stack([high, low], axis=1).astype(">u8").view(np.uint8).reshape(len(high), 16)
    words[:, 6] = (words[:, 6] & 0x0F) | 0x40
    words[:, 8] = (words[:, 8] & 0x3F) | 0x80
    data = np.full((len(high), 36), ord("-"), dtype=np.uint8)
    places = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34]
    for number, place in enumerate(places):
        data[:, place] = _HEX[words[:, number] >> 4]
        data[:, place + 1] = _HEX[words[:, number] & 15]
    return Values(Kind.TEXT, fixed_width(data))


def pools_of(item: Unique | Categorical) -> tuple[str, ...]:
    """The pools that a field takes its strings from; none where it fills in a pattern."""
    provider = (item.generator or "").removeprefix("faker.")
    if isinstance(item, Categorical):
        return (provider,) if provider else ()
    if not provider or provider in PATTERNS or provider == "uuid4":
        return ()
    return ("first_name", "last_name") if provider in BUILT else (provider,)


def unique(
    field: Unique, seed: int, path: tuple[str, ...], rows: Rows, home: tuple[str, Path | None]
) -> Values:
    """Text that no two rows share: a bijection of the row's address, never a retry."""
    if field.pattern is not None:
        size = min(capacity(field.pattern), 2**62)
        permutation = Permutation(seed, *path, size=size)
        return Values(Kind.TEXT, fill(field.pattern, permutation(rows)))
    if field.patterns is not None:
        return Values(Kind.TEXT, _codes(field.patterns, seed, path, rows))
    assert field.generator is not None
    provider = field.generator.removeprefix("faker.")
    if provider in PATTERNS:
        permutation = Permutation(seed, *path, size=capacity(PATTERNS[provider]))
        return Values(Kind.TEXT, fill(PATTERNS[provider], permutation(rows)))
    if provider == "uuid4":
        return unique_uuids(seed, path, rows)
    if provider in BUILT:
        return _built(provider, seed, path, rows, home)
    pool = pools.load(provider, *home)
    permutation = Permutation(seed, *path, size=len(pool.values))
    return Values(Kind.POOLED, permutation(rows).astype(np.int32), None, Pool(pool.values))


def _codes(patterns: dict[str, float], seed: int, path: tuple[str, ...], rows: Rows) -> pa.Array:
    """Texts by several patterns; no two numbers give the same one."""
    texts = list(patterns)
    shares = np.cumsum(np.array(list(patterns.values()), dtype=np.float64))
    drawn = unit(key(seed, *path, "pattern"), rows) * shares[-1]
    which = np.minimum(np.searchsorted(shares, drawn, side="right"), len(texts) - 1)
    sizes = np.array([min(capacity(text, MARKS), 2**62) for text in texts])
    which = np.where(rows < sizes[which], which, len(texts) - 1)
    parts, places = [], []
    for number, text in enumerate(texts):
        here = np.flatnonzero(which == number)
        if here.size:
            permutation = Permutation(seed, *path, text, size=int(sizes[number]))
            parts.append(fill(text, permutation(rows[here]), MARKS))
            places.append(here)
    if len(parts) < 2:
        return parts[0] if parts else pa.array([], pa.string())
    order = np.argsort(np.concatenate(places), kind="stable")
    return pa.concat_arrays(parts).take(from_numpy(order))


def unique_uuids(seed: int, path: tuple[str, ...], rows: Rows) -> Values:
    """UUIDs whose last 48 bits are a bijection of the row's address."""
    low = Permutation(seed, *path, size=2**48)(rows).astype(np.uint64)
    more = bits(key(seed, *path, "low"), rows) & np.uint64(0xFFFF000000000000)
    return uuids(bits(key(seed, *path, "high"), rows), more | low)


@cache
def _slugs(name: str, home: tuple[str, Path | None]) -> tuple[str, ...]:
    return pools.slugs(pools.load(name, *home))


@cache
def _beginnings(provider: str, home: tuple[str, Path | None]) -> pa.Array:
    """What a built text begins with: a first name, and a sign after it."""
    sign = "-" if provider in {"domain_name", "url"} else "."
    start = "https://" if provider == "url" else ""
    return from_strings([f"{start}{name}{sign}" for name in _slugs("first_name", home)])


@lru_cache(maxsize=64)
def _endings(provider: str, turn: int, home: tuple[str, Path | None]) -> pa.Array:
    """What it ends with in a turn: a last name, the turn's number, and what comes after."""
    number = "" if turn == 0 else str(turn + 1)
    names = _slugs("last_name", home)
    return from_strings([f"{n}{number}{end}" for end in _ends(provider) for n in names])


def _ends(provider: str) -> tuple[str, ...]:
    if provider == "user_name":
        return ("",)
    if provider in {"domain_name", "url"}:
        return (".example.com" + ("/" if provider == "url" else ""),)
    return tuple(f"@{domain}" for domain in MAIL_DOMAINS)


def _built(
    provider: str, seed: int, path: tuple[str, ...], rows: Rows, home: tuple[str, Path | None]
) -> Values:
    """first.last, and a number from the second time on that the names come round."""
    firsts, lasts = len(_slugs("first_name", home)), len(_slugs("last_name", home))
    turn, place = np.divmod(rows, firsts * lasts)
    mixed = _shuffle(place, firsts * lasts, key(seed, *path))
    first, last = np.divmod(mixed, lasts)
    end = below(bits(key(seed, *path, "end"), rows), len(_ends(provider)))
    code = end * lasts + last
    low, high = (int(turn.min()), int(turn.max())) if len(turn) else (0, 0)
    turns = np.arange(low, high + 1) if high - low < 8 else np.unique(turn)
    if not len(turns):
        turns = np.zeros(1, dtype=np.int64)
    pool = [_endings(provider, int(number), home) for number in turns]
    if len(pool) > 1:
        code += np.searchsorted(turns, turn) * len(pool[0])
    ending = pool[0] if len(pool) == 1 else pa.concat_arrays(pool)
    text = pc.binary_join_element_wise(
        _beginnings(provider, home).take(from_numpy(first.astype(np.int32))),
        ending.take(from_numpy(code.astype(np.int32))),
        NOTHING,
    )
    return Values(Kind.TEXT, text)


def _shuffle(place: Rows, size: int, key_: Key) -> Rows:
    """A bijection of [0, size): multiplication by a number that shares no divisor with it."""
    factor = int(key_[0]) % size | 1
    while math.gcd(factor, size) != 1:
        factor += 2
    shift = int(key_[1]) % size
    result: Rows = (place * factor + shift) % size
    return result


def _repeated_codes(
    field: Text, patterns: dict[str, float], seed: int, path: tuple[str, ...], rows: Rows
) -> Values:
    """Texts by several patterns: so many different ones, and some of them more often."""
    most = min(max(capacity(text, MARKS) for text in patterns), 2**62)
    size = min(field.distinct or most, capacity(list(patterns)[-1], MARKS))
    drawn = unit(key(seed, *path), rows)
    if field.exponent is None:
        numbers = np.minimum((drawn * size).astype(np.int64), size - 1)
    else:
        numbers = zipf(drawn, np.array([size]), field.exponent).astype(np.int64)
    return Values(Kind.TEXT, _codes(patterns, seed, path, numbers))


def words(
    field: Text, seed: int, path: tuple[str, ...], rows: Rows, home: tuple[str, Path | None]
) -> Values:
    """Some words of the pool, as a sentence."""
    if field.pattern is not None:
        return pattern(field.pattern, bits(key(seed, *path), rows))
    if field.patterns is not None:
        return _repeated_codes(field, field.patterns, seed, path, rows)
    low, high = field.words
    pool = Pool(pools.load("word", "en_US" if home[0] != "en_US" else home[0], None).values)
    count = low + below(bits(key(seed, *path, "count"), rows), high - low + 1)
    total = int(count.sum())
    owner = np.repeat(np.arange(len(rows)), count)
    ends = np.cumsum(count)
    number = np.arange(total) - np.repeat(ends - count, count)
    drawn = below(bits(key(seed, *path), rows[owner] * np.int64(256) + number), len(pool))
    chosen = pool.arrow.take(from_numpy(drawn.astype(np.int32)))
    offsets = from_numpy(np.concatenate(([0], ends)).astype(np.int32))
    lists = pa.ListArray.from_arrays(offsets, chosen)
    text = pc.binary_join(lists, SPACE)
    return Values(Kind.TEXT, pc.utf8_capitalize(text) if len(rows) else text)
