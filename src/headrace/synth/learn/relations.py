"""Keys and relations of a sample, and small tables that many rows refer to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.synth.errors import SynthError
from headrace.synth.learn.learned_field import FEWEST_ROWS
from headrace.synth.learn.sample_data import LearningSample
from headrace.synth.learn.shapes import patterns_of, with_room
from headrace.synth.patterns import MARKS, capacity, fill
from headrace.synth.pii import find_pii, is_about_people

_PARENTS: Final = ("parent", "manager", "reports_to", "previous", "referrer", "referred_by")
"""What the columns that point into their own table are called."""
_FEWEST_CODES: Final = 10
_MOST_PARTS: Final = 8
_KEY_NAME: Final = re.compile(r"(^|_)(id|key|uuid|guid|no|nr|number|code|sku)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, order=True)
class LearnedForeignKey:
    """A foreign key: each value of ``table.column`` is a value of ``parent.parent_column``."""

    table: str
    column: str
    parent: str
    parent_column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}={self.parent}.{self.parent_column}"


@dataclass(frozen=True, slots=True)
class Relations:
    """The keys of a sample.

    Attributes:
        keys: the primary key of each table that has one, by table.
        relations: foreign keys; no cycles but that of a table with itself.
        notes: what was found, and what was not taken for a key and why.
        orphans: the share of rows whose key no parent has, by relation; asked for.
    """

    keys: Mapping[str, str]
    relations: tuple[LearnedForeignKey, ...]
    notes: tuple[str, ...] = ()
    orphans: Mapping[LearnedForeignKey, float] = field(default_factory=dict)

    def of(self, table: str) -> dict[str, LearnedForeignKey]:
        """The foreign keys of a table by column."""
        return {each.column: each for each in self.relations if each.table == table}


def relate(
    sample: LearningSample,
    *,
    keys: Mapping[str, str] | None = None,
    relations: Sequence[str] | None = None,
    orphans: bool = False,
) -> Relations:
    """The keys and relations of a sample.

    Args:
        sample: the tables.
        keys: the primary key's column by table; found for tables that are not named.
        relations: such as ``orders.customer_id=customers.id``; with any, none are searched for.
            The parent's column becomes its primary key if none was declared.
        orphans: whether a relation may hold in most of the rows only; the share of the others
            is learned, too.

    Raises:
        SynthError: what was declared does not hold in the sample; says by how much.
    """
    notes: list[str] = []
    found = {table: _declared_key(sample, table, column) for table, column in (keys or {}).items()}
    wanted = [_parse(sample, text) for text in relations or ()]
    for each in wanted:
        known = found.setdefault(
            each.parent, _declared_key(sample, each.parent, each.parent_column)
        )
        if known != each.parent_column:
            raise SynthError(f"{each}: the key of {each.parent} is {known}, not its other columns")
    taken = {(each.table, each.column) for each in wanted}
    for table, data in sample.tables.items():
        if table not in found:
            column = _find_key(table, data, {name for owner, name in taken if owner == table})
            if column is not None:
                found[table] = column
                notes.append(f"key found: {table}.{column} (unique, never null)")
            else:
                notes.append(f"no key: {table}: {_why_no_key(table, data)}")
    shares: dict[LearnedForeignKey, float] = {}
    if relations is None:
        wanted = _search(sample, found, notes, shares if orphans else None)
        notes += [f"relation found: {each}" + _but(shares.get(each)) for each in wanted]
    else:
        for each in wanted:
            _check(sample, each, shares if orphans else None)
    return Relations(found, tuple(_without_cycles(wanted, notes, strict=relations is not None)),
                     tuple(notes), shares)  # fmt: skip


def is_key(column: pa.ChunkedArray) -> bool:
    """Whether a column is unique and never null, and of a type that keys have."""
    return bool(
        (pa.types.is_integer(column.type) or pa.types.is_string(column.type))
        and column.null_count == 0
        and pc.count_distinct(column).as_py() == len(column)
    )


def find_orphans(column: pa.ChunkedArray, key: pa.ChunkedArray) -> int:
    """How many values, nulls aside, are no value of a key."""
    values = column.drop_null()
    if values.type != key.type:
        return len(values)
    found = pc.is_in(values, value_set=key.combine_chunks())
    return len(values) - int(pc.sum(found).as_py() or 0)


def _declared_key(sample: LearningSample, table: str, column: str) -> str:
    data = _column(sample, table, column)
    if not (pa.types.is_integer(data.type) or pa.types.is_string(data.type)):
        raise SynthError(f"{table}.{column} is of type {data.type}; a key is integer or text")
    if data.null_count:
        raise SynthError(f"{table}.{column} is not a key: {data.null_count} rows hold null")
    distinct = pc.count_distinct(data).as_py()
    if distinct != len(data):
        raise SynthError(
            f"{table}.{column} is not a key: {len(data)} rows have {distinct} different values"
        )
    return column


def _column(sample: LearningSample, table: str, column: str) -> pa.ChunkedArray:
    if table not in sample.tables:
        raise SynthError(f"there is no table {table!r}; tables: {', '.join(sample.tables)}")
    data = sample.tables[table]
    if column not in data.column_names:
        raise SynthError(
            f"{table} has no column {column!r}; columns: {', '.join(data.column_names)}"
        )
    return data.column(column)


def _parse(sample: LearningSample, text: str) -> LearnedForeignKey:
    found = re.fullmatch(r"\s*(\w+)\.(\w+)\s*=\s*(\w+)\.(\w+)\s*", text)
    if found is None:
        raise SynthError(f"{text!r} is not a relation: write orders.customer_id=customers.id")
    relation = LearnedForeignKey(*found.groups())
    _column(sample, relation.table, relation.column)
    _column(sample, relation.parent, relation.parent_column)
    return relation


def _but(share: float | None) -> str:
    return f", but for {share:.2%} of the rows, which are orphans" if share else ""


def _check(
    sample: LearningSample,
    relation: LearnedForeignKey,
    shares: dict[LearnedForeignKey, float] | None,
) -> None:
    column = _column(sample, relation.table, relation.column)
    key = _column(sample, relation.parent, relation.parent_column)
    if column.type != key.type and column.null_count < len(column):
        raise SynthError(f"{relation}: one is {column.type}, the other {key.type}")
    lost = find_orphans(column, key)
    if lost and shares is not None:
        shares[relation] = lost / len(column)
    elif lost:
        raise SynthError(
            f"{relation} does not hold: {lost} of {len(column)} rows point at no row; learn "
            f"--orphans, too, or take a sample whose {relation.parent} are all there"
        )


def _find_key(table: str, data: pa.Table, not_these: set[str]) -> str | None:
    singular = _singular(table)
    best: tuple[int, str] | None = None
    for place, name in enumerate(data.column_names):
        if name in not_these or not is_key(data.column(name)):
            continue
        lower = name.lower()
        if lower in {"id", f"{singular}_id", f"{table.lower()}_id"}:
            rank = 0
        elif _KEY_NAME.search(name) and place == 0:
            rank = 1
        elif _KEY_NAME.search(name) and singular in lower:
            rank = 2
        elif place == 0 and _looks_like_a_key(data.column(name)):
            rank = 3
        elif _KEY_NAME.search(name) and len(data) >= 10:
            rank = 4
        else:
            continue
        if best is None or rank < best[0]:
            best = (rank, name)
    return best[1] if best else None


def _why_no_key(table: str, data: pa.Table) -> str:
    """Why no column is the key, and which columns would be one together."""
    unique = [name for name in data.column_names if is_key(data.column(name))]
    if unique:
        return (
            f"{unique[0]} is unique, but neither its name nor its place is a key's; declare it by "
            f"--key {table}={unique[0]}"
        )
    counts = {
        name: pc.count_distinct(data.column(name)).as_py()
        for name in data.column_names
        if not pa.types.is_null(data.column(name).type)
    }
    if not counts:
        return "no row has a value"
    best = max(counts, key=lambda name: counts[name])
    why = f"no column is unique ({best} has {counts[best]:,} values in {len(data):,} rows)"
    together = _composite(data, counts)
    if together is not None:
        why += f"; {' and '.join(together)} are together, which is not kept"
    return why


def _composite(data: pa.Table, counts: Mapping[str, int]) -> tuple[str, ...] | None:
    """Two or three columns that are unique together, of those with the most values."""
    names = [
        name
        for name in counts
        if counts[name] > 1 and not data.column(name).null_count
        and not pa.types.is_floating(data.column(name).type)
    ]  # fmt: skip
    names = sorted(sorted(names, key=lambda name: -counts[name])[:_MOST_PARTS], key=names.index)
    few = data.slice(0, 10_000)
    for size in (2, 3):
        for group in combinations(names, size):
            parts = [*group]
            if all(
                len(part.group_by(parts).aggregate([])) == len(part) for part in (few, data)
            ):  # fmt: skip
                return group
    return None


def _looks_like_a_key(column: pa.ChunkedArray) -> bool:
    """Whether a unique column holds integers, or codes."""
    if pa.types.is_integer(column.type):
        return True
    return len(column) >= _FEWEST_CODES and patterns_of(column.to_pylist()) is not None


def _search(
    sample: LearningSample,
    keys: Mapping[str, str],
    notes: list[str],
    shares: dict[LearnedForeignKey, float] | None,
) -> list[LearnedForeignKey]:
    found = []
    for table, data in sample.tables.items():
        for name in data.column_names:
            column = data.column(name)
            if name == keys.get(table) or column.null_count == len(column):
                continue
            options = []
            for parent, key in keys.items():
                rank = _hint(table, name, column, parent, key)
                if rank is None:
                    continue
                lost = find_orphans(column, sample.tables[parent].column(key))
                relation = LearnedForeignKey(table, name, parent, key)
                if not lost:
                    options.append((rank, relation))
                elif shares is not None and lost <= (0.5 if rank <= 1 else 0.1) * len(column):
                    shares[relation] = lost / len(column)
                    options.append((rank, relation))
                elif rank == 0:
                    notes.append(
                        f"no relation: {table}.{name} is called like {parent}.{key}, and {lost} "
                        f"of {len(column)} rows point at no row; learn them by --orphans"
                    )
            if options:
                found.append(min(options)[1])
    return found


def _hint(table: str, name: str, column: pa.ChunkedArray, parent: str, key: str) -> int | None:
    """How much a column looks like a foreign key, 0 the most; None if it does not."""
    lower, singular = name.lower(), _singular(parent)
    if table == parent:
        base = lower.removesuffix("_id").removesuffix(f"_{singular}")
        return 0 if base in _PARENTS else None
    names = {f"{singular}_{key.lower()}", f"{parent.lower()}_{key.lower()}", f"{singular}_id"}
    generic = {"id", "key", "uuid", "code", "no", "number", "name"}
    if key.lower() not in generic and (
        _KEY_NAME.search(key) or pa.types.is_string(column.type)
    ):  # fmt: skip
        names.add(key.lower())
    if lower in names:
        return 0
    if any(lower.endswith(f"_{each}") for each in names):
        return 1
    if not pa.types.is_string(column.type):
        return None  # small numbers are contained in any serial key
    if lower in {singular, parent.lower()}:
        return 2
    return 3 if pc.count_distinct(column).as_py() >= 3 else None


def _singular(table: str) -> str:
    lower = table.lower()
    lower = re.sub(r"^(stg|raw|dim|fct|src)_+", "", lower)
    if lower.endswith("ies"):
        return f"{lower[:-3]}y"
    if lower.endswith(("sses", "xes", "ches", "shes")):
        return lower[:-2]
    return lower[:-1] if lower.endswith("s") and not lower.endswith("ss") else lower


def _without_cycles(
    wanted: Sequence[LearnedForeignKey], notes: list[str], *, strict: bool
) -> list[LearnedForeignKey]:
    """A relation that would close a cycle is an error if declared, and left out if found."""
    above: dict[str, set[str]] = {}
    kept = []
    for each in wanted:
        if each.table != each.parent and _reaches(above, each.parent, each.table):
            if strict:
                raise SynthError(f"{each} closes a cycle of relations: leave one of them out")
            notes.append(f"no relation: {each} would close a cycle")
            continue
        if each.table != each.parent:
            above.setdefault(each.table, set()).add(each.parent)
        kept.append(each)
    return kept


def _reaches(above: Mapping[str, set[str]], start: str, goal: str) -> bool:
    seen, stack = set(), [start]
    while stack:
        here = stack.pop()
        if here == goal:
            return True
        if here not in seen:
            seen.add(here)
            stack += above.get(here, ())
    return False


MOST_ROWS: Final = 5_000
MOST_KEYS: Final = 500
"""A column that refers to more different rows is drawn as a foreign key."""
_REFERRING: Final = 20
"""So many rows refer to each key, on average."""


@dataclass(frozen=True, slots=True)
class KeyedTable:
    """A table whose keys are listed.

    Attributes:
        keys: of all rows, in their order: those that rows refer to as they are, others new.
        values: other columns that are listed, too: of tables that are referred to as a whole.
    """

    keys: tuple[Any, ...]
    values: Mapping[str, tuple[Any, ...]]


def find_references(sample: LearningSample, relations: Relations) -> dict[str, KeyedTable]:
    """The tables whose keys are listed, by name; none about people or with personal data."""
    result = {}
    for name, key in relations.keys.items():
        data = sample.tables[name]
        referring = [each for each in relations.relations
                     if each.parent == name and is_reference(sample, each)]  # fmt: skip
        if not referring or len(data) > MOST_ROWS or is_about_people(name):
            continue
        columns = tuple(data.column_names)
        if any(find_pii(name, each, data.column(each), columns) for each in columns):
            continue
        keys = data.column(key).combine_chunks()
        counts = np.zeros(len(keys), dtype=np.int64)
        for each in referring:
            places = places_of(sample, each)
            counts += np.bincount(places[places >= 0], minlength=len(keys))
        known = counts >= FEWEST_ROWS
        listed = keys.to_pylist()
        if not known.all() and pa.types.is_string(keys.type):
            new = _new_keys(listed, known)
            if new is None:
                continue
            listed = new
        whole = bool(known.all()) and len(data) <= MOST_KEYS
        own = relations.of(name)
        result[name] = KeyedTable(
            tuple(listed),
            {
                each: tuple(data.column(each).to_pylist())
                for each in columns
                if whole and each != key and each not in own and _is_listable(data.column(each))
            },
        )
    return result


def is_reference(sample: LearningSample, relation: LearnedForeignKey) -> bool:
    """Whether a foreign key has so few different values that these are categories."""
    column = sample.tables[relation.table].column(relation.column)
    distinct = pc.count_distinct(column).as_py()
    return bool(
        relation.table != relation.parent
        and 0 < distinct <= MOST_KEYS
        and len(column) - column.null_count >= _REFERRING * distinct
    )


def places_of(sample: LearningSample, relation: LearnedForeignKey) -> Any:
    """The row of the parent that each row refers to, -1 for null and orphans; int64."""
    column = sample.tables[relation.table].column(relation.column)
    keys = sample.tables[relation.parent].column(relation.parent_column).combine_chunks()
    places = pc.index_in(column, value_set=keys)
    return np.where(pc.is_null(column).to_numpy(), -1, pc.fill_null(places, -1).to_numpy()).astype(
        np.int64
    )


def _is_listable(column: pa.ChunkedArray) -> bool:
    kind = column.type
    return bool(
        pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
    )  # fmt: skip


def _new_keys(keys: list[str], known: Any) -> list[str] | None:
    """The keys, but of rows that few refer to, new ones of the same shapes."""
    patterns = patterns_of(keys)
    if patterns is None:
        return None
    roomy = with_room(patterns, 10 * len(keys))
    taken = {key for key, is_known in zip(keys, known, strict=True) if is_known}
    real = set(keys)
    random = np.random.default_rng(len(keys))
    weights = np.array(list(roomy.values()), dtype=np.float64)
    result = []
    for key, is_known in zip(keys, known, strict=True):
        if is_known:
            result.append(key)
            continue
        for attempt in range(200):
            place = random.choice(len(weights), p=weights / weights.sum())
            pattern = list(roomy)[-1 if attempt > 100 else place]
            number = int(random.integers(0, min(capacity(pattern, MARKS), 2**62)))
            new = fill(pattern, np.array([number]), MARKS)[0].as_py()
            if new not in taken and (new not in real or attempt > 50):
                break
        else:
            return None
        taken.add(new)
        result.append(new)
    return result
