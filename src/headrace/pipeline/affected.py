"""What depends on tables that could not be loaded."""

from collections.abc import Iterable

from headrace.artifacts import Manifest
from headrace.lineage.trace import reachable
from headrace.pipeline.reports import LoadFailure
from headrace.settings import Resolved


def affected_by(
    failures: Iterable[LoadFailure], manifest: Manifest, resolved: Resolved
) -> frozenset[str]:
    """The ids of the raw tables of failed loads, and of all that is downstream of them.

    A test is affected if any of the models that it reads is.

    Args:
        failures: of the load; one without a table is of all tables of its source.
        manifest: of the project.
        resolved: the settings, which name the schema of a source.
    """
    failed = {
        id_
        for id_, node in manifest.sources.items()
        if any(
            node.schema_name == resolved.raw_schema(failure.source)
            and _is_of(failure.table, node.relation_name)
            for failure in failures
        )
    }
    return frozenset(reachable(manifest.child_map(), failed))


def _is_of(failed: str | None, table: str) -> bool:
    """Whether a raw table, or a child table of nested rows, is one that failed; None is all."""
    return failed is None or table == failed or table.startswith(f"{failed}__")
