"""Whether a query gives the same result as long as certain relations hold the same rows."""

import re
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from headrace.libraries.duckdb import connect, objects_in, parsed
from headrace.sql_text import identifier, qualified

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
        parts = self._parts(sql)
        ctes = {name for part in parts for name, _ in _ctes(part)}
        return bool(parts) and all(self._is_known(part, relations, ctes) for part in parts)

    def leaves_out_incomplete(self, sql: str, loads: Relation) -> bool:
        """Whether a query reads a table of dlt's loads only to leave out rows of incomplete ones.

        That is ``_dlt_load_id in (select load_id from _dlt_loads where status = 0)``, so or with
        a CTE. A load that did not end never becomes complete, so which rows count does not change
        by later loads.

        Args:
            sql: one ``select``.
            loads: a ``_dlt_loads`` of the database.
        """
        parts = self._parts(sql)
        complete = self._node(
            f"select load_id from {qualified(self._database, *loads)} where status = 0"
        )
        ctes = [cte for part in parts for cte in _ctes(part)]
        names = [name for name, query in ctes if query["node"] == complete]
        if not parts or any([name for name, _ in ctes].count(name) > 1 for name in names):
            return False
        nodes = [complete]
        for name in map(identifier, names):
            nodes.append(self._node(f"select load_id from {name}"))
            nodes.append(self._node(f"select {name}.load_id from {name}"))
        filters = [
            part
            for part in parts
            if part.get("type") == "SUBQUERY"
            and (part["subquery_type"], part["comparison_type"]) == ("ANY", "COMPARE_EQUAL")
            and part["child"].get("column_names", [""])[-1] == "_dlt_load_id"
            and part["subquery"]["node"] in nodes
        ]
        read = [
            (part["schema_name"], part["table_name"])
            for part in parts
            if part.get("type") == "BASE_TABLE"
        ]
        uses = read.count(loads) - len(names) + sum(read.count(("", name)) for name in names)
        return len(filters) == uses

    def _parts(self, sql: str) -> list[dict[str, Any]]:
        """All objects of a parsed query, without their places, names of tables in lower case."""
        with self._lock:
            parts = list(objects_in(parsed(self._connection, sql)))
        for part in parts:
            part.pop("query_location", None)
            for key in ("catalog_name", "schema_name", "table_name"):
                if key in part:
                    part[key] = part[key].lower()
        return parts

    def _node(self, sql: str) -> Any:
        """A query as one of these objects."""
        return self._parts(sql)[0]["statements"][0]["node"]

    def _is_known(
        self, part: Mapping[str, Any], relations: Collection[Relation], ctes: Collection[str]
    ) -> bool:
        if part.get("sample"):
            return False
        kind = part.get("type")
        if kind == "BASE_TABLE":
            schema, name = part["schema_name"], part["table_name"]
            if (part["catalog_name"] or self._database) != self._database:
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


def _ctes(part: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The names, in lower case, and queries of a ``with``."""
    if isinstance(found := part.get("cte_map"), dict):
        for one in found.get("map", ()):
            yield str(one["key"]).lower(), one["value"]["query"]
