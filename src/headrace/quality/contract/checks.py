"""The promises of a contract as checks of a table: schema, quality rules, freshness, retention.

Each check is one query over a DuckDB connection that reads the table, whatever engine has it.
Source of the metrics and operators: Open Data Contract Standard 3.1, "Data quality".
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from headrace.formatting import count, one_line
from headrace.quality.contract import keywords
from headrace.quality.contract.document import Contract
from headrace.quality.contract.service_levels import ServiceLevel, service_levels
from headrace.sql_text import identifier, identifiers, literal

if TYPE_CHECKING:
    import duckdb
    from open_data_contract_standard.model import (
        DataQuality,
        SchemaObject,
        SchemaProperty,
    )

CheckStatus = Literal["pass", "fail", "warn", "error", "skipped"]
_WARNS = frozenset({"warn", "warning", "info", "low", "minor"})
_METRICS = {"nullCheck": "nullValues", "uniqueCheck": "duplicateValues",
            "duplicateCount": "duplicateValues", "validValues": "invalidValues"}  # fmt: skip
"""Names of 3.0, which has ``rule`` where 3.1 has ``metric``."""


class ContractCheck(BaseModel):
    """A promise, and whether it is kept."""

    model_config = ConfigDict(frozen=True)

    contract: str
    table: str = Field(description="`schema.table`, or the contract's name of one that is missing")
    column: str | None = None
    kind: Literal["schema", "quality", "freshness", "frequency", "retention", "service level"]
    name: str = Field(description="the promise: `required`, a metric, the name of a rule")
    status: CheckStatus
    said: str = Field("", description="what was found, and what was promised")
    query: str = Field("", description="what finds the rows, or measures the promise")

    @property
    def label(self) -> str:
        """``orders.amount: required``."""
        where = f"{self.table}.{self.column}" if self.column else self.table
        return f"{where}: {self.name}"


@dataclass(frozen=True)
class ContractTable:
    """A table that a contract is about.

    Attributes:
        name: ``schema.table``.
        quoted: in SQL of the connection.
        columns: their DuckDB types by name.
        loaded_sql: when it was last loaded, for a freshness without a column; None if unknown.
    """

    name: str
    quoted: str
    columns: Mapping[str, str]
    loaded_sql: str | None = None


Part = Literal["data", "service levels"]
"""Of a contract: what rows break, and what time breaks."""
Find = Callable[["SchemaObject"], ContractTable | None]
"""Finds the table of an object of a contract; None where there is none."""


def check_contract(
    contract: Contract,
    connection: "duckdb.DuckDBPyConnection",
    find: Find,
    *,
    objects: "Iterable[SchemaObject] | None" = None,
    parts: Collection[Part] = ("data", "service levels"),
    seconds: float = 60.0,
    resolve: Callable[[str], tuple[str, str] | None] = lambda _: None,
) -> tuple[ContractCheck, ...]:
    """Check the promises of a contract.

    Args:
        contract: it.
        connection: reads the tables; it should see nothing else.
        find: the table of an object.
        objects: of these tables only.
        parts: these only.
        seconds: that all queries may take; what is not done by then is an error.
        resolve: ``customers.id`` as the quoted table and column that it means, for relationships.
    """
    checks: list[ContractCheck] = []
    ends = time.monotonic() + seconds
    for each in contract.objects if objects is None else objects:
        table = find(each)
        if table is None:
            name = str(each.physicalName or each.name)
            said = f"there is no table {name}"
            if "data" in parts:
                checks.append(_made(contract, name, None, "schema", "exists", "fail", said))
            continue
        checker = _Checker(contract, connection, table, each, ends, resolve)
        if "data" in parts:
            checks += [*checker.schema(), *checker.quality()]
        if "service levels" in parts:
            checks += checker.service_levels()
    return tuple(checks)


def _made(
    contract: Contract, table: str, column: str | None, kind: Any, name: str, status: CheckStatus,
    said: str = "", query: str = "",
) -> ContractCheck:  # fmt: skip
    return ContractCheck(
        contract=contract.label, table=table, column=column, kind=kind, name=name, status=status,
        said=said, query=query,
    )  # fmt: skip


@dataclass(frozen=True)
class _Checker:
    """The checks of one table."""

    contract: Contract
    connection: "duckdb.DuckDBPyConnection"
    table: ContractTable
    of: "SchemaObject"
    ends: float
    resolve: Callable[[str], tuple[str, str] | None]

    def schema(self) -> Iterator[ContractCheck]:
        """Whether the columns are there, have their types, and keep to their constraints."""
        keys = []
        for column in self.of.properties or ():
            name = self._name(column)
            if name is None:
                shown = str(column.physicalName or column.name)
                yield self._check(shown, "schema", "exists", "fail", "the column is missing")
                continue
            yield self._type(column, name)
            yield from self._constraints(column, name)
            if column.primaryKey:
                keys.append((column.primaryKeyPosition or 0, name))
        key = [name for _, name in sorted(keys, key=lambda one: one[0])]
        if key:
            repeated = (
                f"select {identifiers(key)}, count(*) as number_of_rows from {self.table.quoted} "
                f"group by {identifiers(key)} having count(*) > 1"
            )
            yield self._none(None, "primary key", repeated, "repeated key")
            for name in key:
                yield self._none(name, "primary key", self._rows(f"{identifier(name)} is null"),
                                 "null")  # fmt: skip

    def quality(self) -> Iterator[ContractCheck]:
        """The quality rules of the table and of its columns."""
        for rule in self.of.quality or ():
            yield self._quality(rule, None)
        for column in self.of.properties or ():
            name = self._name(column)
            for rule in (column.quality or ()) if name is not None else ():
                yield self._quality(rule, name)

    def service_levels(self) -> Iterator[ContractCheck]:
        """Freshness, frequency, availability and retention of this table."""
        names = {self.table.name, self.table.name.rpartition(".")[2]}
        for promise in service_levels(self.contract, self.of, names, self.table.columns):
            if promise.problem or promise.kind in {"other", "availability"}:
                said = promise.problem or "`headrace quality status` says whether it is kept"
                yield self._check(promise.column, "service level", promise.name, "skipped", said)
            else:
                yield self._age(promise)

    def _name(self, column: "SchemaProperty") -> str | None:
        """What the table calls a column; None if it has none of that name."""
        wanted = str(column.physicalName or column.name).casefold()
        return next((one for one in self.table.columns if one.casefold() == wanted), None)

    def _check(
        self, column: str | None, kind: Any, name: str, status: CheckStatus, said: str = "",
        query: str = "",
    ) -> ContractCheck:  # fmt: skip
        table = self.table.name
        return _made(self.contract, table, column, kind, name, status, said, query)

    def _type(self, column: "SchemaProperty", name: str) -> ContractCheck:
        there = self.table.columns[name]
        if column.physicalType:
            wanted = self._canonical(column.physicalType)
            if wanted is not None:
                if wanted == there:
                    return self._check(name, "schema", "type", "pass")
                said = f"the type is {there}, promised {column.physicalType}"
                return self._check(name, "schema", "type", "fail", said)
        kinds = keywords.LOGICAL.get(column.logicalType or "")
        if kinds is None:
            return self._check(name, "schema", "exists", "pass")
        if any(there.startswith(one) or there.endswith(one) for one in kinds):
            return self._check(name, "schema", "type", "pass")
        said = f"the type is {there}, promised {column.logicalType}"
        return self._check(name, "schema", "type", "fail", said)

    def _canonical(self, type_: str) -> str | None:
        """DuckDB's name of a type; None of one that only another engine has."""
        import duckdb

        try:
            (row,) = self.connection.execute(f"describe select cast(null as {type_})").fetchall()
        except (duckdb.Error, ValueError):
            return None
        return str(row[1])

    def _constraints(self, column: "SchemaProperty", name: str) -> Iterator[ContractCheck]:
        quoted = identifier(name)
        if column.required and not column.primaryKey:
            yield self._none(name, "required", self._rows(f"{quoted} is null"), "null")
        if column.unique:
            repeated = (
                f"select {quoted}, count(*) as number_of_rows from {self.table.quoted} "
                f"where {quoted} is not null group by 1 having count(*) > 1"
            )
            yield self._none(name, "unique", repeated, "repeated value")
        values = [one.value for one in column.enum or ()]
        if values:
            listed = ", ".join(literal(str(one)) for one in values)
            rows = self._rows(f"{quoted}::varchar not in ({listed})")
            yield self._none(name, "enum", rows, "other value")
        for option, condition in keywords.options(quoted, column.logicalTypeOptions or {}):
            yield self._none(name, option, self._rows(condition), "row", "beyond it")
        for one in column.relationships or ():
            to = one.to if isinstance(one.to, str) else None
            found = self.resolve(to) if to else None
            if found is None:
                said = f"{to or 'a relationship'} is not known here"
                yield self._check(name, "schema", "relationship", "skipped", said)
                continue
            rows = self._rows(
                f"{quoted} is not null and {quoted} not in (select {found[1]} from {found[0]} "
                f"where {found[1]} is not null)"
            )
            yield self._none(name, f"relationship to {to}", rows, "row", "without one")

    def _rows(self, condition: str) -> str:
        return f"select * from {self.table.quoted} where {condition}"

    def _none(
        self, column: str | None, name: str, rows: str, noun: str, tail: str = ""
    ) -> ContractCheck:
        """A promise that a query finds no row."""
        number, wrong = self._number(f"select count(*) from ({rows}) as found")
        if wrong:
            return self._check(column, "schema", name, "error", wrong, rows)
        if not number:
            return self._check(column, "schema", name, "pass", "", rows)
        return self._check(
            column, "schema", name, "fail", f"{count(int(number), noun)} {tail}".rstrip(), rows
        )

    def _quality(self, rule: "DataQuality", column: str | None) -> ContractCheck:
        metric = rule.metric or rule.rule
        name = str(rule.name or metric or rule.description or rule.type or "rule")
        kind = (rule.type or ("library" if metric else "text")).casefold()
        if kind == "sql" and rule.query:
            query = self._filled(rule.query, column)
        elif kind == "library" and metric:
            metric = _METRICS.get(metric, metric)
            found = self._metric(metric, rule, column)
            if found is None:
                said = f"the metric {metric} is not known"
                return self._check(column, "quality", name, "skipped", said)
            query = found
        else:
            said = f"of kind {kind}{f' ({rule.engine})' if rule.engine else ''}: not run here"
            return self._check(column, "quality", name, "skipped", said)
        expected = list(keywords.expected(rule))
        if not expected and kind == "library":
            is_count = metric == "rowCount"
            expected = [keywords.MORE_THAN_0 if is_count else keywords.NONE]
        if not expected:
            said = "it says nothing of what must be: give mustBe, mustBeBetween, ..."
            return self._check(column, "quality", name, "skipped", said, query)
        number, wrong = self._number(query)
        if wrong:
            return self._check(column, "quality", name, "error", wrong, query)
        broken = [words for words, holds in expected if number is None or not holds(number)]
        if not broken:
            return self._check(column, "quality", name, "pass", "", query)
        unit = "%" if rule.unit == "percent" else ""
        is_ = "there is no value" if number is None else f"it is {keywords.shown(number)}{unit}"
        status: CheckStatus = "warn" if (rule.severity or "").casefold() in _WARNS else "fail"
        said = f"{is_}, promised {' and '.join(f'{one}{unit}' for one in broken)}"
        return self._check(column, "quality", name, status, said, query)

    def _filled(self, query: str, column: str | None) -> str:
        quoted = identifier(column) if column else ""
        for names, text in (
            (("object", "table", "model", "schema"), self.table.quoted),
            (("property", "column", "field"), quoted),
        ):
            for name in names:
                query = query.replace(f"${{{name}}}", text).replace(f"{{{name}}}", text)
        return query.strip().rstrip(";")

    def _metric(self, metric: str, rule: "DataQuality", column: str | None) -> str | None:
        """A query for a metric of the standard's library: a number of rows, or percent of all."""
        table, given = self.table.quoted, rule.arguments or {}
        if metric == "rowCount":
            return f"select count(*) from {table}"
        if metric == "duplicateValues":
            named = [str(one) for one in given.get("properties", ())]
            known = {one.casefold(): one for one in self.table.columns}
            columns = [known[one.casefold()] for one in named if one.casefold() in known]
            columns = columns or ([column] if column else [])
            if not columns or len(columns) < len(named):
                return None
            filled = " and ".join(f"{identifier(one)} is not null" for one in columns)
            found = (
                f"select coalesce(sum(n - 1), 0) from (select count(*) as n from {table} where "
                f"{filled} group by {identifiers(columns)}) as counted"
            )
            share = f"coalesce(100.0 * ({found}) / nullif(count(*), 0), 0)"
            return f"select {share} from {table}" if rule.unit == "percent" else found
        if column is None:
            return None
        quoted = identifier(column)
        if metric == "nullValues":
            condition = f"{quoted} is null"
        elif metric == "missingValues":
            listed = ", ".join(literal(str(one)) for one in given.get("missingValues", ())
                               if one is not None)  # fmt: skip
            condition = f"{quoted} is null" + (
                f" or {quoted}::varchar in ({listed})" if listed else ""
            )
        elif metric == "invalidValues":
            parts = []
            if values := given.get("validValues"):
                listed = ", ".join(literal(str(one)) for one in values)
                parts.append(f"{quoted}::varchar not in ({listed})")
            if pattern := given.get("pattern"):
                parts.append(f"not regexp_matches({quoted}::varchar, {literal(str(pattern))})")
            if not parts:
                return None
            condition = " or ".join(parts)
        else:
            return None
        measure = f"count(*) filter (where {condition})"
        if rule.unit == "percent":
            measure = f"coalesce(100.0 * {measure} / nullif(count(*), 0), 0)"
        return f"select {measure} from {table}"

    def _age(self, promise: ServiceLevel) -> ContractCheck:
        column, is_newest = promise.column, promise.kind != "retention"
        kind = promise.kind
        if column is not None and column not in self.table.columns:
            return self._check(column, kind, promise.name, "fail", "the column is missing")
        if column is not None and promise.kind != "frequency":
            measure, time = "max" if is_newest else "min", f"{identifier(column)}::timestamptz"
            there = f"isfinite({time})"  # what is to come keeps no table fresh; clocks differ
            there += f" and {time} <= now() + interval 1 day" if is_newest else ""
            times = f"select {measure}({time}) filter (where {there}) from {self.table.quoted}"
        elif is_newest and self.table.loaded_sql:
            times = self.table.loaded_sql
        else:
            said = (
                "`headrace quality status` says whether it is kept"
                if promise.kind == "frequency"
                else "it names no element: name the column with the time, as orders.ordered_at"
            )
            return self._check(column, kind, promise.name, "skipped", said)
        assert promise.within is not None  # else it has a problem
        span = f"to_microseconds({round(promise.within.total_seconds() * 1e6)})"
        query = f"select t, t < now() - {span} from ({times}) as found(t)"
        row, wrong = self._row(query)
        if wrong or row is None:
            return self._check(column, kind, promise.name, "error", wrong or "no answer", times)
        at, is_older = row
        status: CheckStatus = "warn" if promise.warns else "fail"
        if at is None and is_newest:
            said = f"there is no row, promised one of the last {promise.words}"
        elif is_older:
            which = "newest" if is_newest else "oldest"
            said = f"the {which} is of {at:%Y-%m-%d %H:%M} UTC, promised within {promise.words}"
        else:
            return self._check(column, kind, promise.name, "pass", "", times)
        return self._check(column, kind, promise.name, status, said, times)

    def _number(self, query: str) -> tuple[float | None, str]:
        """The one number of a query, and what is wrong with it."""
        row, wrong = self._row(query)
        if wrong:
            return None, wrong
        value = row[0] if row else None
        try:
            return (None if value is None else float(value)), ""
        except (TypeError, ValueError):
            return None, "the query gives no number"

    def _row(self, query: str) -> tuple[tuple[Any, ...] | None, str]:
        import duckdb

        left = self.ends - time.monotonic()
        timer = threading.Timer(max(left, 0.01), self.connection.interrupt)
        timer.start()
        try:
            return self.connection.execute(query).fetchone(), ""
        except duckdb.InterruptException:
            return None, "it took too long, and was stopped (see contracts.timeout)"
        except duckdb.Error as error:
            return None, one_line(str(error), 200)
        finally:
            timer.cancel()
