"""Generate a schema file's tables into a directory, or its dbt sources file."""

import io
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from headrace.synth import draw_text, pools
from headrace.synth.errors import SynthError
from headrace.synth.files import Format
from headrace.synth.plan import TablePlan, walk_fields
from headrace.synth.population import from_us
from headrace.synth.schema.fields import AnyField, Categorical, ForeignKey, Unique
from headrace.synth.view import View
from headrace.synth.world import World
from headrace.synth.writer import BegunListener, Progress, Share, Writer, Written

if TYPE_CHECKING:
    from headrace.synth.faults import Overlay


@dataclass(frozen=True, slots=True)
class Generated:
    """What one call wrote.

    Attributes:
        tables: what was written of each.
        directory: where.
        seed: of the world.
        scale: of the world.
        as_of: as of when, UTC.
        since: the time after which rows changed, UTC; None for a snapshot.
        share: which part.
        evolves: whether any table does; otherwise as_of makes no difference.
        frozen: pools that were drawn from Faker and written beside the schema file.
        unfrozen: generators whose pools could not be written there: another Faker may change them.
        manifest: the file that names the faults' rows, if there are faults.
        seconds: how long it took.
    """

    tables: tuple[Written, ...]
    directory: Path
    seed: int
    scale: float
    as_of: datetime
    since: datetime | None
    share: Share
    evolves: bool
    frozen: tuple[Path, ...]
    unfrozen: tuple[str, ...]
    manifest: Path | None
    seconds: float

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(table.rows for table in self.tables)


def generate(
    schema: Path,
    out: Path,
    *,
    kind: Format = "parquet",
    seed: int | None = None,
    scale: float = 1.0,
    as_of: datetime | None = None,
    since: datetime | None = None,
    share: Share | None = None,
    tables: tuple[str, ...] = (),
    group: str | None = None,
    faults: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    begun: BegunListener | None = None,
) -> Generated:
    """Write the tables of a schema file.

    Args:
        schema: the schema file.
        out: the directory; made where there is none. Tables that are written replace those of
            an earlier call.
        kind: parquet (snappy), or csv.
        seed: the schema file's without it.
        scale: multiplies counts and rates.
        as_of: as of when, UTC; the schema file's without it, else the beginning of today.
        since: only rows that changed after this timestamp.
        share: one of several equal parts.
        tables: only these.
        group: only tables of this group.
        faults: what to overlay: a file, or kind:table.column:argument; besides those of the
            schema file.
        threads: as many as there are cores without it. The bytes do not depend on it.
        progress: is told of rows as they are written.
        begun: is told, before the first row, about how many each table will have.

    Raises:
        SynthError: the schema file is wrong, or something that was asked for cannot be had;
            nothing was written.
    """
    started = time.monotonic()
    world = World.from_file(schema, seed=seed, scale=scale)
    view = View.of(world, as_of)
    if since is not None:
        if not world.evolves:
            raise SynthError(
                f"{schema.name} has no table that comes into being over time: --since needs a "
                "datetime with distribution: rate"
            )
        view = view.delta(since)
    plans = _selected(world, tables, group)
    overlay = _overlay(view, faults)
    writer = Writer(
        view, out, kind=kind, share=share, threads=threads, overlay=overlay, progress=progress
    )
    if begun is not None:
        begun({plan.name: writer.expected(plan) for plan in plans})
    frozen, unfrozen = _freeze(world)
    written = writer.write(plans)
    manifest = None
    if overlay is not None:
        manifest = out / writer.named("_faults", ".parquet")
        overlay.manifest().write(manifest)
    return Generated(
        tables=tuple(written),
        directory=out,
        seed=world.seed,
        scale=scale,
        as_of=from_us(view.as_of),
        since=None if view.since is None else from_us(view.since),
        share=writer.share,
        evolves=world.evolves,
        frozen=tuple(frozen),
        unfrozen=tuple(unfrozen),
        manifest=manifest,
        seconds=time.monotonic() - started,
    )


def describe(
    schema: Path, name: str, *, tables: tuple[str, ...] = (), group: str | None = None
) -> str:
    """The text of a dbt sources file, ``_<name>__sources.yml``, for a schema file.

    Descriptions are copied; ``pii`` becomes ``config.meta.pii``. Primary keys get the tests unique
    and not_null, foreign keys relationships, and not_null where each row has a parent.

    Args:
        schema: the schema file.
        name: of the dbt source; its schema is ``<name>_raw``.
        tables: only these.
        group: only tables of this group.

    Raises:
        SynthError: the schema file is wrong, or has no such table or group.
    """
    world = World.from_file(schema)
    plans = _selected(world, tables, group)
    source: dict[str, Any] = {"name": name, "schema": f"{name}_raw"}
    if world.schema.description:
        source["description"] = world.schema.description
    written = {plan.name for plan in plans}
    source["tables"] = [_source_table(plan, name, written) for plan in plans]
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 96
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    yaml.dump({"sources": [source]}, text)
    return text.getvalue()


def _source_table(plan: TablePlan, source: str, written: set[str]) -> dict[str, Any]:
    table: dict[str, Any] = {"name": plan.name}
    if plan.table.description:
        table["description"] = plan.table.description
    key = plan.table.key
    table["columns"] = [
        _source_column(column, plan.table.fields[column], source, written, is_key=key == (column,))
        for column in plan.columns
    ]
    return table


def _source_column(
    name: str, item: AnyField, source: str, written: set[str], *, is_key: bool
) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name}
    if item.description:
        column["description"] = item.description
    if item.pii:
        column["config"] = {"meta": {"pii": item.pii}}
    tests: list[Any] = ["unique", "not_null"] if is_key else []
    if isinstance(item, ForeignKey) and item.table in written:
        if not item.may_be_null and not is_key:
            tests.append("not_null")
        arguments = {"to": f"source('{source}', '{item.table}')", "field": item.column}
        tests.append({"relationships": {"arguments": arguments}})
    if tests:
        column["data_tests"] = tests
    return column


def _selected(world: World, tables: tuple[str, ...], group: str | None) -> list[TablePlan]:
    known = {plan.name: plan for plan in world.tables}
    for name in tables:
        if name not in known:
            raise SynthError(f"--table {name}: no such table; there are {', '.join(known)}")
    groups = sorted({plan.table.group for plan in world.tables if plan.table.group})
    if group is not None and group not in groups:
        raise SynthError(f"--group {group}: no such group; there are {', '.join(groups) or 'none'}")
    return [
        plan
        for plan in world.tables
        if (not tables or plan.name in tables) and (group is None or plan.table.group == group)
    ]


def _overlay(view: View, spec: str | None) -> "Overlay | None":
    if spec is None and not view.world.schema.faults:
        return None
    from headrace.synth.faults import Overlay, faults_of, parse_spec

    faults = faults_of(view)
    if spec is not None:
        faults = [*faults, *parse_spec(spec, view)]
    return Overlay(view, faults)


def _freeze(world: World) -> tuple[list[Path], list[str]]:
    """Write pools that only Faker knows beside the schema file, as a lock file does."""
    frozen: list[Path] = []
    unfrozen: list[str] = []
    for plan in world.tables:
        for _, item in walk_fields(plan.table.fields):
            if not isinstance(item, Unique | Categorical):
                continue
            locale, beside = world.home(plan, item.locale)
            for name in draw_text.pools_of(item):
                if pools.is_frozen(name, locale, beside):
                    continue
                label = f"faker.{name} ({locale})"
                try:
                    if beside is None:
                        raise OSError
                    frozen.append(pools.freeze(name, locale, beside / "pools"))
                except OSError:
                    if label not in unfrozen:
                        unfrozen.append(label)
    return frozen, unfrozen
