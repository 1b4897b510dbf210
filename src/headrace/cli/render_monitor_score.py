"""``headrace quality score`` on a terminal: monitors, and kinds of faults, side by side."""

from rich.table import Table
from rich.text import Text

from headrace.cli.terminal import SHOWN, and_more, print_parts
from headrace.formatting import count, escaped
from headrace.quality.monitor_score.report import ScoreReport


def show_score(report: ScoreReport) -> None:
    """Print a replay."""
    faults = {(one.fault, one.begins) for one in report.detections}
    parts: list[Text | Table] = [
        Text(
            f"{count(len(faults), 'fault')}, one at a time and together, in "
            f"{count(report.months, 'month')} of a shop (seed {report.seed}, scale "
            f"{report.scale:g}): {count(report.tables, 'table')}, {count(report.metrics, 'metric')}"
        ),
        Text(
            "loaded by dlt, built by dbt and monitored as in a run"
            if report.through == "runs"
            else "generated files, measured without dlt and dbt",
            style="dim",
        ),
        Text(""),
        _monitors(report),
        Text(""),
        _kinds(report),
    ]
    first = report.monitors[0].monitor
    missed = [
        one for one in report.detections if one.monitor == first and one.moved and not one.found
    ]
    if missed:
        parts += [Text(""), Text(f"missed by {first}", style="bold")]
        parts += [
            Text(f"  {escaped(one.fault)}, moves {', '.join(one.moved[:3])}", style="dim")
            for one in missed[:SHOWN]
        ]
        parts += and_more(len(missed))
    words = "found / faults that move a metric by more than its usual range, median days to notice"
    parts += [Text(""), Text(words, style="dim")]
    if any(one.stopped for one in report.kinds):
        words = "stopped: the load or the build of the run failed, and said why; no monitor saw it"
        parts.append(Text(words, style="dim"))
    print_parts(parts)


def _monitors(report: ScoreReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("monitor")
    for name in ("found", "share", "days", "false alarms a month", "CPU s"):
        table.add_column(name, justify="right")
    for one in report.monitors:
        table.add_row(
            one.monitor,
            f"{one.found} / {one.faults}",
            "" if one.share_found is None else f"{one.share_found:.0%}",
            "" if one.days is None else f"{one.days:.0f}",
            f"{one.false_alarms_a_month:.1f}",
            f"{one.seconds:.0f}",
        )
    return table


def _kinds(report: ScoreReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("kind of fault")
    for monitor in report.monitors:
        table.add_column(monitor.monitor, justify="right")
    for name in ("not moved", "stopped"):
        table.add_column(name, justify="right")
    for kind in dict.fromkeys(one.kind for one in report.kinds):
        cells = []
        unmoved = stopped = 0
        for monitor in report.monitors:
            (one,) = [x for x in report.kinds if (x.kind, x.monitor) == (kind, monitor.monitor)]
            days = "" if one.days is None else f", {one.days:.0f} d"
            style = "dim" if not one.faults else "green" if not one.missed else "yellow"
            cells.append(Text(f"{one.found} / {one.faults}{days}", style=style))
            unmoved, stopped = one.unmoved, one.stopped
        table.add_row(kind, *cells, str(unmoved or ""), str(stopped or ""))
    return table
