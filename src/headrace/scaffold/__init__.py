"""The sources yml and staging models of a source, written and extended from dlt's schema."""

from headrace.scaffold.draft import ByHand, FileReport, LeftOut, ScaffoldReport, Vanished
from headrace.scaffold.service import scaffold

__all__ = ["ByHand", "FileReport", "LeftOut", "ScaffoldReport", "Vanished", "scaffold"]
