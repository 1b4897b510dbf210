"""The graph of assets and columns, its versions, and the history of runs."""

from headrace.artifacts.reading import Reading
from headrace.catalog.changes import CatalogChange
from headrace.catalog.model import (
    Asset,
    Catalog,
    Column,
    ColumnEdge,
    ColumnLineageProblem,
    TestInfo,
)
from headrace.catalog.store import (
    INTERRUPTED,
    RUNNING,
    NodeFailure,
    NodeRun,
    RunStore,
    StepRun,
    StoredRun,
    StoredRunDetail,
    TableRun,
)
from headrace.catalog.versions import CatalogVersion

__all__ = [
    "INTERRUPTED",
    "RUNNING",
    "Asset",
    "Catalog",
    "CatalogChange",
    "CatalogVersion",
    "Column",
    "ColumnEdge",
    "ColumnLineageProblem",
    "NodeFailure",
    "NodeRun",
    "Reading",
    "RunStore",
    "StepRun",
    "StoredRun",
    "StoredRunDetail",
    "TableRun",
    "TestInfo",
]
