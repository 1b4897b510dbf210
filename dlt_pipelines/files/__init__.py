"""Files of a folder, an object store or a web server, with settings alone."""

from typing import Any

import dlt
from dlt.extract import DltSource

from headrace.ingest import FileTable, IngestContext, Location, file_resources


def build_source(
    context: IngestContext, *, path: Location, tables: dict[str, FileTable]
) -> DltSource:
    """One raw table for each entry of ``tables``.

    Args:
        context: what the load runs in; its source's name is the dlt schema's name.
        path: what the patterns are relative to: a directory, or an address: ``s3://bucket/folder``,
            ``gs://``, ``az://``, ``https://``.
        tables: raw table name to pattern, key, cursor, types and options.
    """

    def resources() -> Any:
        return file_resources(path, tables, context)

    return dlt.source(resources, name=context.source)()
