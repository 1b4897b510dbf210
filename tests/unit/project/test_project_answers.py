"""The answers file, and answers of the command line."""

from pathlib import Path
from typing import Any

import pytest

from headrace.errors import TemplateError
from headrace.project import answers

GOOD = "_commit: v0.1.0\n_src_path: gh:owner/name\nname: é\nsources:\n- a\n- b\n"


def written(folder: Path, text: str | bytes) -> Path:
    content = text if isinstance(text, bytes) else text.encode()
    (folder / answers.FILE).write_bytes(content)
    return folder


def test_answers_without_copiers_own_keys(tmp_path: Path) -> None:
    said = answers.read(written(tmp_path, GOOD))
    assert (said.source, said.commit) == ("gh:owner/name", "v0.1.0")
    assert said.values == {"name": "é", "sources": ["a", "b"]}


@pytest.mark.parametrize("commit", ["12e4567", "1a2b3c4", "v0.1.0-3-g1a2b3c4", "release/1.0+x"])
def test_a_version_is_read_as_copier_reads_it(tmp_path: Path, commit: str) -> None:
    """12e4567 is a number by YAML 1.2, and a text by the 1.1 that copier writes."""
    assert answers.read(written(tmp_path, f"_commit: {commit}\n_src_path: x\n")).commit == commit


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no answers"),
        ("- a\n", "holds no answers"),
        ("a: [\n", r"is not valid YAML \(line 2: "),
        ("<<<<<<< HEAD\n_commit: v1\n=======\n", r"is not valid YAML \(line"),
        (b"a: \xff\n", "is not valid YAML: "),
        ("_commit: v1\n", r"does not say where the template is \(_src_path\)"),
        ("_commit: v1\n_src_path: 7\n", r"does not say where the template is \(_src_path\)"),
        ("_src_path: x\n", r"names no version \(_commit\)"),
        ("_commit: 1.0\n_src_path: x\n", "says 1.0 for _commit, which is not a version"),
        ("_commit: --upload-pack=x\n_src_path: x\n", "which is not a version"),
        ('_commit: "v1\\nv2"\n_src_path: x\n', "which is not a version"),
    ],
)
def test_a_damaged_file_is_told_in_one_line(tmp_path: Path, text: str | bytes, told: str) -> None:
    with pytest.raises(TemplateError, match=told) as error:
        answers.read(written(tmp_path, text))
    assert "\n" not in str(error.value)
    assert "git checkout HEAD -- .copier-answers.yml" in str(error.value)


def test_found_from_a_folder_below(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert answers.find(below) is None
    written(tmp_path, GOOD)
    assert answers.find(below) == tmp_path.resolve()


@pytest.mark.parametrize(
    ("pairs", "sources", "found"),
    [
        ([], None, {}),
        (["a=1", "b=x=y", "c="], None, {"a": "1", "b": "x=y", "c": ""}),
        ([], "shop, jaffle_shop,", {"sources": ["shop", "jaffle_shop"]}),
        ([], "none", {"sources": []}),
        (["sources=[shop]"], None, {"sources": "[shop]"}),
    ],
)
def test_given_answers(pairs: list[str], sources: str | None, found: dict[str, Any]) -> None:
    assert answers.given(pairs, sources=sources) == found


def test_machinery_is_one_of_the_answers_and_is_given_once() -> None:
    assert answers.given([], machinery="vendored") == {"machinery": "vendored"}
    with pytest.raises(TemplateError, match="give machinery once"):
        answers.given(["machinery=vendored"], machinery="vendored")


@pytest.mark.parametrize(
    ("values", "pinned"),
    [
        ({"machinery": "dependency", "headrace_requirement": ""}, True),
        ({"machinery": "dependency", "headrace_requirement": ">=0.1"}, False),
        ({"machinery": "vendored"}, False),
        ({}, False),
    ],
)
def test_what_is_pinned_at_a_commit(values: dict[str, Any], pinned: bool) -> None:
    assert answers.is_pinned(values) is pinned


@pytest.mark.parametrize(
    ("pairs", "sources", "told"),
    [
        (["a"], None, "write it as NAME=VALUE"),
        (["=1"], None, "write it as NAME=VALUE"),
        (["_commit=v1"], None, "write it as NAME=VALUE"),
        (["a=1", "a=2"], None, "gives a twice"),
        (["sources=[shop]"], "shop", "give the sources once"),
    ],
)
def test_given_answers_that_are_none(pairs: list[str], sources: str | None, told: str) -> None:
    with pytest.raises(TemplateError, match=told):
        answers.given(pairs, sources=sources)
