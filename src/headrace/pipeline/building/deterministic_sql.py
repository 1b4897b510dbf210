"""Whether a query gives the same result as long as certain relations hold the same rows."""

import re
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from headrace.libraries.duckdb import connect, objects_in, parsed

Relation = tuple[str, str]
"""Schema and name, in lower case."""

VOLATILE = re.compile(
    r"\b(current_time(stamp)?|localtime(stamp)?|now|random|uuid\w*|gen_random_uuid|nextval|"
    r"transaction_timestamp|get_current_time(stamp)?)\b",
    re.IGNORECASE,
)
"""Names of functions, some of which are called without parentheses."""
_SAME_ALL_DAY = {"current_date", "today"}
_READ_SURROUNDINGS = {"age", "getenv", "getvariable", "session_user", "user", "version"}
"""Although DuckDB calls them consistent: ``age(at)`` counts from now."""
_ROW_GENERATORS = {"generate_series", "range", "unnest"}


class DeterministicSql:
    """Looks at DuckDB's parse of a query, on one day; for several threads."""

    def __init__(self, connection: Any, database: str) -> None:
        """Ask DuckDB for its functions.

        Args:
            connection: to a DuckDB in memory.
            database: that the relations are in.
        """
        self._connection, self._database = connection, database.lower()
        self._lock = threading.Lock()
        rows = connection.execute(
            "select lower(function_name) from duckdb_functions() "
            "where function_type in ('scalar', 'aggregate', 'macro') "
            "group by all having bool_and(coalesce(stability = 'CONSISTENT', not "
            "regexp_matches(lower(macro_definition), 'current_|now|random|uuid|duckdb_')))"
        ).fetchall()
        consistent = {name for (name,) in rows if not name.startswith(("current_", "pg_"))}
        self._functions = consistent - _READ_SURROUNDINGS | _SAME_ALL_DAY | {"unnest"}

    @classmethod
    @contextmanager
    def opened(cls, database: str) -> Iterator["DeterministicSql"]:
        """With a DuckDB of its own."""
        with connect() as connection:
            yield cls(connection, database)

    def depends_only_on(self, sql: str, relations: Collection[Relation]) -> bool:
        """Whether the result is the same while these relations are; False where that is not known.

        Args:
            sql: one ``select``.
            relations: of the database.
        """
        with self._lock:
            tree = parsed(self._connection, sql)
        if tree is None:
            return False
        parts = list(objects_in(tree))
        ctes = {str(key).lower() for part in parts for key in _ctes(part)}
        return all(self._is_known(part, relations, ctes) for part in parts)

    def _is_known(
        self, part: Mapping[str, Any], relations: Collection[Relation], ctes: Collection[str]
    ) -> bool:
        if part.get("sample"):
            return False
        kind = part.get("type")
        if kind == "BASE_TABLE":
            schema, name = part["schema_name"].lower(), part["table_name"].lower()
            if (part["catalog_name"] or self._database).lower() != self._database:
                return False
            return (schema, name) in relations if schema else name in ctes
        if kind == "TABLE_FUNCTION":
            return part["function"]["function_name"] in _ROW_GENERATORS
        if kind == "COLUMN_REF":
            names = part["column_names"]
            return len(names) > 1 or not VOLATILE.fullmatch(names[0])
        if kind == "FUNCTION" and not part.get("is_operator"):
            return part["function_name"].lower() in self._functions
        return kind != "SHOW_REF"


def _ctes(part: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(found := part.get("cte_map"), dict):
        yield from (one["key"] for one in found.get("map", ()))
