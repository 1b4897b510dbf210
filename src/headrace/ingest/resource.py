"""dlt resources over files: read what changed, load what is new."""

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace import portable
from headrace.errors import NoCursorError, SourceError
from headrace.formatting import count, first_few
from headrace.ingest.csv_dialect import dialect_changes
from headrace.ingest.discover import (
    EXCEL,
    SUFFIXES,
    FoundFiles,
    HashCache,
    SourceFile,
    changed_files,
)
from headrace.ingest.locations import find_source_files, shown
from headrace.ingest.model import (
    FILE_COLUMN,
    IS_GONE,
    FileChanges,
    FileTable,
    IngestContext,
    Staged,
    TableLoad,
)
from headrace.ingest.periods import Backfill, newest_period, newest_snapshot, period_of
from headrace.ingest.quarantine import QUARANTINE_TABLE
from headrace.ingest.reader import fetch_all
from headrace.ingest.stage import stage
from headrace.libraries.dlt import sql_rows
from headrace.libraries.duckdb import progress_of
from headrace.system_errors import system_fault

if TYPE_CHECKING:
    import duckdb
    from dlt.extract import DltResource

_IN_PART = "a snapshot is loaded as a whole or not at all"
_BATCH_ROWS = 1_000_000
_LARGE = 16 * 1024 * 1024  # bytes; what is read sooner needs no word of how far it is
_TABLE_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def file_resources(
    directory: Path | str,
    tables: Mapping[str, FileTable],
    context: IngestContext,
    *,
    is_sample: bool = False,
) -> "list[DltResource]":
    """One dlt resource for each table, merged on its key, incremental on the files' content.

    A file whose content did not change since it was loaded is not read again. The fingerprints
    are kept in dlt's resource state, so they are committed together with the rows.

    Args:
        directory: the root of all patterns: a folder, or an address such as ``s3://bucket/in``.
        tables: raw table name to its files.
        context: what the load runs in.
        is_sample: whether the files are sample data; the first load of other files replaces it.

    Raises:
        SourceError: a table's name is not what dlt would make of it.
    """
    for name, table in tables.items():
        if table.write == "append" and table.primary_key:
            raise SourceError(
                f"sources.{context.source}.tables.{name}: `write: append` keeps the rows of all "
                "files, and so takes no primary_key: remove it, or set `write: merge`"
            )
        if not _TABLE_NAME.fullmatch(name):
            raise SourceError(
                f"sources.{context.source}.tables: {name!r} cannot be the name of a raw table; use "
                "small letters, digits and single underscores, like web_orders"
            )
        if portable.is_reserved(name):
            raise SourceError(
                f"sources.{context.source}.tables: {name!r} cannot be the name of a raw table, "
                "because dlt names files after it and Windows keeps the name for a device"
            )
    return [
        _file_resource(directory, name, table, context, is_sample=is_sample)
        for name, table in tables.items()
    ]


def _file_resource(
    directory: Path | str, name: str, table: FileTable, context: IngestContext, *, is_sample: bool
) -> "DltResource":
    import dlt

    def rows() -> Iterator[Any]:
        load = _FileLoad(directory, name, table, context, is_sample=is_sample)
        try:
            yield from load.rows(dlt.current.resource_state())
        except NoCursorError as error:
            if context.backfill is not None and context.backfill.is_named:
                raise
            context.report(TableLoad(context.source, name, notes=(f"left out: {error}",)))
        except SourceError as error:
            # a full refresh stops instead: it would drop what was loaded of this table before
            is_gone = isinstance(directory, Path) and not directory.is_dir()
            if context.full_refresh or system_fault(error) is not None or is_gone:
                raise
            problems = (*load.unreadable, str(error))
            context.report(TableLoad(context.source, name, problems=problems))

    hints: dict[str, Any] = (
        {"primary_key": list(table.primary_key)}
        if table.primary_key
        else {"merge_key": FILE_COLUMN}
    )
    return dlt.resource(rows, name=name, write_disposition="merge", **hints)


@dataclass
class _FileLoad:
    """One load of one table; one use."""

    directory: Path | str
    name: str
    table: FileTable
    context: IngestContext
    is_sample: bool
    unreadable: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def rows(self, state: dict[str, Any]) -> Iterator[Any]:
        """What dlt is to load; the state then says which files it has.

        Raises:
            SourceError: nothing of the table can be loaded, and nothing was handed over.
        """
        name, table, context = self.name, self.table, self.context
        known: dict[str, str] = state.setdefault("files", {})
        settings = table.reading()
        _check_key(name, table, state.get("settings"), context)
        if context.backfill is not None:
            yield from self._load_again(state, known, context.backfill)
            return
        run = context
        origin = "sample" if self.is_sample else shown(self.directory)
        before = state.get("origin")
        if before == "sample" and not self.is_sample:
            known.clear()
            run = replace(context, full_refresh=True)
        has_new_settings = bool(known) and state.get("settings", settings) != settings
        changes = self._changes(known, all_again=has_new_settings)
        files = changes.files
        notes = [*_moved(before, origin), *self._notes(changes, all_again=has_new_settings)]
        if not changes.read:
            if not files and not self.unreadable:
                notes = ["its files are gone, and its rows are kept"]
            self._report(files_unchanged=len(files), notes=tuple(notes))
            for file in changes.removed if files else ():
                del known[file]
            state["settings"] = settings
            return
        if context.contract.tables != "evolve" and not known and _is_frozen_out(name, context):
            return
        about = TableLoad(context.source, name, notes=tuple(notes), problems=self.unreadable)
        names: dict[str, str] = {} if run.full_refresh else state.setdefault("names", {})
        earlier = run.dialects.get(name) or state.get("dialects", {})
        given, dialects = yield from _load(table, changes, run, about, names, earlier)
        state["names"] = dict(given)
        there = {file.name for file in files}
        state["dialects"] = {
            file: list(each) for file, each in {**earlier, **dialects}.items() if file in there
        }
        known.clear()
        known.update({file.name: file.digest for file in files})
        state["origin"] = origin
        state["settings"] = settings

    def _load_again(
        self, state: dict[str, Any], known: dict[str, str], backfill: Backfill
    ) -> Iterator[Any]:
        """The rows of a period that is to be loaded again; new files outside of it stay new."""
        changes = self._past(known, backfill)
        if not changes.read:
            self._report(files_unchanged=len(changes.files), notes=(f"no file is of {backfill}",))
            return
        files = "all files" if changes.between else count(len(changes.read), "file")
        note = f"loaded again: {backfill}, from {files}"
        about = TableLoad(self.context.source, self.name, notes=(note,), problems=self.unreadable)
        earlier: dict[str, Any] = state.get("dialects", {})
        given, dialects = yield from _load(
            self.table, changes, self.context, about, state.setdefault("names", {}), earlier
        )
        state["names"] = dict(given)
        state["dialects"] = {**earlier, **{file: list(each) for file, each in dialects.items()}}
        if not changes.between:
            known.update({file.name: file.digest for file in changes.read})

    def _past(self, known: Mapping[str, str], backfill: Backfill) -> FileChanges:
        """The files of a period: by the dates in their names, or all, for rows by their cursor.

        Raises:
            NoCursorError: neither the files' names nor their rows have a time.
            SourceError: the table was not loaded yet.
        """
        table, where = self.table, f"{self.context.source}.{self.name}"
        if table.write == "snapshot":
            raise NoCursorError(
                f"{where} is a snapshot: its newest files are the table, and hold no past"
            )
        if not known:
            raise SourceError(f"{where} was not loaded yet: run `headrace load` without --since")
        found = self._find(has_loaded=True)
        periods = {file.name: period_of(file.name) for file in found.files}
        between = None
        if backfill.is_time and any(periods.values()):
            since, until = backfill.period()
            chosen = [
                file
                for file in found.files
                if (period := periods[file.name]) and period.overlaps(since, until)
            ]
        elif table.cursor and table.primary_key:
            chosen, between = found.files, backfill
        else:
            raise NoCursorError(
                f"{where} has no dates in the names of its files, and no primary_key and cursor: "
                f"`headrace load --full-refresh --source {self.context.source}` loads all of it"
            )
        read, unfetched = fetch_all(chosen)
        self.unreadable = (*self.unreadable, *unfetched.values())
        files = [file for file in found.files if file.name not in unfetched]
        return FileChanges(files, read, between=between)

    def _changes(self, known: Mapping[str, str], *, all_again: bool) -> FileChanges:
        """The table's files, and which of them are to be read.

        Raises:
            SourceError: there are none, or it is not known which are the newest snapshot.
        """
        is_snapshot = self.table.write == "snapshot"
        found = self._find(has_loaded=bool(known))
        files, older = found.files, list[SourceFile]()
        if is_snapshot:
            if self.unreadable:
                raise SourceError(_IN_PART)
            files, older = newest_snapshot(files)
        changed, unfetched = fetch_all(changed_files(files, known))
        self.unreadable = (*self.unreadable, *unfetched.values())
        if unfetched and is_snapshot:
            raise SourceError(_IN_PART)
        files = [file for file in files if file.name not in unfetched]
        there = {file.name for file in files}
        removed = tuple(sorted(file for file in known if file not in there))
        renamed: dict[str, str] = {}
        if not self.table.primary_key:
            new = {file.digest: file.name for file in changed if file.name not in known}
            renamed = {file: new[known[file]] for file in removed if known[file] in new}
        # those that did not change may hold keys of the rows that came from those that are gone
        has_lost = bool(removed and files) and (is_snapshot or bool(self.table.primary_key))
        if all_again or (changed and is_snapshot) or (has_lost and not changed):
            changed = files
        return FileChanges(
            files,
            changed,
            removed,
            renamed,
            tuple(file.name for file in older),
            is_added=not (is_snapshot or removed or any(file.name in known for file in changed)),
        )

    def _notes(self, changes: FileChanges, *, all_again: bool) -> Iterator[str]:
        """What to tell the user of the files, one sentence each."""
        if all_again:
            yield "its settings changed: all its files were read again"
        if changes.removed and changes.files and not self.unreadable:
            yield from self._gone(changes)
        if changes.read and self.ignored:
            yield f"not read, for their format or suffix: {first_few(self.ignored, 5)}"
        if changes.read and self.table.write == "snapshot":
            older = count(len(changes.older), "older file was", "older files were")
            newest = first_few([file.name for file in changes.files], 3)
            yield f"the snapshot is {newest}{f'; {older} not read' if changes.older else ''}"

    def _find(self, *, has_loaded: bool) -> FoundFiles:
        cache = HashCache(self.context.cache_path)
        found = find_source_files(
            self.directory, self.table, cache, self.context.scratch_dir, self.context.source
        )
        cache.save()
        self.unreadable, self.ignored = found.unreadable, found.ignored
        if not found.files and not has_loaded and not found.unreadable:
            raise _no_file(self.directory, self.name, self.table, found, self.context)
        return found

    def _gone(self, changes: FileChanges) -> Iterator[str]:
        """What to tell the user of files that were loaded and are gone."""
        if self.table.write == "snapshot":
            before = newest_period(changes.removed)
            now = newest_period(file.name for file in changes.files)
            if before is not None and now is not None and now < before:
                gone = first_few(changes.removed, 3)
                yield f"{gone} is gone: the newest snapshot is an older one again"
            return
        for old, new in changes.renamed.items():
            yield f"{new} has the content of {old}, which is gone: its rows took their place"
        left = [name for name in changes.removed if name not in changes.renamed]
        if left:
            yield (
                f"{first_few(left, 3)} {'is' if len(left) == 1 else 'are'} gone: rows that no "
                f"other file holds are kept (`headrace load --full-refresh --source "
                f"{self.context.source}` drops them)"
            )

    def _report(self, **found: Any) -> None:
        self.context.report(
            TableLoad(self.context.source, self.name, problems=self.unreadable, **found)
        )


def _no_file(
    directory: Path | str, name: str, table: FileTable, found: FoundFiles, context: IngestContext
) -> SourceError:
    wanted = f"{', '.join(table.patterns)!r} (table {name})"
    if found.ignored:
        return SourceError(
            f"no file in {shown(directory)} that matches {wanted} is of a format that is read, by "
            f"its suffix: {first_few(found.ignored, 5)}; there are "
            f"{', '.join(SUFFIXES)}, each also with .gz or .zst, .txt, .zip and {', '.join(EXCEL)};"
            " for files of other names set the table's `format`"
        )
    return SourceError(
        f"no file in {shown(directory)} matches {wanted}: put one there, "
        f"or point sources.{context.source}.path at the right place"
    )


def _moved(before: str | None, origin: str) -> tuple[str, ...]:
    """What to tell the user when the files come from another place than the last time."""
    if before is None or before == origin:
        return ()
    if before == "sample":
        return ("the rows of the sample data were replaced",)
    return (f"rows that were loaded from {before} are kept (--full-refresh starts over)",)


def _check_key(
    name: str, table: FileTable, before: Mapping[str, Any] | None, context: IngestContext
) -> None:
    """Stop where the key is another one than the rows were merged on."""
    if before is None or context.full_refresh:
        return
    was, now = list(before.get("primary_key", ())), list(table.primary_key)
    if was != now:
        raise SourceError(
            f"sources.{context.source}.tables.{name}.primary_key is {now or 'not set'}, and "
            f"{was or 'was not set'} when the table was loaded: to load it again with the new key, "
            f"run `headrace load --full-refresh --source {context.source}`"
        )


def _is_frozen_out(name: str, context: IngestContext) -> bool:
    """Whether the contract keeps a table out that is not in the raw schema yet."""
    import dlt

    schema = dlt.current.source_schema()
    if name in schema.tables or not schema.data_tables(seen_data_only=True):
        return False  # the first load of all makes the tables that the contract then keeps
    if context.contract.tables == "freeze":
        raise SourceError(
            f"{name} is a new table, and the schema contract of {context.source} freezes tables: "
            f"set sources.{context.source}.schema_contract.tables to evolve, or remove the table"
        )
    context.report(
        TableLoad(context.source, name, notes=("a new table, left out by the schema contract",))
    )
    return True


def _load(
    table: FileTable,
    changes: FileChanges,
    context: IngestContext,
    about: TableLoad,
    given: Mapping[str, str],
    before: Mapping[str, Sequence[str]],
) -> Generator[Any, None, tuple[Mapping[str, str], Mapping[str, Sequence[str]]]]:
    """Load files.

    Args:
        table: how they are read.
        changes: which they are.
        context: what the load runs in.
        about: what is known of the load already.
        given: the raw names of columns that the table's files had in earlier loads.
        before: the delimiter and encoding of CSV files in earlier loads.

    Returns:
        The raw names of all columns that they have had, and the dialects of those that were read.
    """
    import dlt
    import duckdb

    context.scratch_dir.mkdir(parents=True, exist_ok=True)
    normalize = dlt.current.source_schema().naming.normalize_identifier
    config: dict[str, Any] = {
        "memory_limit": context.memory_limit,
        "temp_directory": str(context.scratch_dir / "spill"),
    }
    table = table.normalized(normalize)
    with (
        duckdb.connect(config=config) as connection,
        _progress(connection, about, changes, context),
    ):
        staged = stage(connection, about.table, table, changes, context, normalize, given)
        if staged.quarantine is not None:
            yield dlt.mark.with_hints(
                staged.quarantine,
                dlt.mark.make_hints(
                    table_name=QUARANTINE_TABLE,
                    primary_key="quarantine_id",
                    merge_key="",  # that of a table without a key would hold here, too
                    write_disposition="merge",
                ),
                create_table_variant=True,
            )
        if staged.rows_selected:
            yield from _hand_over(connection, about.table, table, staged, context)
    context.report(
        replace(
            about,
            changes=dialect_changes(before, staged.dialects),
            files_read=staged.files_read,
            files_unchanged=len(changes.files) - staged.files_read,
            rows_given=staged.rows_given,
            rows_new=staged.rows_new,
            rows_changed=staged.rows_changed,
            rows_unchanged=staged.rows_unchanged,
            rows_quarantined=staged.rows_quarantined,
            rows_deleted=staged.rows_deleted,
            new_columns=staged.new_columns,
            notes=(*about.notes, *staged.notes),
        )
    )
    return staged.names, staged.dialects


def _hand_over(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    table: FileTable,
    staged: Staged,
    context: IngestContext,
) -> Iterator[Any]:
    """Give dlt the staged rows: as SQL where the warehouse can run it, else as Arrow batches.

    The first load replaces (the table has no loaded rows), because an insert into an empty table
    is what a merge would come to, without its second copy; every later one merges.
    """
    import dlt

    key = set(table.primary_key)
    columns = {
        column.name: column.hint(nullable=column.name not in key) for column in staged.columns
    }
    if IS_GONE in columns:
        columns[IS_GONE]["hard_delete"] = True
    hints = dlt.mark.make_hints(
        columns=columns,
        write_disposition="replace" if staged.is_first else "merge",
        **(
            {"primary_key": list(table.primary_key)}
            if table.primary_key
            else {"merge_key": FILE_COLUMN}
        ),
    )
    if staged.is_added:
        context.appended.add(name)
    if context.accepts_sql:
        path = context.scratch_dir / f"{name}.model"
        yield sql_rows(staged.select, path, staged.rows_selected, hints)
        return
    first = True
    for batch in connection.execute(staged.select).to_arrow_reader(_BATCH_ROWS):
        yield dlt.mark.with_hints(batch, hints) if first else batch
        first = False


def _progress(
    connection: "duckdb.DuckDBPyConnection",
    about: TableLoad,
    changes: FileChanges,
    context: IngestContext,
) -> AbstractContextManager[None]:
    """Tell how far the reading of large files is, where somebody looks."""
    bytes_ = sum(file.size for file in changes.read)
    progress = context.progress
    if progress is None or bytes_ < _LARGE:
        return nullcontext()
    return progress_of(connection, lambda share: progress(about.table, share, bytes_))
