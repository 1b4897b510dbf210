"""Typed readers of dbt's and dlt's artifacts."""

from headrace.artifacts.dbt_catalog import DbtCatalog
from headrace.artifacts.dbt_manifest import (
    Exposure,
    Manifest,
    NodeGroup,
    SourceNode,
    UnitTest,
    load_manifest,
    read_manifest,
)
from headrace.artifacts.dbt_nodes import ColumnInfo, Node
from headrace.artifacts.dbt_results import RunResult, RunResults, SourceResults
from headrace.artifacts.dlt_load import DltState, LoadPackage
from headrace.artifacts.dlt_schema import DltColumn, DltSchema, DltTable
from headrace.artifacts.dlt_trace import DltTrace, dump_trace
from headrace.artifacts.project_artifacts import (
    Artifacts,
    DltArtifacts,
    read_artifacts,
    read_pipeline,
)
from headrace.artifacts.reading import Read, Reading

__all__ = [
    "Artifacts",
    "ColumnInfo",
    "DbtCatalog",
    "DltArtifacts",
    "DltColumn",
    "DltSchema",
    "DltState",
    "DltTable",
    "DltTrace",
    "Exposure",
    "LoadPackage",
    "Manifest",
    "Node",
    "NodeGroup",
    "Read",
    "Reading",
    "RunResult",
    "RunResults",
    "SourceNode",
    "SourceResults",
    "UnitTest",
    "dump_trace",
    "load_manifest",
    "read_artifacts",
    "read_manifest",
    "read_pipeline",
]
