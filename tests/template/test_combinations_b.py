"""Copies by other answers; more in test_combinations_a.py, so that two cores share them."""

from typing import ClassVar

from combinations import Answers, Combinations
from template_lab import DEMOS, EXTRAS


class TestCopies(Combinations):
    SETS: ClassVar[dict[str, Answers]] = {
        "everything": {
            "sources": [*DEMOS, "files", "rest_api", "sql_database"],
            "extras": [*EXTRAS],
            "license": "BSD-3-Clause",
            "machinery": "vendored",
        },
        "little": {"sources": ["rest_api"], "extras": [], "license": "none"},
        "web": {"sources": ["web_analytics"], "extras": ["datahub", "learn"]},
    }
    TYPED: ClassVar[set[str]] = {"little"}
