"""What all events of one run share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

from openlineage.client.event_v2 import Run, RunState
from openlineage.client.generated import parent_run
from openlineage.client.generated.base import JobFacet, RunFacet
from openlineage.client.generated.error_message_run import ErrorMessageRunFacet
from openlineage.client.generated.nominal_time_run import NominalTimeRunFacet
from openlineage.client.generated.processing_engine_run import ProcessingEngineRunFacet
from openlineage.client.uuid import generate_static_uuid

from headrace import __version__
from headrace.export.openlineage import facets
from headrace.export.openlineage.naming import Names
from headrace.export.openlineage.source_code import Repository


@dataclass(frozen=True)
class Parent:
    """A run and its job.

    Attributes:
        namespace: of the job.
        name: of the job.
        run_id: a UUID.
    """

    namespace: str
    name: str
    run_id: str


@dataclass(frozen=True)
class Context:
    """What all events of one run share.

    Attributes:
        run_id: Headrace's id of the run.
        started_at: UTC.
        command: the job's name: ``run``, ``load``, ``build`` or ``publish``.
        names: of jobs and datasets.
        dialect: sqlglot's name of the warehouse's SQL.
        repository: where the code is, if it is on the net.
        dbt_project: the dbt project's directory, relative to the project; None when elsewhere.
        root: the project's directory.
        above: the run of an orchestrator that started this one.
        top: the outermost run, of which ``above`` is a part.
        nominal: the time that a scheduler meant the run for.
        hide: masks secrets in what went wrong.
    """

    run_id: str
    started_at: datetime
    command: str
    names: Names
    dialect: str
    root: Path
    repository: Repository | None = None
    dbt_project: str | None = None
    above: Parent | None = None
    top: Parent | None = None
    nominal: datetime | None = None
    hide: Callable[[str], str] = str

    def uuid(self, job: str, at: datetime | None = None) -> str:
        """The run id of a job: UUIDv7 of its start; the same for the same run of Headrace."""
        data = f"{self.names.jobs}/{job}/{self.run_id}".encode()
        return str(generate_static_uuid(at or self.started_at, data))

    @property
    def parent(self) -> Parent:
        """The run as the parent of what it does."""
        return Parent(self.names.jobs, self.command, self.uuid(self.command))

    def code(self, path: str) -> dict[str, JobFacet]:
        """Where a file of the project is to be found."""
        return facets.code_facets(self.repository, path) if (self.root / path).is_file() else {}


def parent_from(text: str | None) -> Parent | None:
    """``namespace/job/run id``, as orchestrators set OPENLINEAGE_PARENT_ID; None of all else."""
    from uuid import UUID

    parts = (text or "").rsplit("/", 2)
    try:
        return Parent(parts[0], parts[1], str(UUID(parts[2])))
    except (IndexError, ValueError):
        return None


def run_of(
    run_id: str,
    parent: Parent | None,
    engine: str,
    context: Context,
    error: str | None,
    *,
    stack: str | None = None,
    language: str = "PYTHON",
) -> Run:
    """A run with its parent, what ran it, and why it failed, if it did."""
    known: dict[str, RunFacet] = {
        "processing_engine": ProcessingEngineRunFacet(
            version=_version(engine),
            name=_NAMES.get(engine, engine),
            openlineageAdapterVersion=__version__,
        )
    }
    if parent is not None:
        root = context.top or context.above or context.parent
        known["parent"] = parent_run.ParentRunFacet(
            run=parent_run.Run(parent.run_id),
            job=parent_run.Job(parent.namespace, parent.name),
            root=parent_run.Root(
                run=parent_run.RootRun(root.run_id),
                job=parent_run.RootJob(root.namespace, root.name),
            ),
        )
    if error is not None:
        known["errorMessage"] = ErrorMessageRunFacet(
            message=context.hide(error),
            programmingLanguage=language,
            stackTrace=context.hide(stack) if stack else None,
        )
    if context.nominal is not None:
        known["nominalTime"] = NominalTimeRunFacet(nominalStartTime=moment(context.nominal))
    return Run(run_id, facets=known)


_NAMES = {"headrace": "Headrace", "dbt-core": "dbt"}


@cache
def _version(package: str) -> str:
    return version(package)


def moment(at: datetime) -> str:
    """``2024-06-01T08:00:00.000000Z``."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def ended(*, failed: bool) -> RunState:
    """How a run ended."""
    return RunState.FAIL if failed else RunState.COMPLETE
