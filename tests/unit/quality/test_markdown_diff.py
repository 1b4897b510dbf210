"""The comment on a pull request: what it says, and that data never become markup."""

import re

import pytest
from diff_lab import Pair
from markdown_it import MarkdownIt

from headrace.cli.markdown_diff import MARK, markdown
from headrace.ingest.sql import identifier, literal
from headrace.quality.diff import DiffReport

NASTY = (
    "a|b `c` <img src=x onerror=1> <!-- [x](http://e.org) **bold** _em_ "
    "\\ @nobody #12 :tada:\n|---|"
)


def html(text: str) -> str:
    return str(MarkdownIt("gfm-like", {"linkify": False}).render(text))


def test_it_says_what_changed(pair: Pair) -> None:
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
    assert html(text).count("<table>") == 3  # the summary, the changed rows, the removed rows


def test_nothing_differs(pair: Pair) -> None:
    for side in ("a", "b"):
        pair.write(side, "create table marts.t as select 1 as id")
    assert markdown(pair.diff()) == (
        f"{MARK}\n### Data diff: no table differs\n\n<code>a</code> → <code>b</code>\n\n"
        "The same: <code>marts.t</code>.\n"
    )


def nasty_report(pair: Pair, *, key: bool) -> DiffReport:
    for side, value in (("a", "1"), ("b", "2")):
        row = f"select {literal(NASTY)} as {identifier(NASTY)}, {literal(NASTY + value)} as v"
        pair.write(side, f"create table marts.{identifier(NASTY)} as {row}")
    return pair.diff(keys={f"marts.{NASTY}": (NASTY,)} if key else None)


@pytest.mark.parametrize("key", [True, False])
def test_data_never_become_markup(pair: Pair, key: bool) -> None:
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


def test_a_long_one_is_cut_between_tables(pair: Pair) -> None:
    for side in ("a", "b"):
        rows = f"select range as id, repeat('{side}', 200) as word from range(50)"
        pair.write(side, *(f"create table marts.t{n:02} as {rows}" for n in range(12)))
    text = markdown(pair.diff(keys={f"marts.t{n:02}": ("id",) for n in range(12)}, limit=50))
    assert len(text) < 65_536
    assert text.count("<details>") == text.count("</details>") > 1
    assert "too long for a comment" in text
    assert all(f"marts.t{n:02}" in text for n in range(12))
