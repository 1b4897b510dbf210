"""Optional parts of Headrace (its extras), and how they are installed in the project at hand."""

import tomllib
from pathlib import Path
from typing import Any


def how_to_install(extra: str, start: Path | None = None) -> str:
    """The command that installs an extra, such as ``uv sync --extra learn``.

    A project that was started without the extra does not name it yet, so that ``uv sync`` would
    refuse it.

    Args:
        extra: ``serve``, ``postgres``, ``learn``, ``openlineage`` or ``datahub``.
        start: a folder in the project; by default the working directory.
    """
    start = (start or Path.cwd()).resolve()
    files = (folder / "pyproject.toml" for folder in (start, *start.parents))
    found = next((file for file in files if file.is_file()), None)
    content = _read(found) if found else {}
    project = content.get("project") or {}
    known = project.get("optional-dependencies") or {}
    if not content or extra in known:
        return f"uv sync --extra {extra}"
    if found is not None and (found.parent / "src" / "headrace").is_dir():
        extras = ", ".join([*known, extra])
        return f"uv run headrace update --data 'extras=[{extras}]'"
    return f"uv add 'headrace[{extra}]'"


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # uv says what is wrong with it
        return {}
