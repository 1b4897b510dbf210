"""What all events of a run share: names, the git repository, parent runs, reports."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from openlineage.client.event_v2 import (
    Run,
    RunState,
)
from openlineage.client.generated import parent_run
from openlineage.client.generated.base import RunFacet
from openlineage.client.generated.error_message_run import ErrorMessageRunFacet
from openlineage.client.generated.nominal_time_run import NominalTimeRunFacet
from openlineage.client.generated.processing_engine_run import ProcessingEngineRunFacet
from openlineage.client.uuid import generate_static_uuid

from headrace import __version__
from headrace.export.openlineage.naming import Names
from headrace.export.openlineage.transport import hide_secrets
from headrace.project import git
from headrace.settings import Resolved

_NAMES = {"headrace": "Headrace", "dbt-core": "dbt"}


_SCP = re.compile(r"(?:[^@/]+@)?(?P<host>[^:/]+):(?P<path>(?!//).+)")
_URL = re.compile(
    r"(?P<scheme>https?|ssh|git)://(?:[^@/]*@)?(?P<host>[^/:]+)(?::\d+)?/(?P<path>.+)"
)


@dataclass(frozen=True)
class GitRepository:
    """The remote of a clone.

    Attributes:
        url: for browsers, without a user or a password.
        commit: the whole hash of what is checked out.
        branch: None where none is checked out.
        prefix: the project's directory in the repository; empty, or with a slash at its end.
    """

    url: str
    commit: str
    branch: str | None = None
    prefix: str = ""

    def inside(self, path: str) -> str:
        """A path of the project as a path of the repository."""
        return f"{self.prefix}{path}"

    def page(self, path: str) -> str:
        """The page of a file at this commit, as GitHub and GitLab call it."""
        return f"{self.url}/blob/{self.commit}/{quote(os.fsencode(self.inside(path)))}"


def find_repository(root: Path) -> GitRepository | None:
    """The repository of a project; None without git, a commit or a remote with a web page."""
    remote = git.ask(root, "config", "--get", "remote.origin.url")
    url = browsable(remote) if remote else None
    commit = git.ask(root, "rev-parse", "HEAD") if url else None
    if not url or not commit:
        return None
    branch = git.ask(root, "symbolic-ref", "--quiet", "--short", "HEAD")
    return GitRepository(url, commit, branch, git.ask(root, "rev-parse", "--show-prefix") or "")


def browsable(remote: str) -> str | None:
    """``git@host:org/repo.git`` as ``https://host/org/repo``; None for a path on this machine."""
    if "://" in remote:
        match = _URL.fullmatch(remote)
    else:
        # C:\repo is a path, not a host
        match = _SCP.fullmatch(remote) if not re.match(r"[A-Za-z]:[\\/]", remote) else None
    if match is None or remote.startswith(("/", ".")):
        return None
    scheme = "http" if remote.startswith("http://") else "https"
    path = match["path"].strip("/").removesuffix(".git")
    return f"{scheme}://{match['host']}/{path}"


@dataclass(frozen=True)
class ParentRun:
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
class RunContext:
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
        parent_run: the run of an orchestrator that started this one.
        root_run: the outermost run, of which ``parent_run`` is a part.
        nominal: the time that a scheduler meant the run for.
        hide: masks secrets in what went wrong.
        raw_schemas: the schemas that sources load into, by source.
    """

    run_id: str
    started_at: datetime
    command: str
    names: Names
    dialect: str
    root: Path
    repository: GitRepository | None = None
    dbt_project: str | None = None
    parent_run: ParentRun | None = None
    root_run: ParentRun | None = None
    nominal: datetime | None = None
    hide: Callable[[str], str] = str
    raw_schemas: Mapping[str, str] = field(default_factory=dict)

    def uuid(self, job: str, at: datetime | None = None) -> str:
        """The run id of a job: UUIDv7 of its start; the same for the same run of Headrace."""
        data = f"{self.names.jobs}/{job}/{self.run_id}".encode()
        return str(generate_static_uuid(at or self.started_at, data))

    @property
    def parent(self) -> ParentRun:
        """The run as the parent of what it does."""
        return ParentRun(self.names.jobs, self.command, self.uuid(self.command))


def parent_from(text: str | None) -> ParentRun | None:
    """``namespace/job/run id``, as orchestrators set OPENLINEAGE_PARENT_ID; None otherwise."""
    from uuid import UUID

    parts = (text or "").rsplit("/", 2)
    try:
        return ParentRun(parts[0], parts[1], str(UUID(parts[2])))
    except (IndexError, ValueError):
        return None


def run_of(
    run_id: str,
    parent: ParentRun | None,
    engine: str,
    context: RunContext,
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
        root = context.root_run or context.parent_run or context.parent
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
        known["nominalTime"] = NominalTimeRunFacet(nominalStartTime=timestamp(context.nominal))
    return Run(run_id, facets=known)


@cache
def _version(package: str) -> str:
    return version(package)


def timestamp(at: datetime) -> str:
    """``2024-06-01T08:00:00.000000Z``."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def end_state(*, failed: bool) -> RunState:
    """How a run ended."""
    return RunState.FAIL if failed else RunState.COMPLETE


def dbt_run(run_id: str, context: RunContext, error: str | None) -> Run:
    """A run of dbt's, below the run of Headrace."""
    return run_of(run_id, context.parent, "dbt-core", context, error, language="SQL")


def context_of(
    resolved: Resolved, *, run_id: str, command: str, started_at: datetime
) -> RunContext:
    """What all events of a run share."""
    file = resolved.target.database_file
    project = resolved.dbt_project
    inside = project.is_relative_to(resolved.root)
    return RunContext(
        run_id=run_id,
        started_at=started_at,
        command=command,
        names=Names(
            resolved.settings.openlineage.namespace,
            file.as_posix() if file is not None else resolved.target.location,
            resolved.target.database,
            published=resolved.published,
            published_schemas=resolved.settings.publish.schemas,
            sources={name: each.options for name, each in resolved.settings.sources.items()},
        ),
        dialect=resolved.target.dialect,
        root=resolved.root,
        repository=find_repository(resolved.root),
        dbt_project=project.relative_to(resolved.root).as_posix() if inside else None,
        parent_run=parent_from(os.environ.get("OPENLINEAGE_PARENT_ID")),
        root_run=parent_from(os.environ.get("OPENLINEAGE_ROOT_PARENT_ID")),
        nominal=resolved.settings.openlineage.nominal_time,
        hide=partial(hide_secrets, resolved=resolved),
        raw_schemas={name: resolved.raw_schema(name) for name in resolved.settings.sources},
    )


class TableResult(Protocol):
    """What a load says of a raw table; see ``pipeline.reports.TableReport``."""

    @property
    def source(self) -> str: ...
    @property
    def table(self) -> str: ...
    @property
    def rows_new(self) -> int: ...
    @property
    def rows_changed(self) -> int: ...


class NodeResult(Protocol):
    """What a build says of a dbt node; see ``pipeline.reports.NodeReport``."""

    @property
    def unique_id(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def resource_type(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def severity(self) -> str | None: ...
    @property
    def seconds(self) -> float: ...
    @property
    def started_at(self) -> datetime | None: ...
    @property
    def failures(self) -> int | None: ...
    @property
    def message(self) -> str | None: ...


def started_and_ended(node: NodeResult, ended_at: datetime) -> tuple[datetime, datetime]:
    """When a node began and ended; without a start time, as if it had been the last one."""
    took = timedelta(seconds=node.seconds)
    start = getattr(node, "started_at", None) or ended_at - took
    return start, start + took
