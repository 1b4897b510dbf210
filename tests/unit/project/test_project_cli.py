"""``headrace new`` and ``headrace update`` as a person, or a program, sees them."""

import json
import re
from pathlib import Path

import pytest
from project_bench import FIRST, Repository, needs_git, posix_only
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.errors import TemplateError

pytestmark = [needs_git, posix_only, pytest.mark.usefixtures("uv")]


def call(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    lines = result.output.splitlines()
    if "--json" not in words:
        assert all(len(line) <= 100 or "/" in line for line in lines)
        assert all(line == line.rstrip() for line in lines)
    return result.output


def test_new_tells_what_was_chosen_and_what_is_next(
    template: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = call("new", "it", "--template", "template", "--sources", "shop", "--defaults")
    # the first line holds paths, and is wrapped where they are long
    first, rest = text.split("✓ answers", 1)
    assert " ".join(first.split()) == f"✓ {tmp_path}/it: copied from {template.root}, v0.1.0"
    assert rest == (
        " (not asked: the defaults, but for what was given):\n"
        "    project_name  it\n"
        "    sources       shop\n"
        "✓ uv.lock is in line with pyproject.toml\n"
        "✓ git: first commit 'Start from Headrace v0.1.0'\n"
        "next:\n"
        "      cd it\n"
        "      uv run headrace run\n"
    )


def test_new_as_json_and_without_git_and_lock(template: Repository, tmp_path: Path) -> None:
    words = ("--template", str(template.root), "--no-git", "--no-lock", "--json")
    report = json.loads(call("new", str(tmp_path / "it"), *words, "--data", "sources=[]"))
    assert report["version"] == FIRST
    assert report["answers"] == [
        {"name": "project_name", "value": "it"},
        {"name": "sources", "value": []},
    ]
    assert report["asked"] is False
    assert report["lock"]["status"] == report["repository"]["status"] == "skipped"
    assert not (tmp_path / "it" / ".git").exists()


def test_new_is_refused_in_one_line(template: Repository) -> None:
    with pytest.raises(TemplateError, match="is not empty"):
        call("new", str(template.root), "--template", str(template.root))


def test_an_update_with_conflicts_is_told_and_is_exit_code_1(edited: Repository) -> None:
    text = call("update", "--project-dir", str(edited.root), "--dry-run", code=1)
    assert "nothing was changed (--dry-run)" in text
    text = call("update", "--project-dir", str(edited.root), code=1)
    joined = " ".join(text.split())
    for words in (
        f"✓ updated from {FIRST} to v0.2.0 of ",
        "~ 3 changed: .copier-answers.yml, machinery/crlf.txt, machinery/merged.txt",
        "+ 1 added: machinery/new.txt",
        "- 1 removed: machinery/dropped_unedited.txt",
        "- 2 yours and left alone, changed by the new version: yours/model.sql, yours/unedited.sql",
        "- 1 new in places that are yours, not added: yours/new.sql",
        "- 2 deleted or renamed by you, changed by the new version: machinery/deleted.txt, mach",
        "! 2 yours and put back, the merge had overwritten them: ignored/settings.txt, mach",
        "! new question colour: took the default blue; another by --data colour=…",
        "✗ machinery/conflict.txt: changed by you and by the new version: choose between",
        "✗ machinery/dropped.txt: edited by you, and the new version has it no more: it was",
        "5 files to settle, see ✗ above",
        "next: read `git diff`, run `uv run pytest`, commit. Or take it all back:",
    ):
        assert words in joined, words
    assert text.endswith("\n      git restore --staged --worktree . && git clean -fd .\n")


def test_an_update_without_conflicts(project: Repository) -> None:
    report = json.loads(call("update", "--project-dir", str(project.root), "--json"))
    assert (report["from_version"], report["to_version"]) == (FIRST, "v0.2.0")
    assert (report["up_to_date"], report["conflicts"]) == (False, [])
    project.commit("updated")
    text = call("update", "--project-dir", str(project.root))
    assert re.fullmatch(r"✓ up to date: v0\.2\.0 of\s+\S+\n", text)
