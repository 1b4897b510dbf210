"""From the text of statements to their summaries, on several cores and kept on disk."""

import gc
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import get_ident
from typing import Any

import msgspec
import xxhash

from headrace import portable
from headrace.errors import LineageError
from headrace.exceptions import first_line
from headrace.lineage.sql.tree import Summary
from headrace.process import gc_paused

FILE_NAME = "column_lineage.msgpack"
LARGE = 64 * 1024 * 1024
"""Bytes; beyond it, what the newest run did not use is dropped."""

_CHECKSUM = 16


def keys(statements: Iterable[tuple[str, str]]) -> list[bytes]:
    """The keys of statements: a hash of text, dialect, and the versions of what reads them.

    Args:
        statements: SQL and dialect.
    """
    digest = xxhash.xxh3_128_digest
    readers = f"\0{ENGINE}\0{sqlglot_version()}\0"
    return [digest((dialect + readers + sql).encode()) for sql, dialect in statements]


@lru_cache(maxsize=1)
def sqlglot_version() -> str:
    """Of the installed sqlglot, by the name of its record; ``importlib.metadata`` takes 25 ms."""
    found = find_spec("sqlglot")
    if found is not None and found.origin is not None:
        records = sorted(Path(found.origin).parents[1].glob("sqlglot-*.dist-info"))
        if len(records) == 1:
            return records[0].name.removeprefix("sqlglot-").removesuffix(".dist-info")
    from importlib.metadata import version

    return version("sqlglot")


class SummaryCache:
    """The summaries of statements that were read before.

    Attributes:
        reused: how many statements it knew.
    """

    def __init__(self, directory: Path | None) -> None:
        """Open it.

        Args:
            directory: where its file is; None: it starts empty and is not written.
        """
        self._path = directory / FILE_NAME if directory is not None else None
        self._stored: dict[bytes, msgspec.Raw] = _load(self._path) if self._path else {}
        self._new: dict[bytes, Summary] = {}
        self._used: set[bytes] = set()
        self._decoder = msgspec.msgpack.Decoder(Summary)
        self.reused = 0

    def get(self, key: bytes) -> Summary | None:
        """The summary of a statement, if it is known."""
        raw = self._stored.get(key)
        if raw is None:
            return None
        try:
            found = self._decoder.decode(raw)
        except (msgspec.DecodeError, msgspec.ValidationError):
            del self._stored[key]
            return None
        self._used.add(key)
        self.reused += 1
        return found

    def add(self, summaries: Mapping[bytes, Summary]) -> None:
        """Keep new summaries."""
        self._new.update(summaries)

    def save(self) -> None:
        """Write it, if something is new; a disk that is full or read-only is no error."""
        if self._path is None or not self._new:
            return
        kept = self._stored
        if sum(map(len, kept.values())) > LARGE:
            kept = {key: raw for key, raw in kept.items() if key in self._used}
        encoder = msgspec.msgpack.Encoder()
        new = {key: msgspec.Raw(encoder.encode(summary)) for key, summary in self._new.items()}
        body = encoder.encode({**kept, **new})
        with suppress(OSError):
            portable.write_file(self._path, xxhash.xxh3_128_digest(body) + body)


def _load(path: Path) -> dict[bytes, msgspec.Raw]:
    try:
        content = path.read_bytes()
    except OSError:
        return {}
    body = content[_CHECKSUM:]
    if xxhash.xxh3_128_digest(body) != content[:_CHECKSUM]:
        return {}
    try:
        return msgspec.msgpack.decode(body, type=dict[bytes, msgspec.Raw])
    except msgspec.MsgspecError:
        return {}


ENGINE = 7
"""Goes up with every change of what a summary says; summaries of another one are not used."""

_SHOWN = 200
_DEPTH = 400
"""Parentheses in each other; sqlglot's compiled parser may overrun the stack far beyond it."""

PAYS = 1_500_000
"""Characters of SQL; below it, starting processes takes longer than reading."""

_CHUNK = 64

_ADAPTERS = {
    "alloydb": "postgres",
    "athena": "athena",
    "azuresql": "tsql",
    "bigquery": "bigquery",
    "clickhouse": "clickhouse",
    "databricks": "databricks",
    "doris": "doris",
    "dremio": "dremio",
    "duckdb": "duckdb",
    "exasol": "exasol",
    "fabric": "fabric",
    "fabricspark": "spark",
    "glue": "spark",
    "greenplum": "postgres",
    "hive": "hive",
    "impala": "hive",
    "materialize": "materialize",
    "mysql": "mysql",
    "mysql5": "mysql",
    "mariadb": "mysql",
    "oracle": "oracle",
    "postgres": "postgres",
    "presto": "presto",
    "redshift": "redshift",
    "risingwave": "risingwave",
    "sail": "spark",
    "singlestore": "singlestore",
    "snowflake": "snowflake",
    "spark": "spark",
    "sqlite": "sqlite",
    "sqlserver": "tsql",
    "starburst": "trino",
    "starrocks": "starrocks",
    "synapse": "tsql",
    "teradata": "teradata",
    "tidb": "mysql",
    "trino": "trino",
    "vertica": "postgres",
}
"""Names of dbt's adapters, and sqlglot's of the SQL that they take."""

UNEXPECTED = (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What sqlglot's tree of an unusual statement may raise: a problem of that one statement."""


def unexpected(error: Exception) -> str:
    """The problem that is reported of it."""
    return f"its SQL has a form that is not supported ({type(error).__name__}: {error})"


def dialect_of_adapter(adapter: str | None) -> str | None:
    """sqlglot's name of the SQL of one of dbt's adapters; None where it is not known."""
    return _ADAPTERS.get((adapter or "").lower())


def summarize(sql: str, dialect: str) -> Summary:
    """Read a statement once.

    Args:
        sql: one statement, as the engine gets it.
        dialect: sqlglot's name: ``duckdb``, ``postgres``, ``snowflake``, ...

    Returns:
        What it says about columns. A statement that cannot be read has no query and one problem.

    Raises:
        LineageError: sqlglot does not know the dialect.
    """
    from sqlglot.errors import SqlglotError

    reader = _dialect(dialect)
    if _depth(sql) > _DEPTH:
        return Summary(None, problems=("its parentheses are nested too deeply to be read",))
    try:
        with _quiet():
            statements = [one for one in reader.parse(sql) if one is not None]
        return _read(statements, dialect)
    except RecursionError:
        return Summary(None, problems=("it is nested too deeply to be read",))
    except SqlglotError as error:
        return Summary(None, problems=(_where(error),))
    except UNEXPECTED as error:
        return Summary(None, problems=(unexpected(error),))


def summarize_all(
    statements: Sequence[tuple[str, str]], *, workers: int | None = None
) -> list[Summary]:
    """Read statements.

    Args:
        statements: SQL and dialect.
        workers: processes; None: one for each core if there is enough to read, else none.

    Returns:
        Their summaries, in order.
    """
    if workers is None:
        enough = sum(len(sql) for sql, _ in statements) > PAYS
        workers = portable.cores() if enough else 1
    if workers < 2 or len(statements) < 2:
        return _in_turn(statements)
    return _in_processes(statements, workers)


def _in_turn(statements: Sequence[tuple[str, str]]) -> list[Summary]:
    found = []
    with gc_paused():
        for number, (sql, dialect) in enumerate(statements, 1):
            found.append(summarize(sql, dialect))
            if number % _CHUNK == 0:
                gc.collect(0)  # sqlglot's trees, which point both up and down
    return found


def _in_processes(statements: Sequence[tuple[str, str]], workers: int) -> list[Summary]:
    """In spawned processes, or in this one where none can be started."""
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    import msgspec

    size = max(1, min(_CHUNK, -(-len(statements) // workers)))
    chunks = [statements[start : start + size] for start in range(0, len(statements), size)]
    decode = msgspec.msgpack.Decoder(list[Summary]).decode
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            encoded = list(pool.map(_chunk, chunks))
    except (BrokenProcessPool, OSError):
        return _in_turn(statements)
    return [summary for one in encoded for summary in decode(one)]


def _chunk(statements: Sequence[tuple[str, str]]) -> bytes:
    import msgspec

    return msgspec.msgpack.encode(_in_turn(statements))


def _read(statements: list[Any], dialect: str) -> Summary:
    from headrace.lineage.sql.queries import Reader

    if not statements:
        return Summary(None, problems=("it has no SQL",))
    if len(statements) > 1:
        return Summary(None, problems=("it has more than one statement",))
    found = statements[0]
    if not _is_query(found):
        kind = type(found).__name__.lower()
        return Summary(None, problems=(f"its SQL is not a query but a {kind} statement",))
    reader = Reader(dialect)
    query = reader.query(found)
    ctes = {(name,) for name in reader.ctes}
    tables = tuple([parts for parts in reader.tables if parts not in ctes])
    return Summary(query, tables, tuple(reader.problems))


def _is_query(node: Any) -> bool:
    from sqlglot import exp

    return isinstance(node, (exp.Query, exp.Values, exp.Pivot))


def _dialect(name: str) -> Any:
    from sqlglot.dialects.dialect import Dialect

    try:
        return Dialect.get_or_raise(name)
    except ValueError as error:
        raise LineageError(f"no SQL dialect is called {name!r}: {error}") from error


def _where(error: Exception) -> str:
    """What sqlglot says, without the SQL that it shows and the classes that it names."""
    errors = getattr(error, "errors", None)
    if not errors:
        return f"its SQL cannot be parsed: {first_line(error)[:_SHOWN]}"
    first = errors[0]
    said = str(first.get("description") or "").rstrip(". ")
    reason = f": {said}" if said and "<" not in said else ""
    return f"its SQL cannot be parsed at line {first['line']}, column {first['col']}{reason}"


def _depth(sql: str) -> int:
    """How deep its parentheses go, at most; those in strings count too."""
    if sql.count("(") <= _DEPTH:
        return 0
    depth = deepest = 0
    for character in sql:
        if character == "(":
            depth += 1
            deepest = max(deepest, depth)
        elif character == ")":
            depth -= 1
    return deepest


class _Silent(logging.Filter):
    """Lets nothing pass that this thread logs."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread != self._thread


@contextmanager
def _quiet() -> Iterator[None]:
    """Without sqlglot's warnings: what it does not understand is reported as a problem."""
    logger = logging.getLogger("sqlglot")
    silent = _Silent()
    logger.addFilter(silent)
    try:
        yield
    finally:
        logger.removeFilter(silent)
