"""Columns of a sample as numbers, and what an expression of a schema file can name."""

import keyword
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.synth.learn.combinations import Categories
from headrace.synth.learn.dependencies import Numbers
from headrace.synth.learn.lattice import Encoding
from headrace.synth.learn.learned_field import LearnedField
from headrace.synth.learn.number_field import decimals_of

_RESERVED: Final = frozenset({"null", "true", "false", "number"})


def encoded(encoding: Encoding) -> pa.ChunkedArray:
    numbers = pa.array(encoding.numbers, from_pandas=True)
    if encoding.written_as == "date":
        return pa.chunked_array([numbers.cast(pa.int32()).view(pa.date32())])
    return pa.chunked_array([numbers.cast(pa.int64())])


def may_be_encoded(field: LearnedField) -> bool:
    """Whether a column is neither a key nor personal data."""
    return "pii" not in field.settings and field.settings["type"] in {
        "categorical", "numerical", "text",
    }  # fmt: skip


def as_numbers(name: str, column: pa.ChunkedArray) -> Numbers | None:
    kind = column.type
    if is_time(kind):
        is_date = pa.types.is_date(kind)
        raw = column.cast(pa.int32()).cast(pa.float64()) if is_date else (
            column.cast(pa.int64()).cast(pa.float64(), safe=False)
        )  # fmt: skip
        data = pc.fill_null(raw, float("nan")).to_numpy()
        if is_date:
            return Numbers(name, name, data * 86_400_000_000, "date", 0)
        return Numbers(name, name, data, "timestamp", 0)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return None
    data = pc.fill_null(column.cast(pa.float64(), safe=False), float("nan")).to_numpy()
    if np.nanmax(np.abs(data)) > 1e15:
        return None
    if pa.types.is_integer(kind):
        return Numbers(name, name, data, "integer", 0)
    if pa.types.is_decimal(kind):
        return Numbers(name, name, data, "decimal", kind.scale)
    return Numbers(name, name, data, "number", decimals_of(data[~np.isnan(data)]))


def is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def is_word(name: str) -> bool:
    """Whether an expression can name a column."""
    return name.isidentifier() and not keyword.iskeyword(name) and name not in _RESERVED


def decides(code: Categories, other: Categories) -> bool:
    pairs = np.unique(code.codes * len(other.values) + other.codes)
    return len(pairs) == len(np.unique(code.codes))
