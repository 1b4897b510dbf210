"""A frame: some rows of a table as of a timestamp, each column computed when it is asked for."""

from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.synth import draw, draw_text, maths
from headrace.synth.errors import SynthError
from headrace.synth.evaluate import aggregated, evaluate, truth
from headrace.synth.expression import Node
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
    Numerical,
    Serial,
    Status,
    Text,
    Unique,
    Uuid,
)
from headrace.synth.schema.tables import Count
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


class Snapshot(Protocol):
    """What a frame asks of the view that it belongs to."""

    @property
    def world(self) -> World:
        """The tables."""
        ...

    @property
    def as_of(self) -> int:
        """As of when, in microseconds since 1970, UTC."""
        ...

    @property
    def is_planned(self) -> bool:
        """Whether this is the end of time, where everything that will happen has."""
        ...

    @property
    def planned(self) -> "Snapshot":
        """The world at the end of time."""
        ...

    def lookup(self, plan: TablePlan) -> "Frame | None":
        """All rows of a table without a parent, if they are few; None if they are many."""
        ...

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
        ...

    def last_changes(
        self, plan: TablePlan, column: str, target: TablePlan, rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """When a row of ``plan`` that points at a row of ``target`` last changed, for each row."""
        ...


class Frame:
    """Rows of a table, by their addresses, as a view sees them.

    Attributes:
        view: as of when, and what is shared between frames.
        plan: the table.
        rows: addresses, shape (n,).
        parent: the frame of the table it hangs per, where this frame was made from one.
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
        self._links: dict[str, tuple[Frame, NDArray[np.int64] | None, Mask | None]] = {}
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
        linked = [link[0] for link in self._links.values()]
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

    # time

    def at(self) -> NDArray[np.int64]:
        """When each row came into being, in microseconds; ``NEVER`` for rows there are not."""
        if "at" not in self._timeless:
            self._timeless["at"] = self._at()
        result: NDArray[np.int64] = self._timeless["at"]
        return result

    def _at(self) -> NDArray[np.int64]:
        plan = self.plan
        if plan.parent is None:
            return self.view.world.population(plan).at(self.rows)
        parent, index, _ = self.follow(plan.parent.name)
        above = parent.at()
        above = above if index is None else above[index]
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
        if "arrival" not in self._timeless:
            self._timeless["arrival"] = self._arrival()
        result: NDArray[np.int64] = self._timeless["arrival"]
        return result

    def _arrival(self) -> NDArray[np.int64]:
        timestamps = self.at()
        late = self.plan.table.late
        if late is not None:
            share = unit(key(self.seed, self.plan.name, "", "late"), self.rows)
            delay = unit(key(self.seed, self.plan.name, "", "late by"), self.rows)
            more = 1 + (delay * (duration_us(late.max) - 1)).astype(np.int64)
            is_late = (share < late.rate) & (timestamps != NEVER) & (timestamps != ALWAYS)
            timestamps = np.where(is_late, timestamps + np.where(is_late, more, 0), timestamps)
        if self.plan.parent is None or self.plan.parent.lateness == 0:
            return timestamps
        parent, index, _ = self.follow(self.plan.parent.name)
        above = parent.arrival()
        result: NDArray[np.int64] = np.maximum(timestamps, above if index is None else above[index])
        return result

    def _event(self, name: str, rate: float, within: str) -> NDArray[np.int64]:
        """A timestamp after the arrival for a share of the rows, ``NEVER`` for the others."""
        if name not in self._timeless:
            share = unit(key(self.seed, self.plan.name, "", name), self.rows)
            place = unit(key(self.seed, self.plan.name, "", f"{name} at"), self.rows)
            length = duration_us(within)
            room = length - (duration_us(self.plan.table.late.max) if self.plan.table.late else 0)
            delay = 1_000_000 + (place * max(0, room - 1_000_000)).astype(np.int64)
            arrival = self.arrival()
            happens = (share < rate) & (arrival != NEVER)
            self._timeless[name] = np.where(happens, arrival + np.where(happens, delay, 0), NEVER)
        result: NDArray[np.int64] = self._timeless[name]
        return result

    def deleted(self) -> NDArray[np.int64] | None:
        """When each row went away; None for tables whose rows do not."""
        deletions = self.plan.table.deletions
        if deletions is None:
            return None
        return self._event("deletion", deletions.rate, deletions.within)

    def corrected(self) -> NDArray[np.int64] | None:
        """When some columns of each row got other values; None for tables without corrections."""
        corrections = self.plan.table.corrections
        if corrections is None:
            return None
        return self._event("correction", corrections.rate, corrections.within)

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
        for child in self.plan.listed_beside:
            frame = self.beside(child)
            assert frame.index is not None
            np.maximum.at(latest, frame.index, frame.changed())
        for child, column in self.plan.rollups:
            times = self.view.last_changes(child, column, self.plan, self.rows)
            np.maximum(latest, times, out=latest)
        for path in self.plan.moving_parents:
            frame, index, valid = self.walk(path)
            times = frame.changed() if index is None else frame.changed()[index]
            times = times if valid is None else np.where(valid, times, ALWAYS)
            np.maximum(latest, times, out=latest)
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
        frame, index, valid = self.walk(path[:-1])
        found = frame.column(path[-1])
        return (found if index is None else found.take(index)).masked(valid)

    def walk(self, path: tuple[str, ...]) -> "tuple[Frame, NDArray[np.int64] | None, Mask | None]":
        """The frame that a path leads to, each row's position in it, and where there is one."""
        frame, index, valid = self.follow(path[0])
        for step in path[1:]:
            after, next_index, next_valid = frame.follow(step)
            if next_valid is not None:
                valid = both(valid, next_valid if index is None else next_valid[index])
            if next_index is not None:
                index = next_index if index is None else next_index[index]
            frame = after
        return frame, index, valid

    def follow(self, name: str) -> "tuple[Frame, NDArray[np.int64] | None, Mask | None]":
        """The frame that a name leads to, each row's position in it, and where there is one."""
        linked = self.plan.link(name)
        assert linked is not None, f"{self.plan.name}.{name}"
        plan, column = linked
        if column is None:
            if self.parent is None:
                self.parent = Frame(self.view, plan, self.rows // self.plan.stride)
            return self.parent, self.index, None
        if column not in self._links:
            address = self.key_rows(column)
            shared = self.view.lookup(plan)
            if shared is not None and int(address.data.max(initial=0)) < len(shared):
                link = (shared, address.data, address.valid)
            else:
                link = (Frame(self.view, plan, address.data), None, address.valid)
            self._links[column] = link
        return self._links[column]

    def key_rows(self, column: str) -> Values:
        """The address of the row that a foreign key points at."""
        name = ("key", column)
        if name not in self._timeless:
            self._timeless[name] = self._key_rows(column)
        result: Values = self._timeless[name]
        return result

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
                name = ("normal", number)
                if name not in self._timeless:
                    other = key(self.seed, self.plan.name, correlation.columns[number])
                    draws = np.maximum(unit(other, self.rows), 2.0**-54)
                    self._timeless[name] = maths.normal_quantile(draws)
                total += weight * self._timeless[name]
        return np.minimum(maths.normal_cdf(total), 1.0 - 2.0**-53)

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
                address = self.key_rows(path[0])
                target, index, _ = self.follow(path[0])
                found = target.column(item.column)
                return (found if index is None else found.take(index)).masked(address.valid)
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
        label = ("ladder", name)
        if label not in self._timeless:
            item = self.plan.table.fields[name]
            assert isinstance(item, Status)
            self._timeless[label] = draw.climb_ladder(
                item, self.seed, (self.plan.name, name), self.rows, self.at()
            )
        result: list[draw.Level] = self._timeless[label]
        return result

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
            frame, index, valid = self.walk(path[:-1])
            found = frame.entered(path[-1:], status)
            return (found if index is None else found.take(index)).masked(valid)
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
        """How many rows of a table hang per each row, those to come among them."""
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
        """The rows of a table that hang per these, as far as they can be seen."""
        if plan.name not in self._children:
            frame = self.all_children(plan)
            self._children[plan.name] = frame.only(frame.present())
        return self._children[plan.name]

    def all_children(self, plan: TablePlan) -> "Frame":
        """The rows of a table that hang per these, those to come and those gone among them."""
        counts = self.child_counts(plan)
        index = np.repeat(np.arange(len(self)), counts)
        ends = np.cumsum(counts)
        number = np.arange(len(index)) - np.repeat(ends - counts, counts)
        return Frame(self.view, plan, self.rows[index] * plan.stride + number, self, index)

    def beside(self, plan: TablePlan) -> "Frame":
        """The rows of a table that hang per these rows' parents; the index is of these rows."""
        if plan.name not in self._children:
            assert plan.parent is not None
            parent, index, _ = self.follow(plan.parent.name)
            owners = parent if index is None else parent.at_positions(index)
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
        """The address of the row that a name points at."""
        frame: Frame = self
        index: NDArray[np.int64] | None = None
        valid: Mask | None = None
        if path == (self.plan.name,):
            return Values(Kind.INTEGER, self.rows)
        if len(path) > 1:
            frame, index, valid = self.walk(path[:-1])
        linked = frame.plan.link(path[-1])
        assert linked is not None
        if linked[1] is not None:
            found = frame.key_rows(linked[1])
        else:
            found = Values(Kind.INTEGER, frame.rows // frame.plan.stride)
        return (found if index is None else found.take(index)).masked(valid)

    def child_row(
        self, table: str, parent: NDArray[np.int64], number: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The address of a parent's child."""
        return parent * self.view.world.plans[table].stride + number
