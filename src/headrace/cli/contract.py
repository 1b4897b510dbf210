"""``headrace contract``: contracts between teams, in the Open Data Contract Standard."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.options import Call, print_json, shared_options

contract = typer.Typer(
    name="contract",
    help="Contracts in the Open Data Contract Standard (ODCS 3).",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The contract.", show_default=False)]


@contract.command("export")
@shared_options()
def export_contract(
    call: Call,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A model, as orders or marts.orders; or a table of a dbt source, as shop.orders.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write it there, as contracts/orders.yaml. What a file has beyond it is kept.",
        ),
    ] = None,
) -> None:
    """Make a contract of a model.

    It has columns, keys, quality rules, owner, freshness and retention.
    """
    from headrace.pipeline.checking import contract as service

    report = service.export_contract(call.settings(), model, out=out)
    if call.json:
        print_json(report)
    elif out is None:
        typer.echo(report.text, nl=False)
    else:
        typer.echo(f"{report.table}: {'written to' if report.changed else 'unchanged in'} {out}")


@contract.command("import")
@shared_options()
def import_contract(
    call: Call,
    file: File,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the diff, and write nothing.")
    ] = False,
) -> None:
    """Add what a contract promises to the dbt project's yml.

    Columns, types, tests and meta are added. What the yml says stays, and its comments do.
    """
    from headrace.pipeline.checking import contract as service

    report = service.bring_in(call.settings(), file, dry_run=dry_run)
    if call.json:
        print_json(report)
        return
    from headrace.cli.render_contract import show_import

    show_import(report)


@contract.command("test")
@shared_options()
def check_contract(
    call: Call,
    file: File,
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="DATABASE",
            help="published, warehouse or a DuckDB file; by default published, where it has all.",
        ),
    ] = None,
) -> None:
    """Check the data against a contract. Exit code 1: a promise is broken."""
    from headrace.pipeline.checking import contract as service

    report = service.check_file(call.settings(), file, on=on)
    if call.json:
        print_json(report)
    else:
        from headrace.cli.render_contract import show_test

        show_test(report)
    if not report.passed:
        raise typer.Exit(1)
