"""Fields of a schema file that are learned from the columns of a sample, those of texts in full."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.synth.learn.learned_field import (
    FEWEST_ROWS,
    MOST_CATEGORIES,
    ROOM,
    UUID,
    LearnedField,
    SampleColumn,
    all_match,
    gapless,
    short,
    zipf_exponent,
)
from headrace.synth.learn.number_field import datetime_field, number_field, serial
from headrace.synth.learn.relations import LearnedForeignKey, Relations
from headrace.synth.learn.sample_data import LearningSample
from headrace.synth.learn.shapes import patterns_of, with_room
from headrace.synth.pii import Pii, find_pii

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


def make_field(
    column: SampleColumn,
    relations: Relations,
    relation: LearnedForeignKey | None,
    sample: LearningSample,
) -> LearnedField:
    """The field that gives values like a column's."""
    is_primary = relations.keys.get(column.table) == column.name
    if relation is not None:
        return _foreign_key(column, relation, sample, is_primary=is_primary)
    personal = find_pii(column.table, column.name, column.data, column.beside)
    if is_primary:
        return _key(column, personal)
    kind = column.data.type
    if pa.types.is_null(kind):
        return LearnedField(column.name, {"type": "text", "null_rate": 1}, "no row had a value")
    if personal is not None and personal.kind != "birth_date":
        return _personal(column, personal)
    tag = {"pii": personal.kind} if personal else {}
    if pa.types.is_boolean(kind):
        return _boolean(column)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return datetime_field(column, tag)
    if pa.types.is_string(kind):
        return text_field(column)
    return number_field(column)


def _key(column: SampleColumn, personal: Pii | None) -> LearnedField:
    primary: dict[str, Any] = {"primary_key": True}
    if pa.types.is_integer(column.data.type):
        return serial(column, primary)
    if personal is not None and personal.endless:
        return LearnedField(
            column.name,
            {"type": "unique", "generator": f"faker.{personal.provider}", "pii": personal.kind,
             **primary},
        )  # fmt: skip
    found = unique_text(column, primary)
    if found is not None:
        return found
    return LearnedField(
        column.name, {"type": "uuid", **primary}, "keys of no form that was recognised"
    )


def _foreign_key(
    column: SampleColumn, relation: LearnedForeignKey, sample: LearningSample, *, is_primary: bool
) -> LearnedField:
    parents = len(sample.tables[relation.parent])
    settings: dict[str, Any] = {
        "type": "foreign_key",
        "references": f"{relation.parent}.{relation.parent_column}",
    }
    values = column.values
    counts = np.sort(pc.value_counts(values.combine_chunks()).field("counts").to_numpy())[::-1]
    if is_primary or (column.is_unique and not column.nulls and relation.parent != column.table):
        settings["distribution"] = "cover"
    elif relation.parent != column.table:
        exponent = zipf_exponent(counts, parents)
        if exponent is not None:
            settings |= {"distribution": "zipf", "exponent": exponent}
    settings |= column.nulls
    if relation.parent == column.table:
        settings["optional"] = True
    if is_primary:
        settings["primary_key"] = True
    return LearnedField(column.name, settings)


def _personal(column: SampleColumn, personal: Pii) -> LearnedField:
    tags = {"pii": personal.kind, **column.nulls}
    comment = "looks like personal data by its name: replaced, nothing of it is copied"
    if personal.pattern is not None:
        if pa.types.is_integer(column.data.type):
            digits = len(str(pc.max(pc.abs(column.values)).as_py()))
            bounds = [10 ** (digits - 1), 10**digits - 1]
            return LearnedField(
                column.name, {"type": "numerical", "range": bounds, "round": 0, **tags}, comment
            )
        return LearnedField(
            column.name, {"type": "text", "pattern": personal.pattern, **tags}, comment
        )
    kind = "unique" if personal.endless and column.is_unique else "categorical"
    return LearnedField(
        column.name, {"type": kind, "generator": f"faker.{personal.provider}", **tags}, comment
    )


def _boolean(column: SampleColumn) -> LearnedField:
    share = pc.mean(column.values.cast(pa.int8())).as_py()
    # the engine draws true first: true is class 0
    false = pc.invert(column.data).cast(pa.int64())
    return LearnedField(
        column.name,
        {"type": "boolean", "probability": short(share), **column.nulls},
        classes=gapless(pc.fill_null(false, -1).to_numpy()),
    )
