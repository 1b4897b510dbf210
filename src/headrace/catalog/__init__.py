"""What Headrace knows: the history of runs (and, later, the graph)."""

from headrace.catalog.store import INTERRUPTED, RUNNING, Failure, RunStore, StoredRun

__all__ = ["INTERRUPTED", "RUNNING", "Failure", "RunStore", "StoredRun"]
