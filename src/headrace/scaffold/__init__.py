"""Sources yml and staging models from dlt's schema, and what is new added to those there are."""

from headrace.scaffold.draft import ByHand, FileReport, LeftOut, ScaffoldReport, Vanished
from headrace.scaffold.service import scaffold

__all__ = ["ByHand", "FileReport", "LeftOut", "ScaffoldReport", "Vanished", "scaffold"]
