"""Digests of sources: which ones a slim run must load, and which it can read from a state.

A source that is loaded by the same code, settings and schema files as when the state was written
need not be loaded again: its raw tables are in the state.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from headrace import __version__
from headrace.secrets import is_secret, without_credentials
from headrace.settings import Resolved, SourceSettings
from headrace.settings.layers import yaml_layer

_SKIPPED = {"__pycache__"}


def digests(resolved: Resolved) -> dict[str, str]:
    """A digest of the code, settings and schema files of each enabled source.

    Settings count where a file of ``config/`` sets them: what the environment sets is often a
    secret, or a path of one machine. Secrets in a file do not count either.
    """
    return {
        name: _digest(resolved, name, source)
        for name, source in resolved.settings.sources.items()
        if source.enabled
    }


def sources_to_load(
    resolved: Resolved, before: Mapping[str, str], chosen: Mapping[str, SourceSettings]
) -> tuple[dict[str, SourceSettings], list[str]]:
    """The sources whose code, settings or schema files differ from the state's.

    Args:
        resolved: the settings.
        before: the digests of the state.
        chosen: the sources that would be loaded.

    Returns:
        The sources to load, and a note on the others where there are any.
    """
    changed = {
        name: source
        for name, source in chosen.items()
        if before.get(name) != _digest(resolved, name, source)
    }
    same = [name for name in chosen if name not in changed]
    words = (
        f"loaded by what the state's was: {', '.join(same)} (--source NAME loads it all the same)"
    )
    return changed, [words] if same else []


def _digest(resolved: Resolved, name: str, source: SourceSettings) -> str:
    state = xxhash.xxh3_128(f"{__version__}\0{source.kind or name}\0".encode())
    folder = resolved.root / "dlt_pipelines" / (source.kind or name)
    files = _files(folder)
    text = b"\0".join(path.read_bytes() for path in files)
    settings = _settings(resolved, name)
    named = text + repr(settings).encode()
    schemas = [
        path
        for path in _files(resolved.root / "data" / "schemas")
        if path.stem == name or path.name.encode() in named
    ]
    for path in (*files, *schemas):
        state.update(path.relative_to(resolved.root).as_posix().encode() + b"\0")
        state.update(path.read_bytes() + b"\0")
    state.update(repr(settings).encode())
    return state.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not _SKIPPED & set(path.parts)
    )


def _settings(resolved: Resolved, name: str) -> list[Any]:
    """What the project's files set for a source, except whether it is enabled."""
    names = ["default", *([resolved.env] if resolved.env else [])]
    found = []
    for file in names:
        layer = yaml_layer(resolved.root / "config" / f"{file}.yml", f"config/{file}.yml")
        sources = layer.values.get("sources") if layer else None
        options = sources.get(name) if isinstance(sources, Mapping) else None
        if isinstance(options, Mapping):
            found.append({key: value for key, value in options.items() if key != "enabled"})
    return [_plain(options) for options in found]


def _plain(value: Any) -> Any:
    """Options in order, without secrets."""
    if isinstance(value, Mapping):
        return {
            key: _plain(value[key]) for key in sorted(value, key=str) if not is_secret(str(key))
        }
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return without_credentials(value) if isinstance(value, str) else value
