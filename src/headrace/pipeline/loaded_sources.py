"""Which sources have raw tables, in a file that dbt reads when it is run without Headrace.

``warehouse.duckdb.sources/loaded_sources.sql`` lies next to the warehouse and defines a dbt macro.
The project's own ``source`` macro tags what reads a source that is not loaded, and the default
selector of ``selectors.yml`` leaves out what is made from it (decision 25).
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from headrace import portable
from headrace.settings import Resolved
from headrace.targets import Target

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


def path_of(target: Target) -> Path:
    """The file of a target, next to its lock."""
    return target.lock_path.with_suffix(".sources") / "loaded_sources.sql"


def keep(target: Target, loaded: Mapping[str, bool]) -> None:
    """Write down of dbt sources whether they are loaded; what is known of others stays."""
    path = path_of(target)
    known = {**_read(path), **loaded}
    text = (
        "{# Written by headrace: the sources that have raw tables. selectors.yml leaves out what "
        "is made from the others. #}\n"
        "{% macro loaded_sources() %}\n"
        f"{{{{ return({json.dumps(dict(sorted(known.items())))}) }}}}\n"
        "{% endmacro %}\n"
    ) + _PARSE_AGAIN
    if not path.is_file() or path.read_text("utf-8") != text:
        portable.write_file(path, text)


def keep_settings_sources(resolved: Resolved, target: Target) -> None:
    """Write down of the sources of the settings whether they are loaded."""
    if resolved.settings.dbt.profile is not None:
        return  # a project of its own does not read it
    names = resolved.settings.sources
    keep(target, {name: bool(target.row_counts(resolved.raw_schema(name))) for name in names})


def _read(path: Path) -> dict[str, bool]:
    try:
        found = _VALUE.search(path.read_text("utf-8"))
        return (
            {str(key): bool(value) for key, value in json.loads(found[1]).items()} if found else {}
        )
    except (OSError, ValueError):
        return {}
