"""The columns that dbt's own generic tests read, by their arguments alone."""

from collections.abc import Mapping

from headrace.catalog.model import Asset, Catalog
from headrace.lineage.sql.kinds import FILTERED, Deps
from headrace.lineage.sql.names import fold

BUILT_IN = frozenset({"unique", "not_null", "accepted_values", "relationships"})
"""Generic tests that come with dbt."""


def says_it_all(asset: Asset) -> bool:
    """Whether a test's arguments name all columns that it reads.

    They do not where a ``where`` in its settings makes dbt wrap the model in a subquery.
    """
    test = asset.test
    if test is None or test.name not in BUILT_IN or not test.column or not test.attached_to:
        return False
    return "dbt_subquery" not in (asset.compiled_code or "") and _is_name(test.column)


def reads(catalog: Catalog, key: str, asset: Asset, columns: Mapping[str, tuple[str, ...]]) -> Deps:
    """The columns that a test reads, by its arguments.

    Args:
        catalog: which the test is of.
        key: its id.
        asset: the test.
        columns: asset id to the columns that its SQL yields, where known.
    """
    test = asset.test
    if test is None or test.attached_to is None or test.column is None:
        return {}

    def field(of: str, name: str) -> tuple[str, str]:
        bare = name.strip('"`')
        known = catalog.assets[of].column(bare) if of in catalog.assets else None
        spelled = [one for one in columns.get(of, ()) if fold(one) == fold(bare)]
        return of, known.name if known is not None else (spelled or [bare])[0]

    found: Deps = {field(test.attached_to, test.column): FILTERED}
    target = test.arguments.get("field")
    if test.name == "relationships" and isinstance(target, str):
        parents = catalog.parents.get(key, ())
        others = [one for one in parents if one != test.attached_to] or [test.attached_to]
        found.update((field(other, target), FILTERED) for other in others)
    return found


def _is_name(text: str) -> bool:
    return text.strip('"`').replace(" ", "_").isidentifier()
