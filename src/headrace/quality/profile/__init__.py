"""Profiles of tables: what is in them, how it belongs together, and what a reader should know."""

from headrace.quality.profile.model import TableProfile
from headrace.quality.profile.personal import without_values
from headrace.quality.profile.quick import profile_quickly
from headrace.quality.profile.relations import KeyOfTable, is_likely_key
from headrace.quality.profile.service import compare, keys_of, profile_table

__all__ = [
    "KeyOfTable",
    "TableProfile",
    "compare",
    "is_likely_key",
    "keys_of",
    "profile_quickly",
    "profile_table",
    "without_values",
]
