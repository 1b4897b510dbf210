"""All artifacts of a project, read in one call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from headrace.artifacts.dbt_catalog import DbtCatalog, load_catalog
from headrace.artifacts.dbt_manifest import Manifest, load_manifest
from headrace.artifacts.dbt_results import RunResults, SourceResults, load_run_results, load_sources
from headrace.artifacts.dlt_load import (
    DltState,
    LoadPackage,
    entries,
    load_package,
    load_state,
    packages,
)
from headrace.artifacts.dlt_schema import DltSchema, load_schema
from headrace.artifacts.dlt_trace import DltTrace, load_trace
from headrace.artifacts.reading import Read, Reading, shown
from headrace.errors import UserError

T = TypeVar("T")
_SCHEMA = ".schema.json"


@dataclass(frozen=True, slots=True)
class DltArtifacts:
    """The artifacts of one dlt pipeline.

    Attributes:
        name: of the pipeline, and of its directory.
        schemas: by name, which is also that of the file.
        state: None where it cannot be read.
        packages: the newest first.
        trace: of the last run; None where there is none.
    """

    name: str
    schemas: Mapping[str, DltSchema]
    state: DltState | None = None
    packages: tuple[LoadPackage, ...] = ()
    trace: DltTrace | None = None

    @property
    def schema(self) -> DltSchema | None:
        """Its default schema; where none is named, the one of its own name, or the only one."""
        named = self.state.default_schema_name if self.state else None
        for name in (named, self.name):
            if name is not None and name in self.schemas:
                return self.schemas[name]
        return next(iter(self.schemas.values())) if len(self.schemas) == 1 else None

    @property
    def dataset_name(self) -> str | None:
        """The warehouse schema that it loads into."""
        return self.state.dataset_name if self.state else None


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The artifacts of dbt and dlt.

    Attributes:
        manifest: None where dbt has not run yet.
        catalog: of ``dbt docs generate``.
        run_results: of the last dbt command.
        sources: of the last ``dbt source freshness``.
        dlt: by pipeline.
        readings: how each file was read; dbt's also where they are missing.
    """

    manifest: Manifest | None = None
    catalog: DbtCatalog | None = None
    run_results: RunResults | None = None
    sources: SourceResults | None = None
    dlt: Mapping[str, DltArtifacts] = field(default_factory=dict)
    readings: tuple[Reading, ...] = ()


def read_artifacts(
    target: Path,
    pipelines: Path,
    *,
    newest_packages: int = 20,
    dbt_command: str = "headrace build",
) -> Artifacts:
    """Read all artifacts that exist.

    Args:
        target: dbt's target directory.
        pipelines: dlt's, one directory for each pipeline.
        newest_packages: how many load packages to read of each pipeline.
        dbt_command: what writes dbt's artifacts, for messages.

    Raises:
        TransformError: there is a manifest, but it cannot be read.
        UserError: there are no artifacts, neither of dbt nor of dlt.
    """
    readings: list[Reading] = []
    manifest: Manifest | None = None
    if _is_there(target / "manifest.json"):
        read = load_manifest(target / "manifest.json", dbt_command=dbt_command)
        manifest = read.value
        readings.append(read.reading)
    else:
        readings.append(Reading("manifest.json", None, "missing"))
    dlt = {path.name: _pipeline(path, newest_packages, readings) for path in _pipelines(pipelines)}
    if manifest is None and not dlt:
        where = f"{shown(str(target))} or {shown(str(pipelines))}"
        raise UserError(
            f"there are no artifacts of dbt or dlt in {where}: run `headrace run` first"
        )

    def dbt(name: str, load: Callable[[Path], Read[T]]) -> T | None:
        return _optional(name, partial(load, target / name), readings)

    return Artifacts(
        manifest=manifest,
        catalog=dbt("catalog.json", load_catalog),
        run_results=dbt("run_results.json", partial(load_run_results, dbt_command=dbt_command)),
        sources=dbt("sources.json", partial(load_sources, dbt_command=dbt_command)),
        dlt=dlt,
        readings=tuple(readings),
    )


def read_pipeline(path: Path, *, newest_packages: int = 20) -> tuple[DltArtifacts, list[Reading]]:
    """Read the artifacts of one dlt pipeline, and say how.

    Args:
        path: dlt's working directory of the pipeline.
        newest_packages: how many load packages to read.
    """
    readings: list[Reading] = []
    return _pipeline(path, newest_packages, readings), readings


def _pipeline(path: Path, newest: int, readings: list[Reading]) -> DltArtifacts:
    name = path.name
    schemas: dict[str, DltSchema] = {}
    for file in _schema_files(path):
        label = f"{name}/{file.name}"
        schema = _optional(label, partial(load_schema, file, label), readings)
        if schema is not None:
            schemas[file.name.removesuffix(_SCHEMA)] = schema
    state_name, trace_name = f"{name}/state.json", f"{name}/trace.json"
    state = _optional(state_name, partial(load_state, path / "state.json", state_name), readings)
    trace = _optional(trace_name, partial(load_trace, path / "trace.json", trace_name), readings)
    loads = []
    for folder, status in packages(path, newest=newest):
        read = load_package(folder, status, f"{name}/load/{folder.name}")
        loads.append(read.value)
        readings.append(read.reading)
    return DltArtifacts(name, schemas, state, tuple(loads), trace)


def _optional(name: str, load: Callable[[], Read[T]], readings: list[Reading]) -> T | None:
    try:
        read = load()
    except FileNotFoundError:
        readings.append(Reading(shown(name), None, "missing"))
        return None
    except UserError as error:
        readings.append(Reading(shown(name), None, "unreadable", (str(error),)))
        return None
    readings.append(read.reading)
    return read.value


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # reading it says what is wrong with it
        return True
    return True


def _schema_files(path: Path) -> list[Path]:
    return [file for file in entries(path / "schemas") if file.name.endswith(_SCHEMA)]


def _pipelines(path: Path) -> list[Path]:
    """The directories in which a dlt pipeline has worked."""
    return [
        each
        for each in entries(path)
        if _is_there(each / "schemas") or _is_there(each / "state.json")
    ]
