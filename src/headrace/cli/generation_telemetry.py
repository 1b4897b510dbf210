"""A call of ``headrace generate`` as spans and as lines of the JSON log.

Names of spans: ``headrace generate``, and below it ``Generate 10k rows`` for each table.
"""

import logging
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.formatting import short_count
from headrace.telemetry import json_log
from headrace.telemetry.json_log import log_event
from headrace.telemetry.spans import Trace, Value

if TYPE_CHECKING:
    from headrace.synth.generate import Generated
    from headrace.synth.writer import Written


class GenerationTelemetry:
    """Tells of one call."""

    def __init__(self, schema: Path) -> None:
        """The call began.

        Args:
            schema: the schema file.
        """
        self._schema = str(schema)
        self._began = datetime.now(UTC)
        self._run_id = f"{self._began:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
        about = {"headrace.run_id": self._run_id, "headrace.schema": self._schema}
        self._trace = Trace("headrace generate", about)
        with json_log.about(run_id=self._run_id, stage="generate"):
            log_event("generation began", schema=self._schema, trace_id=self._trace.trace_id)

    def ended(self, result: "Generated") -> str | None:
        """It is done.

        Returns:
            A warning for the user where spans could not be sent; else None.
        """
        with json_log.about(run_id=self._run_id, stage="generate"):
            for table in result.tables:
                self._table(table)
            log_event(
                "generation ended",
                rows=result.rows,
                seconds=self._seconds(),
                status="success",
                directory=str(result.directory),
            )
        return self._trace.close({"headrace.rows": result.rows, "headrace.status": "success"})

    def failed(self, error: BaseException) -> str | None:
        """It ended in an error, which is told elsewhere, too; gives what ``ended`` gives."""
        said = str(error) or type(error).__name__
        with json_log.about(run_id=self._run_id, stage="generate"):
            log_event(
                "generation ended",
                level=logging.ERROR,
                seconds=self._seconds(),
                status="error",
                error=said,
            )
        return self._trace.close({"headrace.status": "error"}, error=said)

    def _seconds(self) -> float:
        return round((datetime.now(UTC) - self._began).total_seconds(), 3)

    def _table(self, table: "Written") -> None:
        ended = table.started_at + timedelta(seconds=table.seconds)
        about: dict[str, Value] = {
            "headrace.stage": "generate", "headrace.table": table.table,
            "headrace.rows": table.rows, "headrace.bytes": table.bytes,
        }  # fmt: skip
        name = f"Generate {short_count(table.rows)} rows"
        self._trace.record(name, table.started_at, ended, about)
        log_event(
            "table generated",
            table=table.table,
            rows=table.rows,
            seconds=round(table.seconds, 3),
            files=len(table.files),
            bytes=table.bytes,
        )
