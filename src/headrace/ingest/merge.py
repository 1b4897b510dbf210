"""Which rows of the files that were read go into the raw table.

The table is as a first load of the files that are there now would make it: of a key that several
files hold, it has the row with the newest cursor, and among equals the one of the last file by
name, whatever was read when. What no file holds any more stays, and with a cursor an older version
never takes the place of a newer one. For that, each raw row knows the file that it came from.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.errors import SourceError
from headrace.formatting import first_few
from headrace.ingest.cursor import Kind, find, key, refuse_dates_in_other_forms
from headrace.ingest.model import FILE_COLUMN, FROM_FILE, IS_GONE, FileTable
from headrace.ingest.periods import Backfill
from headrace.ingest.reader import file_literal
from headrace.ingest.types import RawColumn
from headrace.sql_text import identifier, identifiers, literal, scalar

if TYPE_CHECKING:
    import duckdb

# between the name of a file and the id of a row of it that was replayed from quarantine
REPLAYED = " (replayed) "
IS_GOOD = (
    "(__file, __row) not in (select (__file, __row) from bad where reason <> 'data_type_value')"
)
NONE_BAD = (
    "create or replace temp table bad "
    "(__file bigint, __row bigint, reason varchar, message varchar)"
)
_KINDS: Mapping[str, Kind] = {"BIGINT": "number", "DOUBLE": "number", "DATE": "date"}


@dataclass(frozen=True)
class Existing:
    """The raw table before the load.

    Attributes:
        columns: name to DuckDB type, dlt's own columns left out; empty when there is no table.
        all_rows: SQL of its rows, also of loads that did not end; "" when there is no table.
        relation: SQL of its rows of completed loads.
        has_rows: whether there are any.
        knows_files: whether its rows know the file that they came from (none of a table with a
            key did, in tables that an older Headrace loaded).
        quarantine: SQL of its rows that are in quarantine; "" if the source has none.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    all_rows: str = ""
    relation: str = ""
    has_rows: bool = False
    knows_files: bool = False
    quarantine: str = ""


@dataclass(frozen=True)
class Picked:
    """What ``picked`` holds, the table of rows to hand over.

    Attributes:
        columns: its columns, in order.
        rows: all of its rows.
        rows_new: those whose key the raw table does not have.
        rows_changed: those whose key it has, with other values.
        rows_deleted: rows of the raw table that it tells dlt to delete.
        notes: sentences for the user.
    """

    columns: tuple[RawColumn, ...]
    rows: int
    rows_new: int
    rows_changed: int
    rows_deleted: int = 0
    notes: tuple[str, ...] = ()

    def written(self, connection: "duckdb.DuckDBPyConnection", folder: Path, name: str) -> str:
        """SQL of what ``picked`` holds, for any DuckDB on this machine: it is written to a file.

        Args:
            connection: has ``picked``.
            folder: where the file is written.
            name: what its name begins with.
        """
        path = folder / f"{name}-{uuid.uuid4().hex}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        names = identifiers(column.name for column in self.columns)
        connection.execute(f"copy (select {names} from picked) to {literal(str(path))}")
        return f"select {names} from read_parquet({file_literal(path)}) as staged"


def kind_of_type(duckdb_type: str) -> Kind | None:
    """The kind of a cursor whose column has this type; None where its values have to tell."""
    if duckdb_type.startswith("TIMESTAMP"):
        return "timestamp"
    return "number" if duckdb_type.startswith("DECIMAL") else _KINDS.get(duckdb_type)


def rank_text(
    connection: "duckdb.DuckDBPyConnection", values: str, *, declared_text: bool
) -> Kind | None:
    """Fill ``cursor_rank``: each text of a cursor to its place in the order that it means.

    Args:
        connection: the local DuckDB.
        values: a query of one column of texts.
        declared_text: whether the settings say that the cursor is text.

    Raises:
        CursorError: the values cannot be ordered.
    """
    import pyarrow as pa

    texts = [row[0] for row in connection.execute(f"select distinct * from ({values})").fetchall()]
    refuse_dates_in_other_forms(texts)
    kind = find(texts, "text" if declared_text else None)
    keys = {text: key(text, kind) for text in texts if text is not None and kind is not None}
    ranks = {one: rank for rank, one in enumerate(sorted(set(keys.values())))}
    ranked = pa.table(
        {
            "__value": pa.array(list(keys), pa.string()),
            "__rank": pa.array([ranks[one] for one in keys.values()], pa.int64()),
        }
    )
    connection.register("ranked", ranked)
    connection.execute("create or replace temp table cursor_rank as select * from ranked")
    connection.unregister("ranked")
    return kind


@dataclass
class Merge:
    """One table's merge; it reads the view ``typed`` and the table ``bad`` of the stager.

    Attributes:
        connection: the local DuckDB.
        table: the table, with the raw names of its columns.
        existing: the raw table.
        columns: the columns of ``typed`` that are loaded.
        files: names of all files that are there, in their order.
        read: names of those that were read.
        renamed: names of files that are gone, whose content another file has now.
        raw_cursor: SQL of the place of a raw row in the cursor's order.
        repeats: whether several of the files that were read may have the same key.
        between: the range of the cursor in which rows are taken; None for all.
    """

    connection: "duckdb.DuckDBPyConnection"
    table: FileTable
    existing: Existing
    columns: list[RawColumn]
    files: list[str]
    read: set[str]
    renamed: tuple[str, ...]
    raw_cursor: str
    repeats: bool
    between: Backfill | None = None

    @cached_property
    def good(self) -> int:
        """The rows of the files that can be loaded, once all that are bad are known."""
        return scalar(self.connection, f"select count(*) from incoming where {IS_GOOD}")

    def pick(self) -> Picked | None:
        """Fill ``picked``; None when it takes the files that were not read to tell."""
        rows = ", ".join(
            f"({literal(name)}, {place}, {'true' if name in self.read else 'false'})"
            for place, name in enumerate(self.files)
        )
        self._make(
            "table", "file_order", f"from (values {rows}) as files (__name, __place, __is_read)"
        )
        if not self.table.primary_key:
            return self._pick_by_file()
        self._make(
            "view",
            "good",
            f"select typed.*, file_order.__place from typed inner join file_order "
            f"on typed.{FILE_COLUMN} = file_order.__name where {IS_GOOD}",
        )
        if not self.existing.has_rows:
            return self._pick_first()
        self._view_raw()
        if not self._is_whole and (not self.existing.knows_files or self._has_lost_rows()):
            return None
        return self._pick_by_key()

    @property
    def _is_snapshot(self) -> bool:
        return self.table.write == "snapshot"

    @property
    def _is_whole(self) -> bool:
        """Whether all files that are there were read."""
        return self.read >= set(self.files)

    def _make(self, kind: str, name: str, query: str) -> None:
        self.connection.execute(f"create or replace temp {kind} {name} as {query}")

    def _same_key(self, one: str, other: str) -> str:
        return " and ".join(
            f"{one}.{identifier(column)} = {other}.{identifier(column)}"
            for column in self.table.primary_key
        )

    def _winners(self) -> str:
        if not self.repeats:  # to number rows takes memory for all of their values
            return "select * from good"
        keys = identifiers(self.table.primary_key)
        return (
            f"select * from good qualify row_number() over (partition by {keys} "
            "order by __cursor desc nulls last, __place desc, __row desc) = 1"
        )

    def _view_raw(self) -> None:
        from_file = FROM_FILE if self.existing.knows_files else "cast(null as varchar)"
        is_replayed = f"coalesce(contains({from_file}, {literal(REPLAYED)}), false)"
        file = f"split_part({from_file}, {literal(REPLAYED)}, 1)"
        names = identifiers(self.existing.columns, prefix="raw.")
        self._make(
            "view",
            "raw_row",
            f"select {names}, {from_file} as __from, {self.raw_cursor} as __cursor, "
            f"file_order.__place, file_order.__is_read and not {is_replayed} as __is_read, "
            f"{is_replayed} as __is_replayed "
            f"from {self.existing.relation} as raw left join file_order "
            f"on {file} = file_order.__name",
        )

    def _has_lost_rows(self) -> bool:
        """Whether a file that changed or is gone no longer holds a row that the table has of it.

        Then another file may hold the key, which nobody sees without reading it.
        """
        query = (
            "select count(*) from raw_row where __from is not null "
            "and (__place is null or __is_read) and not exists (select 1 from good "
            f"where good.{FILE_COLUMN} = raw_row.__from and {self._same_key('good', 'raw_row')} "
            "and (raw_row.__cursor is null or good.__cursor >= raw_row.__cursor))"
        )
        return scalar(self.connection, query) > 0

    def _pick_first(self) -> Picked:
        self._quarantine_without_cursor("")
        columns = (*self.columns, RawColumn(FROM_FILE, "VARCHAR"))
        selected = f"* exclude ({FILE_COLUMN}), {FILE_COLUMN} as {FROM_FILE}"
        self._make("table", "picked", f"select {selected} from ({self._winners()})")
        count = scalar(self.connection, "select count(*) from picked")
        return Picked(columns, count, rows_new=count, rows_changed=0)

    def _pick_by_key(self) -> Picked:
        self._quarantine_without_cursor("raw_row")
        winners, out, takes = self._winners(), self._is_out(), self._takes()
        moved = (
            "raw_row.__is_replayed"
            if self._is_snapshot
            else f"raw_row.__from is distinct from winner.{FILE_COLUMN}"
        )
        names = identifiers((column.name for column in self.columns), prefix="winner.")
        # only what is picked is written: of a large file that is there again, a few rows
        self._make(
            "table",
            "picked",
            f"select {names}, winner.{FILE_COLUMN} as {FROM_FILE}, case when {out} then 'out' "
            f"when raw_row.{identifier(self.table.primary_key[0])} is null then 'new' "
            f"when not ({takes}) then 'older' "
            f"when {self._differs()} then 'changed' "
            f"when {moved} then 'moved' "
            f"else 'same' end as __class, {self._needs_no_file} as __needs_no_file "
            f"from ({winners}) as winner left join raw_row "
            f"on {self._same_key('winner', 'raw_row')} where __class not in ('same', 'out')",
        )
        new, changed, older, others = self.connection.execute(
            "select count(*) filter (__class = 'new'), count(*) filter (__class = 'changed'), "
            "count(*) filter (__class = 'older'), "
            "count(*) filter (__class <> 'new' and __needs_no_file) from picked"
        ).fetchall()[0]
        looks = self._is_snapshot or self._is_whole
        may_lack = looks and (older > 0 or not self._hold_all(new + others))
        if older:
            self.connection.execute("delete from picked where __class = 'older'")
        columns = [*self.columns, RawColumn(FROM_FILE, "VARCHAR")]
        deleted = 0
        if may_lack and self._is_snapshot:
            deleted = self._delete_what_is_missing()
            columns += [RawColumn(IS_GONE, "BOOLEAN")] if deleted else []
        elif may_lack:
            held = f"select 1 from ({winners}) as winner where ({out} or ({takes}) is not false)"
            columns += self._keep_what_no_file_holds(held)
        rows = scalar(self.connection, "select count(*) from picked")
        return Picked(tuple(columns), rows, new, changed, deleted)

    @property
    def _needs_no_file(self) -> str:
        """SQL of whether a raw row stays, or goes, whether or not a file holds its key."""
        is_replayed = "(raw_row.__is_replayed and raw_row.__place is not null)"
        return is_replayed if self._is_snapshot else f"(raw_row.__from is null or {is_replayed})"

    def _hold_all(self, others: int) -> bool:
        """Whether the files are known to hold each raw row that needs one: by counting alone.

        Each of their rows has a key of its own, which the raw table has but for the ``others``. To
        look for each key takes as long as the comparison.

        Args:
            others: rows of the files without a raw row, or with one that needs no file.
        """
        if self.repeats or self.between is not None:
            return False
        needed = f"select count(*) from raw_row where not {self._needs_no_file}"
        return self.good - others == scalar(self.connection, needed)

    def _delete_what_is_missing(self) -> int:
        """Tell dlt to delete the raw rows that the snapshot no longer has; gives their number.

        A row of the snapshot that is in quarantine is there, too: its last good version stays.
        """
        keys = identifiers(self.table.primary_key)
        missing = (
            f"select {keys} from raw_row where not {self._needs_no_file} "
            f"and not exists (select 1 from typed where {self._same_key('typed', 'raw_row')})"
        )
        count = scalar(self.connection, f"select count(*) from ({missing})")
        self._check_deleted(count)
        if count:
            self._make_deletable()
            self.connection.execute(
                f"insert into picked by name select {keys}, true as {IS_GONE} from ({missing})"
            )
        return count

    def _make_deletable(self) -> None:
        self.connection.execute(f"alter table picked add column {IS_GONE} boolean")

    def _check_deleted(self, count: int) -> None:
        """Refuse a snapshot that would delete more rows than the settings allow.

        Raises:
            SourceError: it would.
        """
        before = scalar(self.connection, f"select count(*) from {self.existing.relation}")
        table, limit = self.table, self.table.deleted_rows_limit
        if (
            count == before
            and not table.allow_empty
            and not scalar(self.connection, f"select count(*) from typed where {IS_GOOD}")
        ):
            raise SourceError(
                f"{first_few(self.files, 3)}: no row of the snapshot can be loaded, and all "
                f"{before:,} rows of the table would be deleted: correct the file, or set "
                "`allow_empty: true` for the table"
            )
        if count > limit * before:
            raise SourceError(
                f"{first_few(self.files, 3)}: the snapshot lacks {count:,} of the table's "
                f"{before:,} rows, and its `deleted_rows_limit` allows {limit:.0%}: complete the "
                "file, or raise the limit"
            )

    def _takes(self) -> str:
        """SQL of whether a row of the files takes the place of a raw row of its key."""
        if self._is_snapshot:  # counts, whatever the table has, and whichever file said it before
            return "true"
        return (
            "(coalesce(winner.__cursor > raw_row.__cursor, "
            "raw_row.__cursor is null and winner.__cursor is not null) "
            "or (winner.__cursor is not distinct from raw_row.__cursor "
            "and (coalesce(raw_row.__is_read, true) or winner.__place > raw_row.__place "
            "or (raw_row.__is_replayed and winner.__place = raw_row.__place))))"
        )

    def _is_out(self) -> str:
        """SQL of whether a row of the files is outside of the range that is loaded.

        Raises:
            SourceError: the cursor's values are of another kind than the range.
        """
        if self.between is None:
            return "false"
        cursor = str(self.table.cursor)
        kind = next(column.duckdb_type for column in self.columns if column.name == cursor)
        is_fit = kind_of_type(kind) is not None and self.between.is_time == (
            kind_of_type(kind) in {"date", "timestamp"}
        )
        if not is_fit:
            raise SourceError(
                f"the cursor {cursor} is a {kind}, and {self.between} is none: give --since and "
                f"--until as its values are, or set its type by `columns: {{{cursor}: timestamp}}`"
            )
        bounds = [f"winner.__cursor < cast({literal(self.between.since)} as {kind})"]
        if self.between.until:
            bounds.append(f"winner.__cursor >= cast({literal(self.between.until)} as {kind})")
        return f"coalesce({' or '.join(bounds)}, true)"

    def _differs(self) -> str:
        differs = []
        for column in self.columns:
            name = identifier(column.name)
            if column.name in self.table.primary_key:
                continue
            if column.name not in self.existing.columns:
                differs.append(f"winner.{name} is not null")
            elif column.duckdb_type == "JSON":
                differs.append(
                    f"cast(winner.{name} as varchar) is distinct from "
                    f"cast(raw_row.{name} as varchar)"
                )
            else:
                differs.append(f"winner.{name} is distinct from raw_row.{name}")
        known = {column.name for column in self.columns}
        differs += [
            f"raw_row.{identifier(column)} is not null"
            for column in self.existing.columns
            if column not in known
        ]
        return f"({' or '.join(differs) or 'false'})"

    def _keep_what_no_file_holds(self, held: str) -> list[RawColumn]:
        """Note on the raw rows that no file holds any more that none does; the columns it takes.

        Args:
            held: a query of what the files hold of a row of ``raw_row``, but for its key.
        """
        lost = (
            f"select raw_row.* from raw_row where not {self._needs_no_file} "
            f"and not exists ({held} and {self._same_key('winner', 'raw_row')})"
        )
        if not scalar(self.connection, f"select count(*) from ({lost})"):
            return []
        known = {column.name for column in self.columns}
        more = [
            RawColumn(name, kind)
            for name, kind in self.existing.columns.items()
            if name not in known
        ]
        for column in more:
            self.connection.execute(
                f"alter table picked add column {identifier(column.name)} {column.duckdb_type}"
            )
        names = identifiers(self.existing.columns)
        self.connection.execute(
            f"insert into picked by name select {names}, cast(null as varchar) as {FROM_FILE}, "
            f"'kept' as __class from ({lost})"
        )
        return more

    def _quarantine_without_cursor(self, raw: str) -> None:
        """Put rows without a cursor into quarantine where another row of their key has one."""
        if self.table.cursor is None:
            return
        message = f"{self.table.cursor} is null, and another row of the key has a value"
        others = ["good", raw] if raw else ["good"]
        found = " or ".join(
            f"exists (select 1 from {other} as other where other.__cursor is not null "
            f"and {self._same_key('other', 'one')})"
            for other in others
        )
        self.connection.execute(
            f"insert into bad select __file, __row, 'null_cursor', {literal(message)} "
            f"from good as one where __cursor is null and ({found})"
        )

    def _pick_by_file(self) -> Picked:
        """Without a key, all rows of a changed file take the place of those it gave before.

        Those of other files stay, but in a snapshot.
        """
        columns = [*self.columns, RawColumn(FILE_COLUMN, "VARCHAR")]
        self._make("table", "picked", f"select * from typed where {IS_GOOD}")
        count = scalar(self.connection, "select count(*) from picked")
        if not self.existing.has_rows:
            return Picked(tuple(columns), count, rows_new=count, rows_changed=0)
        known = f"select {FILE_COLUMN} from {self.existing.relation}"
        changed = scalar(
            self.connection, f"select count(*) from picked where {FILE_COLUMN} in ({known})"
        )
        renamed = ", ".join(map(literal, self.renamed)) or "null"
        is_out = "__name is null" if self._is_snapshot else f"__own in ({renamed})"
        rows = (
            f"(select {FILE_COLUMN}, split_part({FILE_COLUMN}, {literal(REPLAYED)}, 1) as __own, "
            f"contains({FILE_COLUMN}, {literal(REPLAYED)}) as __is_replayed "
            f"from {self.existing.relation})"
        )
        gone = self.connection.execute(
            f"select {FILE_COLUMN}, count(*), coalesce(bool_or(__is_read), false) "
            f"from {rows} as known left join file_order on __own = __name "
            f"where ((__is_read and not __is_replayed) or {is_out}) "
            f"and {FILE_COLUMN} not in (select {FILE_COLUMN} from picked) group by all order by all"
        ).fetchall()
        deleted = sum(rows for _, rows, _ in gone)
        if self._is_snapshot:
            self._check_deleted(deleted)
        notes = [
            f"all rows of {name} were removed, as it has none any more"
            for name, _, is_there in gone
            if is_there
        ]
        picked = Picked(tuple(columns), count, count - changed, changed, deleted, tuple(notes))
        return _without_files(self.connection, picked, [str(name) for name, *_ in gone])

    def remove_withdrawn(self, picked: Picked) -> Picked:
        """Have the replayed rows removed that their file does not hold any more: ``withdrawn``.

        In a table with a key they stay, as other rows do, but in a snapshot.
        """
        if not self.table.primary_key:
            rows = self.connection.execute("select * from withdrawn order by all").fetchall()
            return _without_files(self.connection, picked, [str(name) for (name,) in rows])
        if not self._is_snapshot or not self.existing.has_rows:
            return picked
        keys = identifiers(self.table.primary_key)
        stale = (
            f"select {keys} from raw_row where __from in (select file_name from withdrawn) "
            "and __place is not null "  # else it is deleted already
            f"and not exists (select 1 from typed where {self._same_key('typed', 'raw_row')})"
        )
        count = scalar(self.connection, f"select count(*) from ({stale})")
        if not count:
            return picked
        columns = _with_gone(self.connection, picked.columns)
        self.connection.execute(
            f"insert into picked by name select {keys}, true as {IS_GONE} from ({stale})"
        )
        return replace(
            picked,
            columns=columns,
            rows=picked.rows + count,
            rows_deleted=picked.rows_deleted + count,
        )


def _without_files(
    connection: "duckdb.DuckDBPyConnection", picked: Picked, files: list[str]
) -> Picked:
    """Add to ``picked`` that all rows of some files are to be removed."""
    if not files:
        return picked
    columns = _with_gone(connection, picked.columns)
    for name in files:
        connection.execute(
            f"insert into picked by name select {literal(name)} as {FILE_COLUMN}, true as {IS_GONE}"
        )
    return replace(picked, columns=columns, rows=picked.rows + len(files))


def _with_gone(
    connection: "duckdb.DuckDBPyConnection", columns: tuple[RawColumn, ...]
) -> tuple[RawColumn, ...]:
    """The columns of ``picked`` with the one that tells dlt to delete a row."""
    if any(column.name == IS_GONE for column in columns):
        return columns
    connection.execute(f"alter table picked add column {IS_GONE} boolean")
    return (*columns, RawColumn(IS_GONE, "BOOLEAN"))
