"""Column lineage of a whole catalog: every asset's columns, and what they are made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from headrace.catalog.model import Catalog, ColumnEdge, LineageProblem


@dataclass(frozen=True)
class ColumnLineage:
    """What was found.

    Attributes:
        edges: sorted by child.
        columns: asset id to the columns that its SQL yields, where that could be read.
        problems: what could not be told.
        lookups: asset id to those of its parents whose rows decide none of its rows.
        read: statements that were parsed.
        reused: statements that the cache knew.
    """

    edges: tuple[ColumnEdge, ...]
    columns: Mapping[str, tuple[str, ...]]
    problems: tuple[LineageProblem, ...]
    lookups: Mapping[str, tuple[str, ...]]
    read: int
    reused: int


def column_lineage(
    catalog: Catalog, *, dialect: str, cache: Path | None = None, workers: int | None = None
) -> ColumnLineage:
    """Which columns each column of the catalog is made from, and how.

    Models, snapshots and tests by their compiled SQL; raw tables by what dlt says of them.
    Exposures have no edges of columns: they read every column of their parents.

    Args:
        catalog: its column edges are not looked at.
        dialect: sqlglot's name of the SQL: ``duckdb``, ``postgres``, ``snowflake``, ...
        cache: a directory that keeps what was read, so that a second run reads only statements
            that changed; it is made if need be.
        workers: processes that read SQL; None: as many as pay.
    """
    from headrace.lineage.dlt_edges import seam_edges
    from headrace.lineage.project import Project

    project = Project(catalog)
    read, reused = project.summarize(dialect, cache=cache, workers=workers)
    project.resolve()
    edges = [*project.edges, *seam_edges(catalog)]
    edges.sort(key=attrgetter("child", "child_column", "parent", "parent_column", "kind"))
    return ColumnLineage(
        tuple(edges),
        project.columns,
        tuple(project.problems),
        project.lookups,
        read=read,
        reused=reused,
    )
