"""Profiles of tables: what is in them, how it belongs together, and what a reader should know."""

from headrace.quality.profile.model import Finding, TableProfile, TestProposal
from headrace.quality.profile.relations import KeyOfTable, is_likely_key
from headrace.quality.profile.service import compare, keys_of, profile_table

__all__ = [
    "Finding",
    "KeyOfTable",
    "TableProfile",
    "TestProposal",
    "compare",
    "is_likely_key",
    "keys_of",
    "profile_table",
]
