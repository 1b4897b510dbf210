"""The services behind ``headrace learn`` and ``headrace generate MODEL``, and model files."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa

from headrace import portable
from headrace.synth.errors import OutputError, SynthError
from headrace.synth.files import atomic_file
from headrace.synth.learn.model import FittedModel, draw, fit, quiet, require_sdv
from headrace.synth.learn.relations import Relations, relate
from headrace.synth.learn.report import FittedModelReport, report
from headrace.synth.learn.resemblance import Resemblance, compare_tables
from headrace.synth.learn.sample_data import read
from headrace.synth.learn.to_schema import to_schema

KIND: Final = "headrace-model"
_FORMAT: Final = 1
_MOST_HEADER: Final = 10_000_000


def save(model: FittedModel, path: Path) -> None:
    """Write a model file, under its name when it is complete.

    Raises:
        OutputError: it cannot be written there.
    """
    import cloudpickle

    pickled = cloudpickle.dumps(model)
    header = {
        "kind": KIND,
        "format": _FORMAT,
        "versions": {name: version(name) for name in ("sdv", "pandas", "numpy")},
        "sha256": hashlib.sha256(pickled).hexdigest(),
        "tables": {
            name: {"rows": model.rows[name], "columns": schema.names}
            for name, schema in model.schemas.items()
        },
        "relations": [str(each) for each in model.relations.relations],
    }
    with atomic_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(header, indent=1))
        archive.writestr("model.pkl", pickled)


def is_model(path: Path) -> bool:
    """Whether a file is a model file, by its header; nothing is unpickled."""
    try:
        _header(path)
    except SynthError:
        return False
    return True


def load(path: Path) -> FittedModel:
    """Read a model file. It runs the code that is in it: load only your own.

    Raises:
        SynthError: it is not a model file, is damaged, or was made by another version of SDV.
    """
    header = _header(path)
    require_sdv()
    made = str(header.get("versions", {}).get("sdv", "unknown"))
    here = version("sdv")
    if made.split(".", maxsplit=1)[0] != here.split(".")[0]:
        raise SynthError(f"{path} was made by SDV {made}, and this is {here}: learn it again")
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = archive.read("model.pkl")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise SynthError(f"{path} is damaged: learn it again") from error
    if hashlib.sha256(pickled).hexdigest() != header.get("sha256"):
        raise SynthError(f"{path} is damaged, its checksum does not fit: learn it again")
    import pickle

    with quiet():
        model = pickle.loads(pickled)  # noqa: S301  # said in the docstring
    if not isinstance(model, FittedModel):
        raise SynthError(f"{path} does not hold a model: learn it again")
    return model


def _header(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SynthError(f"there is no model {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("header.json").file_size > _MOST_HEADER:
                raise SynthError(f"{path} is not a model of `headrace learn`")
            header = json.loads(archive.read("header.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise SynthError(
            f"{path} is not a model of `headrace learn`; nothing of it was loaded"
        ) from error
    if not isinstance(header, dict) or header.get("kind") != KIND:
        raise SynthError(f"{path} is not a model of `headrace learn`; nothing of it was loaded")
    if header.get("format") != _FORMAT:
        raise SynthError(f"{path} has format {header.get('format')}: learn it again")
    return header


Format = Literal["parquet", "csv", "jsonl"]
_COMPARED: Final = 20_000
"""So many rows at least are generated to compare them with the sample."""
FORMATS: Final = ("parquet", "csv", "jsonl")


@dataclass(frozen=True, slots=True)
class LearnedSchema:
    """What was learned from a sample, and written.

    Attributes:
        out: the schema file, or the model file.
        rows: how many rows each table of the sample had, by table.
        relations: the keys and relations, declared or found; their notes say which.
        notes: what was left out of the sample, or renamed.
        alike: how much generated rows resemble the sample, by table; empty if not compared.
    """

    out: Path
    rows: Mapping[str, int]
    relations: Relations
    notes: tuple[str, ...]
    alike: Mapping[str, Resemblance] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned(LearnedSchema):
    """A model that was fitted and written, with a report on quality and privacy."""

    report: FittedModelReport


def learn(
    paths: Sequence[str | Path],
    *,
    out: Path,
    keys: Mapping[str, str] | None = None,
    relations: Sequence[str] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    held_out: bool = True,
) -> Learned:
    """Fit SDV on a sample, write the model, and report how good and how private it is.

    A Gaussian copula for a table without relations, HMA for related ones. The model is written
    whatever the report says; who calls decides what a failed check means.

    Args:
        paths: CSV, TSV, Parquet and JSON lines files, one table each and named by the file, and
            ``DATABASE.duckdb:schema.table``.
        out: the model file to write.
        keys: the primary key's column by table; found for tables that are not named.
        relations: such as ``orders.customer_id=customers.id``; found if None, none if empty.
        seed: of the report's draw and halves.
        overwrite: whether a file that is there may be replaced.
        held_out: whether to fit a second model on half of the sample, for the distance to the
            closest record.

    Raises:
        OutputError: ``out`` is there already, or cannot be written.
        SynthError: SDV is not installed, the sample cannot be read, what was declared does not
            hold in it, or SDV cannot learn it. Nothing is written.
    """
    _check_out(out, overwrite=overwrite)
    require_sdv()
    data = read(paths)
    found = relate(data, keys=keys, relations=relations)
    model = fit(data, found, seed=seed)
    figures = report(data, found, model, seed=seed, held_out=held_out)
    save(model, out)
    return Learned(out, model.rows, found, data.notes, report=figures)


def learn_schema(
    paths: Sequence[str | Path],
    *,
    out: Path,
    keys: Mapping[str, str] | None = None,
    relations: Sequence[str] | None = None,
    orphans: bool = False,
    seed: int = 0,
    overwrite: bool = False,
    compare: bool = True,
) -> LearnedSchema:
    """Learn a schema file, from which the engine makes data of any size; takes no SDV.

    Args:
        paths: as for ``learn``.
        out: the schema file to write, such as ``shop.yml``.
        keys: the primary key's column by table; found for tables that are not named.
        relations: such as ``orders.customer_id=customers.id``; found if None, none if empty.
        orphans: whether a relation may hold in most of the rows only; the others are learned.
        seed: the seed that is written into the file.
        overwrite: whether a file that is there may be replaced.
        compare: whether to generate rows, at least 20,000, and compare them with the sample.

    Raises:
        OutputError: ``out`` is there already, or cannot be written.
        SynthError: the sample cannot be read, or what was declared does not hold in it. Nothing
            is written.
    """
    from headrace.synth.schema.schema_file import parse
    from headrace.synth.world import World

    _check_out(out, overwrite=overwrite)
    data = read(paths)
    found = relate(data, keys=keys, relations=relations, orphans=orphans)
    text = to_schema(data, found, seed=seed)
    document = parse(text, out)
    # of a few rows, chance would decide how alike they are
    scale = max(1.0, _COMPARED / max(map(len, data.tables.values())))
    world = World(document, scale=scale)  # the engine takes it, or nothing is written
    alike = compare_tables(data, found, world) if compare else {}
    with atomic_file(out) as file:
        file.write_text(text, encoding="utf-8", newline="\n")
    rows = {name: len(table) for name, table in data.tables.items()}
    return LearnedSchema(out, rows, found, data.notes, alike)


def sample(
    model_path: Path,
    *,
    out: Path,
    format: Format = "parquet",  # noqa: A002
    scale: float = 1.0,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, int]:
    """Sample from a model into files, one a table. It runs the code in the model file.

    Args:
        model_path: a model that ``learn`` wrote. Load only your own: a model file is code.
        out: the directory to write ``<table>.<format>`` into; made if it is not there.
        format: parquet, csv or jsonl.
        scale: multiplies the rows of the sample; related tables come close to it.
        seed: the same one gives the same rows with the same versions of SDV and NumPy.
        overwrite: whether files that are there may be replaced.

    Returns:
        The rows of each table.

    Raises:
        OutputError: a file is there already, or cannot be written.
        SynthError: it is not a model, SDV is not installed, or it cannot give so many rows.
    """
    if format not in FORMATS:
        raise SynthError(f"unknown format {format!r}; one of: {', '.join(FORMATS)}")
    model = load(model_path)
    files = {name: out / f"{name}.{format}" for name in model.schemas}
    for file in files.values():
        if file.exists() and not overwrite:
            raise OutputError(f"{file} already exists: take another directory, or overwrite it")
    tables = draw(model, scale=scale, seed=seed)
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = portable.temporary_beside(out / "sample")
        folder.mkdir()
        try:
            made = {name: folder / file.name for name, file in files.items()}
            for name, table in tables.items():
                _write_table(table, made[name], format)
            for name, file in files.items():
                portable.replace(made[name], file)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"cannot write into {out}: {error.strerror or error}") from error
    return {name: len(table) for name, table in tables.items()}


def _write_table(table: pa.Table, file: Path, format_: Format) -> None:
    if format_ == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, file)
    elif format_ == "csv":
        from pyarrow import csv

        csv.write_csv(table, file)
    else:
        import json

        with file.open("w", encoding="utf-8", newline="\n") as lines:
            for batch in table.to_batches(max_chunksize=10_000):
                for row in batch.to_pylist():
                    lines.write(json.dumps(row, default=_as_text, ensure_ascii=False) + "\n")


def _as_text(value: Any) -> str:
    """Timestamps and dates as ISO 8601, decimals as they are."""
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _check_out(out: Path, *, overwrite: bool) -> None:
    """Before an hour of fitting, not after it."""
    if out.is_dir():
        raise OutputError(f"{out} is a directory: name a file")
    if out.exists() and not overwrite:
        raise OutputError(f"{out} already exists: take another name, or overwrite it")
    if not out.absolute().parent.is_dir():
        raise OutputError(f"there is no directory {out.absolute().parent}")
