"""What a run writes to the run store as it goes."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headrace.catalog import RunStore
from headrace.catalog.store import TableRun
from headrace.pipeline.checking import promises
from headrace.pipeline.reports import (
    AuditReport,
    BuildReport,
    LoadFailure,
    NodeReport,
    PublishedTableReport,
    TableReport,
)


def new_run_id() -> str:
    """The id of a run that begins now."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


@dataclass(frozen=True)
class RunRecord:
    """The record of one run.

    Attributes:
        store: where it is written.
        run_id: of the run.
    """

    store: RunStore
    run_id: str

    def add_loads(self, tables: Iterable[TableReport]) -> None:
        """Record tables that were loaded."""
        keys = set(TableRun.__dataclass_fields__) - {"new_columns"}
        self.store.add_loads(
            self.run_id,
            [
                {
                    **table.model_dump(include=keys),
                    "new_columns": ", ".join(table.new_columns) or None,
                }
                for table in tables
            ],
        )

    def add_load_failures(self, failures: Iterable[LoadFailure]) -> None:
        """Record what could not be loaded."""
        rows = [{"source": f.source, "table": f.table, "message": f.error} for f in failures]
        self.store.add_load_failures(self.run_id, rows)

    def add_row_counts(self, tables: Iterable[PublishedTableReport]) -> None:
        """Record the rows of what was published."""
        self.store.add_row_counts(
            self.run_id,
            [
                {
                    "unique_id": table.asset,
                    "rows": table.rows,
                    "rows_new": table.rows_new,
                    "rows_changed": table.rows_changed,
                }
                for table in tables
            ],
        )

    def add_nodes(self, report: BuildReport) -> None:
        """Record the nodes of a build step; those of a build that was reused as such."""
        nodes = (*report.nodes, *report.freshness)
        rows = [
            {**row, "status": "reused", "seconds": 0.0} if report.reused or node.reused else row
            for node, row in zip(nodes, _rows(nodes), strict=True)
        ]
        self.store.add_nodes(self.run_id, rows)

    def add_promises(self, report: AuditReport, built: Iterable[NodeReport]) -> None:
        """Record the promises that an audit looked at, and keep them with those of the build."""
        self.store.add_nodes(self.run_id, _rows(report.nodes))
        self.store.keep_promises(self.run_id, promises.kept((*built, *report.nodes)))


def _rows(nodes: Iterable[NodeReport]) -> list[dict[str, Any]]:
    left_out = {"severity", "attached_to", "promised_to", "part", "reused"}
    keys = set(NodeReport.model_fields) - left_out
    return [{key: getattr(node, key) for key in keys} for node in nodes]
