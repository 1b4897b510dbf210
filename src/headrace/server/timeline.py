"""The timeline of a run: a row for each step and node, over one axis, and its critical path.

What is drawn at once is what a reader looks for: steps, what failed, warned or was skipped, the
critical path, and what took longest. A script draws the rest from the table of nodes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headrace.artifacts.dbt_results import FAILED
from headrace.catalog.model import Catalog
from headrace.server.charts import Tick, duration_text
from headrace.server.models import NodeView, RunDetail

WIDTH = 960
NAMES = 250  # pixels of the names, left of the bars
ROW = 20
_AXIS = 22
_TAIL = 84  # right of the last bar, for how long it took
_LEAST = 2.0
_TICKS = 6
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_MOST = 40  # rows of nodes that are drawn at once
_LONGEST = 10
_WAITED = 0.1  # seconds; less is no waiting
_SKIPPED = 8
_TESTS = frozenset({"test", "unit_test", "contract", "check"})
_SLACK = timedelta(seconds=0.1)  # dbt counts a node's time from before its recorded start
_LETTERS = 38  # of a name
_MARKS = {
    **dict.fromkeys([*FAILED, "failed", "interrupted"], "\N{MULTIPLICATION X} "),
    "warn": "! ",
    "skipped": "\N{WHITE CIRCLE} ",
}


@dataclass(frozen=True)
class Row:
    """A row: its name, how it ended, and its bar in pixels.

    Attributes:
        name: as far as there is space.
        title: all that is known, in a line.
        asset: id of the asset that it leads to.
        kind: ``step``, ``phase``, or dbt's resource type.
        status: as recorded; ``none`` of a phase.
        y: of its middle.
        x: where its bar begins.
        width: of its bar; 0 of what did not run.
        wait_x: where it began to wait for a thread; the same as ``x`` if it did not.
        text: how long it took.
        at: seconds from the start of the run.
        seconds: that it took.
        is_critical: whether it is on the critical path.
    """

    name: str
    title: str
    asset: str | None
    kind: str
    status: str
    y: float
    x: float
    width: float
    wait_x: float
    text: str
    at: float
    seconds: float
    is_critical: bool


@dataclass(frozen=True)
class Timeline:
    """Rows over one axis of time.

    Attributes:
        total: seconds of the axis.
        more: nodes that are not among the rows.
        critical: nodes of the critical path.
        critical_seconds: that they took together.
        starts: of each node, by id: seconds from the start of the run.
    """

    width: int
    height: float
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    total: float
    more: int
    critical: int
    critical_seconds: float
    starts: Mapping[str, float]


@dataclass(frozen=True)
class _Entry:
    name: str
    kind: str
    status: str
    start: datetime | None
    seconds: float
    asset: str | None = None
    id: str = ""
    waited: float = 0.0

    @property
    def end(self) -> datetime:
        start = self.start or datetime.max.replace(tzinfo=UTC)
        return start + timedelta(seconds=self.seconds) if self.start else start


def critical_path(nodes: Iterable[NodeView], catalog: Catalog) -> tuple[str, ...]:
    """The nodes that the end of a build waited for, one after the other, in the order of time.

    From the node that ended last, each is preceded by what it waited for: of its parents, and of
    these parents' tests, the one that ended last.
    """
    ran = [node for node in nodes if node.started_at is not None and node.asset is not None]
    if not ran:
        return ()
    before = _Before(ran, catalog)
    node: NodeView | None = max(ran, key=_end)
    path: list[str] = []
    while node is not None and node.unique_id not in path:
        path.append(node.unique_id)
        node = before.last(node)
    return tuple(reversed(path))


class _Before:
    """What each node of a build waits for."""

    def __init__(self, ran: Sequence[NodeView], catalog: Catalog) -> None:
        self._catalog = catalog
        self._by_asset = {node.asset: node for node in ran}

    def last(self, node: NodeView) -> NodeView | None:
        """The last one to end of those that a node waits for, among those that were run."""
        parents = self._catalog.parents.get(node.asset or "", ())
        found = [one for key in parents if (one := self._by_asset.get(key)) is not None]
        if node.resource_type not in _TESTS:
            tests = [test for key in parents for test in self._catalog.tests_of.get(key, ())]
            found += [
                one
                for key in tests
                if (one := self._by_asset.get(key)) is not None
                # not every test of a parent: one that reads this node, too, comes after it
                and node.unique_id not in self._catalog.parents.get(key, ())
                and node.started_at is not None
                and _end(one) <= node.started_at + _SLACK
            ]
        return max(found, key=_end, default=None)


def _end(node: NodeView) -> datetime:
    assert node.started_at is not None  # of those that ran
    return node.started_at + timedelta(seconds=node.seconds)


def timeline(detail: RunDetail, catalog: Catalog, now: datetime | None = None) -> Timeline | None:
    """The timeline of a run; None without times.

    Args:
        detail: the run.
        catalog: says what waits for what.
        now: UTC; by default the current time, up to which what runs now is drawn.
    """
    nodes = _nodes(detail, catalog)
    steps = _steps(detail, nodes, now or datetime.now(UTC))
    known = [one for one in (*steps, *nodes) if one.start is not None]
    if not known:
        return None
    first = min(one.start for one in known if one.start is not None)
    total = max((max(one.end for one in known) - first).total_seconds(), 0.001)
    critical = set(detail.critical_path)
    chosen = _chosen(nodes, critical)
    shown = sorted((*steps, *chosen), key=lambda one: (one.start is None, one.start or first))
    per_second = (WIDTH - NAMES - _TAIL) / total
    rows = tuple(
        _row(one, number, first, per_second, is_critical=one.id in critical)
        for number, one in enumerate(shown)
    )
    return Timeline(
        width=WIDTH,
        height=len(rows) * ROW + _AXIS,
        rows=rows,
        ticks=_ticks(total, per_second),
        total=total,
        more=len(nodes) - len(chosen),
        critical=len(critical),
        critical_seconds=sum(one.seconds for one in nodes if one.id in critical),
        starts={one.id: (one.start - first).total_seconds() for one in nodes if one.start},
    )


def _nodes(detail: RunDetail, catalog: Catalog) -> list[_Entry]:
    ran = [node for node in detail.nodes if node.started_at is not None]
    before = _Before(ran, catalog)
    began = min((node.started_at for node in ran if node.started_at), default=None)
    found = []
    for node in detail.nodes:
        waited = 0.0
        if node.started_at is not None and began is not None:
            last = before.last(node)
            could = _end(last) if last is not None else began
            waited = max(0.0, (node.started_at - could).total_seconds())
        found.append(
            _Entry(
                node.label, node.resource_type, node.status, node.started_at, node.seconds,
                node.asset, node.unique_id, waited if waited >= _WAITED else 0.0,
            )
        )  # fmt: skip
    return found


def _steps(detail: RunDetail, nodes: Sequence[_Entry], now: datetime) -> list[_Entry]:
    """The steps, what dbt does in the build before and after its nodes, and what runs now."""
    found = []
    for step in detail.steps:
        found.append(_Entry(step.step, "step", step.status, step.started_at, step.seconds))
        starts = [one.start for one in nodes if one.start is not None]
        if step.step == "build" and step.started_at is not None and starts:
            first, last = min(starts), max(one.end for one in nodes if one.start is not None)
            end = step.started_at + timedelta(seconds=step.seconds)
            found += _phase("dbt starts and parses", step.started_at, first)
            found += _phase("age of sources, columns for the catalog", last, end)
    if detail.now is not None:
        doing = [(one.name, "phase", one.since) for one in detail.now.doing]
        if detail.now.step and detail.now.since is not None:
            doing.insert(0, (detail.now.step, "step", detail.now.since))
        for name, kind, since in doing:
            found.append(_Entry(name, kind, "running", since, (now - since).total_seconds()))
    return found


def _phase(name: str, start: datetime, end: datetime) -> list[_Entry]:
    seconds = (end - start).total_seconds()
    return [_Entry(name, "phase", "none", start, seconds)] if seconds >= _WAITED else []


def _chosen(nodes: Sequence[_Entry], critical: set[str]) -> list[_Entry]:
    """The nodes that are drawn at once, the most interesting ones first."""
    ran = [one for one in nodes if one.start is not None]
    longest = sorted(ran, key=lambda one: -one.seconds)[:_LONGEST]
    groups = (
        [one for one in nodes if one.status in FAILED],
        [one for one in nodes if one.status == "warn"],
        [one for one in nodes if one.id in critical],
        longest,
        ran if len(ran) <= _MOST else [],
        [one for one in nodes if one.status == "skipped"][:_SKIPPED],
    )
    return list(dict.fromkeys(one for group in groups for one in group))[:_MOST]


def _row(one: _Entry, number: int, first: datetime, per_second: float, *, is_critical: bool) -> Row:
    at = (one.start - first).total_seconds() if one.start else 0.0
    x = NAMES + at * per_second
    name = f"{mark(one.status)}{one.name}"
    said = [one.name, one.status if one.status != "none" else "", duration_text(one.seconds)]
    if one.waited:
        said.append(f"waited {duration_text(one.waited)} for a thread")
    is_run = one.start is not None
    return Row(
        name=name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}",
        title=" \N{MIDDLE DOT} ".join(part for part in said if part),
        asset=one.asset,
        kind=one.kind,
        status=one.status,
        y=number * ROW + ROW / 2,
        x=x,
        width=max(_LEAST, one.seconds * per_second) if is_run else 0.0,
        wait_x=x - one.waited * per_second,
        text=duration_text(one.seconds) if is_run else "did not run",
        at=at,
        seconds=one.seconds if is_run else 0.0,
        is_critical=is_critical,
    )


def mark(status: str) -> str:
    """What tells a status that is not good apart without colour."""
    return _MARKS.get(status, "")


def _ticks(total: float, per_second: float) -> tuple[Tick, ...]:
    step = next((step for step in _STEPS if total / step <= _TICKS), total / _TICKS)
    return tuple(
        Tick(at=NAMES + index * step * per_second, text=f"{index * step:g} s")
        for index in range(int(total / step) + 1)
    )
