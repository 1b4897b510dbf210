"""``headrace add source`` and ``headrace scaffold``: a new source and its staging models."""

from typing import Annotated, Any, cast

import typer

from headrace.cli.options import Call, print_json, shared_options
from headrace.errors import SettingsError

_KINDS = ("rest_api", "sql_database", "files", "synth")

add = typer.Typer(no_args_is_help=True, help="Add to the project: a source.", rich_markup_mode=None)


@add.callback()
def _group() -> None:
    """With a callback Typer keeps the command's name even while there is only one."""


@add.command()
@shared_options()
def source(
    call: Call,
    name: Annotated[str, typer.Argument(help="What the source is to be called, like crm.")],
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help=f"One of {', '.join(_KINDS)}.")
    ],
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="The API's base URL, or a SQLAlchemy URL."),
    ] = None,
    resource: Annotated[
        list[str] | None,
        typer.Option("--resource", metavar="NAME[=PATH]", help="A table of the API; repeatable."),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(
            "--table", metavar="NAME", help="A table of the database; repeatable. Else all."
        ),
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(
            "--schema", metavar="NAME", help="The database's schema; of synth, a schema file."
        ),
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(
            "--path",
            metavar="DIR",
            help="The directory of the files, or an address: s3://, gs://, az://, https://.",
        ),
    ] = None,
    pattern: Annotated[
        list[str] | None,
        typer.Option(
            "--pattern",
            metavar="TABLE=GLOB",
            help="Which files a table is; repeatable. Else by the names of the files.",
        ),
    ] = None,
    primary_key: Annotated[
        list[str] | None,
        typer.Option(
            "--primary-key",
            metavar="COLUMN",
            help="The key of each table (API, files); repeatable.",
        ),
    ] = None,
    cursor: Annotated[
        str | None,
        typer.Option(
            "--cursor",
            metavar="COLUMN[=PARAM]",
            help="What grows when a row changes; of an API also the parameter that takes it "
            "(since).",
        ),
    ] = None,
    deleted: Annotated[
        str | None,
        typer.Option(
            "--deleted",
            metavar="COLUMN",
            help="What marks a row as deleted, by true or any value (API, database): it goes.",
        ),
    ] = None,
    paginator: Annotated[
        str | None,
        typer.Option(
            "--paginator",
            metavar="KIND",
            help="How an API's pages follow: auto, json_link, header_link, cursor, offset, "
            "page_number or single_page.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; show what would be, as a diff.")
    ] = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", "-y", help="Do not ask; without a terminal, there is no question either."
        ),
    ] = False,
    no_load: Annotated[
        bool, typer.Option("--no-load", help="Write the files, and do not load it.")
    ] = False,
) -> None:
    """Write a source's folder, settings and test, and load it once. Then scaffold its models."""
    if kind not in _KINDS:
        raise typer.BadParameter(f"{kind!r} is not one of {', '.join(_KINDS)}", param_hint="--kind")
    settings = call.settings()
    from headrace.add import AddReport, AddRequest, add_source
    from headrace.cli.render_project import show_added, show_proposal
    from headrace.cli.render_run import RunScreen
    from headrace.cli.terminal import is_interactive

    request = AddRequest(
        name=name,
        kind=cast("Any", kind),
        url=url,
        resource=tuple(resource or ()),
        table=tuple(table or ()),
        path=path,
        pattern=tuple(pattern or ()),
        primary_key=tuple(primary_key or ()),
        cursor=cursor,
        deleted=deleted,
        paginator=paginator,
        schema=schema,
    )
    asks = not (yes or call.json) and is_interactive()
    with RunScreen(quiet=call.json) as screen:

        def confirm(proposed: AddReport) -> bool:
            show_proposal(proposed, screen)
            return screen.ask("Add this source?")

        report = add_source(
            settings,
            request,
            dry_run=dry_run,
            load=not no_load,
            listen=screen.listen,
            **({"confirm": confirm} if asks else {}),
        )
    if call.json:
        print_json(report)
    else:
        show_added(report)


@shared_options()
def scaffold(
    call: Call,
    source: Annotated[
        str | None, typer.Argument(help="A source of the settings that is loaded.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="NAME", help="Instead: a model that is built, whose yml is written."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; show what would be added, as a diff.")
    ] = False,
) -> None:
    """Write a source's sources yml, staging models, tests, docs. Later, add what is new.

    With --model, write one model's yml from the table that was built: types, key and tests as
    its rows show them, with the places to describe marked.
    """
    if (source is None) == (model is None):
        raise SettingsError("name a source, or a model by --model NAME")
    if model is not None:
        _scaffold_model(call, model, dry_run=dry_run)
        return
    from headrace.scaffold import scaffold as write

    report = write(call.settings(), str(source), dry_run=dry_run)
    if call.json:
        print_json(report)
        return
    from headrace.cli.render_project import show_scaffold

    show_scaffold(report)


def _scaffold_model(call: Call, model: str, *, dry_run: bool) -> None:
    from headrace.scaffold import scaffold_model

    report = scaffold_model(call.settings(), model, dry_run=dry_run)
    if call.json:
        print_json(report)
        return
    from headrace.cli.render_project import show_model

    show_model(report)
