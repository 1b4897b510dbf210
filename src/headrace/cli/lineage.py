"""``headrace lineage``: upstream and downstream of a column, its impact, and the proof."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.options import ArtifactsDir, Call, print_json, shared_options
from headrace.errors import LineageError

if TYPE_CHECKING:
    from headrace.catalog.model import Catalog
    from headrace.lineage.find import NodeRef
    from headrace.lineage.report import Direction
    from headrace.settings import Resolved

Nodes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NODE[.COLUMN]", help="A model, raw table, dlt resource, ... or a column of it."
    ),
]


@shared_options()
def lineage(
    call: Call,
    nodes: Nodes = None,
    upstream: Annotated[
        bool, typer.Option("--upstream", help="Only what it is made from.")
    ] = False,
    downstream: Annotated[
        bool, typer.Option("--downstream", help="Only what is made from it.")
    ] = False,
    depth: Annotated[
        int | None, typer.Option("--depth", metavar="N", min=1, help="So many assets away at most.")
    ] = None,
    direct: Annotated[
        bool,
        typer.Option("--direct", help="Of a column: only values that flow, not what decides."),
    ] = False,
    tests: Annotated[bool, typer.Option("--tests", help="Show tests, too.")] = False,
    impact: Annotated[
        bool, typer.Option("--impact", help="What breaks if it goes, and whom to tell.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Check all lineage, or that around NODE…, against the data."),
    ] = False,
    rows: Annotated[
        int | None,
        typer.Option(
            "--rows",
            metavar="N",
            min=1,
            max=10_000_000,
            help="With --verify: of each raw table at most; 1000 by default.",
        ),
    ] = None,
    artifacts: ArtifactsDir = None,
) -> None:
    """Show what a column or node is made from, and what uses it. With --verify, prove it."""
    names = nodes or []
    walk = {"--upstream": upstream, "--downstream": downstream, "--depth": depth is not None,
            "--direct": direct, "--tests": tests}  # fmt: skip
    if verify:
        _refuse("--verify", {**walk, "--impact": impact, "--artifacts": artifacts is not None})
        _verify(call.settings(), names, rows=rows, json=call.json)
        return
    _refuse("without --verify", {"--rows": rows is not None}, verb="means nothing")
    if len(names) != 1:
        raise LineageError(
            "name one node, like orders, or one column, like orders.order_id"
            + (f"; {len(names)} were given" if names else "")
        )
    if impact:
        _refuse("--impact", walk)
        with call.catalog_settings(artifacts) as settings:
            _impact(settings, names[0], json=call.json)
        return
    if upstream and downstream:
        raise LineageError("--upstream and --downstream exclude each other; without either, both")
    way: Direction = "upstream" if upstream else "downstream" if downstream else "both"
    from headrace.lineage.trace import trace
    from headrace.pipeline.catalog import current

    with call.catalog_settings(artifacts) as settings:
        catalog = current(settings)
    place = _find(catalog, names[0])
    if direct and place.column is None:
        raise LineageError("--direct goes with a column, like orders.order_id")
    graph = trace(catalog, place, direction=way, depth=depth, indirect=not direct, tests=tests)
    if call.json:
        print_json(graph)
        return
    from headrace.cli.render_lineage import show_graph

    show_graph(graph)


def _find(catalog: "Catalog", name: str) -> "NodeRef":
    """The place of a name; says which version of a model it is where the name does not."""
    from headrace.lineage.find import find, version_meant

    place = find(catalog, name)
    said = version_meant(catalog, name, place)
    if said is not None:
        typer.echo(said, err=True)
    return place


def _refuse(option: str, others: dict[str, bool], verb: str = "does not go") -> None:
    given = [name for name, is_given in others.items() if is_given]
    if given:
        joint = "" if verb == "means nothing" else "with "
        raise LineageError(f"{' and '.join(given)} {verb} {joint}{option}")


def _impact(settings: "Resolved", name: str, *, json: bool) -> None:
    from headrace.lineage.impact import impact
    from headrace.pipeline.catalog import current

    catalog = current(settings)
    report = impact(catalog, _find(catalog, name))
    if json:
        print_json(report)
        return
    from headrace.cli.render_lineage import show_impact

    show_impact(report)


def _verify(settings: "Resolved", names: list[str], *, rows: int | None, json: bool) -> None:
    from headrace.cli.render_lineage import VerifyScreen
    from headrace.lineage.verify import ROWS, VerifyOptions, in_duckdb, verify, warehouse_alias
    from headrace.pipeline import lock
    from headrace.pipeline.catalog import current

    target = settings.target
    catalog = in_duckdb(current(settings), target.dialect)
    places = [_find(catalog, name) for name in names]
    if not target.exists():
        raise LineageError(
            f"there is no data to check against, {target.location} is not there: run "
            "`headrace run` first"
        )
    marts = [
        key
        for key, asset in catalog.assets.items()
        if asset.kind == "model" and asset.schema in settings.settings.publish.schemas
    ]
    with VerifyScreen(quiet=json) as screen:
        report = verify(
            catalog,
            lambda connection: target.attach(connection, warehouse_alias()),
            only=places,
            options=VerifyOptions(
                rows=rows or ROWS, workers=min(4, os.cpu_count() or 2), marts=marts
            ),
            guard=lock.hold(target, "headrace lineage --verify"),
            progress=screen.advance,
        )
    if json:
        print_json(report)
    else:
        screen.summary(report)
    if not report.ok:
        raise typer.Exit(1)
