"""The report of ``headrace learn``: how good a model is, and how private."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.synth.learn.model import Model, draw, quiet, shape
from headrace.synth.learn.privacy import closer_shares, compared
from headrace.synth.learn.relations import Relations, find_orphans
from headrace.synth.learn.sample_data import LearningSample

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
class ModelReport:
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
    model: Model,
    *,
    seed: int = 0,
    held_out: bool = True,
) -> ModelReport:
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
    return ModelReport(quality, shapes, closer, copies, tuple(checks))


# quality


def _quality(
    sample: LearningSample, drawn: Mapping[str, pa.Table], model: Model
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
    sample: LearningSample, drawn: Mapping[str, pa.Table], model: Model
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
