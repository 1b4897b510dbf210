"""Copies by other answers; more in test_combinations_a.py, so that two cores share them."""

from typing import ClassVar

from combinations import Answers, Combinations
from template_lab import DEMOS


class TestCopies(Combinations):
    SETS: ClassVar[dict[str, Answers]] = {
        "everything": {
            "sources": [*DEMOS, "files", "rest_api", "sql_database"],
            "license": "BSD-3-Clause",
        },
        "depends": {"machinery": "dependency"},
        "depends on little": {
            "sources": ["rest_api"],
            "extras": [],
            "machinery": "dependency",
            "license": "none",
        },
        "web": {"sources": ["web_analytics"], "extras": ["datahub", "learn"]},
    }
    TYPED: ClassVar[set[str]] = {"depends on little"}
