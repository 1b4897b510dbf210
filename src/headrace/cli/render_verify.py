"""``headrace lineage --verify`` on a terminal: progress, scores, and missed columns."""

from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from headrace.cli.terminal import SHOWN, LiveScreen, and_more, print_parts
from headrace.formatting import count, escaped, first_few
from headrace.lineage.verify.report import ColumnPair, Score, VerifyReport

_MOST = 4  # raw columns that are named


class VerifyScreen(LiveScreen):
    """A live line while the check is in progress, and its result."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__("building the models twice", quiet=quiet)

    def advance(self, done: int, total: int) -> None:
        """Show how many raw columns are done."""
        if self.live is not None:
            self.live.update(f"{done} of {total} raw columns perturbed")

    def summary(self, report: VerifyReport) -> None:
        """Print what was found."""
        parts: list[Text | Table] = [
            Text(
                f"{count(report.perturbed, 'column')} of "
                f"{count(report.raw_tables, 'raw table')} perturbed, "
                f"{count(report.models, 'model')}, {report.builds:,} builds, "
                f"{report.seconds:.0f} s"
            ),
            _scores(report),
        ]
        parts += _pairs("missed: changed, and the lineage does not say so", report.missed, "red")
        parts += _pairs("changed behind SQL that could not be read", report.unread, "yellow")
        direct = [pair for pair in report.never_changed if pair.claim == "direct"]
        parts += _pairs("claimed as a value that flows, and never changed", direct, "dim")
        parts += _indirect([pair for pair in report.never_changed if pair.claim == "indirect"])
        parts += _left_out(report)
        if report.all.precision is not None:
            words = "precision is a lower bound: data can be too constant to show a dependency"
            parts.append(Text(words, style="dim"))
        if report.ok:
            parts.append(Text("✓ all that changed is claimed", style="green"))
        else:
            words = f"✗ {count(len(report.missed), 'dependency', 'dependencies')} missed"
            parts.append(Text(words, style="red"))
        print_parts(parts, self.console)


def _scores(report: VerifyReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    for name in ("columns", "changed", "claimed", "recall", "precision", "of direct claims"):
        table.add_column(name, justify="right")
    rows: list[tuple[str, Score | None]] = [("models", report.all), ("published", report.marts)]
    for name, found in rows:
        if found is not None:
            table.add_row(
                name,
                f"{found.columns:,}",
                f"{found.changed:,}",
                f"{found.claimed:,}",
                f"{found.recall:.3f}",
                _share(found.precision),
                _share(found.precision_direct),
            )
    return table


def _left_out(report: VerifyReport) -> list[Text]:
    found = [
        Text(
            f"left out: {escaped(item.asset)}.{escaped(item.column)} {item.reason}", style="yellow"
        )
        for item in report.unstable[:SHOWN]
    ]
    found += and_more(len(report.unstable))
    broken = [item for item in report.failures if item.raw is None]
    found += [
        Text(f"not built: {escaped(item.asset)}: {escaped(item.message)}", style="yellow")
        for item in broken[:SHOWN]
    ]
    found += and_more(len(broken))
    tried = len(report.failures) - len(broken)
    if tried:
        words = f"{count(tried, 'perturbation')} made some model's SQL fail (--json lists them)"
        found.append(Text(words, style="dim"))
    if report.idle:
        words = f"no value could be changed: {first_few(report.idle, most=5)}"
        found.append(Text(escaped(words), style="dim"))
    if report.sampled:
        tables = count(len(report.sampled), "raw table")
        words = f"of {tables} only the first {report.rows:,} rows were taken (--rows)"
        found.append(Text(words, style="dim"))
    found += [Text(f"! {escaped(note)}", style="yellow") for note in report.notes]
    return found


def _pairs(title: str, pairs: Sequence[ColumnPair], style: str) -> list[Text]:
    if not pairs:
        return []
    found = [Text(f"{title}: {len(pairs):,}", style=style)]
    for pair in pairs[:SHOWN]:
        raw, asset = pair.raw.partition(".")[2] or pair.raw, pair.asset.split(".", 2)[-1]
        words = escaped(f"  {raw}.{pair.raw_column} → {asset}.{pair.column}")
        if pair.strategies:
            words += f"\n    when it was changed by {', '.join(pair.strategies)}"
        found.append(Text(words, style=style))
    return found + and_more(len(pairs))


def _indirect(pairs: Sequence[ColumnPair]) -> list[Text]:
    """Indirect claims that no change of data confirmed, and the raw columns with most of them."""
    if not pairs:
        return []
    claims = Counter(f"{pair.raw.rpartition('.')[2]}.{pair.raw_column}" for pair in pairs)
    named = [f"{escaped(name)} ({times:,})" for name, times in claims.most_common()]
    words = "what may decide a value or a row, and in these data never did"
    return [
        Text(f"{count(len(pairs), 'indirect claim')} never changed: {words} (--json)", style="dim"),
        Text(f"  of {first_few(named, most=_MOST)}", style="dim"),
    ]


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
