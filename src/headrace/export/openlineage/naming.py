"""What jobs and datasets are called, by OpenLineage's naming rules.

A dataset's namespace is its data source, as ``scheme:[//authority]``; its name is unique there
(https://openlineage.io/docs/spec/naming). The rules have no entry for DuckDB, so these are the
names that OpenLineage's own dbt integration uses: ``duckdb://<file>`` and
``<database>.<schema>.<table>``; events of both meet in one graph. A folder of files has the
namespace ``file`` and its absolute path as its name. A dlt resource is called
``dlt://<source>`` and ``<resource>``: its place in the source is what is unique of it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from headrace.catalog.model import Asset

FILES = "file"

# scheme of SQLAlchemy: scheme of OpenLineage, port, the default schema of a table
_DATABASES = {
    "postgresql": ("postgres", 5432, "public"),
    "postgres": ("postgres", 5432, "public"),
    "redshift": ("redshift", 5439, "public"),
    "mssql": ("mssql", 1433, "dbo"),
    "mysql": ("mysql", 3306, None),
    "mariadb": ("mysql", 3306, None),
}

_STORES = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs"}


@dataclass(frozen=True)
class DatasetName:
    """A dataset's name.

    Attributes:
        namespace: the data source.
        name: unique in it.
    """

    namespace: str
    name: str


@dataclass(frozen=True)
class Names:
    """The names of a project's jobs and datasets.

    Attributes:
        jobs: the namespace of the jobs.
        warehouse: the path of the warehouse's file, or whatever says where it is.
        database: the name of the database in it, for tables that dbt does not know.
        published: the path of the published copy; None where there is none.
        published_schemas: what is in it.
        sources: options of each source, for the names of what they read.
    """

    jobs: str
    warehouse: str
    database: str
    published: Path | None = None
    published_schemas: Collection[str] = ()
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def warehouse_namespace(self) -> str:
        """``duckdb:///srv/data/warehouse.duckdb``."""
        return _duckdb(self.warehouse)

    def table(self, schema: str, name: str) -> DatasetName:
        """A raw table."""
        return DatasetName(self.warehouse_namespace, f"{self.database}.{schema}.{name}")

    def dataset(self, asset: Asset) -> DatasetName | None:
        """An asset that holds data; None for tests and exposures."""
        if asset.kind == "resource":
            _, source, resource = asset.id.split(".", 2)
            return DatasetName(f"dlt://{source}", resource)
        if not asset.is_relation:
            return None
        parts = (asset.database or self.database, asset.schema, asset.identifier or asset.name)
        return DatasetName(self.warehouse_namespace, ".".join(part for part in parts if part))

    def symlinks(self, asset: Asset) -> tuple[DatasetName, ...]:
        """Other names of an asset: where its copy is published, which table it is read from."""

        if asset.kind == "resource":
            _, source, resource = asset.id.split(".", 2)
            origin = table_origin(self.sources.get(source, {}), resource)
            return (origin,) if origin else ()
        if self.published is None or asset.schema not in self.published_schemas:
            return ()
        name = f"{self.published.stem}.{asset.schema}.{asset.identifier or asset.name}"
        return (DatasetName(_duckdb(self.published.as_posix()), name),)

    @staticmethod
    def folder(path: Path | str) -> DatasetName:
        """A folder of files, or a file; of an object store where it is a URL of one."""

        if isinstance(path, Path):
            return DatasetName(FILES, path.as_posix())
        return store_origin(path) or DatasetName(FILES, path)


def table_origin(options: Mapping[str, Any], table: str) -> DatasetName | None:
    """A table of a SQL database; None for a source of another kind.

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
    """A folder of an object store; None for a local one."""
    parts = urlsplit(path)
    scheme = _STORES.get(parts.scheme)
    if scheme is None or not parts.netloc:
        return None
    return DatasetName(f"{scheme}://{parts.hostname}", parts.path.strip("/") or "/")


def _duckdb(path: str) -> str:
    return f"duckdb://{quote(path, safe='/:')}"
