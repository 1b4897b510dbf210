"""The record of the last build and its inputs, so that an unchanged one is not repeated."""

import os
from collections.abc import Collection, Iterator
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

_SKIPPED = {"target", "logs", "dbt_packages", "__pycache__", "node_modules", "venv"}
_LARGE = 1024 * 1024
"""Bytes; of a file beyond it the time of its last change stands for its content."""


class BuildState(BaseModel):
    """The result of a build and everything that it depended on.

    Attributes:
        passed: whether no model failed and no test of severity error did.
        inputs: digest of the dbt project, its settings and the versions.
        day: the day (UTC) on which it began; a model may call ``current_date``.
        signature: the target as the build left it.
        nodes: what was built and tested.
        finished_at: UTC.
        reads_files: whether dbt reads files, of which the warehouse and ``inputs`` say nothing.
        generation: id of a series of builds between which nobody but Headrace wrote to the target.
        digests: of what nodes were made from, by id; of those whose results are good.
        loaded: the target as the last load, or build of a part, after it left it; None without any.
        sources: an id of their content for raw schemas that loads changed, and for each table of
            them that a load reported (``schema.table``); in lower case.
    """

    model_config = ConfigDict(frozen=True)

    passed: bool
    inputs: str
    day: date | None = None
    signature: str | None
    nodes: tuple[NodeReport, ...]
    freshness: tuple[NodeReport, ...] = ()
    finished_at: datetime
    reads_files: bool = False
    generation: str = ""
    digests: dict[str, str] = {}
    loaded: str | None = None
    sources: dict[str, str] = {}


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


def surroundings(resolved: Resolved, target: Target) -> bytes:
    """What all nodes of a build depend on: the versions, the target, the settings of dbt."""
    parts = (
        __version__,
        version("dbt-core"),
        version(target.adapter),
        target.name,
        target.location,
        repr(sorted(resolved.settings.dbt.vars.items())),
    )
    found = b"".join(part.encode() + b"\0" for part in parts)
    profile = resolved.settings.dbt.profile
    if profile is not None:
        found += profile.model_dump_json().encode()
        found += _content(resolved.source_path(profile.path))
    return found


def inputs(resolved: Resolved, target: Target, *, without: Collection[Path] = ()) -> str:
    """Digest of everything that a build depends on, except the data, the day and some files."""
    state = xxhash.xxh3_128(surroundings(resolved, target))
    for path in resolved.contract_files:
        state.update(path.name.encode() + b"\0" + _content(path))
    project = resolved.dbt_project
    packages = sorted(project.glob("dbt_packages/*"))  # links to local packages, too
    for root in (project, *packages, *_folders_outside(project)):
        for path in _files(root, resolved.data_dir, target.database_file):
            if path in without:
                continue
            state.update(path.relative_to(root).as_posix().encode() + b"\0")
            state.update(_content(path) + b"\0")
    return state.hexdigest()


def _files(root: Path, data_dir: Path, database: Path | None) -> Iterator[Path]:
    """The files of a folder, without hidden folders, what dbt and Headrace write, the database."""
    for directory, folders, files in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED
            and not name.startswith(".")
            and Path(directory, name) != data_dir
        )
        for name in sorted(files):
            path = Path(directory, name)
            if database is None or not (
                path.parent == database.parent and name.startswith(database.name)
            ):
                yield path


def _content(path: Path) -> bytes:
    try:
        stat = path.stat()
        if stat.st_size > _LARGE:
            return f"{stat.st_size}:{stat.st_mtime_ns}".encode()
        return path.read_bytes()
    except OSError:  # a link that leads nowhere; dbt says what is wrong with what it needs
        return b"-"


def _folders_outside(project: Path) -> list[Path]:
    """Folders of models, macros and so on that are not below the dbt project."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = (project / "dbt_project.yml").read_text(encoding="utf-8")
        if ".." not in text:
            return []
        document = YAML(typ="safe", pure=True).load(text)
    except (OSError, UnicodeDecodeError, YAMLError):
        return []  # dbt says what is wrong with it
    found = [
        Path(os.path.normpath(project / place))
        for key, places in (document.items() if isinstance(document, dict) else ())
        if str(key).endswith("-paths") and isinstance(places, list)
        for place in places
        if isinstance(place, str)
    ]
    return sorted({folder for folder in found if not folder.is_relative_to(project)})


def code_version(root: Path) -> str:
    """The project's commit (``a1b2c3d``, with ``+`` when files differ), else Headrace's version."""
    return git.ask(root, "describe", "--always", "--dirty=+", "--abbrev=12") or __version__
