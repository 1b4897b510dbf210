"""How dbt is called: in this process, with a profile and places that come from the settings."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import SEEK_END, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headrace import portable, process
from headrace.artifacts import Manifest, read_manifest
from headrace.errors import TransformError, WarehouseError
from headrace.secrets import hide_in_files
from headrace.settings import Resolved
from headrace.system_errors import system_fault
from headrace.targets import Target

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunner, dbtRunnerResult

_ENVIRONMENT = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DBT_ENGINE_HINTS_ENABLED": "false",  # dbt notes in the home folder that it showed one
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True)
class Parsed:
    """A parsed project.

    Attributes:
        runner: runs commands on it without parsing again.
        graph: dbt's own manifest object, which the runner works on.
        manifest: what dbt wrote of it.
    """

    runner: "dbtRunner"
    graph: Any
    manifest: Manifest


def home_of(resolved: Resolved) -> Path:
    """Where the profile and the artifacts of whole builds are: ``target`` in it is dbt's."""
    return resolved.artifacts.parent


def write_profile(
    resolved: Resolved, target: Target, home: Path | None = None, **more: Any
) -> None:
    """Write ``profiles.yml`` from the settings.

    Args:
        resolved: the settings.
        target: what it leads to.
        home: the folder to write to, if not that of whole builds.
        more: further keys of the target's output.
    """
    from ruamel.yaml import YAML

    output = {**target.dbt_output(), **more}
    profile = {"headrace": {"target": target.name, "outputs": {target.name: output}}}
    text = StringIO("# Written by headrace from its settings; changes are lost.\n")
    text.seek(0, SEEK_END)
    YAML(typ="safe", pure=True).dump(profile, text)
    portable.write_file((home or home_of(resolved)) / "profiles.yml", text.getvalue())


@contextmanager
def environment(home: Path | None = None) -> Iterator[None]:
    """dbt without telemetry and hints; its imports without pauses for the garbage collector.

    At the end no secret is in what it wrote below ``home``.
    """
    began = time.time() - 1  # some file systems keep whole seconds
    try:
        with process.environment(_ENVIRONMENT):
            with process.gc_paused():
                import dbt.cli.main
            del dbt
            yield
    finally:
        if home is not None:
            hide_in_files(home, ("target/**/*",), since=began)


def arguments(resolved: Resolved, home: Path | None = None) -> list[str]:
    """What every command of dbt is told.

    Args:
        resolved: the settings.
        home: where the profile is, and the artifacts go, if not those of whole builds.
    """
    import json

    home = home or home_of(resolved)
    words = [
        "--project-dir", str(resolved.dbt_project),
        "--profiles-dir", str(home),
        "--target-path", str(home / "target"),
        "--log-path", str(resolved.data_dir / "logs"),
        "--log-level", "none",
        "--no-use-colors",
        "--no-print",
    ]  # fmt: skip
    if resolved.settings.dbt.vars:
        words += ["--vars", json.dumps(resolved.settings.dbt.vars)]
    return words


def parse(resolved: Resolved, home: Path | None = None) -> Parsed:
    """Parse the project.

    Raises:
        TransformError: dbt cannot.
        WarehouseError: the target cannot be opened.
    """
    from dbt.cli.main import dbtRunner

    home = home or home_of(resolved)
    result = dbtRunner().invoke(["parse", *arguments(resolved, home)])
    if not result.success:
        raise transform_error(result) from result.exception
    graph = cast("Any", result.result)
    return Parsed(dbtRunner(manifest=graph), graph, read_manifest(home / "target"))


def sources_not_loaded(manifest: Manifest, target: Target) -> list[str]:
    """dbt sources whose raw schema has no table yet; their models wait until it has."""
    schemas = {source.source_name: source.schema_name for source in manifest.sources.values()}
    return sorted(name for name, schema in schemas.items() if not target.row_counts(schema))


def without(sources: Sequence[str]) -> list[str]:
    """Arguments that leave out what is made from some sources."""
    return [word for name in sources for word in ("--exclude", f"source:{name}+")]


def transform_error(result: "dbtRunnerResult") -> Exception:
    """dbt's exception as one sentence."""
    error = result.exception
    fault = system_fault(error) if error else None
    if fault is not None:
        return WarehouseError(f"dbt cannot build the project: {fault.message}")
    text = first_lines(str(error) if error else "dbt ended without a result") or ""
    if "Could not set lock" in text or "IO Error" in text:
        return WarehouseError(text)
    return TransformError(f"dbt cannot build the project: {text} (correct it, then run again)")


def first_lines(message: str | None, limit: int = 400) -> str | None:
    """A message of many lines as one."""
    if not message:
        return None
    text = " ".join(line.strip() for line in message.strip().splitlines() if line.strip())
    return text if len(text) <= limit else text[: limit - 1] + "…"
