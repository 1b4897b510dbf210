"""What Headrace knows: the graph of assets and columns, its versions, and the history of runs."""

from headrace.artifacts.reading import Reading
from headrace.catalog.changes import Change
from headrace.catalog.model import Asset, Catalog, Column, ColumnEdge, Problem, TestInfo
from headrace.catalog.store import (
    INTERRUPTED,
    RUNNING,
    Failure,
    NodeRun,
    RunDetail,
    RunStore,
    StepRun,
    StoredRun,
    TableRun,
)
from headrace.catalog.versions import CatalogVersion

__all__ = [
    "INTERRUPTED",
    "RUNNING",
    "Asset",
    "Catalog",
    "CatalogVersion",
    "Change",
    "Column",
    "ColumnEdge",
    "Failure",
    "NodeRun",
    "Problem",
    "Reading",
    "RunDetail",
    "RunStore",
    "StepRun",
    "StoredRun",
    "TableRun",
    "TestInfo",
]
