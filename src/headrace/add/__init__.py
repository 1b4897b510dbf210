"""``headrace add source``: a new source's folder, settings, test and staging models."""

from headrace.add.model import KINDS, AddRequest
from headrace.add.report import AddedFile, AddReport
from headrace.add.service import add_source

__all__ = ["KINDS", "AddReport", "AddRequest", "AddedFile", "add_source"]
