"""Counts of new, changed and unchanged rows of a load: the table before against after.

dlt merges what a source gives and does not say what it changed. So each row of the raw tables is
hashed before a load, and the rows that carry the load's id are compared with that afterwards: a
row with its nested tables, without dlt's own columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.sql_text import identifier, literal
from headrace.targets import Target

_LOAD_ID = "_dlt_load_id"


@dataclass(frozen=True)
class RowChanges:
    """How many rows of a table a load added, changed and left unchanged.

    Attributes:
        new: rows that the table did not have.
        changed: rows whose key it had, with other values; rows that the load deleted.
        same: rows that it already had with the same values.
    """

    new: int
    changed: int
    same: int


@dataclass
class RowHashes:
    """The rows of a source's root tables as they are before a load, as hashes.

    Attributes:
        target: where they are.
        dataset: the raw schema.
        keys: primary key by table; a table without one is compared row by row.
    """

    target: Target
    dataset: str
    keys: Mapping[str, Sequence[str]]
    _columns: dict[str, list[str]] = field(default_factory=dict)
    _connection: Any = None

    def take(self) -> None:
        """Hash the tables in ``keys``."""
        if not self.keys or not self._is_attached():
            return
        there = self._tables()
        for number, (table, key) in enumerate(self.keys.items()):
            columns = there.get(table, [])
            if _LOAD_ID not in columns or not set(key) <= set(columns):
                continue
            own = [name for name in columns if not name.startswith("_dlt")]
            self._columns[table] = [str(number), *own]
            # what a load that did not end has left is read by nobody
            complete = f"select load_id from {self._name('_dlt_loads')} where status = 0"
            before = self._hashed(table, key, own, there, where=f"{_LOAD_ID} in ({complete})")
            self._connection.execute(f"create table before_{number} as {before}")
        self._connection.execute("detach warehouse")

    def changes(
        self, table: str, key: Sequence[str], load_ids: Sequence[str], *, disposition: str
    ) -> RowChanges | None:
        """How many rows a load added and changed; None if the table cannot be read."""
        if not self._is_attached():
            return None
        try:
            return self._compare(table, key, load_ids, disposition)
        finally:
            self._connection.execute("detach warehouse")

    def close(self) -> None:
        """Drop the hashes."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _compare(
        self, table: str, key: Sequence[str], load_ids: Sequence[str], disposition: str
    ) -> RowChanges | None:
        there = self._tables()
        columns = there.get(table, [])
        if _LOAD_ID not in columns:
            return None
        ids = ", ".join(literal(load_id) for load_id in load_ids) or "null"
        where = f"{_LOAD_ID} in ({ids})"
        if table not in self._columns or disposition == "append":
            row = self._row(f"select count(*) from {self._name(table)} where {where}")
            return RowChanges(row[0], 0, 0)
        number, *own = self._columns[table]
        added = [c for c in columns if not c.startswith("_dlt") and c not in own]
        if not set(own) <= set(columns):
            added, own = [], []  # a column was dropped: all rows count as changed
        after = self._hashed(table, key, own, there, where=where, added=added)
        if not key:
            counted = (
                f"a as (select content, count(*) as n from ({after}) group by content), "
                f"b as (select content, count(*) as n from before_{number} group by content)"
            )
            row = self._row(
                f"with {counted} select coalesce(sum(a.n), 0), "
                "coalesce(sum(least(a.n, coalesce(b.n, 0))), 0) from a left join b using (content)"
            )
            return RowChanges(row[0] - row[1], 0, row[1])
        row = self._row(
            f"with a as ({after}), b as (select * from before_{number}) "
            "select count(*) filter (b.key is null), "
            "count(*) filter (b.key is not null and a.content is distinct from b.content), "
            "count(*) filter (b.key is not null and a.content is not distinct from b.content) "
            "from a left join b on a.key = b.key"
        )
        if disposition != "merge":
            return RowChanges(*row)
        deleted = self._row(
            f"select count(*) from before_{number} where key not in "
            f"(select key from ({self._hashed(table, key, [], there)}))"
        )
        return RowChanges(row[0], row[1] + deleted[0], row[2])

    def _hashed(
        self,
        table: str,
        key: Sequence[str],
        own: Sequence[str],
        there: Mapping[str, list[str]],
        *,
        where: str = "true",
        added: Sequence[str] = (),
    ) -> str:
        """SQL of rows as ``key`` and ``content``, which is null where a new column has a value."""
        values = ", ".join(f"r.{identifier(name)}" for name in own) or "null"
        keys = ", ".join(f"cast(r.{identifier(name)} as varchar)" for name in key)
        nested = "0::uhugeint"
        joins = ""
        for number, child in enumerate(self._nested(table, there)):
            parts = [c for c in there[child] if not c.startswith("_dlt") or c == "_dlt_list_idx"]
            inner = ", ".join(identifier(name) for name in parts) or "null"
            joins += (
                f" left join (select _dlt_root_id as root, sum(hash({literal(child)}, {inner}))"
                f"::uhugeint as rows from {self._name(child)} group by all) as n{number} "
                f"on n{number}.root = r._dlt_id"
            )
            nested += f", n{number}.rows"
        content = f"hash(1, {values}, {nested}) || '-' || hash(2, {nested}, {values})"
        if added:
            is_set = " or ".join(f"r.{identifier(name)} is not null" for name in added)
            content = f"case when {is_set} then null else {content} end"
        return (
            f"select {f'hash(1, {keys}) || hash(2, {keys})' if key else 'null'} as key, "
            f"{content} as content from {self._name(table)} as r{joins} where {where}"
        )

    @staticmethod
    def _nested(table: str, there: Mapping[str, list[str]]) -> list[str]:
        if "_dlt_id" not in there[table]:
            return []
        return sorted(
            name
            for name, columns in there.items()
            if name.startswith(f"{table}__") and "_dlt_root_id" in columns
        )

    def _tables(self) -> dict[str, list[str]]:
        """Columns by table of the raw schema."""
        rows = self._connection.execute(
            "select table_name, column_name from duckdb_columns() "
            f"where database_name = 'warehouse' and schema_name = {literal(self.dataset)} "
            "order by column_index"
        ).fetchall()
        found: dict[str, list[str]] = {}
        for table, column in rows:
            found.setdefault(str(table), []).append(str(column))
        return found

    def _is_attached(self) -> bool:
        """Attach the warehouse to a DuckDB in memory; False if that is not possible."""
        if self._connection is None:
            import duckdb

            self._connection = duckdb.connect(config={"threads": 2, "memory_limit": "1GB"})
            self._connection.execute("set timezone = 'UTC'")
        return self.target.attach(self._connection, "warehouse")

    def _name(self, table: str) -> str:
        return f"warehouse.{identifier(self.dataset)}.{identifier(table)}"

    def _row(self, sql: str) -> tuple[int, ...]:
        return tuple(map(int, self._connection.execute(sql).fetchone() or ()))
