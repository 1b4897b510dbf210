"""A manifest where editors look for one: ``target/manifest.json`` of the dbt project.

Headrace's own artifacts are in the data directory. A manifest that an editor, or dbt run by hand,
has written is theirs, and stays.
"""

import os
from contextlib import suppress
from pathlib import Path

import xxhash

from headrace import portable
from headrace.pipeline.dbt_runner import dbt_home
from headrace.settings import Resolved

_STAMP = "editor_manifest.stamp"


def keep(resolved: Resolved) -> None:
    """Copy the manifest of the last whole build, unless somebody else has written one.

    A project that cannot be written to is left as it is.
    """
    ours = resolved.artifacts / "manifest.json"
    theirs = resolved.dbt_project / "target" / "manifest.json"
    stamp = dbt_home(resolved) / _STAMP
    with suppress(OSError):
        content = ours.read_bytes()
        if theirs.exists():
            there = theirs.read_bytes()
            if there == content or _digest(there) != _read(stamp):
                return
        elif not os.access(resolved.dbt_project, os.W_OK):
            return
        portable.write_file(theirs, content)
        portable.write_file(stamp, _digest(content))


def _digest(content: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(content)


def _read(stamp: Path) -> str | None:
    return stamp.read_text("utf-8") if stamp.is_file() else None
