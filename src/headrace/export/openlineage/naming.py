"""What jobs and datasets are called, by OpenLineage's naming rules.

A dataset's namespace is its data source, as ``scheme:[//authority]``; its name is unique there
(https://openlineage.io/docs/spec/naming). The rules have no entry for DuckDB, so these are the
names that OpenLineage's own dbt integration uses: ``duckdb://<file>`` and
``<database>.<schema>.<table>``; events of both meet in one graph. A folder of files has the
namespace ``file`` and its absolute path as its name. A dlt resource is called
``dlt://<source>`` and ``<resource>``: its place in the source is what is unique of it.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from headrace.catalog.model import Asset

FILES = "file"


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
    """Names in one project.

    Attributes:
        jobs: the namespace of the jobs.
        warehouse: the path of the warehouse's file, or whatever says where it is.
        database: the name of the database in it, for tables that dbt does not know.
    """

    jobs: str
    warehouse: str
    database: str

    @property
    def warehouse_namespace(self) -> str:
        """``duckdb:///srv/data/warehouse.duckdb``."""
        return f"duckdb://{quote(self.warehouse, safe='/:')}"

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

    @staticmethod
    def folder(path: Path) -> DatasetName:
        """A folder of files, or a file."""
        return DatasetName(FILES, path.as_posix())
