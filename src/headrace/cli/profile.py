"""``headrace profile``: what is in a table or in files, and what a reader should know of it."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.options import Call, print_json, shared_options


@shared_options()
def profile(
    call: Call,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="TABLE|FILE",
            help="A table, as orders or marts.orders; or a file, a folder, a glob in quotes.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every published mart, and every table of the warehouse.")
    ] = False,
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="DATABASE",
            help="published, warehouse, or a DuckDB file; by default the first that has it.",
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option("--sample", metavar="N", min=1, help="Look at N rows, drawn at random."),
    ] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--compare",
            metavar="A B",
            help="The table in two databases, or two files: what differs.",
        ),
    ] = None,
    write_tests: Annotated[
        bool,
        typer.Option("--write-tests", help="Add the tests that it proposes to the model's yml."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --write-tests: show the diff, write nothing.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page of it, too.")
    ] = None,
) -> None:
    """Profile a table or files: columns, keys, values, findings.

    Values of personal data are never shown. It reads and changes nothing, but with --write-tests.
    """
    from headrace.errors import ProfileError
    from headrace.pipeline.quality import profile as service

    if compare is not None and (every or write_tests or on):
        raise ProfileError("--compare takes a table or two files, and goes with --sample only")
    if compare is None and (what is None) == (not every):
        raise ProfileError("name a table or a file, or all tables by --all")
    if compare is not None:
        _compare(call, what, compare, sample)
        return
    if every:
        from headrace.cli.terminal import LiveScreen

        with LiveScreen("profiling", quiet=call.json) as screen:
            report = service.profile_all(call.settings(), on=on, sample=sample, listen=screen.say)
    else:
        report = service.profile(call.settings_or_none(), str(what), on=on, sample=sample)
    if write_tests:
        report = service.write_tests(call.settings(), report, dry_run=dry_run)
    if html is not None:
        service.write_html(report, html)
    if call.json:
        print_json(report)
    else:
        from headrace.cli.render_profile import show_profile

        show_profile(report, is_summary=every)
    if html is not None:
        typer.echo(f"written to {html}", err=True)


def _compare(call: Call, what: str | None, places: tuple[str, str], sample: int | None) -> None:
    from headrace.pipeline.quality.profile import compare_profiles

    report = compare_profiles(call.settings_or_none(), what, *places, sample=sample)
    if call.json:
        print_json(report)
        return
    from headrace.cli.render_profile import show_changes

    show_changes(report)
