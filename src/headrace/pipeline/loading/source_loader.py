"""The load of one source by dlt: cleaning up after a stopped load, full refresh, row counts."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace import portable, secrets
from headrace.artifacts import dump_trace
from headrace.artifacts.decoding import BadFileError
from headrace.errors import HeadraceError, SourceError
from headrace.exceptions import came_of_ctrl_c
from headrace.formatting import in_bytes
from headrace.ingest import IngestContext, SchemaContract, TableLoad
from headrace.ingest.periods import Backfill
from headrace.libraries import dlt as libraries_dlt
from headrace.libraries.duckdb import larger_limit, let_go, make_room, progress_of
from headrace.pipeline.loading import backfill, source_errors, sources
from headrace.pipeline.loading.row_changes import RowChanges, RowHashes
from headrace.pipeline.reports import Event, Listener, LoadFailure, LoadJob, TableReport
from headrace.settings import Resolved, SourceSettings
from headrace.sql_text import literal
from headrace.system_errors import system_fault
from headrace.targets import Target

if TYPE_CHECKING:
    import dlt
    import duckdb
    from dlt.common.schema import Schema

_LOG = logging.getLogger("headrace.pipeline")


def refresh_marker(resolved: Resolved, target: Target, name: str) -> Path:
    """The file that exists from the beginning of a source's full refresh to its end."""
    return resolved.data_dir / "refreshing" / f"{target.name}.{name}"


@dataclass
class SourceLoader:
    """Loads one source; one use."""

    resolved: Resolved
    target: Target
    name: str
    settings: SourceSettings
    listen: Listener
    full_refresh: bool
    is_new_refresh: bool = False
    tables: tuple[str, ...] = ()
    backfill: Backfill | None = None
    found: dict[str, TableLoad] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    hashes: RowHashes = field(init=False)
    dialects: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    types: dict[str, dict[str, str]] = field(default_factory=dict)
    jobs: dict[str, list[LoadJob]] = field(default_factory=dict)
    memory_limit: str = field(init=False)

    def __post_init__(self) -> None:
        self.memory_limit = self.target.load_memory_limit

    def run(self) -> tuple[list[TableReport], list[str]]:
        """Load it; gives its tables and dlt's load ids.

        Raises:
            HeadraceError: it cannot be loaded; the rows of its earlier loads stay.
        """
        dataset = self.resolved.raw_schema(self.name)
        try:
            self.listen(Event("load", self.name, "phase"))
            with self._refreshing():
                pipeline = self._ready(dataset)
                shutil.rmtree(self._scratch, ignore_errors=True)
                self._take_hashes(pipeline, dataset)
                if self.full_refresh:
                    self._take_readings(pipeline)
                ids = self._load(pipeline, thorough=False)
            self._sweep()
        except HeadraceError:
            raise
        except Exception as error:
            raise source_errors.load_error(
                error,
                self.name,
                place=self.resolved.data_dir,
                root=self.resolved.root,
                options=lambda: sources.parameters(self.resolved, self.name, self.settings),
                explain_server=self.target.explain if self.target.database_file is None else None,
            ) from error
        shutil.rmtree(self._scratch, ignore_errors=True)
        if ids:
            self.notes += self.target.after_load(dataset)
        after = self.target.row_counts(dataset)
        try:
            return [_accounted(one) for one in self._reports(after, pipeline, ids)], ids
        finally:
            self.hashes.close()

    @property
    def failures(self) -> list[LoadFailure]:
        """Files that could not be read, and tables whose files cannot be loaded."""
        return [
            LoadFailure(source=self.name, table=table.table, error=problem)
            for table in self.found.values()
            for problem in table.problems
        ]

    @property
    def _scratch(self) -> Path:
        return self.resolved.data_dir / "scratch" / self.name

    @property
    def _working_dir(self) -> Path:
        return self.resolved.data_dir / "dlt" / self.name

    @property
    def _files(self) -> libraries_dlt.WorkingFiles:
        return libraries_dlt.WorkingFiles(self._working_dir)

    @property
    def _trash(self) -> Path:
        return self._working_dir.with_name(f"{self.name}.discarded")

    def _ready(self, dataset: str) -> "dlt.Pipeline":
        """The pipeline, with nothing pending.

        dlt could finish what a stopped run left pending, but not correctly. A job whose commit it
        had no time to note is run again, so a table that is replaced, or has no key, would hold its
        rows twice; the schema of the last finished load decides whether rows replace a table or are
        merged into it; and a job may read files that have changed since. So its working directory
        is discarded: the warehouse has the state of the last finished load, staging never sees rows
        of another one, and rows that are read again are merged.
        """
        if self._files.has_pending:
            self._discard()
            self.notes.append(
                "a load that had been stopped was dropped, and its source was read again"
            )
        try:
            return self._pipeline(dataset)
        except Exception:
            _LOG.warning("dlt's working files of %s are damaged", self.name, exc_info=True)
            self._discard()
            self.notes.append("dlt's working files were damaged, and restored from the warehouse")
            return self._pipeline(dataset)

    def _discard(self) -> None:
        """Remove dlt's working directory in one step: half of it might look sound."""
        shutil.rmtree(self._trash, ignore_errors=True)
        if self._working_dir.exists():
            portable.replace(self._working_dir, self._trash)
            shutil.rmtree(self._trash, ignore_errors=True)

    @contextmanager
    def _refreshing(self) -> Iterator[None]:
        """Mark a full refresh until it ends: the next run repeats one that was stopped.

        It drops tables before it loads them, while the state as of the last finished load still
        says that their files were loaded.
        """
        from dlt.pipeline.exceptions import PipelineStepFailed

        marker = refresh_marker(self.resolved, self.target, self.name)
        if marker.exists() and (self.tables or self.backfill):
            raise SourceError(
                f"a full refresh of {self.name} was stopped: run `headrace load --source "
                f"{self.name}` first, which finishes it"
            )
        if marker.exists() and not self.full_refresh:
            self.full_refresh = True
            self.notes.append("a full refresh that had been stopped was started again")
        try:
            yield
        except PipelineStepFailed as error:
            if self.is_new_refresh and error.step != "load":
                marker.unlink(missing_ok=True)  # tables are dropped by the load alone
            raise
        marker.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what killed loads left among dlt's files, once nothing is pending."""
        shutil.rmtree(self._trash, ignore_errors=True)
        for path in self._files.leftovers:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _pipeline(self, dataset: str) -> "dlt.Pipeline":
        import dlt

        return dlt.pipeline(
            pipeline_name=self.name,
            destination=self.target.dlt_destination(),
            staging=self.target.dlt_staging(),
            dataset_name=dataset,
            pipelines_dir=str(self.resolved.data_dir / "dlt"),
        )

    def _load(self, pipeline: "dlt.Pipeline", *, thorough: bool) -> list[str]:
        from dlt.pipeline.exceptions import PipelineStepFailed

        def let_others_read() -> None:
            let_go(self.target.database_file)

        let_others_read()  # to build a source may take long, and so may its rows
        context = self._context(thorough=thorough)
        source = sources.build(self.resolved, self.name, self.settings, context)
        if self.tables:
            source = backfill.only(source, self.name, self.tables)
        if self.backfill is not None:
            takes_context = sources.takes_context(self.resolved, self.name, self.settings)
            said = backfill.limit(source, pipeline, self.backfill, takes_context=takes_context)
            told = [] if takes_context else [f"loaded again: {self.backfill}"]
            self.notes = list(dict.fromkeys([*self.notes, *told, *said]))
        self.order = list(source.resources)

        widest = 0

        def note_widest() -> None:
            nonlocal widest
            tables = pipeline.default_schema.tables.values()
            widest = max((len(table["columns"]) for table in tables), default=0)

        def prepared(connection: "duckdb.DuckDBPyConnection") -> AbstractContextManager[None]:
            if self.memory_limit != self.target.load_memory_limit:
                connection.execute(f"set memory_limit = {literal(self.memory_limit)}")
            make_room(connection, widest)
            return progress_of(connection, self._loaded_so_far)

        try:
            refresh: dict[str, Any] = {"refresh": "drop_sources"} if self.full_refresh else {}
            with (
                libraries_dlt.around_connections(prepared),
                libraries_dlt.merging_in_little_memory(context.appended),
                libraries_dlt.before("extract", let_others_read),
                libraries_dlt.before("load", note_widest),
            ):
                info = pipeline.run(source, **refresh)
        except PipelineStepFailed as error:
            if came_of_ctrl_c(error):
                raise  # the next run drops what is pending
            if pipeline.has_pending_data:
                pipeline.abort_packages()
            fault = system_fault(error)
            is_limit = fault is not None and fault.kind == "memory limit"
            larger = larger_limit(self.memory_limit) if is_limit else None
            if larger is not None:
                _LOG.info(
                    "%s does not fit in %s: again with %s", self.name, self.memory_limit, larger
                )
                self.memory_limit = larger
                return self._load(pipeline, thorough=thorough)
            if error.step == "load" and not thorough and fault is None:
                # a value deep in a large file did not fit: look at all of them, to say which
                return self._load(pipeline, thorough=True)
            raise
        finally:
            self._keep_trace(pipeline)
        for job in libraries_dlt.load_jobs(info):
            self.jobs.setdefault(job["table"], []).append(LoadJob(**job))
        return list(info.loads_ids)

    def _take_hashes(self, pipeline: "dlt.Pipeline", dataset: str) -> None:
        """Hash the tables whose resources do not count rows themselves, as those of files do."""
        keys: dict[str, list[str]] = {}
        if pipeline.default_schema_name and not self.full_refresh:
            schema = pipeline.default_schema
            states = pipeline.state.get("sources", {}).get(schema.name, {}).get("resources", {})
            for table in schema.data_tables(seen_data_only=True):
                name = table["name"]
                if "parent" not in table and "files" not in states.get(name, {}):
                    keys[name] = _key(schema, name)
        self.hashes = RowHashes(self.target, dataset, keys)
        self.hashes.take()

    def _take_readings(self, pipeline: "dlt.Pipeline") -> None:
        """Note how files and columns were read before a full refresh forgets it."""
        if not pipeline.default_schema_name:
            return
        schema = pipeline.default_schema
        states = pipeline.state.get("sources", {}).get(schema.name, {}).get("resources", {})
        self.dialects = {name: dict(state.get("dialects", {})) for name, state in states.items()}
        self.types = {
            table["name"]: _types(schema, table["name"])
            for table in schema.data_tables(seen_data_only=True)
        }

    def _type_changes(self, pipeline: "dlt.Pipeline", table: str) -> Iterator[str]:
        """A sentence for each column that has another type than before a full refresh."""
        before = self.types.get(table, {})
        now = _types(pipeline.default_schema, table) if before else {}
        for name, kind in now.items():
            if before.get(name, kind) != kind:
                yield f"{name} is {kind}, was {before[name]}"

    def _keep_trace(self, pipeline: "dlt.Pipeline") -> None:
        """dlt's trace as JSON beside its pickle, which only dlt of the same version can read."""
        trace = pipeline.last_trace
        if trace is None:
            return
        path = self._working_dir / "trace.json"
        try:
            portable.write_file(path, dump_trace(trace.asdict()))
            # dlt's own files name what failed with all that the exception says
            secrets.hide_in_files(self._working_dir, libraries_dlt.EXCEPTION_FILES)
        except (OSError, BadFileError) as error:
            _LOG.warning("the trace of %s could not be kept: %s", self.name, error)

    def _context(self, *, thorough: bool) -> IngestContext:
        return IngestContext(
            source=self.name,
            sample_dir=self.resolved.common_data_dir / self.name,
            scratch_dir=self._scratch,
            cache_path=self.resolved.data_dir / "dlt" / "file_hashes.json",
            dataset=self.resolved.raw_schema(self.name),
            contract=SchemaContract(**self.settings.schema_contract.model_dump()),
            attach_warehouse=self.target.attach,
            accepts_sql=self.target.reads_local_files,
            full_refresh=self.full_refresh,
            thorough=thorough,
            memory_limit=self.memory_limit,
            report=self._report,
            backfill=self.backfill,
            dialects=self.dialects,
            progress=self._read_so_far,
        )

    def _read_so_far(self, table: str, share: float, bytes_: int) -> None:
        words = f"{self.name}.{table}: {in_bytes(share * bytes_)} of {in_bytes(bytes_)}"
        self.listen(Event("load", words, "progress", share=share))

    def _loaded_so_far(self, share: float) -> None:
        self.listen(
            Event("load", f"{self.name}: writing to the warehouse", "progress", share=share)
        )

    def _report(self, table: TableLoad) -> None:
        self.found[table.table] = table
        if not table.is_counted or (table.problems and not table.files_read):
            return  # told when it is counted
        if table.files_read == 0:
            detail = "unchanged"
        else:
            detail = f"{table.rows_new:,} new, {table.rows_changed:,} changed"
        if table.rows_deleted:
            detail += f", {table.rows_deleted:,} deleted"
        if table.rows_quarantined:
            detail += f", {table.rows_quarantined:,} in quarantine"
        name = f"{self.name}.{table.table}"
        self.listen(Event("load", name, "warn" if table.rows_quarantined else "done", detail))

    def _reports(
        self, after: dict[str, int], pipeline: "dlt.Pipeline", load_ids: list[str]
    ) -> Iterator[TableReport]:
        notes = self.notes
        for table in sorted(self.found.values(), key=lambda each: self.order.index(each.table)):
            if not table.is_counted and not table.rows_given and table.table not in after:
                continue  # nothing says which columns it has
            yield TableReport(
                source=self.name,
                table=table.table,
                rows_given=table.rows_given,
                **self._counts(table, pipeline, load_ids),
                rows_quarantined=table.rows_quarantined,
                rows_deleted=table.rows_deleted,
                rows_total=after.get(table.table, 0),
                files_read=table.files_read,
                files_unchanged=table.files_unchanged,
                new_columns=table.new_columns,
                changes=(*table.changes, *self._type_changes(pipeline, table.table)),
                notes=(*table.notes, *notes),
                jobs=tuple(self.jobs.get(table.table, ())),
            )
            notes = []
        trace = pipeline.last_trace
        normalized = trace.last_normalize_info if trace else None
        if normalized is None or any(table.is_counted for table in self.found.values()):
            return
        for name, rows in sorted(normalized.row_counts.items()):
            if name.startswith("_dlt") or name in self.found:
                continue
            # rows of nested tables are counted with the row that they belong to
            is_nested = "parent" in pipeline.default_schema.tables.get(name, {})
            table = TableLoad(
                self.name, name, rows_given=0 if is_nested else rows, is_counted=is_nested
            )
            yield TableReport(
                source=self.name,
                table=name,
                rows_given=table.rows_given,
                **self._counts(table, pipeline, load_ids),
                rows_total=after.get(name, 0),
                notes=tuple(notes),
                jobs=tuple(self.jobs.get(name, ())),
            )
            notes = []

    def _counts(
        self, table: TableLoad, pipeline: "dlt.Pipeline", load_ids: list[str]
    ) -> dict[str, int]:
        """Rows of a load that are new, changed and unchanged."""
        new, changed, unchanged = table.rows_new, table.rows_changed, table.rows_unchanged
        if not table.is_counted and table.rows_given:
            left = table.rows_given - table.rows_quarantined
            schema = pipeline.default_schema
            disposition = schema.get_table(table.table).get("write_disposition") or "append"
            key = _key(schema, table.table)
            found = self.hashes.changes(
                table.table, key, load_ids, disposition=disposition
            ) or RowChanges(left, 0, 0)
            new, changed, unchanged = found.new, found.changed, found.same
            if key and disposition == "merge":
                unchanged = left - new - changed  # a key that comes twice leaves one row
        return {"rows_new": new, "rows_changed": changed, "rows_unchanged": unchanged}


def _types(schema: "Schema", table: str) -> dict[str, str]:
    """The columns of a table and their types, in dlt's words: ``decimal(10,2)``."""
    columns = schema.tables[table]["columns"] if table in schema.tables else {}
    found = {}
    for name, column in columns.items():
        kind = str(column.get("data_type") or "")
        if name.startswith("_dlt") or not kind:
            continue
        if kind == "decimal":
            kind = f"decimal({column.get('precision')},{column.get('scale')})"
        if kind == "timestamp" and column.get("timezone") is False:
            kind = "timestamp without time zone"
        found[name] = kind
    return found


def _key(schema: "Schema", table: str) -> list[str]:
    """The columns of a table's primary key, as they are in the raw schema."""
    columns = schema.tables[table]["columns"] if table in schema.tables else {}
    return [name for name, hints in columns.items() if hints.get("primary_key")]


def _accounted(table: TableReport) -> TableReport:
    """The report, with a note if its counts do not add up, which is a bug."""
    if not table.rows_unaccounted:
        return table
    note = (
        f"{table.rows_given:,} rows were given and {table.rows_unaccounted:,} of them are not "
        "accounted for: this is a fault of Headrace, please report it"
    )
    _LOG.error("%s.%s: %s", table.source, table.table, note)
    return table.model_copy(update={"notes": (*table.notes, note)})
