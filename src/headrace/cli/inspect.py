"""``headrace where``, ``status`` and ``doctor``: paths and settings, last runs, checks."""

from typing import Annotated

import typer

from headrace.cli.options import Call, TargetName, print_json, shared_options


@shared_options()
def where(
    call: Call,
    target: TargetName = None,
) -> None:
    """Print what is resolved: every path and setting, and the layer it comes from."""
    from headrace.pipeline.where import where as describe

    report = describe(call.settings(target))
    if call.json:
        print_json(report)
        return
    from headrace.cli.render_inspect import show_where

    show_where(report)


@shared_options()
def status(
    call: Call,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many runs.")] = 10,
) -> None:
    """Show how the last runs went, and what failed."""
    from headrace.pipeline.status import status as read

    report = read(call.settings(), limit=limit)
    if call.json:
        print_json(report)
        return
    from headrace.cli.render_inspect import show_status

    show_status(report)


@shared_options()
def doctor(
    call: Call,
) -> None:
    """Check this machine and project, and say what to do about what is missing."""
    from headrace.pipeline.doctor import doctor as examine

    report = examine(call.settings())
    if call.json:
        print_json(report)
    else:
        from headrace.cli.render_inspect import show_doctor

        show_doctor(report)
    if not report.ok:
        raise typer.Exit(1)
