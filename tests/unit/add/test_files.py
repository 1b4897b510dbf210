"""All files of a new source are written, or none."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from headrace import file_changes, portable
from headrace.add import AddRequest, add_source
from headrace.errors import AddError, ProjectFileError
from headrace.settings import Resolved, resolve

REQUEST = AddRequest("crm", "rest_api", resource=("customers",))


@pytest.fixture
def project(tmp_path: Path) -> Resolved:
    return made(tmp_path)


def made(root: Path) -> Resolved:
    """The least that is a project."""
    (root / "config").mkdir(parents=True)
    (root / "dlt_pipelines").mkdir()
    (root / "config" / "default.yml").write_text("sources: {}\n")
    (root / "config" / "ci.yml").write_text("sources: {}\n")
    (root / ".env.example").write_text("# one\n")
    return resolve(root, environ={})


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b""
        for path in sorted(root.rglob("*"))
    }


@pytest.mark.parametrize("count", range(7))
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_halfway_leaves_nothing(
    project: Resolved, monkeypatch: pytest.MonkeyPatch, count: int, failure: BaseException
) -> None:
    before = tree(project.root)
    real, left = portable.write_file, [count]

    def fail(path: Path, content: bytes | str) -> None:
        left[0] -= 1
        if left[0] == -1:
            raise failure
        real(path, content)

    monkeypatch.setattr(portable, "write_file", fail)
    expected = ProjectFileError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        add_source(project, REQUEST)
    assert tree(project.root) == before
    if expected is ProjectFileError:
        assert "No space left on device" in str(caught.value)
        assert "nothing was written" in str(caught.value)
    monkeypatch.setattr(portable, "write_file", real)
    assert len(add_source(project, REQUEST).files) == 7
    assert "\n  crm:\n    enabled: false\n" in (project.root / "config" / "ci.yml").read_text()


@pytest.mark.skipif(os.name == "nt", reason="modes of folders are those of POSIX")
@pytest.mark.parametrize("name", ["dlt_pipelines", "config/default.yml"])
def test_what_cannot_be_written_is_found_first(project: Resolved, name: str) -> None:
    before = tree(project.root)
    path = project.root / name
    mode = path.stat().st_mode
    path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with pytest.raises(ProjectFileError, match="nothing was written"):
            add_source(project, REQUEST)
    finally:
        path.chmod(mode)
    assert tree(project.root) == before


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege there")
def test_a_folder_that_leads_away_is_refused(
    project: Resolved, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (project.root / "tests").symlink_to(elsewhere)
    with pytest.raises(ProjectFileError, match="points outside of"):
        add_source(project, REQUEST)
    assert not list(elsewhere.iterdir())


def test_a_file_in_the_place_of_a_folder(project: Resolved) -> None:
    (project.root / "tests").write_text("")
    with pytest.raises(ProjectFileError, match="is not a writable folder"):
        add_source(project, REQUEST)
    assert not (project.root / "dlt_pipelines" / "crm").exists()


@pytest.mark.parametrize("request_", [REQUEST, AddRequest("crm", "synth")])
@pytest.mark.parametrize("count", range(6))
def test_the_same_command_goes_on_after_a_kill(
    project: Resolved, request_: AddRequest, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    real, left = portable.write_file, [count]

    def die(path: Path, content: bytes | str) -> None:
        left[0] -= 1
        if left[0] == -1:
            path.with_name(f".{path.name}.1.tmp").write_text("half")  # what `kill -9` leaves
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(portable, "write_file", die)
    monkeypatch.setattr(file_changes, "undo", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        add_source(project, request_, load=False)
    monkeypatch.undo()
    report = add_source(project, request_, load=False)
    assert len(report.files) == (7 if request_ is REQUEST else 6) - count
    clean = made(project.root / "clean")
    add_source(clean, request_, load=False)
    expected = tree(clean.root)
    assert {name: content for name, content in tree(project.root).items() if name in expected} == (
        expected
    )


def test_files_of_another_source_are_left_alone(project: Resolved) -> None:
    add_source(project, REQUEST, load=False)
    (project.root / "config" / "default.yml").write_text("sources: {}\n")
    other = replace(REQUEST, resource=("orders",))
    with pytest.raises(AddError, match=r"^there is a tests/project/test_crm.py: take another name"):
        add_source(project, other)
    (project.root / "dlt_pipelines" / "crm" / "mine.py").write_text("")
    with pytest.raises(AddError, match=r"^there is a dlt_pipelines/crm: take another name"):
        add_source(project, REQUEST)
