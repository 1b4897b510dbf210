"""``headrace lineage`` on a terminal: trees, the impact of a change, and scores of ``--verify``."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from rich.table import Table
from rich.text import Text

from headrace.catalog.model import CONSUMERS, DIRECT, TESTS
from headrace.cli.terminal import SHOWN, LiveScreen, and_more, new_console, print_parts
from headrace.formatting import count, escaped, first_few
from headrace.lineage.report import (
    ImpactItem,
    ImpactReport,
    LineageGraph,
    LineageLink,
    LineageNode,
    LineageProblem,
)
from headrace.lineage.verify.report import AgreementScore, ColumnPair, VerifyReport

_Spot = tuple[str, str | None]
_DEEPEST = 16  # levels that are drawn; below, the level's number stands for the lines


def show_graph(graph: LineageGraph) -> None:
    """Print a graph as one tree up and one down; a repeated node refers to its first place."""
    lines = [_headline(graph)]
    for way in ("upstream", "downstream"):
        if graph.direction in {way, "both"}:
            lines.append(Text(way, style="bold"))
            tree = _Tree(graph, upward=way == "upstream")
            lines += tree.lines() or [Text("  nothing", style="dim")]
    if any(link.kind not in {"reads", *DIRECT} for link in graph.links):
        words = "(indirect): no value flows, but it decides the value, or which rows there are"
        lines.append(Text(words, style="dim"))
    if graph.truncated:
        lines.append(
            Text(f"there is more beyond {count(graph.depth or 0, 'asset')} (--depth)", style="dim")
        )
    lines += _problems(graph.problems)
    print_parts(lines)


class _Tree:
    """The lines of one direction."""

    def __init__(self, graph: LineageGraph, *, upward: bool) -> None:
        self._nodes = {node.id: node for node in graph.nodes}
        self._upward = upward
        self._at_columns = graph.column is not None
        self._root: _Spot = (graph.root, graph.column)
        self._next: dict[_Spot, dict[_Spot, list[LineageLink]]] = {}
        for link in graph.links:
            parent = (link.parent, link.parent_column)
            child = (link.child, link.child_column)
            here, there = (child, parent) if upward else (parent, child)
            self._next.setdefault(here, {}).setdefault(there, []).append(link)
        self._telling = self._spots_with_columns() if upward and self._at_columns else None

    def _spots_with_columns(self) -> set[_Spot]:
        """Spots from which a column is reached; others only say that rows come from rows."""
        before: dict[_Spot, list[_Spot]] = {}
        for here, after in self._next.items():
            for there in after:
                before.setdefault(there, []).append(here)
        todo = [spot for spot in before if spot[1] is not None]
        found = set(todo)
        while todo:
            for here in before.get(todo.pop(), ()):
                if here not in found:
                    found.add(here)
                    todo.append(here)
        return found

    def lines(self) -> list[Text]:
        """Depth first, without recursion: a graph may be deeper than Python's stack."""
        found: list[Text] = []
        seen: set[_Spot] = {self._root}
        todo = self._branches(self._root, "", 0)
        while todo:
            spot, links, guide, is_last, level = todo.pop()
            again = spot in seen and bool(self._branches(spot, "", 0))
            seen.add(spot)
            branch = "└─ " if is_last else "├─ "
            start = guide + branch if level < _DEEPEST else f"  [{level + 1}] "
            found.append(self._line(start, spot, links, again=again))
            if not again:
                below = guide + ("   " if is_last else "│  ") if level < _DEEPEST else ""
                todo += self._branches(spot, below, level + 1)
        return found

    def _branches(
        self, spot: _Spot, guide: str, level: int
    ) -> list[tuple[_Spot, list[LineageLink], str, bool, int]]:
        """The next spots, in reverse order."""
        after = dict(self._next.get(spot, {}))
        if self._upward and self._at_columns and spot[1] is not None:
            rows = (spot[0], None)
            if rows in self._next:  # each column depends on the rows of its own asset
                after[rows] = []
        shown = [
            (other, links)
            for other, links in after.items()
            if self._telling is None or other[1] is not None or other in self._telling
        ]
        ordered = sorted(
            shown, key=lambda item: (not _is_direct(item[1]), item[0][0], item[0][1] or "")
        )
        return [
            (other, links, guide, at == len(ordered) - 1, level)
            for at, (other, links) in enumerate(ordered)
        ][::-1]

    def _line(self, start: str, spot: _Spot, links: list[LineageLink], *, again: bool) -> Text:
        key, column = spot
        node = self._nodes[key]
        line = Text(start, style="dim")
        is_leaf = node.kind in CONSUMERS or node.kind in TESTS
        if not self._at_columns or is_leaf:
            line.append(escaped(node.name), style="bold" if not again else "")
        elif column is None:
            line.append(f"rows of {escaped(node.name)}", style="")
        else:
            line.append(
                f"{escaped(node.name)}.{escaped(column)}", style="bold" if not again else ""
            )
        line.append(f"  {node.kind}", style="cyan")
        if self._at_columns:
            line.append(f"  {self._how(links)}" if links else "", style="dim")
        line.append(_personal(node, column, at_columns=self._at_columns), style="magenta")
        if again:
            line.append("  see above", style="dim")
        return line

    def _how(self, links: Sequence[LineageLink]) -> str:
        """``renamed from x, filtered (indirect)``."""
        words = []
        for link in links:
            if link.kind == "renamed":
                other = link.child_column if self._upward else link.parent_column
                side = "to" if self._upward else "from"
                words.append(f"renamed {side} {escaped(other or '')}")
            elif link.kind in DIRECT or link.kind == "reads":
                words.append(link.kind)
            else:
                words.append(f"{link.kind} (indirect)")
        return ", ".join(dict.fromkeys(words))


def show_impact(report: ImpactReport) -> None:
    """Print what breaks, what is affected, and whom to tell."""
    console = new_console()
    what = f"{report.asset}.{report.column}" if report.column else report.asset
    parts: list[Text | Table] = [Text(f"If {escaped(what)} goes", style="bold")]
    counts = report.counts
    skipped = f"; dbt skips {counts['skipped']} more downstream" if counts["skipped"] else ""
    parts.append(
        Text(f"\nbreaks: {counts['breaks']}{skipped}", style="red" if report.breaks else "")
    )
    if report.breaks:
        parts.append(_items(report.breaks, lambda item: item.why or ""))
    columns = f" ({counts['affected_columns']} columns)" if counts["affected_columns"] else ""
    parts.append(Text(f"\naffected: {counts['affected']}{columns}"))
    relations = [item for item in report.affected if item.kind not in TESTS]
    if relations:
        parts.append(_items(relations, _columns))
    tests = len(report.affected) - len(relations)
    if tests:
        parts.append(Text(f"  {count(tests, 'test')} (--json lists them)", style="dim"))
    if report.exposures:
        parts.append(Text(f"\nexposures: {counts['exposures']}"))
        parts.append(_items(report.exposures, lambda item: ", ".join(item.owners)))
    if report.owners:
        parts.append(Text("\ntell"))
        parts += [
            Text(f"  {escaped(owner.owner)}  {count(len(owner.assets), 'asset')}")
            for owner in report.owners
        ]
    parts += _problems(report.problems)
    print_parts(parts, console)


def _items(items: Iterable[ImpactItem], detail: Callable[[ImpactItem], str]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    table.add_column(overflow="fold")
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(style="dim", overflow="fold")
    for item in items:
        table.add_row(Text(escaped(item.name)), item.kind, Text(escaped(detail(item))))
    return table


def _columns(item: ImpactItem) -> str:
    if item.rows:
        return "its rows, and so all columns" if item.columns else ""
    return first_few(item.columns, most=4)


def _headline(graph: LineageGraph) -> Text:
    node = next(node for node in graph.nodes if node.id == graph.root)
    name = f"{node.name}.{graph.column}" if graph.column else node.name
    line = Text(escaped(name), style="bold")
    line.append(f"  {node.kind}", style="cyan")
    line.append(f"  {escaped(node.relation or node.id)}", style="dim")
    personal = _personal(node, graph.column, at_columns=graph.column is not None)
    line.append(personal, style="magenta")
    return line


def _personal(node: LineageNode, column: str | None, *, at_columns: bool) -> str:
    is_personal = column in node.pii if at_columns else bool(node.pii)
    return "  PII" if is_personal else ""


def _problems(problems: Sequence[LineageProblem]) -> list[Text]:
    found = [
        Text(f"! {escaped(problem.asset)}: {escaped(problem.message)}", style="yellow")
        for problem in problems[:SHOWN]
    ]
    if found:
        found.insert(0, Text("\nnot read, so the graph may lack what leads through:"))
    return found + and_more(len(problems))


def _is_direct(links: Sequence[LineageLink]) -> bool:
    return any(link.kind in DIRECT or (link.kind == "reads") for link in links)


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
    rows: list[tuple[str, AgreementScore | None]] = [
        ("models", report.all),
        ("published", report.marts),
    ]
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
