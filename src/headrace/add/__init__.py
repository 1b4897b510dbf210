"""``headrace add source``: a new source's folder, settings, test and staging models."""

from headrace.add.request import KINDS, AddRequest
from headrace.add.service import AddedFile, AddReport, add_source

__all__ = ["KINDS", "AddReport", "AddRequest", "AddedFile", "add_source"]
