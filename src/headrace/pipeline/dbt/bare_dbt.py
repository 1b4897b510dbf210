"""Files for tools that run without Headrace: a manifest for editors, and what is loaded, for dbt.

Headrace's own artifacts are in the data directory; ``target/manifest.json`` of the dbt project is a
copy of its manifest. One that an editor, or dbt run by hand, has written is theirs, and stays.

``warehouse.duckdb.sources/loaded_sources.sql`` lies next to the warehouse (other targets:
``data/targets/NAME/NAME.sources``) and defines a dbt macro.
The project's own ``source`` macro tags what reads a source that is not loaded, and the default
selector of ``selectors.yml`` leaves out what is made from it (decision 25).
"""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import xxhash

from headrace import portable
from headrace.settings import Resolved
from headrace.targets import Target

_STAMP = "editor_manifest.stamp"


def keep_manifest(resolved: Resolved) -> None:
    """Copy the manifest of the last whole build, unless somebody else has written one.

    A project that cannot be written to is left as it is.
    """
    ours = resolved.artifacts / "manifest.json"
    theirs = resolved.dbt_project / "target" / "manifest.json"
    stamp = resolved.artifacts.parent / _STAMP
    with suppress(OSError):
        content = ours.read_bytes()
        if theirs.exists():
            there = theirs.read_bytes()
            if there == content or _digest(there) != _read_stamp(stamp):
                return
        elif not os.access(resolved.dbt_project, os.W_OK):
            return
        portable.write_file(theirs, content)
        portable.write_file(stamp, _digest(content))


def _digest(content: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(content)


def _read_stamp(stamp: Path) -> str | None:
    return stamp.read_text("utf-8") if stamp.is_file() else None


RUN_VAR = (
    "headrace_run"  # dbt's variable that says that Headrace itself leaves out what is not loaded
)
# dbt takes over what it parsed before, unless a file that replaces one of a few builtins is new or
# changed; without it the models would keep the tags that they had.
_PARSE_AGAIN = """
{# dbt parses the whole project again when this file is new or changed, because of this macro. #}
{% macro function() %}
{{ return(builtins.function(*varargs, **kwargs)) }}
{% endmacro %}
"""
_VALUE = re.compile(r"^\{\{ return\((\{.*\})\) \}\}$", re.MULTILINE)


def loaded_sources_path(target: Target) -> Path:
    """The file of a target: next to a DuckDB file, else in the target's folder, by its name."""
    lock = target.lock_path
    name = lock.stem if lock.stem.endswith(".duckdb") else target.name
    return lock.with_name(f"{name}.sources") / "loaded_sources.sql"


def keep_loaded(target: Target, loaded: Mapping[str, bool]) -> None:
    """Write down of dbt sources whether they are loaded; what is known of others stays."""
    path = loaded_sources_path(target)
    known = {**_read_loaded(path), **loaded}
    text = (
        "{# Written by headrace: the sources that have raw tables. selectors.yml leaves out what "
        "is made from the others. #}\n"
        "{% macro loaded_sources() %}\n"
        f"{{{{ return({json.dumps(dict(sorted(known.items())))}) }}}}\n"
        "{% endmacro %}\n"
    ) + _PARSE_AGAIN
    if not path.is_file() or path.read_text("utf-8") != text:
        portable.write_file(path, text)


def keep_loaded_settings_sources(resolved: Resolved, target: Target) -> None:
    """Write down of the sources of the settings whether they are loaded."""
    if resolved.settings.dbt.profile is not None:
        return  # a project of its own does not read it
    schemas = {name: resolved.raw_schema(name) for name in resolved.settings.sources}
    there = target.table_names(set(schemas.values()))
    keep_loaded(target, {name: schema in there for name, schema in schemas.items()})


def _read_loaded(path: Path) -> dict[str, bool]:
    try:
        found = _VALUE.search(path.read_text("utf-8"))
        return (
            {str(key): bool(value) for key, value in json.loads(found[1]).items()} if found else {}
        )
    except (OSError, ValueError):
        return {}
