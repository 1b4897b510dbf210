"""``headrace generate``: data of a schema file, or of a learned model."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from headrace.cli.options import Debug, Json
from headrace.errors import GenerateError

_OUT = Path("data/generated")

Schema = Annotated[
    Path, typer.Argument(metavar="SCHEMA", help="A schema file (YAML), or what learn made.")
]


def generate(
    schema: Schema,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to; else data/generated/<SCHEMA's name>."),
    ] = None,
    file_format: Annotated[
        str, typer.Option("--format", metavar="parquet|csv", help="The format of the files.")
    ] = "parquet",
    scale: Annotated[
        float, typer.Option("--scale", metavar="X", help="Multiply counts and rates by this.")
    ] = 1.0,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Other data; else the file's seed.")
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="T", help="As of this moment, UTC; else today 00:00."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="T", help="Only rows that changed after this moment."),
    ] = None,
    part: Annotated[
        str | None, typer.Option("--part", metavar="K/N", help="Part K of N equal parts.")
    ] = None,
    faults: Annotated[
        str | None,
        typer.Option(
            "--faults", metavar="SPEC", help="A file of faults, or kind:table.column:argument,…"
        ),
    ] = None,
    table: Annotated[
        list[str] | None, typer.Option("--table", metavar="NAME", help="Only this; repeatable.")
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", metavar="NAME", help="Only tables of this group.")
    ] = None,
    dbt_sources: Annotated[
        str | None,
        typer.Option(
            "--dbt-sources",
            metavar="NAME",
            help="Print a dbt sources file instead of writing data.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, max=256, help="Else one for each core; same bytes."),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Generate realistic, related data from a schema file, as of any moment."""
    del debug
    from headrace.synth.errors import SynthError

    try:
        if file_format not in {"parquet", "csv"}:
            raise SynthError(f"--format {file_format}: one of parquet, csv")
        moments = {"as_of": _moment("--as-of", as_of), "since": _moment("--since", since)}
        directory = out or _OUT / schema.stem
        if _is_model(schema):
            unfit = {"--as-of": as_of, "--since": since, "--part": part, "--faults": faults,
                     "--group": group, "--table": table, "--threads": threads,
                     "--dbt-sources": dbt_sources}  # fmt: skip
            for option, value in unfit.items():
                if value is not None:
                    raise SynthError(f"{option} goes with a schema file, and {schema} is a model")
            _sample(schema, directory, file_format, scale, seed, json=json)
            return
        if dbt_sources is not None:
            from headrace.synth.generate import describe

            tables = tuple(table or ())
            typer.echo(describe(schema, dbt_sources, tables=tables, group=group), nl=False)
            return
        from headrace.cli.render_synth import GenerateScreen
        from headrace.synth.generate import generate as write
        from headrace.synth.writer import Share

        with GenerateScreen(quiet=json) as screen:
            result = write(
                schema,
                directory,
                kind="csv" if file_format == "csv" else "parquet",
                seed=seed,
                scale=scale,
                as_of=moments["as_of"],
                since=moments["since"],
                share=Share.parse(part) if part else None,
                tables=tuple(table or ()),
                group=group,
                faults=faults,
                threads=threads,
                progress=screen.advance,
                begun=screen.begin,
            )
        screen.summary(result, as_json=json)
    except SynthError as error:
        raise GenerateError(str(error)) from error


def _moment(option: str, text: str | None) -> datetime | None:
    """A moment as it is typed: a date, or ISO 8601; without an offset it is UTC."""
    from headrace.synth.errors import SynthError

    if text is None:
        return None
    if text == "now":
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SynthError(
            f"{option} {text}: not a moment; write 2024-06-01, 2024-06-01T12:30 or now"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_model(path: Path) -> bool:
    """Whether a file is what ``learn`` made: a zip, where a schema file is text."""
    try:
        with path.open("rb") as stream:
            return stream.read(4) == b"PK\x03\x04"
    except OSError:
        return False  # reading it as a schema file says what is wrong


def _sample(
    model: Path, out: Path, file_format: str, scale: float, seed: int | None, *, json: bool
) -> None:
    from headrace.cli.render_synth import show_sampled
    from headrace.synth.learn import sample

    kind: Literal["csv", "parquet"] = "csv" if file_format == "csv" else "parquet"
    rows = sample(model, out=out, format=kind, scale=scale, seed=seed or 0, overwrite=True)
    show_sampled(rows, out, as_json=json)
