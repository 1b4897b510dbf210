"""Correlations of a table's columns, and the order of categories that shows them.

A column is a rising step function of a hidden standard normal number: its classes in order (the
values of a number, the categories as they stand in the schema file) cut the normal distribution
where their cumulative shares say. Between two such columns the correlation of the scores is
sum over k of rho**k * a_k * b_k with their Hermite coefficients (Mehler's formula, 1866; see
https://en.wikipedia.org/wiki/Mehler_kernel), so the hidden ``rho`` is found by halving. Between
columns of many values it is the correlation of the normal scores itself; between categories,
where that comes out too small, it is the larger one by which the engine meets it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from headrace.synth import maths
from headrace.synth.learn.field import LearnedField

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
    """

    classes: NDArray[np.int64]
    scores: Floats
    hermite: Floats

    @property
    def rows(self) -> Floats:
        """The score of each row; 0 for null."""
        return np.where(self.classes >= 0, self.scores[self.classes], 0.0)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """The rows that are not null."""
        return self.classes >= 0


def scored(classes: NDArray[np.int64]) -> Scored:
    """The scores of a column whose classes are numbered from 0 without gaps."""
    counts = np.bincount(classes[classes >= 0]).astype(np.float64)
    ends = np.cumsum(counts) / counts.sum()
    scores = maths.normal_quantile(np.clip(ends - counts / counts.sum() / 2, 1e-12, 1 - 1e-12))
    edges = maths.normal_quantile(np.clip(ends[:-1], 1e-12, 1 - 1e-12))
    return Scored(classes, scores, _hermite(scores, edges))


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


def matrix(columns: list[Scored]) -> Floats:
    """The correlation matrix of the hidden normals, positive definite, to four decimals."""
    size = len(columns)
    result = np.eye(size)
    for one in range(size):
        for other in range(one):
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
    products = one.hermite * other.hermite
    whole = float(np.sqrt(_variance(one) * _variance(other)))
    powers = np.arange(1, _TERMS + 1)
    low, high = -_MOST, _MOST
    for _ in range(40):
        middle = (low + high) / 2
        if float(np.sum(products * middle**powers)) / whole < seen:
            low = middle
        else:
            high = middle
    return (low + high) / 2


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
        each.name: scored(each.classes)
        for each in fields
        if each.classes is not None and each.labels is None and each.classes.max() > 0
    }
    done: dict[str, LearnedField] = {}
    for each in fields:
        if each.labels is None:
            continue
        assert each.classes is not None
        order = _order(each.classes, len(each.labels), list(ready.values()))
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
    correlations = matrix([ready[name] for name in names])
    rows = min(int(ready[name].valid.sum()) for name in names)
    strong = np.abs(correlations) >= _CLEAR / np.sqrt(max(rows, 1))
    np.fill_diagonal(strong, val=False)
    chosen = np.flatnonzero(strong.any(axis=1))
    if len(chosen) < 2:
        return result, None
    return result, Correlations(
        tuple(names[place] for place in chosen), correlations[np.ix_(chosen, chosen)]
    )


def _order(classes: NDArray[np.int64], size: int, others: Sequence[Scored]) -> NDArray[np.int64]:
    """Categories by the mean score of the column that they tell the most about."""
    best: tuple[float, NDArray[np.float64]] | None = None
    for other in others:
        both = (classes >= 0) & other.valid
        if int(both.sum()) < 10:
            continue
        codes, scores = classes[both], other.rows[both]
        counts = np.bincount(codes, minlength=size)
        means = np.bincount(codes, weights=scores, minlength=size) / np.maximum(counts, 1)
        spread = float(np.sum(counts * (means - scores.mean()) ** 2))
        # by chance, each category takes one part of the variance
        ratio = spread / max(float(np.sum((scores - scores.mean()) ** 2)), 1e-12)
        if ratio > 2 * size / len(codes) and (best is None or ratio > best[0]):
            best = (ratio, means)
    if best is None:
        return np.arange(size)
    return np.argsort(best[1], kind="stable")
