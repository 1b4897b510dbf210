"""The run store: every run, its steps, loads and nodes. SQLite (WAL) by default, Postgres by URL.

The tables are plain, for any SQL client; `schema_version` in `meta` tells their layout.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headrace.errors import RunStoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

SCHEMA_VERSION = 1
INTERRUPTED = "interrupted"
RUNNING = "running"


@dataclass(frozen=True)
class Failure:
    """A node that failed, in words, and what it said."""

    label: str
    message: str


@dataclass(frozen=True)
class StoredRun:
    """A recorded run.

    Attributes:
        run_id: its id.
        command: what was run.
        status: ``running``, ``success``, ``failed``, ``error`` or ``interrupted``.
        target: the target's name.
        started_at: UTC.
        seconds: how long it took; None while it runs or when it was interrupted.
        rows_loaded: new and changed rows.
        failures: the nodes that failed, by label.
        error: the error's text, if it could not run.
        code_version: of the project.
    """

    run_id: str
    command: str
    status: str
    target: str
    started_at: datetime
    seconds: float | None
    rows_loaded: int | None
    failures: tuple[Failure, ...]
    error: str | None
    code_version: str


class RunStore:
    """Writes and reads the history of runs."""

    def __init__(self, url: str) -> None:
        """Open the store, and make its tables where there are none.

        Args:
            url: a SQLAlchemy URL.

        Raises:
            RunStoreError: it cannot be opened, or is of a newer version.
        """
        self._tables = _tables()
        with _explained(url):
            self._engine = _engine(url)
            self._tables["meta"].metadata.create_all(self._engine)
            self._check_version()
        self._url = url

    def _check_version(self) -> None:
        from sqlalchemy import insert, select

        meta = self._tables["meta"]
        with self._engine.begin() as connection:
            found = connection.execute(
                select(meta.c.value).where(meta.c.key == "schema_version")
            ).scalar()
            if found is None:
                connection.execute(
                    insert(meta).values(key="schema_version", value=str(SCHEMA_VERSION))
                )
            elif int(found) > SCHEMA_VERSION:
                raise RunStoreError(
                    f"the run store is of version {found}, this Headrace knows {SCHEMA_VERSION}: "
                    "upgrade Headrace, or set run_store.url to another one"
                )

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    @contextmanager
    def _begin(self) -> "Iterator[Connection]":
        with _explained(self._url), self._engine.begin() as connection:
            yield connection

    def begin_run(
        self, run_id: str, *, command: str, target: str, lock: str, code_version: str
    ) -> int:
        """Record that a run began; gives how many dead ones were found and marked.

        The caller holds the lock, so whatever still counts as running under it is dead.
        """
        from sqlalchemy import insert, update

        runs = self._tables["runs"]
        with self._begin() as connection:
            dead = connection.execute(
                update(runs)
                .where(runs.c.lock == lock, runs.c.status == RUNNING)
                .values(status=INTERRUPTED)
            ).rowcount
            connection.execute(
                insert(runs).values(
                    run_id=run_id,
                    command=command,
                    status=RUNNING,
                    target=target,
                    lock=lock,
                    started_at=datetime.now(UTC),
                    code_version=code_version,
                )
            )
        return dead

    def end_run(
        self,
        run_id: str,
        *,
        status: str,
        seconds: float,
        error: str | None,
        rows_loaded: int | None,
        published_path: str | None,
    ) -> None:
        """Record how a run ended."""
        from sqlalchemy import update

        runs = self._tables["runs"]
        with self._begin() as connection:
            connection.execute(
                update(runs)
                .where(runs.c.run_id == run_id)
                .values(
                    status=status,
                    seconds=seconds,
                    error=error,
                    rows_loaded=rows_loaded,
                    published_path=published_path,
                )
            )

    def add_step(self, run_id: str, step: str, status: str, seconds: float) -> None:
        """Record a step."""
        self._insert(
            "steps", [{"run_id": run_id, "step": step, "status": status, "seconds": seconds}]
        )

    def add_loads(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record the raw tables of a load step; the keys are the columns of ``loads``."""
        self._insert("loads", [{"run_id": run_id, **row} for row in rows])

    def add_nodes(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record dbt nodes; the keys are the columns of ``nodes``."""
        self._insert("nodes", [{"run_id": run_id, **row} for row in rows])

    def _insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        from sqlalchemy import insert

        if rows:
            with self._begin() as connection:
                connection.execute(insert(self._tables[table]), [dict(row) for row in rows])

    def last_runs(self, limit: int) -> list[StoredRun]:
        """The newest runs, newest first, with what failed in them."""
        from sqlalchemy import select

        runs, nodes = self._tables["runs"], self._tables["nodes"]
        with self._begin() as connection:
            found = (
                connection.execute(
                    select(runs)
                    .order_by(runs.c.started_at.desc(), runs.c.run_id.desc())
                    .limit(limit)
                )
                .mappings()
                .all()
            )
            ids = [row["run_id"] for row in found]
            failed = connection.execute(
                select(nodes.c.run_id, nodes.c.label, nodes.c.message)
                .where(nodes.c.run_id.in_(ids), nodes.c.status.in_(["fail", "error"]))
                .order_by(nodes.c.label)
            ).all()
        failures: dict[str, list[Failure]] = {}
        for run_id, label, message in failed:
            failures.setdefault(run_id, []).append(Failure(label, message or ""))
        return [
            StoredRun(
                run_id=row["run_id"],
                command=row["command"],
                status=row["status"],
                target=row["target"],
                started_at=_utc(row["started_at"]),
                seconds=row["seconds"],
                rows_loaded=row["rows_loaded"],
                failures=tuple(failures.get(row["run_id"], ())),
                error=row["error"],
                code_version=row["code_version"],
            )
            for row in found
        ]


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _tables() -> "dict[str, Table]":
    from sqlalchemy import (
        BigInteger,
        Column,
        DateTime,
        Float,
        ForeignKey,
        Index,
        Integer,
        MetaData,
        String,
        Table,
        Text,
    )

    metadata: MetaData = MetaData()
    moment = DateTime(timezone=True)

    def run_column() -> "Column[Any]":
        return Column("run_id", String(40), ForeignKey("runs.run_id"), nullable=False, index=True)

    def identity() -> "Column[Any]":
        return Column(
            "id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
        )

    Table(
        "meta",
        metadata,
        Column("key", String(40), primary_key=True),
        Column("value", Text, nullable=False),
    )
    Table(
        "runs",
        metadata,
        Column("run_id", String(40), primary_key=True),
        Column("command", String(200), nullable=False),
        Column("status", String(20), nullable=False),
        Column("target", String(80), nullable=False),
        Column("lock", Text, nullable=False),
        Column("started_at", moment, nullable=False),
        Column("seconds", Float),
        Column("rows_loaded", BigInteger),
        Column("published_path", Text),
        Column("error", Text),
        Column("code_version", String(80), nullable=False),
        Index("ix_runs_started_at", "started_at"),
    )
    Table(
        "steps",
        metadata,
        identity(),
        run_column(),
        Column("step", String(20), nullable=False),
        Column("status", String(20), nullable=False),
        Column("seconds", Float, nullable=False),
    )
    Table(
        "loads",
        metadata,
        identity(),
        run_column(),
        Column("source", String(200), nullable=False),
        Column("table", String(200), nullable=False),
        Column("rows_new", BigInteger, nullable=False),
        Column("rows_changed", BigInteger, nullable=False),
        Column("rows_total", BigInteger, nullable=False),
        Column("rows_quarantined", BigInteger, nullable=False),
        Column("new_columns", Text),
    )
    Table(
        "nodes",
        metadata,
        identity(),
        run_column(),
        Column("unique_id", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("label", Text, nullable=False),
        Column("resource_type", String(40), nullable=False),
        Column("status", String(20), nullable=False),
        Column("seconds", Float, nullable=False),
        Column("failures", BigInteger),
        Column("message", Text),
    )
    return dict(metadata.tables)


def _engine(url: str) -> "Engine":
    from sqlalchemy import create_engine, event, make_url

    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: object) -> None:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.execute("pragma foreign_keys = on")

    return engine


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn the database's errors into one sentence; a password is never in it."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        yield
    except (ArgumentError, NoSuchModuleError) as error:
        raise RunStoreError(
            "run_store.url is not a SQLAlchemy URL: write it like sqlite:////path/runs.sqlite or "
            "postgresql://user:password@host/database"
        ) from error
    except ModuleNotFoundError as error:
        raise RunStoreError(
            f"the run store needs {error.name}: install the extra, `uv sync --extra postgres`"
        ) from error
    except SQLAlchemyError as error:
        original = cast("Any", getattr(error, "orig", None)) or error
        first = str(original).strip().splitlines()[0]
        raise RunStoreError(
            f"the run store {_shown(url)} cannot be used: {first} (see run_store.url)"
        ) from error
    except OSError as error:
        raise RunStoreError(
            f"the run store {_shown(url)} cannot be written: {error.strerror or error}"
        ) from error


def _shown(url: str) -> str:
    from sqlalchemy import make_url

    return make_url(url).render_as_string(hide_password=True)
