"""``headrace inspect``: how files would be loaded, without loading them.

files ──> staged as a first load stages them ──> columns, rows, doubts, settings
"""

import glob
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, TypeAdapter, ValidationError

from headrace.errors import SettingsError, SourceError, UnclearFileError
from headrace.ingest.discover import HashCache, SourceFile
from headrace.ingest.locations import find_source_files, is_address, shown, split_address
from headrace.ingest.model import (
    FILE_COLUMN,
    FROM_FILE,
    FileChanges,
    FileTable,
    IngestContext,
    SchemaContract,
    Staged,
)
from headrace.ingest.periods import Period, period_of
from headrace.ingest.stage import stage
from headrace.pipeline.quarantine.value_forms import Doubt, value_doubts
from headrace.pipeline.reports import Report
from headrace.quality.profile.measure import kind_of, take_sample
from headrace.quality.profile.model import ColumnProfile
from headrace.quality.profile.relations import find_keys
from headrace.sql_text import identifier, literal, scalar

if TYPE_CHECKING:
    import duckdb

_SHOWN_PAIRS = 3
_WILD = re.compile(r"[*?\[]")
_FULL = 0.5  # the least share of an export's keys, and of its values, that the next has, too
_MOST_COMPARED = 50  # columns


class ColumnPreview(Report):
    """A column as it would be loaded."""

    name: str
    data_type: str
    nulls: int
    distinct: int = Field(description="an estimate where there are many")


class FilePreview(Report):
    """How files would be loaded as one table."""

    directory: str
    pattern: str
    files: tuple[str, ...]
    not_read: tuple[str, ...] = Field(description="matched, and why they would not be read")
    columns: tuple[ColumnPreview, ...]
    keys: tuple[str, ...] = Field(description="columns with a different value in every row")
    key_pairs: tuple[tuple[str, str], ...] = Field(
        (), description="without such a column: two that have different values together"
    )
    key_rows: int = Field(0, description="rows in which keys were looked for")
    rows_given: int
    rows_quarantined: int
    quarantined: tuple[str, ...] = Field(description="the first reasons, with file and line")
    notes: tuple[str, ...]
    doubts: tuple[Doubt, ...]
    rows: tuple[tuple[str | None, ...], ...] = Field(description="the first ones, as text")
    settings: dict[str, Any] = Field(description="of the table, as they would be written")


def preview(
    path: str, options: Mapping[str, Any], *, rows: int = 10, below: Path | str | None = None
) -> FilePreview:
    """Stage files as a first load would, and say what came of it; nothing is kept.

    Where a setting has to say how a file is read, the likely one is taken, and said.

    Args:
        path: a file, a directory, a glob, or an address such as ``s3://bucket/in/*.csv``.
        options: settings of a table of files, as `FileTable` has them.
        rows: how many rows to show.
        below: the directory that a glob is relative to; by default it is part of the path.

    Raises:
        SettingsError: an option that does not exist, or has a value that it cannot have.
        SourceError: no file, or none that can be read.
    """
    with staged_files(path, options, below) as found:
        connection, staged = found.connection, found.staged
        columns = _columns(connection, staged)
        texts = [column.name for column in columns if column.data_type == "VARCHAR"]
        doubts = [*found.doubts, *value_doubts(connection, texts)]
        doubts += _full_exports(connection, columns, staged, found.files)
        rows_found = scalar(connection, "select count(*) from found")
        keys = _keys(connection, columns, rows_found)
        return FilePreview(
            directory=shown(found.directory),
            pattern=found.pattern,
            files=tuple(file.name for file in found.files),
            not_read=found.not_read,
            columns=columns,
            keys=tuple(key[0] for key in keys if len(key) == 1),
            key_pairs=tuple((key[0], key[1]) for key in keys if len(key) == 2)[:_SHOWN_PAIRS],
            key_rows=rows_found,
            rows_given=staged.rows_given,
            rows_quarantined=staged.rows_quarantined,
            quarantined=_quarantined(staged, rows),
            notes=staged.notes,
            doubts=tuple(doubts),
            rows=_rows(connection, columns, rows),
            settings={"pattern": found.pattern, **found.settings},
        )


@dataclass(frozen=True)
class StagedFiles:
    """Files as a first load would read them.

    Attributes:
        connection: in which they are the table ``found``.
        staged: what came of reading them.
        directory: where they are.
        pattern: that they match, below it.
        files: those that were read.
        not_read: names of others, or why they cannot be read.
        settings: with which they were read.
        doubts: settings that had to be guessed.
    """

    connection: "duckdb.DuckDBPyConnection"
    staged: Staged
    directory: Path | str
    pattern: str
    files: Sequence[SourceFile]
    not_read: tuple[str, ...]
    settings: Mapping[str, Any]
    doubts: tuple[Doubt, ...]


@contextmanager
def staged_files(
    path: str, options: Mapping[str, Any], below: Path | str | None = None
) -> Iterator[StagedFiles]:
    """Stage files as a first load would; the table ``found`` of the connection has their rows.

    Args and errors are those of `preview`.
    """
    import duckdb
    from dlt.common.normalizers.naming.snake_case import NamingConvention

    directory, pattern = _place(path) if below is None else (below, path)
    settings = dict(options)
    doubts: list[Doubt] = []
    with tempfile.TemporaryDirectory() as scratch:
        context = _context(Path(scratch))
        found = find_source_files(
            directory,
            _table({**settings, "pattern": pattern}),
            HashCache(context.cache_path),
            context.scratch_dir,
            context.source,
        )
        if not found.files:
            raise SourceError(_nothing(path, found.unreadable, found.ignored))
        normalize = NamingConvention().normalize_identifier
        while True:
            table = _table({**settings, "pattern": pattern}).normalized(normalize)
            with duckdb.connect() as connection:
                changes = FileChanges(found.files, found.files)
                try:
                    staged = stage(connection, "table", table, changes, context, normalize)
                except UnclearFileError as error:
                    if not error.settings.keys() - settings.keys():
                        raise
                    doubts.append(Doubt(reason=str(error), settings=dict(error.settings)))
                    settings |= error.settings
                    continue
                connection.execute(f"create temp table found as {staged.select}")
                yield StagedFiles(
                    connection=connection,
                    staged=staged,
                    directory=directory,
                    pattern=pattern,
                    files=found.files,
                    not_read=(*found.unreadable, *found.ignored),
                    settings=settings,
                    doubts=tuple(doubts),
                )
                return


def _place(path: str) -> tuple[Path | str, str]:
    """The directory or address, and the pattern below it."""
    if is_address(path):
        return split_address(path)
    given = Path(path).expanduser()
    if given.is_dir():
        return given.resolve(), "*"
    if given.exists():
        return given.parent.resolve(), glob.escape(given.name)
    parts = given.parts
    first = next((n for n, part in enumerate(parts) if _WILD.search(part)), len(parts) - 1)
    return Path(*parts[:first]).resolve(), "/".join(parts[first:]) or "*"


def _context(scratch: Path) -> IngestContext:
    return IngestContext(
        source="inspect",
        sample_dir=scratch,
        scratch_dir=scratch / "staged",
        cache_path=scratch / "hashes.json",
        dataset="inspect_raw",
        contract=SchemaContract(),
        attach_warehouse=lambda *_: False,
        accepts_sql=True,
        full_refresh=True,
        thorough=False,
        memory_limit="1GB",
        report=lambda _: None,
    )


def _table(options: Mapping[str, Any]) -> FileTable:
    try:
        return TypeAdapter(FileTable).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"option {where}: {first['msg']}") from error


def _nothing(path: str, unreadable: tuple[str, ...], ignored: tuple[str, ...]) -> str:
    if unreadable:
        return "; ".join(unreadable)
    if ignored:
        return f"{path}: the format of {ignored[0]} is not one that is read"
    return f"{path}: there is no such file"


def _columns(connection: "duckdb.DuckDBPyConnection", staged: Staged) -> tuple[ColumnPreview, ...]:
    columns = [column for column in staged.columns if column.name not in {FILE_COLUMN, FROM_FILE}]
    counts = ", ".join(
        f"count(*) - count({identifier(column.name)}), "
        f"approx_count_distinct({identifier(column.name)})"
        for column in columns
    )
    found = connection.execute(f"select {counts or 'null'} from found").fetchone() or ()
    return tuple(
        ColumnPreview(
            name=column.name,
            data_type=column.duckdb_type,
            nulls=found[2 * number],
            distinct=found[2 * number + 1],
        )
        for number, column in enumerate(columns)
    )


def _keys(
    connection: "duckdb.DuckDBPyConnection", columns: tuple[ColumnPreview, ...], rows: int
) -> list[tuple[str, ...]]:
    """Columns that identify a row: one, or else two; JSON and what is measured are none."""
    take_sample(connection, "found")
    likely = [
        ColumnProfile(
            name=column.name,
            data_type=column.data_type,
            kind=kind_of(column.data_type),
            nulls=column.nulls,
            null_share=0,
            distinct=column.distinct,
        )
        for column in columns
    ]
    found = find_keys(connection, "found", "", likely, rows)
    return [key for key in found if len(key) <= 2]


def _full_exports(
    connection: "duckdb.DuckDBPyConnection",
    columns: tuple[ColumnPreview, ...],
    staged: Staged,
    files: Sequence[SourceFile],
) -> list[Doubt]:
    """Whether each file seems to be the whole table as of the date in its name."""
    by_period: dict[Period | None, list[str]] = {}
    for file in files:
        by_period.setdefault(period_of(file.name), []).append(file.name)
    *_, before, last = [None, None, *sorted(period for period in by_period if period)]
    if None in by_period or before is None or last is None:
        return []
    origin = FROM_FILE if FROM_FILE in {column.name for column in staged.columns} else FILE_COLUMN
    for period, name in ((before, "before_last"), (last, "last")):
        names = ", ".join(map(literal, by_period[period]))
        connection.execute(
            f"create temp view {name} as select * from found where {origin} in ({names})"
        )
    for key in (column for column in columns if not column.nulls):
        name = identifier(key.name)
        others = [identifier(one.name) for one in columns if one is not key][:_MOST_COMPARED]
        if not others or key.data_type in {"DOUBLE", "JSON"}:
            continue
        same = " + ".join(f"cast(b.{one} is not distinct from l.{one} as int)" for one in others)
        row = connection.execute(
            f"select (select count(*) > 1 and count(*) = count(distinct {name}) from last), "
            f"(select avg(cast({name} in (select {name} from last) as int)) from before_last), "
            f"(select avg({same}) from before_last as b inner join last as l using ({name}))"
        ).fetchone()
        is_key, share, alike = row or (False, 0, 0)
        # numbers of lines come again in every file, too, but with other values beside them
        if is_key and share >= _FULL and alike >= _FULL * len(others):
            newest = by_period[last][0]
            reason = (
                f"{newest} has {share:.0%} of the values of {key.name} that {by_period[before][0]} "
                f"has, and each once: it seems that each file is the whole table, with the key "
                f"{key.name}"
            )
            settings = {"write": "snapshot", "primary_key": [key.name]}
            return [Doubt(reason=reason, settings=settings)]
    return []


def _quarantined(staged: Staged, most: int) -> tuple[str, ...]:
    if staged.quarantine is None:
        return ()
    kept = staged.quarantine.slice(0, most)
    return tuple(
        f"{file} row {row}: {message}"
        for file, row, message in zip(
            kept["file_name"].to_pylist(),
            kept["row_number"].to_pylist(),
            kept["message"].to_pylist(),
            strict=True,
        )
    )


def _rows(
    connection: "duckdb.DuckDBPyConnection", columns: tuple[ColumnPreview, ...], most: int
) -> tuple[tuple[str | None, ...], ...]:
    selected = ", ".join(f"cast({identifier(column.name)} as varchar)" for column in columns)
    return tuple(connection.execute(f"select {selected} from found limit {most}").fetchall())


def with_doubts(report: FilePreview) -> dict[str, Any]:
    """The settings of the table with those of all doubts, types of columns joined."""
    found: dict[str, Any] = dict(report.settings)
    for doubt in report.doubts:
        for name, value in doubt.settings.items():
            if isinstance(value, dict):
                found[name] = {**found.get(name, {}), **value}
            elif isinstance(value, list):
                found[name] = [*dict.fromkeys([*found.get(name, []), *value])]
            else:
                found[name] = value
    if len(report.keys) == 1 and "primary_key" not in found:
        found["primary_key"] = list(report.keys)
    if len(report.key_pairs) == 1 and "primary_key" not in found and report.key_rows >= 10:
        found["primary_key"] = list(report.key_pairs[0])
    return found
