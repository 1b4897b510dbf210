"""The command that an error names for a missing extra is one that the project takes."""

from pathlib import Path

from headrace.extras import how_to_install


def project(folder: Path, text: str) -> Path:
    """A folder of a project with that pyproject.toml."""
    below = folder / "dbt_project"
    below.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return below


def test_an_extra_that_the_project_names(tmp_path: Path) -> None:
    text = '[project]\nname = "a"\n[project.optional-dependencies]\nlearn = ["headrace[learn]"]\n'
    assert how_to_install("learn", project(tmp_path / "a", text)) == "uv sync --extra learn"


def test_an_extra_that_the_project_was_started_without(tmp_path: Path) -> None:
    text = '[project]\nname = "a"\ndependencies = ["headrace"]\n'
    start = project(tmp_path / "a", text)
    assert how_to_install("learn", start) == "uv add 'headrace[learn]'"


def test_an_extra_of_a_vendored_machinery(tmp_path: Path) -> None:
    text = '[project]\nname = "a"\n[project.optional-dependencies]\nserve = ["fastapi"]\n'
    start = project(tmp_path / "a", text)
    (tmp_path / "a" / "src" / "headrace").mkdir(parents=True)
    told = how_to_install("learn", start)
    assert told == "uv run headrace update --data 'extras=[serve, learn]'"


def test_without_a_readable_project(tmp_path: Path) -> None:
    start = project(tmp_path / "a", "not = [toml")
    assert how_to_install("learn", start) == "uv sync --extra learn"
