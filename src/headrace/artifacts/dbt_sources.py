"""dbt's ``sources.json``: how fresh each source was at the last ``dbt source freshness``.

Source: dbt's sources schema v3.
"""

from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from headrace.artifacts.dbt import DbtFile, read_file
from headrace.artifacts.nodes import Freshness, Part
from headrace.artifacts.reading import Notes, Read
from headrace.artifacts.run_results import Timing


class FreshnessResult(Part, frozen=True, kw_only=True):
    """How fresh a source table was.

    Attributes:
        unique_id: the source table.
        status: ``pass``, ``warn``, ``error`` (stale), ``runtime error`` (could not be asked).
        max_loaded_at: UTC, ISO 8601: the newest row.
        snapshotted_at: UTC, ISO 8601: when it was asked.
        age: seconds between the two.
        criteria: when it counts as stale.
        error: of a runtime error: what went wrong.
        execution_time: seconds.
    """

    unique_id: str
    status: str
    max_loaded_at: str | None = None
    snapshotted_at: str | None = None
    age: float | None = msgspec.field(default=None, name="max_loaded_at_time_ago_in_s")
    criteria: Freshness | None = None
    error: str | int | None = None
    adapter_response: dict[str, Any] = msgspec.field(default_factory=dict)
    timing: list[Timing] = msgspec.field(default_factory=list)
    thread_id: str | None = None
    execution_time: float = 0.0


class SourceResults(DbtFile, frozen=True, kw_only=True):
    """The results.

    Attributes:
        results: one for each source table that was asked.
        elapsed_time: seconds.
    """

    results: list[FreshnessResult]
    elapsed_time: float = 0.0


def load_sources(path: Path) -> Read[SourceResults]:
    """Read a ``sources.json``.

    Raises:
        FileNotFoundError: there is none.
        TransformError: it cannot be read as one.
    """
    return read_file(path, SourceResults, "delete it and run `headrace build`", _in_lower_case)


def _in_lower_case(run: SourceResults, _: Notes) -> SourceResults:
    if all(result.status.islower() for result in run.results):
        return run
    results = [replace(result, status=result.status.lower()) for result in run.results]
    return replace(run, results=results)
