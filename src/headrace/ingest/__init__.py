"""From files to rows that dlt can load: discovery, checks, quarantine, and what changed."""

from headrace.ingest.locations import Location
from headrace.ingest.model import FileTable, IngestContext, SchemaContract, TableLoad
from headrace.ingest.quarantine import QUARANTINE_TABLE
from headrace.ingest.resource import file_resources

__all__ = [
    "QUARANTINE_TABLE",
    "FileTable",
    "IngestContext",
    "Location",
    "SchemaContract",
    "TableLoad",
    "file_resources",
]
