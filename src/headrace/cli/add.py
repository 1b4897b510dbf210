"""``headrace add source``."""

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from headrace.cli.options import Debug, Env, Json, ProjectDir, Sets, resolved

if TYPE_CHECKING:
    from headrace.add import AddReport

_KINDS = ("rest_api", "sql_database", "files", "synth")

add = typer.Typer(no_args_is_help=True, help="Add to the project: a source.", rich_markup_mode=None)


@add.callback()
def _group() -> None:
    """With a callback Typer keeps the command's name even while there is only one."""


@add.command()
def source(
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
        str | None, typer.Option("--path", metavar="DIR", help="The directory of the files.")
    ] = None,
    pattern: Annotated[
        list[str] | None,
        typer.Option("--pattern", metavar="TABLE=GLOB", help="Which files a table is; repeatable."),
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
    no_load: Annotated[
        bool, typer.Option("--no-load", help="Write the files, and do not load it.")
    ] = False,
    sets: Sets = None,
    env: Env = None,
    project_dir: ProjectDir = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a source's folder, settings and test; load it once, and scaffold its models."""
    del debug
    if kind not in _KINDS:
        raise typer.BadParameter(f"{kind!r} is not one of {', '.join(_KINDS)}", param_hint="--kind")
    settings = resolved(project_dir, env, sets, None)
    from headrace.add import AddRequest, add_source
    from headrace.cli.render import RunScreen

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
    with RunScreen(quiet=json) as screen:
        report = add_source(
            settings, request, dry_run=dry_run, load=not no_load, listen=screen.listen
        )
    if json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        _show(report)


def _show(report: "AddReport") -> None:
    from rich.markup import escape

    from headrace.cli.console import console

    screen = console()
    if report.dry_run:
        for file in report.files:
            typer.echo(file.diff, nl=False)
    marks = {"added": "[green]+[/]", "changed": "[green]~[/]"}
    for file in report.files:
        screen.print(f"{marks[file.status]} {escape(file.path)}")
    for choice in report.choices:
        screen.print(f"[dim]-[/] {escape(choice)}")
    if report.dry_run:
        screen.print("nothing was written (--dry-run)")
        return
    for table in report.load.tables if report.load else ():
        screen.print(f"[green]✓[/] loaded {escape(table.table)}: {table.rows_total:,} rows")
    for model in report.scaffold.changes if report.scaffold else ():
        screen.print(f"{marks[model.status]} {escape(f'dbt_project/{model.path}')}")
    _show_next(screen, report)


def _show_next(screen: Any, report: "AddReport") -> None:
    from rich.markup import escape

    if report.not_loaded:
        screen.print(f"[yellow]![/] not loaded: {escape(report.not_loaded)}")
    if report.commands:
        commands = " and ".join(f"`{command}`" for command in report.commands)
        screen.print(escape(f"then run {commands}"))
    else:
        screen.print("next: read what was written, describe it, commit it, and `headrace run`")
