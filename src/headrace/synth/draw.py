"""Draws: what a field holds in each row, by its type; pure functions of key and address."""

import math
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.synth import maths, pools
from headrace.synth.buffers import NOTHING, SPACE, from_numpy, from_strings
from headrace.synth.evaluate import rounded
from headrace.synth.hashing import Key, Permutation, below, bits, key, unit
from headrace.synth.population import DAY_US, PRECISION_US, to_us
from headrace.synth.schema.model import (
    Boolean,
    Case,
    Categorical,
    Count,
    Datetime,
    ForeignKey,
    Numerical,
    Text,
    Unique,
    as_datetime,
)
from headrace.synth.values import Kind, Pool, Values

if TYPE_CHECKING:
    from collections.abc import Sequence

Units = NDArray[np.float64]
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


def categorical(
    field: Categorical | Case, units: Units, *, provider: tuple[str, Path | None] | None
) -> Values:
    """One of the values, by weight.

    Args:
        field: with values, or with a generator.
        units: numbers in [0, 1).
        provider: locale and the schema file's directory, for a generator.
    """
    if isinstance(field, Categorical) and field.generator is not None:
        assert provider is not None
        name = field.generator.removeprefix("faker.")
        pool, thresholds = _pool(name, *provider, pools.stamp(name, *provider))
    else:
        assert field.values is not None
        pool, thresholds = _listed(field)
    return Values(Kind.POOLED, pick(thresholds, units), None, pool)


@cache
def _pool(provider: str, locale: str, beside: Path | None, stamp: int) -> tuple[Pool, "Guide"]:
    del stamp
    frozen = pools.load(provider, locale, beside)
    return Pool(frozen.values), Guide(frozen.thresholds)


_LISTED: dict[int, tuple[Any, Pool, "Guide"]] = {}


def _listed(field: Categorical | Case) -> tuple[Pool, "Guide"]:
    known = _LISTED.get(id(field))
    if known is not None and known[0] is field:
        return known[1], known[2]
    assert field.values is not None
    if isinstance(field.values, dict):
        values: tuple[Any, ...] = tuple(field.values)
        weights: Sequence[float] = list(field.values.values())
    else:
        values = tuple(field.values)
        weights = field.weights or [1.0] * len(values)
    total = math.fsum(weights)
    running, thresholds = 0.0, []
    for weight in weights:
        running += weight
        thresholds.append(running / total)
    found = (field, Pool(values), Guide(thresholds))
    _LISTED[id(field)] = found
    return found[1], found[2]


class Guide:
    """A table that finds the class of a number in [0, 1) without a search, for nearly all."""

    _SIZE = 1 << 15

    def __init__(self, thresholds: "Sequence[float]") -> None:
        self.thresholds = np.array(thresholds, dtype=np.float64)
        self.thresholds[-1] = 1.0
        edges = np.arange(self._SIZE + 1, dtype=np.float64) / self._SIZE
        place = np.searchsorted(self.thresholds, edges, side="right")
        last = len(self.thresholds) - 1
        self.first = np.minimum(place[:-1], last).astype(np.int32)
        sure = np.minimum(np.searchsorted(self.thresholds, edges[1:], side="left"), last)
        self.sure = self.first == sure
        self.all_sure = bool(self.sure.all())


def pick(guide: Guide, units: Units) -> NDArray[np.int32]:
    """The class of each number: the first whose cumulative share is above it."""
    cell = (units * Guide._SIZE).astype(np.int32)  # noqa: SLF001
    result = guide.first[cell]
    if not guide.all_sure:
        unsure = np.flatnonzero(~guide.sure[cell])
        found = np.searchsorted(guide.thresholds, units[unsure], side="right")
        result[unsure] = np.minimum(found, len(guide.thresholds) - 1)
    return result


# numbers


def numerical(field: Numerical, units: Units) -> Values:
    """A number by the field's distribution; integers where ``round`` is 0."""
    low, high = field.bounds
    number = _DISTRIBUTIONS[field.distribution](field, units)
    if low is not None or high is not None:
        number = np.clip(number, low, high)
    if field.round is None:
        return Values(Kind.NUMBER, number)
    if field.round == 0 or field.distribution in {"poisson", "zipf"}:
        return Values(Kind.INTEGER, np.rint(number).astype(np.int64))
    return Values(Kind.NUMBER, rounded(number, field.round))


def _uniform(field: Numerical, units: Units) -> Units:
    low, high = field.bounds
    assert low is not None
    assert high is not None
    if field.round == 0:
        # every integer of the range with the same probability, both ends among them
        return np.floor(low + units * (high - low + 1)).clip(low, high)
    return low + units * (high - low)


def _gaussian(field: Numerical, units: Units) -> Units:
    assert field.mean is not None
    assert field.stddev is not None
    low, high = field.bounds
    if field.clip and low is None and high is None:
        low = field.mean - 4 * field.stddev
        high = field.mean + 4 * field.stddev
        if field.mean > 0:
            low = max(low, 0.0)
    first = 0.0 if low is None else float(_below(low, field)[0])
    last = 1.0 if high is None else float(_below(high, field)[0])
    # a truncated normal: nothing piles up at the ends
    share = np.maximum(units, 2.0**-54)
    share *= last - first
    share += first
    np.minimum(share, 1 - 2.0**-53, out=share)
    number = maths.normal_quantile(share)
    number *= field.stddev
    number += field.mean
    return number


def _below(bound: float, field: Numerical) -> Units:
    assert field.mean is not None
    assert field.stddev is not None
    return maths.normal_cdf((bound - field.mean) / field.stddev)


def _lognormal(field: Numerical, units: Units) -> Units:
    """``mean`` and ``stddev`` are those of the number itself, not of its logarithm."""
    assert field.mean is not None
    assert field.stddev is not None
    variance = float(maths.log(1.0 + (field.stddev / field.mean) ** 2))
    centre = float(maths.log(field.mean)) - variance / 2
    return maths.exp(centre + math.sqrt(variance) * maths.normal_quantile(_open(units)))


def _exponential(field: Numerical, units: Units) -> Units:
    assert field.mean is not None
    return -field.mean * maths.log(1.0 - units)


def _poisson(field: Numerical, units: Units) -> Units:
    assert field.mean is not None
    return _poisson_class(field.mean, units).astype(np.float64)


def _poisson_class(mean: float, units: Units) -> NDArray[np.int64]:
    if mean > 500:
        normal = maths.normal_quantile(_open(units))
        return np.maximum(0, np.rint(mean + math.sqrt(mean) * normal)).astype(np.int64)
    return np.searchsorted(_poisson_table(mean), units, side="right")


@cache
def _poisson_table(mean: float) -> Units:
    share = float(maths.exp(-mean))
    running, sums, number = share, [share], 0
    while running < 1 - 1e-15 and number < 2_000:
        number += 1
        share *= mean / number
        if running + share == running and number > mean:
            break
        running += share
        sums.append(running)
    return np.array(sums)


def _zipf(field: Numerical, units: Units) -> Units:
    _, high = field.bounds
    assert high is not None
    return 1.0 + zipf(units, np.full(len(units), high), field.exponent)


def zipf(units: Units, size: NDArray[Any], exponent: float) -> Units:
    """A rank in [0, size), by a continuous power law: rank *r* about ``(r + 1) ** -exponent``."""
    limit = np.asarray(size, dtype=np.float64) + 1.0
    if abs(exponent - 1.0) < 1e-9:
        place = maths.exp(units * maths.log(limit))
    else:
        power = 1.0 - exponent
        place = maths.power(1.0 + units * (maths.power(limit, power) - 1.0), 1.0 / power)
    return np.clip(np.floor(place) - 1.0, 0.0, np.maximum(0.0, limit - 2.0))


def _empirical(field: Numerical, units: Units) -> Units:
    assert field.quantiles is not None
    knots = np.array(field.quantiles, dtype=np.float64)
    place = units * (len(knots) - 1)
    cell = np.minimum(place.astype(np.int64), len(knots) - 2)
    result: Units = knots[cell] + (knots[cell + 1] - knots[cell]) * (place - cell)
    return result


def _open(units: Units) -> Units:
    """Without 0, for which a quantile has no end."""
    return np.maximum(units, 2.0**-54)


_DISTRIBUTIONS: Final = {
    "uniform": _uniform,
    "gaussian": _gaussian,
    "lognormal": _lognormal,
    "exponential": _exponential,
    "poisson": _poisson,
    "zipf": _zipf,
    "empirical": _empirical,
}


def count_of(count: Count, units: Units) -> NDArray[np.int64]:
    """How many children each parent has."""
    if count.distribution == "uniform":
        drawn = count.min + (units * (count.max - count.min + 1)).astype(np.int64)
    elif count.distribution == "poisson":
        assert count.mean is not None
        drawn = _poisson_class(count.mean, units)
    else:
        # geometric from min on, with this mean
        assert count.mean is not None
        above = max(count.mean - count.min, 1e-9)
        ratio = float(maths.log(above / (1.0 + above)))
        drawn = count.min + np.floor(maths.log(1.0 - units) / ratio).astype(np.int64)
    return np.clip(drawn, count.min, count.max)


# moments


def moment(field: Datetime, units: Units) -> Values:
    """A moment within the field's range; the last day is part of it where it is a date."""
    assert field.range is not None
    first, last = (to_us(as_datetime(bound)) for bound in field.range)
    step = PRECISION_US[field.precision]
    if last % DAY_US == 0:
        last += DAY_US - step if field.precision != "day" else 0
    kind = Kind.DATE if field.precision == "day" else Kind.MOMENT
    if field.quantiles is not None:
        return Values(kind, np.clip(_between_quantiles(field, units, first, step), first, last))
    places = (last - first) // step + 1
    drawn = first + (units * places).astype(np.int64) * step
    return Values(kind, np.minimum(drawn, last))


def _between_quantiles(field: Datetime, units: Units, first: int, step: int) -> Rows:
    assert field.quantiles is not None
    knots = np.array([to_us(as_datetime(knot)) for knot in field.quantiles], dtype=np.int64)
    place = units * (len(knots) - 1)
    cell = np.minimum(place.astype(np.int64), len(knots) - 2)
    drawn = knots[cell] + (np.diff(knots)[cell] * (place - cell)).astype(np.int64)
    result: Rows = first + (drawn - first + step // 2) // step * step
    return result


def boolean(field: Boolean, units: Units) -> Values:
    """True with the field's probability."""
    return Values(Kind.BOOLEAN, units < field.probability)


# text


def pattern(text: str, random: NDArray[np.uint64]) -> Values:
    """A pattern filled in: # by a digit, ? by a capital letter."""
    places = [10 if mark == "#" else 26 for mark in text if mark in "#?"]
    total = math.prod(places)
    if total <= 2**32:
        return Values(Kind.TEXT, fill(text, below(random, total)))
    return Values(Kind.TEXT, fill(text, (random % np.uint64(min(total, 2**62))).astype(np.int64)))


def capacity(text: str) -> int:
    """How many distinct texts a pattern has."""
    return math.prod(10 if mark == "#" else 26 for mark in text if mark in "#?")


def fill(text: str, numbers: NDArray[np.int64]) -> pa.Array:
    """A pattern filled in by numbers, which are read digit by digit from its right end."""
    raw = text.encode()
    width = len(raw)
    data = np.empty((len(numbers), width), dtype=np.uint8)
    data[:] = np.frombuffer(raw, dtype=np.uint8)
    rest = numbers.copy()
    for place in range(width - 1, -1, -1):
        mark = raw[place : place + 1]
        if mark == b"#":
            data[:, place] = 48 + rest % 10
            rest //= 10
        elif mark == b"?":
            data[:, place] = 65 + rest % 26
            rest //= 26
    return fixed_width(data)


def fixed_width(data: NDArray[np.uint8]) -> pa.Array:
    """Rows of bytes as an Arrow array of strings."""
    count, width = data.shape
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.StringArray.from_buffers(count, buffers[1], buffers[2])


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


def words(
    field: Text, seed: int, path: tuple[str, ...], rows: Rows, home: tuple[str, Path | None]
) -> Values:
    """Some words of the pool, as a sentence."""
    if field.pattern is not None:
        return pattern(field.pattern, bits(key(seed, *path), rows))
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


def parent_rows(
    field: ForeignKey, seed: int, path: tuple[str, ...], rows: Rows, limit: NDArray[np.int64]
) -> Rows:
    """The address of a parent for each row, among the first ``limit`` of it.

    ``limit`` is one number for each row, or one for all; where it is 0, the row has no parent.
    """
    safe = np.maximum(limit, 1)
    if field.distribution == "cover":
        size = int(safe[0]) if len(safe) else 1
        turn = rows // size
        shift = below(bits(key(seed, *path), turn), size)
        return Permutation(seed, *path, size=size)((rows + shift) % size)
    if field.distribution == "zipf":
        rank = zipf(unit(key(seed, *path), rows), safe, field.exponent)
        return rank.astype(np.int64)
    if len(safe) and int(safe.max()) < 2**32:
        return below(bits(key(seed, *path), rows), safe)
    many: Rows = np.minimum((unit(key(seed, *path), rows) * safe).astype(np.int64), safe - 1)
    return many
