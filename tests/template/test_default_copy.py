"""All sources and extras, vendored, give this repository's own files; the rest is listed here."""

from pathlib import Path

import pytest
from pathspec import PathSpec
from template_lab import DEMOS, EXTRAS, ROOT, needs_git, render, tracked

pytestmark = needs_git

# What belongs to the machinery's workshop and not to a user's project. A new file is copied unless
# it is matched here, and by `_exclude` in copier.yml: both must say the same.
NOT_COPIED = PathSpec.from_lines(
    "gitignore",
    [
        "/.ci/",
        "/.github/pull_request_template.md",
        "/.github/workflows/ci.yml",
        "/.github/workflows/engines.yml",
        "/ARCHITECTURE.md",
        "/CHANGELOG.md",
        "/CONTRIBUTING.md",
        "/benchmarks/",
        "/copier.yml",
        "/docs/",
        "/mkdocs.yml",
        "/tests/**",
        "!/tests/project/",
        "!/tests/project/test_project.py",
        "*.jinja",
    ],
)
ANSWERS = ".copier-answers.yml"


@pytest.fixture(scope="module")
def copy(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with all demos and extras, in a folder of the repository's name."""
    folder = tmp_path_factory.mktemp("copies") / "headrace"
    return render(template, folder, sources=list(DEMOS), extras=list(EXTRAS))


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_every_file_is_copied_or_listed(copy: Path, template: Path) -> None:
    ours = set(tracked(template))
    assert names(copy) == ours - set(NOT_COPIED.match_files(ours)) | {ANSWERS}


def test_files_are_this_repositorys_byte_for_byte(copy: Path, template: Path) -> None:
    differing = [
        name
        for name in sorted(names(copy) - {ANSWERS, "README.md"})
        if (copy / name).read_bytes() != (template / name).read_bytes()
    ]
    assert differing == [], "change the file and its .jinja alike"


def test_the_readme_is_the_projects_own(copy: Path) -> None:
    text = (copy / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# headrace\n")
    assert "uv run headrace run" in text
    assert "uv run pytest" in text
    assert len(text.splitlines()) < 60, "one screen"


def test_programs_stay_executable(copy: Path, template: Path) -> None:
    executable = 0o111
    assert [
        n for n in names(copy) - {ANSWERS} if (_mode(copy / n) ^ _mode(template / n)) & executable
    ] == []


def test_the_machinery_keeps_its_licence() -> None:
    ours = (ROOT / "src" / "headrace" / "LICENSE").read_text(encoding="utf-8")
    assert ours == (ROOT / "LICENSE").read_text(encoding="utf-8")


def _mode(path: Path) -> int:
    return path.stat().st_mode
