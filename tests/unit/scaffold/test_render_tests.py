"""Generic tests in a yml: which an entry has, and how others are added to it."""

import pytest

from headrace.scaffold.plan import GenericTest
from headrace.scaffold.render import more_tests, names_of_tests
from headrace.yaml_editor import ListItem, MappingKey

NEW = (GenericTest("unique"), GenericTest("relationships", (("to", "ref('a')"),), warns=True))


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ({}, set()),
        ({"data_tests": None}, set()),
        ({"tests": ["unique"]}, {"unique"}),
        ({"data_tests": [{"name": "mine", "test_name": "unique"}, {"not_null": {}}]},
         {"unique", "not_null"}),
    ],
)  # fmt: skip
def test_a_test_of_a_name_of_its_own_is_known(entry: dict[str, object], names: set[str]) -> None:
    assert names_of_tests(entry) == names


def test_tests_are_added_as_a_key_or_after_the_last() -> None:
    ((edit, label, added),) = more_tests({}, ("models", 0), NEW, "a")
    assert isinstance(edit, MappingKey)
    assert edit.lines == (
        "data_tests:", "  - unique", "  - relationships:", "      arguments:",
        "        to: ref('a')", "      config:", "        severity: warn",
    )  # fmt: skip
    assert (label, added) == ("tests unique and relationships of a", NEW)
    first, second = more_tests({"tests": ["not_null"]}, ("models", 0), NEW, "a")
    assert isinstance(first[0], ListItem)
    assert (first[0].path, first[0].after, first[1]) == (
        ("models", 0, "tests"), 0, "test unique of a",
    )  # fmt: skip
    assert second[2] == NEW[1:]
