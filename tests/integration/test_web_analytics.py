"""The shop and its web site in one warehouse: loaded, built, tested and published, day by day."""

from pathlib import Path

import pytest
from lab import Lab

from headrace.pipeline.reports import RunReport

SOURCES = ("shop", "web_analytics")
SCALE = 0.05
OLD = "make_timestamp(event_timestamp) < timestamp '2024-02-20 00:00:00'"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A warehouse with both sources, as of two days one after the other."""
    lab = Lab(tmp_path_factory.mktemp("site") / "data").set(
        "sources.jaffle_shop.enabled=false",
        *(f"sources.{name}.scale={SCALE}" for name in SOURCES),
    )
    check(run(lab, "2024-02-20T06:00:00"))
    before = lab.query(f"select count(*) from web_analytics_raw.events where {OLD}")
    second = run(lab, "2024-02-21T06:00:00")
    check(second)
    assert second.load is not None
    (table,) = [table for table in second.load.tables if table.source == "web_analytics"]
    assert table.rows_changed == 0
    assert 0 < table.rows_new < table.rows_unchanged < table.rows_total / 5
    after = lab.query(f"select count(*) from web_analytics_raw.events where {OLD}")
    assert after > before, "events of the days before arrived late"
    return lab


def run(lab: Lab, moment: str) -> RunReport:
    dated = lab.set(*(f"sources.{name}.as_of={moment}" for name in SOURCES))
    return dated.run(sources=SOURCES)


def check(report: RunReport) -> None:
    assert report.status == "success", report
    assert report.build is not None
    assert {node.status for node in report.build.nodes} <= {"pass", "success"}
    names = {node.name for node in report.build.nodes}
    assert {"fct_sessions", "fct_web_orders", "web_funnel", "web_attribution"} <= names


def test_a_later_run_leaves_what_a_first_one_would(site: Lab, tmp_path: Path) -> None:
    """Late events are found, and nothing is there twice."""
    fresh = Lab(tmp_path / "data").set(f"sources.web_analytics.scale={SCALE}")
    fresh.set("sources.web_analytics.as_of=2024-02-21T06:00:00").load("web_analytics")
    columns = "* exclude (_dlt_load_id)"
    rows = f"select {columns} from web_analytics_raw.events order by all"
    assert site.query(rows) == fresh.query(rows)


def test_purchases_are_orders_of_the_shop(site: Lab) -> None:
    path = site.published
    orders = site.query("select count(*), count(*) filter (is_tracked) from marts.fct_web_orders",
                        path=path)  # fmt: skip
    purchases = site.query("select sum(purchases) from marts.fct_sessions", path=path)
    assert orders[0][1] == purchases[0][0]
    assert orders[0][0] >= orders[0][1] > 20
    assert site.query(
        """
        select count(*)
        from marts.fct_web_orders as web
        inner join marts.fct_sessions as sessions on web.session_id = sessions.session_id
        where
            sessions.user_id = cast(web.customer_id as text)
            and web.total_amount = sessions.purchase_revenue
        """,
        path=path,
    ) == [(orders[0][1],)]


def test_first_and_last_touch_differ_and_give_away_the_same(site: Lab) -> None:
    rows = site.query(
        "select attribution_model, channel, attributed_revenue from marts.web_attribution",
        path=site.published,
    )
    by_model = {
        model: {channel: revenue for name, channel, revenue in rows if name == model}
        for model in ("first_touch", "last_touch")
    }
    assert sum(by_model["first_touch"].values()) == sum(by_model["last_touch"].values())
    assert by_model["first_touch"] != by_model["last_touch"]


def test_without_the_shop_there_are_no_web_orders(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "data").set(
        "sources.jaffle_shop.enabled=false",
        "sources.web_analytics.scale=0.02",
        "sources.web_analytics.as_of=2024-01-20",
    )
    assert lab.run(sources=("web_analytics",)).status == "success"
    tables = lab.query(
        "select table_name from information_schema.tables where table_schema = 'marts'",
        path=lab.published,
    )
    assert sorted(name for (name,) in tables) == [
        "fct_page_views", "fct_sessions", "web_attribution", "web_funnel",
    ]  # fmt: skip
