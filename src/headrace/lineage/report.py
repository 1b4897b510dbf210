"""What a question about lineage returns: the same model to the command line, the page and REST."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Direction = Literal["upstream", "downstream", "both"]


class FrozenModel(BaseModel):
    """A part of a report."""

    model_config = ConfigDict(frozen=True)


class LineageProblem(FrozenModel):
    """A place on the way where the column lineage is not known.

    Attributes:
        asset: id.
        message: one sentence.
    """

    asset: str
    message: str


class LineageNode(FrozenModel):
    """An asset on the way.

    Attributes:
        id: of the asset.
        kind: ``model``, ``table``, ... (``AssetKind``).
        name: short.
        relation: ``schema.identifier``, or None.
        distance: assets from the root; negative upstream, 0 for the root itself.
        columns: that are on the way, in the asset's order; empty at table level.
        rows: whether the choice of its rows is on the way (column level).
        pii: of ``columns`` (at table level: of all its columns) those with personal data.
        owners: names or addresses.
    """

    id: str
    kind: str
    name: str
    relation: str | None
    distance: int
    columns: tuple[str, ...] = ()
    rows: bool = False
    pii: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()


class LineageLink(FrozenModel):
    """One step from a parent to a child.

    Attributes:
        parent: id.
        parent_column: None at table level; at column level None is the parent's rows.
        child: id.
        child_column: None at table level; at column level None is the child's rows.
        kind: an ``EdgeKind``; ``reads`` at table level, from rows to rows, and of exposures.
    """

    parent: str
    parent_column: str | None
    child: str
    child_column: str | None
    kind: str


class LineageGraph(FrozenModel):
    """All that a node or column is made from, or that is made from it.

    Attributes:
        root: id of the asset asked for.
        column: the column asked for, or None for the table level.
        direction: as asked.
        depth: as asked; None is without end.
        nodes: by distance, then id; the root is among them.
        links: sorted.
        problems: assets on the way, or next to it, whose column lineage is not known: the graph
            may lack what leads through them.
        truncated: whether ``depth`` left something out.
    """

    root: str
    column: str | None
    direction: Direction
    depth: int | None
    nodes: tuple[LineageNode, ...]
    links: tuple[LineageLink, ...]
    problems: tuple[LineageProblem, ...] = ()
    truncated: bool = False


class ImpactItem(FrozenModel):
    """An asset that a change reaches.

    Attributes:
        id: of the asset.
        kind: ``AssetKind``.
        name: short.
        relation: ``schema.identifier``, or None.
        distance: assets from the one asked for.
        columns: its columns that are reached, in its order; empty when it has none (a test).
        rows: whether which rows it has is reached.
        why: of what breaks: one phrase that says why.
        owners: names or addresses.
    """

    id: str
    kind: str
    name: str
    relation: str | None
    distance: int
    columns: tuple[str, ...] = ()
    rows: bool = False
    why: str | None = None
    owners: tuple[str, ...] = ()


class OwnerToTell(FrozenModel):
    """Somebody who owns something that is reached.

    Attributes:
        owner: name or address.
        assets: ids of what they own of it, sorted.
    """

    owner: str
    assets: tuple[str, ...]


class ImpactReport(FrozenModel):
    """What happens if a column, or a whole node, goes.

    Attributes:
        asset: id of the asset asked for.
        column: the column asked for, or None for the whole node.
        breaks: models, snapshots and tests that fail, nearest first.
        affected: all other assets downstream whose values or rows depend on it, nearest first.
        exposures: reached, nearest first.
        owners: of all of these, sorted.
        counts: ``breaks``, ``affected``, ``affected_columns``, ``exposures``, ``tests`` (of
            ``breaks`` and ``affected``), ``owners``.
        problems: where the column lineage is not known: more may be reached.
    """

    asset: str
    column: str | None
    breaks: tuple[ImpactItem, ...]
    affected: tuple[ImpactItem, ...]
    exposures: tuple[ImpactItem, ...]
    owners: tuple[OwnerToTell, ...]
    counts: dict[str, int]
    problems: tuple[LineageProblem, ...] = ()
