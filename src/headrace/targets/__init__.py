"""What a target is; one module each."""

from headrace.targets.base import Target, TargetSettings, require_file
from headrace.targets.duckdb import DuckDbSettings, DuckDbTarget

__all__ = ["DuckDbSettings", "DuckDbTarget", "Target", "TargetSettings", "require_file"]
