"""Charts as plain numbers for a template to draw in SVG: run times, rows, lanes of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from headrace.server.models import NodeView, RowsPoint, RunDetail, RunTime

WIDTH = 960
LABEL_WIDTH = 120
LANE = 26
_BAR_LEAST = 2.0
_TICKS = 6
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_BARS_HEIGHT = 96
_LETTER = 6.6  # pixels that a letter of a bar's label takes


@dataclass(frozen=True)
class Bar:
    """A bar: its place in pixels, how it ended, and what it says."""

    x: float
    y: float
    width: float
    height: float
    status: str
    title: str
    label: str = ""


@dataclass(frozen=True)
class Lane:
    """A row of bars."""

    name: str
    y: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Tick:
    """A mark on the axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Timeline:
    """Lanes of bars over one axis of time."""

    width: int
    height: float
    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class BarChart:
    """Bars side by side, the oldest first."""

    width: int
    height: int
    bars: tuple[Bar, ...]
    most: float


def duration_text(seconds: float | None) -> str:
    """``0.42 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds is None:
        return "\N{EN DASH}"
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def run_times(times: Sequence[RunTime]) -> BarChart | None:
    """Bars of how long the runs of one node took; None when there is nothing to compare."""
    if not times:
        return None
    most = max(time.seconds for time in times) or 1.0
    step = min(24.0, WIDTH / 2 / max(12, len(times)))
    bars = tuple(
        Bar(
            x=index * step,
            y=_BARS_HEIGHT - _scaled(time.seconds, most),
            width=step * 0.78,
            height=_scaled(time.seconds, most),
            status=time.status,
            title=_bar_title(time),
        )
        for index, time in enumerate(times)
    )
    return BarChart(width=WIDTH // 2, height=_BARS_HEIGHT, bars=bars, most=most)


def _bar_title(time: RunTime) -> str:
    at = f"{time.at:%Y-%m-%d %H:%M} · " if time.at else ""
    return f"{at}{duration_text(time.seconds)} · {time.status}"


def _scaled(seconds: float, most: float) -> float:
    return max(_BAR_LEAST, seconds / most * (_BARS_HEIGHT - 8))


_ROW_LANES = (
    ("Total", "rows_total"),
    ("New", "rows_new"),
    ("Changed", "rows_changed"),
    ("Quarantined", "rows_quarantined"),
)
_ROW_LANE = 34.0
_ROW_BAR = 8.0


@dataclass(frozen=True)
class RowLane:
    """One count over time: bars to the scale of its largest value."""

    name: str
    y: float
    most: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class RowsChart:
    """Rows of a table over time: one lane for each count, all over one axis of time.

    ``releases`` are the first points with another version of the code.
    """

    width: int
    height: float
    lanes: tuple[RowLane, ...]
    releases: tuple[Tick, ...]
    ticks: tuple[Tick, ...]


def rows_over_time(points: Sequence[RowsPoint]) -> RowsChart | None:
    """The rows of a table after its loads or publications, oldest first; None of fewer than two."""
    if len(points) < 2:
        return None
    first = min(point.at for point in points)
    last = max(point.at for point in points)
    span = max((last - first).total_seconds(), 1.0)
    per_second = (WIDTH - LABEL_WIDTH - _ROW_BAR - 8) / span
    at = [LABEL_WIDTH + (point.at - first).total_seconds() * per_second for point in points]
    lanes: list[RowLane] = []
    for name, field in _ROW_LANES:
        values = [getattr(point, field) for point in points]
        most = max((value for value in values if value), default=0)
        if not most and name != "Total":
            continue
        bottom = (len(lanes) + 1) * _ROW_LANE
        bars = tuple(
            Bar(
                x=x,
                y=bottom - max(1.0, value / max(most, 1) * (_ROW_LANE - 8)),
                width=_ROW_BAR,
                height=max(1.0, value / max(most, 1) * (_ROW_LANE - 8)),
                status="bad" if name == "Quarantined" else "none",
                title=f"{point.at:%Y-%m-%d %H:%M} UTC · {value:,} {name.lower()}",
            )
            for point, x, value in zip(points, at, values, strict=True)
            if value or (name == "Total" and value == 0)
        )
        lanes.append(RowLane(name=name, y=bottom, most=most, bars=bars))
    height = len(lanes) * _ROW_LANE
    releases = tuple(
        Tick(at=x + _ROW_BAR / 2, text=point.code_version)
        for point, x in zip(points, at, strict=True)
        if point.is_release
    )
    ticks = tuple(
        Tick(
            at=LABEL_WIDTH + part * span * per_second,
            text=f"{first + timedelta(seconds=part * span):%m-%d %H:%M}",
        )
        for part in (0.0, 0.5, 1.0)
    )
    return RowsChart(
        width=WIDTH, height=height + 22, lanes=tuple(lanes), releases=releases, ticks=ticks
    )


def timeline(detail: RunDetail) -> Timeline | None:
    """Steps in the first lane, then one lane for each thread of dbt; None without times."""
    entries = [
        ("steps", step.step, step.status, step.started_at, step.seconds) for step in detail.steps
    ] + [
        (f"dbt {_thread(node)}", node.label, node.status, node.started_at, node.seconds)
        for node in detail.nodes
    ]
    known = [
        (lane, label, status, start, took)
        for lane, label, status, start, took in entries
        if start is not None
    ]
    if not known:
        return None
    first = min(start for *_, start, _ in known)
    last = max(start + timedelta(seconds=took) for *_, start, took in known)
    total = max((last - first).total_seconds(), 0.001)
    per_second = (WIDTH - LABEL_WIDTH - 8) / total
    names = sorted({lane for lane, *_ in known}, key=lambda name: (name != "steps", name))
    lanes = tuple(
        _lane(name, number, [entry[1:] for entry in known if entry[0] == name], first, per_second)
        for number, name in enumerate(names)
    )
    ticks = _ticks(total, per_second)
    return Timeline(width=WIDTH, height=len(lanes) * LANE + 24, lanes=lanes, ticks=ticks)


def _thread(node: NodeView) -> str:
    words = (node.thread or "1").split()
    return f"thread {words[0].rsplit('-', 1)[-1]}" if words else "thread 1"


def _lane(
    name: str,
    number: int,
    entries: Sequence[tuple[str, str, datetime, float]],
    first: datetime,
    per_second: float,
) -> Lane:
    top = number * LANE + 3.0
    bars = []
    for label, status, start, took in sorted(entries, key=lambda entry: entry[2]):
        width = max(_BAR_LEAST, took * per_second - 1)
        fits = len(label) * _LETTER + 10 <= width
        bars.append(
            Bar(
                x=LABEL_WIDTH + (start - first).total_seconds() * per_second,
                y=top,
                width=width,
                height=LANE - 6,
                status=status,
                title=f"{label} · {status} · {duration_text(took)}",
                label=label if fits else "",
            )
        )
    return Lane(name=name, y=top + (LANE - 6) / 2, bars=tuple(bars))


def _ticks(total: float, per_second: float) -> tuple[Tick, ...]:
    step = next((step for step in _STEPS if total / step <= _TICKS), total / _TICKS)
    count = int(total / step)
    return tuple(
        Tick(at=LABEL_WIDTH + index * step * per_second, text=f"{index * step:g} s")
        for index in range(count + 1)
    )
