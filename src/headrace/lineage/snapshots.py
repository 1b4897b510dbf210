"""The columns that dbt adds to a snapshot."""

import re

from headrace.catalog.model import SnapshotInfo
from headrace.lineage.sql.kinds import COMPUTED, FILTERED, SAME, Deps, add
from headrace.lineage.sql.names import fold
from headrace.lineage.sql.relations import Relation

_WORD = re.compile(r'"(?:[^"]|"")+"|\w+')


def with_history(select: Relation, snapshot: SnapshotInfo) -> Relation:
    """A snapshot's table: what its SQL yields, and dbt's columns.

    Source: dbt's snapshot strategies. ``timestamp``: a row is valid from its ``updated_at``.
    ``check``: from the moment at which a change was seen in its ``check_cols``.

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
    moment: Deps = {}
    if snapshot.updated_at:
        add(moment, _named_in(snapshot.updated_at, select))
    since, how = (moment, SAME) if moment else (change, COMPUTED)
    identity: Deps = {}
    for deps in (key, since):
        add(identity, deps, COMPUTED)
    columns = [
        ("dbt_scd_id", identity),
        ("dbt_updated_at", _as(since, how)),
        ("dbt_valid_from", _as(since, how)),
        ("dbt_valid_to", _as(since, COMPUTED)),
    ]
    if snapshot.marks_deleted:
        columns.append(("dbt_is_deleted", _as(key, COMPUTED)))
    rows = dict(select.rows)
    for deps in (key, change, moment):
        add(rows, deps, FILTERED)
    named = [(snapshot.column_names.get(name, name), deps) for name, deps in columns]
    return Relation([*select.columns, *named], rows, select.rest)


def _as(deps: Deps, role: int) -> Deps:
    found: Deps = {}
    add(found, deps, role)
    return found


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
