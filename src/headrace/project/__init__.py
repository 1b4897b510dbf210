"""From the template to a user's own project, and back to the template's updates."""

from headrace.project.reports import (
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
