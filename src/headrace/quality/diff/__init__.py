"""The differences between two DuckDB files, table by table, computed by DuckDB."""

from headrace.quality.diff.report import DiffReport, TableDiff
from headrace.quality.diff.service import diff
from headrace.quality.diff.side import DiffOptions, Side

__all__ = ["DiffOptions", "DiffReport", "Side", "TableDiff", "diff"]
