"""The load step: every source by dlt into its raw schema."""

import errno
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace import portable
from headrace.artifacts import dump_trace
from headrace.artifacts.files import BadFileError
from headrace.errors import HeadraceError, SourceError, WarehouseError
from headrace.export.openlineage.emit import Emitter
from headrace.ingest import IngestContext, TableLoad
from headrace.pipeline import remote, sources
from headrace.pipeline.causes import came_of_ctrl_c, causes, first_line
from headrace.pipeline.events import Event, Listener
from headrace.pipeline.reports import LoadReport, TableReport
from headrace.secrets import masked
from headrace.settings import Resolved, SourceSettings, contract_of
from headrace.synth.errors import SynthError
from headrace.targets import Target

if TYPE_CHECKING:
    import dlt

_LOG = logging.getLogger("headrace.pipeline")

# Invariants, not tastes: staging tells completed loads by `_dlt_load_id`.
_DLT_ENVIRONMENT = {
    "NORMALIZE__MODEL_NORMALIZER__ADD_DLT_LOAD_ID": "true",
    "NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID": "true",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    # dlt would note a Ctrl-C and go on; when its step ends before it looks, the note is lost
    "RUNTIME__INTERCEPT_SIGNALS": "false",
}

_DLT_ID = re.compile(r"[0-9a-f]{16}")  # what dlt calls a folder that it extracts into


def raw_schema(source: str) -> str:
    """The raw schema of a source: ``jaffle_shop`` loads into ``jaffle_shop_raw``."""
    return f"{source}_raw"


def load(
    resolved: Resolved,
    target: Target,
    chosen: dict[str, SourceSettings],
    *,
    full_refresh: bool,
    listen: Listener,
    emitter: Emitter | None = None,
) -> LoadReport:
    """Load sources one after the other.

    What a stopped run left unfinished is dropped first, and loaded anew. A source that fails
    stops the step; what was loaded before it stays, and its own rows are not visible to staging.

    Args:
        resolved: the settings.
        target: where to load into.
        chosen: the sources by name.
        full_refresh: forget what was loaded before, and load everything anew.
        listen: is told of each table.
        emitter: is told when a source begins and ends.

    Raises:
        SourceError: a source cannot be loaded, or some of its files could not be read; all
            others were loaded.
        WarehouseError: the target cannot be written.
    """
    started = time.monotonic()
    os.environ.update(_DLT_ENVIRONMENT)
    os.environ.setdefault("RUNTIME__LOG_LEVEL", "ERROR")
    target.check()
    tables: list[TableReport] = []
    load_ids: list[str] = []
    problems: list[str] = []
    listen(Event("load", "starting dlt", "phase"))
    for name, settings in chosen.items():
        loader = _Loader(resolved, target, name, settings, listen, full_refresh)
        if emitter is not None:
            emitter.load_started(name)
        reports, ids = loader.run()
        if emitter is not None:
            emitter.load_ended(name, reports)
        tables += reports
        load_ids += ids
        problems += loader.problems
    if problems:
        raise SourceError(f"{'; '.join(problems)} (all other files were loaded)")
    return LoadReport(
        tables=tuple(tables), load_ids=tuple(load_ids), seconds=time.monotonic() - started
    )


@dataclass
class _Loader:
    """Loads one source."""

    resolved: Resolved
    target: Target
    name: str
    settings: SourceSettings
    listen: Listener
    full_refresh: bool
    found: dict[str, TableLoad] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def run(self) -> tuple[list[TableReport], list[str]]:
        dataset = raw_schema(self.name)
        before = self.target.row_counts(dataset)
        try:
            self.listen(Event("load", self.name, "phase"))
            with self._refreshing():
                pipeline = self._ready(dataset)
                shutil.rmtree(self._scratch, ignore_errors=True)
                ids = self._load(pipeline, thorough=False)
            self._sweep()
        except HeadraceError:
            raise
        except Exception as error:
            raise self._explain(error) from error
        shutil.rmtree(self._scratch, ignore_errors=True)
        after = self.target.row_counts(dataset)
        return [_accounted(one) for one in self._reports(before, after, pipeline)], ids

    @property
    def problems(self) -> list[str]:
        """Files that could not be read, one sentence each."""
        return [
            f"{self.name}.{table.table}: {problem}"
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
    def _trash(self) -> Path:
        return self._working_dir.with_name(f"{self.name}.discarded")

    def _ready(self, dataset: str) -> "dlt.Pipeline":
        """The pipeline, with nothing pending.

        dlt could finish what a stopped run left pending, but not soundly: a job whose commit it had
        no time to note is run again (a table that is replaced, or has no key, would hold its rows
        twice), the schema of the last finished load decides whether rows replace a table or are
        merged into it, and a job may read files that are others by now. So its working directory
        is discarded. The warehouse has the state as of the last finished load, staging never sees
        rows of another one, and rows that are read once more are merged.
        """
        if any(self._entries(folder) for folder in ("normalize/extracted", "load/normalized")):
            self._discard()
            self.notes.append("a load that had been stopped was dropped, and read anew")
        try:
            return self._pipeline(dataset)
        except Exception:
            _LOG.warning("dlt's working files of %s are damaged", self.name, exc_info=True)
            self._discard()
            self.notes.append("dlt's working files were damaged, and restored from the warehouse")
            return self._pipeline(dataset)

    def _entries(self, folder: str) -> list[Path]:
        return list((self._working_dir / folder).glob("*"))

    def _discard(self) -> None:
        """Remove dlt's working directory in one step: half of it might look sound."""
        shutil.rmtree(self._trash, ignore_errors=True)
        if self._working_dir.exists():
            portable.replace(self._working_dir, self._trash)
            shutil.rmtree(self._trash, ignore_errors=True)

    @contextmanager
    def _refreshing(self) -> Iterator[None]:
        """Keep in mind that a full refresh began: one that is stopped is made by the next run.

        It drops tables before it loads them, while the state as of the last finished load still
        says that their files were loaded.
        """
        from dlt.pipeline.exceptions import PipelineStepFailed

        marker = self.resolved.data_dir / "refreshing" / f"{self.target.name}.{self.name}"
        is_new = not marker.exists()
        if not is_new and not self.full_refresh:
            self.full_refresh = True
            self.notes.append("a full refresh that had been stopped was made anew")
        if self.full_refresh:
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
        try:
            yield
        except PipelineStepFailed as error:
            if is_new and error.step != "load":
                marker.unlink(missing_ok=True)  # tables are dropped by the load alone
            raise
        marker.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what kills left among dlt's files, now that nothing is pending."""
        shutil.rmtree(self._trash, ignore_errors=True)
        for path in (
            *self._entries("load/new"),
            *self._entries("load/normalized"),
            *(path for path in self._entries("normalize") if _DLT_ID.fullmatch(path.name)),
        ):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _pipeline(self, dataset: str) -> "dlt.Pipeline":
        import dlt

        return dlt.pipeline(
            pipeline_name=self.name,
            destination=self.target.dlt_destination(),
            dataset_name=dataset,
            pipelines_dir=str(self.resolved.data_dir / "dlt"),
        )

    def _load(self, pipeline: "dlt.Pipeline", *, thorough: bool) -> list[str]:
        from dlt.pipeline.exceptions import PipelineStepFailed

        source = sources.build(
            self.resolved, self.name, self.settings, self._context(thorough=thorough)
        )
        self.order = list(source.resources)
        try:
            refresh: dict[str, Any] = {"refresh": "drop_sources"} if self.full_refresh else {}
            info = pipeline.run(source, **refresh)
        except PipelineStepFailed as error:
            if came_of_ctrl_c(error):
                raise  # the next run drops what is pending
            if pipeline.has_pending_data:
                pipeline.abort_packages()
            if error.step == "load" and not thorough and not _is_disk_full(error):
                # a value deep in a large file did not fit: look at all of them, to say which
                return self._load(pipeline, thorough=True)
            raise
        finally:
            self._keep_trace(pipeline)
        return list(info.loads_ids)

    def _keep_trace(self, pipeline: "dlt.Pipeline") -> None:
        """dlt's trace as JSON beside its pickle, which only dlt of the same version can read."""
        trace = pipeline.last_trace
        if trace is None:
            return
        path = self._working_dir / "trace.json"
        try:
            portable.write_alone(path, dump_trace(trace.asdict()))
        except (OSError, BadFileError) as error:
            _LOG.warning("the trace of %s could not be kept: %s", self.name, error)

    def _context(self, *, thorough: bool) -> IngestContext:
        return IngestContext(
            source=self.name,
            sample_dir=self.resolved.data_dir / self.name,
            scratch_dir=self._scratch,
            cache_path=self.resolved.data_dir / "dlt" / "file_hashes.json",
            dataset=raw_schema(self.name),
            contract=contract_of(self.settings),
            attach_warehouse=self.target.attach_sql,
            accepts_sql=self.target.dialect == "duckdb",
            full_refresh=self.full_refresh,
            thorough=thorough,
            memory_limit=self.target.load_memory_limit,
            report=self._report,
        )

    def _report(self, table: TableLoad) -> None:
        self.found[table.table] = table
        if table.files_read == 0:
            detail = "unchanged"
        else:
            detail = f"{table.rows_new:,} new, {table.rows_changed:,} changed"
        if table.rows_quarantined:
            detail += f", {table.rows_quarantined:,} in quarantine"
        name = f"{self.name}.{table.table}"
        self.listen(Event("load", name, "warn" if table.rows_quarantined else "done", detail))

    def _reports(
        self, before: dict[str, int], after: dict[str, int], pipeline: "dlt.Pipeline"
    ) -> Iterator[TableReport]:
        found = sorted(self.found.values(), key=lambda table: self.order.index(table.table))
        for number, table in enumerate(found):
            yield TableReport(
                source=self.name,
                table=table.table,
                rows_given=table.rows_given,
                rows_new=table.rows_new,
                rows_changed=table.rows_changed,
                rows_unchanged=table.rows_unchanged,
                rows_quarantined=table.rows_quarantined,
                rows_total=after.get(table.table, 0),
                files_read=table.files_read,
                files_unchanged=table.files_unchanged,
                new_columns=table.new_columns,
                notes=(*table.notes, *(self.notes if number == 0 else ())),
            )
        trace = pipeline.last_trace
        normalized = trace.last_normalize_info if trace else None
        if self.found or normalized is None:
            return
        for table_name, rows in sorted(normalized.row_counts.items()):
            if table_name.startswith("_dlt"):
                continue
            # rows that dlt itself dropped, as older than the cursor or as equal, are not among them
            new = min(rows, max(0, after.get(table_name, 0) - before.get(table_name, 0)))
            yield TableReport(
                source=self.name,
                table=table_name,
                rows_given=rows,
                rows_new=new,
                rows_changed=rows - new,
                rows_total=after.get(table_name, 0),
            )

    def _explain(self, error: Exception) -> HeadraceError:
        """The error that is meant for the user, from inside dlt's wrapping."""
        import duckdb

        chain = list(causes(error))
        for cause in chain:
            if isinstance(cause, HeadraceError):
                return cause
            if isinstance(cause, SynthError):
                return SourceError(f"source {self.name}: {cause}")
        if _is_disk_full(error):
            return WarehouseError(
                f"the disk is full: free some space at {self.resolved.data_dir} and run the same "
                "command again; what was loaded before is kept"
            )
        found = next((first_line(cause) for cause in chain if isinstance(cause, duckdb.Error)), "")
        if not found:
            takes = sources.parameters(self.resolved, self.name, self.settings)
            found = remote.explain(self.name, chain, takes) or (
                f"{type(chain[-1]).__name__}: {first_line(chain[-1])} (--debug shows where)"
            )
        return SourceError(masked(f"source {self.name}: {found}", self.settings.options))


def _accounted(table: TableReport) -> TableReport:
    """The report, with a note where its counts do not add up: a fault that nobody may miss."""
    if not table.rows_unaccounted:
        return table
    note = (
        f"{table.rows_given:,} rows were given and {table.rows_unaccounted:,} of them are not "
        "accounted for: this is a fault of Headrace, please report it"
    )
    _LOG.error("%s.%s: %s", table.source, table.table, note)
    return table.model_copy(update={"notes": (*table.notes, note)})


def _is_disk_full(error: BaseException) -> bool:
    return any(
        (isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT})
        or "No space left" in str(cause)
        for cause in causes(error)
    )
