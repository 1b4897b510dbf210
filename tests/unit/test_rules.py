"""How rules are found, switched off and set."""

import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.errors import SettingsError
from headrace.rules import Rule, chosen_rules, find_rules, rule


@rule
def few(numbers: list[int], *, most: int = 2) -> Iterator[str]:
    """There are few numbers."""
    if len(numbers) > most:
        yield f"there are {len(numbers)} numbers"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def module(project: Path, name: str, code: str) -> str:
    (project / f"{name}.py").write_text(f"from headrace.rules import rule\n\n\n{code}")
    return name


EVEN = """@rule
def even(numbers):
    \"\"\"All numbers are even.\"\"\"
    return [f"{number} is odd" for number in numbers if number % 2]
"""


def find(project: Path, *modules: str) -> dict[str, Rule]:
    return find_rules([few], group="headrace.none", modules=modules, root=project)


def test_a_rule_has_a_name_a_description_and_settings() -> None:
    assert (few.name, few.description) == ("few", "There are few numbers.")
    assert few.settings == {"most": 2}
    assert few.problems([1, 2], {}) == []
    assert few.problems([1, 2, 3], {}) == ["there are 3 numbers"]
    assert few.problems([1, 2, 3], {"most": 3}) == []


def test_a_module_of_the_project_adds_rules(project: Path) -> None:
    found = find(project, module(project, "rules_of_numbers", EVEN))
    assert list(found) == ["few", "even"]
    assert found["even"].problems([1, 2], {}) == ["1 is odd"]


def test_an_entry_point_adds_rules(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = module(project, "rules_by_entry_point", EVEN)
    monkeypatch.syspath_prepend(str(project))
    points = [
        importlib.metadata.EntryPoint("one", f"{name}:even", "headrace.numbers"),
        importlib.metadata.EntryPoint("all", name, "headrace.numbers"),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: points)
    assert list(find_rules([], group="headrace.numbers", modules=(), root=project)) == ["even"]


def test_an_error_within_a_rule_is_a_problem(project: Path) -> None:
    code = EVEN.replace("return [", "raise ValueError('no numbers')\n    return [")
    found = find(project, module(project, "rules_that_fail", code))
    assert found["even"].problems([], {}) == [
        "the check even failed at rules_that_fail.py line 7: ValueError: no numbers"
    ]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_package", "the module rules_{} cannot be imported (ModuleNotFoundError"),
        (EVEN.replace("def even", "def few"), "two rules are called few: rename one of them"),
        (EVEN.replace('    """All numbers are even."""', ""), "has no docstring"),
        (EVEN.replace("(numbers)", "(numbers, most)"), "a setting of the rule even has no default"),
    ],
)
def test_a_module_that_cannot_be_used(project: Path, code: str, words: str) -> None:
    name = f"rules_{abs(hash(code))}"
    module(project, name, code)
    with pytest.raises(SettingsError) as caught:
        find(project, name)
    assert words.format(abs(hash(code))) in str(caught.value)


def test_settings_switch_rules_off_and_set_them() -> None:
    rules = {"few": few}
    assert chosen_rules(rules, {}, key="audit.checks") == [(few, {})]
    assert chosen_rules(rules, {"few": True}, key="audit.checks") == [(few, {})]
    assert chosen_rules(rules, {"few": False}, key="audit.checks") == []
    assert chosen_rules(rules, {"few": {"most": "3"}}, key="audit.checks") == [(few, {"most": 3})]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fev": False}, "audit.checks.fev: unknown rule; did you mean 'few'? known: few"),
        ({"few": {"mist": 1}}, "audit.checks.few.mist: unknown setting; did you mean 'most'?"),
        ({"few": {"most": "many"}}, "audit.checks.few.most = 'many': Input should be a valid int"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, bool | dict[str, str]], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        chosen_rules({"few": few}, options, key="audit.checks")
    assert words in str(caught.value)
