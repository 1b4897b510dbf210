"""From one version of this repository to the next, in a project that its user has changed.

The first version is the working tree as it stands. Both ways are held to the same files, byte for
byte: ``headrace update``, and plain ``copier update``.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import copier
import pytest
from template_lab import (
    DEMOS,
    EXTRAS,
    UV,
    VERSION,
    commit,
    git,
    needs_git,
    needs_uv,
    render,
    snapshot,
)

from headrace.errors import TemplateError
from headrace.project import UpdateReport
from headrace.project.update import UpdateRequest, update

pytestmark = [needs_git, pytest.mark.slow]

SECOND = "v0.2.0"
MODULE, MACRO = "src/headrace/settings/layers.py", "dbt_project/macros/utc_date.sql"
MODEL, STAGED = "dbt_project/models/marts/orders.sql", "dbt_project/models/marts/customers.sql"
WORKFLOW, NEW = ".github/workflows/test.yml", "src/headrace/second.py"
DROPPED, DROPPED_EDITED = ".editorconfig", ".sqlfluffignore"
CONFLICT, DELETED = "justfile", "docker-compose.yml"
WEB = ("dlt_pipelines/web_analytics", "dbt_project/models/marts/web_analytics")
END = b"\n# the second version\n"
SQL_END = b"\n-- the second version\n"
Tree = dict[str, bytes]


@dataclass(frozen=True)
class History:
    """A template of two versions, and a project of the first as its user left it."""

    template: Path
    project: Path


@dataclass(frozen=True)
class Updated:
    """A copy of that project, updated, and what was reported."""

    project: Path
    report: UpdateReport


def tree(root: Path) -> Tree:
    """Every file but git's, and the bytecode that a command leaves."""
    found = (path for path in root.rglob("*") if path.is_file())
    files = (path for path in found if path.parent.name != "__pycache__")
    names = {path.relative_to(root).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in names.items() if name[:5] != ".git/"}


def replace(root: Path, name: str, old: str, new: str) -> None:
    """Replace a text that stands in a file once."""
    path = root / name
    text = path.read_bytes().decode()
    assert text.count(old) == 1, (name, old)
    path.write_bytes(text.replace(old, new).encode())


def append(root: Path, name: str, end: bytes) -> None:
    path = root / name
    path.write_bytes(path.read_bytes() + end)


def of_template(root: Path, name: str) -> str:
    """The file that a file is rendered from."""
    return f"{name}.jinja" if (root / f"{name}.jinja").exists() else name


def second_version(root: Path) -> None:
    """Changes in the machinery, and in what is the user's."""
    for name in (MODULE, WORKFLOW, ".gitignore", CONFLICT, DELETED, "config/default.yml"):
        append(root, of_template(root, name), END)
    for name in (MACRO, MODEL, STAGED):
        append(root, name, SQL_END)
    append(root, of_template(root, "README.md"), END)
    replace(root, of_template(root, CONFLICT), _first_line(root), "# the second version's\n")
    replace(root, of_template(root, "pyproject.toml"), '"rich>=13.9"', '"rich>=14"')
    (root / NEW).write_bytes(b'"""New in the second version."""\n')
    (root / "dlt_pipelines" / "second").mkdir()
    (root / "dlt_pipelines" / "second" / "__init__.py").write_bytes(b'"""New."""\n')
    for name in (DROPPED, DROPPED_EDITED):
        (root / of_template(root, name)).unlink()
    question = '\nsecond_question:\n  type: str\n  default: "yes"\n'
    append(root, "copier.yml", question.encode())
    commit(root, SECOND)
    git(root, "tag", SECOND)


def _first_line(root: Path) -> str:
    return (root / of_template(root, CONFLICT)).read_text(encoding="utf-8").splitlines(True)[0]


def edits(root: Path) -> None:
    """What a user does; in two files the second version is in the way."""
    replace(root, CONFLICT, _first_line(root), "# mine, and the second version's\n")
    append(root, DROPPED_EDITED, b"mine\n")
    for name in (MODULE, MODEL, "README.md", "config/default.yml"):
        _prepend(root, name, b"-- mine\n" if name.endswith(".sql") else b"# mine\n")
    replace(root, "pyproject.toml", '    "copier>=', '    "requests>=2",\n    "copier>=')
    mine = {
        "dbt_project/models/marts/mine.sql": b"select 'mine' as name\n",
        "dlt_pipelines/mine/__init__.py": b'"""Mine, \xc3\xa9."""\n',
        "dlt_pipelines/mine/logo é.png": b"\x89PNG\0mine",
        "notebooks/mine.py": b"print('mine')\n",
    }
    for name, content in mine.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / STAGED).unlink()
    (root / DELETED).unlink()
    for name in WEB:
        shutil.rmtree(root / name)


def _prepend(root: Path, name: str, start: bytes) -> None:
    path = root / name
    path.write_bytes(start + path.read_bytes())


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    root = tmp_path_factory.mktemp("history")
    template = snapshot(root / "headrace")
    # copier looks at every file of a template: what nothing here asks for is out of the way
    tests = (f"tests/{name}" for name in ("unit", "integration", "template", "fixtures"))
    packages = (
        "add", "adopt", "artifacts", "catalog", "export", "ingest", "lineage", "quality",
        "scaffold", "server", "simulate", "synth", "telemetry",
    )  # fmt: skip
    machinery = (f"src/headrace/{name}" for name in packages)
    git(template, "rm", "-rq", "benchmarks", "docs", *tests, *machinery)
    commit(template, VERSION)
    git(template, "tag", "--force", VERSION)
    answers = {"machinery": "vendored", "sources": [*DEMOS], "extras": [*EXTRAS]}
    project = render(template, root / "my-project", **answers)
    git(project, "init", "--quiet", "--initial-branch=main")
    commit(project, "Start")
    second_version(template)
    edits(project)
    commit(project, "mine")
    return History(template, project)


def copy_of(project: Path, folder: Path) -> Path:
    """A project of one's own to update."""
    return Path(shutil.copytree(project, folder / project.name))


def expected(before: Tree) -> Tree:
    """The project's files after the update; but copier's record and the lock are written anew."""
    now = dict(before)
    for name in (MODULE, WORKFLOW, ".gitignore"):
        now[name] += END
    now[MACRO] += SQL_END
    now["pyproject.toml"] = now["pyproject.toml"].replace(b'"rich>=13.9"', b'"rich>=14"')
    now[NEW] = b'"""New in the second version."""\n'
    del now[DROPPED], now[DROPPED_EDITED]
    _, rest = before[CONFLICT].split(b"\n", 1)
    both = (
        b"<<<<<<< before updating\n# mine, and the second version's\n=======\n"
        b"# the second version's\n>>>>>>> after updating\n"
    )
    now[CONFLICT] = both + rest + END
    return now


@pytest.fixture(scope="module")
def updated(history: History, tmp_path_factory: pytest.TempPathFactory) -> Updated:
    """The one update that most tests look at."""
    project = copy_of(history.project, tmp_path_factory.mktemp("updated"))
    return Updated(project, update(UpdateRequest(project)))


@needs_uv
def test_what_is_the_users_stays_and_the_machinery_is_new(
    history: History, updated: Updated
) -> None:
    now = tree(updated.project)
    for found in (want := expected(tree(history.project)), now):
        del found["uv.lock"], found[".copier-answers.yml"]
    assert now == want
    assert now[MODULE].startswith(b"# mine\n")
    assert now[MODULE].endswith(END)
    for name, letters in ((CONFLICT, "UU"), (DROPPED_EDITED, " D"), (NEW, "??")):
        said = git(updated.project, "status", "--porcelain", "--", name)
        assert said == f"{letters} {name}\n"


def test_the_report_names_every_file(updated: Updated) -> None:
    report = updated.report
    assert (report.from_version, report.to_version) == (VERSION, SECOND)
    assert {each.path: each.kind for each in report.conflicts} == {
        CONFLICT: "markers",
        DROPPED_EDITED: "dropped",
    }
    changed = {".copier-answers.yml", ".gitignore", MODULE, MACRO, WORKFLOW, "pyproject.toml"}
    assert set(report.changed) == changed
    assert report.added == (NEW,)
    assert report.removed == (DROPPED,)
    assert set(report.kept) == {MODEL, "README.md", "config/default.yml"}
    assert report.not_added == ("dlt_pipelines/second/__init__.py",)
    assert set(report.stay_deleted) == {STAGED, DELETED}
    assert report.put_back == ()
    assert [(each.name, each.value) for each in report.new_answers] == [("second_question", "yes")]


@needs_uv
def test_the_updated_project_is_locked_and_runs(updated: Updated) -> None:
    """The lock has both the user's dependency and the new version's bound."""
    assert updated.report.lock.status == "locked", updated.report.lock.detail
    subprocess.run([UV, "lock", "--check", "--quiet"], cwd=updated.project, check=True)
    environ = {**os.environ, "PYTHONPATH": str(updated.project / "src")}
    command = [sys.executable, "-m", "headrace", "where", "--json"]
    where = subprocess.run(
        command, cwd=updated.project, env=environ, capture_output=True, check=False
    )
    assert where.returncode == 0, where.stderr


def test_plain_copier_does_the_same_to_the_files(
    history: History, updated: Updated, tmp_path: Path
) -> None:
    plain = copy_of(history.project, tmp_path)
    copier.run_update(plain, defaults=True, overwrite=True, quiet=True)
    ours = tree(updated.project)
    theirs = tree(plain)
    del ours["uv.lock"], theirs["uv.lock"]
    assert ours == theirs
    without_lock = ("status", "--porcelain", "--", ".", ":!uv.lock")
    assert git(updated.project, *without_lock) == git(plain, *without_lock)


def test_it_is_taken_back_as_the_report_says(
    history: History, updated: Updated, tmp_path: Path
) -> None:
    project = copy_of(updated.project, tmp_path)
    for command in updated.report.undo.split(" && "):
        git(project, *command.split()[1:])
    assert tree(project) == tree(history.project)
    assert git(project, "status", "--porcelain") == ""


def test_once_committed_it_is_up_to_date(updated: Updated, tmp_path: Path) -> None:
    project = copy_of(updated.project, tmp_path)
    commit(project, "updated")
    assert update(UpdateRequest(project)).up_to_date
    assert git(project, "status", "--porcelain") == ""


def test_what_is_not_committed_is_in_the_way(history: History, tmp_path: Path) -> None:
    project = copy_of(history.project, tmp_path)
    append(project, MODEL, b"-- not committed\n")
    before = tree(project)
    with pytest.raises(TemplateError, match=f"^not committed: {MODEL}; commit it, or stash it"):
        update(UpdateRequest(project))
    assert tree(project) == before
    assert git(project, "status", "--porcelain") == f" M {MODEL}\n"


# ── the machinery as a pinned line ──────────────────────────────────────────


@pytest.fixture(scope="module")
def pinned(history: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the first version by all defaults."""
    project = render(history.template, tmp_path_factory.mktemp("pinned") / "my-pinned")
    git(project, "init", "--quiet", "--initial-branch=main")
    commit(project, "Start")
    return project


def source_of(project: Path) -> object:
    """Where uv takes Headrace from."""
    uv = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["tool"]["uv"]
    return uv.get("sources", {}).get("headrace")


@needs_uv
def test_an_update_moves_the_pinned_commit_and_switches_to_vendored_and_back(
    history: History, pinned: Path
) -> None:
    """One project after the other: what is the user's stays, and no second copy is left."""
    url = history.template.as_uri()
    first, second = (
        git(history.template, "rev-parse", f"{tag}^{{commit}}").strip() for tag in (VERSION, SECOND)
    )
    assert source_of(pinned) == {"git": url, "rev": first}
    old, new = "[dependency-groups]", '[dependency-groups]\nmine = ["requests>=2"]'
    replace(pinned, "pyproject.toml", old, new)
    append(pinned, MODEL, b"-- mine\n")
    commit(pinned, "mine")
    moved = update(UpdateRequest(pinned))
    assert source_of(pinned) == {"git": url, "rev": second}
    assert not moved.conflicts
    assert moved.lock.status == "locked", moved.lock.detail
    assert f"{url}?rev={second}" in (pinned / "uv.lock").read_text("utf-8")
    commit(pinned, "moved")
    dependent = tree(pinned)
    vendored = update(UpdateRequest(pinned, data={"machinery": "vendored"}))
    assert not vendored.conflicts
    assert vendored.lock.status == "locked", vendored.lock.detail
    assert source_of(pinned) is None
    assert (pinned / MODULE).read_bytes() == (history.template / MODULE).read_bytes()
    assert 'mine = ["requests>=2"]' in (pinned / "pyproject.toml").read_text("utf-8")
    commit(pinned, "vendored")
    back = update(UpdateRequest(pinned, data={"machinery": "dependency"}))
    assert not back.conflicts
    assert tree(pinned) == dependent
