"""The folder of a new project."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.errors import TemplateError
from headrace.portable import replace
from headrace.project.new import check_destination, staging_folder


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def make(destination: Path, then: Callable[[], None] = lambda: None) -> None:
    with staging_folder(destination) as folder:
        assert folder.name == destination.name
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("x")
        (folder / "sub" / "file").chmod(0o400)  # as git's objects are
        then()


@pytest.mark.parametrize("name", ["one", "a b/ü", "deep/er/one"])
def test_a_folder_is_made(tmp_path: Path, name: str) -> None:
    make(check_destination(tmp_path / name))
    assert (tmp_path / name / "sub" / "file").read_text() == "x"
    assert not [each for each in names(tmp_path) if "headrace-new" in each]


def test_an_empty_folder_is_filled_and_stays_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell may stand in it."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    node = here.stat().st_ino
    make(check_destination(Path()))
    assert (here.stat().st_ino, names(here)) == (node, ["sub", "sub/file"])


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_what_ends_early_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fail() -> None:
        raise error

    (tmp_path / "there").mkdir()
    with pytest.raises(type(error)):
        make(tmp_path / "there" / "a" / "b" / "c", fail)
    assert names(tmp_path) == ["there"]


def test_a_folder_that_is_taken_meanwhile_is_left_alone(tmp_path: Path) -> None:
    there = tmp_path / "there"

    def take() -> None:
        there.mkdir()
        (there / "theirs").touch()

    with pytest.raises(TemplateError, match="was filled meanwhile"):
        make(there, take)
    assert names(tmp_path) == ["there", "there/theirs"]


def test_a_filling_that_fails_takes_its_files_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.mkdir()

    def fails(source: Path, target: Path) -> None:
        if source.name == "sub":
            raise OSError(28, "No space left on device")
        replace(source, target)

    def fill() -> None:
        (next(tmp_path.glob(".there.*.tmp")) / "there" / "before").mkdir()
        monkeypatch.setattr("headrace.portable.replace", fails)

    with pytest.raises(TemplateError, match=r"there cannot be written: No space left"):
        make(there, fill)
    assert names(tmp_path) == ["there"]


def test_what_cannot_be_a_destination(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / ".hidden").touch()
    for path, told in (
        (tmp_path / "file", "is a file: name another folder"),
        (tmp_path / "file" / "below", r"file is a file, so .*below cannot be made"),
        (tmp_path / "full", r"full is not empty: name another folder, or empty it first"),
        (Path(tmp_path.anchor), "is "),
    ):
        with pytest.raises(TemplateError, match=told):
            check_destination(path)
    assert names(tmp_path) == ["file", "full", "full/.hidden"]


def test_a_name_that_windows_reserves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.portable.WINDOWS", False)
    assert check_destination(tmp_path / "aux") == tmp_path / "aux"
    monkeypatch.setattr("headrace.portable.WINDOWS", True)
    with pytest.raises(TemplateError, match="aux is a device name on Windows"):
        check_destination(tmp_path / "aux")


@pytest.mark.skipif(os.name == "nt", reason="links need a right of their own on Windows")
def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(TemplateError, match="a link that leads nowhere"):
        check_destination(tmp_path / "link")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(TemplateError, match="cannot be written to"):
        check_destination(tmp_path / "a" / "b")
    tmp_path.chmod(0o700)
