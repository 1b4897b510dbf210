"""dlt's load packages (``load/loaded/<load_id>/``, and pending ones), and its ``state.json``.

The state is what a pipeline remembers from one run to the next.
Sources: dlt's package storage, package state engine version 1; pipeline state, engine version 4.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from headrace.artifacts.decoding import BadFileError, read_bytes
from headrace.artifacts.dlt_schema import DltTable, prepare_tables
from headrace.artifacts.formats import ADVICE, fitted, read_dlt_file, read_object
from headrace.artifacts.reading import ArtifactPart, Notes, Read, parse_timestamp, without_type_mark

PackageStatus = Literal["extracted", "normalized", "loaded", "aborted"]
_EXCEPTION = ".exception"
_MESSAGE_BYTES = 20_000
# Where dlt keeps packages, by their status.
_FOLDERS: tuple[tuple[str, PackageStatus], ...] = (
    ("normalize/extracted", "extracted"),
    ("load/normalized", "normalized"),
    ("load/loaded", "loaded"),
)


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A file that the destination did not load.

    Attributes:
        table: its table.
        file: its name.
        message: the destination's error.
    """

    table: str
    file: str
    message: str


class JobMetrics(ArtifactPart, frozen=True, kw_only=True):
    """A file that was loaded.

    Attributes:
        table_name: its table.
        job_id: dlt's id.
        started_at: UTC, ISO 8601.
        finished_at: UTC, ISO 8601.
        state: ``completed`` or ``failed``.
        retry_count: how often it was retried.
    """

    table_name: str
    job_id: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    state: str | None = None
    retry_count: int = 0


class _PackageState(ArtifactPart, frozen=True, kw_only=True):
    created_at: str | None = None
    load_metrics: dict[str, JobMetrics] = msgspec.field(default_factory=dict)
    engine_version: int = msgspec.field(default=1, name="_state_engine_version")


class _SchemaHead(ArtifactPart, frozen=True, kw_only=True):
    name: str | None = None
    version: int | None = None
    version_hash: str | None = None


class _Updates(ArtifactPart, frozen=True, kw_only=True):
    tables: dict[str, DltTable]


@dataclass(frozen=True, slots=True)
class LoadPackage:
    """A load package.

    Attributes:
        load_id: as in ``_dlt_load_id``: when it was created, seconds since 1970.
        status: of the package.
        created_at: UTC.
        completed_at: UTC, when its last job ended; None where dlt does not say.
        schema_name: of its schema.
        schema_version: of its schema.
        schema_hash: of its schema.
        updates: tables and columns that it added, by table.
        jobs: the files that were loaded.
        failed: the files that were not.
    """

    load_id: str
    status: PackageStatus
    created_at: datetime | None = None
    completed_at: datetime | None = None
    schema_name: str | None = None
    schema_version: int | None = None
    schema_hash: str | None = None
    updates: dict[str, DltTable] = field(default_factory=dict)
    jobs: tuple[JobMetrics, ...] = ()
    failed: tuple[FailedJob, ...] = ()


def packages(pipeline: Path, *, newest: int | None = None) -> Iterator[tuple[Path, PackageStatus]]:
    """The packages of a pipeline, newest first.

    Args:
        pipeline: dlt's working directory of the pipeline.
        newest: at most that many.
    """
    found = [
        (each, status)
        for folder, status in _FOLDERS
        for each in entries(pipeline / folder)
        if _order(each)
    ]
    found.sort(key=lambda entry: _order(entry[0]), reverse=True)
    yield from found[:newest]


def entries(path: Path) -> list[Path]:
    """The entries of a directory, sorted; empty where it is not a directory or not readable."""
    try:
        return sorted(path.iterdir())
    except OSError:
        return []


def load_package(path: Path, status: PackageStatus, name: str) -> Read[LoadPackage]:
    """Read a load package.

    It is read file by file; one that is missing or cannot be read is a note.

    Args:
        path: its directory.
        status: which folder it is in.
        name: what to call it in the reading: ``shop/load/1795257207.2254255``.
    """
    notes = Notes()
    state = _part(path / "load_package_state.json", _PackageState, notes) or _PackageState()
    schema = _part(path / "schema.json", _SchemaHead, notes) or _SchemaHead()
    ended = [at for job in state.load_metrics.values() if (at := parse_timestamp(job.finished_at))]
    package = LoadPackage(
        load_id=path.name,
        status=_status(path, status, notes),
        created_at=parse_timestamp(state.created_at),
        completed_at=max(ended, default=None) if status == "loaded" else None,
        schema_name=schema.name,
        schema_version=schema.version,
        schema_hash=schema.version_hash,
        updates=_updates(path / "applied_schema_updates.json", notes),
        jobs=tuple(state.load_metrics.values()),
        failed=tuple(_failed(path / "failed_jobs", notes)),
    )
    return Read(package, notes.reading(name, f"engine {state.engine_version}"))


def _part(path: Path, kind: type[Any], notes: Notes) -> Any:
    try:
        return fitted(read_object(path, notes), kind, notes)
    except FileNotFoundError:
        notes.add(f"`{path.name}` is missing")
    except BadFileError as error:
        notes.add(f"`{path.name}` {error}")
    return None


def _status(path: Path, status: PackageStatus, notes: Notes) -> PackageStatus:
    if status != "loaded":
        return status
    try:
        written = read_bytes(path / "package_completed.json").strip()
    except FileNotFoundError:
        notes.add("`package_completed.json` is missing")
        return "loaded"
    except BadFileError as error:
        notes.add(f"`package_completed.json` {error}")
        return "loaded"
    if written not in {b"loaded", b"aborted"}:
        notes.add("`package_completed.json` says neither `loaded` nor `aborted`")
    return "aborted" if written == b"aborted" else "loaded"


def _updates(path: Path, notes: Notes) -> dict[str, DltTable]:
    try:
        tables = read_object(path, notes)
    except FileNotFoundError:  # a package that adds no column has none
        return {}
    except BadFileError as error:
        notes.add(f"`{path.name}` {error}")
        return {}
    prepare_tables(tables, notes)
    return fitted({"tables": tables}, _Updates, notes).tables


def _failed(path: Path, notes: Notes) -> Iterator[FailedJob]:
    for job in sorted({file.name.removesuffix(_EXCEPTION) for file in entries(path)}):
        try:
            raw = read_bytes(path / f"{job}{_EXCEPTION}")
            message = raw[:_MESSAGE_BYTES].decode("utf-8", "replace").strip()
        except (FileNotFoundError, BadFileError):
            notes.add(f"there is no message that says why `{job}` failed")
            message = ""
        yield FailedJob(job.partition(".")[0], job, message)


def _order(path: Path) -> float:
    """The time in a load id, seconds since 1970; 0 where it is not a load id."""
    try:
        return float(path.name) if path.name[:1].isdigit() else 0.0
    except ValueError:
        return 0.0


ENGINE = 4


@dataclass(frozen=True, slots=True)
class Cursor:
    """The cursor of an incremental resource.

    Attributes:
        source: dlt's source.
        resource: of the source.
        path: JSONPath of the cursor field.
        last_value: the largest value that was loaded.
    """

    source: str
    resource: str
    path: str
    last_value: Any


class DltState(ArtifactPart, frozen=True, kw_only=True):
    """A pipeline's state.

    Attributes:
        engine_version: of the format.
        version: goes up with each change.
        version_hash: of its content.
        pipeline_name: the pipeline.
        dataset_name: the warehouse schema that it loads into.
        default_schema_name: of its schemas.
        schema_names: all of them.
        destination_type: ``dlt.destinations.duckdb``.
        destination_name: where it has a name of its own.
        sources: the state of each source, by name.
        local: what holds on this machine only, such as ``first_run``.
    """

    pipeline_name: str
    engine_version: int = msgspec.field(name="_state_engine_version")
    version: int = msgspec.field(default=0, name="_state_version")
    version_hash: str | None = msgspec.field(default=None, name="_version_hash")
    dataset_name: str | None = None
    default_schema_name: str | None = None
    schema_names: list[str] = msgspec.field(default_factory=list)
    destination_type: str | None = None
    destination_name: str | None = None
    sources: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    local: dict[str, Any] = msgspec.field(default_factory=dict, name="_local")

    @property
    def cursors(self) -> tuple[Cursor, ...]:
        """The cursors of all incremental resources, sorted."""
        return tuple(sorted(self._cursors(), key=lambda each: (each.source, each.resource)))

    def _cursors(self) -> Iterator[Cursor]:
        for source, kept in self.sources.items():
            for resource, state in _objects(kept.get("resources")):
                for path, cursor in _objects(state.get("incremental")):
                    yield Cursor(
                        source, resource, path, without_type_mark(cursor.get("last_value"))
                    )


def _objects(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict):
                yield key, item


def load_state(path: Path, name: str) -> Read[DltState]:
    """Read a pipeline's state.

    Args:
        path: the file.
        name: what to call it in the reading: ``shop/state.json``.

    Raises:
        FileNotFoundError: there is none.
        UserError: it cannot be read.
    """
    return read_dlt_file(path, _read, name=name, advice=ADVICE)


def _read(document: dict[str, Any], notes: Notes) -> tuple[DltState, str]:
    if "_state_engine_version" not in document or "pipeline_name" not in document:
        raise BadFileError("is not the state of a dlt pipeline")
    state = fitted(document, DltState, notes)
    engine = state.engine_version
    if engine != ENGINE:
        notes.add(f"its engine version {engine} is not {ENGINE}, the one that is known")
    return state, f"engine {engine}"
