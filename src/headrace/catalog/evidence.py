"""What the run store knows of each table: quarantine, failed loads, rows, since when it fails."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from headrace.artifacts.dbt_results import FAILED
from headrace.artifacts.reading import utc
from headrace.catalog.monitor_store import MetricStore

_CHUNK = 500  # ids in one query


@dataclass(frozen=True)
class MaskedRow:
    """A row in quarantine, as it may be shown.

    Attributes:
        where: its file, and the line or row in it.
        message: what is wrong with it; masked where it quotes personal data.
        values: its values as text by column, personal data masked; empty where it could not be
            read as a row.
    """

    where: str
    message: str
    values: Mapping[str, str | None]


@dataclass(frozen=True)
class QuarantinedTable:
    """The rows of a raw table that are in quarantine for one reason.

    Attributes:
        source: the source's name.
        table: the raw table.
        reason: ``data_type``, ``malformed``, ``null_key``, ``duplicate_key``, ...
        rows: how many.
        sample: a few of them.
    """

    source: str
    table: str
    reason: str
    rows: int
    sample: tuple[MaskedRow, ...] = ()


@dataclass(frozen=True)
class LoadedTable:
    """The newest load of a raw table: its run, when that began (UTC), rows of the table then."""

    source: str
    table: str
    run_id: str
    started_at: datetime
    rows_total: int


@dataclass(frozen=True)
class FailedLoad:
    """A source, or one of its tables, whose newest load failed.

    Attributes:
        source: the source's name.
        table: None where the whole source failed.
        message: what was wrong.
        run_id: of the newest run in which it failed.
        since: start of the first run in which it failed, without a load in between; UTC.
    """

    source: str
    table: str | None
    message: str
    run_id: str
    since: datetime


@dataclass(frozen=True)
class RowCount:
    """The rows of a raw table after a load, or of a model when it was published.

    Attributes:
        run_id: the run.
        at: when it began, UTC.
        code_version: of the project in that run.
        rows_total: of the table.
        rows_new: rows whose key was not there before; None where that was not compared.
        rows_changed: rows whose key was, with other values.
        rows_quarantined: of the load; 0 of a model.
    """

    run_id: str
    at: datetime
    code_version: str
    rows_total: int
    rows_new: int | None
    rows_changed: int | None
    rows_quarantined: int


@dataclass(frozen=True)
class NewestBuild:
    """The newest build, and whether readers have it.

    Attributes:
        run_id: its run.
        at: when it began, UTC.
        passed: whether all its checks passed.
        is_published: whether a publish came after it.
        problem: what was against publishing it, where that was recorded.
    """

    run_id: str
    at: datetime
    passed: bool
    is_published: bool
    problem: str | None = None


@dataclass(frozen=True)
class KeptPromise:
    """A promise, and whether it was kept when the newest whole audit looked at it.

    Attributes:
        unique_id: of its result among the nodes of a run.
        attached_to: dbt's id of the table that it is about; None if of none.
        kind: ``contract``, or ``check`` of one in Python.
        part: of a contract: ``schema``, ``quality``, ``freshness``, ``retention``, ...
        label: in words.
        status: as of a dbt test.
        message: what is wrong.
        promised_to: who relies on it.
        run_id: of the run that looked.
        at: when that began, UTC.
    """

    unique_id: str
    attached_to: str | None
    kind: str
    part: str | None
    label: str
    status: str
    message: str | None
    promised_to: str
    run_id: str = ""
    at: datetime | None = None


class EvidenceStore(MetricStore):
    """Records and reads what a verdict on a table is made from."""

    def add_load_failures(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record what could not be loaded: ``source``, ``table`` (or None) and ``message``."""
        self._insert("load_failures", [{"run_id": run_id, **row} for row in rows])

    def add_row_counts(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record rows of models; the keys are the columns of ``row_counts``."""
        self._insert("row_counts", [{"run_id": run_id, **row} for row in rows])

    def keep_quarantine(
        self, run_id: str | None, sources: Collection[str], found: Iterable[QuarantinedTable]
    ) -> None:
        """Replace what is known of the quarantine of some sources."""
        from sqlalchemy import delete, insert

        table = self._tables["quarantine"]
        rows = [
            {
                "run_id": run_id,
                "source": one.source,
                "table": one.table,
                "reason": one.reason,
                "rows": one.rows,
                "sample": json.dumps([asdict(row) for row in one.sample]),
            }
            for one in found
        ]
        with self.begin() as connection:
            connection.execute(delete(table).where(table.c.source.in_(sorted(sources))))
            if rows:
                connection.execute(insert(table), rows)

    def quarantine(self) -> list[QuarantinedTable]:
        """What is in quarantine, by source, table and reason."""
        from sqlalchemy import select

        table = self._tables["quarantine"]
        query = select(table).order_by(table.c.source, table.c.table, table.c.reason)
        with self.begin() as connection:
            return [
                QuarantinedTable(
                    row["source"],
                    row["table"],
                    row["reason"],
                    int(row["rows"]),
                    tuple(MaskedRow(**one) for one in json.loads(row["sample"])),
                )
                for row in connection.execute(query).mappings()
            ]

    def keep_promises(self, run_id: str, found: Iterable[KeptPromise]) -> None:
        """Replace what is known of promises by what a whole audit found."""
        from sqlalchemy import delete, insert

        table = self._tables["promises"]
        rows = [{**asdict(one), "run_id": run_id} for one in found]
        for row in rows:
            del row["at"]
        with self.begin() as connection:
            connection.execute(delete(table))
            if rows:
                connection.execute(insert(table), rows)

    def promises(self) -> list[KeptPromise]:
        """The promises, in the order in which they were looked at."""
        from sqlalchemy import select

        table, runs = self._tables["promises"], self._tables["runs"]
        query = (
            select(table, runs.c.started_at)
            .join(runs, runs.c.run_id == table.c.run_id)
            .order_by(table.c.id)
        )
        with self.begin() as connection:
            return [
                KeptPromise(
                    row["unique_id"], row["attached_to"], row["kind"], row["part"], row["label"],
                    row["status"], row["message"], row["promised_to"], row["run_id"],
                    utc(row["started_at"]),
                )
                for row in connection.execute(query).mappings()
            ]  # fmt: skip

    def rows_of_raw(self, source: str, table: str, limit: int) -> list[RowCount]:
        """The rows of a raw table after its newest loads, newest first."""
        from sqlalchemy import select

        loads, runs = self._tables["loads"], self._tables["runs"]
        query = (
            select(
                loads.c.run_id, runs.c.started_at, runs.c.code_version, loads.c.rows_total,
                loads.c.rows_new, loads.c.rows_changed, loads.c.rows_quarantined,
            )
            .join(runs, runs.c.run_id == loads.c.run_id)
            .where(loads.c.source == source, loads.c.table == table)
            .order_by(loads.c.id.desc())
            .limit(limit)
        )  # fmt: skip
        return self._row_counts(query)

    def rows_of_model(self, unique_id: str, limit: int) -> list[RowCount]:
        """The rows of a model when it was published, newest first."""
        from sqlalchemy import literal, select

        counts, runs = self._tables["row_counts"], self._tables["runs"]
        query = (
            select(
                counts.c.run_id, runs.c.started_at, runs.c.code_version, counts.c.rows,
                counts.c.rows_new, counts.c.rows_changed, literal(0),
            )
            .join(runs, runs.c.run_id == counts.c.run_id)
            .where(counts.c.unique_id == unique_id)
            .order_by(counts.c.id.desc())
            .limit(limit)
        )  # fmt: skip
        return self._row_counts(query)

    def _row_counts(self, query: Any) -> list[RowCount]:
        with self.begin() as connection:
            return [
                RowCount(run_id, utc(at), *rest)
                for run_id, at, *rest in connection.execute(query).all()
            ]

    def loaded_tables(self) -> list[LoadedTable]:
        """The newest load of each raw table, by source and table."""
        from sqlalchemy import func, select

        loads, runs = self._tables["loads"], self._tables["runs"]
        newest = select(func.max(loads.c.id)).group_by(loads.c.source, loads.c.table)
        query = (
            select(
                loads.c.source,
                loads.c.table,
                loads.c.run_id,
                runs.c.started_at,
                loads.c.rows_total,
            )
            .join(runs, runs.c.run_id == loads.c.run_id)
            .where(loads.c.id.in_(newest))
            .order_by(loads.c.source, loads.c.table)
        )
        with self.begin() as connection:
            return [
                LoadedTable(source, table, run_id, utc(at), int(total))
                for source, table, run_id, at, total in connection.execute(query)
            ]

    def failed_loads(self) -> list[FailedLoad]:
        """The sources and tables that failed in the last run that was to load them."""
        from sqlalchemy import func, select

        failures, runs = self._tables["load_failures"], self._tables["runs"]
        loads = self._tables["loads"]
        number = func.coalesce(runs.c.number, 0)
        failed = (
            select(
                failures.c.source, failures.c.table, failures.c.message, failures.c.run_id,
                runs.c.started_at, number,
            )
            .join(runs, runs.c.run_id == failures.c.run_id)
            .order_by(failures.c.id)
        )  # fmt: skip
        loaded = (
            select(loads.c.source, loads.c.table, func.max(number))
            .join(runs, runs.c.run_id == loads.c.run_id)
            .group_by(loads.c.source, loads.c.table)
        )
        with self.begin() as connection:
            rows = connection.execute(failed).all()
            good: dict[tuple[str, str | None], int] = {}
            for source, table, newest in connection.execute(loaded) if rows else ():
                good[source, table] = int(newest)
                good[source, None] = max(good.get((source, None), 0), int(newest))
        found: dict[tuple[str, str | None], FailedLoad] = {}
        for source, table, message, run_id, at, order in rows:
            key = (source, table)
            # a file of a table may fail while the rest of it is loaded, in the same run
            if order < good.get(key, -1):
                continue
            since = found[key].since if key in found else utc(at)
            found[key] = FailedLoad(source, table, message, run_id, since)
        return [found[key] for key in sorted(found, key=lambda key: (key[0], key[1] or ""))]

    def failing_since(self, unique_ids: Iterable[str]) -> Mapping[str, datetime]:
        """When the first of a node's failures since its last good result was; UTC.

        Args:
            unique_ids: dbt's ids of nodes whose newest result is a failure.
        """
        from sqlalchemy import func, select

        nodes, runs = self._tables["nodes"], self._tables["runs"]
        good = nodes.alias("good")
        last_good = (
            select(func.coalesce(func.max(good.c.id), 0))
            .where(
                good.c.unique_id == nodes.c.unique_id,
                good.c.status.not_in([*FAILED, "skipped", "reused"]),
            )
            .correlate(nodes)
            .scalar_subquery()
        )
        ids = list(unique_ids)
        found: dict[str, datetime] = {}
        with self.begin() as connection:
            for start in range(0, len(ids), _CHUNK):
                chosen = nodes.c.unique_id.in_(ids[start : start + _CHUNK])
                first = (
                    select(func.min(nodes.c.id))
                    .where(chosen, nodes.c.status.in_(FAILED), nodes.c.id > last_good)
                    .group_by(nodes.c.unique_id)
                )
                query = (
                    select(nodes.c.unique_id, nodes.c.started_at, runs.c.started_at)
                    .join(runs, runs.c.run_id == nodes.c.run_id)
                    .where(nodes.c.id.in_(first))
                )
                for key, at, run_at in connection.execute(query):
                    found[key] = utc(at or run_at)
        return found

    def newest_build(self) -> NewestBuild | None:
        """The newest build that ended, whether good or not; None before the first one."""
        from sqlalchemy import func, select

        steps, runs = self._tables["steps"], self._tables["runs"]
        built = select(func.max(steps.c.id)).where(steps.c.step == "build").scalar_subquery()
        query = (
            select(steps.c.id, steps.c.run_id, steps.c.status, runs.c.started_at, runs.c.status)
            .join(runs, runs.c.run_id == steps.c.run_id)
            .where(steps.c.id == built)
        )
        with self.begin() as connection:
            row = connection.execute(query).first()
            if row is None:
                return None
            number, run_id, status, at, run_status = row
            published = connection.execute(
                select(func.max(steps.c.id)).where(
                    steps.c.step == "publish", steps.c.status == "success"
                )
            ).scalar()
            after = connection.execute(
                select(steps.c.status, steps.c.message)
                .where(steps.c.run_id == run_id, steps.c.step.in_(["build", "audit", "publish"]))
                .order_by(steps.c.id)
            ).all()
        failed = [text for state, text in after if state != "success"]
        passed = status == "success" and not failed and run_status not in {"failed", "error"}
        problem = next((text for text in reversed(failed) if text), None)
        return NewestBuild(run_id, utc(at), passed, (published or 0) > number, problem)
