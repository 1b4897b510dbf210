"""Answers that are given anew reach the files that are the user's, too."""

from pathlib import Path

import pytest
from project_bench import CONFIG, LINES, Repository, needs_git, posix_only

from headrace.project import UpdateReport
from headrace.project.new import NewRequest, new
from headrace.project.update import UpdateRequest, update

pytestmark = [pytest.mark.slow, needs_git, posix_only, pytest.mark.usefixtures("uv")]
SETTINGS = "yours/settings.txt"
SHOP = "{% if 'shop' in sources %}line 6, the shop's\n{% endif %}"
SHOP_LINES = LINES.replace("line 7\n", "line 6, the shop's\nline 7\n")


@pytest.fixture
def project(template: Repository, tmp_path: Path) -> Repository:
    """A copy without sources of a template whose sources bring files that are the user's."""
    template.write(f"{SETTINGS}.jinja", LINES.replace("line 7\n", f"{SHOP}line 7\n"))
    template.write("yours/shop/model.sql", "select 'shop'\n")
    template.write("machinery/shop.txt", "shop\n")
    folders = "{% if 'shop' not in sources %}/yours/shop\n/machinery/shop.txt{% endif %}"
    template.write("copier.yml", CONFIG.replace("  - .git\n", f"  - .git\n  - |\n    {folders}\n"))
    template.edit("copier.yml", "/yours/shop\n", "/yours/shop\n    ")
    template.commit("sources", "v0.3.0")
    new(NewRequest(tmp_path / "project", str(template.root), lock=False, data={"sources": []}))
    return Repository(tmp_path / "project")


def with_sources(project: Repository, *sources: str, dry_run: bool = False) -> UpdateReport:
    return update(UpdateRequest(project.root, data={"sources": list(sources)}, dry_run=dry_run))


def test_a_source_that_is_chosen_later_comes_whole(project: Repository) -> None:
    assert not project.has("yours/shop")
    project.edit(SETTINGS, "line 12\n", "line 12, mine\n")
    project.edit("yours/model.sql", "select 1", "select 'mine'")
    project.commit("mine")
    tried = with_sources(project, "shop", dry_run=True)
    assert project.status() == {}
    report = with_sources(project, "shop")
    for each in (tried, report):
        assert each.added == ("machinery/shop.txt", "yours/shop/model.sql")
        assert each.changed == (".copier-answers.yml", SETTINGS)
        assert (each.conflicts, each.kept, each.not_added) == ((), (), ())
    assert project.read("yours/shop/model.sql") == b"select 'shop'\n"
    expected = SHOP_LINES.replace("line 12\n", "line 12, mine\n")
    assert project.read(SETTINGS).decode() == expected
    assert project.read("yours/model.sql") == b"select 'mine'\n"
    project.commit("with the shop")

    # and what was left out, goes from what is merged; files of its own are the user's to delete
    report = with_sources(project)
    assert project.read(SETTINGS).decode() == LINES.replace("line 12\n", "line 12, mine\n")
    assert project.has("yours/shop/model.sql")
    assert report.removed == ("machinery/shop.txt",)
    assert report.notes[-1] == (
        "yours, and not asked for by the new answers: yours/shop/model.sql; `git rm` what is not "
        "needed"
    )


def test_lines_that_meet_are_a_conflict(project: Repository) -> None:
    project.edit(SETTINGS, "line 7\n", "line 7, mine\n")
    project.write("yours/shop/model.sql", "select 'my shop'\n")
    project.commit("mine")
    report = with_sources(project, "shop")
    assert [(each.path, each.kind) for each in report.conflicts] == [(SETTINGS, "markers")]
    assert b"<<<<<<< before updating\nline 7, mine\n=======\n" in project.read(SETTINGS)
    assert project.read("yours/shop/model.sql") == b"select 'my shop'\n"
    assert report.kept == ("yours/shop/model.sql",)


def test_an_answer_of_before_that_is_taken_no_more(
    project: Repository, template: Repository
) -> None:
    template.edit("copier.yml", "multiselect: true", "multiselect: true\n  validator: VALIDATOR")
    template.edit("copier.yml", "VALIDATOR", '"{% if not sources %}take one{% endif %}"')
    template.commit("fourth", "v0.4.0")
    report = with_sources(project, "shop")
    assert report.not_added == ("yours/shop/model.sql",)
    assert report.notes[-1].startswith("in files of your own the new answers change nothing: ")
    assert "sources" in report.notes[-1]
