"""What a build of a part of the project says of its selection."""

from collections.abc import Iterator

from rich.markup import escape

from headrace.pipeline.reports import RunReport


def selection_lines(report: RunReport) -> Iterator[str]:
    """A line for each thing that is worth saying; none of a whole build."""
    selection = report.build.selection if report.build else None
    if report.build is None or selection is None:
        return
    if not report.build.nodes:
        asked = escape(" ".join((*selection.select, *(f"(not {x})" for x in selection.exclude))))
        if selection.state and not selection.unmatched:
            yield f"[green]✓[/] nothing to build: nothing changed since the state ({asked})"
        else:
            yield (
                f"[yellow]![/] nothing to build: {asked} selects nothing that can be built here "
                "(models of sources that are not loaded are left out)"
            )
    for selector in selection.unmatched:
        yield (
            f"[yellow]![/] {escape(selector)} matches no model, test or source of the dbt project"
        )
    if selection.deferred and report.build.nodes:
        sources = ", ".join(selection.sources_of_state)
        more = f", sources too: {escape(sources)}" if sources else ""
        yield f"[green]✓[/] what is not built is read from {escape(selection.state or '')}{more}"
