"""What ``headrace new`` and ``headrace update`` report; shown, and printed as JSON."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True)


class TemplateAnswer(_Report):
    """One answer to a question of the template."""

    name: str
    value: Any


class LockStatus(_Report):
    """What became of ``uv.lock``."""

    status: Literal["locked", "failed", "skipped"]
    detail: str = Field("", description="why it failed or was skipped, and what to run")


class RepositoryStatus(_Report):
    """What became of the project's git repository."""

    status: Literal["committed", "skipped", "inside", "failed"]
    detail: str = Field("", description="the commit's message; else why there is none")


class NewReport(_Report):
    """A project that was copied from the template."""

    project: str = Field(description="the folder")
    template: str = Field(description="address of the template, without any password")
    version: str = Field(description="tag or commit; empty for a template without git")
    answers: tuple[TemplateAnswer, ...]
    asked: bool = Field(description="whether the questions were asked; else defaults were taken")
    lock: LockStatus
    repository: RepositoryStatus
    notes: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()


class MergeConflict(_Report):
    """A file in which the user's changes and the new version's meet."""

    path: str
    kind: Literal["markers", "dropped", "binary", "merge"] = Field(
        description="`markers`: both versions stand in the file; `dropped`: the new version has "
        "the file no more; `binary`: the new version's stands; `merge`: not merged as git would"
    )
    what: str = Field(description="what happened and what to do, as text")


class UpdateReport(_Report):
    """An update of a project to a version of the template. Paths are below the project."""

    project: str
    template: str = Field(description="address of the template, without any password")
    from_version: str
    to_version: str
    dry_run: bool = False
    up_to_date: bool = Field(False, description="the project is of that version already")
    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    conflicts: tuple[MergeConflict, ...] = ()
    kept: tuple[str, ...] = Field((), description="yours, left alone; the new version differs")
    not_added: tuple[str, ...] = Field((), description="new in places that are yours; not added")
    stay_deleted: tuple[str, ...] = Field(
        (), description="deleted or renamed by you; the new version changed them; not brought back"
    )
    put_back: tuple[str, ...] = Field(
        (), description="yours, overwritten by the merge and put back as they were"
    )
    new_answers: tuple[TemplateAnswer, ...] = Field(
        (), description="new questions; defaults were taken"
    )
    changed_answers: tuple[TemplateAnswer, ...] = Field((), description="as given by --data")
    dropped_answers: tuple[str, ...] = Field((), description="questions that are asked no more")
    lock: LockStatus
    undo: str = Field("", description="the command that takes the update back; empty if no change")
    notes: tuple[str, ...] = ()
