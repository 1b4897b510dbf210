"""Faults laid over clean tables, block by block."""

from collections.abc import Sequence
from datetime import UTC, date
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.synth.errors import SynthError
from headrace.synth.faults.block import Block, WrittenRows, changed, kind_of
from headrace.synth.faults.manifest import SCHEMA, Counted, FaultManifest, Recorder
from headrace.synth.faults.rows import hold_back, swapped, written_rows
from headrace.synth.faults.spec import problems
from headrace.synth.frame import Frame
from headrace.synth.plan import TablePlan
from headrace.synth.population import to_us
from headrace.synth.record_batch import to_batch
from headrace.synth.schema.base import as_datetime
from headrace.synth.schema.fault import AnyFault, LateRows, OutOfOrder, SchemaChange, TypeFlip
from headrace.synth.view import View

_TIMES: Final = ("from_", "to", "day")


class Overlay:
    """Faults over the tables of a view; they affect the same rows whatever the blocks are.

    Args:
        view: what is generated; from here on its deltas have the rows that come late.
        faults: in the order that numbers them.

    Raises:
        SynthError: a fault does not fit the tables; says which, and what would.
    """

    def __init__(self, view: View, faults: Sequence[AnyFault]) -> None:
        self.view = view
        self.faults = list(faults)
        found = problems(view, self.faults)
        if found:
            raise SynthError("\n".join(f"fault {at.number}: {at.message}" for at in found))
        self._of: dict[str, list[tuple[int, AnyFault]]] = {}
        for number, fault in enumerate(self.faults):
            self._of.setdefault(fault.table, []).append((number, fault))
        for name, listed in self._of.items():
            late = [(number, fault) for number, fault in listed if isinstance(fault, LateRows)]
            if late:
                hold_back(view, view.world.plans[name], late)
        self._recorder = Recorder()
        self._views: dict[int, View] = {}

    def schema(self, plan: TablePlan, schema: pa.Schema) -> pa.Schema:
        """What is written of a table whose clean schema this is."""
        listed = self._of.get(plan.name, [])
        for _, fault in listed:
            if isinstance(fault, TypeFlip):
                place = schema.get_field_index(fault.column)
                schema = schema.set(place, pa.field(fault.column, pa.string()))
        table = schema.empty_table()
        for _, change in self._changes(plan.name):
            table = changed(change, table)
        return table.schema

    def apply(self, plan: TablePlan, frame: Frame, batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        """The rows of a block that are written, their strings not as dictionaries.

        Args:
            plan: the table.
            frame: a block of its rows.
            batch: the same rows as Arrow.
        """
        listed = self._of.get(plan.name)
        if not listed:
            return [batch]
        block = Block(self.view, frame, batch, self._views)
        lines = written_rows(block, listed)
        for number, fault in listed:
            if isinstance(fault, OutOfOrder):
                lines = swapped(number, fault, lines, self._elsewhere)
        if len(block):
            self._recorder.add(plan.name, int(block.rows[0]), lines.manifest())
        table = lines.table()
        for _, change in self._changes(plan.name):
            table = changed(change, table)
        return list(table.combine_chunks().to_batches()) if len(table) else []

    def _elsewhere(
        self, plan: TablePlan, rows: NDArray[np.int64], roots: NDArray[np.int64]
    ) -> WrittenRows:
        """Rows of other blocks, as they are written."""
        frame = self.view.frame(plan, roots)
        frame = frame.only(np.isin(frame.rows, rows))
        return written_rows(
            Block(self.view, frame, to_batch(frame), self._views), self._of[plan.name]
        )

    def _changes(self, table: str) -> list[tuple[int, SchemaChange]]:
        """The changes of a table's columns that are there as of the view."""
        return [
            (number, fault)
            for number, fault in self._of.get(table, [])
            if isinstance(fault, SchemaChange)
            and (fault.from_ is None or to_us(as_datetime(fault.from_)) <= self.view.as_of)
        ]

    def of_rows(self, table: str) -> list[str]:
        """The faults of a table but for those that change its columns, as text."""
        return [
            fault.model_dump_json(by_alias=True, exclude_defaults=True)
            for _, fault in self._of.get(table, [])
            if not isinstance(fault, SchemaChange)
        ]

    def manifest(self) -> FaultManifest:
        """The effects in the blocks so far, and the changes of the schema."""
        rows = [row for name in self._of for row in self._schema_rows(name)]
        rows.sort(key=lambda row: int(row["fault"]))
        changes = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
        counts = self._recorder.counts()
        counts.update(int(row["fault"]) for row in rows)
        counted = [
            Counted(
                number,
                fault.kind,
                fault.table,
                getattr(fault, "column", None),
                _times(fault),
                counts[number],
            )
            for number, fault in enumerate(self.faults)
        ]
        tables = [name for name in self.view.world.plans if name in self._of]
        return FaultManifest(counted, tables, changes, self._recorder)

    def _schema_rows(self, name: str) -> list[dict[str, Any]]:
        plan = self.view.world.plans[name]
        table = self.view.arrow_schema(plan).empty_table()
        rows = []
        for number, fault in self._changes(name):
            before, table = table, changed(fault, table)
            clean, faulty = _described(before, table)
            timestamp = None if fault.from_ is None else as_datetime(fault.from_)
            rows.append(
                {
                    "fault": number, "kind": self.faults[number].kind, "table": name,
                    "column": fault.column, "effect": "schema", "clean": clean, "faulty": faulty,
                    "time": None if timestamp is None else timestamp.replace(tzinfo=UTC),
                }
            )  # fmt: skip
        return rows


def _described(before: pa.Table, after: pa.Table) -> tuple[str | None, str | None]:
    """What is only in the one schema, and only in the other: names with types."""
    old, new = (
        {each.name: f"{each.name}: {kind_of(each.type)}" for each in table.schema}
        | {
            each.name: f"{each.name}: struct<{', '.join(inner.name for inner in each.type)}>"
            for each in table.schema
            if pa.types.is_struct(each.type)
        }
        for table in (before, after)
    )
    gone = [text for name, text in old.items() if new.get(name) != text]
    come = [text for name, text in new.items() if old.get(name) != text]
    return ", ".join(gone) or None, ", ".join(come) or None


def _times(fault: AnyFault) -> tuple[str, ...]:
    found = (getattr(fault, name, None) for name in _TIMES)
    return tuple(timestamp.isoformat() for timestamp in found if isinstance(timestamp, date))
