"""Charts as plain numbers for a template to draw in SVG: run times, rows, runs, histograms."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headrace.pipeline.quality.monitor_status import MetricPoint
from headrace.quality.profile.model import Bin, ColumnProfile
from headrace.server.models import RowsPoint, RunLine, RunQuality, RunTime

WIDTH = 960
LABEL_WIDTH = 120
_BAR_LEAST = 2.0
_BARS_HEIGHT = 96


@dataclass(frozen=True)
class Bar:
    """A bar: its place in pixels, how it ended, and what it says."""

    x: float
    y: float
    width: float
    height: float
    status: str
    title: str


@dataclass(frozen=True)
class BarChart:
    """Bars side by side, the oldest first."""

    width: int
    height: int
    bars: tuple[Bar, ...]
    most: float


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    at: float
    text: str


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
    """The rows of a table after its loads or publications, oldest first; None of fewer than two.

    Also None where there never was a row.
    """
    if len(points) < 2 or not any(point.rows_total for point in points):
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


_STRIP_HEIGHT = 56.0
_STRIP_ROWS = 18.0
_STRIP_BAR = 16.0


@dataclass(frozen=True)
class RunBar:
    """A run in a strip: its duration above the line, its rows below it."""

    run_id: str
    x: float
    seconds: Bar
    rows: Bar | None
    title: str


@dataclass(frozen=True)
class RunStrip:
    """Runs side by side, the oldest first; both scales end at the largest value."""

    width: float
    height: float
    line: float
    bars: tuple[RunBar, ...]
    most_seconds: float
    most_rows: int


def run_strip(runs: Sequence[RunLine]) -> RunStrip | None:
    """Runs over time, of those given newest first; None of fewer than two.

    Args:
        runs: newest first; at most 60 fit.
    """
    if len(runs) < 2:
        return None
    most = max((run.seconds or 0 for run in runs), default=0) or 1.0
    most_rows = max((run.rows_loaded or 0 for run in runs), default=0)
    bars = []
    for place, run in enumerate(reversed(runs)):
        x, loaded = place * _STRIP_BAR, run.rows_loaded or 0
        high = max(3.0, (run.seconds or 0) / most * _STRIP_HEIGHT)
        deep = max(2.0, loaded / most_rows * _STRIP_ROWS) if loaded else 0.0
        width = _STRIP_BAR - 4
        title = " \N{MIDDLE DOT} ".join(
            (
                f"{run.started_at:%Y-%m-%d %H:%M} UTC", run.command, run.status,
                duration_text(run.seconds), f"{loaded:,} {'row' if loaded == 1 else 'rows'}",
            )
        )  # fmt: skip
        bars.append(
            RunBar(
                run_id=run.run_id,
                x=x,
                seconds=Bar(x + 2, _STRIP_HEIGHT - high, width, high, run.status, title),
                rows=Bar(x + 2, _STRIP_HEIGHT + 3, width, deep, "none", title) if deep else None,
                title=title,
            )
        )
    return RunStrip(
        width=max(len(runs), 30) * _STRIP_BAR,
        height=_STRIP_HEIGHT + _STRIP_ROWS + 4,
        line=_STRIP_HEIGHT + 1.5,
        bars=tuple(bars),
        most_seconds=most,
        most_rows=most_rows,
    )


SMALL = (120, 28)
_HISTOGRAM = (420.0, 72.0)


def small_histogram(bins: Sequence[Bin]) -> str:
    """The bars of a histogram side by side, as one path of ``SMALL`` size."""
    most = max((one.rows for one in bins), default=0) or 1
    width, height = SMALL
    step = width / max(len(bins), 1)
    return "".join(
        _box(place * step, one.rows / most * height, step * 0.86, height)
        for place, one in enumerate(bins)
        if one.rows
    )


def _box(x: float, high: float, width: float, bottom: float) -> str:
    tall = max(high, 1.0)
    return f"M{x:.1f} {bottom:.1f}v{-tall:.1f}h{width:.1f}v{tall:.1f}z"


def spark_line(values: Sequence[float | None]) -> str:
    """A line through values, of which the newest is first, as a path of ``SMALL`` size.

    Empty where there are fewer than two, or all are the same.
    """
    known = [value for value in values if value is not None]
    if len(known) < 2 or min(known) == max(known):
        return ""
    low, span = min(known), max(known) - min(known)
    width, height = SMALL
    step = (width - 4) / (len(values) - 1)
    parts, is_on = [], False
    for place, value in enumerate(reversed(values)):
        if value is not None:
            y = 2 + (1 - (value - low) / span) * (height - 4)
            parts.append(f"{'L' if is_on else 'M'}{2 + place * step:.1f} {y:.1f}")
        is_on = value is not None
    return "".join(parts)


@dataclass(frozen=True)
class Histogram:
    """Two histograms over one axis; the second may be empty.

    Attributes:
        width: in pixels.
        height: of each.
        now: a path.
        before: a path.
        low: the label at the left end.
        high: the label at the right end.
    """

    width: int
    height: int
    now: str
    before: str
    low: str
    high: str


def histograms(column: ColumnProfile, before: ColumnProfile | None) -> Histogram | None:
    """A column's histogram, and the one of another version on the same scales; None without one.

    A bar's area is its share of the rows. The first and the last bar may reach far beyond the
    others, and are drawn as wide as those.
    """
    now = _spans(column.histogram)
    then = _spans(before.histogram) if before is not None else []
    if not now:
        return None
    low = min(one[0] for one in (*now, *then))
    high = max(one[1] for one in (*now, *then))
    if high <= low:
        return None
    width, height = _HISTOGRAM
    most = max((share / (right - left) for left, right, share in (*now, *then)), default=0) or 1

    def drawn(spans: Sequence[tuple[float, float, float]]) -> str:
        return "".join(
            _box(
                (left - low) / (high - low) * width,
                share / (right - left) / most * (height - 2),
                max(1.0, (right - left) / (high - low) * width - 1),
                height,
            )
            for left, right, share in spans
            if share
        )

    return Histogram(
        int(width), int(height), drawn(now), drawn(then), _label(column, low), _label(column, high)
    )


def _spans(bins: Sequence[Bin]) -> list[tuple[float, float, float]]:
    """Left, right and share of each bar; empty where the edges are no numbers and no times."""
    try:
        edges = [(_value(one.low), _value(one.high)) for one in bins]
    except ValueError:
        return []
    total = sum(one.rows for one in bins)
    if not total or len(edges) < 2:
        return []
    inner = edges[1:-1] or edges
    usual = max(right - left for left, right in inner)
    if usual <= 0:
        return []
    spans = [
        (left, right, one.rows / total) for (left, right), one in zip(edges, bins, strict=True)
    ]
    left, right, share = spans[0]
    spans[0] = (max(left, right - usual), right, share)
    left, right, share = spans[-1]
    spans[-1] = (left, min(right, left + usual), share)
    return [(left, right, share) for left, right, share in spans if right > left]


def _value(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(
            f"{text}+00:00" if ":" in text else f"{text}T00:00+00:00"
        ).timestamp()


def _label(column: ColumnProfile, value: float) -> str:
    if column.kind == "number":
        return f"{value:,.6g}"
    return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d}"


@dataclass(frozen=True)
class BandChart:
    """A metric over time in its band.

    Attributes:
        width: in pixels.
        height: likewise.
        band: a path that encloses what was expected; empty where nothing was.
        line: a path through the values.
        alarms: x and y of the values that are alarms.
        low: the label at the bottom.
        high: the label at the top.
        first: the label at the left end.
        last: the label at the right end.
    """

    width: int
    height: int
    band: str
    line: str
    alarms: tuple[tuple[float, float], ...]
    low: float
    high: float
    first: datetime
    last: datetime


_BAND = (WIDTH, 180)


def band(points: Sequence[MetricPoint]) -> BandChart | None:
    """A metric over its periods; None where fewer than two have a value."""
    numbers = [point.value for point in points if point.value is not None]
    if len(numbers) < 2:
        return None
    ends = [
        *numbers,
        *(one for point in points for one in (point.low, point.high) if one is not None),
    ]
    low, high = min(ends), max(ends)
    span = (high - low) or abs(high) or 1.0
    width, height = _BAND
    step = (width - 8) / max(len(points) - 1, 1)

    def y(value: float) -> float:
        return 6 + (1 - (value - low) / span) * (height - 12)

    upper: list[str] = []
    lower: list[str] = []
    shapes: list[str] = []
    line: list[str] = []
    alarms: list[tuple[float, float]] = []
    is_on = False
    for place, point in enumerate(points):
        x = 4 + place * step
        if point.expected is None:
            shapes += _closed(upper, lower)
            upper, lower = [], []
        else:
            upper.append(f"{x:.1f} {y(high if point.high is None else point.high):.1f}")
            lower.append(f"{x:.1f} {y(low if point.low is None else point.low):.1f}")
        if point.value is not None:
            line.append(f"{'L' if is_on else 'M'}{x:.1f} {y(point.value):.1f}")
            if point.is_alarm:
                alarms.append((round(x, 1), round(y(point.value), 1)))
        is_on = point.value is not None
    shapes += _closed(upper, lower)
    return BandChart(
        width, height, "".join(shapes), "".join(line), tuple(alarms), low, high,
        points[0].at, points[-1].at,
    )  # fmt: skip


def _closed(upper: Sequence[str], lower: Sequence[str]) -> list[str]:
    return [f"M{'L'.join((*upper, *reversed(lower)))}z"] if len(upper) > 1 else []


@dataclass(frozen=True)
class TestStrip:
    """Tests by run, the oldest at the left: three paths over one line."""

    __test__ = False

    width: float
    height: float
    passed: str
    warned: str
    failed: str
    most: int


def tests_strip(runs: Sequence[RunQuality]) -> TestStrip | None:
    """How many tests passed, warned and failed in each run; None of fewer than two."""
    if len(runs) < 2:
        return None
    most = max(run.passed + run.warned + run.failed for run in runs) or 1
    bad = max((run.warned + run.failed for run in runs), default=0) or 1
    parts: dict[str, list[str]] = {"passed": [], "warned": [], "failed": []}
    for place, run in enumerate(reversed(runs)):
        x = place * _STRIP_BAR + 2
        wide = _STRIP_BAR - 4
        parts["passed"].append(_box(x, run.passed / most * _STRIP_HEIGHT, wide, _STRIP_HEIGHT))
        bottom = _STRIP_HEIGHT + 3 + _STRIP_ROWS
        high = run.failed / bad * _STRIP_ROWS
        if run.failed:
            parts["failed"].append(_box(x, high, wide, bottom))
        if run.warned:
            parts["warned"].append(_box(x, run.warned / bad * _STRIP_ROWS, wide, bottom - high))
    return TestStrip(
        max(len(runs), 30) * _STRIP_BAR, _STRIP_HEIGHT + _STRIP_ROWS + 4,
        "".join(parts["passed"]), "".join(parts["warned"]), "".join(parts["failed"]), most,
    )  # fmt: skip
