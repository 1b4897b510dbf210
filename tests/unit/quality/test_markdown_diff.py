"""The comment on a pull request: what it says, and that data never become markup."""

import re

import pytest
from diff_lab import DatabasePair
from markdown_it import MarkdownIt

from headrace.cli.render_diff import MARK, markdown
from headrace.quality.diff import DiffReport, TableDiff
from headrace.quality.diff.report import ColumnChange, SampleRow
from headrace.sql_text import identifier, literal

NASTY = (
    "a|b `c` <img src=x onerror=1> <!-- [x](http://e.org) **bold** _em_ "
    "\\ @nobody #12 :tada:\n|---|"
)


def html(text: str) -> str:
    return str(MarkdownIt("gfm-like", {"linkify": False}).render(text))


def test_it_says_what_changed(pair: DatabasePair) -> None:
    pair.write("a", "create table marts.t as select range as id, 'x' as word from range(3)")
    pair.write(
        "b", "create table marts.t as select range as id, 'y' as word, 1 as more from range(2)"
    )

    text = markdown(pair.diff(keys={"marts.t": ("id",)}))

    assert text.startswith(f"{MARK}\n### Data diff: 1 of 1 tables differ\n")
    assert (
        "| <code>marts.t</code> | 3 | 2 | 0 | 1 | 2 "
        "| <code>more</code> is new, <code>word</code> (2) |" in text
    )
    assert "<details><summary><code>marts.t</code></summary>" in text
    assert "| <code>0</code> | <code>word</code> | <code>x</code> | <code>y</code> |" in text
    assert (
        html(text).count("<table>") == 4
    )  # the summary; the columns, changed rows and removed rows


def test_rows_of_a_key_that_is_there_twice_are_not_matched_by_it(pair: DatabasePair) -> None:
    pair.write("a", "create table marts.t as select 1 as id, range as n from range(3)")
    pair.write("b", "create table marts.t as select 1 as id, range as n from range(4)")
    text = markdown(pair.diff(keys={"marts.t": ("id",)}))
    assert "does not identify the rows" in text
    assert "matched by" not in text


def test_nothing_differs(pair: DatabasePair) -> None:
    for side in ("a", "b"):
        pair.write(side, "create table marts.t as select 1 as id")
    assert markdown(pair.diff()) == (
        f"{MARK}\n### Data diff: no table differs\n\n<code>a</code> → <code>b</code>\n\n"
        "The same: <code>marts.t</code>.\n"
    )


def nasty_report(pair: DatabasePair, *, key: bool) -> DiffReport:
    for side, value in (("a", "1"), ("b", "2")):
        row = f"select {literal(NASTY)} as {identifier(NASTY)}, {literal(NASTY + value)} as v"
        pair.write(side, f"create table marts.{identifier(NASTY)} as {row}")
    return pair.diff(keys={f"marts.{NASTY}": (NASTY,)} if key else None)


@pytest.mark.parametrize("key", [True, False])
def test_data_are_escaped(pair: DatabasePair, key: bool) -> None:
    text = markdown(nasty_report(pair, key=key))

    rendered = html(text)
    tags = set(re.findall(r"</?([a-z0-9]+)", re.sub(r"&[#\w]+;", "", rendered)))
    assert tags <= {
        *("h3", "p", "code", "table", "thead", "tbody", "tr", "th", "td"),
        *("details", "summary", "ul", "li", "em"),
    }  # fmt: skip
    # what GitHub makes a mention, an issue or an emoji of, it does not in code
    outside = re.sub(r"<code>.*?</code>", "", rendered, flags=re.DOTALL)
    for word in ("@nobody", "#12", ":tada:", "onerror", "bold"):
        assert word in rendered
        assert word not in outside
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.count("|") in {8, 5, 2, 3}, line


def test_a_long_one_is_cut_between_tables(pair: DatabasePair) -> None:
    for side in ("a", "b"):
        rows = f"select range as id, repeat('{side}', 200) as word from range(50)"
        pair.write(side, *(f"create table marts.t{n:02} as {rows}" for n in range(12)))
    text = markdown(pair.diff(keys={f"marts.t{n:02}": ("id",) for n in range(12)}, limit=50))
    assert len(text) < 65_536
    assert text.count("<details>") == text.count("</details>") > 1
    assert "too long for a comment" in text
    assert all(f"marts.t{n:02}" in text for n in range(12))


def test_profiles_of_columns_are_shown(pair: DatabasePair) -> None:
    pair.write(
        "a", "create table marts.t as select range as id, 1.0 as v, 'x' as old from range(4)"
    )
    pair.write(
        "b", "create table marts.t as select range as id, 3.5 as v, 'x' as new from range(4)"
    )

    text = markdown(pair.diff(keys={"marts.t": ("id",)}))

    assert (
        "| <code>v</code> | 4 | 100.0% | min <code>1.0</code> → <code>3.5</code>, "
        "mean <code>1</code> → <code>3.5</code>, max <code>1.0</code> → <code>3.5</code> |" in text
    )


def test_thousands_of_tables_and_columns_still_fit(pair: DatabasePair) -> None:
    def table(number: int, columns: int) -> TableDiff:
        name = "|" * 30 + str(number)
        cells: dict[str, str | None] = {f"{name}{place}": "`" * 200 for place in range(columns)}
        return TableDiff(
            name=name,
            status="changed",
            columns_changed=tuple(ColumnChange(name=column, rows=1) for column in cells),
            samples=(SampleRow(kind="changed", key={}, before=cells, after=cells),),
        )

    for tables in ([table(n, 1) for n in range(3000)], [table(0, 2000)]):
        report = DiffReport(
            before="a", after="b", schemas=("marts",), tables=tuple(tables), seconds=0
        )
        text = markdown(report)
        assert len(text) < 65_536
        assert text.count("<details>") == text.count("</details>")
        assert re.search(r"run `headrace diff`|sample rows are left out", text)
