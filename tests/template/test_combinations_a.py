"""Copies by other answers; more in test_combinations_b.py, so that two cores share them."""

from typing import ClassVar

from combinations import Answers, Combinations


class TestCopies(Combinations):
    SETS: ClassVar[dict[str, Answers]] = {
        "shop-and-web": {"sources": ["shop", "web_analytics"]},
        "all defaults": {},
        "own-sources": {
            "sources": ["files", "rest_api", "sql_database"],
            "extras": ["postgres", "openlineage"],
        },
        # all that can be left out; and a name that has to be made from the folder's
        "Müller & Söhne": {
            "project_description": 'Zahlen von "Müller"',
            "extras": [],
            "license": "MIT",
            "machinery": "vendored",
            "license_holder": "Müller & Söhne",
        },
        "nothing": {"sources": [], "extras": [], "license": "none"},
    }
    TYPED: ClassVar[set[str]] = {"own-sources"}
    RUN: ClassVar[set[str]] = {"all defaults"}
