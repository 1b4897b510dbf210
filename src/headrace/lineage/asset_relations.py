"""What the names of tables in a project's SQL mean: assets, and their columns."""

from collections.abc import Iterable

from headrace.catalog.model import Asset, Catalog
from headrace.lineage.sql.dependencies import fold
from headrace.lineage.sql.relations import Relation, Rest, asset_relation
from headrace.lineage.sql.tree import Names

EPHEMERAL = "__dbt__cte__"
"""How dbt names the CTE of an ephemeral model in the SQL of those that read it."""


ITSELF = "itself"
"""The label of columns of an incremental model's own table."""


Unique = tuple[frozenset[str], ...]

_AS_WRITTEN = frozenset({"table", "view", "ephemeral"})  # not `incremental`: it holds older rows


class AssetRelations:
    """The assets of a catalog by the names that SQL has for them."""

    def __init__(self, catalog: Catalog) -> None:
        """Index the catalog's relations."""
        self._catalog = catalog
        self._by_name: dict[Names, list[str]] = {}
        self._ephemeral: dict[str, list[str]] = {}
        self._yields: dict[str, tuple[tuple[str, ...], bool]] = {}
        self._unique: dict[str, Unique] = {}
        self._relations: dict[str, Relation] = {}
        for key, asset in catalog.assets.items():
            if asset.is_relation:
                self._index(key, asset)

    def _index(self, key: str, asset: Asset) -> None:
        if asset.materialized == "ephemeral":
            for called in {fold(asset.name), fold(asset.identifier or asset.name)}:
                self._ephemeral.setdefault(called, []).append(key)
            return
        identifier = fold(asset.identifier or asset.name)
        names: list[Names] = [(identifier,)]
        if asset.schema:
            names.append((fold(asset.schema), identifier))
            if asset.database:
                names.append((fold(asset.database), fold(asset.schema), identifier))
        for name in names:
            self._by_name.setdefault(name, []).append(key)

    def find(self, parts: Names, child: str) -> str | None:
        """The asset that a name in the SQL of ``child`` means: first of those that it reads."""
        name = parts[-1]
        if len(parts) == 1 and name.startswith(EPHEMERAL):
            found = self._ephemeral.get(name[len(EPHEMERAL) :], [])
        else:
            found = self._by_name.get(parts, [])
            if not found and len(parts) == 3:
                # an asset without a database, or the name of an attached file
                found = self._by_name.get(parts[1:], [])
        if len(found) > 1:
            parents = self._catalog.parents.get(child, ())
            found = [key for key in found if key in parents or key == child] or found
        if not found or (len(parts) == 1 and len(found) > 1):
            return None
        return found[0]

    def relation(self, key: str) -> Relation:
        """An asset as SQL reads it: by what its own SQL yields, or by its columns on record."""
        found = self._relations.get(key)
        if found is None:
            found = self._relations[key] = self._made(key)
        return found

    def _made(self, key: str) -> Relation:
        asset = self._catalog.assets[key]
        names, complete = self._yields.get(key, ((), False))
        if complete:
            found = asset_relation(key, names, None)
            found.unique = self._unique.get(key, ())
            return found
        known = {fold(name) for name in names}
        names += tuple(one.name for one in asset.columns if fold(one.name) not in known)
        kind = "partial" if names else "open"
        return asset_relation(key, names, Rest(kind, f'"{asset.name}"', key))  # type: ignore[arg-type]

    def itself(self, key: str) -> Relation:
        """An incremental model's own table: its columns come from nowhere but itself."""
        columns = self._catalog.assets[key].columns
        return Relation([(one.name, {}) for one in columns], rest=(Rest("fixed", ITSELF),))

    def yields(
        self, key: str, names: Iterable[str], *, complete: bool, unique: Unique = ()
    ) -> None:
        """Note which columns an asset's own SQL yields, and which of them tell rows apart."""
        if self._catalog.assets[key].materialized in _AS_WRITTEN:
            self._unique[key] = unique
        self._yields[key] = (tuple(names), complete)
        self._relations.pop(key, None)
