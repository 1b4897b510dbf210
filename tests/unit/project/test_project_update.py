"""An update keeps what is the user's, and tells what it did to each file."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project_bench import (
    FIRST,
    LINES,
    NOT_UTF8,
    SECOND,
    Repository,
    needs_git,
    posix_only,
    repository,
)

from headrace.errors import TemplateError
from headrace.project import UpdateReport
from headrace.project.new import NewRequest, new
from headrace.project.update import UNDO, UpdateRequest, update

pytestmark = [pytest.mark.slow, needs_git, posix_only, pytest.mark.usefixtures("uv")]
SECOND_LINES = LINES.replace("line 12\n", "line 12, second version\n")


def kinds(report: UpdateReport) -> dict[str, str]:
    return {conflict.path: conflict.kind for conflict in report.conflicts}


def test_every_case_of_a_file(edited: Repository) -> None:
    before = edited.tree()
    report = update(UpdateRequest(edited.root / "machinery"))
    now = edited.tree()

    assert (report.from_version, report.to_version) == (FIRST, SECOND)
    assert kinds(report) == {
        "machinery/both.png": "binary",
        "machinery/both_added.txt": "markers",
        "machinery/conflict.txt": "markers",
        "machinery/dropped.txt": "dropped",
        "machinery/not_utf8.txt": "merge",
    }
    assert report.changed == (
        ".copier-answers.yml",
        "machinery/crlf.txt",
        "machinery/merged.txt",
    )
    assert report.added == ("machinery/new.txt",)
    assert report.removed == ("machinery/dropped_unedited.txt",)
    assert report.kept == ("yours/model.sql", "yours/unedited.sql")
    assert report.not_added == ("yours/new.sql",)
    assert report.stay_deleted == ("machinery/deleted.txt", "machinery/renamed.txt")
    assert report.put_back == ("ignored/settings.txt", "machinery/logo.png")
    assert [(each.name, each.value) for each in report.new_answers] == [("colour", "blue")]

    mine = SECOND_LINES.replace("line 1\n", "line 1, mine\n").encode()
    assert now["machinery/merged.txt"] == now["machinery/crlf.txt"] == mine
    assert b"<<<<<<< before updating\nline 12, mine\n" in now["machinery/conflict.txt"]
    assert b"<<<<<<< before updating\nmine\n" in now["machinery/both_added.txt"]
    for name in (
        "yours/model.sql",
        "yours/unedited.sql",
        "yours/mine.sql",
        "yours/picture é.png",
        "machinery/my_name.txt",
        "machinery/logo.png",
        "ignored/settings.txt",
    ):
        assert now[name] == before[name], name
    assert not {"machinery/deleted.txt", "machinery/renamed.txt", "yours/new.sql"} & now.keys()
    assert not [name for name in now if name.endswith(".rej")]

    # what the conflicts tell to do
    for name in ("machinery/both.png", "machinery/dropped.txt", "machinery/not_utf8.txt"):
        (conflict,) = [each for each in report.conflicts if each.path == name]
        assert f"`git restore {name}`" in conflict.what
        edited.git("restore", name)
        assert edited.read(name) == before[name]
    assert NOT_UTF8 in edited.read("machinery/not_utf8.txt")

    # what the report tells to undo
    assert report.undo == UNDO
    for command in UNDO.split(" && "):
        edited.git(*command.split()[1:])
    lines = edited.read("machinery/crlf.txt").replace(b"\n", b"\r\n")
    assert {**edited.tree(), "machinery/crlf.txt": lines} == before
    assert edited.status() == {}


def test_a_dry_run_tells_the_same_and_changes_nothing(edited: Repository) -> None:
    before, head = edited.tree(), edited.git("rev-parse", "HEAD")
    tried = update(UpdateRequest(edited.root, dry_run=True))
    assert edited.tree() == before
    assert (edited.status(), edited.git("rev-parse", "HEAD")) == ({}, head)
    real = update(UpdateRequest(edited.root))
    # the clone has not got what git ignores
    more = {"dry_run": False, "lock": real.lock, "undo": UNDO, "put_back": real.put_back}
    assert tried.model_copy(update=more) == real
    assert tried.undo == ""


def test_up_to_date(project: Repository) -> None:
    report = update(UpdateRequest(project.root))
    assert (report.up_to_date, report.conflicts, report.lock.status) == (False, (), "locked")
    assert project.read("uv.lock") == project.read("pyproject.toml")
    project.commit("updated")
    before = project.tree()
    for ref in (None, SECOND, "HEAD", "main"):
        report = update(UpdateRequest(project.root, ref=ref))
        assert (report.up_to_date, report.from_version, report.to_version) == (True, SECOND, SECOND)
        assert report.undo == ""
    assert project.tree() == before


def test_answers_are_given_anew(project: Repository) -> None:
    data = {"sources": ["shop"], "colour": "red"}
    report = update(UpdateRequest(project.root, ref=FIRST, data={"sources": ["shop"]}))
    assert [(each.name, each.value) for each in report.changed_answers] == [("sources", ["shop"])]
    assert (report.from_version, report.to_version) == (FIRST, FIRST)
    project.commit("shop")
    report = update(UpdateRequest(project.root, data=data))
    assert [(each.name, each.value) for each in report.changed_answers] == [("colour", "red")]
    assert report.new_answers == ()
    project.commit("red")
    with pytest.raises(TemplateError, match="asks no question nope; it asks project_name"):
        update(UpdateRequest(project.root, data={"nope": "1"}))


def test_an_answer_that_is_taken_no_more_is_not_replaced_in_silence(
    made_once: Path, edited: Repository, tmp_path: Path
) -> None:
    """copier takes the default instead."""
    template = Repository(tmp_path / "template")
    shutil.copytree(made_once / "template", template.root)
    validator = 'validator: "{% if not sources %}take one{% endif %}"'
    template.edit("copier.yml", "multiselect: true", f"multiselect: true\n  {validator}")
    template.commit("third", "v0.3.0")
    edited.edit(".copier-answers.yml", str(made_once / "template"), str(template.root))
    edited.commit("the template has moved")
    before = edited.tree()
    with pytest.raises(TemplateError, match=r"v0\.3\.0 does not take the answer sources: \[\] any"):
        update(UpdateRequest(edited.root))
    assert edited.tree() == before
    report = update(UpdateRequest(edited.root, data={"sources": "[shop]"}, dry_run=True))
    assert [each.name for each in report.changed_answers] == ["sources"]


def test_a_project_in_a_folder_of_a_repository(made_once: Path, tmp_path: Path) -> None:
    around = repository(tmp_path / "around")
    around.commit("first")
    template = Repository(tmp_path / "template")
    shutil.copytree(made_once / "template", template.root)
    request = NewRequest(around.root / "a" / "it", str(template.root), ref=FIRST, lock=False)
    assert new(request).repository.status == "inside"
    around.edit("a/it/machinery/merged.txt", "line 1\n", "line 1, mine\n")
    around.edit("a/it/machinery/conflict.txt", "line 12\n", "line 12, mine\n")
    around.commit("it")
    around.write("elsewhere.txt", "not committed, and not in the way\n")
    report = update(UpdateRequest(around.root / "a" / "it"))
    assert kinds(report) == {"machinery/conflict.txt": "markers"}
    assert "machinery/merged.txt" in report.changed
    assert report.added == ("machinery/both_added.txt", "machinery/new.txt")
    assert around.read("elsewhere.txt") == b"not committed, and not in the way\n"


def test_what_fails_half_way_is_taken_back(
    edited: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        assert edited.status() != {}  # the merge is done
        assert edited.read(".git/headrace-update").decode() == SECOND
        raise KeyboardInterrupt

    monkeypatch.setattr("headrace.project.merge.outcome", fails)
    before = edited.tree()
    with pytest.raises(KeyboardInterrupt):
        update(UpdateRequest(edited.root))
    # but for the ends of lines, which git does not keep
    lines = edited.read("machinery/crlf.txt").replace(b"\n", b"\r\n")
    assert {**edited.tree(), "machinery/crlf.txt": lines} == before
    assert edited.status() == {}
    assert not edited.has(".git/headrace-update")


def test_what_was_killed_half_way_is_told(project: Repository) -> None:
    """As the note says that `kill -9` leaves; with all taken back it is in nobody's way."""
    note = project.root / ".git" / "headrace-update"
    note.write_text(SECOND)
    project.write("machinery/new.txt", "half of it\n")
    refused(project, "^an update to v0.2.0 was interrupted: undo it with `git restore -")
    (project.root / "machinery" / "new.txt").unlink()
    assert not update(UpdateRequest(project.root)).conflicts
    assert not note.exists()


def test_what_git_ignores_is_put_back_after_a_kill(edited: Repository) -> None:
    """The next command writes it, before the files of git are restored and after it."""
    (edited.root / ".git" / "headrace-update").write_text(SECOND)
    kept = edited.root / ".git" / "headrace-update.kept" / "ignored" / "settings.txt"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(edited.read("ignored/settings.txt"))
    edited.write("ignored/settings.txt", "second version\n")
    edited.write("machinery/new.txt", "half of it\n")
    with pytest.raises(TemplateError, match="was interrupted"):
        update(UpdateRequest(edited.root))
    assert edited.read("ignored/settings.txt") == b"mine\n"
    edited.write("ignored/settings.txt", "second version\n")
    (edited.root / "machinery" / "new.txt").unlink()
    update(UpdateRequest(edited.root))
    assert edited.read("ignored/settings.txt") == b"mine\n"
    assert not kept.exists()


def refused(made: Repository, told: str, ref: str | None = None) -> None:
    """The update is refused in one line, and nothing changes."""
    before, status = made.tree(), made.status()
    with pytest.raises(TemplateError, match=told) as error:
        update(UpdateRequest(made.root, ref=ref))
    assert "\n" not in str(error.value)
    assert (made.tree(), made.status()) == (before, status)


def test_what_is_not_committed_is_in_the_way(project: Repository) -> None:
    project.write("yours/new model é.sql", "select 1")
    refused(project, "^not committed: yours/new model é.sql; commit it, or stash it with `git")
    for number in range(4):
        project.write(f"a{number}.txt", "")
    refused(project, "^not committed: a0.txt, a1.txt, a2.txt and 2 more; ")


def test_without_git_or_a_commit_there_is_no_way_back(project: Repository) -> None:
    shutil.rmtree(project.root / ".git")
    before = project.tree()
    with pytest.raises(TemplateError, match="is not in a git repository"):
        update(UpdateRequest(project.root))
    project.git("init", "--quiet")
    with pytest.raises(TemplateError, match="nothing is committed yet"):
        update(UpdateRequest(project.root))
    assert project.tree() == before


def test_a_folder_that_is_no_copy(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"is not in a copy of Headrace \(no \.copier-answers"):
        update(UpdateRequest(tmp_path))


@pytest.mark.parametrize(
    ("old", "new_text", "told"),
    [
        (FIRST, "v9.9.9", r"\(v9\.9\.9\) do not fit: the template .* has no version v9\.9\.9"),
        (FIRST, "1a2b3c4d", r"has no version 1a2b3c4d"),
        ("project_name: project", "project_name: a b", "do not fit: project_name: write it wi"),
        ("sources: []", "sources: [nope]", "do not fit: sources: 'nope' is none of"),
        ("sources: []", "sources: {", r"is not valid YAML \(line"),
        ("/template", "/gone", r"is not there \(if it has moved, correct _src_path in"),
    ],
)
def test_a_damaged_answers_file(project: Repository, old: str, new_text: str, told: str) -> None:
    project.edit(".copier-answers.yml", old, new_text)
    project.commit("damage")
    refused(project, told)


def test_answers_of_a_newer_version(project: Repository, made_once: Path) -> None:
    project.edit(".copier-answers.yml", FIRST, SECOND)
    project.commit("from the future")
    refused(project, rf"the project is at {SECOND}, which is newer than {FIRST}: name", ref=FIRST)
    refused(project, "has no tag, branch or commit v7", ref="v7")


def test_a_template_that_wants_a_newer_copier(
    made_once: Path, project: Repository, tmp_path: Path
) -> None:
    template = Repository(tmp_path / "template")
    shutil.copytree(made_once / "template", template.root)
    template.edit("copier.yml", '"9.10"', '"99.0"')
    template.commit("third", "v0.3.0")
    project.edit(".copier-answers.yml", str(made_once / "template"), str(template.root))
    project.commit("the template has moved")
    refused(project, r"requires Copier version >= 99\.0.*`uv lock --upgrade-package copier")


def test_a_template_on_another_machine_and_without_tags(
    made_once: Path, tmp_path: Path, git_config: Path
) -> None:
    """By address, as of a host: copier keeps a mirror of it."""
    from plumbum import local

    template = Repository(tmp_path / "template")
    shutil.copytree(made_once / "template", template.root)
    first, second = (template.git("rev-parse", tag).strip() for tag in (FIRST, SECOND))
    for tag in (FIRST, SECOND):
        template.git("tag", "--delete", tag)
    with git_config.open("a") as config:
        config.write(f'[url "{tmp_path.as_uri()}/"]\n\tinsteadOf = https://example.invalid/\n')
    made = Repository(tmp_path / "it")
    # copier's git has the environment of the moment when it was imported
    with local.env(GIT_CONFIG_GLOBAL=str(git_config)):
        request = NewRequest(made.root, "https://example.invalid/gone", ref=first)
        with pytest.raises(TemplateError, match="cannot be reached"):
            new(request)
        request = NewRequest(made.root, "https://example.invalid/template", ref=first, lock=False)
        assert new(request).version == first[:7]
        report = update(UpdateRequest(made.root))
        assert (report.from_version, report.to_version) == (first[:7], second[:7])
        assert report.template == "https://example.invalid/template"
        assert report.conflicts == ()
        assert made.read("machinery/merged.txt") == SECOND_LINES.encode()
        assert len(list((git_config.parent / "copier").iterdir())) == 1
        # YAML quotes a commit of digits only
        made.edit(".copier-answers.yml", second[:7], "v9.9.9")
        made.commit("from the future")
        refused(made, r"\(v9\.9\.9\) do not fit: the template .* has no version v9\.9\.9; was")


ODD_NAMES = (
    "größe.sql", "数.sql", "two words.sql", 'quo"te.sql', "it's.sql", "tab\there.sql",
    "line\nbreak.sql", "back\\slash.sql", "[a]1.sql", "-dash.sql", " blank .sql",
)  # fmt: skip


def test_names_that_git_quotes_are_merged_like_others(
    made_once: Path, project: Repository, tmp_path: Path
) -> None:
    """Added on both sides, changed on both sides, and beside a name that a pattern would match."""
    template = Repository(tmp_path / "template")
    shutil.copytree(made_once / "template", template.root)
    for name in ODD_NAMES:
        template.write(f"machinery/ö {name[0]}/{name}", "second version\n")
        project.write(f"machinery/ö {name[0]}/{name}", "mine\n")
    template.write("machinery/a1.sql", "theirs\n")
    template.commit("third", "v0.3.0")
    project.write("machinery/a1.sql", "theirs\n")
    project.edit(".copier-answers.yml", str(made_once / "template"), str(template.root))
    project.commit("mine")
    latin_1 = project.root / "caf\udce9.txt"
    if sys.platform != "darwin":  # its file system takes UTF-8 alone
        latin_1.write_bytes(b"mine\n")
        project.commit("mine, too")

    report = update(UpdateRequest(project.root, dry_run=True))
    again = update(UpdateRequest(project.root))

    assert report.conflicts == again.conflicts
    added = {f"machinery/ö {name[0]}/{name}": "markers" for name in ODD_NAMES}
    assert kinds(again).items() >= added.items()
    for name in added:
        assert project.read(name).startswith(b"<<<<<<< before updating\nmine\n"), name
    assert project.read("machinery/a1.sql") == b"theirs\n"
    assert sys.platform == "darwin" or latin_1.read_bytes() == b"mine\n"


@pytest.mark.parametrize("git_sees_modes", ["true", "false"])
def test_a_file_that_becomes_a_program_is_one_in_git_too(
    made_once: Path, project: Repository, tmp_path: Path, git_sees_modes: str
) -> None:
    template = Repository(tmp_path / "template")
    shutil.copytree(made_once / "template", template.root)
    (template.root / "machinery" / "merged.txt").chmod(0o755)
    template.commit("third", "v0.3.0")
    project.git("config", "core.fileMode", git_sees_modes)
    project.edit(".copier-answers.yml", str(made_once / "template"), str(template.root))
    project.commit("the template has moved")

    update(UpdateRequest(project.root))

    project.git("add", "machinery/merged.txt")
    assert project.git("ls-files", "--stage", "machinery/merged.txt").startswith("100755 ")


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system takes UTF-8 alone")
def test_a_name_that_is_no_utf8_can_be_told(project: Repository) -> None:
    (project.root / "caf\udce9.txt").write_bytes(b"mine\n")
    command = [sys.executable, "-m", "headrace", "update"]
    done = subprocess.run(
        command, cwd=project.root, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 2
    assert "error: not committed: caf\\udce9.txt; commit it" in done.stderr
