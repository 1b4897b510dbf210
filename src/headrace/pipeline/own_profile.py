"""The output of a dbt project's own ``profiles.yml``, next to what the target says."""

import os
from pathlib import Path
from typing import Any

from headrace.errors import ProjectError, SettingsError
from headrace.settings import ProfileSettings, Resolved

_TARGETS = ("type", "path")
"""Keys that are the target's: which file dbt builds in."""


def profiles(path: Path) -> dict[str, Any]:
    """The profiles of a ``profiles.yml`` as they are written, with Jinja in them.

    Raises:
        ProjectError: it is not there, or cannot be read as profiles.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProjectError(f"{path} cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, YAMLError) as error:
        raise ProjectError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise ProjectError(f"{path} holds no profiles")
    return document


def read(resolved: Resolved, profile: ProfileSettings) -> dict[str, Any]:
    """The output that the settings name, as it is written.

    Raises:
        ProjectError: the file cannot be read.
        SettingsError: it has no such profile or output.
    """
    path = resolved.source_path(profile.path)
    found = profiles(path).get(profile.name)
    outputs = found.get("outputs") if isinstance(found, dict) else None
    output = outputs.get(profile.output) if isinstance(outputs, dict) else None
    if not isinstance(output, dict):
        raise SettingsError(
            f"dbt.profile: {path} has no output {profile.output!r} of a profile {profile.name!r}: "
            "name one that it has"
        )
    return output


def merged(own: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    """A project's own output, for the database of the target.

    Args:
        own: as written in its ``profiles.yml``.
        target: the target's output; its ``type`` and ``path`` hold, else ``own``.
    """
    nested = {
        key: {**target[key], **own[key]}
        for key in ("config_options", "settings")
        if isinstance(own.get(key), dict) and isinstance(target.get(key), dict)
    }
    return {**target, **own, **nested, **{key: target[key] for key in _TARGETS}}


def database_path(own: dict[str, Any], project: Path, root: Path) -> str | None:
    """The database file of a DuckDB output; None if it is in memory.

    dbt-duckdb starts a relative path at the folder where dbt is called: that of the project, or the
    root of the repository.

    Raises:
        ValueError: a variable that its path is made from is not set.
    """
    from headrace.libraries.dbt import rendered

    path = rendered(str(own.get("path") or ":memory:"))
    if path.startswith(":memory:"):
        return None
    if path.startswith(("md:", "motherduck:")) or "://" in path:
        return path
    in_project, in_root = (Path(os.path.normpath(each / path)) for each in (project, root))
    return str(in_root if in_root.exists() and not in_project.exists() else in_project)
