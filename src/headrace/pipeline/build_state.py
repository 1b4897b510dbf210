"""The record of the last build and its inputs, so that an unchanged one is not repeated."""

import os
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path

import xxhash
from pydantic import BaseModel, ConfigDict, ValidationError

from headrace import __version__, portable
from headrace.pipeline.reports import NodeReport
from headrace.project import git
from headrace.settings import Resolved
from headrace.targets import Target

_SKIPPED = {"target", "logs", "dbt_packages", "__pycache__"}


class BuildState(BaseModel):
    """The result of a build and everything that it depended on.

    Attributes:
        passed: whether no model failed and no test of severity error did.
        inputs: digest of the dbt project, its settings and the versions.
        day: the day (UTC) on which it began; a model may call ``current_date``.
        signature: the target as the build left it.
        nodes: what was built and tested.
        finished_at: UTC.
    """

    model_config = ConfigDict(frozen=True)

    passed: bool
    inputs: str
    day: date | None = None
    signature: str | None
    nodes: tuple[NodeReport, ...]
    freshness: tuple[NodeReport, ...] = ()
    finished_at: datetime


def path_of(resolved: Resolved) -> Path:
    """Where the state is kept."""
    return resolved.data_dir / "dbt" / "build_state.json"


def read(resolved: Resolved) -> BuildState | None:
    """The last build's state; None if it is missing or cannot be read."""
    try:
        return BuildState.model_validate_json(path_of(resolved).read_bytes())
    except (OSError, ValidationError):
        return None


def write(resolved: Resolved, state: BuildState) -> None:
    """Keep the state, in one step; the caller holds the run lock."""
    portable.write_file(path_of(resolved), state.model_dump_json())


def forget(resolved: Resolved) -> None:
    """Drop the state."""
    path_of(resolved).unlink(missing_ok=True)


def today() -> date:
    """The day, UTC."""
    return datetime.now(UTC).date()


def inputs(resolved: Resolved, target: Target) -> str:
    """Digest of everything that a build depends on, except the data and the day."""
    state = xxhash.xxh3_128()
    for part in (
        __version__,
        version("dbt-core"),
        version("dbt-duckdb"),
        target.name,
        target.location,
        repr(sorted(resolved.settings.dbt.vars.items())),
    ):
        state.update(part.encode() + b"\0")
    root = resolved.dbt_project
    for top in (root, *sorted(root.glob("dbt_packages/*"))):  # links to local packages, too
        for directory, folders, files in os.walk(top):
            folders[:] = sorted(set(folders) - _SKIPPED)
            for name in sorted(files):
                path = Path(directory, name)
                state.update(path.relative_to(root).as_posix().encode() + b"\0")
                state.update(path.read_bytes() + b"\0")
    return state.hexdigest()


def code_version(root: Path) -> str:
    """The project's commit (``a1b2c3d``, with ``+`` when files differ), else Headrace's version."""
    return git.ask(root, "describe", "--always", "--dirty=+", "--abbrev=12") or __version__
