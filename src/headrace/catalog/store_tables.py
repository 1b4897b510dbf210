"""The tables of the run store, and the upgrade of an older store."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection, Table

SCHEMA_VERSION = 6

# Columns that came after version 1, by the version that brought them.
_NEW_COLUMNS = {
    2: (("steps", "started_at"), ("nodes", "started_at"), ("nodes", "thread")),
    3: (("loads", "rows_given"), ("loads", "rows_unchanged")),
    4: (("runs", "number"),),
    5: (("runs", "detail"), ("nodes", "detail")),
    6: (("steps", "message"),),  # and the tables of what is known of each table, see below
}


def upgrade(connection: "Connection", tables: "dict[str, Table]", found: int) -> None:
    """Add the columns that a store of version ``found`` lacks; they are null in its rows."""
    from sqlalchemy import inspect, text

    for version in range(found + 1, SCHEMA_VERSION + 1):
        for table, column in _NEW_COLUMNS.get(version, ()):
            there = {info["name"] for info in inspect(connection).get_columns(table)}
            if column not in there:  # else: an upgrade was interrupted before it wrote the version
                kind = tables[table].c[column].type.compile(connection.dialect)
                connection.execute(text(f'alter table {table} add column "{column}" {kind}'))
    for made in tables.values():
        for index in made.indexes:
            index.create(connection, checkfirst=True)


def tables() -> "dict[str, Table]":
    """All tables by name; a function, since SQLAlchemy is imported late."""
    from sqlalchemy import (
        BigInteger,
        Column,
        DateTime,
        Float,
        ForeignKey,
        Index,
        Integer,
        MetaData,
        String,
        Table,
        Text,
    )

    metadata: MetaData = MetaData()
    timestamp = DateTime(timezone=True)

    def run_column() -> "Column[Any]":
        return Column("run_id", String(40), ForeignKey("runs.run_id"), nullable=False, index=True)

    def identity() -> "Column[Any]":
        return Column(
            "id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
        )

    Table(
        "meta",
        metadata,
        Column("key", String(40), primary_key=True),
        Column("value", Text, nullable=False),
    )
    Table(
        "runs",
        metadata,
        Column("run_id", String(40), primary_key=True),
        Column("command", String(200), nullable=False),
        Column("status", String(20), nullable=False),
        Column("target", String(80), nullable=False),
        Column("lock", Text, nullable=False),
        Column("started_at", timestamp, nullable=False),
        Column("seconds", Float),
        Column("rows_loaded", BigInteger),
        Column("published_path", Text),
        Column("error", Text),
        Column("code_version", String(80), nullable=False),
        Column("detail", Text),  # of the error: JSON
        Column("number", BigInteger),  # in the order of their start, whatever the clock says
        Index("ix_runs_started_at", "started_at"),
    )
    Table(
        "steps",
        metadata,
        identity(),
        run_column(),
        Column("step", String(20), nullable=False),
        Column("status", String(20), nullable=False),
        Column("seconds", Float, nullable=False),
        Column("started_at", timestamp),
        Column("message", Text),  # why it failed
    )
    Table(
        "loads",
        metadata,
        identity(),
        run_column(),
        Column("source", String(200), nullable=False),
        Column("table", String(200), nullable=False),
        Column("rows_given", BigInteger),
        Column("rows_new", BigInteger, nullable=False),
        Column("rows_changed", BigInteger, nullable=False),
        Column("rows_unchanged", BigInteger),
        Column("rows_total", BigInteger, nullable=False),
        Column("rows_quarantined", BigInteger, nullable=False),
        Column("new_columns", Text),
    )
    Table(
        "nodes",
        metadata,
        identity(),
        run_column(),
        Column("unique_id", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("label", Text, nullable=False),
        Column("resource_type", String(40), nullable=False),
        Column("status", String(20), nullable=False),
        Column("seconds", Float, nullable=False),
        Column("failures", BigInteger),
        Column("message", Text),
        Column("detail", Text),  # of the message: JSON
        Column("started_at", timestamp),
        Column("thread", String(80)),
        Index("ix_nodes_unique_id", "unique_id", "id"),
    )
    Table(
        "load_failures",
        metadata,
        identity(),
        run_column(),
        Column("source", String(200), nullable=False),
        Column("table", String(200)),  # null: the whole source
        Column("message", Text, nullable=False),
    )
    Table(
        "row_counts",  # of models that are published, when they were audited
        metadata,
        identity(),
        run_column(),
        Column("unique_id", Text, nullable=False),
        Column("rows", BigInteger, nullable=False),
        Column("rows_new", BigInteger),  # these two are null where they were not compared
        Column("rows_changed", BigInteger),
        Index("ix_row_counts_unique_id", "unique_id", "id"),
    )
    Table(
        "quarantine",  # as it is now; what each load quarantined is in its row of `loads`
        metadata,
        identity(),
        Column("run_id", String(40)),
        Column("source", String(200), nullable=False, index=True),
        Column("table", String(200), nullable=False),
        Column("reason", String(80), nullable=False),
        Column("rows", BigInteger, nullable=False),
        Column("sample", Text, nullable=False),  # a few of the rows, masked: JSON
    )
    _catalog_tables(metadata)
    return dict(metadata.tables)


def _catalog_tables(metadata: Any) -> None:
    """The catalog by version: a row is valid from version ``since`` until before ``until``.

    A row whose ``until`` is null is valid now.
    """
    from sqlalchemy import (
        BigInteger,
        Boolean,
        Column,
        DateTime,
        Index,
        Integer,
        String,
        Table,
        Text,
    )

    def span() -> "list[Column[Any]]":
        return [
            Column(
                "id",
                BigInteger().with_variant(Integer, "sqlite"),
                primary_key=True,
                autoincrement=True,
            ),
            Column("asset_id", Text, nullable=False),
            Column("since", Integer, nullable=False),
            Column("until", Integer),
        ]

    Table(
        "catalog_versions",
        metadata,
        Column("version", Integer, primary_key=True, autoincrement=False),
        Column("run_id", String(40)),
        Column("created_at", DateTime(timezone=True), nullable=False),
        Column("digest", String(32), nullable=False),
        Column("readings", Text, nullable=False),
    )
    Table(
        "catalog_assets",
        metadata,
        *span(),
        Column("kind", String(20), nullable=False),
        Column("name", Text, nullable=False),
        Column("description", Text, nullable=False),
        Column("digest", String(32), nullable=False),
        Column("payload", Text, nullable=False),
        Index("ix_catalog_assets_until", "until"),
        Index("ix_catalog_assets_since", "since"),
    )
    Table(
        "catalog_columns",
        metadata,
        *span(),
        Column("name", Text, nullable=False),
        Column("position", Integer, nullable=False),
        Column("data_type", Text),
        Column("description", Text, nullable=False),
        Column("tags", Text, nullable=False),
        Column("pii", Text),
        Column("nullable", Boolean),
        Index("ix_catalog_columns_until", "until"),
        Index("ix_catalog_columns_since", "since"),
    )
    Table(
        "catalog_lineage",
        metadata,
        *span(),
        Column("digest", String(32), nullable=False),
        Column("payload", Text, nullable=False),
        Index("ix_catalog_lineage_until", "until"),
    )
