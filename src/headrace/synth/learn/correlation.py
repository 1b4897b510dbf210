"""Correlations of a table's columns, and the order of categories that shows them.

A column is a rising step function of a hidden standard normal number: its classes in order (the
values of a number, the categories in the order of the schema file) cut the normal distribution
where their cumulative shares say. Between two such columns the correlation of the scores is
sum over k of rho**k * a_k * b_k with their Hermite coefficients (Mehler's formula, 1866; see
https://en.wikipedia.org/wiki/Mehler_kernel), so the hidden ``rho`` is found by halving. Between
columns of many values it is the correlation of the normal scores itself; between categories,
where that comes out too small, it is the larger one by which the engine meets it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from headrace.synth import maths
from headrace.synth.learn.learned_field import LearnedField

Floats = NDArray[np.float64]
_TERMS: Final = 60
_MOST: Final = 0.995
"""No two columns are tied more closely, so that the matrix stays positive definite."""
FEWEST_PAIRS: Final = 10
"""Columns that share fewer rows without null count as independent."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A column as classes in the engine's order.

    Attributes:
        classes: the class of each row, from 0; -1 for null.
        scores: the normal score of each class: of the middle of its share.
        hermite: the coefficients of the step function, from the first on.
        numbers: the value of each class, of numbers, and the coefficients of these.
    """

    classes: NDArray[np.int64]
    scores: Floats
    hermite: Floats
    numbers: tuple[Floats, Floats] | None = None

    @property
    def rows(self) -> Floats:
        """The score of each row; 0 for null."""
        return np.where(self.classes >= 0, self.scores[self.classes], 0.0)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """The rows that are not null."""
        return self.classes >= 0


def scored(classes: NDArray[np.int64], numbers: Floats | None = None) -> Scored:
    """The scores of a column whose classes are numbered from 0 without gaps.

    Args:
        classes: the class of each row, -1 for null.
        numbers: the value of each class, of numbers.
    """
    counts = np.bincount(classes[classes >= 0]).astype(np.float64)
    ends = np.cumsum(counts) / counts.sum()
    scores = maths.normal_quantile(np.clip(ends - counts / counts.sum() / 2, 1e-12, 1 - 1e-12))
    edges = maths.normal_quantile(np.clip(ends[:-1], 1e-12, 1 - 1e-12))
    values = None if numbers is None else (numbers, _hermite(numbers, edges))
    return Scored(classes, scores, _hermite(scores, edges), values)


def _hermite(scores: Floats, edges: Floats) -> Floats:
    """Coefficients of a step function, by the integral of He_k φ, which is -He_(k-1) φ."""
    jumps = np.diff(scores)
    density = np.exp(-edges * edges / 2) / np.sqrt(2 * np.pi)
    before, here = np.zeros_like(edges), np.ones_like(edges)
    coefficients = []
    for k in range(1, _TERMS + 1):
        coefficients.append(float(np.sum(jumps * here * density)) / np.sqrt(k))
        before, here = here, (edges * here - np.sqrt(k - 1) * before) / np.sqrt(k)
    return np.array(coefficients)


def matrix(columns: list[Scored], apart: Collection[tuple[int, int]] = ()) -> Floats:
    """The correlation matrix of the hidden normals, positive definite, to four decimals.

    Args:
        columns: in the order of the matrix.
        apart: the places, the greater one first, that are to have no correlation.
    """
    size = len(columns)
    result = np.eye(size)
    for one in range(size):
        for other in range(one):
            if (one, other) in apart:
                continue
            result[one, other] = result[other, one] = hidden(columns[one], columns[other])
    return positive_definite(result)


def hidden(one: Scored, other: Scored) -> float:
    """The correlation of the hidden normals of two columns."""
    both = one.valid & other.valid
    if int(both.sum()) < FEWEST_PAIRS:
        return 0.0
    left, right = one.rows[both], other.rows[both]
    spread = float(left.std() * right.std())
    if spread == 0:
        return 0.0
    seen = float(np.mean((left - left.mean()) * (right - right.mean()))) / spread
    whole = float(np.sqrt(_variance(one) * _variance(other)))
    by_rank = _solved(one.hermite * other.hermite, seen * whole)
    if one.numbers is None or other.numbers is None:
        return by_rank
    return _balanced(by_rank, one, other, both)


_RHOS: Final = np.linspace(-_MOST, _MOST, 399)
_POWERS: Final = _RHOS[:, None] ** np.arange(1, _TERMS + 1)


def _solved(products: Floats, seen: float) -> float:
    """The hidden correlation at which the sum over k of rho**k * products[k] is as seen."""
    sums = np.maximum.accumulate(_POWERS @ products)
    return float(np.interp(seen, sums, _RHOS))


def _balanced(by_rank: float, one: Scored, other: Scored, both: NDArray[np.bool_]) -> float:
    """Between the correlation of the ranks and that of the numbers, as far from both.

    Where large values come together more, or less, than the ranks tell, no hidden correlation
    gives both.
    """
    assert one.numbers is not None
    assert other.numbers is not None
    left, right = one.numbers[0][one.classes[both]], other.numbers[0][other.classes[both]]
    if left.std() == 0 or right.std() == 0:
        return by_rank
    seen = float(np.corrcoef(left, right)[0, 1])
    products = one.numbers[1] * other.numbers[1] / float(left.std() * right.std())
    worse = np.maximum(np.abs(_POWERS @ products - seen), np.abs(_RHOS - by_rank))
    return float(_RHOS[int(np.argmin(worse))])


def _variance(column: Scored) -> float:
    values = column.rows[column.valid]
    return float(values.var())


def positive_definite(correlations: Floats) -> Floats:
    """The nearest correlation matrix, nearly: negative eigenvalues raised, the diagonal 1."""
    floor = 1e-3
    result = np.round(correlations, 4)
    while float(np.linalg.eigvalsh(result).min()) < 1e-4:
        values, vectors = np.linalg.eigh(result)
        raised = (vectors * np.maximum(values, floor)) @ vectors.T
        scale = np.sqrt(np.diag(raised))
        result = np.round(raised / scale[:, None] / scale[None, :], 4)
        np.fill_diagonal(result, 1.0)
        floor *= 2
    return result


_TRIED: Final = 3
_CLEAR: Final = 3.0
"""A correlation is written where it is so many standard errors from nothing."""


@dataclass(frozen=True, slots=True)
class Correlations:
    """Correlations of the hidden normals of some columns of a table."""

    columns: tuple[str, ...]
    matrix: Floats


def correlate(fields: Sequence[LearnedField]) -> tuple[list[LearnedField], Correlations | None]:
    """The fields with their categories in an order that shows, and their correlations if any."""
    ready: dict[str, Scored] = {
        each.name: scored(each.classes, each.numbers)
        for each in fields
        if each.classes is not None and each.labels is None and each.classes.max() > 0
    }
    done: dict[str, LearnedField] = {}
    for each in fields:
        if each.labels is None:
            continue
        assert each.classes is not None
        order = _order(each, list(ready.values()))
        settings = dict(each.settings)
        settings["values"] = [each.labels[place][0] for place in order]
        settings["weights"] = [int(each.labels[place][1]) for place in order]
        back = np.argsort(order)
        classes = np.where(each.classes >= 0, back[each.classes], -1)
        done[each.name] = LearnedField(each.name, settings, each.comment, classes)
        if len(order) > 1:
            ready[each.name] = scored(classes)
    result = [done.get(each.name, each) for each in fields]
    names = [each.name for each in fields if each.name in ready]
    if len(names) < 2:
        return result, None
    result_matrix = matrix([ready[name] for name in names], _apart(fields, names))
    rows = min(int(ready[name].valid.sum()) for name in names)
    strong = np.abs(result_matrix) >= _CLEAR / np.sqrt(max(rows, 1))
    np.fill_diagonal(strong, val=False)
    chosen = np.flatnonzero(strong.any(axis=1))
    if len(chosen) < 2:
        return result, None
    return result, Correlations(
        tuple(names[place] for place in chosen), result_matrix[np.ix_(chosen, chosen)]
    )


def _apart(fields: Sequence[LearnedField], names: Sequence[str]) -> set[tuple[int, int]]:
    places = {name: place for place, name in enumerate(names)}
    pairs = [
        (places[each.name], places[other])
        for each in fields
        for other in each.apart
        if each.name in places and other in places
    ]
    return {(max(pair), min(pair)) for pair in pairs}


def _order(field: LearnedField, others: Sequence[Scored]) -> NDArray[np.int64]:
    """Categories in the order that shows the most: of their numbers, or of another column's mean.

    Of the orders by the numbers that stand in the categories, and by the mean scores of the
    columns that they tell the most about, the one that has the largest correlations.
    """
    assert field.classes is not None
    assert field.labels is not None
    classes, size = field.classes, len(field.labels)
    options = _by_numbers(field)
    ratios = []
    for place, other in enumerate(others):
        both = (classes >= 0) & other.valid
        if int(both.sum()) < 10:
            continue
        codes, scores = classes[both], other.rows[both]
        counts = np.bincount(codes, minlength=size)
        means = np.bincount(codes, weights=scores, minlength=size) / np.maximum(counts, 1)
        spread = float(np.sum(counts * (means - scores.mean()) ** 2))
        # by chance, each category takes one part of the variance
        ratio = spread / max(float(np.sum((scores - scores.mean()) ** 2)), 1e-12)
        if ratio > 2 * size / len(codes):
            ratios.append((ratio, place, means))
    ratios.sort(key=lambda found: (-found[0], found[1]))
    options += [means for _, _, means in ratios[:_TRIED]]
    if not options:
        return np.arange(size)
    if len(options) == 1:
        return np.argsort(options[0], kind="stable")
    orders = [np.argsort(option, kind="stable") for option in options]
    return max(orders, key=lambda order: _shown(classes, order, options, others))


def _by_numbers(field: LearnedField) -> list[Floats]:
    """The numbers that stand in combinations, of those that differ enough to tell an order."""
    assert field.labels is not None
    labels = [label if isinstance(label, list) else [label] for label, _ in field.labels]
    result = []
    for values in zip(*labels, strict=True):
        known = [value for value in values if value is not None]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
            numbers = np.array([np.nan if value is None else float(value) for value in values])
            if len(np.unique(numbers)) > max(2, len(values) / 4):
                result.append(np.where(np.isnan(numbers), np.nanmean(numbers), numbers))
    return result


def _shown(
    classes: NDArray[np.int64],
    order: NDArray[np.int64],
    options: Sequence[Floats],
    others: Sequence[Scored],
) -> float:
    """The sum of the correlations of an order with the numbers in it and the other columns."""
    step = max(1, len(classes) // 20_000)
    codes = classes[::step]
    known = codes >= 0
    place = np.empty(len(order))
    place[order] = np.arange(len(order))
    ranks = place[codes[known]]
    total = 0.0
    for values in [option[codes[known]] for option in options] + [
        other.rows[::step][known] for other in others
    ]:
        if values.std() > 0 and ranks.std() > 0:
            total += abs(float(np.corrcoef(ranks, values)[0, 1]))
    return total
