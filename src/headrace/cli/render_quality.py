"""``headrace quality`` on a terminal: alarms with reasons, forecasts, a metric as a picture."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.markup import escape

from headrace.cli.render_run import also_outside
from headrace.cli.terminal import new_console
from headrace.formatting import count, first_few
from headrace.pipeline.checking.promises import OF_FRESHNESS
from headrace.pipeline.quality.monitor_status import (
    FreshnessForecast,
    MetricHistory,
    MetricPoint,
    QualityStatus,
)
from headrace.pipeline.quality.monitor_words import length, percent, plain
from headrace.pipeline.reports import AlarmReport, told_together

_HEIGHT = 12
_LABEL = 10
_COLORS = {"missed": "red", "will miss": "yellow", "late": "yellow"}


def show_status(report: QualityStatus) -> None:
    """Print what is wrong now, and when marts will be fresh."""
    out = new_console()
    for alarm, *others in told_together(report.alarms):
        for line in _alarm_lines(alarm, others):
            out.print(line)
    if not report.alarms:
        out.print(f"[green]✓[/] no alarm is open in {count(report.tables, 'table')}")
    if report.ended:
        names = [f"{one.number} {one.table} {one.metric}" for one in report.ended]
        out.print(f"[dim]over: {escape(first_few(names, 5))}[/]")
    for line in (*_freshness_lines(report.freshness), *_promise_lines(report)):
        out.print(line)
    if report.measured_at is not None:
        out.print(f"\n[dim]measured {_utc(report.measured_at)}, in {report.environment}[/]")


def _freshness_lines(found: Sequence[FreshnessForecast]) -> Iterator[str]:
    """A line for each table that is late or has missed its promise, and for each other mart."""
    if not found:
        return
    yield "\n[bold]Freshness[/]"
    foreseen = [one for one in found if one.status not in {"fresh", "unknown"} or one.next_at]
    shown = [one for one in foreseen if one.status != "fresh" or not one.is_raw]
    for one in shown:
        color = _COLORS.get(one.status, "green")
        yield f"[{color}]{one.status:<9}[/] {escape(one.table)}: {escape(one.text)}"
    for words, some in (
        ("fresh", [one for one in foreseen if one not in shown]),
        ("fresh; too few runs to say when newer data come",
         [one for one in found if one.status == "fresh" and one not in foreseen]),
        ("not known yet, as few runs brought newer data",
         [one for one in found if one.status == "unknown"]),
    ):  # fmt: skip
        if some:
            yield f"[dim]{words}: {escape(first_few([one.table for one in some], 4))}[/]"


def _promise_lines(report: QualityStatus) -> Iterator[str]:
    """A line for each promise of a contract, and check in Python, that does not hold."""
    if not report.promises:
        return
    yield "\n[bold]Contracts and checks[/]"
    foreseen = {one.asset for one in report.freshness}
    for one in report.promises:
        if one.status == "pass" or (one.part in OF_FRESHNESS and one.asset in foreseen):
            continue  # the forecast above tells the latter
        mark = "[yellow]![/]" if one.status == "warn" else "[red]✗[/]"
        yield f"{mark} {escape(one.name)}: {escape(one.message or one.status)}"
    kept = sum(one.status == "pass" for one in report.promises)
    if kept:
        yield f"[green]✓[/] {count(kept, 'promise')} kept"


def _alarm_lines(alarm: AlarmReport, others: Sequence[AlarmReport]) -> Iterator[str]:
    yield (
        f"[yellow]![/] [bold]{alarm.number}[/] {escape(f'{alarm.table}: {alarm.text}')}"
        f"{escape(_since(alarm))}"
    )
    if others:
        yield f"    [dim]also[/]       {escape(also_outside(others))}"
    if alarm.segment:
        yield f"    [dim]where[/]      {escape(alarm.segment)}"
    for index, cause in enumerate(alarm.causes):
        yield f"    [dim]{'upstream' if not index else '':<10}[/] {escape(cause)}"
    if alarm.downstream:
        yield f"    [dim]downstream[/] {escape(first_few(alarm.downstream, 5))}"


def _since(alarm: AlarmReport) -> str:
    if alarm.last == alarm.since or alarm.grain == "run":
        return ""
    return f"; since {_at(alarm.since, alarm.grain)}"


def show_expected(report: AlarmReport, *, undo: bool) -> None:
    """Print what became of an alarm."""
    word = "counts as a fault again" if undo else "was expected; its monitor learns from it"
    new_console().print(f"[green]✓[/] alarm {report.number} {escape(f'({report.table}')}: "
                    f"{escape(report.text)}) {word}")  # fmt: skip


def show_history(report: MetricHistory, *, last: int) -> None:
    """Print a metric as a picture: values, the band behind them, alarms."""
    out = new_console()
    points = report.points[-last:]
    there = [one for one in points if one.value is not None]
    out.print(f"[bold]{escape(f'{report.table}.{report.metric}')}[/], by {report.grain}")
    if not there:
        earlier = [one for one in report.points if one.value is not None]
        if earlier:
            out.print(
                f"no value in the last {count(len(points), report.grain)}, the newest is that of "
                + _newest(earlier[-1], report)
            )
        else:
            out.print("no value was measured yet")
        return
    for line in picture(points, report.unit, report.grain, width=out.width):
        out.print(line, highlight=False)
    newest = there[-1]
    out.print(_newest(newest, report))
    for alarm in report.alarms[:5]:
        note = f" ({alarm.note})" if alarm.note else ""
        out.print(
            f"alarm {alarm.number}, {alarm.status}: {escape(alarm.text)}{escape(note)}",
        )


def _newest(point: MetricPoint, report: MetricHistory) -> str:
    said = f"{_at(point.at, report.grain)}: {_number(point.value or 0.0, report.unit)}"
    ends = [_number(one, report.unit) for one in (point.low, point.high) if one is not None]
    if point.expected is None:
        return f"{said}; too little is known to expect anything"
    if point.low is None:
        return f"{said}, expected at most {ends[0]}"
    if point.high is None:
        return f"{said}, expected at least {ends[0]}"
    return f"{said}, expected {' to '.join(ends)}"


def picture(
    points: Sequence[MetricPoint], unit: str, grain: str, *, width: int, height: int = _HEIGHT
) -> list[str]:
    """A metric as lines of text: ``●`` a value, ``▒`` its band, ``✗`` an alarm.

    Args:
        points: one column each, the newest that fit.
        unit: of the values.
        grain: of the periods.
        width: of the terminal.
        height: lines of the picture.
    """
    shown = list(points[-max(1, width - _LABEL - 3) :])
    values = [one.value for one in shown if one.value is not None]
    ends = [end for one in shown for end in (one.low, one.high) if end is not None]
    low, high = min(values), max(values)
    # the band is shown as far as it does not dwarf the values
    reach = max(high - low, abs(high) * 0.05, 1e-9)
    low = min([low, *(end for end in ends if end > low - reach)])
    high = max([high, *(end for end in ends if end < high + reach)])
    if high == low:
        low, high = low - max(1.0, abs(low) / 100), high + max(1.0, abs(high) / 100)
    rows = [[" "] * len(shown) for _ in range(height)]

    def place(value: float) -> int:
        return round((high - value) / (high - low) * (height - 1))

    for column, point in enumerate(shown):
        if point.expected is not None:
            top = 0 if point.high is None else max(0, place(min(point.high, high)))
            bottom = height - 1 if point.low is None else place(max(point.low, low))
            for row in range(top, min(bottom, height - 1) + 1):
                rows[row][column] = "[dim]▒[/]"
        if point.value is not None:
            mark = "[red]✗[/]" if point.is_alarm else "[cyan]●[/]"
            rows[min(max(place(point.value), 0), height - 1)][column] = mark
    labels = {
        0: high,
        height // 2: high - (high - low) * (height // 2) / (height - 1),
        height - 1: low,
    }
    lines = [
        f"{_number(labels[index], unit) if index in labels else '':>{_LABEL}} ┤{''.join(row)}"
        for index, row in enumerate(rows)
    ]
    first, last = _at(shown[0].at, grain), _at(shown[-1].at, grain)
    gap = max(1, len(shown) - len(first) - len(last))
    lines.append(f"{'':>{_LABEL}} └{'─' * len(shown)}")
    axis = f"{first}{' ' * gap}{last}" if len(shown) > len(first) + len(last) else last
    lines.append(f"{'':>{_LABEL}}  {axis}")
    return lines


def _number(value: float, unit: str) -> str:
    if unit == "share":
        return percent(value)
    if unit == "seconds":
        return length(value)
    if unit in {"rows", "values"}:
        return f"{value:,.0f}"
    return plain(value)


def _at(at: datetime, grain: str) -> str:
    return f"{at:%Y-%m-%d}" if grain in {"day", "week", "month"} else f"{at:%Y-%m-%d %H:%M}"


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
