"""Reading a statement's text: what is said when it cannot be read, and what is not logged."""

import logging

import pytest

from headrace.errors import LineageError
from headrace.lineage.sql.parse import summarize
from headrace.lineage.sql.relations import Relation
from headrace.lineage.sql.statement import read
from headrace.lineage.sql.tree import Col, Select


def test_an_unknown_dialect_is_an_error_that_names_it() -> None:
    with pytest.raises(LineageError, match="klingon"):
        summarize("select 1", "klingon")


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("", "it has no SQL"),
        ("-- nothing here", "it has no SQL"),
        ("select 1; select 2", "it has more than one statement"),
        ("create table x as select 1", "its SQL is not a query but a create statement"),
        ("alter table foo bar", "its SQL is not a query but a command statement"),
        ("select a\nfrom t where )", "its SQL cannot be parsed at line 2, column 14"),
        ("select 'open", "its SQL cannot be parsed"),
    ],
)
def test_what_is_no_readable_query_has_one_plain_problem(sql: str, problem: str) -> None:
    found = summarize(sql, "duckdb")
    assert found.query is None
    assert len(found.problems) == 1
    assert found.problems[0].startswith(problem)
    assert "\x1b" not in found.problems[0]


def test_sqlglot_s_warnings_are_not_logged_and_its_logger_is_as_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("sqlglot")
    before = (list(logger.filters), logger.level)
    with caplog.at_level(logging.DEBUG):
        summarize("alter table foo bar", "duckdb")
    assert caplog.records == []
    assert (list(logger.filters), logger.level) == before


def test_a_cte_that_nothing_uses_is_not_kept() -> None:
    ctes = "a as (select x from t), b as (select x from a), c as (select y from a)"
    sql = f"with {ctes} select x from b"
    found = summarize(sql, "duckdb").query
    assert isinstance(found, Select)
    assert [cte.name for cte in found.ctes] == ["a", "b"]
    assert found.items[0].reads == (Col(1, ("x",)),)


def test_a_form_that_nobody_thought_of_is_a_problem_of_its_statement() -> None:
    def broken(_: tuple[str, ...]) -> Relation | None:
        raise KeyError("odd")

    found = read(summarize("select a from t", "duckdb"), broken)
    assert found.problems == ("its SQL has a form that is not supported (KeyError: 'odd')",)
