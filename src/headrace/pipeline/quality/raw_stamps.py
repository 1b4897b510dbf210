"""What changes with the content of a raw table: read once in a run, for metrics and profiles.

columns, rows, the newest load, the same of the table that it is nested in ─► a digest
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import xxhash

from headrace.sql_text import qualified

if TYPE_CHECKING:
    import duckdb

    from headrace.catalog.model import Asset

LOAD = "_dlt_load_id"


@dataclass(frozen=True)
class RawStamps:
    """Stamps of the raw tables of one target; of one run, after its load.

    Attributes:
        database: the target's name in a connection.
    """

    database: str
    _found: dict[str, str] = field(default_factory=dict)

    def of(
        self,
        connection: "duckdb.DuckDBPyConnection",
        assets: Mapping[str, "Asset"],
        asset: "Asset",
    ) -> str:
        """A digest of what changes with each load of a table.

        Args:
            connection: the target is attached to it.
            assets: of the catalog, by id.
            asset: the table. Of one without load ids, that is in no other, only rows are counted.

        Raises:
            duckdb.Error: the table cannot be read, or is not there.
        """
        known = self._found.get(asset.id)
        if known is not None:
            return known
        parent = assets.get(asset.parent_table or "")
        above = self.of(connection, assets, parent) if parent is not None else ""
        quoted = quoted_table(self.database, asset)
        columns = columns_of(connection, quoted)
        newest = f"max({LOAD})" if LOAD in columns else "null"
        row = connection.execute(f"select count(*), {newest} from {quoted}").fetchone()
        found = digest(repr((sorted(columns.items()), row, above)))
        self._found[asset.id] = found
        return found


def quoted_table(database: str, asset: "Asset") -> str:
    """A table of the catalog in SQL, where its database is attached by this name."""
    return qualified(database, asset.schema or "main", asset.identifier or asset.name)


def columns_of(connection: "duckdb.DuckDBPyConnection", quoted: str) -> dict[str, str]:
    """The columns of a table and their types.

    Raises:
        duckdb.Error: it cannot be read, or is not there.
    """
    described = connection.execute(f"describe select * from {quoted}").fetchall()
    return {str(name): str(kind) for name, kind, *_ in described}


def digest(text: str) -> str:
    """A short id of a text, for comparing."""
    return xxhash.xxh3_128_hexdigest(text.encode())
