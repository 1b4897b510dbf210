"""Fields of a schema file that are learned from the columns of a sample."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.synth.learn.learned_field import (
    LearnedField,
    SampleColumn,
    gapless,
    short,
    zipf_exponent,
)
from headrace.synth.learn.number_field import datetime_field, number_field, serial
from headrace.synth.learn.pii import Pii, find_pii
from headrace.synth.learn.relations import Relation, Relations
from headrace.synth.learn.sample_data import LearningSample
from headrace.synth.learn.text_field import text_field, unique_text


def make_field(
    column: SampleColumn, relations: Relations, relation: Relation | None, sample: LearningSample
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
    column: SampleColumn, relation: Relation, sample: LearningSample, *, is_primary: bool
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
