"""How a target makes tables visible to its readers in one step, and what they had before."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from headrace.errors import PublishError
from headrace.fingerprints import rows_and_hashes
from headrace.sql_text import identifier, literal, qualified

if TYPE_CHECKING:
    import duckdb

INFO_SCHEMA = "_headrace"
"""Of a published file: which run published it, and what is in it."""


@dataclass(frozen=True)
class PublishedTable:
    """A table as it was published.

    Attributes:
        schema: dbt's schema, for example ``marts``.
        name: of the table.
        unique_id: dbt's id of it.
        rows: how many it has.
        fingerprint: changes with any value, column, type or description.
    """

    schema: str
    name: str
    unique_id: str
    rows: int
    fingerprint: str

    @property
    def full_name(self) -> str:
        """``schema.name``."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class BuiltTable(PublishedTable):
    """A table that is to be published.

    Attributes:
        description: dbt's, of the table.
        columns: the description of each column that has one.
    """

    description: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class Publication:
    """What readers get at once.

    Attributes:
        run_id: of the run that published it.
        published_at: UTC.
        code_version: of the project.
        tables: all of its tables.
    """

    run_id: str
    published_at: datetime
    code_version: str
    tables: tuple[PublishedTable, ...]


class Publisher(Protocol):
    """Publishes in the engine of a target; the caller holds the target's lock."""

    @property
    def location(self) -> str:
        """Where readers find the tables, for people; never a secret."""

    def fingerprints(
        self, relations: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], tuple[int, str]]:
        """Rows and fingerprint of built tables, by schema and name.

        A fingerprint changes with any value, column or type, whatever the order of the rows. A
        relation that is not there is left out.
        """

    def current(self) -> Publication | None:
        """What readers have; None before the first publication."""

    def publish(
        self,
        publication: Publication,
        changed: Sequence[BuiltTable],
        *,
        keep: int,
        tell: Callable[[BuiltTable, float], None],
    ) -> None:
        """Show readers a publication, in one step.

        They never see half of it, and are never blocked. The cost is in proportion to what changed.
        Tables of the current publication that the new one lacks are dropped.

        Args:
            publication: what readers have afterwards.
            changed: its tables that are to be copied; the others stay as they are published.
            keep: how many earlier publications are kept.
            tell: is told of each table that was copied, and of the seconds that it took.

        Raises:
            PublishError: it cannot; readers have what they had.
        """

    def history(self) -> list[Publication]:
        """What can be gone back to, newest first; the current one is the first."""

    def restore(self, run_id: str) -> Publication:
        """Show readers an earlier publication again, in one step.

        Raises:
            PublishError: it is not kept, or cannot be shown.
        """

    def attach(
        self, connection: "duckdb.DuckDBPyConnection", alias: str, run_id: str | None = None
    ) -> Publication | None:
        """Let a DuckDB in memory read what readers have: ``alias.schema.table``, as dbt named it.

        It is all of one publication, also when another is published meanwhile.

        Args:
            connection: gets what the target needs, such as an extension and a secret.
            alias: the name of a database in memory, see ``attach_published``.
            run_id: of an earlier publication; by default the current one.

        Returns:
            What was attached; None, and nothing was, where it is not published or not kept.

        Raises:
            WarehouseError: it cannot be read.
        """


def attach_published(
    connection: "duckdb.DuckDBPyConnection",
    alias: str,
    publication: Publication,
    query_of: "Callable[[PublishedTable], str]",
) -> None:
    """Make what a published file has of views: its tables, and ``_headrace``, which lists them.

    Args:
        connection: reads what the queries name.
        alias: of a database in memory, which is made.
        publication: whose tables they are.
        query_of: SQL of the rows of a table.

    Raises:
        duckdb.Error: they cannot be read.
    """
    connection.execute(f"attach ':memory:' as {identifier(alias)}")
    for schema in sorted({table.schema for table in publication.tables} | {INFO_SCHEMA}):
        connection.execute(f"create schema if not exists {qualified(alias, schema)}")
    for table in publication.tables:
        name = qualified(alias, table.schema, table.name)
        connection.execute(f"create view {name} as {query_of(table)}")
    info = qualified(alias, INFO_SCHEMA)
    connection.execute(
        f"create table {info}.publication as select {literal(publication.run_id)} as run_id, "
        f"{literal(publication.published_at.isoformat())}::timestamptz as published_at, "
        f"{literal(publication.code_version)} as code_version"
    )
    connection.execute(
        f"create table {info}.tables "
        "(name varchar, row_count bigint, unique_id varchar, fingerprint varchar)"
    )
    for table in publication.tables:
        texts = map(literal, (table.full_name, table.unique_id, table.fingerprint))
        name, unique_id, print_ = texts
        connection.execute(
            f"insert into {info}.tables values ({name}, {table.rows}, {unique_id}, {print_})"
        )


def content_of(connection: "duckdb.DuckDBPyConnection", relation: str) -> tuple[int, str]:
    """Rows and fingerprint of a relation that DuckDB reads, whatever the order of the rows.

    Args:
        connection: reads it.
        relation: its name, quoted.

    Raises:
        duckdb.Error: it cannot be read.
    """
    import duckdb

    described = connection.execute(f"describe {relation}").fetchall()
    shape = [(str(column[0]), str(column[1])) for column in described]
    hashes = rows_and_hashes(connection, relation, (name for name, _ in shape))
    return hashes[0], repr((duckdb.__version__, *hashes, shape))


def require_different_names(tables: Iterable[PublishedTable], schema: str) -> None:
    """Check that no two tables are published by one name.

    Raises:
        PublishError: two are.
    """
    seen: dict[str, str] = {}
    for table in tables:
        other = seen.setdefault(table.name, table.full_name)
        if other != table.full_name:
            raise PublishError(
                f"{other} and {table.full_name} would both be {schema}.{table.name}: give one of "
                "them an alias, or leave its schema out of publish.schemas"
            )
