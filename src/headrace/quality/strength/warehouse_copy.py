"""A copy of a warehouse, in which a fault is put, what is downstream is built again, and tested.

The copy costs nothing: its tables are views of a file that is only read, and what a fault changes
takes their place in a transaction that is rolled back.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.exceptions import first_line
from headrace.fingerprints import Fingerprint, FingerprintQueries, differences
from headrace.quality.strength.mutations import rewritten
from headrace.quality.strength.project import (
    DataTest,
    ModelUnderTest,
    ModelUnitTest,
    Name,
    ProjectUnderTest,
    Raw,
)
from headrace.sql_text import identifier, literal, qualified

if TYPE_CHECKING:
    import duckdb

FILE = "__headrace_baseline"
_LEAST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Kill:
    """What found a fault.

    Attributes:
        by: ``data test``, ``unit test``, ``contract``, ``model`` (it could not be built), ``audit``
            (a published table lost all its rows) or ``time`` (it took far too long).
        name: of the test or model.
        message: why, in a line.
    """

    by: str
    name: str
    message: str


@dataclass(frozen=True, slots=True)
class FaultEffect:
    """What a fault did.

    Attributes:
        kill: what found it first; None where nothing did.
        changed: id of a model to its columns whose content changed; all that was built.
    """

    kill: Kill | None
    changed: Mapping[str, frozenset[str]]


class Stopped(Exception):  # noqa: N818 - no error: somebody asked for it
    """The copy was interrupted."""


class _Found(Exception):  # noqa: N818 - no error: it ends a trial
    def __init__(self, kill: Kill) -> None:
        super().__init__(kill.name)
        self.kill = kill


@dataclass
class Baseline:
    """What the models give without a fault.

    Attributes:
        prints: model id to its fingerprint.
        queries: what gives it.
        unstable: model id to the columns that differ from build to build.
        rows: model id to how many it has.
        unmeasured: ids of models that cannot be built here, and of all that read them.
        notes: sentences.
    """

    prints: dict[str, Fingerprint] = field(default_factory=dict)
    queries: dict[str, FingerprintQueries] = field(default_factory=dict)
    unstable: dict[str, frozenset[str]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    unmeasured: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


@dataclass
class _Trial:
    """One trial in progress."""

    dirty: set[str]
    changed: dict[str, frozenset[str]] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)  # tests


class WarehouseCopy:
    """The copy; of one thread.

    Args:
        project: what is in it.
        file: the warehouse as dbt built it; it is only read.
        memory_limit: of DuckDB, for example ``1GB``.
        spill: the folder that DuckDB spills to.
        seconds: the most that one trial takes.
    """

    def __init__(
        self,
        project: ProjectUnderTest,
        file: Path,
        *,
        memory_limit: str,
        spill: Path,
        seconds: float,
    ) -> None:
        import duckdb

        self.project = project
        self.seconds = seconds
        self.baseline = Baseline()
        self._is_stopped = False
        self._kills: dict[str, int] = {}
        self._cost: dict[str, float] = {}
        self._at = {model.id: place for place, model in enumerate(project.models)}
        self._tests: dict[str, list[DataTest]] = {}
        for test in project.data_tests:
            for parent in test.parents:
                self._tests.setdefault(parent, []).append(test)
        self.connection = duckdb.connect(
            ":memory:",
            config={"threads": "1", "memory_limit": memory_limit, "temp_directory": str(spill)},
        )
        self._run("set TimeZone = 'UTC'")
        self._run(f"attach {literal(str(file))} as {FILE} (read_only)")
        self._run(f"attach ':memory:' as {identifier(project.database)}")
        self._run(f"use {qualified(project.database, 'main')}")
        self._mirror()

    def close(self) -> None:
        """Forget it."""
        self.connection.close()

    def interrupt(self) -> None:
        """Stop what runs, and what would run next, from another thread."""
        self._is_stopped = True
        self.connection.interrupt()

    def query(self, sql: str) -> "duckdb.DuckDBPyConnection":
        """Run a query.

        Raises:
            Stopped: the copy was interrupted.
        """
        if self._is_stopped:
            raise Stopped
        return self.connection.execute(sql)

    def _mirror(self) -> None:
        """A view for each table of the file, and the views of models."""
        database = self.project.database
        found = self.connection.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = ?", [FILE]
        ).fetchall()
        for (schema,) in self.connection.execute(
            "select schema_name from duckdb_schemas() where database_name = ? and not internal",
            [FILE],
        ).fetchall():
            self._run(f"create schema if not exists {qualified(database, schema)}")
        for schema, table in found:
            self._run(
                f"create view {qualified(database, schema, table)} as "
                f"from {qualified(FILE, schema, table)}"
            )
        tables = {(schema, table) for schema, table in found}
        for model in self.project.models:
            if model.name is not None and model.name[1:] not in tables and model.sql is not None:
                self._guarded(model, partial(self._create, model, model.sql))

    def _guarded(self, model: ModelUnderTest, work: Callable[[], None]) -> None:
        import duckdb

        if model.parents & self.baseline.unmeasured:
            self.baseline.unmeasured.add(model.id)
            return
        try:
            work()
        except duckdb.Error as error:
            self.baseline.unmeasured.add(model.id)
            self.baseline.notes.append(f"{model.label} is not measured: {first_line(error)}")

    def measure_baseline(self) -> None:
        """Build each model from its SQL as it is, and compare with what dbt built.

        Columns that differ are not compared: they depend on the time, on chance or on the order of
        rows. The time that it takes bounds that of a trial.
        """
        began = time.monotonic()
        for model in self.project.models:
            if model.id in self.baseline.unmeasured or model.name is None:
                continue
            self._guarded(model, partial(self._measure, model))
        self.seconds = min(self.seconds, max(_LEAST_SECONDS, 3 * (time.monotonic() - began)))

    def _measure(self, model: ModelUnderTest) -> None:
        assert model.name is not None  # an ephemeral model is no table
        relation = qualified(*model.name)
        queries = FingerprintQueries.at(self.connection, relation, ())
        self.baseline.queries[model.id] = queries
        first = queries.fingerprint(self.connection)
        assert first is not None  # there is nothing that it could be the same as
        self.baseline.prints[model.id] = first
        self.baseline.rows[model.id] = int(str(first.whole[0]))
        sql = rewritten(model.sql) if model.sql else None
        if sql is None:
            return
        self._run("begin")
        try:
            self._create(model, sql)
            again = queries.fingerprint(self.connection)
        finally:
            self.connection.execute("rollback")
        assert again is not None
        self.baseline.unstable[model.id] = frozenset(differences(first, again)[0])
        if again.whole[0] != first.whole[0]:
            self.baseline.unmeasured.add(model.id)
            self.baseline.notes.append(
                f"{model.label} is not measured: its SQL gives other rows than dbt built"
            )
        elif self.baseline.unstable[model.id]:
            names = ", ".join(sorted(self.baseline.unstable[model.id]))
            self.baseline.notes.append(f"{model.label}: {names} are other values in each build")

    def is_valid(self, model: ModelUnderTest, sql: str) -> bool:
        """Whether DuckDB can run a mutant; one that it cannot is no fault that anybody makes."""
        import duckdb

        try:
            self._run(f"explain {sql}")
        except (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException):
            return False
        return True

    def try_model(
        self, model: ModelUnderTest, sql: str, units: Sequence[tuple[ModelUnitTest, str | None]]
    ) -> FaultEffect:
        """Build a model from other SQL, and what is downstream of it, until something finds it.

        Args:
            model: the model.
            sql: its mutant.
            units: its unit tests, each with the same mutant over the given rows.
        """
        trial = _Trial(dirty=set())
        with self._transaction(trial) as outcome:
            for unit, mutated in units:
                if mutated is not None:
                    self._run_unit_test(unit, mutated)
            self._build(model, sql, trial)
            if model.id in trial.dirty:
                self._run_tests(model.id, trial)
                self._rebuild(trial, after=self._at[model.id])
        return outcome[0]

    def try_raw(self, raw: Raw, sql: str) -> FaultEffect:
        """Put a fault into a raw table, and build what is downstream, until something finds it.

        Args:
            raw: the table.
            sql: a select over the table in the file that gives its rows with the fault.
        """
        trial = _Trial(dirty={raw.id})
        with self._transaction(trial) as outcome:
            relation = qualified(*raw.name)
            self._run(f"drop view {relation}")
            self._run(f"create table {relation} as {sql}")
            self._run_tests(raw.id, trial)
            self._rebuild(trial, after=-1)
        return outcome[0]

    @contextmanager
    def faulty(self, change: Callable[[], None]) -> Iterator[None]:
        """With a change that is undone at the end, for queries of the changed tables."""
        self._run("begin")
        try:
            change()
            yield
        finally:
            self.connection.execute("rollback")

    def put_raw(self, raw: Raw, sql: str) -> None:
        """Put a fault into a raw table and build all that is downstream; in a transaction."""
        relation = qualified(*raw.name)
        self._run(f"drop view {relation}")
        self._run(f"create table {relation} as {sql}")
        self._build_dirty({raw.id})

    def put_model(self, model: ModelUnderTest, sql: str) -> None:
        """Build a model from other SQL, and all that is downstream; in a transaction."""
        self._create(model, sql)
        self._build_dirty({model.id})

    def _build_dirty(self, dirty: set[str]) -> None:
        for model in self.project.models:
            if model.parents & dirty:
                dirty.add(model.id)
                if model.sql is not None and model.name is not None and self._is_measured(model):
                    self._create(model, model.sql)

    @contextmanager
    def _transaction(self, trial: _Trial) -> Iterator[list[FaultEffect]]:
        """A transaction that is rolled back; afterwards the list has what came of it."""
        import duckdb

        outcome: list[FaultEffect] = []
        kill: Kill | None = None
        timer = threading.Timer(self.seconds, self.connection.interrupt)
        timer.daemon = True
        began = time.monotonic()
        self._run("begin")
        timer.start()
        try:
            yield outcome
        except _Found as found:
            kill = found.kill
        except duckdb.InterruptException as error:
            if time.monotonic() - began < self.seconds:
                raise Stopped from error
            kill = Kill("time", "", f"it took more than {self.seconds:.0f} s")
        finally:
            timer.cancel()
            self.connection.execute("rollback")
        outcome.append(FaultEffect(kill, dict(trial.changed)))

    def _is_measured(self, model: ModelUnderTest) -> bool:
        return model.id not in self.baseline.unmeasured

    def _rebuild(self, trial: _Trial, *, after: int) -> None:
        for model in self.project.models[after + 1 :]:
            if not model.parents & trial.dirty or not self._is_measured(model):
                continue
            if model.name is None:
                trial.dirty.add(model.id)
            elif model.sql is not None:
                self._build(model, model.sql, trial)
            self._run_tests(model.id, trial)
        for id_ in sorted(trial.dirty):
            self._run_tests(id_, trial, at_end=True)

    def _build(self, model: ModelUnderTest, sql: str, trial: _Trial) -> None:
        """Build a model; what reads it is built only if its content changed."""
        import duckdb

        try:
            self._create(model, sql)
            changed = self._compare(model)
        except duckdb.InterruptException:
            raise
        except duckdb.Error as error:
            raise _Found(Kill("model", model.label, first_line(error))) from error
        if changed is None:
            return
        trial.dirty.add(model.id)
        trial.changed[model.id] = changed

    def _create(self, model: ModelUnderTest, sql: str) -> None:
        assert model.name is not None  # an ephemeral model is not built
        relation = qualified(*model.name)
        if model.is_view:
            self._run(f"create or replace view {relation} as\n{sql}\n")
            return
        self._run(f"drop view if exists {relation}")
        contract = model.contract
        if contract is None:
            self._run(f"create table {relation} as\n{sql}\n")
            return
        names = ", ".join(identifier(name) for name in contract.columns)
        self._run(
            f"create table {relation} as "
            f"select {names} from {qualified(FILE, *model.name[1:])} limit 0"
        )
        self._run(f"insert into {relation} select {names} from (\n{sql}\n)")
        for words, condition in contract.checks.items():
            row = self.query(f"select 1 from {relation} where not ({condition}) limit 1").fetchone()
            if row is not None:
                raise _Found(Kill("contract", model.label, words))
        for key in contract.keys:
            columns = ", ".join(identifier(name) for name in key)
            row = self.query(
                f"select 1 from {relation} group by {columns} having count(*) > 1 limit 1"
            ).fetchone()
            if row is not None:
                raise _Found(Kill("contract", model.label, f"{', '.join(key)}: unique"))

    def _compare(self, model: ModelUnderTest) -> frozenset[str] | None:
        """The columns whose content changed; None where nothing did."""
        assert model.name is not None
        old = self.baseline.prints[model.id]
        queries = FingerprintQueries.at(self.connection, qualified(*model.name), ())
        if queries.names != self.baseline.queries[model.id].names:
            return frozenset(queries.names)
        new = queries.fingerprint(self.connection, old.whole)
        if new is None:
            return None
        if model.is_published and self.baseline.rows[model.id] and not new.whole[0]:
            raise _Found(Kill("audit", model.label, "it lost all its rows"))
        unstable = self.baseline.unstable.get(model.id, frozenset())
        changed = differences(old, new)[0] - unstable
        if not changed and (unstable or old.whole[0] == new.whole[0]):
            # the same values in each column: rows that were put together in another way, unless
            # only the columns that are never the same differ, or the last digits of floats
            return None if unstable or self._has_floats(model) else frozenset(queries.names)
        return frozenset(changed or queries.names)

    def _has_floats(self, model: ModelUnderTest) -> bool:
        assert model.name is not None
        described = self.connection.execute(f"from {qualified(*model.name)} limit 0").description
        return any(str(column[1].id) in {"float", "double"} for column in described or ())

    def _run_tests(self, id_: str, trial: _Trial, *, at_end: bool = False) -> None:
        """The tests of a table that are not waiting for another that is still to be built."""
        if id_ not in trial.dirty:
            return
        place = self._at.get(id_, -1)
        tests = [
            test
            for test in self._tests.get(id_, ())
            if test.id not in trial.done
            and (at_end or all(self._at.get(parent, -1) <= place for parent in test.parents))
            and not test.parents & self.baseline.unmeasured
        ]
        tests.sort(key=lambda one: (-self._kills.get(one.id, 0), self._cost.get(one.id, 0.0)))
        for test in tests:
            trial.done.add(test.id)
            self._run_data_test(test)

    def _run_data_test(self, test: DataTest) -> None:
        import duckdb

        began = time.monotonic()
        try:
            row = self.query(test.sql).fetchone()
        except duckdb.InterruptException:
            raise
        except duckdb.Error as error:
            self._kills[test.id] = self._kills.get(test.id, 0) + 1
            raise _Found(Kill("data test", test.label, first_line(error))) from error
        self._cost[test.id] = time.monotonic() - began
        if row is not None and row[1]:
            self._kills[test.id] = self._kills.get(test.id, 0) + 1
            raise _Found(Kill("data test", test.label, f"failures: {row[0]}"))

    def _run_unit_test(self, unit: ModelUnitTest, sql: str) -> None:
        import duckdb

        try:
            rows = self.query(unit.compared.replace(unit.sql, sql)).fetchall()
        except duckdb.InterruptException:
            raise
        except duckdb.Error as error:
            raise _Found(Kill("unit test", unit.label, first_line(error))) from error
        actual = sorted(repr(row[:-1]) for row in rows if row[-1] == "actual")
        expected = sorted(repr(row[:-1]) for row in rows if row[-1] == "expected")
        if actual != expected:
            raise _Found(Kill("unit test", unit.label, "other rows than it expects"))

    def _run(self, sql: str) -> None:
        self.query(sql)


def baseline_relation(name: Name) -> str:
    """A table as the file has it, in SQL."""
    return qualified(FILE, *name[1:])
