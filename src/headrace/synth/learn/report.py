"""The report of ``headrace learn``: how good a model is, and how private."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.synth.learn.model import FittedModel, draw, fit, quiet, shape
from headrace.synth.learn.relations import LearnedForeignKey, Relations, find_orphans
from headrace.synth.learn.sample_data import LearningSample

_MOST_ROWS: Final = 2_000
"""Of each half and of the synthetic rows, so many are compared with each other."""
_FEWEST_ROWS: Final = 20
_COMPARED: Final = frozenset({"numerical", "categorical", "datetime"})


def compared(model: FittedModel, table: str) -> list[str]:
    """The columns that say something of a row: no keys, no personal data, no free text."""
    own = model.relations.of(table)
    return [
        name
        for name, kind in model.kinds[table].items()
        if kind["sdtype"] in _COMPARED and name not in own
    ]


def closer_shares(
    sample: LearningSample, relations: Relations, model: FittedModel, seed: int
) -> dict[str, tuple[float, int]]:
    """By table, the share of rows that are closer to a row the model saw, and of how many rows.

    The model is fitted on one half of the sample, and the other half is held out.
    """
    halves = split(sample, relations, seed=seed)
    if halves is None:
        return {}
    seen, unseen, divided = halves
    drawn = draw(fit(seen, relations, seed=seed), seed=seed)
    result = {}
    for place, name in enumerate(divided):
        columns = compared(model, name)
        tables = [seen.tables[name], unseen.tables[name], drawn[name]]
        if not columns or min(len(table) for table in tables) < _FEWEST_ROWS:
            continue
        random = np.random.default_rng([seed, place])
        # both halves have as many rows, or the larger one would be closer by chance
        size = min(len(tables[0]), len(tables[1]), _MOST_ROWS)
        chosen = [_some(table.select(columns), size, random) for table in tables[:2]]
        made = _some(tables[2].select(columns), min(len(tables[2]), _MOST_ROWS), random)
        kinds = [model.kinds[name][column]["sdtype"] for column in columns]
        result[name] = (closer_share(chosen[0], chosen[1], made, kinds), len(made))
    return result


def split(
    sample: LearningSample, relations: Relations, *, seed: int = 0
) -> tuple[LearningSample, LearningSample, tuple[str, ...]] | None:
    """Two halves in which every foreign key holds.

    The table at the top of the longest chain, by rows, is divided at random, and the rows of the
    tables below follow their parents; rows with parents in both halves are in none. Tables that
    are not below it are whole in both.

    Returns:
        One half, the other, and the tables that are divided; None where a half would be too
        small to learn from.
    """
    tables = sample.tables
    random = np.random.default_rng(seed)
    divided: set[str] = set()
    for top in _tops(sample, relations):
        if not divided & _below(top, relations):
            divided |= _below(top, relations)
    sides: dict[str, NDArray[np.int8]] = {}
    for name in _parents_first(divided, relations):
        own = [each for each in relations.relations if each.table == name
               and each.parent in divided and each.parent != name]  # fmt: skip
        side = np.full(len(tables[name]), -1, dtype=np.int8)
        is_lost = np.zeros(len(side), dtype=bool)
        for each in own:
            theirs = _side_of_parent(sample, each, sides)
            is_lost |= (theirs == 2) | ((side >= 0) & (theirs >= 0) & (side != theirs))
            side = np.where(theirs >= 0, theirs, side)
        free = side < 0
        # exactly half, not a coin for each row
        coins = random.permutation(np.arange(int(free.sum())) % 2)
        side[free] = coins
        sides[name] = np.where(is_lost, 2, side).astype(np.int8)
    halves = [
        LearningSample(
            {
                name: data.filter(pa.array(sides[name] == half)) if name in sides else data
                for name, data in tables.items()
            }
        )
        for half in (0, 1)
    ]
    if any(len(half.tables[name]) < _FEWEST_ROWS for half in halves for name in divided):
        return None
    return (
        _with_known_parents(halves[0], relations),
        _with_known_parents(halves[1], relations),
        tuple(sorted(divided)),
    )


def _tops(sample: LearningSample, relations: Relations) -> list[str]:
    """Tables without parents; those with the most rows below them first."""
    children = {each.table for each in relations.relations if each.table != each.parent}
    tops = [name for name in sample.tables if name not in children]
    return sorted(
        tops,
        key=lambda top: (
            -max(len(sample.tables[name]) for name in _below(top, relations)),
            -len(sample.tables[top]),
        ),
    )


def _below(top: str, relations: Relations) -> set[str]:
    seen: set[str] = set()
    stack = [top]
    while stack:
        here = stack.pop()
        if here not in seen:
            seen.add(here)
            stack += [each.table for each in relations.relations if each.parent == here]
    return seen


def _parents_first(names: set[str], relations: Relations) -> list[str]:
    order: list[str] = []
    rest = sorted(names)
    while rest:
        ready = [
            name
            for name in rest
            if not any(
                each.table == name and each.parent in rest and each.parent != name
                for each in relations.relations
            )
        ]
        order += ready
        rest = [name for name in rest if name not in ready]
    return order


def _side_of_parent(
    sample: LearningSample, relation: LearnedForeignKey, sides: Mapping[str, NDArray[np.int8]]
) -> NDArray[np.int8]:
    """The half of each row's parent: 0, 1, 2 for none, -1 where there is no parent."""
    column = sample.tables[relation.table].column(relation.column)
    key = sample.tables[relation.parent].column(relation.parent_column)
    place = pc.index_in(column, value_set=key.combine_chunks())
    known = pc.fill_null(place, -1).to_numpy()
    result = sides[relation.parent][np.maximum(known, 0)]
    return np.where(known >= 0, result, -1).astype(np.int8)


def _with_known_parents(half: LearningSample, relations: Relations) -> LearningSample:
    """A table that points at itself: null where the row is in the other half."""
    tables = dict(half.tables)
    for each in relations.relations:
        if each.table == each.parent:
            data = tables[each.table]
            column = data.column(each.column)
            key = data.column(each.parent_column).combine_chunks()
            known = pc.is_in(column, value_set=key)
            cleaned = pc.if_else(known, column, pa.scalar(None, column.type))
            tables[each.table] = data.set_column(
                data.column_names.index(each.column), each.column, cleaned
            )
    return LearningSample(tables)


def _some(table: pa.Table, size: int, random: Any) -> pa.Table:
    if len(table) <= size:
        return table
    return table.take(pa.array(np.sort(random.choice(len(table), size, replace=False))))


def closer_share(seen: pa.Table, unseen: pa.Table, made: pa.Table, kinds: list[str]) -> float:
    """The share of synthetic rows that are closer to a seen row than to an unseen one.

    The distance of two rows is the sum over their columns: of numbers and timestamps the difference
    as a share of the range, of categories 0 if equal and 1 if not, of null and a value 1 (Gower,
    "A general coefficient of similarity", 1971). Ties count half.

    Args:
        seen: rows the model was fitted on.
        unseen: as many that it was not.
        made: synthetic rows.
        kinds: of each column, ``categorical`` or not.
    """
    near, far = np.empty(len(made)), np.empty(len(made))
    columns = [
        _comparable([table.column(place) for table in (seen, unseen, made)], kind)
        for place, kind in enumerate(kinds)
    ]
    for first in range(0, len(made), 250):
        rows = slice(first, first + 250)
        for result, side in ((near, 0), (far, 1)):
            distance = np.zeros((len(made.slice(first, 250)), len((seen, unseen)[side])))
            for values, is_category in columns:
                distance += _distance(values[2][rows], values[side], is_category=is_category)
            result[rows] = distance.min(axis=1)
    ties = np.isclose(near, far, rtol=0, atol=1e-12)
    return round(float(np.mean(np.where(ties, 0.5, near < far))), 4)


def _comparable(
    columns: list[pa.ChunkedArray], kind: str
) -> tuple[list[NDArray[np.float64]], bool]:
    """Each column as numbers from 0 to 1, or as codes; NaN for null."""
    if kind == "categorical":
        values = pa.chunked_array([chunk for column in columns for chunk in column.chunks])
        known = values.drop_null().unique()
        codes = [pc.index_in(column, value_set=known) for column in columns]
        return [_floats(code) for code in codes], True
    numbers = []
    for column in columns:
        if pa.types.is_date(column.type):
            column = column.cast(pa.int32())  # noqa: PLW2901
        elif pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())  # noqa: PLW2901
        numbers.append(_floats(column))
    both = np.concatenate(numbers[:2])
    low, high = np.nanmin(both), np.nanmax(both)
    return [(values - low) / max(high - low, 1e-300) for values in numbers], False


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    result: NDArray[np.float64] = pc.fill_null(
        column.cast(pa.float64(), safe=False), float("nan")
    ).to_numpy()
    return result


def _distance(
    some: NDArray[np.float64], others: NDArray[np.float64], *, is_category: bool
) -> NDArray[np.float64]:
    if is_category:
        result = (some[:, None] != others[None, :]).astype(np.float64)
    else:
        result = np.minimum(np.abs(some[:, None] - others[None, :]), 1.0)
    one_is_null = np.isnan(some)[:, None] != np.isnan(others)[None, :]
    both_null = np.isnan(some)[:, None] & np.isnan(others)[None, :]
    return np.where(both_null, 0.0, np.where(one_is_null, 1.0, result))


_FEWEST_COLUMNS: Final = 3
"""Rows of fewer columns are equal by chance; they are counted, and not judged."""


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """An exact check: the model keeps what the sample promises, or not.

    Attributes:
        name: ``key``, ``relation``, ``range``, ``categories``, ``copies`` or ``distance``.
        subject: a column, ``orders.customer_id``, or a table.
        passed: whether it holds.
        message: the figures.
    """

    name: Literal["key", "relation", "range", "categories", "copies", "distance"]
    subject: str
    passed: bool
    message: str


@dataclass(frozen=True, slots=True)
class FittedModelReport:
    """What is known of a model.

    Attributes:
        quality: SDV's quality score, 0 to 1; None where no column can be compared.
        shapes: how alike the distribution of each column is, 0 to 1, by ``table.column``.
        closer: by table, the share of synthetic rows that lie closer to a row the model was
            fitted on than to one it never saw; 0.5 is ideal, 1 is a copy. It is that of a model
            fitted on one half of the sample, the other half held out.
        copies: by table, how many synthetic rows are equal to a row of the sample in all columns
            but keys, personal data and free text; judged from three such columns on.
        checks: the exact checks, and the verdict on the measures of privacy.
    """

    quality: float | None
    shapes: Mapping[str, float]
    closer: Mapping[str, float]
    copies: Mapping[str, int]
    checks: tuple[ModelCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)


def report(
    sample: LearningSample,
    relations: Relations,
    model: FittedModel,
    *,
    seed: int = 0,
    held_out: bool = True,
) -> FittedModelReport:
    """Compare rows drawn from a model with the sample it was fitted on.

    Args:
        sample: the tables.
        relations: their keys and relations.
        model: fitted on all of the sample.
        seed: of the draw and of the halves.
        held_out: whether to fit a second model, on one half, for the distance to the closest
            record; it takes about half as long as the first.

    Raises:
        SynthError: SDV cannot sample, or cannot learn from half of the sample.
    """
    drawn = draw(model, seed=seed)
    quality, shapes = _quality(sample, drawn, model)
    checks = [*_keys(drawn, relations), *_values(sample, drawn, model)]
    copies: dict[str, int] = {}
    for name, data in sample.tables.items():
        columns = compared(model, name)
        if columns:
            copies[name], check = _copies(name, data.select(columns), drawn[name].select(columns))
            if len(columns) >= _FEWEST_COLUMNS:
                checks.append(check)
    closer: dict[str, float] = {}
    if held_out:
        for name, (share, rows) in closer_shares(sample, relations, model, seed).items():
            closer[name] = share
            # half of the rows by chance, give or take three standard errors
            limit = 0.5 + max(0.05, 1.5 / float(np.sqrt(rows)))
            checks.append(
                ModelCheck("distance", name, share <= limit,
                      f"{share:.3f} of {rows} rows are closer to a row the model saw than to one "
                      f"held out (0.5 is ideal, at most {limit:.3f})")
            )  # fmt: skip
    return FittedModelReport(quality, shapes, closer, copies, tuple(checks))


# quality


def _quality(
    sample: LearningSample, drawn: Mapping[str, pa.Table], model: FittedModel
) -> tuple[float | None, dict[str, float]]:
    """SDV's score: the mean of how alike columns, pairs of columns and relations are."""
    known = {name: shape(sample.tables[name], model, name) for name in sample.tables}
    made = {name: shape(drawn[name], model, name) for name in sample.tables}
    names = [name for name in known if not known[name].empty]
    if not names:
        return None, {}
    metadata = model.metadata(known)
    shapes: dict[str, float] = {}
    with quiet():
        if len(names) == 1:
            from sdmetrics.reports.single_table import QualityReport

            single: Any = QualityReport()
            single.generate(known[names[0]], made[names[0]], metadata["tables"][names[0]],
                            verbose=False)  # fmt: skip
            details = single.get_details("Column Shapes").assign(Table=names[0])
            score = float(single.get_score())
        else:
            from sdmetrics.reports.multi_table import QualityReport as Related

            several: Any = Related()
            several.generate(known, made, metadata, verbose=False)
            details = several.get_details("Column Shapes")
            score = float(several.get_score())
    for row in details.to_dict("records"):
        if np.isfinite(row["Score"]):
            shapes[f"{row['Table']}.{row['Column']}"] = round(float(row["Score"]), 4)
    return (round(score, 4) if np.isfinite(score) else None), shapes


# exact checks


def _keys(drawn: Mapping[str, pa.Table], relations: Relations) -> list[ModelCheck]:
    checks = []
    for table, name in relations.keys.items():
        column = drawn[table].column(name)
        distinct = pc.count_distinct(column).as_py()
        passed = column.null_count == 0 and distinct == len(column)
        message = f"{distinct} different values in {len(column)} rows, {column.null_count} null"
        checks.append(ModelCheck("key", f"{table}.{name}", passed, message))
    for each in relations.relations:
        lost = find_orphans(
            drawn[each.table].column(each.column), drawn[each.parent].column(each.parent_column)
        )
        message = f"{lost} of {len(drawn[each.table])} rows point at no {each.parent}"
        checks.append(ModelCheck("relation", f"{each.table}.{each.column}", lost == 0, message))
    return checks


def _values(
    sample: LearningSample, drawn: Mapping[str, pa.Table], model: FittedModel
) -> list[ModelCheck]:
    checks = []
    for table, kinds in model.kinds.items():
        for name, kind in kinds.items():
            known = sample.tables[table].column(name)
            made = drawn[table].column(name)
            subject = f"{table}.{name}"
            if kind["sdtype"] in {"numerical", "datetime"}:
                checks.append(_range(subject, known, made))
            elif kind["sdtype"] == "categorical":
                strange = find_orphans(made, known)
                message = f"{strange} rows hold a value that is not in the sample"
                checks.append(ModelCheck("categories", subject, strange == 0, message))
    return checks


def _range(subject: str, known: pa.ChunkedArray, made: pa.ChunkedArray) -> ModelCheck:
    ends = pc.min_max(known)
    outside = pc.or_(pc.less(made, ends["min"]), pc.greater(made, ends["max"]))
    count = pc.sum(outside).as_py() or 0
    message = f"{count} rows outside {ends['min'].as_py()} to {ends['max'].as_py()}"
    return ModelCheck("range", subject, count == 0, message)


# privacy


def _copies(name: str, known: pa.Table, made: pa.Table) -> tuple[int, ModelCheck]:
    """Rows that are equal to a real one; as many as the sample has twins are to be expected."""
    names = known.column_names
    counted = known.group_by(names).aggregate([([], "count_all")])
    twins = sum(count for count in counted.column("count_all").to_pylist() if count > 1)
    real = {tuple(row.values()) for row in counted.select(names).to_pylist()}
    copies = sum(tuple(row.values()) in real for row in made.to_pylist())
    expected = twins / len(known)
    share = copies / max(1, len(made))
    limit = expected + max(0.01, 3 * float(np.sqrt(expected * (1 - expected) / len(known))))
    message = (
        f"{copies} of {len(made)} rows are equal to a real one ({share:.1%}); in the sample "
        f"{expected:.1%} of the rows have a twin"
    )
    return copies, ModelCheck("copies", name, share <= limit, message)
