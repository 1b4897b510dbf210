"""Names of types that mean the same."""

import re
from functools import lru_cache

_SAME = {
    "varchar": ("string", "text", "character varying", "char", "bpchar", "character", "nvarchar"),
    "tinyint": ("int1",),
    "smallint": ("int2", "short", "int16"),
    "integer": ("int", "int4", "signed", "int32"),
    "bigint": ("int8", "long", "int64"),
    "boolean": ("bool", "logical"),
    "real": ("float4", "float"),
    "double": ("float8", "double precision", "float64"),
    "decimal": ("numeric", "number"),
    "timestamp": ("datetime", "timestamp without time zone", "timestamp_ntz"),
    "timestamp with time zone": ("timestamptz", "timestamp_tz"),
    "time": ("time without time zone",),
    "blob": ("bytea", "binary", "varbinary", "bytes"),
}
_KNOWN = {other: name for name, others in _SAME.items() for other in others}
_WORDS = re.compile(r"[a-z_][a-z0-9_]*(?: [a-z_][a-z0-9_]*)*")
_TEXT_SIZE = re.compile(r"\bvarchar\s*\(\s*\d+\s*\)")


@lru_cache(maxsize=4096)
def same_spelling(data_type: str) -> str:
    """A type's name as one engine would write it: ``string`` and ``VARCHAR`` are ``varchar``.

    The size of a text does not count: DuckDB takes it and drops it.
    """
    folded = " ".join(data_type.lower().split())
    named = _WORDS.sub(lambda found: _renamed(found[0]), folded)
    return _TEXT_SIZE.sub("varchar", named).replace(" ", "")


def _renamed(words: str) -> str:
    """A type's name, or a field's name and its type."""
    parts = words.split(" ")
    for start in range(len(parts)):
        name = " ".join(parts[start:])
        if name in _KNOWN or name in _SAME:
            return " ".join([*parts[:start], _KNOWN.get(name, name)])
    return words
