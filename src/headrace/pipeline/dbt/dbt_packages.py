"""dbt packages: `dbt deps` before a build whose packages.yml or dependencies.yml changed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xxhash

from headrace import portable, yaml_editor
from headrace.errors import TransformError
from headrace.file_changes import read_text
from headrace.formatting import one_line
from headrace.pipeline.dbt import dbt_runner
from headrace.pipeline.reports import Event, Listener
from headrace.settings import Resolved

FILES = ("packages.yml", "dependencies.yml")
_LOCK = "package-lock.yml"
_STAMP = "packages.stamp"


def are_missing(resolved: Resolved) -> bool:
    """Whether ``install`` has packages to install."""
    root = resolved.dbt_project
    wanted = sum(len(_packages(root / name)) for name in FILES)
    return wanted > 0 and not _are_current(resolved, wanted)


def _are_current(resolved: Resolved, wanted: int) -> bool:
    root, stamp = resolved.dbt_project, dbt_runner.dbt_home(resolved) / _STAMP
    there = len(list(folders(root)))
    return there >= wanted and stamp.is_file() and stamp.read_text("utf-8") == _digest(root)


def install(resolved: Resolved, listen: Listener) -> str | None:
    """Have dbt install the packages, where the files that name them are not those of the last time.

    Local packages need no network.

    Args:
        resolved: the settings.
        listen: is told when dbt begins.

    Returns:
        A note where the packages could not be installed, and those of an earlier time are there.

    Raises:
        ProjectFileError: a file that names packages is not YAML.
        TransformError: they could not be installed, and some are missing.
    """
    root = resolved.dbt_project
    named = [name for name in FILES if _packages(root / name)]
    if not named:
        return None
    wanted = sum(len(_packages(root / name)) for name in named)
    stamp = dbt_runner.dbt_home(resolved) / _STAMP
    if _are_current(resolved, wanted):
        return None
    listen(Event("build", f"installing the packages of {named[0]} (dbt deps)", "phase"))
    problem = run_deps(resolved)
    if problem is None:
        portable.write_file(stamp, _digest(root))
        return None
    if len(list(folders(root))) < wanted:
        raise TransformError(
            f"the packages of {named[0]} cannot be installed: {problem} (without a network, keep "
            f"them in the project and name them with `local:`, or run `dbt deps` where there is "
            "one and bring dbt_packages/ along)"
        )
    return (
        f"{named[0]}: `dbt deps` failed ({problem}); built with the packages that were installed "
        "before"
    )


def folders(root: Path) -> Iterator[Path]:
    """The folders of the packages that are installed in a dbt project."""
    for folder in sorted((root / _install_path(root)).glob("*")):
        if (folder / "dbt_project.yml").is_file():
            yield folder


def _install_path(root: Path) -> str:
    text = read_text(root / "dbt_project.yml")
    if "packages-install-path" not in text:  # almost always; parsing takes longer than reading
        return "dbt_packages"
    data = yaml_editor.parse(text, "dbt_project.yml").data
    return str(data.get("packages-install-path") or "dbt_packages")


def _packages(path: Path) -> list[Any]:
    if not path.is_file():
        return []
    data = yaml_editor.parse(read_text(path), path.name).data
    packages = data.get("packages") if isinstance(data, dict) else None
    return packages if isinstance(packages, list) else []


def _digest(root: Path) -> str:
    state = xxhash.xxh3_128()
    for name in (*FILES, _LOCK):
        path = root / name
        state.update(name.encode() + b"\0" + (path.read_bytes() if path.is_file() else b"") + b"\0")
    return state.hexdigest()


def run_deps(resolved: Resolved) -> str | None:
    """Run `dbt deps`; why it failed, or None."""
    with dbt_runner.environment():
        from dbt.cli.main import dbtRunner

        here = Path.cwd()
        try:
            result = dbtRunner().invoke(
                [
                    "deps",
                    *("--project-dir", str(resolved.dbt_project)),
                    *("--profiles-dir", str(dbt_runner.dbt_home(resolved))),
                    *("--log-path", str(resolved.data_dir / "logs")),
                    *("--log-level", "none", "--no-use-colors", "--quiet"),
                ]
            )
        finally:
            os.chdir(here)
    if result.success:
        return None
    return one_line(
        str(result.exception) if result.exception else "dbt deps ended without success", 160
    )
