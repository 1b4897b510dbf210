"""Where a template is, and which version is taken."""

import json
import shutil
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader
from project_bench import FIRST, SECOND, Repository, needs_git, repository

import headrace
from headrace.errors import TemplateError
from headrace.project import answers, template
from headrace.project.template import locate, parse, pick
from headrace.secrets import without_user

pytestmark = needs_git
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("text", "source", "url"),
    [
        ("gh:owner/name", "gh:owner/name", "https://github.com/owner/name.git"),
        ("gl:owner/name.git", "gl:owner/name.git", "https://gitlab.com/owner/name.git"),
        ("git@host:owner/name", "git@host:owner/name", "git@host:owner/name"),
        ("https://host/name.git", "https://host/name.git", "https://host/name.git"),
        ("git+https://host/name", "git+https://host/name", "https://host/name"),
        # copier takes these for folders unless it is told
        ("https://host/name", "git+https://host/name", "https://host/name"),
        ("ssh://git@host/name", "git+ssh://git@host/name", "ssh://git@host/name"),
        ("me@host:name", "git+me@host:name", "me@host:name"),
    ],
)
def test_addresses(text: str, source: str, url: str) -> None:
    found = parse(text)
    assert (found.source, found.url, found.folder) == (source, url, None)


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    there = tmp_path / "a b"
    for text in ("a b", str(there), "~/a b", there.as_uri(), f"git+{there.as_uri()}"):
        assert parse(text) == template.TemplateAddress(str(there), str(there), there), text


def test_no_password_is_shown() -> None:
    assert parse("https://me:secret@host/name.git").shown == "https://host/name.git"
    told = without_user("unable to access 'https://token@host/x/': no, see a@b.c")
    assert told == "unable to access 'https://host/x/': no, see a@b.c"


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ("gh:owner/name", "https://github.com/owner/name.git"),
        ("gl:owner/name.git", "https://gitlab.com/owner/name.git"),
        ("https://host/name.git", "https://host/name.git"),
        ("git+https://host/name", "https://host/name"),
        ("https://me:secret@host/name.git", "https://host/name.git"),
        ("git@host:owner/name.git", "ssh://git@host/owner/name.git"),
        ("git+ssh://git@host/name.git", "ssh://git@host/name.git"),
    ],
)
def test_the_address_as_a_source_of_uv(source: str, url: str) -> None:
    """The template and the code make the same of an address."""
    assert parse(source).uv_url == url
    assert _git_url(source) == url


def test_a_folder_as_a_source_of_uv(tmp_path: Path) -> None:
    folder = (tmp_path / "größe 1").resolve()
    folder.mkdir()
    assert parse(str(folder)).uv_url == folder.as_uri()
    assert _git_url(str(folder)) == folder.as_uri()


def _git_url(source: str) -> str:
    """What copier-address.jinja makes of an address."""
    environment = Environment(  # noqa: S701 (no HTML)
        loader=FileSystemLoader(ROOT),
        extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"],
    )
    text = '{% from "copier-address.jinja" import git_url %}{{ git_url(source) }}'
    return environment.from_string(text).render(source=source)


def test_the_newest_version_is_taken(tmp_path: Path) -> None:
    made = repository(tmp_path / "it")
    for tag in ("v0.9.0", "v0.10.0", "v0.11.0rc1", "nightly", "v0.2.0"):
        made.commit(tag, tag)
    version = pick(parse(str(made.root)))
    assert (version.ref, version.commit) == ("v0.10.0", made.git("rev-parse", "v0.10.0").strip())
    assert version.notes == (
        "the template's checkout has commits beyond v0.10.0: --ref HEAD takes those",
    )
    assert pick(parse(str(made.root)), "v0.11.0rc1").ref == "v0.11.0rc1"


def test_an_annotated_tag_stands_for_its_commit(template: Repository) -> None:
    template.git("tag", "--annotate", "--message", "x", "v0.3.0")
    version = pick(parse(str(template.root)))
    assert version.commit == template.git("rev-parse", "HEAD").strip()
    assert set(version.tags) == {FIRST, "v0.3.0"}
    assert version.is_of(FIRST)
    assert version.is_of("v0.3.0")
    assert not version.is_of("v0.2.0")
    assert version.notes == ()


def test_without_tags_the_newest_commit_is_taken(template: Repository) -> None:
    template.git("tag", "--delete", FIRST)
    version = pick(parse(str(template.root)))
    head = template.git("rev-parse", "HEAD").strip()
    assert version.ref == version.commit == head
    assert version.is_of(head[:7])
    assert version.is_of(f"v0.1.0-3-g{head[:9]}")
    assert not version.is_of("1234567")
    template.write("new.txt", "x")
    assert pick(parse(str(template.root))).notes == (
        "what is not committed in the template's checkout is not in the copy",
    )


def test_a_branch_is_taken_as_its_commit(template: Repository) -> None:
    template.git("checkout", "--quiet", "-b", "next")
    template.commit("next")
    head = template.git("rev-parse", "HEAD").strip()
    template.git("checkout", "--quiet", "main")
    found = [pick(parse(str(template.root)), ref) for ref in ("next", head, head[:8])]
    assert {version.ref for version in found} == {head}
    remote = parse(f"git+{template.root.as_uri()}")
    assert pick(remote, "next").ref == head


def test_another_machines_repository_is_asked(template: Repository) -> None:
    """By address: nothing is known of it but what ``git ls-remote`` says."""
    bare = template.root.parent / "bare.git"
    shutil.copytree(template.root / ".git", bare)
    address = template_address(bare)
    assert pick(address).ref == FIRST
    unknown = "1" * 40
    assert pick(address, unknown).commit == unknown  # copier's clone will tell
    assert pick(address, "1" * 8).commit is None
    with pytest.raises(TemplateError, match="has no tag, branch or commit v7"):
        pick(address, "v7")


def template_address(bare: Path) -> template.TemplateAddress:
    return template.TemplateAddress(f"git+{bare.as_uri()}", bare.as_uri())


def test_what_is_no_template_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TemplateError, match=r"the template at .*nowhere is not there"):
        pick(locate(str(tmp_path / "nowhere")))
    with pytest.raises(TemplateError, match=r"cannot be reached: fatal: "):
        pick(template_address(tmp_path / "nowhere.git"))
    with pytest.raises(TemplateError, match="has no commit yet"):
        pick(parse(str(repository(tmp_path / "empty").root)))
    (tmp_path / "folder").mkdir()
    with pytest.raises(TemplateError, match=r"holds no template \(no copier.yml\)"):
        pick(parse(str(tmp_path / "folder")))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TemplateError, match="git is not installed"):
        pick(parse("https://host/name.git"))


def test_a_folder_without_git(template: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its .git is looked at: what git ignores must not be copied when git is missing."""
    address = parse(str(template.root))
    monkeypatch.setenv("PATH", str(template.root))
    with pytest.raises(TemplateError, match="git is not installed, and a copy of a checkout"):
        pick(address)
    shutil.rmtree(template.root / ".git")
    version = pick(address)
    assert (version.ref, version.commit) == (None, None)
    assert "is a folder without git" in version.notes[0]
    with pytest.raises(TemplateError, match="it has no version v1"):
        pick(address, "v1")


def test_a_checkout_of_headrace_is_its_own_template() -> None:
    assert locate(None).folder == ROOT


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This package as if it were installed elsewhere, in a project of another name."""
    package = tmp_path / "lib" / "python3" / "site-packages" / "headrace" / "__init__.py"
    package.parent.mkdir(parents=True)
    package.touch()
    record = package.parents[1] / "my_project-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: my-project\nVersion: 1.0\n")
    (record / "RECORD").write_text("headrace/__init__.py,,\n")
    monkeypatch.setattr(headrace, "__file__", str(package))
    monkeypatch.syspath_prepend(str(package.parents[1]))
    monkeypatch.chdir(tmp_path)
    return record


def test_installed_from_git_the_same_commit_is_taken(installed: Path) -> None:
    entry = {
        "url": "https://host/headrace",
        "vcs_info": {"vcs": "git", "commit_id": "a" * 40, "requested_revision": "v1"},
    }
    (installed / "direct_url.json").write_text(json.dumps(entry))
    found = locate(None)
    assert (found.source, found.ref) == ("git+https://host/headrace", "a" * 40)


def test_installed_from_a_folder(installed: Path, template: Repository) -> None:
    entry = {"url": template.root.as_uri(), "dir_info": {}}
    (installed / "direct_url.json").write_text(json.dumps(entry))
    assert locate(None).folder == template.root


def test_in_a_project_its_template_is_taken(installed: Path, tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="does not know which template it is from"):
        locate(None)
    (tmp_path / answers.FILE).write_text("_commit: v1\n_src_path: gh:owner/name\n")
    assert locate(None).source == "gh:owner/name"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"url": "https://host/x.tar.gz", "archive_info": {}}',
        '{"url": "https://host/x", "vcs_info": {"vcs": "hg", "commit_id": "1"}}',
        '{"url": "https://host/x", "vcs_info": {}}',
        '{"url": "file:///nowhere", "dir_info": {"editable": true}}',
    ],
)
def test_records_that_lead_nowhere(text: str) -> None:
    assert template.from_direct_url(text) is None


def test_second_version_is_newer(made_once: Path) -> None:
    assert pick(parse(str(made_once / "template"))).ref == SECOND
