"""``headrace learn``: a model, or a schema file, from sample data."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.options import Debug, Json
from headrace.errors import GenerateError


def learn(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA…", help="CSV, Parquet, JSON lines files, or DB.duckdb:schema.table."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.")],
    to_schema: Annotated[
        bool,
        typer.Option("--to-schema", help="Write a schema file for the fast engine, not a model."),
    ] = False,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", metavar="TABLE=COLUMN", help="A primary key; repeatable. Else found."
        ),
    ] = None,
    relation: Annotated[
        list[str] | None,
        typer.Option(
            "--relation",
            metavar="T.COLUMN=T.COLUMN",
            help="A foreign key and what it refers to; repeatable. Else found.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Of the schema file, or of the report.")
    ] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there already.")
    ] = False,
    no_hold_out: Annotated[
        bool,
        typer.Option("--no-hold-out", help="Leave out the second fit that measures privacy."),
    ] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Learn from sample data; generate makes more of it. A model needs the extra learn (SDV)."""
    del debug
    from headrace.cli.render_synth import show_learned, show_learned_schema
    from headrace.synth.errors import SynthError
    from headrace.synth.learn import learn as fit
    from headrace.synth.learn import learn_schema

    try:
        keys = dict(_pair("--key", text) for text in key or ()) or None
        if to_schema:
            schema = learn_schema(
                data, out=out, keys=keys, relations=relation, seed=seed, overwrite=overwrite
            )
            show_learned_schema(schema, as_json=json)
            return
        learned = fit(
            data, out=out, keys=keys, relations=relation, seed=seed, overwrite=overwrite,
            held_out=not no_hold_out,
        )  # fmt: skip
    except SynthError as error:
        raise GenerateError(str(error)) from error
    show_learned(learned, as_json=json)
    if not learned.report.passed:
        raise typer.Exit(1)


def _pair(option: str, text: str) -> tuple[str, str]:
    from headrace.synth.errors import SynthError

    table, sign, column = text.partition("=")
    if not (table and sign and column):
        raise SynthError(f"{option} {text}: write a table and its column, like orders=order_id")
    return table, column
