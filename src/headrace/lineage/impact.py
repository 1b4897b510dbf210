"""What happens if a column, or a whole node, goes.

**Breaks** is what fails to compile or to run. A reader fails when its compiled SQL has the
column's name. One that takes the column by ``select *`` does not fail: it loses the column too,
and its own readers are asked the same question. So that no break is missed, doubt counts as one:

- a name that stands in the SQL although no column edge starts there, unless another parent of the
  reader has a column of that name;
- a ``select *`` beside a set operation, which matches columns by position;
- an enforced contract, a snapshot's key or ``updated_at``, a test's own column that names it;
- SQL that is not known.

If a whole node goes, all that reads it breaks. A unit test breaks with its model.

**Affected** is all else downstream whose values or rows depend on it, tests included. Independently
of that dbt skips whatever is downstream of a model that broke: ``counts["skipped"]``.
"""

import re
from collections import deque
from collections.abc import Iterable, Mapping

from headrace.catalog.model import CONSUMERS, Asset, Catalog
from headrace.lineage.find import NodeRef, known_columns
from headrace.lineage.report import (
    ImpactItem,
    ImpactReport,
    LineageProblem,
    OwnerToTell,
)
from headrace.lineage.trace import ROWS, asset_distances, closure, reachable

_SET_OPERATION = re.compile(r"\b(union|intersect|except)\b", re.IGNORECASE)
_NAMES_IT = "its SQL names it"


def impact(catalog: Catalog, ref: NodeRef) -> ImpactReport:
    """What happens if an asset or a column goes."""
    distance = asset_distances(catalog, ref.asset, "downstream")
    column = ref.column
    start = {(ref.asset, column if column is not None else ROWS)}
    reached: dict[str, set[str]] = {}
    for key, name in closure(catalog, start, "downstream"):
        reached.setdefault(key, set()).add(name)
    if column is None:  # all that is downstream, its columns too
        for key in distance:
            reached.setdefault(key, set()).add(ROWS)
    why = _breaks(catalog, ref)
    # tests lead nowhere
    broken = [key for key in why if not catalog.assets[key].is_test]
    skipped = reachable(catalog.children, broken)
    shown = [
        _item(catalog, key, distance.get(key, 1), reached.get(key, set()), why.get(key))
        for key in dict.fromkeys((*reached, *why, *skipped))
        if key != ref.asset
        and (key in reached or key in why or catalog.assets[key].kind in CONSUMERS)
    ]
    shown.sort(key=lambda item: (item.distance, item.kind, item.id))
    exposures = tuple(item for item in shown if item.kind == "exposure")
    breaks = tuple(item for item in shown if item.why is not None)
    affected = tuple(item for item in shown if item.why is None and item.kind != "exposure")
    return ImpactReport(
        asset=ref.asset,
        column=column,
        breaks=breaks,
        affected=affected,
        exposures=exposures,
        owners=_owners(shown),
        counts={
            "breaks": len(breaks),
            "affected": len(affected),
            "affected_columns": sum(len(item.columns) for item in affected),
            "exposures": len(exposures),
            "tests": sum(item.kind in {"test", "unit_test"} for item in shown),
            "skipped": sum(
                catalog.assets[key].kind not in CONSUMERS and key not in why for key in skipped
            ),
            "owners": len({owner for item in shown for owner in item.owners}),
        },
        problems=tuple(
            LineageProblem(asset=problem.asset, message=problem.message)
            for problem in catalog.problems
            if problem.asset in distance
        ),
    )


def _breaks(catalog: Catalog, ref: NodeRef) -> dict[str, str]:
    """Each asset that fails, and why."""
    if ref.column is None:
        why = _broken_by_node(catalog, ref.asset)
    else:
        why = _broken_by_column(catalog, ref.asset, ref.column)
    for key in list(why):
        for test in catalog.tests_of.get(key, ()):
            if catalog.assets[test].kind == "unit_test":
                why.setdefault(test, "the model that it tests breaks")
    return why


def _broken_by_node(catalog: Catalog, root: str) -> dict[str, str]:
    why: dict[str, str] = {}
    gone, todo = {root}, deque([root])
    while todo:
        key = todo.popleft()
        for child in catalog.children.get(key, ()):
            asset = catalog.assets[child]
            if asset.kind == "exposure" or child in gone:
                continue
            if _is_loaded_from(catalog, key, child):  # goes with its resource
                gone.add(child)
                todo.append(child)
            elif asset.kind != "table":
                why.setdefault(child, "it reads it")
    return why


def _broken_by_column(catalog: Catalog, root: str, column: str) -> dict[str, str]:
    why: dict[str, str] = {}
    unread = {problem.asset for problem in catalog.problems}
    gone, todo = {(root, column)}, deque([(root, column)])
    while todo:
        key, name = todo.popleft()
        edges: dict[str, list[str]] = {}
        for edge in catalog.edges_by_parent.get(key, ()):
            if edge.parent_column == name:
                edges.setdefault(edge.child, []).append(
                    edge.child_column if edge.kind in {"copied", "renamed"} else ROWS
                )
        for child in dict.fromkeys((*catalog.children.get(key, ()), *edges)):
            asset = catalog.assets.get(child)
            if asset is None or asset.kind in CONSUMERS or child == key:
                continue
            if _is_loaded_from(catalog, key, child):
                passed = edges.get(child, [])
            elif asset.kind == "table":
                continue  # a child table: dlt fills it, whatever its parent holds
            else:
                reason = _reason(
                    catalog, key, name, child, edges.get(child), unread=child in unread
                )
                if reason is not None:
                    why.setdefault(child, reason)
                    continue
                passed = [other for other in edges.get(child, []) if other]
            for other in passed:
                if _in_contract(asset, other):
                    why.setdefault(child, f"its contract names {other}")
                elif (child, other) not in gone:
                    gone.add((child, other))
                    todo.append((child, other))
    return why


def _reason(
    catalog: Catalog,
    parent: str,
    column: str,
    child: str,
    passed: list[str] | None,
    *,
    unread: bool,
) -> str | None:
    """Why a reader of an asset fails without a column of it, or None."""
    asset = catalog.assets[child]
    test = asset.test
    if test is not None and test.attached_to == parent and _same(test.column, column):
        return "it tests it"
    if asset.snapshot is not None:
        kept = asset.snapshot
        checked = () if kept.check_cols == "all" else kept.check_cols
        if any(_same(name, column) for name in (*kept.unique_key, kept.updated_at, *checked)):
            return "its snapshot settings name it"
    code = asset.compiled_code or asset.raw_code
    if code is None:
        return None if passed is None and asset.is_test else "its SQL is not known"
    if _has_word(code, column):
        if passed is not None or unread:
            return _NAMES_IT
        others = (other for other in catalog.parents.get(child, ()) if other != parent)
        if not any(catalog.assets[other].column(column) for other in others):
            return f"{_NAMES_IT}, though nothing is made from it"
    elif passed is not None and _SET_OPERATION.search(code):
        return "its set operation matches columns by position"
    return None


def _is_loaded_from(catalog: Catalog, parent: str, child: str) -> bool:
    """Whether dlt writes the child from the parent: what goes there, goes here."""
    return catalog.assets[parent].kind == "resource" and catalog.assets[child].kind == "table"


def _in_contract(asset: Asset, column: str) -> bool:
    return asset.contract and asset.column(column) is not None


def _same(name: str | None, column: str) -> bool:
    return name is not None and name.casefold() == column.casefold()


def _has_word(code: str, word: str) -> bool:
    """Whether a name stands in SQL, between things that are no part of a name."""
    start, end = (r"(?<![\w$])" if word[:1].isalnum() or word[:1] == "_" else ""), r"(?![\w$])"
    return re.search(start + re.escape(word) + end, code, re.IGNORECASE) is not None


def _item(
    catalog: Catalog, key: str, distance: int, reached: set[str], why: str | None
) -> ImpactItem:
    asset = catalog.assets[key]
    return ImpactItem(
        id=key,
        kind=asset.kind,
        name=asset.name,
        relation=asset.relation,
        distance=distance,
        columns=tuple(
            name for name in known_columns(catalog, key) if ROWS in reached or name in reached
        ),
        rows=ROWS in reached,
        why=why if asset.kind != "exposure" else None,
        owners=asset.owners,
    )


def _owners(items: Iterable[ImpactItem]) -> tuple[OwnerToTell, ...]:
    found: dict[str, set[str]] = {}
    for item in items:
        for owner in item.owners:
            found.setdefault(owner, set()).add(item.id)
    by_name: Mapping[str, set[str]] = dict(sorted(found.items()))
    return tuple(
        OwnerToTell(owner=owner, assets=tuple(sorted(assets))) for owner, assets in by_name.items()
    )
