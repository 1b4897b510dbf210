"""What OpenLineage calls the places that sources read from, so that other tools' events join.

https://openlineage.io/docs/spec/naming: ``postgres://host:port`` and ``database.schema.table``,
``mysql://host:port`` and ``database.table``, ``s3://bucket`` and the object's path.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from headrace.export.openlineage.naming import DatasetName

# scheme of SQLAlchemy: scheme of OpenLineage, port, the schema that a table stands in by default
_DATABASES = {
    "postgresql": ("postgres", 5432, "public"),
    "postgres": ("postgres", 5432, "public"),
    "redshift": ("redshift", 5439, "public"),
    "mssql": ("mssql", 1433, "dbo"),
    "mysql": ("mysql", 3306, None),
    "mariadb": ("mysql", 3306, None),
}
_STORES = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs"}


def table_origin(options: Mapping[str, Any], table: str) -> DatasetName | None:
    """A table of a SQL database; None of a source of another kind.

    Args:
        options: a source's: ``url`` as SQLAlchemy takes it, ``schema``, ``tables``.
        table: its name, which is the resource's.
    """
    url = options.get("url")
    if not isinstance(url, str) or "tables" not in options:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    known = _DATABASES.get(parts.scheme.partition("+")[0])
    database = unquote(parts.path.strip("/"))
    if known is None or not parts.hostname or not database:
        return None
    scheme, usual_port, usual_schema = known
    schema = str(options.get("schema") or usual_schema or "")
    name = ".".join(part for part in (database, schema, table) if part)
    if usual_schema is None:  # MySQL's schemas are its databases
        name = f"{options.get('schema') or database}.{table}"
    return DatasetName(f"{scheme}://{parts.hostname}:{port or usual_port}", name)


def store_origin(path: str) -> DatasetName | None:
    """A folder of an object store; None of one on this machine."""
    parts = urlsplit(path)
    scheme = _STORES.get(parts.scheme)
    if scheme is None or not parts.netloc:
        return None
    return DatasetName(f"{scheme}://{parts.hostname}", parts.path.strip("/") or "/")
