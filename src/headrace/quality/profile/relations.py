"""How columns belong together: keys, repeated rows, dependencies, correlations, references.

What a sample refutes is not asked of the whole table; what is left is counted there exactly.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any

from headrace.quality.profile.measure import SAMPLE
from headrace.quality.profile.model import ColumnCorrelation, ColumnProfile, Dependency, Reference
from headrace.sql_text import identifier, identifiers, scalar

if TYPE_CHECKING:
    import duckdb
    from numpy.typing import NDArray

MOST_COLUMNS = 60  # whose pairs are looked at
_MOST_KEYS = 5
_MOST_PAIRS = 10  # that are counted in the whole table
_PAIR_ROWS = 4_000
_PAIRED = 20  # columns of which two may be a key
_IN_THREES = 8
_LEAST_CORRELATION = 0.5
_MOST_CORRELATIONS = 20
_MOST_CATEGORIES = 50
_ORPHANS = 0.05  # of the rows; with more, two columns only have values in common
_PLAIN_KEYS = ("id", "uuid", "key", "code")
_KEY_ENDINGS = ("_id", "_key", "_code", "_number", "_uuid")
_OF_MANY = ("first_", "last_", "latest_", "min_", "max_", "previous_", "next_", "parent_")
_LAYERS = ("fct_", "dim_", "stg_", "int_", "mart_", "agg_", "raw_")
_BY_CHANCE = 3  # the rank of a number that is not named like a key


@dataclass(frozen=True)
class KeyOfTable:
    """A key of another table, to which columns may refer.

    Attributes:
        table: as people name it.
        column: its one column.
        quoted: the table in SQL.
        is_text: whether its values are texts, not numbers.
    """

    table: str
    column: str
    quoted: str
    is_text: bool


def is_named_like_a_key(column: str) -> bool:
    """Whether a column's name is one that keys have."""
    lowered = column.lower()
    return not lowered.startswith(_OF_MANY) and (
        lowered in _PLAIN_KEYS or lowered.endswith(_KEY_ENDINGS)
    )


def is_likely_key(table: str, columns: Sequence[ColumnProfile], key: Sequence[str]) -> bool:
    """Whether a key is one by its name or type, too: an amount is different by chance."""
    ranks = _ranks(table, columns)
    return all(ranks[name] < _BY_CHANCE for name in key)


def find_keys(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    table: str,
    columns: Sequence[ColumnProfile],
    rows: int,
) -> list[tuple[str, ...]]:
    """Columns without nulls that identify a row: one, else two, else three together.

    Those named like a key come first, then texts and times. A combination with hardly more values
    than there are rows comes before others: it is more likely a key than columns that are distinct
    by chance.

    Args:
        connection: that has the sample, too.
        quoted: the table in SQL.
        table: its name, which may name its key.
        columns: of it.
        rows: how many it has.
    """
    if rows < 2:
        return []
    ranks = _ranks(table, columns)
    likely = [
        column
        for column in columns
        if column.name in ranks and not column.nulls and column.distinct > 1
    ][:MOST_COLUMNS]
    likely.sort(key=lambda column: ranks[column.name])
    near = [column for column in likely if column.distinct >= 0.9 * rows][: 2 * _MOST_KEYS]
    found: list[tuple[str, ...]] = [
        (column.name,)
        for column in near
        if column.is_unique or not _repeated(connection, quoted, [column.name])
    ]
    for size in (2, 3):
        if found:
            break
        # of three, only those that are keys by name or type
        some = [one for one in likely if size == 2 or ranks[one.name] < _BY_CHANCE]
        groups = [
            group
            for group in combinations(some[: _PAIRED if size == 2 else _IN_THREES], size)
            if math.prod(column.distinct for column in group) >= 0.9 * rows
        ]
        groups.sort(
            key=lambda group: (
                sum(ranks[column.name] for column in group),
                math.prod(column.distinct for column in group),
            )
        )
        found += _keys_of_several(connection, quoted, groups)
    return found[:_MOST_KEYS]


def _keys_of_several(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    groups: Sequence[Sequence[ColumnProfile]],
) -> Iterator[tuple[str, ...]]:
    asked = found = 0
    for group in groups:
        names = tuple(column.name for column in group)
        sample = f"(select {identifiers(names)} from {SAMPLE} limit {_PAIR_ROWS})"
        if _repeated(connection, sample, names):
            continue
        asked += 1
        if not _repeated(connection, quoted, names):
            found += 1
            yield names
        if found == _MOST_KEYS or asked == _MOST_PAIRS:
            return


def _repeated(connection: "duckdb.DuckDBPyConnection", quoted: str, names: Sequence[str]) -> bool:
    """Whether any values of some columns come twice."""
    listed = identifiers(names) if len(names) == 1 else f"({identifiers(names)})"
    return bool(scalar(connection, f"select count(*) > count(distinct {listed}) from {quoted}"))


def _ranks(table: str, columns: Sequence[ColumnProfile]) -> dict[str, int]:
    """How likely columns are the key, or a part of it: 0 by the table's own name."""
    own = KeyOfTable(table, "id", "", is_text=False)
    found = {}
    for place, column in enumerate(columns):
        if column.kind not in {"number", "text", "time"}:
            continue
        is_float = column.data_type in {"FLOAT", "DOUBLE"}
        if column.name.lower() == "id" or any(
            is_named_after(column.name, replace(own, column=ending)) for ending in _PLAIN_KEYS
        ):
            found[column.name] = 0
        elif is_named_like_a_key(column.name):
            found[column.name] = 1
        elif column.name.lower().startswith(_OF_MANY):
            found[column.name] = _BY_CHANCE
        elif column.kind != "number" or (place == 0 and not is_float):
            found[column.name] = 2
        elif not is_float:
            found[column.name] = _BY_CHANCE
    return found


def duplicates(
    connection: "duckdb.DuckDBPyConnection", quoted: str, columns: Sequence[ColumnProfile]
) -> int:
    """Rows that another row equals in all columns, by a hash of 64 bits."""
    names = identifiers(column.name for column in columns)
    return scalar(connection, f"select count(*) - count(distinct hash({names})) from {quoted}")


def read_sample(
    connection: "duckdb.DuckDBPyConnection", columns: Sequence[ColumnProfile]
) -> Mapping[str, "NDArray[Any]"]:
    """The sample by column: numbers and times as floats, NaN for none; other values as codes."""
    import numpy as np

    found: dict[str, NDArray[Any]] = {}
    for column in columns:
        name = identifier(column.name)
        if column.kind == "number":
            value = f"cast({name} as double)"
        elif column.data_type.startswith(("DATE", "TIMESTAMP")):
            value = f"cast(epoch({name}) as double)"
        elif column.kind in {"text", "boolean", "time"}:
            value = f"cast(dense_rank() over (order by {name}) as double)"
        else:
            continue
        one = f"case when {name} is null then cast('nan' as double) else {value} end"
        table = connection.execute(f"select {one} from {SAMPLE} order by rowid").to_arrow_table()
        # Arrow's own to_numpy() imports pandas, which takes half a second
        found[column.name] = np.concatenate(
            [
                np.frombuffer(chunk.buffers()[1], dtype=np.float64)[chunk.offset :][: len(chunk)]
                for chunk in table[0].chunks
                if len(chunk)
            ]
            or [np.empty(0)]
        )
    return found


def dependencies(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    columns: Sequence[ColumnProfile],
    sample: Mapping[str, "NDArray[Any]"],
) -> list[Dependency]:
    """Columns that follow from another, in the sample and then in the whole table."""
    import numpy as np

    codes: dict[str, tuple[NDArray[Any], int]] = {}
    for name, values in sample.items():
        _, inverse = np.unique(values, return_inverse=True)
        codes[name] = inverse.astype(np.int64), int(inverse.max(initial=-1)) + 1
    by_name = {column.name: column for column in columns}
    found: list[Dependency] = []
    equal: set[str] = set()
    for cause, effect in permutations(codes, 2):
        (one, ones), (other, others) = codes[cause], codes[effect]
        # each value must come often enough for that to mean something
        if ones * 3 > len(one) or others < 2 or {cause, effect} & equal or others > ones:
            continue
        if by_name[cause].data_type in {"FLOAT", "DOUBLE"} or by_name[effect].distinct < 2:
            continue
        if len(np.unique(one * others + other)) != ones:
            continue
        a, b = identifier(cause), identifier(effect)
        differs = (
            f"select 1 from {quoted} group by {a} having count(distinct {b}) > 1 or "
            f"(count({b}) > 0 and count({b}) < count(*)) limit 1"
        )
        if connection.execute(differs).fetchone() is None:
            found.append(Dependency(column=effect, follows_from=cause))
            if ones == others:
                equal.add(effect)
        if len(found) == _MOST_CORRELATIONS:
            break
    return found


def correlations(
    columns: Sequence[ColumnProfile], sample: Mapping[str, "NDArray[Any]"]
) -> list[ColumnCorrelation]:
    """Columns that go together in the sample, the strongest first.

    Pearson's and Spearman's coefficient of numbers, the larger of them; Cramér's V, corrected for
    its bias, of columns with few values.
    """
    import numpy as np

    numbers = {
        column.name: np.where(np.isfinite(sample[column.name]), sample[column.name], np.nan)
        for column in columns
        if column.name in sample and column.kind == "number" and column.distinct > 2
        and not column.is_unique
    }  # fmt: skip
    categories = {
        column.name: sample[column.name]
        for column in columns
        if column.name in sample and column.kind in {"text", "boolean"}
        and 2 <= column.distinct <= _MOST_CATEGORIES
    }  # fmt: skip
    found: list[ColumnCorrelation] = []
    with np.errstate(all="ignore"):
        for one, other in combinations(numbers, 2):
            found += _of_numbers(one, other, numbers[one], numbers[other])
        for one, other in combinations(categories, 2):
            value = _cramers_v(categories[one], categories[other])
            found.append(ColumnCorrelation(one=one, other=other, method="cramers_v", value=value))
    found = [one for one in found if abs(one.value) >= _LEAST_CORRELATION]
    return sorted(found, key=lambda one: -abs(one.value))[:_MOST_CORRELATIONS]


def _of_numbers(
    one: str, other: str, a: "NDArray[Any]", b: "NDArray[Any]"
) -> Iterator[ColumnCorrelation]:
    import numpy as np

    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 10:
        return
    pearson = float(np.corrcoef(a[both], b[both])[0, 1])
    spearman = float(np.corrcoef(_places(a[both]), _places(b[both]))[0, 1])
    if not np.isfinite(pearson) or abs(spearman) > abs(pearson) + 0.05:
        if np.isfinite(spearman):
            yield ColumnCorrelation(
                one=one, other=other, method="spearman", value=round(spearman, 4)
            )
        return
    yield ColumnCorrelation(one=one, other=other, method="pearson", value=round(pearson, 4))


def _places(values: "NDArray[Any]") -> "NDArray[Any]":
    """Ranks, the mean of them where values are equal."""
    import numpy as np

    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[Any] = (last - (counts - 1) / 2)[inverse]
    return ranks


def _cramers_v(a: "NDArray[Any]", b: "NDArray[Any]") -> float:
    """Cramér's V with Bergsma's correction of its bias; 0 where there is nothing to tell."""
    import numpy as np

    both = np.isfinite(a) & np.isfinite(b)
    n = int(both.sum())
    if n < 10:
        return 0.0
    _, one = np.unique(a[both], return_inverse=True)
    _, other = np.unique(b[both], return_inverse=True)
    rows, columns = int(one.max()) + 1, int(other.max()) + 1
    if min(rows, columns) < 2:
        return 0.0
    table = np.bincount(one * columns + other, minlength=rows * columns).reshape(rows, columns)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / n
    phi = float((((table - expected) ** 2) / expected).sum()) / n
    phi = max(0.0, phi - (columns - 1) * (rows - 1) / (n - 1))
    rows_left = rows - (rows - 1) ** 2 / (n - 1)
    columns_left = columns - (columns - 1) ** 2 / (n - 1)
    least = min(rows_left - 1, columns_left - 1)
    return round(min(1.0, (phi / least) ** 0.5), 4) if least > 0 else 0.0


def references(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    columns: Sequence[ColumnProfile],
    keys: Sequence[KeyOfTable],
    rows: int,
) -> list[Reference]:
    """Columns whose values are those of another table's key.

    Asked of columns that are named like the key, and of texts with many values: that all numbers
    of a column are among another's says nothing.
    """
    found = []
    for column in columns:
        if column.kind not in {"number", "text"} or column.name.lower() == "id" or not rows:
            continue
        filled = rows - column.nulls
        for key in keys:
            if key.is_text != (column.kind == "text") or not filled:
                continue
            if not (is_named_after(column.name, key) or (key.is_text and column.distinct >= 10)):
                continue
            name, field = identifier(column.name), identifier(key.column)
            orphans = "select count(*) from {table} as child where child.{name} is not null and "
            orphans += "not exists (select 1 from {other} as parent where parent.{field} = "
            orphans += "child.{name})"
            given = {"name": name, "field": field, "other": key.quoted}
            if not is_named_after(column.name, key) and scalar(
                connection, orphans.format(table=SAMPLE, **given)
            ):
                continue
            count = scalar(connection, orphans.format(table=quoted, **given))
            if count <= _ORPHANS * filled:
                found.append(
                    Reference(column=column.name, table=key.table, field=key.column, orphans=count)
                )
                break
    return found


def is_named_after(column: str, key: KeyOfTable) -> bool:
    """Whether a column is called like a key: ``customer_id`` for that, or for ``id`` of customers.

    A prefix is a role: ``billing_customer_id``.
    """
    lowered, field = column.lower(), key.column.lower()
    if field in _PLAIN_KEYS:
        table = key.table.rpartition(".")[2].rpartition("__")[2].lower()
        for layer in _LAYERS:
            table = table.removeprefix(layer)
        names = {table, table.removesuffix("s"), table.removesuffix("es")}
        if table.endswith("ies"):
            names.add(f"{table[:-3]}y")
        field_names = {f"{name}_{field}" for name in names}
    else:
        field_names = {field}
    return not lowered.startswith(_OF_MANY) and any(
        lowered == name or lowered.endswith(f"_{name}") for name in field_names
    )
