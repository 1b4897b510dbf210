"""Casts that give null instead of losing something: no rounding, no cut times.

They are written for a session whose time zone is UTC: a time without an offset counts as UTC.
"""

from headrace.ingest.sql import identifier


def exact_cast(column: str, read: str, stored: str) -> str:
    """SQL that casts a column to the type it is stored with; null where it does not fit exactly.

    ``'10.5'`` does not become the integer 10 or 11, and ``'2024-01-01 10:00'`` not a date.

    Args:
        column: the column's name, unquoted.
        read: the type that the reader gives.
        stored: the type of the raw table's column.
    """
    name = identifier(column)
    if read == stored:
        return name
    if stored == "JSON":
        return f"to_json({name})"
    if stored == "VARCHAR" and read == "JSON":
        # a JSON text without its quotes, everything else as it is written
        return f"case when json_type({name}) = 'VARCHAR' then {name} ->> '$' else {name} end"
    if stored == "VARCHAR":
        return f"cast({name} as varchar)"
    tried = f"try_cast({name} as {stored})"
    text = f"cast({name} as varchar)"
    if stored == "BIGINT" or (stored.startswith("DECIMAL") and stored.endswith(",0)")):
        if read in {"DOUBLE", "FLOAT"} or read.startswith("DECIMAL"):
            return f"case when {name} = trunc({name}) then {tried} end"
        return f"case when regexp_full_match(trim({text}), '[+-]?[0-9]+([.]0*)?') then {tried} end"
    if stored.startswith("DECIMAL"):
        scale = int(stored.rpartition(",")[2].rstrip(")"))
        return (
            f"case when try_cast({tried} as double) = try_cast({name} as double) "
            f"and not regexp_matches({text}, '[.][0-9]{{{scale}}}[0-9]*[1-9]') then {tried} end"
        )
    if stored == "TIMESTAMP" and read == "VARCHAR":
        # straight to a timestamp, DuckDB would drop the offset
        return f"try_cast(try_cast({name} as timestamptz) as timestamp)"
    if stored == "DATE" and read != "DATE":
        return (
            f"case when try_cast({name} as timestamp) = try_cast({tried} as timestamp) "
            f"then {tried} end"
        )
    return tried
