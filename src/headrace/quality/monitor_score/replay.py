"""A simulated shop as the monitors see it: clean, and with faults, as series of each table.

    schema file ─► rows as of the end, clean or with faults ─► metrics by day ─► series

What is said of a day is drawn from what came before it, so that one look at the end replays all
days. The event times and columns of the plans are those of the clean data.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from headrace.quality.monitor_score.scenarios import TABLES, Scenario
from headrace.quality.monitors.measure import PeriodMetrics, measure
from headrace.quality.monitors.model import Grain
from headrace.quality.monitors.plan import Hints, Plan, plan
from headrace.quality.monitors.series import (
    RunValues,
    Series,
    complete_until,
    length_of,
    periods_between,
    series_of,
)
from headrace.quality.monitors.settling import SettlingTimes, moved
from headrace.sql_text import identifier, literal
from headrace.synth.generate import generate


class AnyReplay(Protocol):
    """A shop as its monitors see it, clean and with faults.

    Attributes:
        clean: the tables without faults, by name.
    """

    clean: dict[str, "TableSeries"]

    def replayed(self, todo: Sequence[Scenario]) -> "Iterator[Replayed]":
        """Each scenario, and the tables that its faults can change; not in the given order."""


@dataclass(frozen=True)
class Replayed:
    """What came of a scenario.

    Attributes:
        scenario: what was put into the shop.
        tables: those that nothing else can have changed; by name.
        stopped: why the load or the build failed, so that no monitor saw it; None where it did not.
    """

    scenario: Scenario
    tables: "dict[str, TableSeries]"
    stopped: str | None = None


BY_RUN = " by run"
"""After the name of a table: its metrics that have one value for each run."""
_RUNS = 3  # after which a monitor relies on what they have shown


@dataclass(frozen=True)
class TableSeries:
    """The series of a table.

    Attributes:
        plan: how it is measured.
        grain: of these series: that of its periods, or ``run``.
        times: starts of its periods, UTC.
        series: of each metric.
        types: its columns.
        settles: seconds after an event in which a metric still changes, by its name.
    """

    plan: Plan
    grain: Grain
    times: tuple[datetime, ...]
    series: tuple[Series, ...]
    types: dict[str, str]
    settles: dict[str, float] = field(default_factory=dict)

    def by_name(self) -> dict[str, Series]:
        """The series by the names of their metrics."""
        return {one.name: one for one in self.series}


class Replay:
    """A shop of one seed, generated once; its tables again with faults; without dlt and dbt.

    Args:
        schema: its schema file.
        seed: of the shop.
        scale: of the shop.
        until: the end, UTC.
    """

    def __init__(self, schema: Path, *, seed: int, scale: float, until: datetime) -> None:
        self._schema, self._seed, self._scale, self.until = schema, seed, scale, until
        self._stack = ExitStack()
        self.clean: dict[str, TableSeries] = {}
        self._learned: dict[str, SettlingTimes] = {}

    def __enter__(self) -> Self:
        import duckdb

        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-score-"))
        self._folder = Path(folder)
        self._connection = self._stack.enter_context(duckdb.connect())
        self._connection.execute("set TimeZone = 'UTC'")
        self._generate("clean", TABLES)
        self._generate("before", TABLES, until=self.until - timedelta(days=1))
        for table in TABLES:
            made = plan(
                self._connection, self._read("clean", table), Hints(key=("id",)), now=self.until
            )
            self._learned[table] = self._learn(table, made)
            self.clean[table] = self._series("clean", table, made)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _learn(self, table: str, made: Plan) -> SettlingTimes:
        """What runs on two days show of the columns that still change after their event."""
        before = self._measured("before", table, made)
        after = {one.at: one for one in self._measured("clean", table, made)}
        ages: dict[str, float] = {}
        for period in before[:-1]:  # the newest was not complete then
            for column in moved(period, after[period.at]) if period.at in after else ():
                age = (self.until - period.at).total_seconds()
                ages[column] = max(age, ages.get(column, 0.0))
        learned = SettlingTimes()
        for _ in range(_RUNS):
            learned.see(ages)
        return learned

    def replayed(self, todo: Sequence[Scenario]) -> Iterator[Replayed]:
        """The table of each scenario with its faults, measured like the clean one."""
        for scenario in todo:
            yield Replayed(scenario, self._faulty(scenario))

    def _faulty(self, scenario: Scenario) -> dict[str, TableSeries]:
        path = self._folder / "faults.json"
        path.write_text(json.dumps(list(scenario.faults)), encoding="utf-8")
        self._generate("faulty", (scenario.table,), path)
        plan_of_clean = self.clean[scenario.table].plan
        return {scenario.table: self._series("faulty", scenario.table, plan_of_clean)}

    def _measured(self, name: str, table: str, made: Plan) -> tuple[PeriodMetrics, ...]:
        return measure(self._connection, self._read(name, table), made, now=self.until).periods

    def _generate(
        self,
        name: str,
        tables: Sequence[str],
        faults: Path | None = None,
        until: datetime | None = None,
    ) -> None:
        generate(
            self._schema,
            self._folder / name,
            seed=self._seed,
            scale=self._scale,
            as_of=until or self.until,
            tables=tuple(tables),
            faults=None if faults is None else str(faults),
            threads=1,
        )

    def _read(self, name: str, table: str) -> str:
        """A table in SQL, in memory."""
        relation = identifier(f"{name}_{table}")
        files = literal(str(self._folder / name / f"{table}.parquet"))
        self._connection.execute(
            f"create or replace table {relation} as from read_parquet({files})"
        )
        return relation

    def _series(self, name: str, table: str, made: Plan) -> TableSeries:
        relation = self._read(name, table)
        types = {
            row[0]: row[1] for row in self._connection.execute(f"describe {relation}").fetchall()
        }
        kept = tuple(one for one in made.columns if types.get(one.name) == one.data_type)
        used = replace(made, columns=kept)
        found = measure(self._connection, relation, used, now=self.until)
        looks = [RunValues(self.until, found.whole.rows, found.whole.newest)]
        end = complete_until(used, found.periods, looks, self.until)
        if self.clean.get(table) is not None and self.clean[table].times:
            # a feed that has ended is judged by what should have come
            last = self.clean[table].times[-1]
            end = max(end, last + length_of(made.grain, last))
        times, periods = periods_between(used, found.periods, end)
        series = tuple(series_of(used, periods))
        settles = {
            one.name: self._learned[table].settles(one.column, one.metric, used) for one in series
        }
        for one in series:  # as runs do, which do not judge what still changes
            late = sum(end - at < timedelta(seconds=settles[one.name]) for at in times)
            one.values[len(times) - late :] = np.nan
        return TableSeries(used, used.grain, tuple(times), series, types, settles)
