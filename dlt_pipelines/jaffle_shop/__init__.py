"""The jaffle shop: customers, orders and payments from three CSV files."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import dlt
from dlt.extract import DltSource

from dlt_pipelines.jaffle_shop.sample import complete_sample
from headrace.ingest import FileTable, IngestContext, file_resources

TABLES = {
    "raw_customers": FileTable(
        pattern="raw_customers.csv",
        primary_key=("id",),
        columns={"id": "bigint", "first_name": "varchar", "last_name": "varchar"},
        required=("first_name", "last_name"),
    ),
    "raw_orders": FileTable(
        pattern="raw_orders.csv",
        primary_key=("id",),
        columns={
            "id": "bigint",
            "user_id": "bigint",
            "order_date": "date",
            "status": "varchar",
        },
        required=("user_id", "order_date", "status"),
    ),
    "raw_payments": FileTable(
        pattern="raw_payments.csv",
        primary_key=("id",),
        columns={
            "id": "bigint",
            "order_id": "bigint",
            "payment_method": "varchar",
            "amount": "bigint",  # cents
        },
        required=("order_id", "payment_method", "amount"),
    ),
}


def build_source(
    context: IngestContext,
    *,
    path: Path | None = None,
    delimiter: str = ",",
    encoding: Literal["utf-8", "utf-16", "latin-1"] = "utf-8",
) -> DltSource:
    """The source as the settings describe it.

    Args:
        context: what the load runs in.
        path: the directory of the three CSV files; by default, sample files are written to
            ``data/jaffle_shop`` if they do not exist.
        delimiter: between the columns.
        encoding: of the files.

    Raises:
        OSError: the sample files cannot be written.
    """
    directory = path
    if directory is None:
        directory = context.sample_dir
        names = [name for table in TABLES.values() for name in table.patterns]
        complete_sample(directory, names)
    tables = {
        name: replace(table, delimiter=delimiter, encoding=encoding)
        for name, table in TABLES.items()
    }
    return jaffle_shop(directory, tables, context, is_sample=path is None)


@dlt.source(name="jaffle_shop")
def jaffle_shop(
    directory: Path, tables: dict[str, FileTable], context: IngestContext, *, is_sample: bool
) -> Any:
    """``raw_customers``, ``raw_orders`` and ``raw_payments``, each merged on ``id``."""
    return file_resources(directory, tables, context, is_sample=is_sample)
