"""Any folder of CSV, Parquet or JSON lines files, with settings alone."""

from pathlib import Path
from typing import Any

import dlt
from dlt.extract import DltSource

from headrace.ingest import FileTable, IngestContext, file_resources


def build_source(context: IngestContext, *, path: Path, tables: dict[str, FileTable]) -> DltSource:
    """One raw table for each entry of ``tables``.

    Args:
        context: what the load runs in; its source's name is the dlt schema's name.
        path: the directory that the patterns are relative to.
        tables: raw table name to pattern, key, cursor, types and options.
    """

    def resources() -> Any:
        return file_resources(path, tables, context)

    return dlt.source(resources, name=context.source)()
