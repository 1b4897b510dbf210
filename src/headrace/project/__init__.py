"""A user's project as a copy of the template, and updates of it from the template."""

from headrace.project.merge import (
    LockStatus,
    MergeConflict,
    NewReport,
    RepositoryStatus,
    TemplateAnswer,
    UpdateReport,
)

__all__ = [
    "LockStatus",
    "MergeConflict",
    "NewReport",
    "RepositoryStatus",
    "TemplateAnswer",
    "UpdateReport",
]
