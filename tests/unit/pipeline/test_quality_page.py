"""The page of quality and of a table's metrics, over a warehouse with an alarm."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from test_monitor import LAST_DAY, RAW, Shop

from headrace.pipeline.quality import kept_profiles
from headrace.pipeline.quality.monitor_status import MetricPoint
from headrace.server import charts, pages, quality, queries
from headrace.server.errors import NotFoundError
from headrace.server.models import RunQuality
from headrace.server.rendering import FileLinks, PageFrame, ServerLinks
from headrace.server.state import ServerState, open_state

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerState]:
    shop = Shop(tmp_path_factory.mktemp("quality"))
    with closing(shop.store):
        shop.watch()
        kept_profiles.keep(shop.resolved, shop.store, "r1")
        shop.load(f"delete from shop_raw.orders where {LAST_DAY} and country = 'FR'")
        shop.sql(f"delete from shop_raw.orders where country = 'DE' or not {LAST_DAY}")
        kept_profiles.keep(shop.resolved, shop.store, "r2")
    made = open_state(shop.resolved)
    yield made
    made.close()


def test_what_is_wrong_is_on_the_page_of_the_whole(state: ServerState) -> None:
    view = quality.quality(state)
    assert [one.asset for one in view.alarms] == [RAW] * len(view.alarms)
    assert (len(view.alarms) > 0, view.unmeasured, view.tables) == (True, None, 1)
    (moved,) = view.moved
    assert (moved.id, moved.changes[0].what) == (RAW, "rows")
    for links in (ServerLinks(), FileLinks()):
        page = pages.quality(state, PageFrame(links, "lab"))
        assert "Open alarms" in page
        assert f"alarm {view.alarms[0].number}</span>" in page
        assert view.alarms[0].metric.partition("(")[0] in page
        assert "Moved much in the last run" in page


def test_the_metrics_of_a_table_and_one_in_full(state: ServerState) -> None:
    view = quality.metrics(state, RAW, metric="rows")
    assert view.chosen is not None
    assert len(view.chosen.points) > 50
    lines = {one.metric: one for one in view.metrics}
    assert lines["rows"].is_alarm
    assert lines["rows"].low is not None
    assert lines["rows"].values[0] == view.chosen.points[-1].value
    page = pages.metrics(state, PageFrame(ServerLinks(), "lab"), RAW, metric="rows")
    assert 'class="band"' in page
    assert 'class="alarm"' in page
    assert "rows over time, the newest first" in page
    static = pages.metrics(state, PageFrame(FileLinks("../"), "lab"), RAW)
    assert FileLinks().metrics(RAW, "rows").partition("#")[2] in static
    assert pages.has_metrics(state, RAW)


def test_open_alarms_are_on_the_page_of_their_table(state: ServerState) -> None:
    for links in (ServerLinks(), FileLinks("../")):
        page = pages.asset(state, PageFrame(links, "lab"), queries.asset(state, RAW))
        assert 'id="alarms"' in page
        assert 'id="profile"' in page
        assert links.metrics(RAW) in page
    other = pages.asset(state, PageFrame(links, "lab"), queries.asset(state, "model.p.daily"))
    assert 'id="alarms"' not in other


def test_what_is_not_measured_says_so(state: ServerState) -> None:
    view = quality.metrics(state, "model.p.daily")
    assert view.metrics == ()
    assert "It is not measured" in pages.metrics(
        state, PageFrame(ServerLinks(), "lab"), "model.p.daily"
    )
    with pytest.raises(NotFoundError):
        quality.metrics(state, "model.p.none")
    with pytest.raises(NotFoundError):
        quality.metrics(state, RAW, metric="none")


def points(*values: tuple[float | None, float | None, float | None]) -> list[MetricPoint]:
    return [
        MetricPoint(
            at=AT + timedelta(days=place), value=value, low=low, high=high,
            expected=None if low is None and high is None else 1.0, is_alarm=value == 9,
        )
        for place, (value, low, high) in enumerate(values)
    ]  # fmt: skip


def test_a_band_is_drawn_where_something_was_expected() -> None:
    drawn = charts.band(
        points((1, None, None), (2, 0, 4), (9, 0, 4), (None, None, None), (3, 1, None), (2, 1, 5))
    )
    assert drawn is not None
    assert (drawn.low, drawn.high) == (0, 9)
    assert drawn.band.count("M") == 2
    assert drawn.line.count("M") == 2
    assert len(drawn.alarms) == 1
    assert charts.band(points((1, None, None))) is None
    assert charts.band(points((1, None, None), (1, None, None))) is not None


def test_tests_by_run_are_three_paths() -> None:
    runs = [
        RunQuality(run_id=str(n), at=AT, passed=5, warned=n % 2, failed=n // 2) for n in range(4)
    ]
    strip = charts.tests_strip(runs)
    assert strip is not None
    counts = (strip.passed.count("M"), strip.warned.count("M"), strip.failed.count("M"))
    assert counts == (4, 2, 2)
    assert charts.tests_strip(runs[:1]) is None
