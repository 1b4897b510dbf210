"""A project that is run on simulated days, for `headrace quality score`.

    daily loads and builds of a clean shop ─► a copy ─► load with faults ─► build ─► monitors

It has a folder of its own: a warehouse, a run store, dlt's state and dbt's artifacts. What a run
does is done by the same functions (load, build, catalog, monitors); only the clock is simulated.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from headrace.catalog import Catalog, RunStore
from headrace.errors import HeadraceError, ProjectError
from headrace.pipeline import catalog as catalog_step
from headrace.pipeline.building import build as build_step
from headrace.pipeline.building import slim_build
from headrace.pipeline.building.slim_build import Selection
from headrace.pipeline.loading import load as load_step
from headrace.pipeline.loading import sources
from headrace.pipeline.quality import monitor
from headrace.pipeline.quality.monitor_alarms import (
    RUNS,
    plan_and_looks,
    series_by_period,
    series_by_run,
)
from headrace.pipeline.quality.monitor_tables import monitored
from headrace.pipeline.reports import ignore
from headrace.pipeline.run_record import new_run_id
from headrace.quality.monitor_score.replay import (
    BY_RUN,
    AnyReplay,
    Replay,
    Replayed,
    TableSeries,
)
from headrace.quality.monitor_score.report import ScoreReport
from headrace.quality.monitor_score.scenarios import SHOP, Scenario, batches
from headrace.quality.monitor_score.service import MONITORS, UNTIL, score
from headrace.settings import Resolved, resolve

_DAYS = 8  # of runs before the end: as many values has a metric of runs before it is judged
_TESTS = ("resource_type:test", "resource_type:unit_test")
_TARGET = "duckdb"
_REAL_CLOCK = frozenset({"lateness", "duration"})
"""Metrics of runs that dlt's load ids or a stopwatch decide: a simulated day says nothing there."""
_Builds = Literal["everything", "models", "nothing"]


class ProjectReplay:
    """A shop of one seed that is loaded, built and monitored as runs do it, day by day at the end.

    Args:
        root: the project's directory; its settings hold, but for places and sources.
        seed: of the shop.
        scale: of the shop.
        until: the time of the last run, UTC.
        progress: is told what is being done.
    """

    def __init__(
        self,
        root: Path,
        *,
        seed: int,
        scale: float,
        until: datetime,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._root, self._seed, self._scale, self.until = root, seed, scale, until
        self._progress = progress
        self._stack = ExitStack()
        self.clean: dict[str, TableSeries] = {}
        self._upstream: dict[str, frozenset[str]] = {}

    def __enter__(self) -> Self:
        made = tempfile.TemporaryDirectory(prefix="headrace-score-", ignore_cleanup_errors=True)
        self._folder = Path(self._stack.enter_context(made))
        for day in range(_DAYS, -1, -1):
            at = self.until - timedelta(days=day)
            self._progress(f"a run as of {at:%Y-%m-%d}, without faults")
            self._run(
                at, None, "everything" if day == _DAYS else "models" if day < 2 else "nothing"
            )
            if day in {0, 1}:  # before the run with a fault in columns, and with other faults
                shutil.copytree(self._live, self._folder / f"before-{day}")
        self.clean = self._series()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def replayed(self, todo: Sequence[Scenario]) -> Iterator[Replayed]:
        """The tables after a load with faults, and all that is built from it.

        Faults of different raw tables share a load and a build. Each is looked for in the tables
        that come from its own raw table and from no other that was hit. Rows of the past that a
        fault hits come with a new load of the whole table; columns that change come with the rows
        of the last day. Where a load or a build of several stops, they are tried one by one.
        """
        waiting = [list(one) for one in batches(todo)]
        while waiting:
            batch = waiting.pop(0)
            self._progress("a run with " + " and ".join(one.words for one in batch))
            try:
                found = self._faulty(batch)
            except HeadraceError as error:
                if len(batch) > 1:
                    waiting = [[one] for one in batch] + waiting
                else:
                    yield Replayed(batch[0], {}, str(error))
                continue
            hit = {one.table for one in batch}
            for scenario in batch:
                yield Replayed(
                    scenario,
                    {
                        name: table
                        for name, table in found.items()
                        if self._upstream[name] & hit == {scenario.table}
                    },
                )

    def _faulty(self, batch: Sequence[Scenario]) -> dict[str, TableSeries]:
        before = self._folder / f"before-{1 if batch[0].is_of_columns else 0}"
        shutil.rmtree(self._live)
        shutil.copytree(before, self._live)
        spec = self._folder / "faults.yml"
        spec.write_text(
            json.dumps([fault for one in batch for fault in one.faults]), encoding="utf-8"
        )
        self._run(self.until, spec, "models", [one.table for one in batch])
        return self._series()

    @property
    def _live(self) -> Path:
        return self._folder / "live"

    def _resolved(self, at: datetime, faults: Path | None) -> Resolved:
        """The project's settings, in a place of its own, with the shop as its only source."""
        flags = {
            "data_dir": self._live,
            "target": _TARGET,
            f"targets.{_TARGET}.path": self._live / "warehouse.duckdb",
            "publish.path": self._live / "published.duckdb",
            "run_store.url": f"sqlite:///{self._live / 'runs.sqlite'}",
            "openlineage.enabled": "false",
            f"sources.{SHOP}.seed": self._seed,
            f"sources.{SHOP}.scale": self._scale,
            f"sources.{SHOP}.as_of": at.isoformat(),
        }
        if faults is not None:
            flags[f"sources.{SHOP}.faults"] = faults
        return resolve(self._root, flags=[f"{key}={value}" for key, value in flags.items()])

    def _run(
        self, at: datetime, faults: Path | None, builds: _Builds, hit: Sequence[str] = ()
    ) -> None:
        resolved = self._resolved(at, faults)
        resolved.data_dir.mkdir(parents=True, exist_ok=True)
        target, run_id = resolved.target, new_run_id()
        target.prepare()
        load_step.load(
            resolved, target, sources.selected(resolved, (SHOP,)), full_refresh=False, listen=ignore
        )
        with closing(RunStore(resolved.run_store_url)) as store:
            store.begin_run(
                run_id,
                command="headrace quality score",
                target=target.name,
                lock=str(target.lock_path),
                code_version="",
                started_at=at,
            )
            if builds == "everything":
                build_step.build(resolved, target, full_refresh=False, listen=ignore)
                catalog_step.refresh(resolved, store, run_id)
            elif builds == "models":
                chosen = [f"source:{SHOP}.{one}+" for one in hit] or [f"source:{SHOP}+"]
                slim_build.build_slim(
                    resolved,
                    target,
                    Selection(select=tuple(chosen), exclude=_TESTS),
                    full_refresh=False,
                    listen=ignore,
                )
            monitor.watch(resolved, store, run_id, now=at, has_built=builds != "nothing")
            store.end_run(
                run_id, status="success", seconds=0.0, error=None, rows_loaded=None,
                published_path=None,
            )  # fmt: skip

    def _series(self) -> dict[str, TableSeries]:
        """The series of each monitored table, by its periods and by runs, from the run store."""
        resolved = self._resolved(self.until, None)
        found: dict[str, TableSeries] = {}
        with closing(RunStore(resolved.run_store_url)) as store:
            catalog, runs = store.load_catalog(), store.run_metrics(RUNS)
            plans = store.plans()
            if catalog is None:
                return found
            for key, table in monitored(resolved, catalog).by_id.items():
                measured = plan_and_looks(plans, key, runs.get(key, []))
                if measured is None:
                    continue
                plan, learned, looks = measured
                hit = _raw_tables(catalog, key)
                self._upstream[table.name] = self._upstream[f"{table.name}{BY_RUN}"] = hit
                times, _, series, settles = series_by_period(
                    store, key, plan, learned, looks, now=self.until
                )
                found[table.name] = TableSeries(
                    plan, plan.grain, tuple(times), tuple(series), plan.types, settles
                )
                at, of_runs = series_by_run(plan, looks)
                found[f"{table.name}{BY_RUN}"] = TableSeries(
                    plan,
                    "run",
                    tuple(one.replace(tzinfo=self.until.tzinfo) for one in at.tolist()),
                    tuple(one for one in of_runs if one.metric not in _REAL_CLOCK),
                    plan.types,
                )
        return found


def _raw_tables(catalog: Catalog, asset_id: str) -> frozenset[str]:
    """The names of the raw tables that an asset comes from; its own, if it is one."""
    found: set[str] = set()
    seen, waiting = {asset_id}, [asset_id]
    while waiting:
        key = waiting.pop()
        if catalog.assets[key].kind == "table":
            found.add(catalog.assets[key].name)
        more = [one for one in catalog.parents.get(key, ()) if one not in seen]
        seen.update(more)
        waiting += more
    return frozenset(found)


def score_project(
    root: Path,
    *,
    seed: int,
    months: int,
    scale: float,
    monitors: Sequence[str] = MONITORS[:2],
    is_direct: bool = False,
    most: int | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> ScoreReport:
    """Replay the shop of a project, and see what its monitors notice.

    Args:
        root: the project's directory.
        seed: of the shop and its faults.
        months: of 30 days at the end that are judged; all before is history.
        scale: of the shop.
        monitors: of ``MONITORS``.
        is_direct: measure the generated files, without dlt, dbt and marts.
        most: scenarios; all without it.
        progress: is told what is being done.

    Raises:
        ProjectError: the project has no shop.
        HeadraceError: the shop cannot be loaded or built even without faults; says why.
    """
    schema = root / "data" / "schemas" / f"{SHOP}.yml"
    if not schema.is_file():
        raise ProjectError(
            f"there is no {schema.relative_to(root)}, the schema file of the shop: restore it"
        )
    started = time.monotonic()
    with ExitStack() as stack:
        replay: AnyReplay
        if is_direct:
            replay = stack.enter_context(Replay(schema, seed=seed, scale=scale, until=UNTIL))
        else:
            replay = stack.enter_context(
                ProjectReplay(root, seed=seed, scale=scale, until=UNTIL, progress=progress)
            )
        found = score(
            replay, seed=seed, months=months, monitors=monitors, most=most, progress=progress
        )
    return ScoreReport(
        **dict(found),
        seed=seed,
        months=months,
        scale=scale,
        until=UNTIL.isoformat(),
        through="files" if is_direct else "runs",
        seconds=time.monotonic() - started,
    )
