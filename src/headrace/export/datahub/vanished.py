"""What an earlier export may have sent, and the catalog no longer holds."""

from headrace.catalog import Catalog, RunStore
from headrace.catalog.model import Asset
from headrace.export.reads import holds_data


def vanished_assets(store: RunStore, catalog: Catalog) -> tuple[Asset, ...]:
    """Datasets and exposures of earlier versions of the catalog, as they were last.

    Args:
        store: has the versions.
        catalog: the newest version.
    """
    if catalog.version is None:
        return ()
    last_versions: dict[str, int] = {}
    for change in store.catalog_changes(1, catalog.version):  # newest first
        if change.what == "asset removed" and change.asset not in catalog.assets:
            last_versions.setdefault(change.asset, change.version - 1)
    found: dict[str, Asset] = {}
    for version in sorted(set(last_versions.values())):
        old = store.load_catalog(version)
        for id_, last in last_versions.items():
            if last == version and old is not None and id_ in old.assets:
                found[id_] = old.assets[id_]
    return tuple(
        found[id_]
        for id_ in sorted(found)
        if holds_data(found[id_]) or found[id_].kind == "exposure"
    )
