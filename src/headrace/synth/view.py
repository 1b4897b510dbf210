"""A world as of a timestamp: its rows in blocks, and what changed since an earlier one.

World -> View -> Frame (a block of rows) -> pyarrow.RecordBatch
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.synth.errors import SynthError
from headrace.synth.expression import Node
from headrace.synth.expression_values import aggregated
from headrace.synth.frame import Frame
from headrace.synth.plan import UNBOUNDED, TablePlan
from headrace.synth.population import to_us
from headrace.synth.record_batch import plain_schema, to_batch
from headrace.synth.schema.base import as_datetime
from headrace.synth.values import ALWAYS, NEVER, Kind, Values
from headrace.synth.world import World

SMALL: Final = 1 << 16
"""A table of at most so many rows is computed once, and looked up then."""
BLOCK_ROWS: Final = 1 << 16
"""About how many rows of a table a block has."""

Range = tuple[int, int]


@dataclass
class Rollup:
    """What the rows of a table add up to, by the row they point at."""

    kind: Kind
    data: NDArray[Any]
    seen: NDArray[np.bool_] | None = None
    wanted: NDArray[np.int64] | None = None
    """The addresses that ``data`` is about, sorted; None for all from 0."""

    def _positions(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        if self.wanted is None:
            known = rows < len(self.data)
            return np.where(known, rows, 0), known
        place = np.minimum(np.searchsorted(self.wanted, rows), max(0, len(self.wanted) - 1))
        known = self.wanted[place] == rows if len(self.wanted) else np.zeros(len(rows), dtype=bool)
        return place, known

    def gather(self, rows: NDArray[np.int64], missing: Any) -> NDArray[Any]:
        """For each row; ``missing`` where nothing points at it."""
        if not len(self.data):
            return np.full(len(rows), missing, dtype=self.data.dtype)
        place, known = self._positions(rows)
        return np.where(known, self.data[place], missing)

    def values(self, rows: NDArray[np.int64]) -> Values:
        """For each row, 0 or null where nothing points at it."""
        data = self.gather(rows, 0)
        if self.seen is None:
            return Values(self.kind, data)
        seen = Rollup(Kind.BOOLEAN, self.seen, None, self.wanted).gather(rows, missing=False)
        return Values(self.kind, data, seen.astype(bool))


RollupKey = tuple[str, str, str, Node | None]
Until = Callable[[Frame], NDArray[np.int64]]
"""When each row of a frame can be seen, in microseconds."""


@dataclass(eq=False)
class View:
    """A world as of a timestamp; with ``since``, what changed after that.

    Attributes:
        world: what it is a view of.
        as_of: microseconds since 1970, UTC.
        since: rows that have not changed after this timestamp are left out, where it is given.
    """

    world: World
    as_of: int
    since: int | None = None
    blank: bool = False
    """Whether nothing is to be seen: for the types of columns alone."""
    _rollups: dict[RollupKey, Rollup] = field(default_factory=dict)
    _lookups: dict[str, Frame | None] = field(default_factory=dict)
    _candidates: dict[str, NDArray[np.int64] | Range] = field(default_factory=dict)
    _delays: dict[str, tuple[int, Until]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def of(cls, world: World, as_of: datetime | None = None) -> "View":
        """A world as of a timestamp in UTC; without one, as of the schema file's, else today.

        Raises:
            SynthError: it lies before the start.
        """
        if as_of is None:
            as_of = as_datetime(world.schema.as_of) if world.schema.as_of else None
        if as_of is None:
            as_of = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        plain = as_datetime(as_of)
        start = world.start
        if start is not None and plain < start:
            raise SynthError(
                f"as of {plain:%Y-%m-%d %H:%M}, nothing has happened yet: "
                f"the first table starts at {start:%Y-%m-%d}"
            )
        return cls(world, to_us(plain))

    @property
    def is_planned(self) -> bool:
        """Whether this is the end of time, where everything that will happen has."""
        return self.as_of == NEVER

    @cached_property
    def planned(self) -> "View":
        """The world at the end of time."""
        return View(self.world, NEVER, blank=self.blank)

    @cached_property
    def whole(self) -> "View":
        """As of the same time, with all rows."""
        return self if self.since is None else View(self.world, self.as_of)

    def delta(self, since: datetime) -> "View":
        """What changed after a timestamp, tombstones among it."""
        timestamp = to_us(as_datetime(since))
        if timestamp > self.as_of:
            raise SynthError("since lies after as of: give an earlier since, or a later as of")
        return View(self.world, self.as_of, timestamp)

    def delay(self, plan: TablePlan, most: int, until: Until) -> None:
        """Hold rows of a table back: a delta has those, too, that are let go after ``since``.

        Args:
            plan: the table.
            most: no row is held back for longer than this, in microseconds.
            until: when each row is let go.
        """
        self._delays[plan.name] = (most, until)
        self._candidates.pop(plan.name, None)

    # lookups

    def lookup(self, plan: TablePlan) -> Frame | None:
        """All rows of a table without a parent, if they are few; None if they are many."""
        if plan.name not in self._lookups:
            with self._lock:
                if plan.name not in self._lookups:
                    self._lookups[plan.name] = self._all_of(plan)
        return self._lookups[plan.name]

    def _all_of(self, plan: TablePlan) -> Frame | None:
        if plan.parent is not None or self.blank:
            return None
        total = self.world.population(plan).total(self.as_of)
        if not 0 < total <= SMALL:
            return None
        return Frame(self, plan, np.arange(total, dtype=np.int64), is_shared=True)

    def aggregate(
        self,
        plan: TablePlan,
        column: str,
        target: TablePlan,
        function: str,
        node: Node | None,
        rows: NDArray[np.int64],
    ) -> Values:
        """Over the rows of ``plan`` that point at rows of ``target`` by a foreign key."""
        return self._rollup(plan, column, target, function, node).values(rows)

    def last_changes(
        self, plan: TablePlan, column: str, target: TablePlan, rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """When a row of ``plan`` that points at a row of ``target`` last changed, for each row."""
        return self._rollup(plan, column, target, "changed", None).gather(rows, ALWAYS)

    def _rollup(
        self, plan: TablePlan, column: str, target: TablePlan, function: str, node: Node | None
    ) -> Rollup:
        """What the rows of ``plan`` that point at ``target`` by a foreign key add up to."""
        name: RollupKey = (plan.name, column, function, node)
        if name not in self._rollups:
            with self._lock:
                if name not in self._rollups:
                    self._rollups[name] = self._roll(plan, column, target, function, node)
        return self._rollups[name]

    def _roll(
        self, plan: TablePlan, column: str, target: TablePlan, function: str, node: Node | None
    ) -> Rollup:
        wanted: NDArray[np.int64] | None = None
        size = 0 if self.blank else self._addresses(target)
        view = self.whole
        if self.since is not None:
            wanted = self._wanted(target)
            size = len(wanted)
            if function == "changed":
                view = self  # who changed last, changed after since
        totals: NDArray[Any] | None = None
        kind, seen = Kind.INTEGER, None
        for frame in () if self.blank else view.released(plan):
            part = _pointing(frame, column, wanted)
            if part is None:
                continue
            pointing, index = part
            if function == "changed":
                if totals is None:
                    totals = np.full(size, ALWAYS, dtype=np.int64)
                np.maximum.at(totals, index, pointing.changed())
                continue
            found = aggregated(function, node, pointing, index, size)
            kind = found.kind
            if totals is None:
                totals, seen = found.data, found.valid
            elif function in {"sum", "count"}:
                totals = totals + found.data
            else:
                assert seen is not None
                assert found.valid is not None
                best = (np.minimum if function == "min" else np.maximum)(totals, found.data)
                totals = np.where(
                    seen & found.valid, best, np.where(found.valid, found.data, totals)
                )
                seen = seen | found.valid
        if totals is None:
            empty = Frame(view, plan, np.empty(0, dtype=np.int64))
            if function == "changed":
                totals = np.full(size, ALWAYS, dtype=np.int64)
            else:
                found = aggregated(function, node, empty, np.empty(0, dtype=np.int64), size)
                kind, totals, seen = found.kind, found.data, found.valid
        return Rollup(kind, totals, seen, wanted)

    def _addresses(self, plan: TablePlan) -> int:
        if plan.parent is not None:
            return self._addresses(plan.parent) * plan.stride
        return self.world.population(plan).total(self.as_of)

    # blocks of rows

    def root_total(self, plan: TablePlan) -> int:
        """How many rows the table at the top of a table's chain has."""
        return self.world.population(plan.root).total(self.as_of)

    def block_size(self, plan: TablePlan) -> int:
        """How many root rows a block of a table comes from."""
        return max(16, int(BLOCK_ROWS / max(1.0, plan.multiplicity) / plan.width))

    def frames(self, plan: TablePlan, rows: Range | None = None) -> Iterator[Frame]:
        """The rows of a table in blocks, in order; those of a range of root rows, or all."""
        for block in self.blocks(plan, rows):
            frame = self.frame(plan, block)
            if len(frame):
                yield frame

    def blocks(self, plan: TablePlan, rows: Range | None = None) -> Iterator[NDArray[np.int64]]:
        """The root rows that a table's rows come from, in blocks."""
        size = self.block_size(plan)
        candidates = self.candidates(plan)
        if isinstance(candidates, tuple):
            low, high = candidates
            if rows is not None:
                low, high = max(low, rows[0]), min(high, rows[1])
            for first in range(low, high, size):
                yield np.arange(first, min(high, first + size), dtype=np.int64)
            return
        if rows is not None:
            low, high = np.searchsorted(candidates, rows)
            candidates = candidates[low:high]
        for first in range(0, len(candidates), size):
            yield candidates[first : first + size]

    def frame(self, plan: TablePlan, root_rows: NDArray[np.int64]) -> Frame:
        """The rows of a table that come from some root rows, as far as the view shows them."""
        if self.since is None:
            return self._seen(plan, root_rows)
        frame = self._seen(plan, root_rows, with_tombstones=True)
        is_news = frame.changed() > self.since
        if plan.name in self._delays:
            until = self._delays[plan.name][1](frame)
            is_news |= (until > self.since) & (until <= self.as_of)
        frame = frame.only(is_news)
        deleted = frame.deleted()
        if deleted is not None:
            # what came and went in between was never there for who merges
            frame = frame.only((deleted > self.as_of) | (frame.arrival() <= self.since))
        return frame

    def _seen(
        self, plan: TablePlan, root_rows: NDArray[np.int64], *, with_tombstones: bool = False
    ) -> Frame:
        if plan.parent is None:
            frame = Frame(self, plan, root_rows)
            if not plan.evolves:
                return frame
            if with_tombstones and plan.table.deletions:
                return frame.only(frame.arrival() <= self.as_of)
            return frame.only(frame.present())
        parent = self._seen(plan.parent, root_rows)
        if with_tombstones and plan.table.deletions:
            frame = parent.all_children(plan)
            return frame.only(frame.arrival() <= self.as_of)
        return parent.children(plan)

    def batches(self, plan: TablePlan, rows: Range | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of a table as Arrow, in blocks."""
        for frame in self.released(plan, rows):
            yield to_batch(frame)

    def released(self, plan: TablePlan, rows: Range | None = None) -> Iterator[Frame]:
        """``frames``, each released when the next one is asked for."""
        for frame in self.frames(plan, rows):
            yield frame
            frame.release()

    def arrow_types(self, plan: TablePlan) -> pa.Schema:
        """The Arrow schema of a table's blocks, strings of a pool as dictionaries."""
        nothing = View(self.world, self.as_of, blank=True)
        return to_batch(Frame(nothing, plan, np.empty(0, dtype=np.int64))).schema

    def arrow_schema(self, plan: TablePlan) -> pa.Schema:
        """The Arrow schema of a table, strings not as dictionaries."""
        return plain_schema(self.arrow_types(plan))

    def table(self, name: str) -> pa.Table:
        """A whole table, for tests and small ones."""
        plan = self.world.plans[name]
        schema = self.arrow_schema(plan)
        batches = [pa.Table.from_batches([b]).cast(schema) for b in self.batches(plan)]
        return pa.concat_tables(batches) if batches else schema.empty_table()

    # what changed

    def candidates(self, plan: TablePlan) -> "NDArray[np.int64] | Range":
        """The root rows from which a table's rows can come: a range, or their addresses."""
        if self.since is None:
            return (0, self.root_total(plan))
        if plan.name not in self._candidates:
            with self._lock:
                if plan.name not in self._candidates:
                    self._candidates[plan.name] = self._changed_roots(plan)
        return self._candidates[plan.name]

    def _changed_roots(self, plan: TablePlan) -> "NDArray[np.int64] | Range":
        assert self.since is not None
        total = self.root_total(plan)
        if not plan.evolves and not plan.rollups:
            return (0, 0)
        bound = plan.bound + self._delays.get(plan.name, (0, None))[0]
        if bound >= UNBOUNDED:
            return (0, total)
        population = self.world.population(plan.root)
        low = population.total(self.since - bound) if plan.evolves else total
        found = self._rolled_up(plan)
        if found is None:
            return (low, total)
        return np.union1d(np.arange(low, total, dtype=np.int64), found)

    def _rolled_up(self, plan: TablePlan) -> NDArray[np.int64] | None:
        """Root rows of rows that others point at, of which one changed; None without any."""
        found: list[NDArray[np.int64]] = []
        aggregating = [other for other in (plan, *_ancestors_read(plan)) if other.rollups]
        for other in aggregating:
            for child, column in other.rollups:
                for frame in self.released(child):
                    address = frame.key_rows(column)
                    rows = address.data if address.valid is None else address.data[address.valid]
                    found.append(np.unique(rows // other.root_stride))
        return np.unique(np.concatenate(found)) if found else None

    def _wanted(self, target: TablePlan) -> NDArray[np.int64]:
        """Addresses of the rows of a table that may be in the delta."""
        candidates = self.candidates(target)
        roots = np.arange(*candidates) if isinstance(candidates, tuple) else candidates
        size = target.root_stride
        if size == 1:
            return roots
        result: NDArray[np.int64] = (roots[:, None] * size + np.arange(size)).ravel()
        return result


def _ancestors_read(plan: TablePlan) -> list[TablePlan]:
    """Parents of which a table reads what changes."""
    found = []
    for path in plan.changing_parents:
        here: TablePlan = plan
        for step in path:
            linked = here.link(step)
            if linked is None or linked[1] is not None:
                break
            here = linked[0]
            found.append(here)
    return found


def _pointing(
    frame: Frame, column: str, wanted: NDArray[np.int64] | None
) -> tuple[Frame, NDArray[np.int64]] | None:
    """The rows that point at a wanted row, and the position of that row among the wanted."""
    address = frame.key_rows(column)
    index, keep = address.data, address.valid
    if wanted is not None:
        if not len(wanted):
            return None
        place = np.minimum(np.searchsorted(wanted, index), len(wanted) - 1)
        hits = wanted[place] == index
        keep = hits if keep is None else keep & hits
        index = place
    if keep is not None and not bool(keep.all()):
        positions = np.flatnonzero(keep)
        return (frame.at_positions(positions), index[positions]) if positions.size else None
    return frame, index
