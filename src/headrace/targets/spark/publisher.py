"""The publisher of a warehouse folder: one manifest names the files that the engine wrote.

It is a lake's. What differs is whence the versions come: the engine wrote each table into a folder
of its own, which never changes, so that nothing is copied.
"""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace.sql_text import qualified
from headrace.targets.lake.files import PUBLISHED, LakeManifest, TableVersion, described
from headrace.targets.lake.publisher import LakePublisher
from headrace.targets.spark.tables import DiskTable, DiskTables

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class SparkPublisher(LakePublisher):
    """See ``LakePublisher``.

    Attributes:
        tables: of the warehouse folder.
        read: versions that were read before, by their files.
    """

    tables: DiskTables
    read: dict[tuple[str, ...], TableVersion] = field(default_factory=dict)

    def _built(self) -> dict[tuple[str, str], TableVersion]:
        """What the last builds wrote; only marts that are not published yet are read."""
        now, _ = self.files.read(PUBLISHED, LakeManifest)
        self.read.update({one.files: one for one in now.tables} if now else {})
        found = {}
        with self.reader() as connection:
            for key, table in self.tables.built().items() if connection else ():
                if key[0] in self.files.gold_schemas and connection is not None:
                    files = self._keys(table)
                    if files not in self.read:
                        self.read[files] = self._read(connection, key, files)
                    found[key] = self.read[files]
        return found

    def _keys(self, table: DiskTable) -> tuple[str, ...]:
        return tuple(path.relative_to(self.tables.root).as_posix() for path in table.files())

    def _read(
        self,
        connection: "duckdb.DuckDBPyConnection",
        key: tuple[str, str],
        files: tuple[str, ...],
    ) -> TableVersion:
        rows, content, columns = described(connection, qualified("target", *key))
        size = sum((self.tables.root / file).stat().st_size for file in files)
        return TableVersion(
            schema_name=key[0], name=key[1], rows=rows, content=content, columns=columns,
            files=files, bytes=size,
        )  # fmt: skip

    def _prune(self, current: LakeManifest, keep: int) -> None:
        """Forget publications beyond those that are kept, and folders that nothing names."""
        earlier = [one for one in self.files.manifests() if one.run_id != current.run_id]
        self.files.store.delete([one.key for one in earlier[keep:]])
        root = self.tables.root
        named = {
            (root / file).parent
            for manifest in (current, *earlier[:keep])
            for table in manifest.tables
            for file in table.files
        }
        named |= {parent for folder in named for parent in folder.parents}
        named |= {table.folder for table in self.tables.built().values()}
        for folder in self.tables.folders():
            if folder not in named:
                shutil.rmtree(folder, ignore_errors=True)
                if not any(folder.parent.iterdir()):
                    folder.parent.rmdir()


def publisher_of(
    tables: DiskTables,
    reader: Callable[[], AbstractContextManager["duckdb.DuckDBPyConnection | None"]],
) -> SparkPublisher:
    """The publisher.

    Args:
        tables: of the warehouse folder.
        reader: opens a DuckDB that reads it as ``target``.
    """
    return SparkPublisher(tables.files, reader, None, lambda _: None, tables)
