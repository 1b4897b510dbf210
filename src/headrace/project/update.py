"""``headrace update``: a newer version of the template merged into a project.

old and new version, rendered with the answers ─► copier's merge ─► each file compared ─► report
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace import portable
from headrace.errors import TemplateError
from headrace.formatting import first_few
from headrace.project import answers, git, merge, template
from headrace.project.answers import CopierAnswers
from headrace.project.copier_calls import Rendered, merge_update, render
from headrace.project.merge import LockStatus, MergeOutcome, TemplateAnswer, UpdateReport
from headrace.project.template import TemplateVersion
from headrace.project.uv_lock import lock

_MARKER = "headrace-update"
UNDO = "git restore --staged --worktree . && git clean -fd ."


@dataclass(frozen=True)
class UpdateRequest:
    """Which project to update, and to what."""

    start: Path
    """A folder in the project."""
    ref: str | None = None
    """A tag, branch or commit of the template; none for the newest tag."""
    data: dict[str, Any] = field(default_factory=dict)
    """Answers to change."""
    dry_run: bool = False
    """Whether to try the update in a copy, and leave the project as it is."""


def update(request: UpdateRequest, tell: Callable[[str], None] = lambda _: None) -> UpdateReport:
    """Merge a version of the template into the project; nothing is committed.

    Args:
        request: which project, and to which version.
        tell: is called with what is done next.

    Raises:
        TemplateError: the project or the template is not as it must be; nothing was changed.
    """
    project = _project(request.start)
    said = answers.read(project)
    _check_tree(project)
    address = template.parse(said.source)
    try:
        version = template.pick(address, request.ref)
    except TemplateError as error:
        raise TemplateError(
            f"{error} (if it has moved, correct _src_path in {answers.FILE} and commit that)"
        ) from error
    if version.ref is None:
        raise TemplateError(f"{address.shown} is a folder without git: it has no versions")
    if version.is_of(said.commit) and not request.data:
        return _up_to_date(project, said, version, dry_run=request.dry_run)
    with _scratch(project) as scratch:
        tell(f"comparing {said.commit} with the new version")
        old, new = _both(project, said, version, request.data, scratch)
        same, doubts = _with_the_old_answers(project, said, version, request.data, new, scratch)
        where = _clone(project, scratch / "try") if request.dry_run else project
        with _marked(where, new.version):
            tell(f"merging {new.version}")
            status, found, notes = _merge(where, (old, same, new), version, request.data)
            tell("uv lock")
            locked = _lock(where, project, found, dry_run=request.dry_run)
    return UpdateReport(
        project=str(project),
        template=address.shown,
        from_version=said.commit,
        to_version=new.version,
        dry_run=request.dry_run,
        **found.report_fields(status),
        **_answers(said.values, new.answers, request.data),
        lock=locked,
        undo=UNDO if status and not request.dry_run else "",
        notes=tuple(dict.fromkeys((*version.notes, *new.notes, *doubts, *notes))),
    )


def _project(start: Path) -> Path:
    project = answers.find(start)
    if project is None:
        raise TemplateError(
            f"{start.resolve()} is not in a copy of Headrace (no {answers.FILE} here or above): "
            "`headrace new` makes one; a clone of Headrace itself is updated by `git pull`"
        )
    return project


def _check_tree(project: Path) -> None:
    """Only what is committed can be had back, and told from the new version's.

    Raises:
        TemplateError: no git, no commit, or something is not committed.
    """
    git.require("an update")
    if git.top(project) is None:
        raise TemplateError(
            f"{project} is not in a git repository, so an update could not be undone: "
            "`git init && git add --all && git commit -m Start`, then again"
        )
    if git.commit_of(project, "HEAD") is None:
        raise TemplateError(
            "nothing is committed yet, so an update could not be undone: "
            "`git add --all && git commit -m Start`, then again"
        )
    dirty = sorted(git.status(project))
    _check_no_marker(project, is_dirty=bool(dirty))
    if dirty:
        raise TemplateError(
            f"not committed: {first_few(dirty, merge.MOST_NAMED)}; commit it, or stash it with "
            "`git stash -u`, then run the same command again"
        )
    if not git.out(project, "ls-files", "--", answers.FILE):
        raise TemplateError(f"{answers.FILE} is not in git: `git add -f {answers.FILE}`, commit it")


def _up_to_date(
    project: Path, said: CopierAnswers, version: TemplateVersion, *, dry_run: bool
) -> UpdateReport:
    return UpdateReport(
        project=str(project),
        template=version.address.shown,
        from_version=said.commit,
        to_version=said.commit,
        dry_run=dry_run,
        up_to_date=True,
        lock=LockStatus(status="skipped"),
        notes=version.notes,
    )


@contextmanager
def _scratch(project: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-update-"))
    try:
        for name in ("old", "same", "new", "try"):
            (folder / name / project.name).mkdir(parents=True)
        yield folder
    finally:
        portable.remove(folder)


def _both(
    project: Path,
    said: CopierAnswers,
    version: TemplateVersion,
    data: Mapping[str, Any],
    scratch: Path,
) -> tuple[Rendered, Rendered]:
    """The template's old and new version with the user's answers, away from the project.

    All that can be wrong with an answer or a version is found here, with nothing touched.
    """
    name = project.name
    try:
        old = render(
            said.source, said.commit, scratch / "old" / name, data=said.values, known=said.values
        )
    except TemplateError as error:
        raise TemplateError(
            f"the version and the answers of {answers.FILE} ({said.commit}) do not fit: {error}; "
            "was the file edited, or is it of another or newer template?"
        ) from error
    folder = scratch / "new" / name
    shutil.copyfile(project / answers.FILE, folder / answers.FILE)
    new = render(said.source, version.ref, folder, data=data)
    for key, value in said.values.items():
        if key in new.answers and new.answers[key] != value and key not in data:
            raise TemplateError(
                f"{new.version} does not take the answer {key}: {value!r} any more: give one by "
                f"--data {key}=… (its default is {new.answers[key]!r})"
            )
    return old, new


def _with_the_old_answers(
    project: Path,
    said: CopierAnswers,
    version: TemplateVersion,
    data: Mapping[str, Any],
    new: Rendered,
    scratch: Path,
) -> tuple[Rendered | None, tuple[str, ...]]:
    """The new version as it would be without ``--data``; none where that changes no answer."""
    changed = {key for key in data if new.answers.get(key) != said.values.get(key)}
    if not changed:
        return None, ()
    kept = {key: value for key, value in new.answers.items() if key not in changed}
    kept |= {key: said.values[key] for key in changed if key in said.values}
    folder = scratch / "same" / project.name
    try:
        return render(said.source, version.ref, folder, data=kept, known=said.values), ()
    except TemplateError as error:
        # the old answer is no longer valid, so nothing shows what the new one adds
        return None, (f"in files of your own the new answers change nothing: {error}",)


def _merge(
    where: Path,
    versions: tuple[Rendered, Rendered | None, Rendered],
    version: TemplateVersion,
    data: Mapping[str, Any],
) -> tuple[dict[str, str], MergeOutcome, tuple[str, ...]]:
    """Update the project, or its copy; a failure is undone."""
    old, same, new = versions
    before, after = merge.contents(old.folder), merge.contents(new.folder)
    was = merge.before(where, before, after)
    _keep(where, was.untracked)
    try:
        notes = merge_update(where, version.ref, data=data)
        found = merge.outcome(where, before, after, was)
        if same is not None:
            note = merge.apply_new_answers(where, merge.contents(same.folder), after, was, found)
            notes = (*notes, *([note] if note else []))
        return git.status(where), found, notes
    except BaseException as error:
        _take_back(where)
        if "downgrading" in str(error):
            raise TemplateError(
                f"the project is at {old.version}, which is newer than {new.version}: name a newer "
                "version by --ref, such as --ref HEAD for the newest commit"
            ) from error
        raise


def _take_back(project: Path) -> None:
    """Undo the update: all was committed before, so whatever is not in git came from it."""
    git.out(project, "restore", "--source=HEAD", "--staged", "--worktree", "--", ".")
    git.out(project, "clean", "-fdq", "--", ".")
    _put_back(project)


def _keep(project: Path, ignored: Mapping[str, bytes]) -> None:
    """Copy files that git ignores into its folder: git itself could not bring them back."""
    kept = _kept(project)
    for name, content in ignored.items():
        path = kept / name
        path.parent.mkdir(parents=True, exist_ok=True)
        portable.write_file(path, content)


def _put_back(project: Path) -> None:
    """Write the files that git ignores as they were before the update."""
    kept = _kept(project)
    for path in (path for path in kept.rglob("*") if path.is_file()):
        target = project / path.relative_to(kept)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or target.read_bytes() != path.read_bytes():
            portable.write_file(target, path.read_bytes())


def _clone(project: Path, folder: Path) -> Path:
    """The last commit of the project, elsewhere."""
    top = git.top(project) or project
    copy = folder / project.name
    git.out(folder, *git.QUIETLY, "clone", "--quiet", "--local", "--", str(top), str(copy))
    return copy / project.resolve().relative_to(top.resolve())


def _lock(where: Path, project: Path, found: MergeOutcome, *, dry_run: bool) -> LockStatus:
    if dry_run:
        return LockStatus(status="skipped", detail="--dry-run")
    if "pyproject.toml" in found.conflicts:
        return LockStatus(
            status="skipped", detail="settle pyproject.toml first, then run `uv lock`"
        )
    return lock(where, shown=str(project))


def _answers(
    old: Mapping[str, Any], new: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of the report that name answers."""
    fresh = [
        TemplateAnswer(name=name, value=value) for name, value in new.items() if name not in old
    ]
    changed = [
        TemplateAnswer(name=name, value=value)
        for name, value in new.items()
        if name in old and old[name] != value
    ]
    return {
        "new_answers": tuple(answer for answer in fresh if answer.name not in data),
        "changed_answers": (*changed, *(answer for answer in fresh if answer.name in data)),
        "dropped_answers": tuple(name for name in old if name not in new),
    }


@contextmanager
def _marked(project: Path, version: str) -> Iterator[None]:
    """While an update to a version changes the project; what ends it in order takes the note."""
    marker = _marker(project)
    portable.write_file(marker, version)
    try:
        yield
    finally:
        portable.remove(_kept(project))
        marker.unlink(missing_ok=True)


def _check_no_marker(project: Path, *, is_dirty: bool) -> None:
    """Check that no update was interrupted.

    Raises:
        TemplateError: one was, and the files are partly updated.
    """
    marker = _marker(project)
    if not marker.is_file():
        return
    _put_back(project)
    if is_dirty:
        version = marker.read_text(encoding="utf-8")
        raise TemplateError(
            f"an update to {version} was interrupted: undo it with `{UNDO}`, then run "
            "the same command again (this also drops what was changed since)"
        )
    portable.remove(_kept(project))
    marker.unlink()


def _kept(project: Path) -> Path:
    """Where files that git ignores are kept while an update changes the project."""
    return _marker(project).with_name(f"{_MARKER}.kept")


def _marker(project: Path) -> Path:
    return project / git.out(project, "rev-parse", "--git-path", _MARKER).removesuffix("\n")
