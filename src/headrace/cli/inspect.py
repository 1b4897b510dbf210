"""``headrace where``, ``status``, ``doctor`` and ``inspect``: settings, runs, checks, files."""

from typing import Annotated, Any

import typer

from headrace.cli.options import Call, print_json, shared_options


@shared_options()
def where(
    call: Call,
) -> None:
    """Print every path and setting, and the layer it comes from."""
    from headrace.pipeline.where import where as describe

    report = describe(call.settings())
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
    """Show the last runs, what failed, and what can be trusted."""
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
    """Check this machine and project; say what to do about it."""
    from headrace.pipeline.doctor import doctor as examine

    report = examine(call.settings())
    if call.json:
        print_json(report)
    else:
        from headrace.cli.render_inspect import show_doctor

        show_doctor(report)
    if not report.ok:
        raise typer.Exit(1)


@shared_options("json")
def inspect(
    call: Call,
    path: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A file, a directory, a glob in quotes, or an address."
        ),
    ],
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="NAME=VALUE",
            help="A setting of a table of files, like skip=3; repeatable.",
        ),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=0, help="How many rows to show.")] = 10,
) -> None:
    """Show how files would be loaded: columns, types, keys. For each doubt it has a setting."""
    from headrace.cli.render_inspect import show_preview
    from headrace.pipeline.file_preview import preview

    report = preview(path, _options(options or []), rows=rows)
    if call.json:
        print_json(report)
    else:
        show_preview(report)


def _options(given: list[str]) -> dict[str, Any]:
    """``skip=3`` as a setting; the value is YAML, as it is in the settings file."""
    from headrace.yaml_editor import parse

    found: dict[str, Any] = {}
    for each in given:
        name, mark, value = each.partition("=")
        if not mark or not name:
            raise typer.BadParameter(f"{each!r} is not NAME=VALUE", param_hint="--option")
        found[name] = parse(value, f"--option {name}").data
    return found
