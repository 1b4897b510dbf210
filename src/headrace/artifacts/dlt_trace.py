"""dlt's trace of a pipeline's last run, as ``trace.json``.

dlt itself keeps the trace as a pickle, which is not safe to read. ``dump_trace`` writes what this
module reads, and nothing else: the trace also holds the resolved settings (with the values of
secrets in older versions of dlt) and the details of every exception.

Source: dlt's ``PipelineTrace.asdict()``, engine version 2 (dlt 1.31).
"""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from headrace.artifacts.decoding import BadFileError
from headrace.artifacts.dlt_load import JobMetrics
from headrace.artifacts.formats import fitted, read_dlt_file
from headrace.artifacts.reading import ArtifactPart, Notes, Read, parse_timestamp, shown
from headrace.errors import UserError

ENGINE = 2


class TableMetrics(ArtifactPart, frozen=True, kw_only=True):
    """What a step processed of one table.

    Attributes:
        load_id: of the package.
        table_name: the table.
        items_count: rows.
        file_size: bytes.
    """

    load_id: str
    table_name: str
    items_count: int = 0
    file_size: int = 0


class ResourceMetrics(ArtifactPart, frozen=True, kw_only=True):
    """What a resource yielded.

    Attributes:
        load_id: of the package.
        resource_name: the resource.
        items_count: rows.
    """

    load_id: str
    resource_name: str
    items_count: int = 0


class MovedInfo(ArtifactPart, frozen=True, kw_only=True):
    """What ``extract`` or ``normalize`` processed."""

    table_metrics: list[TableMetrics] = msgspec.field(default_factory=list)
    resource_metrics: list[ResourceMetrics] = msgspec.field(default_factory=list)


class LoadInfo(ArtifactPart, frozen=True, kw_only=True):
    """What ``load`` did.

    Attributes:
        destination_type: ``dlt.destinations.duckdb``.
        destination_name: ``duckdb``.
        dataset_name: the warehouse schema.
        job_metrics: the files that were loaded.
    """

    destination_type: str | None = None
    destination_name: str | None = None
    dataset_name: str | None = None
    job_metrics: list[JobMetrics] = msgspec.field(default_factory=list)


class PackageInfo(ArtifactPart, frozen=True, kw_only=True):
    """A load package that a step worked on."""

    load_id: str
    state: str | None = None
    completed_at: str | None = None
    schema_name: str | None = None
    schema_hash: str | None = None


class StepInfo(ArtifactPart, frozen=True, kw_only=True):
    """What all steps report."""

    loads_ids: list[str] = msgspec.field(default_factory=list)
    load_packages: list[PackageInfo] = msgspec.field(default_factory=list)
    first_run: bool | None = None


class TraceStep(ArtifactPart, frozen=True, kw_only=True):
    """A step of a run.

    Attributes:
        step: ``extract``, ``normalize``, ``load``, ``run``, ``sync``.
        started_at: ISO 8601, UTC.
        finished_at: ISO 8601, UTC; None for a step that was interrupted.
        step_exception: the error.
        step_info: load packages.
        extract_info: rows of ``extract``.
        normalize_info: rows of ``normalize``.
        load_info: files of ``load``.
    """

    step: str
    started_at: str | None = None
    finished_at: str | None = None
    step_exception: str | None = None
    step_info: StepInfo | None = None
    extract_info: MovedInfo | None = None
    normalize_info: MovedInfo | None = None
    load_info: LoadInfo | None = None

    @property
    def started(self) -> datetime | None:
        """When it began, UTC."""
        return parse_timestamp(self.started_at)

    @property
    def finished(self) -> datetime | None:
        """When it ended, UTC."""
        return parse_timestamp(self.finished_at)

    @property
    def load_ids(self) -> tuple[str, ...]:
        """The ids of the packages that it worked on."""
        return tuple(self.step_info.loads_ids) if self.step_info else ()

    @property
    def rows(self) -> dict[str, int]:
        """Rows that it processed, by table; empty for steps that do not count them."""
        counted: dict[str, int] = {}
        for info in (self.extract_info, self.normalize_info):
            for metrics in info.table_metrics if info else ():
                counted[metrics.table_name] = (
                    counted.get(metrics.table_name, 0) + metrics.items_count
                )
        return counted


class _Library(ArtifactPart, frozen=True, kw_only=True):
    name: str | None = None
    version: str | None = None


class _Context(ArtifactPart, frozen=True, kw_only=True):
    library: _Library = _Library()


class DltTrace(ArtifactPart, frozen=True, kw_only=True):
    """The trace of a run.

    Attributes:
        transaction_id: of the run.
        pipeline_name: the pipeline.
        started_at: ISO 8601, UTC.
        finished_at: ISO 8601, UTC.
        steps: in order.
        engine_version: of the format.
    """

    pipeline_name: str
    steps: list[TraceStep]
    transaction_id: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    engine_version: int = ENGINE
    execution_context: _Context = _Context()

    @property
    def dlt_version(self) -> str | None:
        """The version of dlt that ran."""
        return self.execution_context.library.version

    def step(self, name: str) -> TraceStep | None:
        """The last step of that name."""
        return next((each for each in reversed(self.steps) if each.step == name), None)

    @property
    def rows(self) -> dict[str, int]:
        """Rows by table after normalizing, child tables included."""
        step = self.step("normalize") or self.step("extract")
        return step.rows if step else {}


def dump_trace(trace: Mapping[str, Any]) -> bytes:
    """A trace as JSON, without settings, secrets and local variables.

    Args:
        trace: what dlt's ``pipeline.last_trace.asdict()`` returns.

    Raises:
        UserError: it is not a trace.
    """
    kept = {key: value for key, value in trace.items() if key != "resolved_config_values"}
    document = json.loads(json.dumps(kept, default=str, skipkeys=True))
    try:
        value, _ = _read(document, Notes())
    except BadFileError as error:
        raise UserError(f"dlt's trace {error}: please report it with the version of dlt") from error
    return msgspec.json.format(msgspec.json.encode(value), indent=1)


def load_trace(path: Path, name: str) -> Read[DltTrace]:
    """Read a trace.

    Args:
        path: the file.
        name: what to call it in the reading: ``shop/trace.json``.

    Raises:
        FileNotFoundError: there is none.
        UserError: it cannot be read.
    """
    return read_dlt_file(path, _read, name=name, advice="delete it, the next load writes it again")


def _read(document: dict[str, Any], notes: Notes) -> tuple[DltTrace, str]:
    if "pipeline_name" not in document or "steps" not in document:
        raise BadFileError("is not the trace of a dlt pipeline")
    trace = fitted(document, DltTrace, notes)
    engine = trace.engine_version
    if engine != ENGINE:
        notes.add(f"its engine version {engine} is not {ENGINE}, the one that is known")
    return trace, f"engine {engine}, dlt {shown(trace.dlt_version or 'unknown', 40)}"
