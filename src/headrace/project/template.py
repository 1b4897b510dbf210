"""Where the template is, and which version of it to take."""

import json
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import headrace
from headrace.errors import TemplateError
from headrace.project import answers, git
from headrace.secrets import without_user

CONFIG = "copier.yml"
_SHORT = {"gh:": "https://github.com/", "gl:": "https://gitlab.com/"}
# what copier takes for a repository of its own accord; other addresses it must be told of
_KNOWN_TO_COPIER = ("git@", "git://", "git+", *_SHORT, *_SHORT.values())
_ADDRESS = re.compile(r"^([a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:)", re.IGNORECASE)


@dataclass(frozen=True)
class TemplateAddress:
    """Where a template is."""

    source: str
    """As copier takes it, and as the answers file keeps it: an absolute path or an address."""
    url: str
    """As git takes it."""
    folder: Path | None = None
    """When it is on this machine."""
    ref: str | None = None
    """The version that goes with it, where the address came with one."""

    @property
    def shown(self) -> str:
        """Without user and password."""
        return without_user(self.url)

    @property
    def uv_url(self) -> str:
        """As a git source of uv takes it, without a password; copier-address.jinja agrees."""
        if self.folder is not None:
            return self.folder.resolve().as_uri()
        found = re.match(r"([\w.-]+@[\w.-]+):/*(.*)", self.url)
        url = f"ssh://{found[1]}/{found[2]}" if found else self.url
        return re.sub(r"^(https?://)[^/@]*@", r"\1", url)


@dataclass(frozen=True)
class TemplateVersion:
    """One version of a template."""

    address: TemplateAddress
    ref: str | None
    """Tag or commit to check out; none for a folder without git."""
    commit: str | None
    """The full commit; none where it is not known without a clone."""
    tags: tuple[str, ...] = ()
    """All tags of that commit, by any of which copier may call it."""
    notes: tuple[str, ...] = ()

    def is_of(self, described: str) -> bool:
        """Whether ``described``, by ``git describe``, is this version."""
        if self.ref is not None and described in (self.ref, *self.tags):
            return True
        found = re.search(r"(?:^|-g)([0-9a-f]{7,40})$", described)
        return bool(found and self.commit and self.commit.startswith(found[1]))


def locate(given: str | None) -> TemplateAddress:
    """Where to copy from: the given address, else the template of this Headrace.

    Raises:
        TemplateError: nothing is there, or nothing is known.
    """
    found = parse(given) if given is not None else _own()
    if found is None:
        raise TemplateError(
            "this Headrace does not know which template it is from: name it, as "
            "--template with the address of a git repository or a folder"
        )
    return found


def parse(text: str, *, ref: str | None = None) -> TemplateAddress:
    """An address, a short form like ``gh:owner/name``, or a path."""
    for short, long in _SHORT.items():
        if text.startswith(short):
            return TemplateAddress(
                text, f"{long}{text[3:].strip('/').removesuffix('.git')}.git", ref=ref
            )
    bare = text.removeprefix("git+")
    if bare.startswith("file://"):
        bare = url2pathname(urlsplit(bare).path)
    elif _ADDRESS.match(bare):
        known = text.endswith(".git") or text.startswith(_KNOWN_TO_COPIER)
        return TemplateAddress(text if known else f"git+{text}", bare, ref=ref)
    folder = Path(bare).expanduser().absolute()
    return TemplateAddress(str(folder), str(folder), folder, ref)


def _own() -> TemplateAddress | None:
    """Editable checkout, then what PEP 610 recorded, then the answers of a project around."""
    root = Path(headrace.__file__).resolve().parents[2]
    if (root / CONFIG).is_file():
        return TemplateAddress(str(root), str(root), root)
    recorded = _recorded()
    if recorded is not None:
        return recorded
    for start in (Path.cwd(), root):
        project = answers.find(start)
        if project is not None:
            return parse(answers.read(project).source)
    return None


def _recorded() -> TemplateAddress | None:
    """The ``direct_url.json`` of the distribution that holds this package, whatever its name."""
    package = Path(headrace.__file__).resolve()
    for distribution in metadata.distributions():
        text = distribution.read_text("direct_url.json")
        if text is None:
            continue
        files = distribution.files or []
        if any(Path(str(distribution.locate_file(file))).resolve() == package for file in files):
            return from_direct_url(text)
    return None


def from_direct_url(text: str) -> TemplateAddress | None:
    """The template that a ``direct_url.json`` (PEP 610) leads to, if any."""
    try:
        entry = json.loads(text)
        url, vcs = str(entry["url"]), entry.get("vcs_info")
        if vcs is not None:
            return parse(f"git+{url}", ref=str(vcs["commit_id"])) if vcs["vcs"] == "git" else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    found = parse(url)
    return found if found.folder is not None and (found.folder / CONFIG).is_file() else None


def pick(address: TemplateAddress, ref: str | None = None) -> TemplateVersion:
    """The version to take: ``ref``, else the newest tag, else the newest commit.

    Tags that are versions by PEP 440 count, and no pre-releases, as for copier.

    Raises:
        TemplateError: the template cannot be reached, or has no such version.
    """
    ref = ref or address.ref
    if address.folder is not None and not address.folder.exists():
        raise TemplateError(f"the template at {address.folder} is not there")
    if address.folder is not None and not _is_repository(address.folder):
        return _plain(address, ref)
    git.require("a template with versions")
    refs = _refs(address)
    if ref is None:
        tag = _newest(refs)
        if tag is not None:
            return _newest_tag(address, refs, tag)
        ref = "HEAD"
    commit = _commit(address, refs, ref)
    if commit is None and re.fullmatch(r"[0-9a-f]{40}", ref):
        commit = ref  # `git ls-remote` names the ends of branches alone: copier's clone will tell
    if commit is None and not re.fullmatch(r"[0-9a-f]{7,39}", ref):
        raise TemplateError(f"the template at {address.shown} has no tag, branch or commit {ref}")
    notes = _uncommitted(address) if ref == "HEAD" else ()
    # a branch may move between this moment and copier's clone; a commit does not
    taken = ref if f"refs/tags/{ref}" in refs or commit is None else commit
    return TemplateVersion(address, taken, commit, _tags(refs, commit), notes)


def _plain(address: TemplateAddress, ref: str | None) -> TemplateVersion:
    folder = address.folder
    if folder is None or not (folder / CONFIG).is_file():
        raise TemplateError(f"{address.shown} holds no template (no {CONFIG})")
    if (folder / ".git").exists():
        git.require("a copy of a checkout")  # else what git ignores would be copied as well
        raise TemplateError(
            f"{folder} is not a repository that git can read: see `git status` there"
        )
    if ref is not None:
        raise TemplateError(f"{folder} is a folder without git: it has no version {ref}")
    note = "the template is a folder without git: `headrace update` needs a template with versions"
    return TemplateVersion(address, None, None, notes=(note,))


def _newest_tag(address: TemplateAddress, refs: dict[str, str], tag: str) -> TemplateVersion:
    commit = refs[f"refs/tags/{tag}"]
    notes: tuple[str, ...] = ()
    if address.folder is not None and refs.get("HEAD") not in (None, commit):
        notes = (f"the template's checkout has commits beyond {tag}: --ref HEAD takes those",)
    return TemplateVersion(address, tag, commit, _tags(refs, commit), notes)


def _is_repository(folder: Path) -> bool:
    """Whether copier takes a folder for a repository: its root, or a bare one that says so."""
    if not git.is_there():
        return False
    if folder.suffix == ".git":
        return True
    top = git.top(folder)
    return top is not None and top.resolve() == folder.resolve()


def _refs(address: TemplateAddress) -> dict[str, str]:
    """Names of tags, branches and HEAD to commits."""
    where = address.folder or Path.cwd()
    # without a question for a password: it would wait for an answer that nobody sees
    environ = {"GIT_TERMINAL_PROMPT": "0"}
    result = git.run(where, "ls-remote", "--", address.url, environ=environ)
    if result.returncode:
        raise TemplateError(
            f"the template at {address.shown} cannot be reached: "
            f"{without_user(git.last_line(result.stderr))}"
        )
    refs: dict[str, str] = {}
    for line in result.stdout.splitlines():
        commit, _, name = line.partition("\t")
        # the line of an annotated tag is followed by one of the commit it stands for
        refs[name.removesuffix("^{}")] = commit
    if not refs:
        raise TemplateError(f"the template at {address.shown} has no commit yet")
    return refs


def _newest(refs: dict[str, str]) -> str | None:
    from packaging.version import InvalidVersion
    from packaging.version import parse as parse_version

    found = []
    for name in refs:
        tag = name.removeprefix("refs/tags/")
        try:
            version = parse_version(tag)
        except InvalidVersion:
            continue
        if tag != name and not version.is_prerelease:
            found.append((version, tag))
    return max(found)[1] if found else None


def _commit(address: TemplateAddress, refs: dict[str, str], ref: str) -> str | None:
    for name in (f"refs/tags/{ref}", f"refs/heads/{ref}", ref):
        if name in refs:
            return refs[name]
    return git.commit_of(address.folder, ref) if address.folder is not None else None


def _tags(refs: dict[str, str], commit: str | None) -> tuple[str, ...]:
    found = (name for name, of in refs.items() if of == commit and name.startswith("refs/tags/"))
    return tuple(name.removeprefix("refs/tags/") for name in found)


def _uncommitted(address: TemplateAddress) -> tuple[str, ...]:
    folder = address.folder
    if folder is None or git.top(folder) is None or not git.status(folder):
        return ()
    return ("what is not committed in the template's checkout is not in the copy",)
