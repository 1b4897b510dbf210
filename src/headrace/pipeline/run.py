"""A run: its steps in order, under one lock, each recorded in the run store."""

import logging
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from headrace import portable
from headrace.artifacts import read_manifest
from headrace.catalog import INTERRUPTED, RunStore
from headrace.error_detail import ErrorDetail
from headrace.errors import HeadraceError, SettingsError, UserError
from headrace.exceptions import came_of_ctrl_c, first_line
from headrace.export.openlineage.emit import Emitter
from headrace.formatting import first_few
from headrace.ingest.periods import Backfill
from headrace.log_file import logging_to
from headrace.pipeline import catalog as catalog_step
from headrace.pipeline import lock, notify
from headrace.pipeline.building import build as build_step
from headrace.pipeline.building import reuse, slim_build
from headrace.pipeline.building.slim_build import EVERYTHING, Selection
from headrace.pipeline.checking import audit as audit_step
from headrace.pipeline.dbt import bare_dbt, dbt_packages
from headrace.pipeline.loading import load as load_step
from headrace.pipeline.loading import load_process, sources
from headrace.pipeline.loading.backfill import LoadPart, about_incremental_models, parse_tables
from headrace.pipeline.loading.load import affected_by
from headrace.pipeline.observation import PROBLEMS, Observation, blocked
from headrace.pipeline.progress import Progress
from headrace.pipeline.progress import path_of as progress_path
from headrace.pipeline.publishing import publish as publish_step
from headrace.pipeline.reports import (
    AuditReport,
    BuildReport,
    Event,
    Listener,
    LoadFailure,
    LoadReport,
    PublishReport,
    RunReport,
    Status,
    ignore,
)
from headrace.pipeline.run_record import RunRecord, new_run_id
from headrace.pipeline.run_telemetry import RunTelemetry
from headrace.pipeline.state import build_state
from headrace.pipeline.state.build_state import code_version
from headrace.pipeline.state.folder import read_state, sources_to_load
from headrace.process import working_directory
from headrace.settings import Resolved
from headrace.system_errors import address_space_fault, system_fault
from headrace.targets import Target
from headrace.telemetry import json_log

Step = Literal["load", "build", "publish"]
_LOG = logging.getLogger("headrace.pipeline")
ALL_STEPS: tuple[Step, ...] = ("load", "build", "publish")


def run(
    resolved: Resolved,
    *,
    steps: tuple[Step, ...] = ALL_STEPS,
    source_names: tuple[str, ...] = (),
    full_refresh: bool = False,
    tables: tuple[str, ...] = (),
    backfill: Backfill | None = None,
    selection: Selection = EVERYTHING,
    began_at: float | None = None,
    listen: Listener = ignore,
    command: str | None = None,
    is_process: bool = False,
) -> RunReport:
    """Run the steps in order; a failed check ends the run before it publishes.

    A whole run that fails is reported as ``on_failure`` says.

    Args:
        resolved: the settings.
        steps: which of load, build and publish; the audit belongs to publish.
        source_names: the sources to load; by default those that are enabled.
        full_refresh: forget what was loaded and built before.
        tables: ``source.table`` of those to load; by default all of the sources.
        backfill: the period of the past that is to be loaded again.
        selection: what to build; a part of the project is built and tested, never published.
        began_at: when whoever waits for the run began to wait, such as the start of the process, on
            the monotonic clock; by default now.
        listen: is told what happens.
        command: what to record the run as; by default the command of these steps. Nobody is told
            of the failure of another.
        is_process: whether this process is there for the run alone, and has no threads: then it
            loads in a copy of it, and starts dbt meanwhile.

    Returns:
        The report; its status is ``failed`` when a check did not pass.

    Raises:
        UserError: it could not run; what was published before is untouched, and the run is
            recorded with the error.
    """
    tells = selection.is_whole and command is None
    command = command or f"headrace {'run' if len(steps) > 1 else steps[0]}"
    began = time.monotonic() if began_at is None else began_at
    part = LoadPart(parse_tables(tables), backfill)
    if (tables or backfill) and full_refresh:
        raise SettingsError(
            "--full-refresh is of whole sources: leave out --table, --since and --until"
        )
    names = (*source_names, *(name for name in part.tables if name not in source_names))

    def do() -> RunReport:
        return _run(
            resolved,
            command,
            steps,
            names,
            full_refresh,
            part,
            selection,
            began,
            listen,
            is_process=is_process,
        )

    return notify.telling(resolved, command, do) if tells else do()


def _run(
    resolved: Resolved,
    command: str,
    steps: tuple[Step, ...],
    source_names: tuple[str, ...],
    full_refresh: bool,
    part: LoadPart,
    selection: Selection,
    began_at: float,
    listen: Listener,
    *,
    is_process: bool,
) -> RunReport:
    fault = address_space_fault()
    if fault is not None:
        raise UserError(fault.message)
    chosen, notes = {}, _about_environment(resolved)
    if "load" in steps:
        chosen = sources.selected(resolved, source_names, needed=steps == ("load",))
        is_of_dbt = resolved.dbt_working_dir is not None  # adopted: it may load nothing
        if not chosen and not (is_of_dbt and not resolved.settings.sources):
            notes.append(f"{sources.NONE_ENABLED}; only what was already loaded is built")
    if selection.defer and selection.state is not None:
        state = read_state(selection.state)
        if not source_names:
            chosen, note = sources_to_load(resolved, state.info.sources, chosen)
            notes += note
    if not selection.is_whole and "publish" in steps:
        steps = tuple(step for step in steps if step != "publish")
        notes.append("only a part of the project is built, so nothing is published")
    target = resolved.target
    logged = logging_to(resolved.data_dir / "logs", resolved.settings.log_level)
    progress = Progress(progress_path(resolved.data_dir), listen)
    run_id = new_run_id()
    is_apart = is_process and bool(chosen) and "build" in steps and portable.can_fork()

    def load(
        told: Listener, events: load_process.LoadEvents, failures: list[LoadFailure]
    ) -> LoadReport:
        return load_step.load(
            resolved,
            target,
            chosen,
            full_refresh=full_refresh,
            listen=told,
            emitter=events,
            part=part,
            failures=failures,
        )

    def warm_up() -> None:
        load_step.warm_up(resolved, chosen)

    with (
        lock.hold(target, command) as dead,
        logged,
        json_log.about(run_id=run_id),
        progress,
        target.read_by_one(),
        load_process.started(load, warm_up) if is_apart else nullcontext() as loader,
    ):
        store = RunStore(resolved.run_store_url)
        try:
            one = _Run(
                resolved, target, store, command, selection, progress.listen, began_at, load,
                loader, is_backfill=part.backfill is not None, run_id=run_id, notes=notes,
            )  # fmt: skip
            progress.begin(one.run_id)
            return one.execute(steps, chosen, full_refresh=full_refresh, dead=dead)
        finally:
            store.close()


def _about_environment(resolved: Resolved) -> list[str]:
    """What is said about the data of another environment than the default one."""
    env, data = resolved.environment, resolved.settings.data_dir
    notes = [
        f"{key} of config/default.yml is shared by all environments: set another one in "
        f"config/{env}.yml"
        for key in resolved.shared_locations
    ]
    is_first = resolved.has_own_data and not resolved.data_dir.exists()
    if is_first and (resolved.data_dir.parent / "headrace.sqlite").exists():
        notes.append(
            f"the environment {env} has data of its own, from now on in {data}; to go on with "
            f"those of the default environment, set `data_dir: {data.parent}` in config/{env}.yml"
        )
    return notes


def _no_contract(marts: tuple[str, ...]) -> str:
    of_others = "" if len(marts) == 1 else ", and so on"
    return (
        f"no contract: {first_few(marts)}; a column that changes or goes is not noticed "
        f"(`headrace scaffold --model {marts[0]}` writes it{of_others})"
    )


def _explained(step: str, error: BaseException, resolved: Resolved) -> UserError:
    """An unexpected error of a step, with the step's name and what to do."""
    fault = system_fault(error, place=resolved.data_dir)
    if fault is not None:
        return UserError(f"the {step} step: {fault.message}")
    return UserError(
        f"the {step} step ended in an unexpected {type(error).__name__}: {first_line(error)} "
        f"(please report it; {resolved.data_dir / 'logs'} has the traceback)"
    )


def _tables_that_changed(resolved: Resolved, loaded: LoadReport | None) -> list[str]:
    """The raw tables (``schema.table``) that a load changed."""
    return [
        f"{resolved.raw_schema(table.source)}.{table.table}"
        for table in (loaded.tables if loaded is not None else ())
        if table.is_changed
    ]


def _ended(status: str, seconds: float, rows: int | None) -> dict[str, object]:
    """What the log says of a run or step that has ended."""
    counted = {} if rows is None else {"rows": rows}
    return {"status": status, "seconds": round(seconds, 3), **counted}


@dataclass
class _Run:
    """One run; one use."""

    resolved: Resolved
    target: Target
    store: RunStore
    command: str
    selection: Selection
    listen: Listener
    began_at: float
    load: load_process.Load
    loader: load_process.LoadProcess | None = None
    prepared: build_step.Prepared | None = None
    is_backfill: bool = False
    run_id: str = field(default_factory=new_run_id)
    notes: list[str] = field(default_factory=list)
    loaded: LoadReport | None = None
    built: BuildReport | None = None
    audited: AuditReport | None = None
    published: PublishReport | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    emitter: Emitter = field(init=False)
    telemetry: RunTelemetry = field(init=False)
    observed: Observation = field(init=False)

    def __post_init__(self) -> None:
        self.emitter = Emitter(self.resolved, run_id=self.run_id, command=self.command)
        self.telemetry = RunTelemetry(
            self.run_id,
            self.command,
            target=self.target,
            listen=self.listen,
            loads=self.emitter,
            startup=time.monotonic() - self.began_at,
        )
        self.listen = self.telemetry.listen
        self.observed = Observation(
            self.resolved, self.store, self.run_id, self.started_at, self.notes, self.emitter,
            self._add_step, self.listen,
        )  # fmt: skip

    def execute(
        self,
        steps: tuple[Step, ...],
        chosen: dict[str, Any],
        *,
        full_refresh: bool,
        dead: lock.Holder | None,
    ) -> RunReport:
        started_at, started = self.started_at, self.began_at
        startup = time.monotonic() - started
        version = code_version(self.resolved.root)
        self.store.begin_run(
            self.run_id,
            command=self.command,
            target=self.target.name,
            lock=str(self.target.lock_path),
            code_version=version,
        )
        if dead is not None:
            self.notes.append(
                f"took over from `{dead.command}` (process {dead.pid}, since {dead.since}), "
                "which was stopped"
            )
        self.emitter.run_started()
        try:
            passed = self._steps(steps, chosen, version, full_refresh=full_refresh)
            if self.selection.is_whole:
                if self.observed.watched is None:  # else both were done before the publication
                    self._observe()
                self.observed.keep_profiles()
                self._emit_build()
            if self.loaded is not None:
                self.observed.keep_quarantine(self.loaded)
        except BaseException as error:
            if came_of_ctrl_c(error):
                _LOG.info("run was interrupted", extra=self._fields())
                with suppress(HeadraceError):
                    self._record_end(INTERRUPTED, time.monotonic() - started, None)
                self.emitter.run_ended("interrupted")
                self.telemetry.run_ended("interrupted", None)
                raise KeyboardInterrupt from error
            text, detail = repr(error), None
            if isinstance(error, HeadraceError):
                text, detail = str(error), error.detail
            _LOG.exception("run ended by an error", extra=self._fields(error=text))
            with suppress(HeadraceError):  # the first error is the one to show
                self._record_end("error", time.monotonic() - started, text, detail)
            stack = "".join(traceback.format_exception(error))
            self.emitter.run_ended("error", text, stack=stack)
            unsent = self.telemetry.run_ended("error", None, text)
            if unsent:
                error.add_note(unsent)
            raise
        status: Status = "success" if passed else "failed"
        failures = self.loaded.failures if self.loaded else ()
        unloaded = "; ".join(each.sentence for each in failures)
        detail = next((each.detail for each in failures if each.detail), None)
        self._record_end(status, time.monotonic() - started, unloaded or None, detail)
        problems = "; ".join(self.audited.problems) if self.audited else unloaded or None
        unsent = self.emitter.run_ended("success" if passed else "failed", problems)
        self.notes += [unsent] if unsent else []
        rows = self.loaded.rows_loaded if self.loaded else None
        unsent = self.telemetry.run_ended(status, rows, problems)
        self.notes += [unsent] if unsent else []
        _LOG.info(
            "run ended", extra=self._fields(**_ended(status, time.monotonic() - started, rows))
        )
        path = self.resolved.published
        return RunReport(
            run_id=self.run_id,
            command=self.command,
            status=status,
            started_at=started_at,
            seconds=time.monotonic() - started,
            environment=self.resolved.environment,
            startup_seconds=startup,
            target=self.target.name,
            code_version=version,
            load=self.loaded,
            build=self.built,
            audit=self.audited,
            publish=self.published,
            catalog=self.observed.catalogued,
            quality=self.observed.watched,
            profiles_seconds=self.observed.profiles_seconds,
            published_path=str(path) if path.exists() else None,
            notes=tuple(self.notes),
            error=unloaded or None,
        )

    def _steps(
        self, steps: tuple[Step, ...], chosen: dict[str, Any], version: str, *, full_refresh: bool
    ) -> bool:
        """Run the steps; gives whether all checks passed."""
        if "load" in steps or "build" in steps:
            note = self.target.prepare()
            self.notes += [note] if note else []
        rebuild = "build" in steps and self._must_rebuild(asked=full_refresh)
        if "load" in steps and chosen:
            self._load(chosen, rebuild=rebuild, whole=full_refresh or self.is_backfill)
            if self._stops_after_load():
                return False  # readers keep what is published, and it is of one time
        if "build" in steps:
            loaded = [self.resolved.raw_schema(name) for name in chosen]
            if self.selection.since is not None:
                loaded = _tables_that_changed(self.resolved, self.loaded)
            self._build(loaded, full_refresh=rebuild)
        if "build" in steps or "publish" in steps:
            with self._step("audit") as problems:
                self.audited = self._audit()
                problems.extend(self.audited.problems)
            self._keep_promises()
            self.notes += self.audited.warnings
            if self.audited.without_contract:
                self.notes.append(_no_contract(self.audited.without_contract))
            if not self.audited.passed:
                return False
        if "publish" in steps and self.resolved.settings.monitors.on_alarm == "block":
            self._observe()
            found = blocked(self.audited, self.observed.watched) if self.audited else None
            if found is not None:
                self.audited = found
                return False
        if "publish" in steps:
            self._publish(version)
        return not (self.loaded and self.loaded.failures)

    def _stops_after_load(self) -> bool:
        """Whether a table that could not be loaded ends the run."""
        if self.loaded is None or not self.loaded.failures:
            return False
        way = self.resolved.settings.publish.on_failed_load
        return way == "nothing" or not self.selection.is_whole

    def _affected(self) -> frozenset[str]:
        """The ids of what depends on tables that could not be loaded; it is not published."""
        failures = self.loaded.failures if self.loaded else ()
        if not failures:
            return frozenset()
        return affected_by(failures, read_manifest(self.resolved.artifacts), self.resolved)

    def _must_rebuild(self, *, asked: bool) -> bool:
        """Whether models are built from scratch, for this run or one that did not end."""
        if not self.selection.is_whole:
            return asked  # only the models that were chosen
        marker = build_step.full_refresh_marker(self.resolved, self.target)
        if asked:
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
        elif marker.exists():
            self.notes.append(
                "all models were built from scratch: an earlier full refresh did not finish"
            )
        return marker.exists()

    def _load(self, chosen: dict[str, Any], *, rebuild: bool, whole: bool) -> None:
        failures: list[LoadFailure] = []
        last = reuse.last_build(self.resolved, self.target)
        with self._step("load") as problems:
            try:
                if self.loader is None:
                    self.loaded = self.load(self.listen, self.telemetry, failures)
                else:
                    self.loaded = self.loader.load(
                        self.listen,
                        self.telemetry,
                        failures,
                        lambda: self._prepare(chosen, rebuild=rebuild),
                    )
            finally:  # also where one source failed
                with suppress(HeadraceError, OSError):
                    bare_dbt.keep_loaded_settings_sources(self.resolved, self.target)
                with suppress(HeadraceError):
                    RunRecord(self.store, self.run_id).add_load_failures(failures)
            problems.extend(each.sentence for each in failures)
        if last is not None:
            reuse.after_load(self.resolved, self.target, last, self.loaded, whole=whole)
        if self.is_backfill:
            self.notes += about_incremental_models(self.resolved, self.loaded)
        RunRecord(self.store, self.run_id).add_loads(self.loaded.tables)

    def _prepare(self, chosen: dict[str, Any], *, rebuild: bool) -> None:
        """Start dbt while the sources are loaded, unless nothing is likely to be built."""
        if not self.selection.is_whole:
            build_step.start_dbt(self.resolved)
        elif rebuild or build_step.is_likely(self.resolved, self.target, chosen):
            self.prepared = build_step.prepare(self.resolved, self.target)

    def _build(self, loaded: list[str], *, full_refresh: bool) -> None:
        with self._step("build") as problems:
            build_step.require_project(self.resolved)
            note = dbt_packages.install(self.resolved, self.listen)
            self.notes += [note] if note else []
            if self.selection.is_whole:
                self.built = build_step.build(
                    self.resolved,
                    self.target,
                    full_refresh=full_refresh,
                    listen=self._listen_on,
                    prepared=self.prepared,
                )
                bare_dbt.keep_manifest(self.resolved)
            else:
                self.built = slim_build.build_slim(
                    self.resolved,
                    self.target,
                    self.selection,
                    loaded=loaded,
                    full_refresh=full_refresh,
                    listen=self.listen,
                )
            problems.extend(audit_step.failed_nodes((*self.built.nodes, *self.built.freshness)))
        RunRecord(self.store, self.run_id).add_nodes(self.built)

    def _listen_on(self, event: Event) -> None:
        """dbt's nodes go to whoever shows the run, and out as events."""
        self.listen(event)
        if event.node is None:
            return
        if event.state == "started":
            self.emitter.node_started(event.node)
        elif event.state != "skipped":
            self.emitter.node_ended(event.node, failed=event.state == "failed")

    def _audit(self) -> AuditReport:
        if self.built is not None and not self.selection.is_whole:
            return audit_step.judge(self.built.nodes, listen=self.listen)
        return audit_step.audit(
            self.resolved, self.target, listen=self.listen, affected=self._affected()
        )

    def _publish(self, version: str) -> None:
        with self._step("publish"):
            self.published = publish_step.publish(
                self.resolved,
                self.target,
                run_id=self.run_id,
                code_version=version,
                listen=self.listen,
                affected=self._affected(),
            )
            self.notes += [self.published.note] if self.published.note else []
            RunRecord(self.store, self.run_id).add_row_counts(self.published.tables)
            if self.published.left:
                return  # the warehouse has what is not published
            state = publish_step.PublishedState(
                run_id=self.run_id,
                code_version=version,
                published_at=datetime.now(UTC),
                signature=self.target.signature(),
            )
            with suppress(OSError):  # without it `headrace state` asks for another run
                publish_step.write_published_state(self.resolved, state)

    def _observe(self) -> None:
        self.observed.keep_catalog()
        built = self.built is not None and not self.built.reused
        self.observed.monitor(
            has_built=built and self.audited is not None and self.audited.passed,
            is_published=self.published is not None,
        )

    def _keep_promises(self) -> None:
        """Keep what a whole audit found of contracts and checks, with those of the build."""
        state = build_state.read(self.resolved)
        if self.audited is None or not self.selection.is_whole or state is None:
            return
        if self.audited.passed or self.audited.nodes:  # else it did not come to look at them
            RunRecord(self.store, self.run_id).add_promises(self.audited, state.nodes)

    def _emit_build(self) -> None:
        """Events of what dbt ran; a build that was reused ran nothing."""
        if self.observed.catalogued is not None:
            ran = self.built.nodes if self.built and not self.built.reused else ()
            tables = self.published.tables if self.published else ()
            rows = {table.name: table.rows for table in tables}
            self.emitter.build_ended(ran, partial(catalog_step.current, self.resolved), rows=rows)

    @contextmanager
    def _step(self, name: Literal["load", "build", "audit", "publish"]) -> Iterator[list[str]]:
        """A step; what is put into the list is why it failed."""
        problems: list[str] = []
        started_at, started = datetime.now(UTC), time.monotonic()
        self.listen(Event(name, name, "started"))
        _LOG.info("step began", extra=self._fields(step=name))
        reads_marts = name in {"audit", "publish"}  # views may read files by relative paths
        place = self.resolved.dbt_working_dir if reads_marts else None
        try:
            with working_directory(place):
                yield problems
        except BaseException as error:
            with suppress(HeadraceError):  # the first error is the one to show
                seconds = time.monotonic() - started
                said = str(error) if isinstance(error, HeadraceError) else None
                self._add_step(name, "error", seconds, started_at, said)
            if isinstance(error, HeadraceError) or came_of_ctrl_c(error):
                raise
            raise _explained(name, error, self.resolved) from error
        seconds = time.monotonic() - started
        status = "failed" if problems else "success"
        said = first_few(problems, PROBLEMS) or None
        self._add_step(name, status, seconds, started_at, said)
        self.listen(Event(name, name, "done", "", seconds))

    def _add_step(
        self, name: str, status: str, seconds: float, began: datetime, message: str | None = None
    ) -> None:
        """Record a step that has ended."""
        self.telemetry.stage_ended(name, status, seconds, began, message)
        rows = self.loaded.rows_loaded if name == "load" and self.loaded else None
        fields = _ended(status, seconds, rows)
        _LOG.info("step ended", extra=self._fields(step=name, **fields))
        self.store.add_step(self.run_id, name, status, seconds, began, message)

    def _fields(self, **fields: object) -> dict[str, object]:
        return {"fields": {"run_id": self.run_id, **fields}}

    def _record_end(
        self, status: str, seconds: float, error: str | None, detail: ErrorDetail | None = None
    ) -> None:
        published = self.published if self.published and self.published.tables else None
        self.store.end_run(
            self.run_id,
            status=status,
            seconds=seconds,
            error=error,
            detail=detail,
            rows_loaded=self.loaded.rows_loaded if self.loaded else None,
            published_path=published.path if published else None,
        )
