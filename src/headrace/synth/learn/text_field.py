"""Fields of texts that are learned from a column: categories, codes, free text."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc

from headrace.synth.learn.learned_field import (
    FEWEST_ROWS,
    MOST_CATEGORIES,
    ROOM,
    UUID,
    LearnedField,
    SampleColumn,
    all_match,
    zipf_exponent,
)
from headrace.synth.learn.number_field import serial
from headrace.synth.learn.shapes import patterns_of, with_room

_MANY: Final = 200
_COVERED: Final = 0.95
"""Many codes of which the most frequent cover less than this are not listed: there are new ones."""


def unique_text(column: SampleColumn, more: Mapping[str, Any]) -> LearnedField | None:
    values = column.values
    if all_match(values, UUID):
        return LearnedField(column.name, {"type": "uuid", **more})
    if all_match(values, r"^[1-9][0-9]{0,17}$"):
        return serial(column, more, as_text=True)
    patterns = patterns_of(values.to_pylist())
    if patterns is None:
        return None
    roomy = with_room(patterns, len(column.data) * ROOM)
    comment = "" if roomy.keys() == patterns.keys() else "the last pattern is for more rows"
    return LearnedField(column.name, {"type": "unique", "patterns": roomy, **more}, comment)


def text_field(column: SampleColumn) -> LearnedField:
    values = column.values
    total = len(values)
    if column.is_unique or total < FEWEST_ROWS:
        if total >= FEWEST_ROWS:
            found = unique_text(column, column.nulls)
            if found is not None:
                return found
        return _words(column)
    counted = pc.value_counts(values.combine_chunks())
    labels = counted.field("values").to_pylist()
    counts = counted.field("counts").to_pylist()
    ranked = sorted(zip(labels, counts, strict=True), key=lambda pair: (-pair[1], pair[0]))
    kept = [pair for pair in ranked if pair[1] >= FEWEST_ROWS][:MOST_CATEGORIES]
    share = sum(count for _, count in kept) / total
    words = sum(len(label.split()) for label in labels) / len(labels)
    many = len(labels) > _MANY and share < _COVERED
    if (many or share < 0.5) and (new := _codes(column, labels, counts)) is not None:
        return new
    if share < 0.5 or (words > 8 and len(labels) > 50):
        return _words(column)
    lost = len(ranked) - len(kept)
    comment = f"{lost} rarer values are left out" if lost else ""
    place = {label: number for number, (label, _) in enumerate(kept)}
    codes = np.array([place.get(value, -1) for value in column.data.to_pylist()], dtype=np.int64)
    settings = {"type": "categorical", **column.nulls}
    return LearnedField(
        column.name, settings, comment, classes=codes,
        labels=tuple((label, float(count)) for label, count in kept),
    )  # fmt: skip


def _words(column: SampleColumn) -> LearnedField:
    counts = [len(text.split()) for text in column.values.to_pylist()]
    low, high = (int(number) for number in np.quantile(counts, [0.05, 0.95]))
    low = min(max(1, low), 200)
    words = [low, min(max(low, high), 200)]
    return LearnedField(
        column.name,
        {"type": "text", "words": words, **column.nulls},
        "free text: as many words, none of the sample's",
    )


def _codes(
    column: SampleColumn, labels: Sequence[str], counts: Sequence[int]
) -> LearnedField | None:
    """Codes that come more than once: as many new ones, as unevenly often."""
    patterns = patterns_of(labels, counts)
    if patterns is None:
        return None
    distinct = len(labels)
    roomy = with_room(patterns, distinct)
    settings: dict[str, Any] = {"type": "text", "patterns": roomy}
    if distinct < 0.9 * len(column.values):
        settings["distinct"] = distinct
        exponent = zipf_exponent(np.sort(np.array(counts))[::-1], distinct)
        if exponent is not None:
            settings["exponent"] = exponent
    return LearnedField(column.name, {**settings, **column.nulls}, "new codes of the same shapes")
