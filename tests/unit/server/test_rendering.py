"""What pages are made of: safe text, safe file names, charts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.server import charts
from headrace.server.models import RowsPoint, RunLine, RunTime
from headrace.server.rendering import (
    FileLinks,
    ServerLinks,
    code_spans,
    file_name,
    markdown,
    sql,
    with_breaks,
)

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"),
    [
        ("**bold** `code`", "<strong>bold</strong> <code>code</code>", "**"),
        ("<script>alert(1)</script>", "&lt;script&gt;", "<script"),
        ("<b onclick=x>hi</b>", "&lt;b onclick=x&gt;", "<b"),
        ("[x](javascript:alert(1))", "[x]", "<a"),
        ("[x](JaVaScRiPt:alert(1))", "[x]", "<a"),
        ("[x](&#106;avascript:alert(1))", "[x]", "<a"),
        ("[x](data:text/html,hi)", "[x]", "<a"),
        ("<javascript:alert(1)>", "&lt;javascript", "<a"),
        ("![x](https://tracker.example/pixel.png)", "!<a", "<img"),
        ("# A heading", "<h3>A heading</h3>", "<h1"),
        ("###### deep", "<h6>deep</h6>", "<h8"),
        ("|a|\n|-|\n|1|", "<td>1</td>", "|"),
    ],
)
def test_markdown_is_shown_and_harmless(text: str, wanted: str, unwanted: str) -> None:
    html = markdown(text)
    assert wanted in html
    assert unwanted not in html


def test_links_of_descriptions_send_no_referrer() -> None:
    html = markdown("[docs](https://example.com/a?b=1&c=2 'x') and [here](other.html)")
    assert '<a href="https://example.com/a?b=1&amp;c=2" title="x" rel="noopener noreferrer' in html
    assert 'href="other.html"' in html


@pytest.mark.parametrize("is_template", [True, False])
def test_sql_is_coloured_by_classes_and_escaped(is_template: bool) -> None:
    text = "select '</code><script>' as a, 1 from {{ ref('x') }} -- <b>"
    html = sql(text, is_template=is_template)
    assert "<script" not in html
    assert "<b>" not in html
    assert "style=" not in html
    assert '<span class="s-k">select</span>' in html.replace("\n", "")


def test_sql_that_is_too_long_is_shown_plain() -> None:
    html = sql("select '<' " * 30_000)
    assert html.startswith("select &#x27;&lt;&#x27;")
    assert "<span" not in html


@pytest.mark.parametrize(
    "key",
    [
        "model.shop.orders", "../../etc/passwd", "CON", "a/b\\c:d*e?f\"g<h>i|j", "\u202e\u05d0",
        "", ".", "..", "x" * 500, "name with spaces ", "model.shop.Orders", "\ud800",
    ],
)  # fmt: skip
def test_file_names_are_safe_on_every_system(key: str) -> None:
    name = file_name(key)
    stem = name.removesuffix(".html")
    assert stem.replace("-", "").replace("_", "").isalnum()
    assert stem.isascii()
    assert stem == stem.casefold()
    assert len(name) < 100
    assert name != file_name(key + "x")


def test_file_names_differ_where_a_file_system_would_not() -> None:
    assert file_name("model.shop.orders") != file_name("model.shop.Orders")
    assert file_name("a/b") != file_name("a\\b")


def test_addresses_hold_one_id_whatever_is_in_it() -> None:
    links = ServerLinks(root="/sub/")
    assert links.asset("a/../b?c#d") == "/sub/assets/a%2F..%2Fb%3Fc%23d"
    assert links.lineage("a&b", "c d") == "/sub/lineage?asset=a%26b&column=c+d"
    assert links.assets(search="", tag="x", offset=0) == "/sub/assets?tag=x&offset=0"


def test_static_addresses_are_relative() -> None:
    links = FileLinks(root="../")
    assert links.page("home") == "../index.html"
    assert links.asset("m").startswith("../assets/m-")
    assert links.impact("m", "c") == "../lineage.html?asset=m&column=c"


def _run_time(seconds: float, status: str = "success") -> RunTime:
    return RunTime(run_id="r", at=START, seconds=seconds, status=status)


def test_bars_are_as_high_as_runs_are_long() -> None:
    chart = charts.run_times([_run_time(1), _run_time(4, "error"), _run_time(0)])
    assert chart is not None
    heights = [bar.height for bar in chart.bars]
    assert heights[0] == pytest.approx(heights[1] / 4)
    assert 0 < heights[2] < heights[0]
    assert chart.bars[1].title == "2026-01-02 03:04 · 4.00 s · error"
    assert charts.run_times([]) is None


def _rows(hours: int, total: int, new: int | None = 0, **more: Any) -> RowsPoint:
    fields: dict[str, Any] = {"rows_changed": 0, "rows_quarantined": 0, "code_version": "a1"}
    return RowsPoint(
        run_id="r", at=START + timedelta(hours=hours), rows_total=total, rows_new=new,
        is_release=False, **{**fields, **more},
    )  # fmt: skip


def test_rows_are_bars_by_time_with_a_lane_for_each_count_that_is_not_nothing() -> None:
    points = [
        _rows(0, 10, 10),
        _rows(3, 20, 10, rows_quarantined=2),
        _rows(4, 0, None).model_copy(update={"is_release": True, "code_version": "b2"}),
    ]
    chart = charts.rows_over_time(points)
    assert chart is not None
    lanes = {lane.name: lane for lane in chart.lanes}
    assert list(lanes) == ["Total", "New", "Quarantined"]
    total = lanes["Total"]
    assert total.most == 20
    assert total.bars[0].height == pytest.approx(total.bars[1].height / 2)
    left, middle, right = (bar.x for bar in total.bars)
    assert (middle - left) == pytest.approx(3 * (right - middle))
    assert [len(lane.bars) for lane in chart.lanes] == [3, 2, 1]
    assert lanes["Quarantined"].bars[0].title == "2026-01-02 06:04 UTC · 2 quarantined"
    assert [mark.text for mark in chart.releases] == ["b2"]
    assert charts.rows_over_time(points[:1]) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.123, "0.12 s"),
        (9.996, "10.00 s"),
        (59, "59 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert charts.duration_text(seconds) == text


def test_long_names_break_after_their_parts_and_not_within_words() -> None:
    name = "<bdi>int_payments_pivoted_to_orders</bdi>"
    wanted = "<bdi>int_payments_<wbr>pivoted_<wbr>to_orders</bdi>"
    assert with_breaks(name) == wanted
    for kept in ("<bdi>short_name</bdi>", "<bdi>a&lt;b&gt;_of_something</bdi>", "a_name_of_no_bdi"):
        assert with_breaks(kept) == kept


def test_a_time_in_a_sentence_can_be_switched_to_local() -> None:
    made = code_spans("readers have the data of 2026-11-28 03:52 UTC; run `headrace run`")
    assert '<time datetime="2026-11-28T03:52Z" data-at>2026-11-28 03:52 UTC</time>' in made
    assert made.endswith("<code>headrace run</code>")


def _run(number: int, status: str, seconds: float | None, rows: int | None) -> RunLine:
    return RunLine(
        run_id=f"r{number}", command="headrace run", status=status, target="duckdb",
        started_at=START + timedelta(hours=number), seconds=seconds, rows_loaded=rows, failures=0,
        error=None, code_version="1",
    )  # fmt: skip


def test_runs_over_time_are_a_strip_of_duration_outcome_and_rows() -> None:
    runs = [_run(3, "running", None, None), _run(2, "failed", 5, 1), _run(1, "success", 10, 4)]
    strip = charts.run_strip(runs)
    assert strip is not None
    assert [bar.run_id for bar in strip.bars] == ["r1", "r2", "r3"], "the oldest first"
    first, second, third = strip.bars
    assert first.seconds.height == pytest.approx(2 * second.seconds.height)
    assert (first.seconds.status, second.seconds.status) == ("success", "failed")
    assert first.rows is not None
    assert second.rows is not None
    assert first.rows.height > second.rows.height
    assert third.rows is None
    assert second.title == "2026-01-02 05:04 UTC · headrace run · failed · 5.00 s · 1 row"
    assert charts.run_strip(runs[:1]) is None
    nothing = charts.run_strip([_run(2, "error", 0, 0), _run(1, "error", 0, None)])
    assert nothing is not None
    assert nothing.most_rows == 0
