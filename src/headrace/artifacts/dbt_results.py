"""dbt's ``run_results.json`` and ``sources.json``: the result of each node of the last command.

Source: dbt's run-results schemas v4 to v6 (dbt 1.3 to 1.12), and its sources schema v3.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from headrace.artifacts.dbt_manifest import Freshness
from headrace.artifacts.formats import DbtFile, read_file
from headrace.artifacts.reading import ArtifactPart, Notes, Read, parse_timestamp

R = TypeVar("R", "RunResults", "SourceResults")
FAILED = frozenset({"fail", "error", "runtime error"})
"""The statuses of a node or source that failed."""


class Timing(ArtifactPart, frozen=True, kw_only=True):
    """A phase of a node: ``compile`` or ``execute``.

    Attributes:
        name: of the phase.
        started_at: UTC, ISO 8601.
        completed_at: UTC, ISO 8601.
    """

    name: str
    started_at: str | None = None
    completed_at: str | None = None


class RunResult(ArtifactPart, frozen=True, kw_only=True):
    """A node's result.

    Attributes:
        unique_id: the node.
        status: ``success``, ``error``, ``skipped``, ``partial success``, ``no-op``; of a test
            ``pass``, ``fail``, ``warn``, ``error``, ``skipped``. In lower case, as dbt 1 writes it.
        timing: ``compile`` and ``execute``; empty of a node that was skipped.
        thread_id: dbt's worker.
        execution_time: seconds.
        failures: failing rows of a test.
        message: of the adapter, or the error.
        compiled_code: None where the command did not compile it.
        relation_name: quoted.
        adapter_response: what the adapter says, such as ``rows_affected``.
    """

    unique_id: str
    status: str
    timing: list[Timing] = msgspec.field(default_factory=list)
    thread_id: str | None = None
    execution_time: float = 0.0
    failures: int | None = None
    message: str | None = None
    compiled_code: str | None = None
    relation_name: str | None = None
    adapter_response: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def started_at(self) -> datetime | None:
        """When its first phase began, UTC."""
        return min(
            (at for step in self.timing if (at := parse_timestamp(step.started_at))), default=None
        )

    @property
    def completed_at(self) -> datetime | None:
        """When its last phase ended, UTC."""
        return max(
            (at for step in self.timing if (at := parse_timestamp(step.completed_at))), default=None
        )


class RunResults(DbtFile, frozen=True, kw_only=True):
    """The results of one dbt command.

    Attributes:
        results: in the order in which the nodes finished.
        elapsed_time: seconds, of the whole command.
        args: of the command.
    """

    results: list[RunResult]
    elapsed_time: float = 0.0
    args: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def by_id(self) -> dict[str, RunResult]:
        """The results by node."""
        return {result.unique_id: result for result in self.results}


def load_run_results(path: Path, *, dbt_command: str = "headrace build") -> Read[RunResults]:
    """Read a ``run_results.json``; ``dbt_command`` is what writes it, for messages.

    Raises:
        FileNotFoundError: there is none.
        TransformError: it cannot be read as one.
    """
    return read_file(path, RunResults, f"delete it and run `{dbt_command}`", _in_lower_case)


class FreshnessResult(ArtifactPart, frozen=True, kw_only=True):
    """How fresh a source table was.

    Attributes:
        unique_id: the source table.
        status: ``pass``, ``warn``, ``error`` (stale), ``runtime error`` (the query failed).
        max_loaded_at: UTC, ISO 8601: when its newest row was loaded.
        snapshotted_at: UTC, ISO 8601: when freshness was computed.
        age: seconds between the two.
        criteria: when it counts as stale.
        error: the message of a runtime error.
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
        results: one for each source table.
        elapsed_time: seconds.
    """

    results: list[FreshnessResult]
    elapsed_time: float = 0.0


def load_sources(path: Path, *, dbt_command: str = "headrace build") -> Read[SourceResults]:
    """Read a ``sources.json``; ``dbt_command`` is what writes it, for messages.

    Raises:
        FileNotFoundError: there is none.
        TransformError: it cannot be read as one.
    """
    return read_file(path, SourceResults, f"delete it and run `{dbt_command}`", _in_lower_case)


def _in_lower_case(run: R, _: Notes) -> R:
    if all(result.status.islower() for result in run.results):
        return run
    results = [replace(result, status=result.status.lower()) for result in run.results]
    return replace(run, results=results)
