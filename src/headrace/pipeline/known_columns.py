"""What the catalog knows of tables: their keys, and which columns hold no personal data."""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.catalog import Catalog, pii


@dataclass(frozen=True)
class KnownColumns:
    """Of each relation, by ``schema.table``.

    Attributes:
        keys: the columns of its primary key, where it has one.
        harmless: columns that hold no personal data, for sure.
    """

    keys: Mapping[str, tuple[str, ...]]
    harmless: Mapping[str, tuple[str, ...]]


def known_columns(catalog: Catalog) -> KnownColumns:
    """Of all relations of a catalog."""
    made_from = pii.inherited(catalog)
    unread = {problem.asset for problem in catalog.problems}
    keys: dict[str, tuple[str, ...]] = {}
    harmless: dict[str, tuple[str, ...]] = {}
    for asset in catalog.assets.values():
        if not asset.is_relation:
            continue
        name = f"{asset.schema or 'main'}.{asset.identifier or asset.name}"
        if asset.primary_key:
            keys[name] = asset.primary_key
        shown = tuple(
            column.name
            for column in asset.columns
            if pii.why_masked(
                catalog, made_from, asset.id, column.name, is_read=asset.id not in unread
            )
            is None
        )
        if shown:
            harmless[name] = shown
    return KnownColumns(keys, harmless)
