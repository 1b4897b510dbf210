"""A database in which one column of one table at a time is changed."""

import random

import duckdb

from headrace.lineage.sql.dependencies import VALUE
from headrace.lineage.sql.parse import summarize
from headrace.lineage.sql.relations import Relation, asset_relation
from headrace.lineage.sql.statement import StatementLineage, read

TABLES = {
    "t": ("a", "b", "c", "g"),
    "u": ("a", "d", "e", "g"),
    "w": ("a", "d", "h"),
    "n": ("id", "arr", "s"),
}
_TYPES = {"arr": "int[]", "s": "struct(p int, q int)"}
SEEDS = (1, 2)


def _value(column: str, chance: random.Random) -> object:
    if column == "arr":
        return [chance.randint(0, 4) for _ in range(chance.randint(0, 3))]
    if column == "s":
        return {"p": chance.randint(0, 3), "q": chance.randint(0, 3)}
    return chance.choice([None, 0, 0, 1, 1, 2, 2, 3, 4, 5])


class Lab:
    """A database with a schema for each way in which the data are changed."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"threads": 1})
        for seed in SEEDS:
            chance = random.Random(seed)
            rows = {
                table: [[_value(column, chance) for column in columns] for _ in range(7)]
                for table, columns in TABLES.items()
            }
            self._make(f"base_{seed}", rows)
            for table, columns in TABLES.items():
                for place, column in enumerate(columns):
                    changed = [list(row) for row in rows[table]]
                    for row in changed:
                        if chance.random() < 0.7:
                            row[place] = _value(column, chance)
                    self._make(f"{table}_{column}_{seed}", {**rows, table: changed})

    def _make(self, schema: str, rows: dict[str, list[list[object]]]) -> None:
        self.connection.execute(f"create schema {schema}")
        for table, columns in TABLES.items():
            typed = ", ".join(f"{column} {_TYPES.get(column, 'int')}" for column in columns)
            self.connection.execute(f"create table {schema}.{table} ({typed})")
            values = ", ".join(
                f"({', '.join('null' if cell is None else str(cell) for cell in row)})"
                for row in rows[table]
            )
            self.connection.execute(f"insert into {schema}.{table} values {values}")

    def bags(self, schema: str, sql: str) -> tuple[list[str], list[list[str]]]:
        """The names of the result's columns, and the sorted values of each."""
        self.connection.execute(f"set search_path = '{schema}'")
        cursor = self.connection.execute(sql)
        names = [column[0] for column in cursor.description or ()]
        columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(names)
        return names, [sorted(map(repr, values)) for values in columns]

    def check(self, sql: str, seeds: tuple[int, ...] = SEEDS) -> StatementLineage:
        """Assert that all that changes is claimed."""
        found = read(summarize(sql, "duckdb"), _tables)
        assert found.problems == (), sql
        columns = found.relation.columns
        for seed in seeds:
            names, before = self.bags(f"base_{seed}", sql)
            assert len(names) == len(columns), (sql, names, columns)
            for table, sources in TABLES.items():
                for source in sources:
                    key = (table, source)
                    if key in found.relation.rows or f" {table}" not in sql:
                        continue
                    _, after = self.bags(f"{table}_{source}_{seed}", sql)
                    for (name, deps), old, new in zip(columns, before, after, strict=True):
                        assert old == new or key in deps, f"{name} of {sql} is made from {key}"
        return found

    def exact(self, sql: str) -> None:
        """Assert that what is claimed to flow into a column is what changes it, and all of it."""
        found = self.check(sql)
        columns = found.relation.columns
        changed: list[set[tuple[str, str]]] = [set() for _ in columns]
        for seed in SEEDS:
            names, before = self.bags(f"base_{seed}", sql)
            assert names == [name for name, _ in columns], sql
            for table, sources in TABLES.items():
                for source in sources if f" {table}" in sql else ():
                    _, after = self.bags(f"{table}_{source}_{seed}", sql)
                    for deps, old, new in zip(changed, before, after, strict=True):
                        if old != new:
                            deps.add((table, source))
        for (name, claimed), seen in zip(columns, changed, strict=True):
            direct = {key for key, ways in claimed.items() if ways & VALUE and key[1]}
            assert direct <= seen, f"{name} of {sql} is not made from {direct - seen}"


def _tables(parts: tuple[str, ...]) -> Relation | None:
    columns = TABLES.get(parts[-1])
    return None if columns is None else asset_relation(parts[-1], columns, None)
