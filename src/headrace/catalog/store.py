"""The run store: every run, its steps, loads and nodes. SQLite (WAL) by default, Postgres by URL.

The tables are plain, for any SQL client; `schema_version` in `meta` tells their layout.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from headrace.catalog.history import INTERRUPTED, RUNNING, RunHistory
from headrace.catalog.versions import CatalogVersions
from headrace.secrets import hide


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
