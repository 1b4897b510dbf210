"""What a table of files or of an API is, what a load of it found, and what it runs in."""

import codecs
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from headrace.ingest.cursor import Kind
from headrace.ingest.discover import as_patterns
from headrace.ingest.periods import Backfill
from headrace.ingest.types import RawColumn

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace.ingest.discover import SourceFile

FILE_COLUMN = "_file_name"  # in a table without a key: the file that a row came from
FROM_FILE = "_dlt_file_name"  # in a table with a key: likewise; null when no file holds the row
IS_GONE = "_dlt_file_is_gone"  # tells dlt to delete the rows of a key, or of a file without one

_WRITTEN = re.compile(r"\s+(\S*%.*)$")  # of ``date %d/%m/%Y``
_PERCENT = re.compile(r"\s+percent$")  # of ``decimal(6,4) percent``

WriteMode = Literal["merge", "snapshot", "append"]
ContractMode = Literal["evolve", "freeze", "discard_row", "discard_value"]


@dataclass(frozen=True)
class SchemaContract:
    """dlt's schema contract, per kind of change.

    Attributes:
        tables: a table that the raw schema does not have yet.
        columns: a column that the raw table does not have yet.
        data_type: a value that does not fit its column's type. ``evolve`` keeps it in a variant
            column (``amount__v_text``), as dlt does; ``discard_row`` puts the row into quarantine;
            ``discard_value`` stores null and keeps a copy of the row in quarantine. None, the
            default, is ``discard_row`` for files, unless so many values do not fit that the column
            seems to have another type now, and ``freeze`` for what has no quarantine.
    """

    tables: ContractMode = "evolve"
    columns: ContractMode = "evolve"
    data_type: ContractMode | None = None

    def for_dlt(self) -> dict[str, str]:
        """The contract in the form that dlt takes."""
        return {
            "tables": self.tables,
            "columns": self.columns,
            "data_type": self.data_type or "freeze",
        }


def _known_encoding(name: str | None) -> str | None:
    if name is not None:
        try:
            codecs.lookup(name)
        except LookupError:
            raise ValueError(
                f"{name!r} is not an encoding: use one like utf-8, utf-16, latin-1 or cp1252"
            ) from None
    return name


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


@dataclass(frozen=True)
class FileTable:
    """One raw table that is read from files.

    Attributes:
        pattern: glob of its files below the source's path, for example ``orders*.csv``, or a list
            of them. Below an ``https://`` address, which cannot be listed, names and not globs.
        format: of the files, where their names do not end with it: ``csv``, ``tsv``, ``parquet``,
            ``jsonl``, ``json``, ``xlsx`` or ``avro``.
        primary_key: the columns of its key; without a key the file is the unit: a file that
            changed replaces the rows that came from it.
        write: ``merge`` the rows of new and changed files with those of earlier ones; ``snapshot``:
            the newest files are the whole table, and rows that they no longer have are deleted;
            ``append`` the rows of each file once, without a key.
        deleted_rows_limit: the share of the table's rows that one snapshot may delete; a snapshot
            that would delete more is refused. All of them only with ``allow_empty``.
        cursor: a column that tells which version of a row is newer, for example ``updated_at``;
            an older version never overwrites a newer one.
        columns: types of columns, in DuckDB's words; others are found by looking at the data.
            ``date %d/%m/%Y`` and ``timestamp %d.%m.%Y %H:%M`` say how the values are written, and
            ``decimal(6,4) percent`` that ``12.5%`` stands for 0.125. A time without an offset
            counts as UTC where its column has a time zone.
        required: columns that every file must have, besides the key.
        delimiter: of CSV files; by default the one that makes all rows as wide as the first:
            ``,`` (a tab for ``.tsv``), else ``;``, a tab or ``|``.
        encoding: of CSV files, such as ``utf-8``, ``utf-16``, ``latin-1`` or ``cp1252``; by default
            UTF-8, or what the first bytes show.
        header: whether the first line of a CSV file names the columns; by default it does, and a
            first line that looks like data is refused.
        names: of the columns of CSV files, in their order: for files without a header, and in
            place of the header with ``header: true``.
        skip: lines above the header of CSV files, to be left out.
        skip_footer: lines below the last row of CSV files, to be left out.
        null_values: texts that stand for null, besides nothing at all in CSV files: ``N/A``, ``-``.
        decimal: ``,`` for files that write 1.234,50: it holds for the columns that ``columns``
            declares as numbers.
        thousands: the sign between groups of three digits, in columns that are
            declared as numbers: ``,``, ``.``, ``'``, ``_`` or a space; by default ``.`` where
            ``decimal`` is ``,``, else none.
        currency: signs that may stand before or after numbers, in columns that
            are declared as numbers, such as ``$``, ``EUR``.
        accounting: whether ``(12.50)`` is a negative number, in columns that are
            declared as numbers.
        bad_rows: what to do with rows that cannot be loaded: ``quarantine``, or ``fail`` to stop.
        bad_rows_limit: the share of a file's rows that may be quarantined; more stop the load.
        sheet: of Excel files: the name of the sheet; needed where there are several.
        allow_empty: whether a file with a header and no rows is fine.
        hive_partitioning: whether folders like ``year=2024`` below the source's path give a
            column each, as text, where the files do not have it themselves.
        rename: names of the files' columns to the names that they are to have in the raw table;
            for a name that the file repeats or leaves out, the raw name that it has without this.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    pattern: str | tuple[str, ...]
    format: Literal["csv", "tsv", "parquet", "jsonl", "json", "xlsx", "avro"] | None = None
    primary_key: tuple[str, ...] = ()
    write: WriteMode = "merge"
    deleted_rows_limit: Annotated[float, Field(ge=0, le=1)] = 1.0
    cursor: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    delimiter: str | None = None
    encoding: Annotated[str | None, AfterValidator(_known_encoding)] = None
    header: bool | None = None
    names: tuple[str, ...] = ()
    skip: Annotated[int, Field(ge=0)] = 0
    skip_footer: Annotated[int, Field(ge=0)] = 0
    null_values: tuple[str, ...] = ()
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", "'", "_", " ", ""] | None = None
    currency: Annotated[tuple[str, ...], BeforeValidator(_one_or_more)] = ()
    accounting: bool = False
    bad_rows: Literal["quarantine", "fail"] = "quarantine"
    bad_rows_limit: Annotated[float, Field(ge=0, le=1)] = 1.0
    sheet: str | None = None
    allow_empty: bool = False
    hive_partitioning: bool = True
    rename: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check settings that exclude each other."""
        if self.thousands and self.thousands == self.decimal:
            raise ValueError(f"decimal and thousands cannot both be {self.decimal!r}")

    @property
    def patterns(self) -> tuple[str, ...]:
        """One pattern, or several, as several."""
        return as_patterns(self.pattern)

    def normalized(self, normalize: Callable[[str], str]) -> "FileTable":
        """The same table with its columns named as they are in the raw schema."""

        def raw(name: str) -> str:
            return normalize(self.rename.get(name, name))

        return replace(
            self,
            primary_key=tuple(raw(name) for name in self.primary_key),
            cursor=raw(self.cursor) if self.cursor else None,
            columns={raw(name): kind for name, kind in self.columns.items()},
            required=tuple(raw(name) for name in self.required),
        )

    @property
    def types(self) -> dict[str, str]:
        """The declared types without the way in which the values are written."""
        return {
            name: _PERCENT.sub("", _WRITTEN.sub("", kind)) for name, kind in self.columns.items()
        }

    @property
    def percentages(self) -> frozenset[str]:
        """Declared columns whose values have a percent sign."""
        return frozenset(name for name, kind in self.columns.items() if _PERCENT.search(kind))

    @property
    def formats(self) -> dict[str, str]:
        """How the values of declared columns are written, in the words of ``strptime``."""
        found = {name: _WRITTEN.search(kind) for name, kind in self.columns.items()}
        return {name: match[1] for name, match in found.items() if match}

    @property
    def file_column(self) -> str:
        """The raw column that names the file of a row."""
        return FROM_FILE if self.primary_key else FILE_COLUMN

    def absent_columns(self, columns: Collection[str]) -> tuple[str, ...]:
        """A sentence for each column that has a type in the settings, and is in no file."""
        return tuple(
            f"column {name} has a type in the settings, but is in no file that was read"
            for name in self.columns
            if name not in columns
        )

    def reading(self) -> dict[str, object]:
        """What of it decides how files are read, as JSON: all but the pattern and the defaults."""
        found: dict[str, object] = {}
        for part in fields(self):
            value = getattr(self, part.name)
            if part.name != "pattern" and value not in (part.default, {}):
                found[part.name] = value
        as_state: dict[str, object] = json.loads(json.dumps(found, default=dict))
        return as_state


@dataclass(frozen=True)
class TableLoad:
    """What one load of one table found.

    Attributes:
        source: the source's name.
        table: the raw table's name.
        files_read: files that are new or changed, and were read.
        files_unchanged: files that were not read, because nothing in them changed.
        rows_given: rows of the files that were read. Each is counted once more, as new, changed,
            unchanged or quarantined.
        rows_new: rows whose key the raw table did not have.
        rows_changed: rows whose key it had, with other values.
        rows_unchanged: rows that leave the table as it is: it has them already, or it has a newer
            version of them, or another file of this load gives one.
        rows_quarantined: rows quarantined in ``_quarantine``, and not in the table.
        rows_deleted: rows of the table that were deleted, as the source no longer has them.
        new_columns: columns that this load added to the table.
        notes: what else a person should know, one sentence each.
        changes: what is read in another way than in the last load, one sentence each.
        problems: files that could not be read, one sentence each; the others were loaded.
        is_counted: whether it says which rows are new, changed and unchanged; if not, the load
            counts them by comparing the table before and after.
    """

    source: str
    table: str
    files_read: int = 0
    files_unchanged: int = 0
    rows_given: int = 0
    rows_new: int = 0
    rows_changed: int = 0
    rows_unchanged: int = 0
    rows_quarantined: int = 0
    rows_deleted: int = 0
    new_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    is_counted: bool = True


@dataclass(frozen=True)
class IngestContext:
    """What a source's resources run in; the pipeline makes one for each load.

    Attributes:
        source: the source's name in the settings.
        sample_dir: where a source that ships sample data writes it (``data/<source>``).
        scratch_dir: where staged rows are kept until they are loaded.
        cache_path: the file that remembers the content hash of files by size and time.
        dataset: the raw schema, for example ``jaffle_shop_raw``.
        contract: the source's schema contract.
        attach_warehouse: attaches the warehouse read-only to a local DuckDB, under a name; False
            where there is no warehouse yet.
        accepts_sql: whether the warehouse can run a ``SELECT`` over local files itself.
        full_refresh: whether what was loaded before is to be forgotten.
        thorough: whether every value is to be checked before anything is handed over, whatever
            the size of the files.
        memory_limit: DuckDB's memory limit while staging.
        report: takes the result of each table.
        backfill: the period that is to be loaded again; None for a load of what is new.
        dialects: of each table, the delimiter and the encoding of its CSV files as they were read
            before a full refresh.
        progress: takes how much of a table's statement is done, from 0 to 1, and of how many bytes;
            None where nobody looks.
        appended: takes the names of tables whose rows the warehouse is to append, as all of them
            are new; others are merged.
    """

    source: str
    sample_dir: Path
    scratch_dir: Path
    cache_path: Path
    dataset: str
    contract: SchemaContract
    attach_warehouse: Callable[[Any, str], bool]
    accepts_sql: bool
    full_refresh: bool
    thorough: bool
    memory_limit: str
    report: Callable[[TableLoad], None]
    backfill: Backfill | None = None
    dialects: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    progress: Callable[[str, float, int], None] | None = None
    appended: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class FileChanges:
    """A table's files, and what became of them since the last load.

    Attributes:
        files: all that are there, sorted by name.
        read: those that are new or changed.
        removed: names of those that were loaded and are gone.
        renamed: those of ``removed`` whose content another file has now, to that file's name; in a
            table without a key alone.
        older: names of files that an older snapshot is.
        between: whether only rows whose cursor lies in this range are taken.
        is_added: whether no file of ``read`` was ever loaded, and none is gone.
    """

    files: "list[SourceFile]"
    read: "list[SourceFile]"
    removed: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    older: tuple[str, ...] = ()
    between: Backfill | None = None
    is_added: bool = False

    def replaced(self, table: FileTable) -> tuple[str, ...]:
        """Names of files whose rows are those of the files that are read."""
        return (*self.older, *self.removed) if table.write == "snapshot" else (*self.renamed,)


@dataclass(frozen=True)
class Staged:
    """What is to be loaded into one raw table.

    Attributes:
        select: a ``SELECT`` of all columns, readable by any DuckDB on this machine.
        columns: the columns that it gives, in order.
        rows_given: rows of the files.
        rows_new: rows whose key the raw table does not have.
        rows_changed: rows whose key it has, with other values.
        is_first: whether the raw table has no rows of a completed load yet.
        is_added: whether the raw table has rows, and none of a key, or of a file, that is given.
        new_columns: columns that the raw table does not have yet (none on the first load).
        files_read: files that were read for it; in the end maybe all of them.
        rows_unchanged: rows that leave the raw table as it is.
        rows_selected: rows that ``select`` gives; besides new and changed ones, those that have to
            be told from which file they are now.
        rows_quarantined: rows quarantined that the table does not get.
        rows_deleted: rows of the raw table that ``select`` tells dlt to delete.
        quarantine: rows quarantined, in the shape of ``_quarantine``; None when there are none.
            Copies of rows that the table gets, without a value, are among them.
        notes: sentences for the user.
        names: every name that the files have had for a column to its name in the raw table.
        dialects: the delimiter and the encoding of each CSV file that was read.
    """

    select: str
    columns: tuple[RawColumn, ...]
    rows_given: int
    rows_new: int
    rows_changed: int
    is_first: bool
    files_read: int
    is_added: bool = False
    rows_unchanged: int = 0
    rows_quarantined: int = 0
    rows_deleted: int = 0
    rows_selected: int = 0
    new_columns: tuple[str, ...] = ()
    quarantine: "pa.Table | None" = None
    notes: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    dialects: Mapping[str, Sequence[str]] = field(default_factory=dict)


Paginator: TypeAlias = str | dict[str, Any]
"""A paginator of dlt by its name (``json_link``), or with its options
(``{type: offset, limit: 100}``); ``auto`` finds one and tries it."""


@dataclass(frozen=True)
class ApiResource:
    """One raw table of an API; what is not set is taken from the source's settings.

    Attributes:
        path: below ``base_url``; by default the resource's name.
        primary_key: what a changed row is found by; ``[]`` is no key.
        cursor: the field that grows when a row changes; ``""`` is none.
        cursor_type: what the cursor's values are; by default found by looking at them.
        start_param: the parameter by which the API is asked for what changed.
        lag: how far before the last cursor a load begins, in seconds for timestamps, in days for
            dates: for rows that arrive late.
        deleted: the field that marks a row as deleted, by true or by any value.
        paginator: how the next page is found.
        data_selector: JSON path of the rows in an answer; by default the list that it holds.
        params: further query parameters.
        check_totals: whether what an answer says of totals must come out.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    path: str | None = None
    primary_key: list[str] | None = None
    cursor: str | None = None
    cursor_type: Kind | None = None
    start_param: str | None = None
    lag: float | None = None
    deleted: str | None = None
    paginator: Paginator | None = None
    data_selector: str | None = None
    params: dict[str, str | int | float | bool] | None = None
    check_totals: bool = True


@dataclass(frozen=True)
class ApiLimits:
    """How much an API may answer before the load is stopped.

    Attributes:
        max_pages: pages of one resource.
        max_seconds: seconds for all pages of one resource.
        max_response_seconds: seconds for one answer, from its first byte to its last.
        max_response_mb: size of one answer, unpacked.
    """

    max_pages: int = 100_000
    max_seconds: float = 14_400.0
    max_response_seconds: float = 300.0
    max_response_mb: float = 256.0
