"""What no SQL shows: a dlt resource's raw tables, dbt's columns of a snapshot, what tests read."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from headrace.catalog.model import Asset, Catalog, ColumnEdge, SnapshotInfo, field_of
from headrace.lineage.sql.dependencies import COMPUTED, FILTERED, SAME, Deps, add, fold, read_as
from headrace.lineage.sql.relations import Relation

_SEPARATOR = "__"
_OWN = "_dlt_"


def dlt_edges(catalog: Catalog) -> Iterator[ColumnEdge]:
    """The edges into raw tables.

    dlt's own columns come from nothing, except those that point at another table's row.
    """
    for key, asset in catalog.assets.items():
        if asset.kind != "table":
            continue
        line = _line(catalog, asset)
        yield from _keys(key, asset, line)
        resource = _resource(catalog, (key, *(one.id for one in line)))
        if resource is not None:
            yield from _fields(key, asset, resource, _path([asset, *line]))


def _line(catalog: Catalog, asset: Asset) -> list[Asset]:
    """The tables that a table is nested in, from the nearest to the root."""
    found: list[Asset] = []
    seen = {asset.id}
    while asset.parent_table and asset.parent_table not in seen:
        seen.add(asset.parent_table)
        parent = catalog.assets.get(asset.parent_table)
        if parent is None:
            break
        found.append(parent)
        asset = parent
    return found


def _resource(catalog: Catalog, tables: tuple[str, ...]) -> Asset | None:
    """The resource that a table, or the table it is nested in, is loaded by."""
    for table in tables:
        for parent in catalog.parents.get(table, ()):
            asset = catalog.assets.get(parent)
            if asset is not None and asset.kind == "resource":
                return asset
    return None


def _path(line: list[Asset]) -> list[str]:
    """The nested lists that lead to a table, outermost first."""
    names = [one.identifier or one.name for one in line]
    return [
        child.removeprefix(parent + _SEPARATOR) for child, parent in reversed(list(pairwise(names)))
    ]


def _fields(key: str, asset: Asset, resource: Asset, path: list[str]) -> Iterator[ColumnEdge]:
    known = {column.name for column in resource.columns}
    for column in asset.columns:
        field = field_of(path, column.name)
        if not column.name.startswith(_OWN) and (field in known or not known):
            yield ColumnEdge(resource.id, field, key, column.name, "copied")


def _keys(key: str, asset: Asset, line: list[Asset]) -> Iterator[ColumnEdge]:
    if not line:
        return
    for column, parent in (("_dlt_parent_id", line[0]), ("_dlt_root_id", line[-1])):
        if asset.column(column) is not None:
            yield ColumnEdge(parent.id, "_dlt_id", key, column, "renamed")


_WORD = re.compile(r'"(?:[^"]|"")+"|\w+')

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


def columns_of_test(
    catalog: Catalog, key: str, asset: Asset, columns: Mapping[str, tuple[str, ...]]
) -> Deps:
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


def with_history(select: Relation, snapshot: SnapshotInfo) -> Relation:
    """A snapshot's table: what its SQL yields, and dbt's columns.

    Source: dbt's snapshot strategies. ``timestamp``: a row is valid from its ``updated_at``.
    ``check``: from the time at which a change was seen in its ``check_cols``.

    Args:
        select: what the SQL yields.
        snapshot: how it is kept.
    """
    key: Deps = {}
    for expression in snapshot.unique_key:
        add(key, _named_in(expression, select))
    change: Deps = {}
    if snapshot.check_cols == "all":
        for _, deps in select.columns:
            add(change, deps)
    for expression in snapshot.check_cols if snapshot.check_cols != "all" else ():
        add(change, _named_in(expression, select))
    updated_at: Deps = {}
    if snapshot.updated_at:
        add(updated_at, _named_in(snapshot.updated_at, select))
    since, how = (updated_at, SAME) if updated_at else (change, COMPUTED)
    identity: Deps = {}
    for deps in (key, since):
        add(identity, deps, COMPUTED)
    columns = [
        ("dbt_scd_id", identity),
        ("dbt_updated_at", read_as(since, how)),
        ("dbt_valid_from", read_as(since, how)),
        ("dbt_valid_to", read_as(since, COMPUTED)),
    ]
    if snapshot.marks_deleted:
        columns.append(("dbt_is_deleted", read_as(key, COMPUTED)))
    rows = dict(select.rows)
    for deps in (key, change, updated_at):
        add(rows, deps, FILTERED)
    named = [(snapshot.column_names.get(name, name), deps) for name, deps in columns]
    return Relation([*select.columns, *named], rows, select.rest)


def _named_in(expression: str, select: Relation) -> Deps:
    """What the columns that an expression names are made from."""
    whole = select.any(fold(expression.strip('"`'))) if select.rest else None
    found: Deps = dict(select.index.get(fold(expression.strip('"`'))) or {})
    if found:
        return found
    plain = True
    for word in _WORD.findall(expression):
        deps = select.index.get(fold(word.strip('"')))
        if deps is not None:
            add(found, deps, COMPUTED)
            plain = False
    return dict(whole) if plain and whole is not None else found
