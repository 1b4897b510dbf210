"""Some rows of a table as of a moment: every column of them, computed when it is asked for."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.synth import draw, maths
from headrace.synth.errors import SynthError
from headrace.synth.evaluate import evaluate, truth
from headrace.synth.expression import Node
from headrace.synth.hashing import below, bits, key, unit
from headrace.synth.plan import TablePlan
from headrace.synth.schema.model import (
    AnyField,
    Boolean,
    Categorical,
    Count,
    Datetime,
    Derived,
    ForeignKey,
    ListOf,
    Numerical,
    Serial,
    Status,
    Struct,
    Text,
    Unique,
    Uuid,
    duration_us,
)
from headrace.synth.values import (
    ALWAYS,
    NEVER,
    Kind,
    Mask,
    Pool,
    Values,
    both,
    to_arrow,
    unpooled,
)

if TYPE_CHECKING:
    from headrace.synth.world import View

Place = tuple[str | int, ...]
_LOCALE: Final = "en_US"


class Frame:
    """Rows of a table, by their addresses, as a view sees them.

    Attributes:
        view: the moment, and what is shared between frames.
        plan: the table.
        rows: addresses, shape (n,).
        parent: the frame of the table it hangs per, where this frame was made from one.
        index: the position of each row's parent in ``parent``.
    """

    def __init__(
        self,
        view: "View",
        plan: TablePlan,
        rows: NDArray[np.int64],
        parent: "Frame | None" = None,
        index: NDArray[np.int64] | None = None,
    ) -> None:
        self.view = view
        self.plan = plan
        self.rows = rows
        self.parent = parent
        self.index = index
        self.nodes = plan.nodes
        self._columns: dict[str, Values] = {}
        self._still: dict[Any, Any] = {}
        """What no moment changes: shared with the planned frame."""
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
        for name, still in self._still.items():
            if isinstance(still, np.ndarray):
                frame._still[name] = still[positions]
        return frame

    @property
    def planned(self) -> "Frame":
        """The same rows at the end of time."""
        if self.view.is_planned:
            return self
        if self._planned is None:
            parent = None if self.parent is None else self.parent.planned
            frame = Frame(self.view.planned, self.plan, self.rows, parent, self.index)
            frame._still = self._still
            self._planned = frame
        return self._planned

    # time

    def at(self) -> NDArray[np.int64]:
        """When each row came into being, in microseconds; ``NEVER`` for rows there are not."""
        if "at" not in self._still:
            self._still["at"] = self._at()
        result: NDArray[np.int64] = self._still["at"]
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
        moments = np.where(value.is_valid(), value.data.astype(np.int64), NEVER)
        came = moments != NEVER
        within = plan.table.per.within if plan.table.per else None
        if within is not None and bool((moments[came] - above[came] > duration_us(within)).any()):
            raise SynthError(
                f"{plan.name}: a row comes into being more than {within} after its "
                f"{plan.parent.name}; give per a longer within"
            )
        result: NDArray[np.int64] = np.where(came, np.maximum(moments, above), NEVER)
        return result

    def arrival(self) -> NDArray[np.int64]:
        """When each row can be seen: late rows, and those of a late parent, come later."""
        if "arrival" not in self._still:
            self._still["arrival"] = self._arrival()
        result: NDArray[np.int64] = self._still["arrival"]
        return result

    def _arrival(self) -> NDArray[np.int64]:
        moments = self.at()
        late = self.plan.table.late
        if late is not None:
            share = unit(key(self.seed, self.plan.name, "", "late"), self.rows)
            delay = unit(key(self.seed, self.plan.name, "", "late by"), self.rows)
            more = 1 + (delay * (duration_us(late.max) - 1)).astype(np.int64)
            is_late = (share < late.rate) & (moments != NEVER) & (moments != ALWAYS)
            moments = np.where(is_late, moments + np.where(is_late, more, 0), moments)
        if self.plan.parent is None or self.plan.parent.lateness == 0:
            return moments
        parent, index, _ = self.follow(self.plan.parent.name)
        above = parent.arrival()
        result: NDArray[np.int64] = np.maximum(moments, above if index is None else above[index])
        return result

    def _event(self, name: str, rate: float, within: str) -> NDArray[np.int64]:
        """A moment after the arrival for a share of the rows, ``NEVER`` for the others."""
        if name not in self._still:
            share = unit(key(self.seed, self.plan.name, "", name), self.rows)
            place = unit(key(self.seed, self.plan.name, "", f"{name} at"), self.rows)
            length = duration_us(within)
            room = length - (duration_us(self.plan.table.late.max) if self.plan.table.late else 0)
            delay = 1_000_000 + (place * max(0, room - 1_000_000)).astype(np.int64)
            arrival = self.arrival()
            happens = (share < rate) & (arrival != NEVER)
            self._still[name] = np.where(happens, arrival + np.where(happens, delay, 0), NEVER)
        result: NDArray[np.int64] = self._still[name]
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
        mask = self.arrival() <= self.view.moment
        deleted = self.deleted()
        return mask if deleted is None else mask & (deleted > self.view.moment)

    def changed(self) -> NDArray[np.int64]:
        """When each row last changed, as of the view."""
        if self._changed is None:
            self._changed = self._last_change()
        return self._changed

    def _last_change(self) -> NDArray[np.int64]:
        now = self.view.moment
        latest = self.arrival().copy()
        latest[latest > now] = ALWAYS
        moments = [event for event in (self.deleted(), self.corrected()) if event is not None]
        for name, item in self.plan.table.fields.items():
            if isinstance(item, Status):
                moments += [times for _, times in self.ladder(name)[1:]]
        for times in moments:
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
            rolled = self.view.rollup(child, column, self.plan, "changed", None)
            np.maximum(latest, rolled.gather(self.rows, ALWAYS), out=latest)
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
                made = self._make(self.plan.table.fields[name], ("fields", name))
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
            small = self.view.small(plan)
            if small is not None:
                link = (small, address.data, address.valid)
            else:
                link = (Frame(self.view, plan, address.data), None, address.valid)
            self._links[column] = link
        return self._links[column]

    def key_rows(self, column: str) -> Values:
        """The address of the row that a foreign key points at."""
        name = ("key", column)
        if name not in self._still:
            self._still[name] = self._key_rows(column)
        result: Values = self._still[name]
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
            return Values(Kind.INTEGER, data, self._not_null(item, (column,), value.valid))
        path = (self.plan.name, column)
        if target is self.plan:
            limit = self.rows
        else:
            moments = self.at()
            limit = self.view.world.population(target.root).before(moments)
            lateness = target.lateness
            if lateness:
                early = np.where(moments == ALWAYS, moments, moments - lateness)
                limit = self.view.world.population(target.root).before(early)
        address = draw.parent_rows(item, self.seed, path, self.rows, limit)
        valid: Mask | None = limit > 0
        assert valid is not None
        if bool(valid.all()):
            valid = None
        elif not item.may_be_null:
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
        return Values(Kind.INTEGER, address, self._not_null(item, (column,), valid))

    def _not_null(self, item: AnyField, path: tuple[str, ...], valid: Mask | None) -> Mask | None:
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
                if name not in self._still:
                    other = key(self.seed, self.plan.name, correlation.columns[number])
                    draws = np.maximum(unit(other, self.rows), 2.0**-54)
                    self._still[name] = maths.normal_quantile(draws)
                total += weight * self._still[name]
        return np.minimum(maths.normal_cdf(total), 1.0 - 2.0**-53)

    def _make(self, item: AnyField, place: Place) -> Values:
        """A field's values, with its nulls and its corrections."""
        path = tuple(str(step) for step in place[1:])
        values = self._drawn(item, place, path, "")
        corrections = self.plan.table.corrections
        if corrections is not None and len(path) == 1 and path[0] in corrections.columns:
            times = self.corrected()
            assert times is not None
            is_corrected = times <= self.view.moment
            if bool(is_corrected.any()):
                from headrace.synth.evaluate import choose

                values = choose(is_corrected, self._drawn(item, place, path, "correction"), values)
        if isinstance(item, ForeignKey):
            return values  # its nulls are those of the rows it points at
        return values.masked(self._not_null(item, path, None))

    def _drawn(  # noqa: PLR0912, one case for each type
        self, item: AnyField, place: Place, path: tuple[str, ...], salt: str
    ) -> Values:
        full = (self.plan.name, *path)
        match item:
            case Serial():
                data = item.start + self.rows * item.step
                values = Values(Kind.INTEGER, data)
                return Values(Kind.TEXT, values.as_text()) if item.as_ == "text" else values
            case Uuid():
                return draw.unique_uuids(self.seed, full, self.rows)
            case Categorical(cases=cases) if cases:
                return self._cases(item, place, self.units(path, salt))
            case Categorical():
                home = self._home(item.locale)
                return draw.categorical(item, self.units(path, salt), provider=home)
            case Unique():
                return draw.unique(item, self.seed, full, self.rows, self._home(item.locale))
            case Datetime(distribution="uniform"):
                return draw.moment(item, self.units(path, salt))
            case Datetime():
                moments = self.changed() if item.distribution == "updated" else self.at()
                if item.precision == "day":
                    return Values(Kind.DATE, moments - moments % 86_400_000_000)
                return Values(Kind.MOMENT, moments)
            case Numerical():
                return draw.numerical(item, self.units(path, salt))
            case Boolean():
                return draw.boolean(item, self.units(path, salt))
            case Text():
                home = self._home(None)
                name = (*full, salt) if salt else full
                return draw.words(item, self.seed, name, self.rows, home)
            case ForeignKey():
                address = self.key_rows(path[0])
                target, index, _ = self.follow(path[0])
                found = target.column(item.column)
                return (found if index is None else found.take(index)).masked(address.valid)
            case Derived():
                return self._derived(item, self.nodes[(*place, "expression")])
            case Status():
                return self._status(item, path[0])
            case _:
                raise SynthError(f"{'.'.join(full)}: a {item.type} cannot be used in an expression")

    def _home(self, locale: str | None) -> tuple[str, Any]:
        return self.view.world.home(self.plan, locale)

    def _cases(self, item: Categorical, place: Place, units: NDArray[np.float64]) -> Values:
        from headrace.synth.evaluate import choose
        from headrace.synth.values import constant

        result = constant(None, len(self))
        for number in range(len(item.cases or ()) - 1, -1, -1):
            case = (item.cases or ())[number]
            drawn = draw.categorical(case, units, provider=None)
            node = self.nodes.get((*place, "cases", number, "if"))
            test = np.ones(len(self), dtype=bool) if node is None else truth(node, self)
            result = choose(test, drawn, result)
        return result

    def _derived(self, item: Derived, node: Node) -> Values:
        from headrace.synth.evaluate import rounded

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

    def ladder(self, name: str) -> list[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """For each level of the ladder: the status of each row, and when it came into it."""
        label = ("ladder", name)
        if label not in self._still:
            item = self.plan.table.fields[name]
            assert isinstance(item, Status)
            self._still[label] = self._climb(item, name)
        result: list[tuple[NDArray[np.int32], NDArray[np.int64]]] = self._still[label]
        return result

    def _climb(self, item: Status, name: str) -> list[tuple[Any, Any]]:
        statuses = item.statuses
        codes = np.zeros(len(self), dtype=np.int32)
        times = self.at().copy()
        levels = [(codes, times)]
        active = times != NEVER
        while bool(active.any()) or len(levels) == 1:
            level = str(len(levels))
            share = unit(key(self.seed, self.plan.name, name, "next", level), self.rows)
            place = unit(key(self.seed, self.plan.name, name, "delay", level), self.rows)
            next_codes, next_times = codes.copy(), np.full(len(self), NEVER, dtype=np.int64)
            moved = np.zeros(len(self), dtype=bool)
            for code, status in enumerate(statuses):
                step = item.ladder.get(status)
                if step is None:
                    continue
                here = np.flatnonzero(active & (codes == code))
                if not here.size:
                    continue
                low, high = duration_us(step.delay.min), duration_us(step.delay.max)
                running = 0.0
                rest = here
                for to, probability in step.to.items():
                    running += probability
                    goes = share[rest] < running
                    going = rest[goes]
                    next_codes[going] = statuses.index(to)
                    delay = low + (place[going] * (high - low)).astype(np.int64)
                    delay -= delay % 1_000_000
                    next_times[going] = times[going] + np.maximum(delay, 1_000_000)
                    moved[going] = True
                    rest = rest[~goes]
            if not bool(moved.any()):
                break
            levels.append((next_codes, next_times))
            codes, times, active = next_codes, next_times, moved
        return levels

    def _status(self, item: Status, name: str) -> Values:
        levels = self.ladder(name)
        codes = levels[0][0].copy()
        for next_codes, times in levels[1:]:
            reached = times <= self.view.moment
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
        moments = np.full(len(self), NEVER, dtype=np.int64)
        for codes, times in self.ladder(path[0]):
            here = (codes == code) & (times <= self.view.moment) & (moments == NEVER)
            moments[here] = times[here]
        valid = moments != NEVER
        return Values(Kind.MOMENT, np.where(valid, moments, 0), valid)

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
            counts = self.child_counts(plan)
            index = np.repeat(np.arange(len(self)), counts)
            ends = np.cumsum(counts)
            number = np.arange(len(index)) - np.repeat(ends - counts, counts)
            frame = Frame(self.view, plan, self.rows[index] * plan.stride + number, self, index)
            self._children[plan.name] = frame.only(frame.present())
        return self._children[plan.name]

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
            rolled = self.view.rollup(plan, column, self.plan, function, node)
            return rolled.values(self.rows)
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

    # Arrow

    def arrow(self) -> pa.RecordBatch:
        """Every column that is written; a tombstone column where rows can be deleted."""
        names = self.plan.columns
        arrays = [self._arrow(self.plan.table.fields[name], ("fields", name)) for name in names]
        deletions = self.plan.table.deletions
        if deletions is not None:
            deleted = self.deleted()
            assert deleted is not None
            names = [*names, deletions.column]
            arrays.append(pa.array(deleted <= self.view.moment))
        return pa.RecordBatch.from_arrays(arrays, names=names)

    def _arrow(self, item: AnyField, place: Place) -> pa.Array:
        match item:
            case Struct():
                return self._struct(item, place)
            case ListOf(of=str()):
                return self._list_of(item, place)
            case ListOf():
                return self._list_items(item, place)
        values = self.column(str(place[1])) if len(place) == 2 else self._make(item, place)
        written_as: str | None = None
        scale: int | None = None
        if (isinstance(item, Numerical) and item.as_ != "number") or isinstance(item, Derived):
            written_as, scale = item.as_, item.round
        elif isinstance(item, ForeignKey):
            return self._key_arrow(item, values)
        return to_arrow(values, written_as=written_as, scale=scale)

    def _key_arrow(self, item: ForeignKey, values: Values) -> pa.Array:
        """Written as what it points at is."""
        target = self.view.world.plans[item.table].table.fields[item.column]
        if isinstance(target, Numerical | Derived):
            as_ = None if target.as_ == "number" and isinstance(target, Numerical) else target.as_
            return to_arrow(values, written_as=as_, scale=target.round)
        return to_arrow(values)

    def _struct(self, item: Struct, place: Place) -> pa.Array:
        fields = item.fields
        arrays = [
            self._arrow(field, (*place, "fields", name))
            for name, field in fields.items()
            if not field.hidden
        ]
        names = [name for name, field in fields.items() if not field.hidden]
        mask = self._not_null(item, tuple(str(step) for step in place[1:]), None)
        node = self.nodes.get((*place, "if"))
        if node is not None:
            mask = both(mask, truth(node, self))
        absent = None if mask is None else pa.array(~mask)
        return pa.StructArray.from_arrays(arrays, names=names, mask=absent)

    def _list_of(self, item: ListOf, place: Place) -> pa.Array:
        assert item.of is not None
        plan = self.plan.listable(item.of)
        assert plan is not None
        frame = self.children(plan) if plan.parent is self.plan else self.beside(plan)
        assert frame.index is not None
        if item.fields is None:
            elements = frame.arrow().to_struct_array()
        else:
            elements = _Nested(frame, self.nodes)._struct(  # noqa: SLF001
                Struct(type="struct", fields=item.fields), place
            )
        counts = np.bincount(frame.index, minlength=len(self))
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), elements)

    def _list_items(self, item: ListOf, place: Place) -> pa.Array:
        """Items one after another, then in the order of the rows."""
        arrays, masks = [], []
        for number, element in enumerate(item.items or ()):
            here = (*place, "items", number)
            node = self.nodes.get((*here, "if"))
            masks.append(np.ones(len(self), dtype=bool) if node is None else truth(node, self))
            arrays.append(self._struct(Struct(type="struct", fields=element.fields), here))
        mask = np.stack(masks, axis=1)
        size = len(self)
        rows, numbers = np.nonzero(mask)
        merged = pa.concat_arrays(_alike(arrays))
        elements = merged.take(pa.array(numbers * size + rows))
        offsets = np.concatenate(([0], np.cumsum(mask.sum(axis=1)))).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), elements)


class _Nested(Frame):
    """A child's frame for the fields of a list, which stand in the table that lists it."""

    def __init__(self, frame: Frame, nodes: "dict[Place, Node]") -> None:
        super().__init__(frame.view, frame.plan, frame.rows, frame.parent, frame.index)
        self.nodes = nodes
        self._base = frame

    def column(self, name: str) -> Values:
        return self._base.column(name)

    def follow(self, name: str) -> "tuple[Frame, NDArray[np.int64] | None, Mask | None]":
        return self._base.follow(name)

    def children(self, plan: TablePlan) -> Frame:
        return self._base.children(plan)

    def beside(self, plan: TablePlan) -> Frame:
        return self._base.beside(plan)

    def key_rows(self, column: str) -> Values:
        return self._base.key_rows(column)


def _alike(arrays: list[pa.Array]) -> list[pa.Array]:
    """Structs with the same fields, so that they can stand in one list."""
    types: dict[str, pa.DataType] = {}
    for array in arrays:
        for field in array.type:
            kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            if field.name not in types or pa.types.is_null(types[field.name]):
                types[field.name] = kind
    same = []
    for array in arrays:
        columns = []
        for name, kind in types.items():
            position = array.type.get_field_index(name)
            if position < 0:
                columns.append(pa.nulls(len(array), kind))
            else:
                columns.append(array.field(position).cast(kind))
        absent = array.is_null() if array.null_count else None
        same.append(pa.StructArray.from_arrays(columns, names=list(types), mask=absent))
    return same


def aggregated(
    function: str, node: Node | None, frame: Frame, index: NDArray[np.int64], size: int
) -> Values:
    """Over the rows of a frame, for each owner that ``index`` names."""
    if function == "count":
        hits = index if node is None else index[truth(node, frame)]
        return Values(Kind.INTEGER, np.bincount(hits, minlength=size).astype(np.int64))
    assert node is not None
    value = unpooled(evaluate(node, frame))
    if value.valid is not None:
        kept = value.valid
        value, index = value.take(np.flatnonzero(kept)), index[kept]
    if function == "sum":
        total = np.bincount(index, weights=value.data, minlength=size)
        if value.data.dtype.kind == "f":
            return Values(Kind.NUMBER, total)
        return Values(Kind.INTEGER, np.rint(total).astype(np.int64))
    seen = np.bincount(index, minlength=size) > 0
    extreme = np.zeros(size, dtype=value.data.dtype)
    if value.data.dtype.kind == "f":
        extreme[:] = np.inf if function == "min" else -np.inf
    else:
        bounds = np.iinfo(value.data.dtype)
        extreme[:] = bounds.max if function == "min" else bounds.min
    (np.minimum if function == "min" else np.maximum).at(extreme, index, value.data)
    return Values(value.kind, np.where(seen, extreme, 0), seen)


__all__ = ["Frame", "aggregated"]
