"""``/metrics``: what the run store says of runs, in Prometheus' text format.

Counters and histograms cover all recorded runs, whichever process ran them, so they survive a
restart of the server. A new run store starts again at 0, which Prometheus treats as a reset.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from headrace import __version__
from headrace.artifacts.dbt_results import FAILED
from headrace.artifacts.reading import utc
from headrace.catalog import INTERRUPTED, RUNNING
from headrace.server.state import ServerState

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row, Table

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Upper bounds of the histograms, seconds."""

FAMILIES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "headrace_build_info": (
        "gauge", "Always 1; the labels say what is served.", ("version", "project", "environment"),
    ),
    "headrace_runs_total": (
        "counter", "Runs that have ended.", ("command", "target", "status"),
    ),
    "headrace_runs_in_progress": ("gauge", "Runs that have not ended.", ("command", "target")),
    "headrace_run_duration_seconds": (
        "histogram", "Duration of runs.", ("command", "target", "status"),
    ),
    "headrace_last_run_timestamp_seconds": (
        "gauge", "Start of the newest run, Unix time.", ("command", "target", "status"),
    ),
    "headrace_last_publish_timestamp_seconds": (
        "gauge", "Start of the newest run that published, Unix time.", ("target",),
    ),
    "headrace_stage_duration_seconds": (
        "histogram", "Duration of the stages of runs.", ("stage", "target", "status"),
    ),
    "headrace_stage_errors_total": (
        "counter", "Stages in which a check failed, or that could not run.", ("stage", "target"),
    ),
    "headrace_rows_total": (
        "counter", "Rows that stages have handled, by what became of them.",
        ("stage", "source", "table", "outcome"),
    ),
    "headrace_table_rows": (
        "gauge", "Rows of a raw table after its load, of a mart when it was published.",
        ("stage", "source", "table"),
    ),
    "headrace_load_errors_total": (
        "counter", "Sources (without a table) and tables that could not be loaded.",
        ("source", "table"),
    ),
    "headrace_nodes_total": (
        "counter", "dbt nodes that have ended, and checks.", ("type", "status"),
    ),
    "headrace_node_seconds_total": (
        "counter", "Time that dbt nodes took; they run in parallel.", ("type",),
    ),
    "headrace_failing_nodes": (
        "gauge", "Nodes whose newest result is a failure.", ("type",),
    ),
    "headrace_quarantined_rows": (
        "gauge", "Rows that are in quarantine now.", ("source", "table", "reason"),
    ),
    "headrace_open_alarms": ("gauge", "Open alarms of monitors.", ("table",)),
}  # fmt: skip
"""Each metric: its type, what it is, its labels."""

_ENDINGS = ("success", "failed", "error", INTERRUPTED)

Found = Iterable[tuple[Sequence[str], float]]
Buckets = Iterable[tuple[Sequence[str], Sequence[tuple[str, float]], float]]


class Metrics:
    """The text of ``/metrics``; made again when the run store has changed."""

    def __init__(self, state: ServerState) -> None:
        """Nothing is read here."""
        self._registry = CollectorRegistry()
        self._registry.register(_RunStoreCollector(state))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """The metrics as of now.

        Raises:
            RunStoreError: the run store cannot be read.
        """
        return generate_latest(self._registry)


class _RunStoreCollector(Collector):
    """Metrics of the run store, kept until it changes."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._token: str | None = None
        self._known: list[Metric] = []

    def describe(self) -> Iterable[Metric]:
        """Nothing is read when the server starts."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """One family after the other, in the order of ``FAMILIES``."""
        token = self._state.snapshot().token
        with self._lock:
            if token != self._token:
                self._known = list(self._read())
                self._token = token
            return self._known

    def _read(self) -> Iterator[Metric]:
        project, environment = self._state.project, self._state.environment or ""
        yield _simple("headrace_build_info", [((__version__, project, environment), 1.0)])
        store = self._state.store()
        if store is None:
            return  # there has been no run
        with store.reading() as (connection, tables):
            yield from _runs(connection, tables["runs"])
            yield from _stages(connection, tables["steps"], tables["runs"])
            yield from _rows(connection, tables)
            yield from _nodes(connection, tables["nodes"])
            yield from _quality(connection, tables)


def _runs(connection: "Connection", runs: "Table") -> Iterator[Metric]:
    from sqlalchemy import func, select

    by = [runs.c.command, runs.c.target, runs.c.status]
    newest = func.max(runs.c.started_at)
    found = connection.execute(select(*by, func.count(), newest).group_by(*by).order_by(*by)).all()
    ended = [row for row in found if row.status != RUNNING]
    # what has not happened yet counts 0, so that the first time is an increase
    counts = {(row[0], row[1], status): 0 for row in found for status in _ENDINGS}
    counts |= {(row[0], row[1], row[2]): row[3] for row in ended}
    yield _simple("headrace_runs_total", counts.items())
    running = (row for row in found if row.status == RUNNING)
    yield _simple("headrace_runs_in_progress", (((*row[:2],), row[3]) for row in running))
    yield _histogram(
        "headrace_run_duration_seconds",
        connection.execute(
            select(*by, *_bucketed(runs.c.seconds))
            .where(runs.c.seconds.is_not(None))
            .group_by(*by)
            .order_by(*by)
        ),
        labels=3,
    )
    yield _simple(
        "headrace_last_run_timestamp_seconds",
        (((*row[:3],), utc(row[4]).timestamp()) for row in found),
    )
    published = connection.execute(
        select(runs.c.target, newest).where(runs.c.published_path.is_not(None))
        .group_by(runs.c.target).order_by(runs.c.target)
    )  # fmt: skip
    yield _simple(
        "headrace_last_publish_timestamp_seconds",
        (((target,), utc(at).timestamp()) for target, at in published),
    )


def _stages(connection: "Connection", steps: "Table", runs: "Table") -> Iterator[Metric]:
    from sqlalchemy import func, select

    by = [steps.c.step, runs.c.target, steps.c.status]
    of_runs = runs.c.run_id == steps.c.run_id
    yield _histogram(
        "headrace_stage_duration_seconds",
        connection.execute(
            select(*by, *_bucketed(steps.c.seconds)).join(runs, of_runs).group_by(*by).order_by(*by)
        ),
        labels=3,
    )
    bad = func.sum(_one_if(steps.c.status != "success"))
    errors = connection.execute(
        select(*by[:2], bad).join(runs, of_runs).group_by(*by[:2]).order_by(*by[:2])
    )  # a stage that never failed counts 0, so that a first failure is an increase
    yield _simple("headrace_stage_errors_total", (((*row[:2],), row[2]) for row in errors))


def _rows(connection: "Connection", tables: "dict[str, Table] | Any") -> Iterator[Metric]:
    from sqlalchemy import func, select

    loads, counts = tables["loads"], tables["row_counts"]
    outcomes = ("new", "changed", "unchanged", "quarantined")
    by = [loads.c.source, loads.c.table]
    sums = [func.coalesce(func.sum(loads.c[f"rows_{name}"]), 0) for name in outcomes]
    loaded = connection.execute(select(*by, *sums).group_by(*by).order_by(*by)).all()
    handled = [
        (("load", row[0], row[1], outcome), value)
        for row in loaded
        for outcome, value in zip(outcomes, row[2:], strict=True)
    ]
    changed = ("new", "changed")
    sums = [func.coalesce(func.sum(counts.c[f"rows_{name}"]), 0) for name in changed]
    node = [counts.c.unique_id]
    handled += [
        (("publish", "", _name(row[0]), outcome), value)
        for row in connection.execute(select(*node, *sums).group_by(*node).order_by(*node))
        for outcome, value in zip(changed, row[1:], strict=True)
    ]
    yield _simple("headrace_rows_total", handled)
    newest = select(func.max(loads.c.id)).group_by(*by)
    raw = connection.execute(
        select(*by, loads.c.rows_total).where(loads.c.id.in_(newest)).order_by(*by)
    )
    last = select(func.max(counts.c.id)).group_by(counts.c.unique_id)
    marts = connection.execute(
        select(counts.c.unique_id, counts.c.rows).where(counts.c.id.in_(last)).order_by(*node)
    )
    yield _simple(
        "headrace_table_rows",
        [(("load", row[0], row[1]), row[2]) for row in raw]
        + [(("publish", "", _name(row[0])), row[1]) for row in marts],
    )
    failures = tables["load_failures"]
    of = [failures.c.source, func.coalesce(failures.c.table, "")]
    failed = connection.execute(select(*of, func.count()).group_by(*of).order_by(*of))
    counted = {(row[0], table): 0 for row in loaded for table in ("", row[1])}
    counted |= {(row[0], row[1]): row[2] for row in failed}
    yield _simple("headrace_load_errors_total", counted.items())


def _nodes(connection: "Connection", nodes: "Table") -> Iterator[Metric]:
    from sqlalchemy import func, select

    by = [nodes.c.resource_type, nodes.c.status]
    ran = nodes.c.status != "reused"
    found = connection.execute(
        select(*by, func.count(), func.sum(nodes.c.seconds)).where(ran).group_by(*by).order_by(*by)
    ).all()
    yield _simple("headrace_nodes_total", (((*row[:2],), row[2]) for row in found))
    seconds: dict[str, float] = {}
    for row in found:
        seconds[row[0]] = seconds.get(row[0], 0.0) + float(row[3] or 0)
    yield _simple("headrace_node_seconds_total", (((kind,), s) for kind, s in seconds.items()))
    newest = select(func.max(nodes.c.id)).where(ran).group_by(nodes.c.unique_id)
    failing = func.sum(_one_if(nodes.c.status.in_(FAILED)))
    now = connection.execute(
        select(by[0], failing).where(nodes.c.id.in_(newest)).group_by(by[0]).order_by(by[0])
    )
    yield _simple("headrace_failing_nodes", (((row[0],), row[1]) for row in now))


def _quality(connection: "Connection", tables: Any) -> Iterator[Metric]:
    from sqlalchemy import func, select

    quarantine, alarms = tables["quarantine"], tables["alarms"]
    by = [quarantine.c.source, quarantine.c.table, quarantine.c.reason]
    held = connection.execute(select(*by, func.sum(quarantine.c.rows)).group_by(*by).order_by(*by))
    yield _simple("headrace_quarantined_rows", (((*row[:3],), row[3]) for row in held))
    of = [alarms.c.table]
    opened = connection.execute(
        select(*of, func.count()).where(alarms.c.status == "open").group_by(*of).order_by(*of)
    )
    yield _simple("headrace_open_alarms", (((row[0],), row[1]) for row in opened))


def _name(unique_id: str) -> str:
    """dbt's name of a node: the rest of ``model.<project>.<name>``."""
    return unique_id.split(".", 2)[-1]


def _one_if(condition: "ColumnElement[bool]") -> Any:
    from sqlalchemy import case

    return case((condition, 1), else_=0)


def _bucketed(seconds: "ColumnElement[float]") -> list[Any]:
    """How many are within each bound of ``BUCKETS``, how many there are, and their sum."""
    from sqlalchemy import func

    within = [func.sum(_one_if(seconds <= bound)) for bound in BUCKETS]
    return [*within, func.count(), func.sum(seconds)]


def _simple(name: str, found: Found) -> Metric:
    kind, text, labels = FAMILIES[name]
    family = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
    metric: CounterMetricFamily | GaugeMetricFamily = family(name, text, labels=labels)
    for values, value in found:
        metric.add_metric(list(values), float(value))
    return metric


def _histogram(name: str, rows: "Iterable[Row[Any]]", *, labels: int) -> Metric:
    metric = HistogramMetricFamily(name, FAMILIES[name][1], labels=FAMILIES[name][2])
    bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
    for row in rows:
        values, within, total = row[:labels], row[labels:-1], row[-1]
        buckets = [(bound, float(n)) for bound, n in zip(bounds, within, strict=True)]
        metric.add_metric(list(values), buckets, float(total or 0))
    return metric
