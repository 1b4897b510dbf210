"""What files are staged in, without a warehouse."""

from functools import cache
from pathlib import Path

import duckdb

from headrace.ingest.model import IngestContext, SchemaContract


def connect() -> duckdb.DuckDBPyConnection:
    """A connection with temporary tables of its own, to a database in memory for all tests.

    To open a database takes far longer than to read a small file.
    """
    return _database().cursor()


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def first_load(folder: Path, *, thorough: bool = False) -> IngestContext:
    """The context of a first load of a folder's files; its scratch folder is there."""
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    return IngestContext(
        source="store",
        sample_dir=folder,
        scratch_dir=scratch,
        cache_path=folder / "cache",
        dataset="store_raw",
        contract=SchemaContract(),
        attach_warehouse=lambda *_: False,
        accepts_sql=True,
        full_refresh=False,
        thorough=thorough,
        memory_limit="512MB",
        report=lambda _: None,
    )
