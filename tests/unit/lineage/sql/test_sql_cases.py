"""Statements with the edges that they have: ``tests/fixtures/lineage/cases.sql``."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from headrace.lineage.sql.dependencies import Deps, names
from headrace.lineage.sql.parse import summarize
from headrace.lineage.sql.relations import Relation, Rest, asset_relation
from headrace.lineage.sql.statement import read

_CASES = Path(__file__).parents[3] / "fixtures" / "lineage" / "cases.sql"
_TABLES = {
    "t": ("a", "b", "c", "g"),
    "u": ("a", "d", "e", "g"),
    "w": ("a", "d", "h"),
    "n": ("id", "arr", "s"),
    'we"ird. tä': ('my "col"', "Größe", "x.y"),
}


@dataclass
class Case:
    """A statement, and the lines that say what its lineage is."""

    line: int
    dialect: str = "duckdb"
    sql: str = ""
    expected: list[str] = field(default_factory=list)


def _cases() -> Iterator[Case]:
    case = Case(0)
    for number, line in enumerate(_CASES.read_text("utf-8").splitlines(), 1):
        if line.startswith(("-->", "--?", "--!")):
            case.expected.append(line)
        elif line.startswith("--@"):
            case.dialect = line.removeprefix("--@").strip()
        elif line and not line.startswith("--"):
            case.line, case.sql = number, line
        elif case.sql:
            yield case
            case = Case(0)
    if case.sql:
        yield case


def _tables(parts: tuple[str, ...]) -> Relation | None:
    name = parts[-1]
    if name in {"x", "y"}:
        return asset_relation(name, (), Rest("open", f'"{name}"', name))
    return asset_relation(name, _TABLES[name], None) if name in _TABLES else None


def _said(column: str | None, deps: Deps) -> str:
    found = []
    for (table, source), ways in sorted(deps.items()):
        if ways and (source or column is not None):
            same = column is not None and source.casefold() == column.casefold()
            kinds = "+".join(sorted(names(ways, same_name=same)))
            found.append(f"{table}.{source or '*'} {kinds}")
    return ", ".join(found)


ALL = list(_cases())


def test_there_are_many_cases() -> None:
    assert len(ALL) > 150
    assert len({case.dialect for case in ALL}) == 6


@pytest.mark.parametrize("case", ALL, ids=[f"line{case.line}" for case in ALL])
def test_a_statement_has_the_edges_written_below_it(case: Case) -> None:
    found = read(summarize(case.sql, case.dialect), _tables)
    lines = [f"--> {name}: {_said(name, deps)}".rstrip() for name, deps in found.relation.columns]
    rows = _said(None, found.relation.rows)
    lines += [f"--> rows: {rows}"] if rows else []
    lines += [f"--? {rest.label}" for rest in found.relation.rest if rest.kind != "spread"]
    lines += [f"--! {problem}" for problem in found.problems]
    assert lines == case.expected, case.sql
