"""``headrace export``: the catalog as DataHub's proposals or OpenLineage's events."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.options import Call, print_json, shared_options
from headrace.errors import ExportError

if TYPE_CHECKING:
    from headrace.export.datahub.export import DataHubOptions
    from headrace.export.output import ExportReport
    from headrace.settings import Resolved


class Standard(StrEnum):
    """What the catalog can be exported as."""

    DATAHUB = "datahub"
    OPENLINEAGE = "openlineage"


@shared_options()
def export(
    call: Call,
    standard: Annotated[
        Standard,
        typer.Argument(
            help="datahub: metadata change proposals; openlineage: events of jobs and datasets.",
            show_choices=True,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to a file.")
    ] = None,
    server: Annotated[
        str | None,
        typer.Option("--server", metavar="URL", help="Send to DataHub's metadata service."),
    ] = None,
    token_env: Annotated[
        str,
        typer.Option(
            "--token-env", metavar="NAME", help="The variable that holds the server's token."
        ),
    ] = "DATAHUB_GMS_TOKEN",  # noqa: S107 (a name, not a token)
    fabric: Annotated[
        str, typer.Option("--fabric", metavar="NAME", help="DataHub's environment.")
    ] = "PROD",
    instance: Annotated[
        str | None,
        typer.Option("--instance", metavar="NAME", help="DataHub's platform instance, if any."),
    ] = None,
    indirect: Annotated[
        bool,
        typer.Option("--indirect", help="To DataHub: columns that only filter or join, too."),
    ] = False,
    remove_vanished: Annotated[
        bool,
        typer.Option(
            "--remove-vanished", help="To DataHub: mark as removed what the catalog has lost."
        ),
    ] = False,
) -> None:
    """Export the catalog: to DataHub, or as OpenLineage events."""
    settings = call.settings()
    if standard is Standard.OPENLINEAGE:
        if out is None or server is not None:
            raise ExportError(
                "say where to: --out FILE (runs send their events themselves, see "
                "openlineage.enabled in the settings)"
            )
        report = _openlineage(settings, out)
    else:
        if (out is None) == (server is None):
            raise ExportError("say where to: either --out FILE or --server URL")
        token = os.environ.get(token_env) or None
        options = _options(
            settings, fabric.upper(), instance, indirect=indirect, remove_vanished=remove_vanished
        )
        report = _datahub(settings, out, server or "", token, options)
    if call.json:
        print_json(report)
    else:
        _show(report)


def _openlineage(settings: "Resolved", out: Path) -> "ExportReport":
    from headrace.export.openlineage.catalog_events import to_file
    from headrace.pipeline.catalog import current

    return to_file(settings, current(settings), out)


def _options(
    settings: "Resolved",
    fabric: str,
    instance: str | None,
    *,
    indirect: bool,
    remove_vanished: bool,
) -> "DataHubOptions":
    from headrace.catalog import RunStore
    from headrace.export.datahub.export import (
        DataHubOptions,
        newest_alarms,
        newest_results,
        vanished_assets,
    )
    from headrace.pipeline.catalog import current

    store = RunStore(settings.run_store_url)
    try:
        return DataHubOptions(
            results=newest_results(store),
            fabric=fabric,
            instance=instance,
            indirect=indirect,
            vanished=vanished_assets(store, current(settings)) if remove_vanished else (),
            profiles=store.newest_profiles(),
            alarms=newest_alarms(store),
        )
    finally:
        store.close()


def _datahub(
    settings: "Resolved",
    out: Path | None,
    server: str,
    token: str | None,
    options: "DataHubOptions",
) -> "ExportReport":
    from headrace.export.datahub.export import to_file, to_server
    from headrace.pipeline.catalog import current

    catalog = current(settings)
    if out is not None:
        return to_file(settings, catalog, out, options)
    return to_server(settings, catalog, server, options, token=token)


def _show(report: "ExportReport") -> None:
    for kind, number in report.kinds.items():
        typer.echo(f"{number:>7,}  {kind}")
    typer.echo(f"{report.records:>7,}  records to {report.destination}")
    if report.problems:
        typer.echo(f"{report.problems:>7,}  assets whose column lineage is not wholly known")
