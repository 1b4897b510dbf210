"""A name for a little file that a pattern finds: a new source of files is tested with one."""

import re
from pathlib import PurePosixPath

from headrace.ingest.discover import SUFFIXES

_WILD = re.compile(r"\*+|\?|\[([^!\]])[^\]]*\]")


def file_name(pattern: str) -> str:
    """Such as ``orders1.csv`` for ``orders*.csv``; empty where none comes to mind.

    Args:
        pattern: a glob below the source's folder; of files that are not compressed.
    """
    name = _WILD.sub(lambda found: found[1] or "1", pattern.removeprefix("./"))
    if not name.endswith(SUFFIXES):
        name += ".csv"
    is_plain = re.fullmatch(r"[A-Za-z0-9._ /-]{1,60}", name) and ".." not in name
    is_found = not name.startswith("/") and PurePosixPath(name).match(pattern)
    return name if is_plain and is_found else ""
