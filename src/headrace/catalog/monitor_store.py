"""What the run store keeps of monitors: how tables are measured, their metrics, and alarms.

metric_tables    one row a table: its plan
metric_periods   one row a table and period of its event time: what was measured, as JSON
metric_runs      one row a table and run: rows, newest event, how late, how long
alarms           one row an alarm, with its explanation as JSON
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from headrace.artifacts.reading import utc
from headrace.catalog.metric_tables import (
    AlarmStatus,
    StoredAlarm,
    StoredPeriod,
    StoredPlan,
    StoredRunMetrics,
)
from headrace.catalog.versions import CatalogVersions

_CHUNK = 400  # periods that are deleted by one statement


class MetricStore(CatalogVersions):
    """Records and reads metrics and alarms."""

    def plans(self) -> dict[str, StoredPlan]:
        """How tables are measured, by asset id."""
        from sqlalchemy import select

        table = self._tables["metric_tables"]
        names = tuple(StoredPlan.__dataclass_fields__)
        with self.begin() as connection:
            rows = connection.execute(select(*(table.c[name] for name in names))).all()
        return {row[0]: StoredPlan(*row) for row in rows}

    def keep_plan(self, plan: StoredPlan) -> None:
        """Keep how a table is measured from now on; periods measured otherwise are dropped."""
        from sqlalchemy import delete, insert

        table, periods = self._tables["metric_tables"], self._tables["metric_periods"]
        with self.begin() as connection:
            connection.execute(delete(table).where(table.c.asset_id == plan.asset_id))
            connection.execute(delete(periods).where(periods.c.asset_id == plan.asset_id))
            connection.execute(insert(table).values(**plan.__dict__))

    def keep_learned(self, asset_id: str, learned: str) -> None:
        """Keep what runs have shown of a table, as JSON."""
        from sqlalchemy import update

        table = self._tables["metric_tables"]
        with self.begin() as connection:
            mine = table.c.asset_id == asset_id
            connection.execute(update(table).where(mine).values(learned=learned))

    def fingerprints(self, asset_id: str) -> dict[datetime, str]:
        """The fingerprints of a table's periods, by their start."""
        from sqlalchemy import select

        table = self._tables["metric_periods"]
        query = select(table.c.at, table.c.fingerprint).where(table.c.asset_id == asset_id)
        with self.begin() as connection:
            return {utc(at): str(mark) for at, mark in connection.execute(query)}

    def periods(self, asset_id: str) -> list[StoredPeriod]:
        """A table's periods in the order of time."""
        from sqlalchemy import select

        table = self._tables["metric_periods"]
        query = (
            select(table.c.at, table.c.rows, table.c.fingerprint, table.c.payload)
            .where(table.c.asset_id == asset_id)
            .order_by(table.c.at)
        )
        with self.begin() as connection:
            return [StoredPeriod(utc(at), *rest) for at, *rest in connection.execute(query)]

    def keep_periods(
        self,
        asset_id: str,
        run_id: str,
        periods: Sequence[StoredPeriod],
        gone: Iterable[datetime],
    ) -> None:
        """Replace periods that were measured again, add new ones, drop those without rows."""
        from sqlalchemy import delete, insert

        table = self._tables["metric_periods"]
        old = [*gone, *(one.at for one in periods)]
        with self.begin() as connection:
            for start in range(0, len(old), _CHUNK):
                mine = table.c.asset_id == asset_id
                chunk = table.c.at.in_(old[start : start + _CHUNK])
                connection.execute(delete(table).where(mine, chunk))
            if periods:
                rows = [{"asset_id": asset_id, "run_id": run_id, **one.__dict__} for one in periods]
                connection.execute(insert(table), rows)

    def keep_run_metrics(self, rows: Sequence[StoredRunMetrics]) -> None:
        """Keep what a run knew of tables as a whole."""
        self._insert("metric_runs", [one.__dict__ for one in rows])

    def run_metrics(self, limit: int) -> dict[str, list[StoredRunMetrics]]:
        """What the newest runs knew of each table, ascending, by asset id.

        Args:
            limit: the most runs of each table.
        """
        from sqlalchemy import select

        table = self._tables["metric_runs"]
        names = tuple(StoredRunMetrics.__dataclass_fields__)
        query = select(*(table.c[name] for name in names)).order_by(table.c.id.desc())
        found: dict[str, list[StoredRunMetrics]] = {}
        with self.begin() as connection:
            for row in connection.execute(query).mappings():
                mine = found.setdefault(row["asset_id"], [])
                if len(mine) < limit:
                    newest = row["newest"]
                    at = {"at": utc(row["at"]), "newest": utc(newest) if newest else None}
                    mine.append(StoredRunMetrics(**{**row, **at, "changed": bool(row["changed"])}))
        return {key: rows[::-1] for key, rows in found.items()}

    def alarms(self, *statuses: AlarmStatus) -> list[StoredAlarm]:
        """Alarms of these statuses, by default all, the newest first."""
        from sqlalchemy import select

        table = self._tables["alarms"]
        query = select(table).order_by(table.c.last.desc(), table.c.number)
        if statuses:
            query = query.where(table.c.status.in_(statuses))
        with self.begin() as connection:
            return [_alarm(row) for row in connection.execute(query).mappings()]

    def keep_alarms(self, alarms: Iterable[StoredAlarm]) -> list[StoredAlarm]:
        """Add alarms whose number is 0, and replace the others; gives all with their numbers."""
        from sqlalchemy import insert, update

        table = self._tables["alarms"]
        kept = []
        with self.begin() as connection:
            for one in alarms:
                values = {**one.__dict__, "explanation": json.dumps(dict(one.explanation))}
                number = values.pop("number")
                if number:
                    mine = table.c.number == number
                    connection.execute(update(table).where(mine).values(**values))
                else:
                    made = connection.execute(insert(table).values(**values))
                    number = int((made.inserted_primary_key or (0,))[0])
                kept.append(StoredAlarm(**{**one.__dict__, "number": number}))
        return kept

    def forget_metrics(self, asset_ids: Iterable[str]) -> None:
        """Drop the plan and the periods of tables that are not monitored any more."""
        from sqlalchemy import delete

        with self.begin() as connection:
            for key in asset_ids:
                for name in ("metric_tables", "metric_periods"):
                    table = self._tables[name]
                    connection.execute(delete(table).where(table.c.asset_id == key))


def _alarm(row: Mapping[Any, Any]) -> StoredAlarm:
    values = {one.name: row[one.name] for one in fields(StoredAlarm)}
    return StoredAlarm(
        **{
            **values,
            "since": utc(row["since"]),
            "last": utc(row["last"]),
            "explanation": json.loads(row["explanation"]),
        }
    )
