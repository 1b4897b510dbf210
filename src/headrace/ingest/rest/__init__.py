"""Rows of a REST API, read by dlt's ``rest_api``: pages, cursors, types and limits checked."""

from headrace.ingest.model import ApiLimits, ApiResource, Paginator
from headrace.ingest.rest.source import api_source

__all__ = ["ApiLimits", "ApiResource", "Paginator", "api_source"]
