"""The page of a file in the repository that holds it."""

import os
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("openlineage.client", reason="uv sync --extra openlineage")

from headrace.export.openlineage.context import browsable, find_repository


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("git@github.com:org/repo.git", "https://github.com/org/repo"),
        ("https://user:secret@git.example.org/a/b.git", "https://git.example.org/a/b"),
        ("https://token@git.example.org:8443/a/b", "https://git.example.org/a/b"),
        ("ssh://git@git.example.org:22/a/b.git", "https://git.example.org/a/b"),
        ("http://git.example.org/a/b/", "http://git.example.org/a/b"),
        ("/srv/git/repo.git", None),
        ("../repo", None),
        ("C:\\git\\repo", None),
        ("file:///srv/git/repo.git", None),
    ],
)
def test_browsable(remote: str, url: str | None) -> None:
    assert browsable(remote) == url


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def test_repository_of_a_project_within_it(tmp_path: Path) -> None:
    project = tmp_path / "data"
    project.mkdir()
    git(tmp_path, "init", "--initial-branch=main")
    assert find_repository(project) is None, "no remote, no commit"
    git(tmp_path, "remote", "add", "origin", "git@git.example.org:team/repo.git")
    assert find_repository(project) is None, "no commit"
    git(tmp_path, "commit", "--allow-empty", "-m", "x")

    found = find_repository(project)

    assert found is not None
    assert (found.url, found.branch) == ("https://git.example.org/team/repo", "main")
    assert found.page("a b.sql") == (
        f"https://git.example.org/team/repo/blob/{found.commit}/data/a%20b.sql"
    )
    assert len(found.commit) == 40


@pytest.mark.skipif(os.name == "nt", reason="no such names on Windows")
def test_a_project_in_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    project = tmp_path / ' ö "a"\tb'
    project.mkdir()
    git(tmp_path, "init", "--initial-branch=main")
    git(tmp_path, "remote", "add", "origin", "git@git.example.org:team/repo.git")
    git(tmp_path, "commit", "--allow-empty", "-m", "x")

    found = find_repository(project)

    assert found is not None
    assert found.inside("a.sql") == ' ö "a"\tb/a.sql'
    assert found.page("\udce9.sql").endswith("/%20%C3%B6%20%22a%22%09b/%E9.sql")
