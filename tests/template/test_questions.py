"""What is answered wrongly is refused with what to write instead; defaults are made to fit."""

import re
import shutil
from importlib.metadata import version
from pathlib import Path

import copier
import pytest
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML
from template_lab import ROOT, commit, git, needs_git

from headrace.project.copier_calls import less_repeated

pytestmark = needs_git


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The questions alone, as a template of one file: a copy takes no time."""
    folder = tmp_path_factory.mktemp("questions") / "template"
    folder.mkdir()
    for name in (
        "copier.yml",
        "copier-slug.jinja",
        "uv.lock",
        "{{_copier_conf.answers_file}}.jinja",
    ):
        shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "questions")
    git(folder, "tag", "v1.0.0")
    return folder


def ask(questions: Path, destination: Path, **answers: object) -> dict[str, object]:
    """The answers that a copy remembers."""
    with less_repeated():
        copier.run_copy(str(questions), destination, data=answers, defaults=True, quiet=True)
    text = (destination / ".copier-answers.yml").read_text(encoding="utf-8")
    found: dict[str, object] = YAML(typ="safe").load(text)
    return {name: answer for name, answer in found.items() if not name.startswith("_")}


def test_defaults(questions: Path, tmp_path: Path) -> None:
    assert ask(questions, tmp_path / "shop-data") == {
        "project_name": "shop-data",
        "project_description": "A data platform: dlt loads, dbt builds and tests, "
        "what passed is published in one atomic step.",
        "sources": ["jaffle_shop"],
        "extras": ["serve"],
        "license": "Apache-2.0",
        "machinery": "dependency",
        "headrace_requirement": "",
    }
    assert ask(questions, tmp_path / "headrace")["machinery"] == "vendored"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("crm", "crm"),
        ("My Data", "my-data"),
        ("Müller & Söhne", "muller-sohne"),
        ("2024_sales.v2", "sales-v2"),
        ("数据", "my-project"),
        ("dlt", "dlt-project"),
        ("class", "class-project"),
        ("x" * 60, "x" * 50),
        ("a" * 49 + "-b", "a" * 49),
    ],
)
def test_the_name_is_made_from_the_folders(
    questions: Path, tmp_path: Path, folder: str, name: str
) -> None:
    assert ask(questions, tmp_path / folder)["project_name"] == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("My Data", "such as my-data"),
        ("données", "such as donnees"),
        ("数据", "such as my-project"),
        ("my_data", "such as my-data"),
        ("-data", "such as data"),
        ("my--data", "such as my-data"),
        ("data\n", "such as data"),
        ("", "such as my-project"),
        ("9", "such as my-project"),
        ("a" * 51, "50 at most"),
        ("duckdb", "take another one, such as duckdb-project"),
        ("dbt-core", "take another one, such as dbt-core-project"),
        ("class", "take another one, such as class-project"),
        ("con", "take another one, such as con-project"),
    ],
)
def test_a_bad_name_is_refused(questions: Path, tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        ask(questions, tmp_path / "copy", project_name=name)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"sources": ["jaffle_shop", "oracle"]}, "oracle' is not in"),
        ({"extras": ["everything"]}, "everything' is not in"),
        ({"license": "GPL"}, "GPL' is not in"),
        ({"machinery": "submodule"}, "submodule' is not in"),
        ({"project_description": "two\nlines"}, "write one line"),
        ({"project_description": " "}, "write one line"),
        ({"project_description": "{{ 1 }}"}, "leave out double braces"),
        ({"license": "MIT", "license_holder": ""}, "write the name"),
        (
            {"machinery": "dependency", "project_name": "headrace"},
            "take another project_name",
        ),
        ({"machinery": "dependency", "headrace_requirement": "0.1"}, "begin with a comparison"),
        ({"machinery": "dependency", "headrace_requirement": '>=1"'}, "begin with a comparison"),
    ],
)
def test_a_bad_answer_is_refused(
    questions: Path, tmp_path: Path, answers: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        ask(questions, tmp_path / "copy", **answers)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    "requirement", ["", ">=0.1,<0.2", "==0.1.0", "@ git+https://example.com/a.git"]
)
def test_a_requirement_is_taken(questions: Path, tmp_path: Path, requirement: str) -> None:
    given = ask(
        questions, tmp_path / "copy", machinery="dependency", headrace_requirement=requirement
    )
    assert given["headrace_requirement"] == requirement


def test_this_copier_is_new_enough() -> None:
    found = YAML(typ="safe").load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    assert version("copier") in SpecifierSet(f">={found['_min_copier_version']}")


def test_nothing_asks_for_trust() -> None:
    found = YAML(typ="safe").load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    assert not {"_tasks", "_migrations", "_jinja_extensions"} & set(found)
