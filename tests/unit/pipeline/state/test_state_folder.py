"""A state folder that was being replaced when its process was killed is there again."""

from pathlib import Path

from headrace.pipeline.state.folder import restore_old, swap


def test_a_kill_between_the_two_renames_loses_no_state(tmp_path: Path) -> None:
    out, old = tmp_path / "state", tmp_path / ".state.old"
    old.mkdir()
    (old / "state.json").write_text("old")
    restore_old(out)
    assert (out / "state.json").read_text() == "old"
    assert not old.exists()


def test_what_was_replaced_before_a_kill_is_removed(tmp_path: Path) -> None:
    out, new = tmp_path / "state", tmp_path / "new"
    for folder in (out, new, tmp_path / ".state.old"):
        folder.mkdir()
        (folder / "state.json").write_text(folder.name)
    restore_old(out)
    swap(new, out)
    assert (out / "state.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
