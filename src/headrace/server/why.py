"""Why a test fails: the last run in which it was good, the first in which it was not, and between.

last good run ──► code, schema, loads upstream of the test ──► first run in which it failed
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from headrace.artifacts.dbt_results import FAILED
from headrace.artifacts.reading import utc
from headrace.catalog import TableRun
from headrace.catalog.model import Catalog
from headrace.server import models, view_builder

if TYPE_CHECKING:
    from headrace.server.snapshot import ProjectSnapshot
    from headrace.server.store import ServerStore

_BAD = FAILED | {"warn"}
_MOST = 30  # changes and loads that are shown
_SLACK = timedelta(seconds=2)  # the catalog of a run is recorded at its end


@dataclass(frozen=True)
class RunPoint:
    """A run in the order of runs: its number, when it began and ended (UTC), its code."""

    run_id: str
    number: int
    started_at: datetime
    ended_at: datetime
    code_version: str

    @property
    def view(self) -> models.RunAt:
        """As responses have it."""
        return models.RunAt(
            run_id=self.run_id, started_at=self.started_at, code_version=self.code_version
        )


def why(now: "ProjectSnapshot", store: "ServerStore", test_id: str) -> models.Why | None:
    """What changed between the last good result of a test and its first bad one.

    Args:
        now: the catalog and its changes.
        store: the history.
        test_id: of a test whose newest result is a failure or a warning.

    Returns:
        None where the test is not bad, or never ran.

    Raises:
        RunStoreError: the history cannot be read.
    """
    newest = now.latest.get(test_id)
    if newest is None or newest.status not in _BAD:
        return None
    good, bad = turning_point(store, test_id)
    if bad is None:
        return None
    if good is None:
        return models.Why(good=None, since=bad.view, code=None, changes=(), loads=(), more=0)
    upstream = _upstream(now.index.catalog, test_id)
    ends = bad.ended_at + _SLACK
    changes = [
        change
        for change in now.changes
        if good.ended_at + _SLACK < change.created_at <= ends and change.asset in upstream
    ]
    loads = [
        view
        for one, run_id in _loads(store, good.number, bad.number)
        if (view := _load(now, one, run_id)).asset in upstream
    ]
    code = (good.code_version, bad.code_version)
    return models.Why(
        good=good.view,
        since=bad.view,
        code=models.CodeChange(before=code[0], after=code[1]) if code[0] != code[1] else None,
        changes=tuple(view_builder.change(now, one) for one in changes[:_MOST]),
        loads=tuple(loads[:_MOST]),
        more=max(0, len(changes) - _MOST) + max(0, len(loads) - _MOST),
    )


def turning_point(store: "ServerStore", unique_id: str) -> tuple[RunPoint | None, RunPoint | None]:
    """The run of a node's last pass, and that of its first failure or warning after it."""
    from sqlalchemy import func, select

    with store.reading() as (connection, tables):
        nodes = tables["nodes"]
        mine = nodes.c.unique_id == unique_id
        good = connection.execute(
            select(func.max(nodes.c.id)).where(mine, nodes.c.status.in_(["pass", "success"]))
        ).scalar()
        bad = connection.execute(
            select(func.min(nodes.c.id)).where(
                mine, nodes.c.status.in_(sorted(_BAD)), nodes.c.id > (good or 0)
            )
        ).scalar()
        return _point(connection, tables, good), _point(connection, tables, bad)


def _point(connection: Any, tables: Mapping[str, Any], node: int | None) -> RunPoint | None:
    from sqlalchemy import select

    if node is None:
        return None
    nodes, runs = tables["nodes"], tables["runs"]
    row = connection.execute(
        select(runs).join(nodes, nodes.c.run_id == runs.c.run_id).where(nodes.c.id == node)
    ).mappings().first()  # fmt: skip
    if row is None:
        return None
    began = utc(row["started_at"])
    return RunPoint(
        run_id=row["run_id"],
        number=row["number"] or 0,
        started_at=began,
        ended_at=began + timedelta(seconds=row["seconds"] or 0),
        code_version=row["code_version"],
    )


def _loads(store: "ServerStore", after: int, until: int) -> list[tuple[TableRun, str]]:
    """What the runs between brought, the newest first, with each run's id."""
    from sqlalchemy import select

    with store.reading() as (connection, tables):
        loads, runs = tables["loads"], tables["runs"]
        names = tuple(TableRun.__dataclass_fields__)
        rows = connection.execute(
            select(*(loads.c[name] for name in names), runs.c.run_id)
            .join(runs, runs.c.run_id == loads.c.run_id)
            .where(runs.c.number > after, runs.c.number <= until)
            .order_by(loads.c.id.desc())
        ).all()
    found = [(TableRun(*row[:-1]), str(row[-1])) for row in rows]
    return [(one, run_id) for one, run_id in found if _brought_something(one)]


def _brought_something(one: TableRun) -> bool:
    return bool(one.rows_new or one.rows_changed or one.rows_quarantined or one.new_columns)


def _load(now: "ProjectSnapshot", one: TableRun, run_id: str) -> models.LoadOfRun:
    return models.LoadOfRun(**view_builder.load(now, one).model_dump(), run_id=run_id)


def _upstream(catalog: Catalog, test_id: str) -> frozenset[str]:
    """The test, what it reads, and all that this is made from."""
    seen: set[str] = set()
    todo = [test_id]
    while todo:
        key = todo.pop()
        if key not in seen:
            seen.add(key)
            todo.extend(catalog.parents.get(key, ()))
    return frozenset(seen)


def last_good(store: "ServerStore", failed: Iterable[str]) -> dict[str, models.RunAt]:
    """The run of the last pass of each of some nodes, where there is one."""
    found = {}
    for unique_id in failed:
        good, _ = turning_point(store, unique_id)
        if good is not None:
            found[unique_id] = good.view
    return found
