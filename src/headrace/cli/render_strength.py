"""``headrace test-strength`` on a terminal: scores, and the faults that no test found."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from headrace.cli.terminal import SHOWN, LiveScreen, and_more, print_parts
from headrace.formatting import count, escaped
from headrace.quality.strength.report import MutantResult, Score, StrengthReport

_DIFF = {"+": "green", "-": "red"}


class StrengthScreen(LiveScreen):
    """A live line while faults are tried, and the result."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__("reading the project", quiet=quiet)

    def advance(self, done: int, total: int, survived: int) -> None:
        """Show how many faults were tried."""
        self.say(f"{done:,} of {total:,} faults tried, {survived:,} survived")

    def summary(self, report: StrengthReport, *, every: bool) -> None:
        """Print what was found."""
        parts: list[Text | Table] = []
        survivors = [one for one in report.mutants if one.status == "survived"]
        shown = survivors if every else survivors[:SHOWN]
        for mutant in shown:
            parts += _survivor(mutant)
        if not every:
            parts += and_more(len(survivors))
        if survivors:
            parts.append(Text(""))
        parts += [_scores("model or raw table", report.by_asset), Text("")]
        parts += [_scores("kind of fault", report.by_kind), Text("")]
        parts += [Text(f"! {note}", style="yellow") for note in report.notes]
        parts += _total(report)
        print_parts(parts, self.console)


def _survivor(mutant: MutantResult) -> list[Text | Table]:
    head = Text.assemble(
        ("✗ ", "red"), (escaped(mutant.asset), "bold"), f" · {escaped(mutant.change)}"
    )
    if mutant.path is not None:
        head.append(f"  {mutant.path}", style="dim")
    found: list[Text | Table] = [head]
    found += [
        Text(f"    {line}", style=_DIFF.get(line[:1], "dim")) for line in mutant.diff.splitlines()
    ]
    for proposal in mutant.proposals[:1]:
        if proposal.name == "unit_test":
            words = f"  a unit test would find it; in the yml of {proposal.table}:"
        elif proposal.column is None:
            words = f"  found by, in the yml of {proposal.table}, below data_tests:"
        else:
            words = f"  found by, in the yml of {proposal.table}, at {proposal.column}:"
        found.append(Text(words, style="cyan"))
        found += [Text(f"    {line}") for line in proposal.yaml.splitlines()]
    if not mutant.proposals:
        found.append(
            Text("  no generic test finds it: compare with another source, or watch it", "dim")
        )
    return found


def _scores(title: str, scores: Sequence[Score]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(title, overflow="fold")
    for name in ("found", "survived", "not counted", "score"):
        table.add_column(name, justify="right")
    for one in sorted(scores, key=lambda one: (one.score is None, one.score or 0, one.asset)):
        if one.score is None:
            continue
        table.add_row(
            escaped(one.asset),
            f"{one.killed:,}",
            f"{one.survived:,}" if one.survived else "",
            f"{one.equivalent:,}" if one.equivalent else "",
            Text(f"{one.score:.2f}", style="" if one.survived else "green"),
        )
    return table


def _total(report: StrengthReport) -> list[Text]:
    tried = report.killed + report.survived + report.equivalent
    lines = []
    if report.killed_by:
        by = sorted(report.killed_by.items(), key=lambda item: -item[1])
        words = ", ".join(f"{name} {number:,}" for name, number in by)
        lines.append(Text(f"found by: {words}", style="dim"))
    if report.equivalent:
        words = (
            f"{count(report.equivalent, 'fault')} changed nothing that anybody reads: not counted"
        )
        lines.append(Text(words, style="dim"))
    if report.stopped:
        lines.append(Text(f"stopped after {tried:,} of {count(report.planned, 'fault')}", "yellow"))
    if report.score is None:
        lines.append(Text("nothing was tried that counts", style="yellow"))
        return lines
    style = "green" if report.ok else "red"
    words = (
        f"{'✓' if report.ok else '✗'} score {report.score:.3f}: {report.killed:,} of "
        f"{count(report.killed + report.survived, 'fault')} found in {report.seconds:.0f} s"
    )
    return [*lines, Text(words, style=style)]
