"""What the run store keeps of monitors: how tables are measured, their metrics, and alarms.

metric_tables    one row a table: its plan
metric_periods   one row a table and period of its event time: what was measured, as JSON
metric_runs      one row a table and run: rows, newest event, how late, how long
alarms           one row an alarm, with its explanation as JSON
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sqlalchemy import Column

AlarmStatus = Literal["open", "over", "expected"]


@dataclass(frozen=True)
class StoredPlan:
    """How a table is measured.

    Attributes:
        asset_id: of the table.
        name: ``schema.table``.
        plan: as JSON.
        run_id: of the run that made it.
        learned: what runs since then have shown of it, as JSON.
    """

    asset_id: str
    name: str
    plan: str
    run_id: str
    learned: str = "{}"


@dataclass(frozen=True)
class StoredPeriod:
    """A period of a table.

    Attributes:
        at: its start, UTC.
        rows: how many.
        fingerprint: of its rows.
        payload: what was measured, as JSON.
    """

    at: datetime
    rows: int
    fingerprint: str
    payload: str


@dataclass(frozen=True)
class StoredRunMetrics:
    """A table as a whole, when a run looked at it.

    Attributes:
        asset_id: of the table.
        run_id: the run.
        at: when that began, UTC.
        rows: None where they were not counted.
        newest: its newest event, UTC.
        late: seconds from event to load, of what the newest load brought.
        seconds: how long its load or build took.
        changed: whether it was loaded or built with another content.
        outside: rows without an event time, or with one in the future.
    """

    asset_id: str
    run_id: str
    at: datetime
    rows: int | None = None
    newest: datetime | None = None
    late: float | None = None
    seconds: float | None = None
    changed: bool = True
    outside: int = 0


@dataclass(frozen=True)
class StoredAlarm:
    """An alarm of a monitor.

    Attributes:
        number: by which it is named; 0 before it is stored.
        asset_id: of the table.
        table: ``schema.table``.
        metric: ``rows``, ``amount.mean``, ``status.share(paid)``, ``schema``.
        grain: of its periods.
        since: the first period, UTC.
        last: the newest.
        side: ``up`` or ``down``.
        value: of the worst period.
        expected: the middle of the band there.
        low: its lower end; None where it is open.
        high: likewise.
        score: how far outside, in usual deviations.
        status: ``open``, ``over``, or ``expected`` by a person.
        run_id: the run that found it.
        last_run_id: the newest run that saw it.
        text: in words.
        explanation: more, as JSON.
        note: what a person said of it.
    """

    number: int
    asset_id: str
    table: str
    metric: str
    grain: str
    since: datetime
    last: datetime
    side: str
    value: float | None
    expected: float | None
    low: float | None
    high: float | None
    score: float
    status: AlarmStatus
    run_id: str
    last_run_id: str
    text: str
    explanation: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None


def metric_tables(metadata: Any) -> None:
    """Define the four tables."""
    from sqlalchemy import (
        BigInteger,
        Boolean,
        Column,
        DateTime,
        Float,
        Index,
        Integer,
        String,
        Table,
        Text,
        UniqueConstraint,
    )  # fmt: skip

    timestamp = DateTime(timezone=True)

    def number(name: str) -> "Column[Any]":
        kind = BigInteger().with_variant(Integer, "sqlite")
        return Column(name, kind, primary_key=True, autoincrement=True)

    Table(
        "metric_tables",
        metadata,
        Column("asset_id", Text, primary_key=True),
        Column("name", Text, nullable=False),
        Column("plan", Text, nullable=False),
        Column("run_id", String(40), nullable=False),
        Column("learned", Text, nullable=False),
    )
    Table(
        "metric_periods",
        metadata,
        number("id"),
        Column("asset_id", Text, nullable=False),
        Column("at", timestamp, nullable=False),
        Column("rows", BigInteger, nullable=False),
        Column("fingerprint", Text, nullable=False),
        Column("run_id", String(40), nullable=False),
        Column("payload", Text, nullable=False),
        UniqueConstraint("asset_id", "at", name="uq_metric_periods"),
    )
    Table(
        "metric_runs",
        metadata,
        number("id"),
        Column("asset_id", Text, nullable=False),
        Column("run_id", String(40), nullable=False),
        Column("at", timestamp, nullable=False),
        Column("rows", BigInteger),
        Column("newest", timestamp),
        Column("late", Float),
        Column("seconds", Float),
        Column("changed", Boolean, nullable=False),
        Column("outside", BigInteger, nullable=False),
        Index("ix_metric_runs_asset_id", "asset_id", "id"),
    )
    Table(
        "alarms",
        metadata,
        number("number"),
        Column("asset_id", Text, nullable=False),
        Column("table", Text, nullable=False),
        Column("metric", Text, nullable=False),
        Column("grain", String(10), nullable=False),
        Column("since", timestamp, nullable=False),
        Column("last", timestamp, nullable=False),
        Column("side", String(10), nullable=False),
        Column("value", Float),
        Column("expected", Float),
        Column("low", Float),
        Column("high", Float),
        Column("score", Float, nullable=False),
        Column("status", String(20), nullable=False),
        Column("run_id", String(40), nullable=False),
        Column("last_run_id", String(40), nullable=False),
        Column("text", Text, nullable=False),
        Column("explanation", Text, nullable=False),
        Column("note", Text),
        Index("ix_alarms_asset_id", "asset_id"),
        Index("ix_alarms_status", "status"),
    )
