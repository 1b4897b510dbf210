"""PostgreSQL's numerics as DuckDB reads them: views over what DuckDB's extension attaches.

By itself the extension reads a numeric without a precision, or of more than 38 digits, as double,
and NaN in any numeric as 0. Here such columns are DECIMAL(38, n), cast by the server, and a table
with a number that this cannot hold is refused by the query that reads it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.sql_text import identifier, identifiers, literal, qualified

if TYPE_CHECKING:
    import duckdb
    import psycopg

DIGITS = 38
"""Of DuckDB's widest decimal."""
LOADED = "_dlt_load_id"
"""A column of tables that dlt loads: their numerics are declared, and no source has NaN in one."""
PLACES = 18
"""Behind the point, of a numeric that declares none; as in sources of the kind ``sql_database``."""


@dataclass(frozen=True)
class PostgresColumn:
    """A column of a table or view.

    Attributes:
        name: of it.
        is_numeric: whether it holds a numeric, or an array of them.
        is_array: whether it is an array.
        precision: digits of the numeric; None where it declares none.
        scale: of them, those behind the point; negative where the last before it are zeros.
    """

    name: str
    is_numeric: bool
    is_array: bool
    precision: int | None
    scale: int

    @property
    def is_declared(self) -> bool:
        """Whether DuckDB has a decimal of the same digits, which its extension reads it as."""
        return self.precision is not None and 0 <= self.scale <= self.precision <= DIGITS

    @property
    def places(self) -> int:
        """Digits behind the point in DuckDB."""
        return PLACES if self.precision is None else min(max(self.scale, 0), DIGITS)

    @property
    def selected(self) -> str:
        """SQL of the server of the column, in a type that the extension reads as it is."""
        name = identifier(self.name)
        if not self.is_numeric or (self.is_declared and not self.is_array):
            return name
        if self.is_array:
            return f"{name}::text[] as {name}"
        fits = f"case when abs({name}) < 1e{DIGITS - self.places} then {name} end"
        return f"({fits})::numeric({DIGITS}, {self.places}) as {name}"

    @property
    def does_not_fit(self) -> str | None:
        """SQL of the server: whether DuckDB's type cannot hold a value; None where it always can.

        NaN is above all numbers there.
        """
        if not self.is_numeric or self.is_array:
            return None
        name = identifier(self.name)
        if self.is_declared:
            return f"{name} = 'NaN'"
        too_large = f"abs({name}) >= 1e{DIGITS - self.places}"
        if self.precision is None or self.scale <= self.places:
            return too_large
        return f"{too_large} or scale(trim_scale({name})) > {self.places}"


_COLUMNS = """
select
    n.nspname, c.relname, a.attname,
    a.atttypid in ('numeric'::regtype, 'numeric[]'::regtype), a.atttypid = 'numeric[]'::regtype,
    case when a.atttypmod >= 4 then ((a.atttypmod - 4) >> 16) & 65535 end,
    case when a.atttypmod >= 4 then ((a.atttypmod - 4) & 2047 # 1024) - 1024 else 0 end
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where
    c.relkind in ('r', 'p', 'v', 'm', 'f')
    and n.nspname not in ('pg_catalog', 'information_schema')
    and n.nspname not like 'pg\\_%%'
    and has_schema_privilege(n.oid, 'usage')
order by n.nspname, c.relname, a.attnum
"""


def columns_of(
    connection: "psycopg.Connection[tuple[Any, ...]]",
) -> dict[tuple[str, str], list[PostgresColumn]]:
    """The columns of all tables and views of a database, by schema and name."""
    found: dict[tuple[str, str], list[PostgresColumn]] = {}
    for schema, table, *column in connection.execute(_COLUMNS).fetchall():
        found.setdefault((str(schema), str(table)), []).append(PostgresColumn(*column))
    return found


def make_views(
    connection: "duckdb.DuckDBPyConnection",
    alias: str,
    source: str,
    relations: Mapping[tuple[str, str], Sequence[PostgresColumn]],
) -> None:
    """Make a view of each relation, which gives all digits of its numbers or an error.

    Args:
        connection: has the database attached.
        alias: of the database in memory that the views are in, which is made.
        source: the name that the database is attached as.
        relations: its tables and views.

    Raises:
        duckdb.Error: they cannot be read.
    """
    import duckdb

    connection.execute(f"attach ':memory:' as {identifier(alias)}")
    for schema in dict.fromkeys(schema for schema, _ in relations):
        connection.execute(f"create schema if not exists {qualified(alias, schema)}")
    for (schema, name), columns in relations.items():
        view = qualified(alias, schema, name)
        try:
            connection.execute(f"create view {view} as {_query(source, schema, name, columns)}")
        except duckdb.Error as error:
            if "does not exist" not in str(error):  # a build has dropped it meanwhile
                raise


def _query(source: str, schema: str, name: str, columns: Sequence[PostgresColumn]) -> str:
    """DuckDB's SQL of all rows of a relation."""
    table = qualified(schema, name)
    query = f"from {qualified(source, schema, name)}"
    listed = identifiers(one.name for one in columns)
    selected = ", ".join(one.selected for one in columns)
    if selected != listed:
        asked = literal(f"select {selected} from {table}")
        query = f"from postgres_query({literal(source)}, {asked})"
    problems = {one.name: sql for one in columns if (sql := one.does_not_fit) is not None}
    if not problems or any(one.name == LOADED for one in columns):
        return query
    which = ", ".join(
        f"case when bool_or({sql}) then {literal(name)} end" for name, sql in problems.items()
    )
    said = literal(
        f"{schema}.{name} has numbers that DuckDB cannot hold (NaN, an infinity, or too many "
        "digits): cast them in the model, for example to double precision; in the column "
    )
    looked = (
        f"select {said} || concat_ws(', ', {which}) as problem from {table} "
        f"having bool_or({' or '.join(problems.values())})"
    )
    return (
        f"{query} where coalesce((select error(problem) "
        f"from postgres_query({literal(source)}, {literal(looked)}))::boolean, true)"
    )
