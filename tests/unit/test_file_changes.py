"""Files of a project that are changed together."""

from pathlib import Path

import pytest

from headrace import file_changes
from headrace.errors import ProjectFileError


def test_a_file_that_changes_in_between(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("new")
    with pytest.raises(ProjectFileError, match="was changed meanwhile"):
        file_changes.write({tmp_path / "b": "text", path: "mine"}, {path: "old"})
    assert not (tmp_path / "b").exists()


def test_a_failure_restores_files_and_removes_new_folders(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_bytes(b"old\r\n")
    texts = {old: "new", tmp_path / "a" / "b" / "c": "new", old / "in a file": "new"}
    with pytest.raises(ProjectFileError, match="nothing was written"):
        file_changes.write(texts, {old: "old\r\n"})
    assert old.read_bytes() == b"old\r\n"
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


def test_a_text_keeps_its_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_bytes(b"a: 1\r\n")
    assert file_changes.read_text(path) == "a: 1\r\n"
    path.write_bytes("é".encode("latin-1"))
    with pytest.raises(ProjectFileError, match=r"a\.yml is not UTF-8 \(byte 0\)"):
        file_changes.read_text(path)
    with pytest.raises(ProjectFileError, match="cannot be read"):
        file_changes.read_text(tmp_path / "none")
