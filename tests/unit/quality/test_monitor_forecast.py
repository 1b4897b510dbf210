"""When a table will be fresh, and whether it misses its promise; metrics as a picture of text."""

from datetime import UTC, datetime, time, timedelta, timezone

import pytest

from headrace.cli.render_quality import picture
from headrace.pipeline.quality.monitor_status import MetricPoint
from headrace.pipeline.quality.monitor_words import length, percent, plain
from headrace.quality.monitors.forecast import Promise, Update, forecast, updates_of

MONDAY = datetime(2026, 11, 2, 6, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def daily(days: int) -> list[Update]:
    """Updates at six each day with the data of the day before, until midnight."""
    return [Update(MONDAY + DAY * index, MONDAY + DAY * index - 6 * HOUR) for index in range(days)]


def test_the_next_update_is_expected_when_it_usually_comes() -> None:
    found = forecast(daily(10), now=MONDAY + DAY * 9 + HOUR, promise=Promise(36 * HOUR))
    assert found.next_at == MONDAY + DAY * 10
    assert found.usual_age == 6 * HOUR
    assert found.misses_at == MONDAY + DAY * 9 + 30 * HOUR
    assert (found.is_late, found.will_miss, found.is_broken) == (False, False, False)


def test_a_promise_that_is_shorter_than_the_usual_interval_will_be_missed() -> None:
    found = forecast(daily(10), now=MONDAY + DAY * 9 + HOUR, promise=Promise(20 * HOUR))
    assert (found.is_late, found.will_miss, found.is_broken) == (False, True, False)
    by_load = forecast(
        daily(10), now=MONDAY + DAY * 9 + HOUR, promise=Promise(25 * HOUR, of_events=False)
    )
    assert by_load.misses_at == MONDAY + DAY * 9 + 25 * HOUR
    assert not by_load.will_miss


@pytest.mark.parametrize(
    ("by", "now", "expected"),
    [
        # the updates come at six UTC; the last is of the tenth day
        (time(7, tzinfo=UTC), DAY * 9 + HOUR, (DAY * 10 + HOUR, False, False)),
        (time(5, tzinfo=UTC), DAY * 9 + HOUR, (DAY * 10 - HOUR, True, False)),
        (time(7, tzinfo=UTC), DAY * 10 + 2 * HOUR, (DAY * 10 + HOUR, True, True)),
        # 23:00 of the ninth day there, so that the next is due on the tenth
        (time(23, 30, tzinfo=timezone(-7 * HOUR)), DAY * 9 + HOUR,
         (DAY * 10 + timedelta(minutes=30), False, False)),
        # 22:00 of the day before there: for the morning after
        (time(9, tzinfo=timezone(-8 * HOUR)), DAY * 9 + HOUR, (DAY * 10 + 11 * HOUR, False, False)),
        # thirteen hours before: of the same day there, of the day before here
        (time(19, tzinfo=UTC), DAY * 9 + HOUR, (DAY * 10 + 13 * HOUR, False, False)),
        (time(11, tzinfo=timezone(-8 * HOUR)), DAY * 9 + HOUR, (DAY * 9 + 13 * HOUR, True, False)),
    ],
)  # fmt: skip
def test_a_promise_by_a_time_of_day_wants_an_update_each_day(
    by: time, now: timedelta, expected: tuple[timedelta, bool, bool]
) -> None:
    found = forecast(daily(10), now=MONDAY + now, promise=Promise(by=by))
    assert found.misses_at is not None
    assert (found.misses_at - MONDAY, found.will_miss, found.is_broken) == expected


def test_what_did_not_come_is_late_and_then_breaks_the_promise() -> None:
    late = forecast(daily(10), now=MONDAY + DAY * 10 + 5 * HOUR, promise=Promise(48 * HOUR))
    assert (late.is_late, late.will_miss, late.is_broken) == (True, False, False)
    broken = forecast(daily(10), now=MONDAY + DAY * 12, promise=Promise(48 * HOUR))
    assert broken.is_broken


def test_a_table_without_updates_at_weekends_is_not_late_on_a_sunday() -> None:
    working = [one for one in daily(40) if one.at.weekday() < 5]
    friday = max(one.at for one in working if one.at.weekday() == 4)
    known = [one for one in working if one.at <= friday]
    found = forecast(known, now=friday + 2 * DAY)
    assert found.next_at == friday + 3 * DAY
    assert not found.is_late


def test_mart_is_not_expected_before_what_it_is_made_from() -> None:
    source = MONDAY + DAY * 11
    assert forecast(daily(10), now=MONDAY + DAY * 9, upstream=[source]).next_at == source


def test_few_updates_tell_nothing_and_runs_without_newer_data_are_none() -> None:
    assert forecast(daily(2), now=MONDAY + DAY * 3).next_at is None
    by_hand = [Update(MONDAY + timedelta(minutes=index), None) for index in range(9)]
    assert forecast(by_hand, now=MONDAY + DAY).next_at is None
    assert forecast([], now=MONDAY, promise=Promise(DAY)).misses_at is None
    at = MONDAY + DAY
    seen = updates_of([(MONDAY, MONDAY, True), (at, MONDAY, False), (at + DAY, at, True)])
    assert [one.at for one in seen] == [MONDAY, at + DAY]
    whole = updates_of([(MONDAY, None, True), (at, None, False), (at + DAY, None, True)])
    assert [one.at for one in whole] == [MONDAY, at + DAY]


def point(day: int, value: float | None, *, is_alarm: bool = False) -> MetricPoint:
    return MetricPoint(
        at=MONDAY + DAY * day, value=value, expected=10, low=8, high=12, is_alarm=is_alarm
    )


def test_a_picture_has_the_band_the_values_and_the_alarms() -> None:
    points = [point(0, 10), point(1, None), point(2, 3, is_alarm=True)]
    drawn = picture(points, "rows", "day", width=100, height=10)
    assert drawn[0].startswith("        12 ┤")
    assert drawn[9].startswith("         3 ┤")
    assert "[red]✗[/]" in drawn[9]
    assert sum("●" in line for line in drawn) == 1
    assert sum("▒" in line for line in drawn) == 5  # 12 to 8 of 12 to 3
    assert drawn[-1].strip() == "2026-11-04"
    wide = picture([point(day, 10 + day % 3) for day in range(300)], "rows", "day", width=100)
    assert (
        max(len(line.replace("[dim]▒[/]", "▒").replace("[cyan]●[/]", "●")) for line in wide) <= 100
    )


def test_a_picture_of_one_value_and_of_constant_ones() -> None:
    for value in (0.0, 7.0, 1e300, -5.0):
        one = MetricPoint(at=MONDAY, value=value)
        assert any("●" in line for line in picture([one], "number", "day", width=100))


def test_numbers_in_words() -> None:
    assert [percent(one) for one in (0, 0.5, 0.123, 0.0004)] == ["0%", "50%", "12.3%", "0.04%"]
    assert [plain(one) for one in (0, 12345.6, 98.5, 0.0123, 1e15)] == [
        "0", "12,346", "98.5", "0.0123", "1e+15"
    ]  # fmt: skip
    assert [length(one) for one in (42, 720, 12000, 187200, 3e6)] == [
        "42 s", "12 min", "3 h 20 min", "2 d 4 h", "34 d"
    ]  # fmt: skip
