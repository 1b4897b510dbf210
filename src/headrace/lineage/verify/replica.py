"""A copy of the warehouse in memory: a sample of the raw tables, and all models built from it.

A perturbation is a transaction that is rolled back: the raw table is replaced, what is downstream
is built again, fingerprinted and dropped. Where the rows of a model come out unchanged, what reads
it is not built, for it cannot differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.exceptions import first_line
from headrace.fingerprints import Fingerprint, FingerprintQueries, differences
from headrace.lineage.verify.plan import BuiltModel, UnbuiltRelation, VerifyPlan, without_itself
from headrace.lineage.verify.strategies import expressions
from headrace.sql_text import identifier, literal, qualified

if TYPE_CHECKING:
    import duckdb


SAMPLE = "__headrace_sample"
BUILDS_DIFFER = "differs from build to build"
ORDER_MATTERS = "depends on the order of rows"


@dataclass(frozen=True, slots=True)
class TrialEffect:
    """What one strategy on one raw column did.

    Attributes:
        values: (asset, column) whose multiset of values changed.
        pairs: (asset, column) whose multiset of (key, value) changed.
        failed: model id to DuckDB's message.
        builds: models built.
    """

    values: frozenset[tuple[str, str]]
    pairs: frozenset[tuple[str, str]]
    failed: Mapping[str, str]
    builds: int


@dataclass
class ReplicaBaseline:
    """The models with the data as they are.

    Attributes:
        prints: model id to its fingerprint.
        failed: model id to DuckDB's message; what reads it is not built either.
        unstable: (asset, column) to the reason.
        loose: ids of models that have unstable columns.
        notes: sentences.
    """

    prints: dict[str, Fingerprint] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unstable: dict[tuple[str, str], str] = field(default_factory=dict)
    loose: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


class Replica:
    """The copy; of one thread."""

    def __init__(self, plan: VerifyPlan, sample: Path, *, memory_limit: str) -> None:
        import duckdb

        self._plan = plan
        config = {"threads": "1", "memory_limit": memory_limit}
        self._connection = duckdb.connect(":memory:", config=dict(config))
        self._run(f"attach {literal(str(sample))} as {SAMPLE} (read_only)")
        names = [raw.name for raw in plan.raws.values()]
        names += [model.name for model in plan.models if model.name is not None]
        for database in sorted({name[0] for name in names}):
            if database != "memory":
                self._run(f"attach ':memory:' as {identifier(database)}")
        for database, schema in sorted({name[:2] for name in names}):
            self._run(f"create schema if not exists {qualified(database, schema)}")
        if plan.models and plan.models[0].name:
            self._run(f"use {qualified(plan.models[0].name[0], 'main')}")
        self._sql: dict[str, str] = {model.id: model.sql for model in plan.models}
        self._queries: dict[str, FingerprintQueries] = {}
        self._before: dict[tuple[str, str], object] = {}
        self._load(reverse=False)
        self.baseline = ReplicaBaseline()

    def close(self) -> None:
        """Forget it."""
        self._connection.close()

    def interrupt(self) -> None:
        """Stop what runs, from another thread."""
        self._connection.interrupt()

    def build_baseline(self) -> ReplicaBaseline:
        """Build all models; then twice more, to find columns that differ by themselves."""
        base = self.baseline
        self._build_all(base, find_failures=True)
        for reverse, reason in ((False, BUILDS_DIFFER), (True, ORDER_MATTERS)):
            self._run("begin")
            try:
                if reverse:
                    self._load(reverse=True)
                again = ReplicaBaseline(failed=base.failed)
                self._build_all(again, find_failures=False)
            finally:
                self._run("rollback")
            for key, prints in again.prints.items():
                values, pairs = differences(base.prints[key], prints)
                for column in values | pairs:
                    base.unstable.setdefault((key, column), reason)
                    base.loose.add(key)
        return base

    def columns(self, raw: UnbuiltRelation) -> tuple[str, ...]:
        """Of a raw table, those to perturb."""
        if raw.columns == ():
            return ()
        found = self._connection.execute(f"from {qualified(*raw.name)} limit 0").description or []
        names = tuple(str(column[0]) for column in found)
        if raw.columns is None:
            return names
        folded = {name.casefold() for name in raw.columns}
        return tuple(name for name in names if name.casefold() in folded)

    def strategies(self, raw: UnbuiltRelation, column: str) -> dict[str, str]:
        """Strategy to SQL expression."""
        table = qualified(*raw.name)
        sql = f"select {identifier(column)} from {table} limit 0"
        described = self._connection.execute(sql).description
        assert described is not None  # a select has columns
        return expressions(identifier(column), described[0][1], table)

    def perturb(self, raw: UnbuiltRelation, column: str, expression: str) -> TrialEffect | None:
        """Change a column, build what is downstream, compare, and undo it.

        Returns:
            What changed; None when the column holds what it held before.
        """
        failed: dict[str, str] = {}
        builds = 0
        while True:  # DuckDB ends a transaction in which a statement failed: begin a new one
            self._run("begin")
            try:
                if not self._replace(raw, column, expression):
                    return None
                seen, failure = self._rebuild(raw.id, failed)
            finally:
                self._run("rollback")
            builds += seen.builds
            if failure is None:
                return TrialEffect(seen.values, seen.pairs, failed, builds)
            failed[failure[0]] = failure[1]

    def _replace(self, raw: UnbuiltRelation, column: str, expression: str) -> bool:
        table, name = qualified(*raw.name), identifier(column)
        # not rowid: in a table that this transaction made it starts elsewhere
        look = (
            f"select sum(hash(place, value)) from "
            f"(select row_number() over () as place, {name} as value from {table})"
        )
        if (raw.id, column) not in self._before:
            self._before[raw.id, column] = self._value(look)
        ordered = "window in_order as (order by rowid)" if "in_order" in expression else ""
        self._run(
            f"create or replace table {table} as "
            f"select * replace ({expression} as {name}) from {table} {ordered} order by rowid"
        )
        return self._value(look) != self._before[raw.id, column]

    def _rebuild(
        self, raw: str, known_failures: Mapping[str, str]
    ) -> tuple[TrialEffect, tuple[str, str] | None]:
        import duckdb

        base = self.baseline
        values: set[tuple[str, str]] = set()
        pairs: set[tuple[str, str]] = set()
        dirty, blocked = {raw}, {*known_failures, *base.failed}
        builds = 0
        failure: tuple[str, str] | None = None
        for model in self._plan.models:
            if model.parents & blocked:
                blocked.add(model.id)
            if model.id in blocked or not model.parents & dirty:
                continue
            if model.name is None:
                dirty.add(model.id)
                continue
            try:
                old = base.prints[model.id]
                prints = self._build(model, None if model.id in base.loose else old.whole)
            except duckdb.Error as error:
                failure = (model.id, first_line(error))
                break
            builds += 1
            if prints is None:
                continue
            dirty.add(model.id)
            by_value, by_pair = differences(old, prints)
            values.update((model.id, name) for name in by_value)
            pairs.update((model.id, name) for name in by_pair)
        return TrialEffect(frozenset(values), frozenset(pairs), known_failures, builds), failure

    def _build_all(self, base: ReplicaBaseline, *, find_failures: bool) -> None:
        import duckdb

        blocked = set(base.failed)
        for model in self._plan.models:
            reason = next((key for key in sorted(model.parents) if key in blocked), None)
            if model.id in blocked or reason is not None:
                blocked.add(model.id)
                if find_failures:
                    base.failed[model.id] = f"{reason} could not be built"
                continue
            if model.name is None:
                continue
            try:
                if find_failures and model.reads_itself:
                    self._make_fresh(model, base)
                prints = self._build(model)
                assert prints is not None  # there is nothing that it could be the same as
                base.prints[model.id] = prints
            except duckdb.Error as error:
                if not find_failures:
                    raise
                base.failed[model.id] = first_line(error)
                blocked.add(model.id)

    def _make_fresh(self, model: BuiltModel, base: ReplicaBaseline) -> None:
        """Build an incremental model as a full refresh does, whatever it was compiled for."""
        fresh = without_itself(model.sql, model.name or ("", "", ""))
        if fresh is None:
            base.notes.append(
                f"{model.id} was compiled as an incremental build over its own rows, and its SQL "
                "of a full refresh is not known: run `headrace run --full-refresh` before the check"
            )
        else:
            self._sql[model.id] = fresh

    def _build(
        self, model: BuiltModel, unless: tuple[object, ...] | None = None
    ) -> Fingerprint | None:
        """Its fingerprint; None when its rows are those of ``unless``."""
        assert model.name is not None  # an ephemeral model is not built
        relation = qualified(*model.name)
        self._run(f"create or replace table {relation} as\n{self._sql[model.id]}\n")
        look = self._queries.get(model.id)
        if look is None:
            look = self._queries[model.id] = FingerprintQueries.at(
                self._connection, relation, model.key
            )
        return look.fingerprint(self._connection, unless)

    def _load(self, *, reverse: bool) -> None:
        order = " order by rowid desc" if reverse else ""
        for at, raw in enumerate(self._plan.raws.values()):
            self._run(
                f"create or replace table {qualified(*raw.name)} as from {SAMPLE}.main.r{at}{order}"
            )

    def _run(self, sql: str) -> None:
        self._connection.execute(sql)

    def _value(self, sql: str) -> object:
        row = self._connection.execute(sql).fetchone()
        return row[0] if row else None


def take_sample(
    connection: "duckdb.DuckDBPyConnection", plan: VerifyPlan, source: str, *, rows: int
) -> dict[str, int]:
    """Copy the first rows of each raw table into the sample, which is attached.

    Args:
        connection: to which the sample and the warehouse are attached.
        plan: names the tables.
        source: alias of the warehouse.
        rows: of each table at most.

    Returns:
        Table id to its rows in the warehouse.
    """
    counts: dict[str, int] = {}
    for at, raw in enumerate(plan.raws.values()):
        relation = qualified(source, *raw.name[1:])
        row = connection.execute(f"select count(*) from {relation}").fetchone()
        connection.execute(f"create table {SAMPLE}.main.r{at} as from {relation} limit {rows}")
        counts[raw.id] = int(row[0]) if row else 0
    return counts
