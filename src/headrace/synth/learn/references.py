"""Tables of few rows that many rows refer to: their keys are kept, so that codes stay."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.synth.learn.learned_field import FEWEST_ROWS
from headrace.synth.learn.pii import find_pii, is_about_people
from headrace.synth.learn.relations import Relation, Relations
from headrace.synth.learn.sample_data import LearningSample
from headrace.synth.learn.shapes import patterns_of, with_room
from headrace.synth.patterns import MARKS, capacity, fill

MOST_ROWS: Final = 5_000
MOST_KEYS: Final = 500
"""A column that refers to more different rows is drawn as a foreign key."""
_REFERRING: Final = 20
"""So many rows refer to each key, on average."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A table whose keys are listed.

    Attributes:
        keys: of all rows, in their order: those that rows refer to as they are, others new.
        values: other columns that are listed, too: of tables that are referred to as a whole.
    """

    keys: tuple[Any, ...]
    values: Mapping[str, tuple[Any, ...]]


def find_references(sample: LearningSample, relations: Relations) -> dict[str, Reference]:
    """The tables whose keys are listed, by name; none about people or with personal data."""
    result = {}
    for name, key in relations.keys.items():
        data = sample.tables[name]
        referring = [each for each in relations.relations
                     if each.parent == name and is_reference(sample, each)]  # fmt: skip
        if not referring or len(data) > MOST_ROWS or is_about_people(name):
            continue
        columns = tuple(data.column_names)
        if any(find_pii(name, each, data.column(each), columns) for each in columns):
            continue
        keys = data.column(key).combine_chunks()
        counts = np.zeros(len(keys), dtype=np.int64)
        for each in referring:
            places = places_of(sample, each)
            counts += np.bincount(places[places >= 0], minlength=len(keys))
        known = counts >= FEWEST_ROWS
        listed = keys.to_pylist()
        if not known.all() and pa.types.is_string(keys.type):
            new = _new_keys(listed, known)
            if new is None:
                continue
            listed = new
        whole = bool(known.all()) and len(data) <= MOST_KEYS
        own = relations.of(name)
        result[name] = Reference(
            tuple(listed),
            {
                each: tuple(data.column(each).to_pylist())
                for each in columns
                if whole and each != key and each not in own and _is_listable(data.column(each))
            },
        )
    return result


def is_reference(sample: LearningSample, relation: Relation) -> bool:
    """Whether a foreign key has so few different values that these are categories."""
    column = sample.tables[relation.table].column(relation.column)
    distinct = pc.count_distinct(column).as_py()
    return bool(
        relation.table != relation.parent
        and 0 < distinct <= MOST_KEYS
        and len(column) - column.null_count >= _REFERRING * distinct
    )


def places_of(sample: LearningSample, relation: Relation) -> Any:
    """The row of the parent that each row refers to, -1 for null and orphans; int64."""
    column = sample.tables[relation.table].column(relation.column)
    keys = sample.tables[relation.parent].column(relation.parent_column).combine_chunks()
    places = pc.index_in(column, value_set=keys)
    return np.where(pc.is_null(column).to_numpy(), -1, pc.fill_null(places, -1).to_numpy()).astype(
        np.int64
    )


def _is_listable(column: pa.ChunkedArray) -> bool:
    kind = column.type
    return bool(
        pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
    )  # fmt: skip


def _new_keys(keys: list[str], known: Any) -> list[str] | None:
    """The keys, but of rows that few refer to, new ones of the same shapes."""
    patterns = patterns_of(keys)
    if patterns is None:
        return None
    roomy = with_room(patterns, 10 * len(keys))
    taken = {key for key, is_known in zip(keys, known, strict=True) if is_known}
    real = set(keys)
    random = np.random.default_rng(len(keys))
    weights = np.array(list(roomy.values()), dtype=np.float64)
    result = []
    for key, is_known in zip(keys, known, strict=True):
        if is_known:
            result.append(key)
            continue
        for attempt in range(200):
            place = random.choice(len(weights), p=weights / weights.sum())
            pattern = list(roomy)[-1 if attempt > 100 else place]
            number = int(random.integers(0, min(capacity(pattern, MARKS), 2**62)))
            new = fill(pattern, np.array([number]), MARKS)[0].as_py()
            if new not in taken and (new not in real or attempt > 50):
                break
        else:
            return None
        taken.add(new)
        result.append(new)
    return result
