"""How much generated rows resemble the sample: means, correlations, tails, nulls, values, rules."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.synth.learn.calendars import encoding_of
from headrace.synth.learn.dependencies import HELD, rank_correlation
from headrace.synth.learn.number_field import decimals_of
from headrace.synth.learn.relations import Relations
from headrace.synth.learn.sample_data import LearningSample
from headrace.synth.learn.shapes import as_regex, patterns_of, shape_of
from headrace.synth.pii import find_pii
from headrace.synth.view import View
from headrace.synth.world import World

_MOST_ROWS: Final = 50_000
_MOST_PAIRS: Final = 1_000
"""Of wide tables, so many pairs of numbers are compared, evenly chosen."""
_FEWEST_ROWS: Final = 20
_RUNNING: Final = frozenset({"serial", "uuid", "unique"})
"""Fields that go on from row to row, and are never like the sample's."""
_TAIL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Resemblance:
    """How far generated rows are from the sample; 0 is the same.

    Attributes:
        mean: the largest move of a mean, as a share of it; of the standard deviation where the
            mean is near 0. And the column.
        pearson: the largest difference of a correlation between two numbers, and the columns.
        spearman: the same of ranks.
        tail: the largest difference of the share of rows in which two columns are both above
            their 95% quantile, and the columns.
        nulls: the largest difference of the share of rows in which two columns are both null,
            or one is; and the columns.
        impossible: the largest share of values that cannot be: out of range, no clock time, more
            decimals, a category or a shape that the sample does not have; and the column.
        broken: the largest share of rows in which a column that follows from another one, or two,
            in the sample has a value that it does not have there; and the columns.
    """

    mean: tuple[float, str]
    pearson: tuple[float, str]
    spearman: tuple[float, str]
    tail: tuple[float, str]
    nulls: tuple[float, str]
    impossible: tuple[float, str]
    broken: tuple[float, str]

    @property
    def figures(self) -> dict[str, tuple[float, str]]:
        """All of them by name."""
        return {each: getattr(self, each) for each in self.__slots__}


def compare_tables(
    sample: LearningSample, relations: Relations, world: World
) -> dict[str, Resemblance]:
    """Compare generated rows with the sample, keys and personal data aside.

    Args:
        sample: the tables.
        relations: their keys.
        world: of the schema file that was learned from them.
    """
    view = View.of(world)
    result = {}
    for name, data in sample.tables.items():
        left_out = {relations.keys.get(name), *relations.of(name)}
        beside = tuple(data.column_names)
        columns = [
            each
            for each in beside
            if each not in left_out
            and not pa.types.is_null(data.column(each).type)
            and find_pii(name, each, data.column(each), beside) is None
            and world.plans[name].table.fields[each].type not in _RUNNING
        ]
        if not columns or len(data) < 2:
            continue
        made = view.table(name)
        drawn = {each: made.column(each).cast(data.schema.field(each).type) for each in columns}
        result[name] = resemblance(data.select(columns), pa.table(drawn))
    return result


def resemblance(sample: pa.Table, made: pa.Table) -> Resemblance:
    """Compare generated rows with the sample.

    Args:
        sample: at least two rows.
        made: with the columns of the sample; keys and personal data can be left out of both.
    """
    known, drawn = _some(sample), _some(made)
    numbers = [name for name in sample.column_names if _is_number(sample.column(name))]
    pairs = [(one, two) for n, one in enumerate(numbers) for two in numbers[:n]]
    pairs = pairs[:: 1 + len(pairs) // _MOST_PAIRS]
    nulls = [name for name in sample.column_names if sample.column(name).null_count]
    masks = [(one, two) for n, one in enumerate(nulls) for two in nulls[: n + 1]]
    return Resemblance(
        _worst((_mean(sample, made, name), name) for name in numbers),
        _worst((_gap(known, drawn, *pair, "pearson"), " and ".join(pair)) for pair in pairs),
        _worst((_gap(known, drawn, *pair, "spearman"), " and ".join(pair)) for pair in pairs),
        _worst((_gap(known, drawn, *pair, "tail"), " and ".join(pair)) for pair in pairs),
        _worst((_null_gap(sample, made, *pair), " and ".join(pair)) for pair in masks),
        _worst((_impossible(sample.column(name), made.column(name)), name)
               for name in sample.column_names),
        _worst(_broken(known, drawn)),
    )  # fmt: skip


def _some(table: pa.Table) -> pa.Table:
    if len(table) <= _MOST_ROWS:
        return table
    rows = np.sort(np.random.default_rng(0).choice(len(table), _MOST_ROWS, replace=False))
    return table.take(pa.array(rows))


def _worst(found: Iterable[tuple[float, str]]) -> tuple[float, str]:
    value, what = max(found, key=lambda each: each[0], default=(0.0, ""))
    return round(value, 4), what if value > 0 else ""


def _is_number(column: pa.ChunkedArray) -> bool:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return False
    return bool(len(column) - column.null_count >= 2)


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    numbers = column.cast(pa.float64(), safe=False)
    result: NDArray[np.float64] = pc.fill_null(numbers, float("nan")).to_numpy()
    return result


def _mean(sample: pa.Table, made: pa.Table, name: str) -> float:
    seen, drawn = _floats(sample.column(name)), _floats(made.column(name))
    if np.isnan(drawn).all():
        return 1.0
    mean, spread = float(np.nanmean(seen)), float(np.nanstd(seen))
    base = abs(mean) if abs(mean) > 0.1 * spread else spread
    return abs(float(np.nanmean(drawn)) - mean) / base if base else float(np.nanmean(drawn) != mean)


def _gap(sample: pa.Table, made: pa.Table, one: str, two: str, what: str) -> float:
    both: list[Any] = [_pair(table, one, two) for table in (sample, made)]
    if min(pair.shape[1] for pair in both) < _FEWEST_ROWS:
        return 0.0
    if what == "tail":
        low, high = (float(np.quantile(both[0][place], _TAIL)) for place in (0, 1))
        shares = [float(((pair[0] > low) & (pair[1] > high)).mean()) for pair in both]
        return abs(shares[0] - shares[1])
    if min(float(pair.std(axis=1).min()) for pair in both) == 0:
        # the correlation of a column that does not change is none
        return 0.0
    if what == "pearson":
        shares = [float(np.corrcoef(pair)[0, 1]) for pair in both]
    else:
        shares = [rank_correlation(pair[0], pair[1]) for pair in both]
    return abs(shares[0] - shares[1])


def _pair(table: pa.Table, one: str, two: str) -> NDArray[np.float64]:
    data = np.array([_floats(table.column(one)), _floats(table.column(two))])
    result: NDArray[np.float64] = data[:, ~np.isnan(data).any(axis=0)]
    return result


def _null_gap(sample: pa.Table, made: pa.Table, one: str, two: str) -> float:
    shares = [
        float((pc.is_null(table.column(one)).to_numpy() & pc.is_null(table.column(two)).to_numpy())
              .mean())
        for table in (sample, made)
    ]  # fmt: skip
    return abs(shares[0] - shares[1])


def _impossible(sample: pa.ChunkedArray, made: pa.ChunkedArray) -> float:
    values = made.drop_null()
    if not len(values) or not len(sample.drop_null()):
        return 0.0
    if pa.types.is_string(sample.type):
        return _strange_texts(sample.drop_null(), values)
    if not _is_number(sample):
        ends = pc.min_max(sample.drop_null())
        outside = pc.or_(pc.less(values, ends["min"]), pc.greater(values, ends["max"]))
        return float(pc.mean(outside).as_py())
    seen, drawn = _floats(sample.drop_null()), _floats(values)
    wrong = (drawn < seen.min()) | (drawn > seen.max())
    encoding = encoding_of(sample)
    if encoding is not None:
        rest = drawn % 100
        wrong |= (rest >= 60) if encoding.day else ((rest < 1) | (rest > 31))
    decimals = decimals_of(seen)
    if decimals is not None:
        wrong |= np.abs(np.round(drawn, decimals) - drawn) > 1e-9 * np.maximum(1, np.abs(drawn))
    distinct = np.unique(seen)
    if len(distinct) <= len(seen) / 100 and encoding is None:
        wrong |= np.abs(distinct[_nearest(distinct, drawn)] - drawn) > 1e-9 * (
            np.maximum(1, np.abs(drawn))
        )  # fmt: skip
    return float(wrong.mean())


def _nearest(distinct: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    after = np.searchsorted(distinct, values).clip(0, len(distinct) - 1)
    before = (after - 1).clip(0)
    is_before = np.abs(distinct[before] - values) < np.abs(distinct[after] - values)
    return np.where(is_before, before, after)


def _strange_texts(sample: pa.ChunkedArray, values: pa.ChunkedArray) -> float:
    """Values of another shape, where the sample holds codes; of none of its, where it has few."""
    known = sample.unique()
    if len(known) <= len(sample) / 20 and len(known) <= 500:
        return 1 - float(pc.mean(pc.is_in(values, value_set=known)).as_py())
    patterns = patterns_of(known.to_pylist())
    if patterns is None:
        return 0.0
    shapes = {shape_of(text) for text in known.to_pylist()}
    one_of = re.compile("|".join(map(as_regex, patterns)))
    counted = pc.value_counts(values.combine_chunks()).to_pylist()
    strange = sum(
        each["counts"]
        for each in counted
        if shape_of(each["values"]) not in shapes and not one_of.fullmatch(each["values"])
    )
    return float(strange / len(values))


def _broken(sample: pa.Table, made: pa.Table) -> Iterator[tuple[float, str]]:
    """Columns that follow from one or two others in the sample, and not in the rows made."""
    codes = {}
    for name in sample.column_names:
        joined = pa.chunked_array([*sample.column(name).chunks, *made.column(name).chunks])
        encoded = joined.combine_chunks().dictionary_encode("encode")
        codes[name] = encoded.indices.to_numpy().astype(np.int64)
    sizes = {name: int(code.max()) + 1 for name, code in codes.items()}
    half = len(sample)
    few = [name for name in codes if 1 < sizes[name] <= half / 20 and sizes[name] <= 1000]
    keys: list[tuple[str, ...]] = [(name,) for name in few]
    keys += [(one, two) for n, one in enumerate(few) for two in few[:n]
             if sizes[one] * sizes[two] <= 1_000_000 and len(few) <= 20]  # fmt: skip
    settled: set[tuple[str, str]] = set()
    for key in keys:
        joint = codes[key[0]] if len(key) == 1 else (
            codes[key[0]] * sizes[key[1]] + codes[key[1]]
        )  # fmt: skip
        joint = np.unique(joint, return_inverse=True)[1]
        groups = len(np.unique(joint[:half]))
        if groups * 10 > half:
            continue
        for name, code in codes.items():
            if name in key or sizes[name] < 2 or any((part, name) in settled for part in key):
                continue
            pairs = joint * sizes[name] + code
            common = _most_common(pairs[:half], sizes[name])
            if np.isin(pairs[:half], common).mean() < HELD:
                continue
            if len(key) == 1:
                settled.add((key[0], name))
            lost = 1 - float(np.isin(pairs[half:], common).mean())
            yield lost, f"{name} of {' and '.join(key)}"


def _most_common(pairs: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Of each group the value that comes most often with it."""
    different, counts = np.unique(pairs, return_counts=True)
    order = np.lexsort((-counts, different // size))
    groups = different[order] // size
    result: NDArray[np.int64] = different[order][np.concatenate(([True], np.diff(groups) > 0))]
    return result
