"""What a target is; one module each."""

from headrace.targets.base import (
    Capabilities,
    RemoteTarget,
    Target,
    TargetSettings,
    reading,
)
from headrace.targets.duckdb import DuckDbSettings, DuckDbTarget
from headrace.targets.publication import BuiltTable, Publication, PublishedTable, Publisher

__all__ = [
    "BuiltTable",
    "Capabilities",
    "DuckDbSettings",
    "DuckDbTarget",
    "Publication",
    "PublishedTable",
    "Publisher",
    "RemoteTarget",
    "Target",
    "TargetSettings",
    "reading",
]
