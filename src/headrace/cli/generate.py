"""``headrace generate`` and ``learn``: data from a schema file or model, and models from data."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headrace.cli.options import Call, LogFormat, json_log, shared_options
from headrace.errors import GenerateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.synth.generate import Generated

_OUT = Path("data/generated")

Schema = Annotated[
    Path, typer.Argument(metavar="SCHEMA", help="A schema file (YAML), or what learn made.")
]


@shared_options("json")
def generate(
    call: Call,
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
        typer.Option("--as-of", metavar="T", help="As of this timestamp, UTC; else today 00:00."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="T", help="Only rows that changed after this timestamp."),
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
    log_format: LogFormat = None,
) -> None:
    """Generate realistic, related data from a schema file. It may be as of any time."""
    from headrace.synth.errors import SynthError

    try:
        if file_format not in {"parquet", "csv"}:
            raise SynthError(f"--format {file_format}: one of parquet, csv")
        timestamps = {"as_of": _timestamp("--as-of", as_of), "since": _timestamp("--since", since)}
        directory = out or _OUT / schema.stem
        if _is_model(schema):
            unfit = {"--as-of": as_of, "--since": since, "--part": part, "--faults": faults,
                     "--group": group, "--table": table, "--threads": threads,
                     "--dbt-sources": dbt_sources}  # fmt: skip
            for option, value in unfit.items():
                if value is not None:
                    raise SynthError(f"{option} goes with a schema file, and {schema} is a model")
            _sample(schema, directory, file_format, scale, seed, json=call.json)
            return
        if dbt_sources is not None:
            from headrace.synth.generate import describe

            tables = tuple(table or ())
            typer.echo(describe(schema, dbt_sources, tables=tables, group=group), nl=False)
            return
        from headrace.synth.generate import generate as write
        from headrace.synth.writer import Share

        given = partial(
            write,
            schema,
            directory,
            kind="csv" if file_format == "csv" else "parquet",
            seed=seed,
            scale=scale,
            as_of=timestamps["as_of"],
            since=timestamps["since"],
            share=Share.parse(part) if part else None,
            tables=tuple(table or ()),
            group=group,
            faults=faults,
            threads=threads,
        )
        with json_log(log_format, level="info", to_stderr=call.json) as is_log:
            _generate(given, schema, call=call, is_log=is_log)
    except SynthError as error:
        raise GenerateError(str(error)) from error


def _generate(write: "Callable[..., Generated]", schema: Path, *, call: Call, is_log: bool) -> None:
    """Write the data, with what is seen of it: a screen, a log, spans."""
    from headrace.cli.generation_telemetry import GenerationTelemetry
    from headrace.cli.render_synth import GenerateScreen
    from headrace.synth.errors import SynthError

    told = GenerationTelemetry(schema)
    try:
        with GenerateScreen(quiet=call.json or is_log) as screen:
            result = write(progress=screen.advance, begun=screen.begin)
    except BaseException as error:
        unsent = told.failed(error)
        if unsent:
            error.add_note(unsent)
        if isinstance(error, SynthError):
            raise _explained(error) from error
        raise
    unsent = told.ended(result)
    if unsent:
        typer.echo(f"! {unsent}", err=True)
    if call.json or not is_log:
        screen.summary(result, as_json=call.json)


def _explained(error: Exception) -> GenerateError:
    explained = GenerateError(str(error))
    for note in getattr(error, "__notes__", ()):
        explained.add_note(note)
    return explained


def _timestamp(option: str, text: str | None) -> datetime | None:
    """A timestamp as it is typed: a date, or ISO 8601; without an offset it is UTC."""
    from headrace.synth.errors import SynthError

    if text is None:
        return None
    if text == "now":
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise SynthError(
            f"{option} {text}: not a timestamp; write 2024-06-01, 2024-06-01T12:30 or now"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _is_model(path: Path) -> bool:
    """Whether a file is a model of ``learn``, which is a zip; a schema file is text."""
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


@shared_options("json")
def learn(
    call: Call,
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA…", help="CSV, Parquet, JSON lines files, or DB.duckdb:schema.table."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.")],
    to_schema: Annotated[
        bool, typer.Option("--to-schema", hidden=True, help="What it does without --sdv.")
    ] = False,
    sdv: Annotated[
        bool,
        typer.Option("--sdv", help="Fit a model by SDV (the extra learn) and measure privacy."),
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
    orphans: Annotated[
        bool,
        typer.Option("--orphans", help="Learn keys that no row has, too, and how often they come."),
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Of the schema file, or of the report.")
    ] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there already.")
    ] = False,
    no_hold_out: Annotated[
        bool,
        typer.Option(
            "--no-hold-out", help="--sdv: leave out the second fit, which measures privacy."
        ),
    ] = False,
) -> None:
    """Learn a schema file from sample data. From it, generate makes any number of rows."""
    from headrace.cli.render_synth import show_learned, show_learned_schema
    from headrace.synth.errors import SynthError
    from headrace.synth.learn import learn as fit
    from headrace.synth.learn import learn_schema

    try:
        keys = dict(_pair("--key", text) for text in key or ()) or None
        if not sdv:
            schema = learn_schema(
                data, out=out, keys=keys, relations=relation, orphans=orphans, seed=seed,
                overwrite=overwrite,
            )  # fmt: skip
            show_learned_schema(schema, as_json=call.json)
            return
        if to_schema or orphans:
            raise SynthError(f"{'--to-schema' if to_schema else '--orphans'} goes without --sdv")
        learned = fit(
            data, out=out, keys=keys, relations=relation, seed=seed, overwrite=overwrite,
            held_out=not no_hold_out,
        )  # fmt: skip
    except SynthError as error:
        raise GenerateError(str(error)) from error
    show_learned(learned, as_json=call.json)
    if not learned.report.passed:
        raise typer.Exit(1)


def _pair(option: str, text: str) -> tuple[str, str]:
    from headrace.synth.errors import SynthError

    table, sign, column = text.partition("=")
    if not (table and sign and column):
        raise SynthError(f"{option} {text}: write a table and its column, like orders=order_id")
    return table, column
