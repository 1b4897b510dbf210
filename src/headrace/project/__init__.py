"""From the template to a user's own project, and back to the template's updates."""

from headrace.project.reports import Answer, Conflict, Lock, NewReport, Repository, UpdateReport

__all__ = ["Answer", "Conflict", "Lock", "NewReport", "Repository", "UpdateReport"]
