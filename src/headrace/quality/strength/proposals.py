"""Tests that would find a fault that survived: generic ones that pass now and fail with the fault.

Each was tried on both. They have the names that dbt, dbt_utils, dbt_expectations or Great
Expectations give them.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.quality.strength.project import ModelUnderTest, ProjectUnderTest
from headrace.quality.strength.report import ProposedTest
from headrace.quality.strength.warehouse_copy import Stopped, WarehouseCopy
from headrace.sql_text import identifier, qualified

_MOST_TABLES = 3  # that a fault changed, in which a test is looked for
_MOST_PROPOSALS = 3
_MOST_VALUES = 12  # that a set of accepted ones may have
_MOST_PAIRED = 12  # columns of which two are compared
_INTEGERS = frozenset({"tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint",
                       "usmallint", "uinteger", "ubigint", "uhugeint"})  # fmt: skip
_EXACT = _INTEGERS | {"decimal"}
_NUMBERS = _EXACT | {"float", "double"}
_TIMES = frozenset({"date", "timestamp", "timestamp with time zone"})


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: str
    values: int
    distinct: int
    least: Any
    most: Any
    total: Any


@dataclass(frozen=True, slots=True)
class _Table:
    rows: int
    columns: dict[str, _Column]


class Proposer:
    """Looks for tests, on the copy of one worker."""

    def __init__(self, copy: WarehouseCopy, project: ProjectUnderTest) -> None:
        self._copy = copy
        self._project = project
        self._models = {model.id: model for model in project.models}
        self._before: dict[str, _Table] = {}
        self._sets: dict[tuple[str, str], tuple[Any, ...]] = {}

    def propose(
        self, change: Callable[[], None], changed: dict[str, frozenset[str]]
    ) -> tuple[ProposedTest, ...]:
        """Tests that find a change.

        Args:
            change: makes it, in a transaction.
            changed: ids of the models that it changes, the first ones first, with their columns.
        """
        import duckdb

        tables = [self._models[key] for key in changed][:_MOST_TABLES]
        for model in tables:
            self._measured(model)
            for other in self._neighbours(model):
                self._measured(other)
        found: list[tuple[ProposedTest, str | None]] = []
        try:
            with self._copy.faulty(change):
                for model in tables:
                    found += self._of(model, changed[model.id])
        except duckdb.InterruptException as error:
            raise Stopped from error
        except duckdb.Error:  # what is downstream cannot be built from it: a test upstream is found
            pass
        kept = [
            proposal for proposal, to_hold in found if to_hold is None or not self._number(to_hold)
        ]
        return tuple(kept[:_MOST_PROPOSALS])

    def _neighbours(self, model: ModelUnderTest) -> list[ModelUnderTest]:
        children = [one for one in self._project.models if model.id in one.parents]
        parents = [self._models[key] for key in sorted(model.parents) if key in self._models]
        return [one for one in (*parents, *children) if one.name is not None]

    def _number(self, sql: str) -> int:
        row = self._copy.query(sql).fetchone()
        return int(row[0]) if row else 0

    def _measured(self, model: ModelUnderTest) -> _Table:
        if model.id not in self._before:
            self._before[model.id] = self._measure(model)
        return self._before[model.id]

    def _measure(self, model: ModelUnderTest, only: Sequence[str] | None = None) -> _Table:
        assert model.name is not None  # an ephemeral model is no table
        relation = qualified(*model.name)
        described = self._copy.query(f"from {relation} limit 0").description or []
        kinds = {str(one[0]): str(one[1].id) for one in described}
        names = [name for name in kinds if only is None or name in only]
        sums = ["count(*)"]
        for name in names:
            quoted, kind = identifier(name), kinds[name]
            ordered = kind in _NUMBERS | _TIMES
            sums += [
                f"count({quoted})",
                f"count(distinct {quoted})",
                f"min({quoted})" if ordered else "null",
                f"max({quoted})" if ordered else "null",
                f"sum({quoted})" if kind in _EXACT else "null",
            ]
        row = self._copy.query(f"select {', '.join(sums)} from {relation}").fetchone()
        assert row is not None  # an aggregate
        columns = {
            name: _Column(name, kinds[name], *row[1 + 5 * at : 6 + 5 * at])
            for at, name in enumerate(names)
        }
        for name, column in columns.items():
            if only is None and column.type == "varchar" and 0 < column.distinct <= _MOST_VALUES:
                self._sets[model.id, name] = self._values(relation, name)
        return _Table(row[0], columns)

    def _values(self, relation: str, name: str) -> tuple[Any, ...]:
        quoted = identifier(name)
        rows = self._copy.query(
            f"select distinct {quoted} from {relation} where {quoted} is not null order by 1"
        ).fetchall()
        return tuple(row[0] for row in rows)

    def _of(
        self, model: ModelUnderTest, changed: frozenset[str]
    ) -> Iterator[tuple[ProposedTest, str | None]]:
        """Tests of one table, each with a query that must give 0 without the change."""
        before = self._before[model.id]
        now = self._measure(model, sorted(changed))
        for name in sorted(changed & before.columns.keys() & now.columns.keys()):
            for test, arguments in self._of_column(
                model, before, now, before.columns[name], now.columns[name]
            ):
                yield _proposal(model, name, test, arguments), None
        yield from ((one, None) for one in self._of_rows(model, before, now))
        yield from self._of_pairs(model, changed, now)

    def _of_column(
        self, model: ModelUnderTest, before: _Table, now: _Table, old: _Column, new: _Column
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        if old.values == before.rows and new.values < now.rows:
            yield "not_null", {}
        if old.distinct == before.rows > 1 and new.distinct < new.values:
            yield "unique", {}
        known = self._sets.get((model.id, old.name))
        if known is not None and model.name is not None:
            more = set(self._values(qualified(*model.name), old.name)) - set(known)
            if more:
                yield "accepted_values", {"values": list(known)}
        yield from _bounds(old, new)
        if old.total is not None and old.total != new.total:
            for other in self._neighbours(model):
                twin = self._before[other.id].columns.get(old.name)
                if (
                    twin is not None
                    and twin.total == old.total
                    and self._total(other, old.name) != (new.total)
                ):
                    yield "equal_totals", {"to": other.label, "field": old.name}

    def _total(self, model: ModelUnderTest, name: str) -> Any:
        assert model.name is not None
        row = self._copy.query(
            f"select sum({identifier(name)}) from {qualified(*model.name)}"
        ).fetchone()
        return row[0] if row else None

    def _of_rows(
        self, model: ModelUnderTest, before: _Table, now: _Table
    ) -> Iterator[ProposedTest]:
        if before.rows and not now.rows:
            name = "expect_table_row_count_to_be_between"
            yield _proposal(model, None, name, {"min_value": 1})
        if now.rows == before.rows:
            return
        for other in self._neighbours(model):
            there = self._before[other.id].rows
            assert other.name is not None
            rows = self._number(f"select count(*) from {qualified(*other.name)}")
            if there == before.rows and rows != now.rows:
                name = "expect_table_row_count_to_equal_other_table"
                yield _proposal(model, None, name, {"compare_model": other.label})

    def _of_pairs(
        self, model: ModelUnderTest, changed: frozenset[str], now: _Table
    ) -> Iterator[tuple[ProposedTest, str]]:
        """Laws between two columns of a row that the change breaks."""
        assert model.name is not None
        relation = qualified(*model.name)
        columns = self._before[model.id].columns
        for first in sorted(changed & columns.keys())[:_MOST_PAIRED]:
            kind = columns[first].type
            likely = [
                name
                for name, one in columns.items()
                if name != first and (one.type == kind or {one.type, kind} <= _NUMBERS)
                and kind in _NUMBERS | _TIMES and not name.endswith("_id")
            ]  # fmt: skip
            for second in likely[:_MOST_PAIRED]:
                for sign in ("=", "<=", ">="):
                    law = f"{identifier(first)} {sign} {identifier(second)}"
                    broken = f"select count(*) from {relation} where not ({law})"
                    if self._number(broken):
                        words = law.replace('"', "")
                        arguments = {
                            "expression": f"{words} or {first} is null or {second} is null"
                        }
                        nullable = columns[first].values + columns[second].values
                        if nullable == 2 * self._before[model.id].rows:
                            arguments = {"expression": words}
                        yield _proposal(model, None, "expression_is_true", arguments), broken
        del now


def _bounds(old: _Column, new: _Column) -> Iterator[tuple[str, dict[str, Any]]]:
    """A generous range: from 0 where there is nothing below it, up to twice what there is."""
    if old.type not in _NUMBERS or None in (old.least, old.most, new.least, new.most):
        return
    name = "expect_column_values_to_be_between"
    if old.least >= 0 > new.least:
        yield name, {"min_value": 0}
    elif old.least > 0 >= new.least:
        yield name, {"min_value": 0, "strictly": True}
    most = _round_up(2 * float(old.most)) if old.most > 0 else 0
    if new.most > most:
        yield name, {"max_value": most}


def _round_up(value: float) -> int | float:
    """To 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    found = next(step * power for step in (1, 2, 5, 10) if step * power >= value)
    return int(found) if found >= 1 else found


def _proposal(
    model: ModelUnderTest, column: str | None, name: str, arguments: dict[str, Any]
) -> ProposedTest:
    lines = [f"- {name}:" if arguments else f"- {name}"]
    lines += ["    arguments:"] if arguments else []
    for key, value in arguments.items():
        written = f"ref('{value}')" if key in {"to", "compare_model"} else json.dumps(value)
        lines.append(f"      {key}: {written}")
    return ProposedTest(table=model.label, column=column, name=name, yaml="\n".join(lines))


def unit_test(model: ModelUnderTest, project: ProjectUnderTest, change: str) -> ProposedTest:
    """A unit test to be filled in, for a fault in SQL that no generic test finds."""
    labels = {one.id: one.label for one in project.models}
    given = [
        line
        for key in sorted(model.parents)
        for line in (
            f"    - input: ref('{labels[key]}')"
            if key in labels
            else "    - input: source('{}', '{}')".format(*project.label(key).split(".", 1)),
            "      rows: []  # rows for which the change makes a difference",
        )
    ]
    lines = [
        f"- name: {model.label}_{'_'.join(change.split()[:2]).strip('`').replace('`', '')}",
        f"  model: {model.label}",
        "  given:",
        *given,
        "  expect:",
        "    rows: []",
    ]
    return ProposedTest(table=model.label, name="unit_test", yaml="\n".join(lines))
