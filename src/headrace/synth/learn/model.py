"""A model that SDV fits: a Gaussian copula for one table, HMA for related ones.

SDV is licensed under the Business Source License 1.1: use within an organisation is free,
offering it to others as a service is not.
"""

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from headrace.extras import how_to_install
from headrace.formatting import one_line
from headrace.libraries import sdv as libraries_sdv
from headrace.synth.errors import SynthError
from headrace.synth.learn.learned_field import LearnedField
from headrace.synth.learn.relations import LearnedForeignKey, Relations
from headrace.synth.learn.sample_data import LearningSample
from headrace.synth.learn.to_schema import fields_of
from headrace.synth.pii import Pii, find_pii

_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_CLASSES: Final = {
    "#": "[0-9]", "?": "[A-Z]", "&": "[a-z]", "*": "[A-Z0-9]", "%": "[a-z0-9]", "~": "[0-9a-f]",
}  # fmt: skip
_LOGGERS: Final = (
    "sdv", "rdt", "copulas", "SingleTableSynthesizer", "MultiTableSynthesizer",
)  # fmt: skip
_PROVIDERS: Final = {
    "phone": "phone_number",
    "ssn": "ssn",
    "iban": "iban",
    "passport": "passport_number",
    "card_number": "credit_card_number",
}
"""The Faker providers that SDV takes for what the schema file has patterns."""


@dataclass(frozen=True, slots=True)
class FittedTables:
    """Tables that are related, and the synthesizer that SDV fitted on them.

    Attributes:
        tables: their names.
        synthesizer: SDV's; None where a table has nothing but what is filled in afterwards.
    """

    tables: tuple[str, ...]
    synthesizer: Any


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A fitted model.

    Attributes:
        parts: one for each group of related tables.
        schemas: the Arrow schema of each table, columns in the order of the sample.
        rows: how many rows each table of the sample had.
        relations: keys and relations.
        kinds: what each column is to SDV, by table and column.
    """

    parts: tuple[FittedTables, ...]
    schemas: Mapping[str, pa.Schema]
    rows: Mapping[str, int]
    relations: Relations
    kinds: Mapping[str, Mapping[str, Mapping[str, Any]]]

    def metadata(self, frames: Mapping[str, Any]) -> dict[str, Any]:
        """SDV's metadata of some tables, as a dictionary."""
        return _metadata(frames, self.relations, self.kinds)


def require_sdv() -> None:
    """Raise a ``SynthError`` that says how to install SDV, if it is missing."""
    try:
        with quiet():
            import sdv  # noqa: F401
    except ImportError as error:
        raise SynthError(
            f"a model takes SDV, which is not installed: run `{how_to_install('learn')}`; or learn "
            "a schema file without --sdv, which takes nothing more"
        ) from error


def fit(sample: LearningSample, relations: Relations, *, seed: int = 0) -> FittedModel:
    """Fit SDV on a sample.

    Texts that fewer than three rows hold, and free text, are not learned; personal data is
    replaced by Faker.

    Args:
        sample: the tables.
        relations: their keys and relations.
        seed: of the little that is drawn here.

    Raises:
        SynthError: SDV is not installed, or cannot learn this sample; says why.
    """
    require_sdv()
    kinds = {name: _kinds(sample, relations, name) for name in sample.tables}
    frames = {
        name: _frame(data, kinds[name], np.random.default_rng([seed, place]))
        for place, (name, data) in enumerate(sample.tables.items())
    }
    parts = []
    for group in _groups(sample, relations):
        learned = {name: frames[name] for name in group}
        metadata = _metadata(learned, relations, kinds)
        parts.append(FittedTables(group, _fitted(learned, metadata, seed)))
    return FittedModel(
        tuple(parts),
        {name: data.schema for name, data in sample.tables.items()},
        {name: len(data) for name, data in sample.tables.items()},
        relations,
        kinds,
    )


def draw(model: FittedModel, *, scale: float = 1.0, seed: int = 0) -> dict[str, pa.Table]:
    """Sample from a model.

    Args:
        model: as fitted or loaded.
        scale: multiplies the rows of the sample; related tables come close to it.
        seed: the same one gives the same rows with the same versions of SDV and NumPy.

    Returns:
        The tables by name, with the columns and types of the sample.

    Raises:
        SynthError: the scale is not above 0, or SDV cannot give so many rows.
    """
    if not (np.isfinite(scale) and scale > 0):
        raise SynthError(f"the scale is {scale:g}; it must be above 0")
    frames: dict[str, Any] = {}
    for part in model.parts:
        frames |= _sampled(part, model, scale, seed)
    return {
        name: _table(name, frames[name], model, np.random.default_rng([seed, place]))
        for place, name in enumerate(model.schemas)
    }


# what the columns are


def _kinds(sample: LearningSample, relations: Relations, table: str) -> dict[str, dict[str, Any]]:
    data = sample.tables[table]
    fields = {each.name: each for each in fields_of(sample, relations, table)}
    own = relations.of(table)
    result = {}
    for name in data.column_names:
        column = data.column(name)
        personal = find_pii(table, name, column, tuple(data.column_names))
        result[name] = _kind(fields[name], column, own.get(name), personal, sample, relations)
    return result


def _kind(
    field: LearnedField,
    column: pa.ChunkedArray,
    relation: LearnedForeignKey | None,
    personal: Pii | None,
    sample: LearningSample,
    relations: Relations,
) -> dict[str, Any]:
    """The entry of SDV's metadata; ``sdtype: none`` for what it does not see."""
    settings = field.settings
    if relation is not None:
        if relation.parent == relation.table:
            return {"sdtype": "none"}
        parent = next(
            each
            for each in fields_of(sample, relations, relation.parent)
            if each.name == relation.parent_column
        )
        data = sample.tables[relation.parent].column(relation.parent_column)
        return _kind(parent, data, None, None, sample, relations)
    if pa.types.is_null(column.type):
        return {"sdtype": "none"}
    if settings["type"] == "serial":
        return {"sdtype": "id", **({"regex_format": "[1-9][0-9]{11}"} if "as" in settings else {})}
    if settings["type"] == "uuid":
        return {"sdtype": "id", "regex_format": _UUID}
    if settings["type"] == "unique" and "patterns" in settings:
        return {"sdtype": "id", "regex_format": _regex(list(settings["patterns"])[-1])}
    if personal is not None and personal.kind != "birth_date":
        provider = _PROVIDERS.get(personal.kind, personal.provider)
        return {"sdtype": provider, "pii": True}
    if pa.types.is_boolean(column.type):
        return {"sdtype": "categorical"}
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        return {"sdtype": "datetime"}
    if not pa.types.is_string(column.type):
        return {"sdtype": "numerical"}
    if settings["type"] == "categorical":
        return {"sdtype": "categorical", "values": list(settings["values"])}
    if "patterns" in settings:
        return {"sdtype": "id", "regex_format": _regex(list(settings["patterns"])[-1])}
    return {"sdtype": "sentence", "pii": True}


def _regex(pattern: str) -> str:
    """A pattern as a regular expression, of which SDV's generator knows the simple ones."""
    result = ""
    for run in re.findall(r"#+|\?+|&+|\*+|%+|~+|[^#?&*%~]", pattern):
        if run[0] in _CLASSES:
            result += f"{_CLASSES[run[0]]}{{{len(run)}}}"
        else:
            result += re.escape(run) if not run.isalnum() else run
    return result


def shape(data: pa.Table, model: FittedModel, table: str) -> Any:
    """A table as SDV takes it, a pandas frame."""
    return _frame(data, model.kinds[table], None)


def _frame(data: pa.Table, kinds: Mapping[str, Mapping[str, Any]], random: Any) -> Any:
    """A table as SDV takes it: without what it does not see, rare texts drawn again."""
    columns: dict[str, Any] = {}
    for name in data.column_names:
        kind, column = kinds[name], data.column(name)
        if kind["sdtype"] == "none":
            continue
        if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
            try:
                column = column.cast(pa.timestamp("us")).cast(pa.timestamp("ns"))
            except pa.ArrowInvalid as error:
                raise SynthError(
                    f"{name}: SDV takes timestamps from 1678 to 2261 only; learn a schema file, "
                    "without --sdv, or take the others out of the sample"
                ) from error
        elif pa.types.is_decimal(column.type):
            column = column.cast(pa.float64())
        elif kind.get("pii") and not pa.types.is_string(column.type):
            column = column.cast(pa.string())
        series = column.to_pandas()
        if "values" in kind and random is not None:
            known = series[series.isin(kind["values"])].to_numpy()
            rare = series.notna() & ~series.isin(kind["values"])
            series = series.mask(rare, random.choice(known, len(series)))
        columns[name] = series
    import pandas as pd

    return pd.DataFrame(columns)


def _groups(sample: LearningSample, relations: Relations) -> list[tuple[str, ...]]:
    """The tables in groups between which there is no relation."""
    home = {name: name for name in sample.tables}
    for each in relations.relations:
        old, new = home[each.table], home[each.parent]
        home = {name: new if where == old else where for name, where in home.items()}
    groups: dict[str, list[str]] = {}
    for name, where in home.items():
        groups.setdefault(where, []).append(name)
    return [tuple(group) for group in groups.values()]


def _metadata(frames: Mapping[str, Any], relations: Relations, kinds: Any) -> dict[str, Any]:
    tables: dict[str, dict[str, Any]] = {}
    for name, frame in frames.items():
        columns = {
            column: {key: value for key, value in kinds[name][column].items() if key != "values"}
            for column in frame.columns
        }
        tables[name] = {"columns": columns}
        if name in relations.keys:
            tables[name]["primary_key"] = relations.keys[name]
    return {
        "METADATA_SPEC_VERSION": "V1",
        "tables": tables,
        "relationships": [
            {
                "parent_table_name": each.parent,
                "parent_primary_key": each.parent_column,
                "child_table_name": each.table,
                "child_foreign_key": each.column,
            }
            for each in relations.relations
            if each.table in frames and each.table != each.parent
        ],
    }


# SDV


def _fitted(frames: Mapping[str, Any], metadata: Mapping[str, Any], seed: int) -> Any:
    if all(frame.empty for frame in frames.values()):
        return None
    with quiet(seed):
        from sdv.metadata import Metadata
        from sdv.multi_table import HMASynthesizer
        from sdv.single_table import GaussianCopulaSynthesizer

        try:
            known = Metadata.load_from_dict(dict(metadata))
            known.validate()
            if len(frames) == 1:
                synthesizer: Any = GaussianCopulaSynthesizer(known)
            else:
                synthesizer = HMASynthesizer(known, verbose=False)
            synthesizer.fit(dict(frames))
        except libraries_sdv.errors() as error:
            names = ", ".join(frames)
            raise SynthError(
                f"SDV cannot learn {names}: {one_line(str(error) or type(error).__name__, 300)}"
            ) from error
    return synthesizer


def _sampled(part: FittedTables, model: FittedModel, scale: float, seed: int) -> dict[str, Any]:
    import pandas as pd

    if part.synthesizer is None:
        rows = {name: max(1, round(model.rows[name] * scale)) for name in part.tables}
        return {name: pd.DataFrame(index=range(count)) for name, count in rows.items()}
    with quiet(seed):
        synthesizer = part.synthesizer
        try:
            with libraries_sdv.seeded(synthesizer, seed):
                if len(part.tables) == 1:
                    count = max(1, round(model.rows[part.tables[0]] * scale))
                    drawn = synthesizer.sample(num_rows=count)
                else:
                    drawn = synthesizer.sample_scale(scale)
        except libraries_sdv.errors() as error:
            names = ", ".join(part.tables)
            raise SynthError(
                f"SDV cannot sample {names}: {one_line(str(error) or type(error).__name__, 300)}"
            ) from error
    return dict(drawn)


def _table(name: str, frame: Any, model: FittedModel, random: Any) -> pa.Table:
    """What SDV gave, with the columns and the types of the sample."""
    schema = model.schemas[name]
    columns: dict[str, pa.Array] = {}
    for field in schema:
        if field.name in frame.columns:
            columns[field.name] = _array(frame[field.name], field.type)
        else:
            columns[field.name] = pa.nulls(len(frame), field.type)
    own = {each.column: each for each in model.relations.of(name).values() if each.parent == name}
    for column, relation in own.items():
        # SDV knows no table that points at itself: an earlier row, the first has none
        key = columns[relation.parent_column]
        before = np.floor(random.random(len(frame)) * np.arange(len(frame))).astype(np.int64)
        columns[column] = key.take(pa.array(before, mask=np.arange(len(frame)) == 0))
    return pa.table(columns, schema=schema)


def _array(series: Any, kind: pa.DataType) -> pa.Array:
    import pandas as pd

    if pa.types.is_integer(kind) and series.dtype == object:
        digits = series.astype("string").str.replace(r"\D", "", regex=True).str[-18:]
        series = pd.to_numeric(digits)
    if pa.types.is_integer(kind) and pd.api.types.is_float_dtype(series):
        series = series.round().astype("Int64")
    if pa.types.is_boolean(kind):
        series = series.astype("boolean")
    if pa.types.is_decimal(kind):
        rounded = pa.array(series.astype("float64"), pa.float64(), from_pandas=True)
        return rounded.cast(kind, safe=False)
    if pa.types.is_date(kind):
        series = pd.to_datetime(series)
        return pa.array(series, pa.timestamp("us"), from_pandas=True, safe=False).cast(
            pa.date32(), safe=False
        )
    if pa.types.is_string(kind):
        series = series.astype("string")
    array = pa.array(series, kind, from_pandas=True, safe=False)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


@contextmanager
def quiet(seed: int | None = None) -> Iterator[None]:
    """Without SDV's warnings and progress; NumPy's global state as it was, afterwards."""
    state = np.random.get_state() if seed is not None else None
    if seed is not None:
        np.random.seed(seed % 2**32)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if state is not None:
            np.random.set_state(state)
