"""The run store: every run, its steps, loads and nodes, and the versions of the catalog.

SQLite (WAL) by default, Postgres by URL. The tables are plain, for any SQL client;
``schema_version`` in ``meta`` says their layout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headrace.catalog.database import StoreDatabase, utc
from headrace.catalog.versions import CatalogVersions
from headrace.secrets import hide

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table


INTERRUPTED = "interrupted"
RUNNING = "running"


@dataclass(frozen=True)
class NodeFailure:
    """A node that failed, in words, and what it said."""

    label: str
    message: str


@dataclass(frozen=True)
class StoredRun:
    """A recorded run.

    Attributes:
        run_id: its id.
        command: what was run.
        status: ``running``, ``success``, ``failed``, ``error`` or ``interrupted``.
        target: the target's name.
        started_at: UTC.
        seconds: how long it took; None while it runs or when it was interrupted.
        rows_loaded: new and changed rows.
        failures: the nodes that failed, by label.
        error: the error's text, if it could not run.
        code_version: of the project.
    """

    run_id: str
    command: str
    status: str
    target: str
    started_at: datetime
    seconds: float | None
    rows_loaded: int | None
    failures: tuple[NodeFailure, ...]
    error: str | None
    code_version: str


@dataclass(frozen=True)
class StepRun:
    """A step of a run; ``started_at`` is UTC, and None for runs of an older Headrace."""

    step: str
    status: str
    started_at: datetime | None
    seconds: float


@dataclass(frozen=True)
class TableRun:
    """A raw table of a run's load step; rows as in ``pipeline.reports.TableReport``.

    Those given and unchanged are None for runs of an older Headrace, which did not count them.
    """

    source: str
    table: str
    rows_given: int | None
    rows_new: int
    rows_changed: int
    rows_unchanged: int | None
    rows_quarantined: int
    rows_total: int
    new_columns: str | None


@dataclass(frozen=True)
class NodeRun:
    """A dbt node in a run.

    Attributes:
        run_id: of the run.
        unique_id: dbt's.
        name: dbt's.
        label: a test in words; else the name.
        resource_type: ``model``, ``test``, ``source`` (its freshness), ...
        status: ``success``, ``pass``, ``warn``, ``fail``, ``error``, ``skipped``; ``reused`` when
            nothing had changed and the last good result stood.
        started_at: UTC; None where it did not run, or an older Headrace ran it.
        seconds: how long it took.
        thread: dbt's thread.
        failures: rows that a test found.
        message: what it said when it was not good.
    """

    run_id: str
    unique_id: str
    name: str
    label: str
    resource_type: str
    status: str
    started_at: datetime | None
    seconds: float
    thread: str | None
    failures: int | None
    message: str | None


@dataclass(frozen=True)
class StoredRunDetail:
    """A run with all that was recorded of it."""

    run: StoredRun
    steps: tuple[StepRun, ...]
    loads: tuple[TableRun, ...]
    nodes: tuple[NodeRun, ...]


def newest_first(runs: "Table") -> "tuple[ColumnElement[Any], ...]":
    """How runs are ordered: by the store's own count, as a clock may have been wrong.

    Runs of an older Headrace have no number; they came before all that have one.
    """
    from sqlalchemy import func

    number = func.coalesce(runs.c.number, 0)
    return (number.desc(), runs.c.started_at.desc(), runs.c.run_id.desc())


class RunHistory(StoreDatabase):
    """Reads the history of runs."""

    def last_runs(self, limit: int) -> list[StoredRun]:
        """The newest runs, newest first, with what failed in them."""
        from sqlalchemy import select

        runs = self._tables["runs"]
        return self._runs(select(runs).order_by(*newest_first(runs)).limit(limit))

    def run(self, run_id: str) -> StoredRunDetail | None:
        """All of one run; None where there is none of that id."""
        from sqlalchemy import select

        runs = self._tables["runs"]
        found = self._runs(select(runs).where(runs.c.run_id == run_id))
        if not found:
            return None
        steps, loads, nodes = (self._tables[name] for name in ("steps", "loads", "nodes"))
        with self._begin() as connection:
            step_rows = connection.execute(
                select(steps).where(steps.c.run_id == run_id).order_by(steps.c.id)
            ).mappings()
            table_rows = connection.execute(
                select(loads).where(loads.c.run_id == run_id).order_by(loads.c.id)
            ).mappings()
            node_rows = connection.execute(
                select(nodes).where(nodes.c.run_id == run_id).order_by(nodes.c.id)
            ).mappings()
            return StoredRunDetail(
                run=found[0],
                steps=tuple(
                    StepRun(
                        row["step"], row["status"], _utc_or_none(row["started_at"]), row["seconds"]
                    )
                    for row in step_rows
                ),
                loads=tuple(
                    TableRun(**{name: row[name] for name in TableRun.__dataclass_fields__})
                    for row in table_rows
                ),
                nodes=tuple(_node_run(row) for row in node_rows),
            )

    def node_history(self, unique_id: str, limit: int) -> list[NodeRun]:
        """The newest results of a node that really ran, newest first."""
        from sqlalchemy import select

        nodes = self._tables["nodes"]
        with self._begin() as connection:
            rows = connection.execute(
                select(nodes)
                .where(nodes.c.unique_id == unique_id, nodes.c.status != "reused")
                .order_by(nodes.c.id.desc())
                .limit(limit)
            ).mappings()
            return [_node_run(row) for row in rows]

    def latest_nodes(self) -> Mapping[str, NodeRun]:
        """Each node's newest result that it really had, by dbt's ``unique_id``."""
        from sqlalchemy import func, select

        nodes = self._tables["nodes"]
        newest = (
            select(func.max(nodes.c.id)).where(nodes.c.status != "reused")
            .group_by(nodes.c.unique_id)
        )  # fmt: skip
        with self._begin() as connection:
            rows = connection.execute(select(nodes).where(nodes.c.id.in_(newest))).mappings()
            return {row["unique_id"]: _node_run(row) for row in rows}

    def _runs(self, query: Any) -> list[StoredRun]:
        from sqlalchemy import select

        nodes = self._tables["nodes"]
        with self._begin() as connection:
            found = connection.execute(query).mappings().all()
            ids = [row["run_id"] for row in found]
            failed = connection.execute(
                select(nodes.c.run_id, nodes.c.label, nodes.c.message)
                .where(nodes.c.run_id.in_(ids), nodes.c.status.in_(["fail", "error"]))
                .order_by(nodes.c.label)
            ).all()
        failures: dict[str, list[NodeFailure]] = {}
        for run_id, label, message in failed:
            failures.setdefault(run_id, []).append(NodeFailure(label, message or ""))
        return [
            StoredRun(
                run_id=row["run_id"],
                command=row["command"],
                status=row["status"],
                target=row["target"],
                started_at=utc(row["started_at"]),
                seconds=row["seconds"],
                rows_loaded=row["rows_loaded"],
                failures=tuple(failures.get(row["run_id"], ())),
                error=row["error"],
                code_version=row["code_version"],
            )
            for row in found
        ]


def _node_run(row: Any) -> NodeRun:
    values = {name: row[name] for name in NodeRun.__dataclass_fields__}
    return NodeRun(**{**values, "started_at": _utc_or_none(values["started_at"])})


def _utc_or_none(moment: datetime | None) -> datetime | None:
    return None if moment is None else utc(moment)


class RunStore(RunHistory, CatalogVersions):
    """Writes runs as they happen; reads them, and the versions of the catalog."""

    def begin_run(
        self, run_id: str, *, command: str, target: str, lock: str, code_version: str
    ) -> int:
        """Record that a run began; gives how many dead ones were found and marked.

        The caller holds the lock, so whatever still counts as running under it is dead.
        """
        from sqlalchemy import func, insert, select, update

        runs = self._tables["runs"]
        with self._begin() as connection:
            dead = connection.execute(
                update(runs)
                .where(runs.c.lock == lock, runs.c.status == RUNNING)
                .values(status=INTERRUPTED)
            ).rowcount
            connection.execute(
                insert(runs).values(
                    run_id=run_id,
                    command=command,
                    status=RUNNING,
                    target=target,
                    lock=lock,
                    started_at=datetime.now(UTC),
                    code_version=code_version,
                    number=select(func.coalesce(func.max(runs.c.number), 0) + 1).scalar_subquery(),
                )
            )
        return dead

    def end_run(
        self,
        run_id: str,
        *,
        status: str,
        seconds: float,
        error: str | None,
        rows_loaded: int | None,
        published_path: str | None,
    ) -> None:
        """Record how a run ended."""
        from sqlalchemy import update

        runs = self._tables["runs"]
        with self._begin() as connection:
            connection.execute(
                update(runs)
                .where(runs.c.run_id == run_id)
                .values(
                    status=status,
                    seconds=seconds,
                    error=None if error is None else hide(error),
                    rows_loaded=rows_loaded,
                    published_path=published_path,
                )
            )

    def add_step(
        self,
        run_id: str,
        step: str,
        status: str,
        seconds: float,
        started_at: datetime | None = None,
    ) -> None:
        """Record a step."""
        row = {"run_id": run_id, "step": step, "status": status, "seconds": seconds}
        self._insert("steps", [{**row, "started_at": started_at}])

    def add_loads(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record the raw tables of a load step; the keys are the columns of ``loads``."""
        self._insert("loads", [{"run_id": run_id, **row} for row in rows])

    def add_nodes(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record dbt nodes; the keys are the columns of ``nodes``."""
        self._insert("nodes", [{"run_id": run_id, **row} for row in rows])
