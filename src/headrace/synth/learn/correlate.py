"""The correlations of a table's columns, and the order of categories that shows them."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from headrace.synth.learn.copula import Scored, matrix, scored
from headrace.synth.learn.field import Field
from headrace.synth.learn.flow import flow, number_of

_CLEAR: Final = 3.0
"""A correlation is written where it is so many standard errors from nothing."""


def correlate(fields: Sequence[Field]) -> tuple[list[Field], list[str]]:
    """The fields, their categories in an order that shows, and the lines of the correlation."""
    ready: dict[str, Scored] = {
        each.name: scored(each.classes)
        for each in fields
        if each.classes is not None and each.labels is None and each.classes.max() > 0
    }
    done: dict[str, Field] = {}
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
        done[each.name] = Field(each.name, settings, each.comment, classes)
        if len(order) > 1:
            ready[each.name] = scored(classes)
    result = [done.get(each.name, each) for each in fields]
    names = [each.name for each in fields if each.name in ready]
    if len(names) < 2:
        return result, []
    correlations = matrix([ready[name] for name in names])
    rows = min(int(ready[name].valid.sum()) for name in names)
    strong = np.abs(correlations) >= _CLEAR / np.sqrt(max(rows, 1))
    np.fill_diagonal(strong, val=False)
    chosen = np.flatnonzero(strong.any(axis=1))
    if len(chosen) < 2:
        return result, []
    lines = ["    correlation:", f"      columns: {flow([names[place] for place in chosen])}"]
    lines.append("      matrix:")
    lines += [
        f"        - {flow([number_of(value, None) for value in correlations[place, chosen]])}"
        for place in chosen
    ]
    return result, lines


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
