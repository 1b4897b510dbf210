"""Questions to git."""

from pathlib import Path

import pytest
from project_bench import Repository, needs_git, repository

from headrace.errors import TemplateError
from headrace.project import git

pytestmark = needs_git


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    made = repository(tmp_path / "repo")
    made.write("a.txt", "one\n")
    made.write("sub/ü b.txt", "one\n")
    made.write(".gitignore", "hidden/\n")
    made.commit("first")
    return made


def test_status_names_what_differs_below_a_folder(repo: Repository) -> None:
    assert git.status(repo.root) == {}
    repo.write("a.txt", "two\n")
    (repo.root / "sub" / "ü b.txt").unlink()
    repo.write("sub/new folder/c.txt", "\n")
    repo.write("hidden/d.txt", "\n")
    below = {"ü b.txt": " D", "new folder/c.txt": "??"}
    assert git.status(repo.root / "sub") == below
    assert git.status(repo.root) == {"a.txt": " M", **{f"sub/{k}": v for k, v in below.items()}}


def test_where_a_repository_begins(repo: Repository, tmp_path: Path) -> None:
    assert git.top(repo.root / "sub") == repo.root
    assert git.top(tmp_path) is None
    assert git.is_ignored(repo.root, repo.root / "hidden" / "x")
    assert not git.is_ignored(repo.root, repo.root / "x")


def test_what_a_version_stands_for(repo: Repository) -> None:
    head = repo.git("rev-parse", "HEAD").strip()
    repo.git("tag", "--annotate", "--message", "first", "v1")
    assert {git.commit_of(repo.root, ref) for ref in ("v1", "main", "HEAD", head[:7])} == {head}
    for wrong in ("v2", "-q", "--all", "v1\nHEAD"):
        assert git.commit_of(repo.root, wrong) is None


def test_who_commits_is_not_guessed_from_the_machine(
    repo: Repository, git_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert git.has_identity(repo.root)
    git_config.write_text("")
    assert not git.has_identity(repo.root)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "B. Tester")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "b@example.com")
    assert git.has_identity(repo.root)


def test_a_failure_is_one_line_of_gits(repo: Repository) -> None:
    with pytest.raises(TemplateError, match=r"git restore failed in .*: error: pathspec 'nope'"):
        git.out(repo.root, "restore", "--", "nope")
    assert git.last_line("warning: a\nfatal: b\nadvice\nmore") == "fatal: b"
    assert git.last_line("a\nb\n\n") == "b"
    assert git.last_line("") == "no message"


def test_git_must_be_there_and_work_in_the_folders_own_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git.require("this")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    with pytest.raises(TemplateError, match="GIT_DIR is set"):
        git.require("this")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TemplateError, match="git is not installed, and this needs it"):
        git.require("this")
