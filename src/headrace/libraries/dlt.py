"""dlt: how it is told to behave, and what of its insides Headrace relies on."""

import functools
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from headrace import process
from headrace.libraries.duckdb import UNCHECKED
from headrace.sql_text import literal
from headrace.telemetry import json_log

if TYPE_CHECKING:
    import duckdb
    from dlt.extract import DltResource
    from dlt.sources.helpers.rest_client.paginators import BasePaginator, BaseReferencePaginator

_EXTRACT_ID = re.compile(r"[0-9a-f]{16}")  # what dlt calls a folder that it extracts into

_ENVIRONMENT = {
    # staging tells completed loads by `_dlt_load_id`
    "NORMALIZE__MODEL_NORMALIZER__ADD_DLT_LOAD_ID": "true",
    "NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID": "true",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    # dlt would note a Ctrl-C and go on; when its step ends before it looks, the note is lost
    "RUNTIME__INTERCEPT_SIGNALS": "false",
}


@contextmanager
def environment() -> Iterator[None]:
    """dlt with load ids on every row and without telemetry; its log goes where Headrace's does."""
    quiet = json_log.level_of_dlt() or "CRITICAL"  # Headrace reports each error once
    level = os.environ.get("RUNTIME__LOG_LEVEL", quiet)
    with (
        process.environment({**_ENVIRONMENT, "RUNTIME__LOG_LEVEL": level}),
        _lookups_remembered(),
        _extensions_unchecked(),
        _values_written_out(),
    ):
        yield


@contextmanager
def _lookups_remembered() -> Iterator[None]:
    """dlt looks up the settings of a destination whenever it asks what the destination can do.

    Each time it looks for forty names in all sections of all providers, and works out again which
    of them are secrets: a tenth of a load of small tables.
    """
    with process.gc_paused():
        from dlt.common.configuration import resolve
        from dlt.common.configuration.container import Container
        from dlt.common.configuration.providers import environ
        from dlt.common.configuration.specs import ConfigSectionContext
        from dlt.common.destination.reference import Destination

    providers, resolver, destination = cast("Any", environ), cast("Any", resolve), Destination
    is_secret, configuration = resolver.is_secret_hint, destination.configuration
    found: dict[tuple[Any, ...], Any] = {}

    def configured(self: Any, initial_config: Any, accept_partial: bool = False) -> Any:
        if not accept_partial:  # the one that is connected with
            return configuration(self, initial_config)
        # its own section comes before those that dlt is in, so that these change nothing
        key = (self, Container()[ConfigSectionContext].pipeline_name)
        if key not in found:
            found[key] = configuration(self, initial_config, accept_partial=True)
        return found[key]

    remembered = functools.cache(is_secret)

    def is_secret_hint(hint: Any) -> bool:
        try:
            return bool(remembered(hint))
        except TypeError:  # it cannot be hashed, as where a source annotates it with a dictionary
            return bool(is_secret(hint))

    cast("Any", destination).configuration = configured
    providers.is_secret_hint = resolver.is_secret_hint = is_secret_hint
    try:
        yield
    finally:
        cast("Any", destination).configuration = configuration
        providers.is_secret_hint = resolver.is_secret_hint = is_secret


@contextmanager
def _extensions_unchecked() -> Iterator[None]:
    """dlt opens a connection for each table of a DuckLake, and hands DuckDB no setting of it.

    Each would check the signatures of two extensions again: see ``libraries.duckdb.connect``. A
    database in a file is opened as it was, since all of its connections need the same settings.
    """
    import duckdb

    module, original = cast("Any", duckdb), duckdb.connect

    def connect(
        database: str | Path = ":memory:", read_only: bool = False, config: Any = None
    ) -> "duckdb.DuckDBPyConnection":
        if str(database) == ":memory:":
            config = {**(config or {}), **UNCHECKED}
        return original(database, read_only, config or {})

    module.connect = connect
    try:
        yield
    finally:
        module.connect = original


@contextmanager
def _values_written_out() -> Iterator[None]:
    """dlt's statements to a DuckDB without parameters, where their values are plain.

    With the first parameter in a process DuckDB imports pandas, where it is installed: a fifth of
    the CPU seconds of a load of small files.
    """
    with process.gc_paused():
        from dlt.destinations.impl.duckdb.configuration import DuckDbConnectionPool
        from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient

    client: Any = DuckDbSqlClient
    pool: Any = DuckDbConnectionPool
    query_of, configured = client.execute_query, pool.__dict__["_apply_config"]

    def execute_query(self: Any, query: str, *values: Any, **named: Any) -> Any:
        if named:
            return query_of(self, query, *values, **named)
        query, *left = _with_values(query, "%s", values)
        return query_of(self, query, *left)

    class Connection:
        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def execute(self, query: str, values: Sequence[Any] = ()) -> Any:
            query, *left = _with_values(query, "?", values)
            return self._connection.execute(query, left)

    def apply_config(connection: Any, scope: str, config: Any) -> None:
        configured.__func__(Connection(connection), scope, config)

    client.execute_query, pool._apply_config = execute_query, staticmethod(apply_config)  # noqa: SLF001
    try:
        yield
    finally:
        client.execute_query, pool._apply_config = query_of, configured  # noqa: SLF001


def _with_values(query: str, mark: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """A statement with its values in the places of marks, or both as they are."""
    texts = [_written_out(value) for value in values]
    first, *rest = query.split(mark)
    if None in texts or len(rest) != len(texts):
        return query, *values
    return ("".join([first, *(f"{text}{part}" for text, part in zip(texts, rest, strict=True))]),)


def _written_out(value: Any) -> str | None:
    """A value in SQL; None where it is left to a parameter."""
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return f"{literal(value.isoformat())}::timestamptz"
    return str(value).lower() if type(value) in {int, bool} else None


def import_all() -> None:
    """Import what a load into DuckDB takes, without pauses for the garbage collector."""
    with process.gc_paused():
        import dlt.destinations.impl.duckdb.duck
        import dlt.load
        import dlt.normalize
        import duckdb
    del dlt, duckdb


@dataclass(frozen=True)
class WorkingFiles:
    """What dlt keeps in the working directory of a pipeline.

    Attributes:
        folder: ``<pipelines_dir>/<pipeline name>``.
    """

    folder: Path

    @property
    def has_pending(self) -> bool:
        """Whether a load was stopped before its end."""
        return any(any(self._in(name)) for name in ("normalize/extracted", "load/normalized"))

    @property
    def leftovers(self) -> list[Path]:
        """What kills left, once nothing is pending."""
        extracting = (path for path in self._in("normalize") if _EXTRACT_ID.fullmatch(path.name))
        return [*self._in("load/new"), *self._in("load/normalized"), *extracting]

    def _in(self, name: str) -> Iterator[Path]:
        return (self.folder / name).glob("*")


def load_jobs(info: Any) -> Iterator[dict[str, Any]]:
    """The files that a load wrote to the destination.

    Args:
        info: dlt's ``LoadInfo``.

    Yields:
        ``table``, ``started_at`` and ``ended_at`` (UTC), ``format`` and ``failed``.
    """
    for steps in info.metrics.values():
        for step in steps:
            for job in step["job_metrics"].values():
                if job.finished_at is not None:
                    yield {
                        "table": job.table_name,
                        "started_at": job.started_at,
                        "ended_at": job.finished_at,
                        "format": job.file_path.removesuffix(".gz").rpartition(".")[2],
                        "failed": job.state == "failed",
                    }


EXCEPTION_FILES = ("trace.*", "load/**/*.exception")
"""Patterns, below a working directory, of files that hold the text of exceptions."""


def sql_rows(select: str, path: Path, rows: int, hints: Any) -> Any:
    """Rows that the warehouse selects itself (dlt's ``model`` format), to be yielded by a resource.

    Args:
        select: in DuckDB's dialect.
        path: is written; dlt imports it.
        rows: how many there are.
        hints: of ``dlt.mark.make_hints``.
    """
    import dlt
    from dlt.common.destination.client import SqlModel

    path.write_text(str(SqlModel(select, "duckdb")), encoding="utf-8")
    return dlt.mark.with_file_import(str(path), "model", rows, hints=hints)


def resource_state(encoded: str, resource: str) -> dict[str, Any]:
    """What a resource kept in the state of its pipeline; empty if it kept nothing.

    Args:
        encoded: of the column ``state`` of ``_dlt_pipeline_state``.
        resource: its name.
    """
    from dlt.common.versioned_state import decompress_state

    sources: dict[str, Any] = decompress_state(encoded).get("sources", {})
    for source in sources.values():
        found = source.get("resources", {}).get(resource)
        if found:
            return dict(found)
    return {}


def replace_rows(
    resource: "DltResource",
    wrap: Callable[[Callable[..., Iterator[Any]]], Callable[[], Iterator[Any]]],
) -> None:
    """Have a resource yield what is made of the pages that it would have yielded."""
    pipe: Any = resource._pipe  # noqa: SLF001 - dlt has no public way
    pipe.replace_gen(wrap(pipe.gen))


@contextmanager
def before(step: Literal["extract", "load"], do: Callable[[], None]) -> Iterator[None]:
    """Do something before dlt reads the rows of a source, or before it writes to a destination."""
    from dlt import Pipeline

    kept: Any = getattr(Pipeline, step)

    def done(self: Any, *args: Any, **options: Any) -> Any:
        do()
        return kept(self, *args, **options)

    setattr(Pipeline, step, functools.wraps(kept)(done))
    try:
        yield
    finally:
        setattr(Pipeline, step, kept)


@contextmanager
def around_connections(
    use: "Callable[[duckdb.DuckDBPyConnection], AbstractContextManager[object]]",
) -> Iterator[None]:
    """Enter a context for each connection that dlt opens to a DuckDB, until it closes it.

    It opens several at a time, each in a thread.
    """
    from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient

    client: Any = DuckDbSqlClient
    opened, closed = client.open_connection, client.close_connection

    def open_connection(self: Any) -> Any:
        connection = opened(self)
        with ExitStack() as stack:
            stack.callback(closed, self)
            stack.enter_context(use(connection))
            self.headrace_stack = stack.pop_all()
        return connection

    def close_connection(self: Any) -> None:
        stack = self.__dict__.pop("headrace_stack", None)
        if stack is None:
            closed(self)
        else:
            stack.close()

    client.open_connection, client.close_connection = open_connection, close_connection
    try:
        yield
    finally:
        client.open_connection, client.close_connection = opened, closed


@contextmanager
def merging_in_little_memory(appended: Collection[str]) -> Iterator[None]:
    """Merge into a DuckDB without holding all rows in memory.

    dlt numbers the rows of each key with all their columns, to take the first, and DuckDB holds
    what it numbers in memory: here these are keys and places. What does not fit all the same fails
    at once: dlt would try it five times, with the same limit.

    Args:
        appended: tables whose rows are all new; looked at when a load writes them. They are
            written as if their write disposition were ``append``, and keep that which they have.
    """
    import duckdb
    from dlt.destinations.exceptions import DatabaseTerminalException
    from dlt.destinations.impl.duckdb.duck import DuckDbClient
    from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
    from dlt.destinations.sql_jobs import SqlMergeFollowupJob

    class MergeJob(SqlMergeFollowupJob):
        @classmethod
        def gen_select_from_dedup_sql(
            cls,
            table_name: str,
            primary_keys: Sequence[str],
            columns: Sequence[str],
            dedup_sort: Any = None,
            condition: str | None = None,
            condition_columns: Sequence[str] | None = None,
            skip_dedup: bool = False,
        ) -> str:
            del condition_columns
            query = f"SELECT {', '.join(columns)} FROM {table_name} WHERE ({condition or 'true'})"
            if skip_dedup:
                return query
            order = " ".join(dedup_sort or ["rowid"])
            return (
                f"{query} AND rowid NOT IN (SELECT rowid FROM (SELECT rowid, row_number() OVER "
                f"(PARTITION BY {', '.join(primary_keys)} ORDER BY {order}) AS number "
                f"FROM {table_name}) WHERE number > 1)"
            )

    def merge_jobs(self: Any, tables: Any) -> list[Any]:
        return [MergeJob.from_table_chain(tables, self.sql_client)]

    def prepare_load_table(self: Any, table_name: str) -> Any:
        table = prepared(self, table_name)
        if table_name in appended:
            table["write_disposition"] = "append"
        return table

    def explain(cls: Any, error: Exception) -> Exception:
        if isinstance(error, duckdb.OutOfMemoryException):
            return DatabaseTerminalException(error)
        return cast("Exception", explained.__get__(None, cls)(error))

    client: Any = DuckDbClient
    sql_client: Any = DuckDbSqlClient
    inherited = client._create_merge_followup_jobs  # noqa: SLF001 - dlt has no public way
    prepared = client.prepare_load_table
    explained = sql_client.__dict__["_make_database_exception"]
    client.prepare_load_table = prepare_load_table
    client._create_merge_followup_jobs = merge_jobs  # noqa: SLF001
    sql_client._make_database_exception = classmethod(explain)  # noqa: SLF001
    try:
        yield
    finally:
        client.prepare_load_table = prepared
        client._create_merge_followup_jobs = inherited  # noqa: SLF001
        sql_client._make_database_exception = explained  # noqa: SLF001


@dataclass(frozen=True)
class InterceptedRun:
    """A call of ``Pipeline.run`` that was not made.

    Attributes:
        pipeline_name: of the pipeline.
        data: what was to be loaded.
        options: the other arguments, such as ``table_name``.
    """

    pipeline_name: str
    data: Any
    options: dict[str, Any]


class _NothingLoaded:
    """Stands for the load info of a run that was not made: whatever is asked of it is nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __str__(self) -> str:
        return "(not loaded here: Headrace loads it)"

    __repr__ = __str__


@contextmanager
def recorded_runs() -> Iterator[list[InterceptedRun]]:
    """Pipelines that are run within the block load nothing; what they were to load is kept."""
    from dlt import Pipeline

    found: list[InterceptedRun] = []

    def record(self: Any, data: Any = None, *_: Any, **options: Any) -> Any:
        given = {key: value for key, value in options.items() if value is not None}
        found.append(InterceptedRun(self.pipeline_name, data, given))
        return _NothingLoaded()

    kept = Pipeline.run
    Pipeline.run = record  # type: ignore[method-assign]
    try:
        yield found
    finally:
        Pipeline.run = kept  # type: ignore[method-assign]


def set_next_page(paginator: "BasePaginator", *, follows: bool) -> None:
    """Tell a paginator whether another page follows."""
    paginator._has_next_page = follows  # noqa: SLF001 - dlt has no public way


def next_reference(paginator: "BaseReferencePaginator") -> str | None:
    """The link or token that a paginator goes to next."""
    return paginator._next_reference  # noqa: SLF001 - dlt has no public way
