"""A profile of a table, and how two profiles differ.

table ─► measure ─► relations ─► findings ─► TableProfile
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal

from headrace.libraries.duckdb import make_room
from headrace.quality.profile import findings, measure, relations
from headrace.quality.profile.model import ColumnProfile, ProfilePart, TableProfile
from headrace.quality.profile.relations import MOST_COLUMNS, KeyOfTable
from headrace.sql_text import identifier, scalar

if TYPE_CHECKING:
    import duckdb

_KEPT = "profile_rows"


class Change(ProfilePart):
    """A number that differs between two profiles."""

    column: str | None = None
    what: Literal["rows", "column", "type", "nulls", "distinct", "mean", "min", "max", "values"]
    before: str
    after: str
    is_large: bool = False


def profile_table(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    name: str,
    *,
    sample: int | None = None,
    personal: Collection[str] | None = None,
    keys: Sequence[KeyOfTable] = (),
    bytes_: int | None = None,
    is_table: bool = True,
) -> TableProfile:
    """Profile a table.

    Args:
        connection: of a DuckDB that can read it, whose time zone is UTC; temporary tables are made.
        quoted: the table in SQL.
        name: what people call it.
        sample: look at so many rows, drawn at random; None for all.
        personal: columns that hold personal data; None where the project does not say.
        keys: of other tables.
        bytes_: that it takes on disk, if that is known.
        is_table: false for a view, which is read once and has no order of rows.
    """
    rows = scalar(connection, f"select count(*) from {quoted}")
    described = measure.columns_of(connection, quoted)
    make_room(connection, len(described))
    notes: list[str] = []
    if sample is not None and sample < rows:
        connection.execute(
            f"create or replace temp table {_KEPT} as select * from {quoted} "
            f"using sample reservoir({sample} rows) repeatable (1)"
        )
        quoted = _KEPT
    elif not is_table:
        connection.execute(f"create or replace temp table {_KEPT} as select * from {quoted}")
        quoted = _KEPT
    looked_at = rows if sample is None else min(rows, sample)
    sampled = measure.take_sample(connection, quoted)
    columns = measure.measure(
        connection,
        quoted,
        described,
        looked_at,
        personal=personal,
        has_order=is_table and looked_at == rows,
    )
    keys_found = relations.find_keys(connection, quoted, name, columns, looked_at)
    singles = {key[0] for key in keys_found if len(key) == 1}
    columns = tuple(
        column.model_copy(
            update={
                "is_unique": True,
                "distinct": looked_at,
                "top": () if looked_at > 1 else column.top,
            }
        )
        if column.name in singles
        else column
        for column in columns
    )
    own = [column for column in columns if not column.name.startswith("_dlt")]
    few = own[:MOST_COLUMNS]
    if len(own) > len(few):
        notes.append(
            f"pairs of columns were looked for among the first {MOST_COLUMNS} of {len(own):,} only"
        )
    values = relations.read_sample(connection, few)
    newest = measure.newest_of(columns)
    profile = TableProfile(
        name=name,
        rows=rows,
        bytes=bytes_,
        rows_looked_at=looked_at,
        sample_rows=sampled,
        newest=newest.max if newest else None,
        newest_column=newest.name if newest else None,
        duplicates=0
        if keys_found or looked_at < 2
        else relations.duplicates(connection, quoted, columns),
        keys=tuple(keys_found),
        references=tuple(relations.references(connection, quoted, columns, keys, looked_at)),
        dependencies=tuple(relations.dependencies(connection, quoted, few, values)),
        correlations=tuple(relations.correlations(few, values)),
        columns=columns,
        notes=tuple(notes),
    )
    return profile.model_copy(update={"findings": findings.find(profile)})


def keys_of(connection: "duckdb.DuckDBPyConnection", quoted: str, table: str) -> list[KeyOfTable]:
    """The columns of a table that are named like its key, and are different in every row."""
    found = []
    for column in measure.columns_of(connection, quoted):
        if column.kind not in {"number", "text"} or not relations.is_named_like_a_key(column.name):
            continue
        key = KeyOfTable(table, column.name, quoted, is_text=column.kind == "text")
        name = identifier(column.name)
        near = scalar(
            connection,
            f"select count(*) > 0 and count({name}) = count(*) and "
            f"approx_count_distinct({name}) >= 0.9 * count(*) from {quoted}",
        )
        if near and scalar(connection, f"select count(*) = count(distinct {name}) from {quoted}"):
            found.append(key)
    return found


def compare(before: TableProfile, after: TableProfile) -> tuple[Change, ...]:
    """What differs between two profiles; large is what a reader would look into."""
    found = []
    if before.rows != after.rows:
        found.append(
            Change(
                what="rows",
                before=f"{before.rows:,}",
                after=f"{after.rows:,}",
                is_large=_is_far(before.rows, after.rows, 0.2),
            )
        )
    old = {column.name: column for column in before.columns}
    new = {column.name: column for column in after.columns}
    for name in [*old, *(name for name in new if name not in old)]:
        one, other = old.get(name), new.get(name)
        if one is None or other is None:
            found.append(
                Change(
                    column=name,
                    what="column",
                    before=one.data_type if one else "not there",
                    after=other.data_type if other else "not there",
                    is_large=True,
                )
            )
        else:
            found += _columns(one, other)
    return tuple(found)


def _columns(one: ColumnProfile, other: ColumnProfile) -> list[Change]:
    found = []

    def differ(what: str, before: object, after: object, *, is_large: bool = False) -> None:
        if before != after and None not in (before, after):
            found.append(
                Change.model_validate(
                    {
                        "column": one.name,
                        "what": what,
                        "before": str(before),
                        "after": str(after),
                        "is_large": is_large,
                    }
                )
            )

    differ("type", one.data_type, other.data_type, is_large=True)
    differ(
        "nulls",
        f"{one.null_share:.1%}",
        f"{other.null_share:.1%}",
        is_large=abs(one.null_share - other.null_share) >= 0.05,
    )
    if _is_far(one.distinct, other.distinct, 0.1):
        differ("distinct", f"{one.distinct:,}", f"{other.distinct:,}")
    if one.mean is not None and other.mean is not None:
        spread = max(one.deviation or 0, other.deviation or 0)
        is_large = abs(one.mean - other.mean) > spread / 2 > 0
        if is_large or _is_far(one.mean, other.mean, 0.01, least=0.0):
            differ("mean", f"{one.mean:.6g}", f"{other.mean:.6g}", is_large=is_large)
    differ("min", one.min, other.min)
    differ("max", one.max, other.max)
    gone = {value.value for value in one.top} - {value.value for value in other.top}
    came = {value.value for value in other.top} - {value.value for value in one.top}
    if (gone or came) and max(one.distinct, other.distinct) <= measure.TOP:
        differ(
            "values",
            ", ".join(sorted(gone)) or "-",
            ", ".join(sorted(came)) or "-",
            is_large=bool(came),
        )
    return found


def _is_far(before: float, after: float, share: float, *, least: float = 1.0) -> bool:
    return abs(after - before) > share * max(abs(before), least)
