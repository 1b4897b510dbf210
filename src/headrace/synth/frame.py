"""A frame: some rows of a table as of a timestamp, each column computed when it is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.synth import draw, draw_text, maths
from headrace.synth.errors import SynthError
from headrace.synth.expression import Node
from headrace.synth.expression_values import aggregated, evaluate, truth
from headrace.synth.hashing import below, bits, key, unit
from headrace.synth.maths import rounded
from headrace.synth.plan import FieldPath, TablePlan
from headrace.synth.population import Fixed
from headrace.synth.schema.base import duration_us
from headrace.synth.schema.fields import (
    AnyField,
    Boolean,
    Categorical,
    Datetime,
    Derived,
    ForeignKey,
    Listed,
    Numerical,
    Serial,
    Status,
    Text,
    Unique,
    Uuid,
)
from headrace.synth.schema.schema_file import Count
from headrace.synth.values import (
    ALWAYS,
    DAY_US,
    NEVER,
    Kind,
    Mask,
    Pool,
    Values,
    both,
    choose,
    constant,
    unpooled,
)
from headrace.synth.world import World

T = TypeVar("T")


class Snapshot(Protocol):
    """What a frame asks of the view that it belongs to."""

    @property
    def world(self) -> World:
        """The tables."""

    @property
    def as_of(self) -> int:
        """As of when, in microseconds since 1970, UTC."""

    @property
    def is_planned(self) -> bool:
        """Whether this is the end of time, where everything that will happen has."""

    @property
    def planned(self) -> "Snapshot":
        """The world at the end of time."""

    def lookup(self, plan: TablePlan) -> "Frame | None":
        """All rows of a table without a parent, if they are few; None if they are many."""

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

    def last_changes(
        self, plan: TablePlan, column: str, target: TablePlan, rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """When a row of ``plan`` that points at a row of ``target`` last changed, for each row."""


@dataclass(frozen=True, slots=True)
class Link:
    """The rows that the rows of a frame lead to, by a foreign key or to their parents.

    Attributes:
        frame: the rows.
        index: for each row that leads there, the position in ``frame``; None for its own.
        valid: where a row leads to one; None for everywhere.
    """

    frame: "Frame"
    index: NDArray[np.int64] | None = None
    valid: Mask | None = None

    def values(self, found: Values) -> Values:
        """A column of ``frame`` for each row that leads there."""
        return (found if self.index is None else found.take(self.index)).masked(self.valid)

    def times(self, found: NDArray[np.int64]) -> NDArray[np.int64]:
        """Times of ``frame`` for each row that leads there, ``ALWAYS`` where there is none."""
        times = found if self.index is None else found[self.index]
        return times if self.valid is None else np.where(self.valid, times, ALWAYS)


class Frame:
    """Rows of a table, by their addresses, as a view sees them.

    Attributes:
        view: as of when, and what is shared between frames.
        plan: the table.
        rows: addresses, shape (n,).
        parent: the frame of the parent table, where this frame was made from one.
        index: the position of each row's parent in ``parent``.
        owner: the table in which the fields stand that are computed: ``plan``, but for the fields
            of a list.
        is_shared: whether the view keeps it for others to look rows up in.
    """

    def __init__(
        self,
        view: Snapshot,
        plan: TablePlan,
        rows: NDArray[np.int64],
        parent: "Frame | None" = None,
        index: NDArray[np.int64] | None = None,
        *,
        is_shared: bool = False,
    ) -> None:
        self.view = view
        self.plan = plan
        self.rows = rows
        self.parent = parent
        self.index = index
        self.owner = plan
        self.is_shared = is_shared
        self._columns: dict[str, Values] = {}
        self._timeless: dict[Any, Any] = {}
        """What is the same as of any timestamp: shared with the planned frame."""
        self._links: dict[str, Link] = {}
        self._children: dict[str, Frame] = {}
        self._planned: Frame | None = None
        self._changed: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def seed(self) -> int:
        """Of the world."""
        return self.view.world.seed

    def only(self, mask: Mask) -> "Frame":
        """The rows where the mask is true."""
        if bool(mask.all()):
            return self
        return self.at_positions(np.flatnonzero(mask))

    def at_positions(self, positions: NDArray[np.int64]) -> "Frame":
        """The rows at these positions; what is computed already goes along."""
        index = None if self.index is None else self.index[positions]
        frame = Frame(self.view, self.plan, self.rows[positions], self.parent, index)
        for name, known in self._timeless.items():
            if isinstance(known, np.ndarray):
                frame._timeless[name] = known[positions]
        return frame

    def release(self) -> None:
        """Separate the frames that refer to each other, so that their memory is free at once.

        Python would collect such cycles only now and then. Shared frames stay.
        """
        waiting: list[Frame] = [self]
        while waiting:
            frame = waiting.pop()
            if not frame.is_shared:
                waiting += frame.detach()

    def detach(self) -> "list[Frame]":
        """Forget the frames that this one refers to, and return them."""
        linked = [link.frame for link in self._links.values()]
        others = [other for other in (self._planned, self.parent) if other is not None]
        found = [*self._children.values(), *linked, *others]
        self._children, self._links = {}, {}
        self._planned = self.parent = None
        return found

    @property
    def planned(self) -> "Frame":
        """The same rows at the end of time."""
        if self.view.is_planned:
            return self
        if self._planned is None:
            parent = None if self.parent is None else self.parent.planned
            frame = Frame(self.view.planned, self.plan, self.rows, parent, self.index)
            frame._timeless = self._timeless
            self._planned = frame
        return self._planned

    def _once(self, name: Any, make: Callable[[], T]) -> T:
        """What is the same as of any timestamp, computed once."""
        if name not in self._timeless:
            self._timeless[name] = make()
        made: T = self._timeless[name]
        return made

    # time

    def at(self) -> NDArray[np.int64]:
        """When each row came into being, in microseconds; ``NEVER`` for rows that do not exist."""
        return self._once("at", self._at)

    def _at(self) -> NDArray[np.int64]:
        plan = self.plan
        if plan.parent is None:
            return self.view.world.population(plan).at(self.rows)
        parent = self.follow(plan.parent.name)
        above = parent.times(parent.frame.at())
        node = plan.nodes.get(("per", "at"))
        if node is None:
            return above
        value = evaluate(node, self.planned)
        times = np.where(value.is_valid(), value.data.astype(np.int64), NEVER)
        came = times != NEVER
        within = plan.table.per.within if plan.table.per else None
        if within is not None and bool((times[came] - above[came] > duration_us(within)).any()):
            raise SynthError(
                f"{plan.name}: a row comes into being more than {within} after its "
                f"{plan.parent.name}; give per a longer within"
            )
        result: NDArray[np.int64] = np.where(came, np.maximum(times, above), NEVER)
        return result

    def arrival(self) -> NDArray[np.int64]:
        """When each row can be seen: late rows, and those of a late parent, come later."""
        return self._once("arrival", self._arrival)

    def _arrival(self) -> NDArray[np.int64]:
        times = self.at()
        late = self.plan.table.late
        if late is not None:
            share = unit(key(self.seed, self.plan.name, "", "late"), self.rows)
            delay = unit(key(self.seed, self.plan.name, "", "late by"), self.rows)
            more = 1 + (delay * (duration_us(late.max) - 1)).astype(np.int64)
            is_late = (share < late.rate) & (times != NEVER) & (times != ALWAYS)
            times = np.where(is_late, times + np.where(is_late, more, 0), times)
        if self.plan.parent is None or self.plan.parent.lateness == 0:
            return times
        parent = self.follow(self.plan.parent.name)
        result: NDArray[np.int64] = np.maximum(times, parent.times(parent.frame.arrival()))
        return result

    def _event(self, name: str, rate: float, within: str) -> NDArray[np.int64]:
        """A time after the arrival for a share of the rows, ``NEVER`` for the others."""
        share = unit(key(self.seed, self.plan.name, "", name), self.rows)
        place = unit(key(self.seed, self.plan.name, "", f"{name} at"), self.rows)
        late = self.plan.table.late
        longest = duration_us(within) - (duration_us(late.max) if late else 0)
        delay = 1_000_000 + (place * max(0, longest - 1_000_000)).astype(np.int64)
        arrival = self.arrival()
        happens = (share < rate) & (arrival != NEVER)
        result: NDArray[np.int64] = np.where(happens, arrival + np.where(happens, delay, 0), NEVER)
        return result

    def deleted(self) -> NDArray[np.int64] | None:
        """When each row went away; None for tables whose rows do not."""
        deletions = self.plan.table.deletions
        if deletions is None:
            return None
        return self._once(
            "deletion", lambda: self._event("deletion", deletions.rate, deletions.within)
        )

    def corrected(self) -> NDArray[np.int64] | None:
        """When some columns of each row got other values; None for tables without corrections."""
        corrections = self.plan.table.corrections
        if corrections is None:
            return None
        return self._once(
            "correction", lambda: self._event("correction", corrections.rate, corrections.within)
        )

    def present(self) -> Mask:
        """The rows that can be seen: arrived, and not deleted."""
        mask = self.arrival() <= self.view.as_of
        deleted = self.deleted()
        return mask if deleted is None else mask & (deleted > self.view.as_of)

    def changed(self) -> NDArray[np.int64]:
        """When each row last changed, as of the view."""
        if self._changed is None:
            self._changed = self._last_change()
        return self._changed

    def _last_change(self) -> NDArray[np.int64]:
        now = self.view.as_of
        latest = self.arrival().copy()
        latest[latest > now] = ALWAYS
        timestamps = [event for event in (self.deleted(), self.corrected()) if event is not None]
        for name, item in self.plan.table.fields.items():
            if isinstance(item, Status):
                timestamps += [times for _, times in self.ladder(name)[1:]]
        for times in timestamps:
            np.maximum(latest, np.where(times <= now, times, ALWAYS), out=latest)
        for child in self.plan.aggregated:
            if child.evolves:
                frame = self.children(child)
                assert frame.index is not None
                np.maximum.at(latest, frame.index, frame.changed())
        for child in self.plan.listed_siblings:
            frame = self.siblings(child)
            assert frame.index is not None
            np.maximum.at(latest, frame.index, frame.changed())
        for child, column in self.plan.rollups:
            times = self.view.last_changes(child, column, self.plan, self.rows)
            np.maximum(latest, times, out=latest)
        for path in self.plan.changing_parents:
            link = self.walk(path)
            np.maximum(latest, link.times(link.frame.changed()), out=latest)
        return latest

    # columns

    def column(self, name: str) -> Values:
        """A column of this table."""
        if name not in self._columns:
            if name == "number":
                made = Values(Kind.INTEGER, self.rows % self.plan.stride)
            else:
                made = self.make(self.plan.table.fields[name], ("fields", name))
            self._columns[name] = made
        return self._columns[name]

    def value(self, path: tuple[str, ...]) -> Values:
        """A column, or a parent's."""
        if len(path) == 1:
            return self.column(path[0])
        link = self.walk(path[:-1])
        return link.values(link.frame.column(path[-1]))

    def walk(self, path: tuple[str, ...]) -> Link:
        """The rows that a path leads to."""
        link = self.follow(path[0])
        for step in path[1:]:
            after, index, valid = link.frame.follow(step), link.index, link.valid
            if after.valid is not None:
                valid = both(valid, after.valid if index is None else after.valid[index])
            if after.index is not None:
                index = after.index if index is None else after.index[index]
            link = Link(after.frame, index, valid)
        return link

    def follow(self, name: str) -> Link:
        """The rows that a parent's name or a foreign key leads to."""
        linked = self.plan.link(name)
        assert linked is not None, f"{self.plan.name}.{name}"
        plan, column = linked
        if column is None:
            if self.parent is None:
                self.parent = Frame(self.view, plan, self.rows // self.plan.stride)
            return Link(self.parent, self.index)
        if column not in self._links:
            address = self.key_rows(column)
            shared = self.view.lookup(plan)
            if shared is not None and int(address.data.max(initial=0)) < len(shared):
                self._links[column] = Link(shared, address.data, address.valid)
            else:
                frame = Frame(self.view, plan, address.data)
                self._links[column] = Link(frame, None, address.valid)
        return self._links[column]

    def key_rows(self, column: str) -> Values:
        """The address of the row that a foreign key points at."""
        return self._once(("key", column), lambda: self._key_rows(column))

    def _key_rows(self, column: str) -> Values:
        item = self.plan.table.fields[column]
        assert isinstance(item, ForeignKey)
        target = self.plan.keys[column]
        node = self.plan.nodes.get(("fields", column, "row"))
        if node is not None:
            value = unpooled(evaluate(node, self))
            data = np.where(value.is_valid(), value.data, 0).astype(np.int64)
            total = self.view.world.address_limit(target)
            if len(data) and (int(data.min()) < 0 or int(data.max()) >= max(1, total)):
                raise SynthError(
                    f"{self.plan.name}.{column}: row gives {int(data.max())}, and "
                    f"{target.name} has {total:,} rows"
                )
            return Values(Kind.INTEGER, data, self.not_null(item, (column,), value.valid))
        path = (self.plan.name, column)
        limit = self._parents(target)
        address = draw.parent_rows(item, self.seed, path, self.rows, limit)
        valid: Mask | None = None
        if bool(np.any(limit <= 0)):
            valid = np.broadcast_to(limit > 0, self.rows.shape)
            if not item.may_be_null:
                raise SynthError(
                    f"{self.plan.name}.{column}: when a row of {self.plan.name} comes into being, "
                    f"there is no row of {target.name} yet; give {target.name} an earlier start, "
                    "initial rows, or say optional: true"
                )
        chain = []
        above = target
        while above.parent is not None:
            chain.append(above)
            above = above.parent
        for plan in reversed(chain):
            assert plan.parent is not None
            parents = Frame(self.view, plan.parent, address)
            random = bits(key(self.seed, *path, plan.name), self.rows)
            address = address * plan.stride + below(random, parents.child_counts(plan))
        return Values(Kind.INTEGER, address, self.not_null(item, (column,), valid))

    def _parents(self, target: TablePlan) -> NDArray[np.int64]:
        """How many rows of a root table each row can point at; one number where all can at all."""
        if target is self.plan:
            return self.rows
        population = self.view.world.population(target.root)
        if isinstance(population, Fixed):
            return np.array([population.count])
        timestamps = self.at()
        if target.lateness:
            timestamps = np.where(timestamps == ALWAYS, timestamps, timestamps - target.lateness)
        return population.before(timestamps)

    def not_null(self, item: AnyField, path: tuple[str, ...], valid: Mask | None) -> Mask | None:
        """Where the mask holds and the field's null rate leaves a value; None for everywhere."""
        if item.null_rate <= 0:
            return valid
        drawn = unit(key(self.seed, self.plan.name, *path, "null"), self.rows)
        return both(valid, drawn >= item.null_rate)

    def units(self, path: tuple[str, ...], salt: str = "") -> NDArray[np.float64]:
        """A number in [0, 1) for a column, correlated with others where the table says so."""
        correlation = self.plan.table.correlation
        if correlation is None or len(path) != 1 or path[0] not in correlation.columns or salt:
            return unit(key(self.seed, self.plan.name, *path, *([salt] if salt else [])), self.rows)
        place = correlation.columns.index(path[0])
        weights = self.view.world.factor(self.plan)[place]
        total = np.zeros(len(self), dtype=np.float64)
        for number, weight in enumerate(weights):
            if weight != 0.0:
                other = correlation.columns[number]
                total += weight * self._once(("normal", number), partial(self._normal, other))
        return np.minimum(maths.normal_cdf(total), 1.0 - 2.0**-53)

    def _normal(self, column: str) -> NDArray[np.float64]:
        draws = unit(key(self.seed, self.plan.name, column), self.rows)
        return maths.normal_quantile(np.maximum(draws, 2.0**-54))

    def make(self, item: AnyField, place: FieldPath) -> Values:
        """A field's values, with its nulls and its corrections."""
        path = tuple(str(step) for step in place[1:])
        values = self._drawn(item, place, path, "")
        corrections = self.plan.table.corrections
        if corrections is not None and len(path) == 1 and path[0] in corrections.columns:
            times = self.corrected()
            assert times is not None
            is_corrected = times <= self.view.as_of
            if bool(is_corrected.any()):
                values = choose(is_corrected, self._drawn(item, place, path, "correction"), values)
        if isinstance(item, ForeignKey):
            return values  # its nulls are those of the rows it points at
        return values.masked(self.not_null(item, path, None))

    def _drawn(  # noqa: PLR0912, one case for each type
        self, item: AnyField, place: FieldPath, path: tuple[str, ...], salt: str
    ) -> Values:
        full = (self.plan.name, *path)
        match item:
            case Serial():
                data = item.start + self.rows * item.step
                values = Values(Kind.INTEGER, data)
                return Values(Kind.TEXT, values.as_text()) if item.as_ == "text" else values
            case Uuid():
                return draw_text.unique_uuids(self.seed, full, self.rows)
            case Categorical(cases=cases) if cases:
                return self._cases(item, place, self.units(path, salt))
            case Categorical():
                return self._choices(item, place).pick(self.units(path, salt))
            case Listed():
                return draw.listed(item, self.rows)
            case Unique():
                return draw_text.unique(item, self.seed, full, self.rows, self._home(item.locale))
            case Datetime(distribution="uniform"):
                return draw.timestamp(item, self.units(path, salt))
            case Datetime():
                timestamps = self.changed() if item.distribution == "updated" else self.at()
                if item.precision == "day":
                    return Values(Kind.DATE, timestamps - timestamps % DAY_US)
                return Values(Kind.TIMESTAMP, timestamps)
            case Numerical():
                return draw.numerical(item, self.units(path, salt))
            case Boolean():
                return draw.boolean(item, self.units(path, salt))
            case Text():
                home = self._home(None)
                name = (*full, salt) if salt else full
                return draw_text.words(item, self.seed, name, self.rows, home)
            case ForeignKey():
                link = self.follow(path[0])
                return link.values(link.frame.column(item.column))
            case Derived():
                return self._derived(item, self.owner.nodes[(*place, "expression")])
            case Status():
                return self._status(item, path[0])
            case _:
                raise SynthError(f"{'.'.join(full)}: a {item.type} cannot be used in an expression")

    def _home(self, locale: str | None) -> tuple[str, Any]:
        return self.view.world.home(self.plan, locale)

    def _choices(self, item: Categorical, place: FieldPath) -> draw.Choices:
        if item.generator is None:
            return self.view.world.choices(self.owner, place, item)
        return draw.generator_choices(
            item.generator.removeprefix("faker."), *self._home(item.locale)
        )

    def _cases(self, item: Categorical, place: FieldPath, units: NDArray[np.float64]) -> Values:
        result = constant(None, len(self))
        for number in range(len(item.cases or ()) - 1, -1, -1):
            case = (item.cases or ())[number]
            here = (*place, "cases", number)
            drawn = self.view.world.choices(self.owner, here, case).pick(units)
            node = self.owner.nodes.get((*here, "if"))
            test = np.ones(len(self), dtype=bool) if node is None else truth(node, self)
            result = choose(test, drawn, result)
        return result

    def _derived(self, item: Derived, node: Node) -> Values:
        try:
            values = evaluate(node, self)
        except (TypeError, AttributeError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SynthError(
                f"{self.plan.name}: the expression {item.expression!r} mixes what does not go "
                f"together: {error}"
            ) from error
        if item.round is not None and values.kind is Kind.NUMBER:
            return Values(Kind.NUMBER, rounded(values.data, item.round), values.valid)
        return values

    # statuses

    def ladder(self, name: str) -> list[draw.Level]:
        """For each level of the ladder: the status of each row, and when it came into it."""
        item = self.plan.table.fields[name]
        assert isinstance(item, Status)
        path = (self.plan.name, name)
        return self._once(
            ("ladder", name),
            lambda: draw.climb_ladder(item, self.seed, path, self.rows, self.at()),
        )

    def _status(self, item: Status, name: str) -> Values:
        levels = self.ladder(name)
        codes = levels[0][0].copy()
        for next_codes, times in levels[1:]:
            reached = times <= self.view.as_of
            codes[reached] = next_codes[reached]
        pool = Pool(item.statuses)
        if item.no_value in item.statuses:
            return Values(Kind.POOLED, codes, codes != item.statuses.index(item.no_value), pool)
        return Values(Kind.POOLED, codes, None, pool)

    def entered(self, path: tuple[str, ...], status: str) -> Values:
        """When each row came into a status; null where it has not."""
        if len(path) > 1:
            link = self.walk(path[:-1])
            return link.values(link.frame.entered(path[-1:], status))
        item = self.plan.table.fields[path[0]]
        assert isinstance(item, Status)
        code = item.statuses.index(status)
        timestamps = np.full(len(self), NEVER, dtype=np.int64)
        for codes, times in self.ladder(path[0]):
            here = (codes == code) & (times <= self.view.as_of) & (timestamps == NEVER)
            timestamps[here] = times[here]
        valid = timestamps != NEVER
        return Values(Kind.TIMESTAMP, np.where(valid, timestamps, 0), valid)

    # children

    def child_counts(self, plan: TablePlan) -> NDArray[np.int64]:
        """How many child rows each row will have had at the end of time."""
        per = plan.table.per
        assert per is not None
        if isinstance(per.count, int):
            return np.full(len(self), per.count, dtype=np.int64)
        if isinstance(per.count, Count):
            return draw.count_of(per.count, unit(key(self.seed, plan.name, "", "count"), self.rows))
        value = unpooled(evaluate(plan.nodes["per", "count"], self.planned))
        counts = np.where(value.is_valid(), value.data, 0).astype(np.int64)
        if len(counts) and int(counts.max()) > plan.stride:
            raise SynthError(
                f"{plan.name}: count gives {int(counts.max())}, above its max {plan.stride}"
            )
        return np.maximum(counts, 0)

    def children(self, plan: TablePlan) -> "Frame":
        """The child rows of these rows, as far as they can be seen."""
        if plan.name not in self._children:
            frame = self.all_children(plan)
            self._children[plan.name] = frame.only(frame.present())
        return self._children[plan.name]

    def all_children(self, plan: TablePlan) -> "Frame":
        """The child rows of these rows, with those that are yet to come or were deleted."""
        counts = self.child_counts(plan)
        index = np.repeat(np.arange(len(self)), counts)
        ends = np.cumsum(counts)
        number = np.arange(len(index)) - np.repeat(ends - counts, counts)
        return Frame(self.view, plan, self.rows[index] * plan.stride + number, self, index)

    def siblings(self, plan: TablePlan) -> "Frame":
        """The child rows of these rows' parents; the index is of these rows."""
        if plan.name not in self._children:
            assert plan.parent is not None
            link = self.follow(plan.parent.name)
            owners = link.frame if link.index is None else link.frame.at_positions(link.index)
            self._children[plan.name] = owners.children(plan)
        return self._children[plan.name]

    def is_child(self, table: str) -> bool:
        """Whether a name is that of a table that can be aggregated here."""
        return self.plan.child(table) is not None

    def aggregate(self, function: str, table: str, node: Node | None) -> Values:
        """Over the rows of a table that point at each row."""
        child = self.plan.child(table)
        assert child is not None
        plan, column = child
        if column is not None:
            return self.view.aggregate(plan, column, self.plan, function, node, self.rows)
        frame = self.children(plan)
        assert frame.index is not None
        return aggregated(function, node, frame, frame.index, len(self))

    def row_of(self, path: tuple[str, ...]) -> Values:
        """The address of the row that a name leads to."""
        if path == (self.plan.name,):
            return Values(Kind.INTEGER, self.rows)
        if len(path) > 1:
            link = self.walk(path[:-1])
            return link.values(link.frame.row_of(path[-1:]))
        linked = self.plan.link(path[-1])
        assert linked is not None
        if linked[1] is not None:
            return self.key_rows(linked[1])
        return Values(Kind.INTEGER, self.rows // self.plan.stride)

    def child_row(
        self, table: str, parent: NDArray[np.int64], number: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The address of a parent's child."""
        return parent * self.view.world.plans[table].stride + number
