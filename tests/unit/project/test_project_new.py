"""A project is copied whole, or not at all."""

import os
import shutil
from pathlib import Path

import pytest
from project_bench import FIRST, Repository, needs_git, posix_only, repository

from headrace.errors import TemplateError
from headrace.project import answers
from headrace.project.new import NewRequest, new

pytestmark = needs_git


def test_the_copy_is_locked_and_committed(
    uv: None, template: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[str] = []
    report = new(NewRequest(Path("my project é"), str(template.root)), told.append)
    made = Repository(tmp_path / "my project é")
    assert report.project == str(made.root)
    assert (report.version, report.asked) == (FIRST, False)
    assert [(each.name, each.value) for each in report.answers] == [
        ("project_name", "my-project-é"),
        ("sources", ["jaffle_shop", "shop"]),
    ]
    assert report.lock.status == "locked"
    assert made.read("uv.lock") == made.read("pyproject.toml")
    assert report.repository.status == "committed"
    assert made.status() == {}
    assert made.git("log", "--format=%an: %s%d").strip() == (
        "A. Tester: Start from Headrace v0.1.0 (HEAD -> main)"
    )
    assert report.next_steps[0] in ("cd 'my project é'", 'cd "my project é"')
    assert report.notes == ()
    assert told == ["copying the template", "uv lock"]
    assert answers.read(made.root).source == str(template.root)


def test_where_git_knows_nobody_the_first_commit_is_headraces(
    template: Repository, tmp_path: Path, git_config: Path
) -> None:
    """Nor do the user's hooks and signing key matter."""
    hooks = git_config.parent / "hooks"
    hooks.mkdir()
    for name in ("pre-commit", "commit-msg", "post-commit"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    git_config.write_text(
        f"[core]\n\thooksPath = {hooks.as_posix()}\n[commit]\n\tgpgSign = true\n"
        "[gpg]\n\tprogram = false\n"
    )
    report = new(NewRequest(tmp_path / "it", str(template.root), lock=False))
    assert report.repository.status == "committed"
    assert "git does not know your name" in report.notes[0]
    assert Repository(tmp_path / "it").git("log", "--format=%an").strip() == "Headrace"


def test_no_repository_within_a_repository(template: Repository, tmp_path: Path) -> None:
    around = repository(tmp_path / "around")
    around.write(".gitignore", "ignored/\n")
    around.commit("first")
    report = new(NewRequest(around.root / "it", str(template.root), lock=False))
    assert report.repository.status == "inside"
    assert str(around.root) in report.repository.detail
    assert not (around.root / "it" / ".git").exists()
    # such as a home folder in git that ignores all but a few files
    report = new(NewRequest(around.root / "ignored" / "it", str(template.root), lock=False))
    assert report.repository.status == "committed"


def test_a_folder_without_git_can_be_copied(
    template: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(template.root / ".git")
    request = NewRequest(tmp_path / "it", str(template.root), lock=False, repository=False)
    report = new(request)
    assert (report.version, report.repository.status) == ("", "skipped")
    assert "needs a template with versions" in report.notes[0]
    with pytest.raises(TemplateError, match="the template was a folder without git"):
        answers.read(tmp_path / "it")
    monkeypatch.setenv("PATH", str(template.root))
    report = new(NewRequest(tmp_path / "that", str(template.root), lock=False))
    assert report.repository.detail == "git is not installed: `headrace update` needs one"


def test_what_is_not_committed_in_the_template_is_not_copied(
    template: Repository, tmp_path: Path
) -> None:
    """Else the project would be of a commit that nobody has, and could never be updated."""
    template.write("machinery/draft.txt", "x")
    request = NewRequest(tmp_path / "it", str(template.root), ref="HEAD", lock=False)
    report = new(request)
    assert not (tmp_path / "it" / "machinery" / "draft.txt").exists()
    assert report.version == FIRST
    assert report.notes == ("what is not committed in the template's checkout is not in the copy",)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"project_name": "a b"}, "^project_name: write it without spaces$"),
        ({"sources": "[shop, nope]"}, r"^sources: 'nope' is none of \['jaffle_shop', 'shop'\]$"),
        ({"sources": "shop"}, r"^a list is written as --data 'NAME=\[one, two\]', not as 'shop'$"),
        ({"name": "x"}, "^the template asks no question name; it asks project_name, sources$"),
        ({"slug": "x"}, "^the template asks no question slug; it asks project_name, sources$"),
    ],
)
def test_a_wrong_answer_leaves_nothing(
    template: Repository, tmp_path: Path, data: dict[str, str], told: str
) -> None:
    with pytest.raises(TemplateError, match=told):
        new(NewRequest(tmp_path / "a" / "it", str(template.root), data=data))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["template"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (".copier-answers.yml.jinja", None, "is not a Headrace template"),
        ("copier.yml", "_min_copier_version: '99'\n", "requires Copier version >= 99"),
        ("copier.yml", "a: [\n", r"copier\.yml"),
        ("copier.yml", "_tasks: [rm x]\n", "wants to run commands of its own"),
        ("x.txt.jinja", "{{ nothing.at.all }}", "'nothing' is undefined"),
        ("x.txt.jinja", "{% if %}", "Expected an expression"),
    ],
)
def test_a_wrong_template_leaves_nothing(
    template: Repository, tmp_path: Path, name: str, content: str | None, told: str
) -> None:
    if content is None:
        (template.root / name).unlink()
    else:
        template.write(name, content)
    template.commit("wrong", "v0.1.1")
    with pytest.raises(TemplateError, match=told) as error:
        new(NewRequest(tmp_path / "it", str(template.root)))
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["template"]


@posix_only
def test_a_lock_that_fails_leaves_the_project(
    template: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV", str(tmp_path / "gone"))
    monkeypatch.setenv("PATH", os.path.dirname(shutil.which("git") or ""))  # noqa: PTH120
    report = new(NewRequest(tmp_path / "it", str(template.root)))
    assert report.lock.status in ("failed", "locked")
    assert Repository(tmp_path / "it").status() == {}
