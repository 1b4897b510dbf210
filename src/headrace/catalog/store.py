"""The run store: every run, its steps, loads and nodes, and the versions of the catalog.

SQLite (WAL) by default, Postgres by URL. The tables are plain, for any SQL client;
``schema_version`` in ``meta`` says their layout.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headrace.artifacts.dbt_results import FAILED
from headrace.artifacts.reading import utc
from headrace.catalog.evidence import EvidenceStore
from headrace.catalog.kept_profiles import ProfileStore
from headrace.error_detail import ErrorDetail
from headrace.secrets import hide, hide_in

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table


INTERRUPTED = "interrupted"
RUNNING = "running"


@dataclass(frozen=True)
class NodeFailure:
    """A failed node: its label, its message, and the place in the user's own file."""

    label: str
    message: str
    detail: ErrorDetail | None = None


@dataclass(frozen=True)
class StoredRun:
    """A recorded run.

    Attributes:
        run_id: its id.
        command: of the run.
        status: ``running``, ``success``, ``failed``, ``error`` or ``interrupted``.
        target: the target's name.
        started_at: UTC.
        seconds: duration; None while it is in progress or if it was interrupted.
        rows_loaded: new and changed rows.
        failures: the failed nodes, sorted by label.
        error: the message, if it could not run.
        detail: of the error.
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
    detail: ErrorDetail | None
    code_version: str


@dataclass(frozen=True)
class StepRun:
    """A step of a run.

    Attributes:
        step: ``load``, ``build``, ``audit``, ``publish`` or ``catalog``.
        status: ``success``, ``failed`` (a check failed) or ``error`` (it could not run).
        started_at: UTC; None if an older Headrace recorded it.
        seconds: duration.
        message: why it failed.
    """

    step: str
    status: str
    started_at: datetime | None
    seconds: float
    message: str | None = None


@dataclass(frozen=True)
class TableRun:
    """A raw table of a run's load step; rows as in ``pipeline.reports.TableReport``.

    ``rows_given`` and ``rows_unchanged`` are None if an older Headrace recorded the run.
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
        label: of a test ``unique(id) on orders``; else the name.
        resource_type: ``model``, ``test``, ``source`` (its freshness), ...
        status: ``success``, ``pass``, ``warn``, ``fail``, ``error``, ``skipped``; ``reused`` if
            nothing had changed and the last good result was kept.
        started_at: UTC; None if it did not run, or an older Headrace recorded it.
        seconds: duration.
        thread: dbt's thread.
        failures: failing rows of a test.
        message: of a node that failed or warned.
        detail: of the message.
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
    detail: ErrorDetail | None = None


@dataclass(frozen=True)
class StoredRunDetail:
    """A run with everything that was recorded of it."""

    run: StoredRun
    steps: tuple[StepRun, ...]
    loads: tuple[TableRun, ...]
    nodes: tuple[NodeRun, ...]


def newest_first(runs: "Table") -> "tuple[ColumnElement[Any], ...]":
    """The order of runs, newest first: by their number, since a clock may have been wrong.

    Runs of an older Headrace have no number; they come last.
    """
    from sqlalchemy import func

    number = func.coalesce(runs.c.number, 0)
    return (number.desc(), runs.c.started_at.desc(), runs.c.run_id.desc())


class RunStore(EvidenceStore, ProfileStore):
    """Records runs as they happen; reads them, and the versions of the catalog."""

    def begin_run(
        self,
        run_id: str,
        *,
        command: str,
        target: str,
        lock: str,
        code_version: str,
        started_at: datetime | None = None,
    ) -> int:
        """Record that a run began; return how many interrupted runs were found and marked.

        The caller holds the lock, so any other run that is still ``running`` under it is dead.
        """
        from sqlalchemy import func, insert, select, update

        runs = self._tables["runs"]
        with self.begin() as connection:
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
                    started_at=started_at or datetime.now(UTC),
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
        detail: ErrorDetail | None = None,
    ) -> None:
        """Record how a run ended."""
        from sqlalchemy import update

        runs = self._tables["runs"]
        with self.begin() as connection:
            connection.execute(
                update(runs)
                .where(runs.c.run_id == run_id)
                .values(
                    status=status,
                    seconds=seconds,
                    error=None if error is None else hide(error),
                    detail=detail_text(detail),
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
        message: str | None = None,
    ) -> None:
        """Record a step; the message says why it failed."""
        row = {"run_id": run_id, "step": step, "status": status, "seconds": seconds}
        hidden = None if message is None else hide(message)
        self._insert("steps", [{**row, "started_at": started_at, "message": hidden}])

    def add_loads(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record the raw tables of a load step; the keys are the columns of ``loads``."""
        self._insert("loads", [{"run_id": run_id, **row} for row in rows])

    def add_nodes(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record dbt nodes; the keys are the columns of ``nodes``, ``detail`` as it is."""
        self._insert(
            "nodes",
            [{"run_id": run_id, **row, "detail": detail_text(row.get("detail"))} for row in rows],
        )

    def last_runs(self, limit: int) -> list[StoredRun]:
        """The last runs, newest first, with their failures."""
        from sqlalchemy import select

        runs = self._tables["runs"]
        return self._runs(select(runs).order_by(*newest_first(runs)).limit(limit))

    def run(self, run_id: str) -> StoredRunDetail | None:
        """A run in full; None if there is none with that id."""
        from sqlalchemy import select

        runs = self._tables["runs"]
        found = self._runs(select(runs).where(runs.c.run_id == run_id))
        if not found:
            return None
        steps, loads, nodes = (self._tables[name] for name in ("steps", "loads", "nodes"))
        with self.begin() as connection:
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
                        row["step"],
                        row["status"],
                        _utc_or_none(row["started_at"]),
                        row["seconds"],
                        row["message"],
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
        """The last results of a node, newest first, without reused ones."""
        from sqlalchemy import select

        nodes = self._tables["nodes"]
        with self.begin() as connection:
            rows = connection.execute(
                select(nodes)
                .where(nodes.c.unique_id == unique_id, nodes.c.status != "reused")
                .order_by(nodes.c.id.desc())
                .limit(limit)
            ).mappings()
            return [_node_run(row) for row in rows]

    def latest_nodes(self) -> Mapping[str, NodeRun]:
        """Each node's last result that was not reused, by dbt's ``unique_id``."""
        from sqlalchemy import func, select

        nodes = self._tables["nodes"]
        newest = (
            select(func.max(nodes.c.id)).where(nodes.c.status != "reused")
            .group_by(nodes.c.unique_id)
        )  # fmt: skip
        with self.begin() as connection:
            rows = connection.execute(select(nodes).where(nodes.c.id.in_(newest))).mappings()
            return {row["unique_id"]: _node_run(row) for row in rows}

    def _runs(self, query: Any) -> list[StoredRun]:
        from sqlalchemy import select

        nodes = self._tables["nodes"]
        with self.begin() as connection:
            found = connection.execute(query).mappings().all()
            ids = [row["run_id"] for row in found]
            failed = connection.execute(
                select(nodes.c.run_id, nodes.c.label, nodes.c.message, nodes.c.detail)
                .where(nodes.c.run_id.in_(ids), nodes.c.status.in_(FAILED))
                .order_by(nodes.c.label)
            ).all()
        failures: dict[str, list[NodeFailure]] = {}
        for run_id, label, message, detail in failed:
            failure = NodeFailure(label, message or "", detail_of(detail))
            failures.setdefault(run_id, []).append(failure)
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
                detail=detail_of(row["detail"]),
                code_version=row["code_version"],
            )
            for row in found
        ]


def _node_run(row: Any) -> NodeRun:
    values = {name: row[name] for name in NodeRun.__dataclass_fields__}
    started, detail = _utc_or_none(values["started_at"]), detail_of(values["detail"])
    return NodeRun(**{**values, "started_at": started, "detail": detail})


def detail_text(detail: ErrorDetail | None) -> str | None:
    """An error's detail as it is kept: JSON, with secrets masked."""
    return None if detail is None else json.dumps(hide_in(detail.as_json()))


def detail_of(text: str | None) -> ErrorDetail | None:
    """The inverse of ``detail_text``."""
    return None if text is None else ErrorDetail.from_json(json.loads(text))


def _utc_or_none(at: datetime | None) -> datetime | None:
    return None if at is None else utc(at)
